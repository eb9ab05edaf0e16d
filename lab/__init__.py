"""Nodes, pods and an underlay as network namespaces, for demos and tests; nobody outside tests and bench imports it."""
