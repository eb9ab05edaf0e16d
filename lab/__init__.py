"""Nodes, pods and an underlay as network namespaces, for demos and tests. Only tests and bench import it."""
