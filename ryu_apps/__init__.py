"""The Ryu side: switches, bundles, and the process that runs the controller. Nobody imports it but lab and bench."""
