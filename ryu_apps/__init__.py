"""The Ryu side: switches, bundles and the process that runs the controller; nothing outside lab, bench and tests imports it."""
