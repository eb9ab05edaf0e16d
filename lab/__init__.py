"""Nodes, pods and an underlay as network namespaces, for demos and tests; nobody outside tests and bench imports it."""

from lab.description import NodeSpec, Topology
from lab.errors import LabError
from lab.laboratory import Lab
from lab.state import cleanup

__all__ = ["Lab", "LabError", "NodeSpec", "Topology", "cleanup"]
