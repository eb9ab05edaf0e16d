"""Objects that several tests of the topology start from."""

from ipaddress import IPv4Address

import pytest

from topology.model import Port, PortKey, mac_of


def pod(node: str, number: int, network: str, ofport: int | None = None) -> Port:
    """Return a pod's port on a node, with the address 10.128.0.`number`."""
    address = IPv4Address(f"10.128.0.{number}")
    key = PortKey(node, f"c{number}", "eth0")
    return Port(key, network, f"pod-{number}", network, f"v{number}", mac_of(address), (address,), ofport=ofport)


@pytest.fixture
def two_pods() -> tuple[Port, Port]:
    """Return two pods of one network on one node."""
    return pod("n1", 2, "red"), pod("n1", 3, "red")
