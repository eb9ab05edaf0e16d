"""Fixtures of the laboratory's tests: unique names, and two plain nodes without any of Heddle on them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab import links
from lab.description import Topology
from lab.echo import EchoServers
from lab.hosts import Host
from lab.laboratory import Lab
from lab.namespaces import Namespace, ip_batch
from lab.ovs import OpenVSwitch
from lab.probes import together
from lab.state import State
from lab.underlay import UPLINK, Underlay

PLACEMENT = {
    "red/a": "n1",
    "red/b": "n1",
    "red/c": "n2",
    "blue/a": "n1",
    "blue/b": "n2",
    "blue/c": "n3",
    "default/a": "n3",
}
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def unique_name() -> Callable[[], str]:
    """Return a function that makes names for laboratories that nobody else has."""
    return lambda: f"t{os.getpid()}n{next(_NUMBERS)}"


@pytest.fixture
def state(unique_name: Callable[[], str], tmp_path: Path) -> Iterator[State]:
    """Return a claimed, empty laboratory, cleaned up in the end."""
    claimed = State(unique_name(), tmp_path)
    yield claimed
    claimed.clear()
    claimed.release()


@dataclass(frozen=True)
class Plain:
    """Two nodes whose bridges are joined by a static VXLAN tunnel and forward by the NORMAL action; a host on each."""

    underlay: Underlay
    switches: tuple[OpenVSwitch, OpenVSwitch]
    first: Host
    second: Host
    echo: EchoServers


@pytest.fixture(scope="session")
def plain(unique_name: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """Return the two plain nodes; they need no controller."""
    state = State(unique_name(), tmp_path_factory.mktemp("lab"))
    echo = EchoServers()
    try:
        description = Topology.of(2)
        underlay = Underlay(state, description)
        nodes = [underlay.hosts[spec.name] for spec in description.nodes]
        switches = [OpenVSwitch(node, state.folder(node.name)) for node in nodes]
        together([switch.start for switch in switches])
        for node, switch, spec in zip(nodes, switches, description.nodes, strict=True):
            peer = next(str(other.underlay) for other in description.nodes if other is not spec)
            _bridges(node, switch, str(spec.underlay), peer)
        hosts = state.namespaces(["h1", "h2"])
        for number, (node, host, switch) in enumerate(zip(nodes, hosts, switches, strict=True), 1):
            _attach(node, host, switch, f"10.0.0.{number}/24")
        first, second = (Host(f"h{n}", host, IPv4Address(f"10.0.0.{n}"), echo) for n, host in enumerate(hosts, 1))
        yield Plain(underlay, (switches[0], switches[1]), first, second, echo)
    finally:
        echo.close()
        state.clear()
        state.release()


@pytest.fixture(scope="session")
def lab(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory with three nodes and tenants' pods on them; whoever changes something puts it back."""
    with Lab(unique_name(), nodes=3) as running:
        running.network("red")
        running.network("blue")
        running.pods(PLACEMENT)
        yield running


def _bridges(node: Namespace, switch: OpenVSwitch, address: str, peer: str) -> None:
    """Give a node br-ex, with the uplink and the node's address, and br0 with a tunnel to `peer`."""
    external = "add-br br-ex -- set bridge br-ex datapath_type=netdev other_config:hwaddr=0e:00:00:00:00:01"
    switch.vsctl(*external.replace(":01", f":{address.rpartition('.')[2]}").split())
    node.ip([f"address flush dev {UPLINK}", f"address add {address}/24 dev br-ex", "link set br-ex up"])
    switch.vsctl("add-port", "br-ex", UPLINK)
    tunnel = f"add-port br0 vx -- set interface vx type=vxlan options:remote_ip={peer} options:local_ip={address}"
    switch.vsctl(*f"add-br br0 -- set bridge br0 datapath_type=netdev -- {tunnel}".split())


def _attach(node: Namespace, host: Namespace, switch: OpenVSwitch, address: str) -> None:
    """Join a host to a node's br0 by a veth pair."""
    ip_batch([f"link add name v0 netns {node.name} type veth peer name eth0 mtu 1450 netns {host.name}"])
    node.ip(["link set v0 up"])
    host.ip([f"address add {address} dev eth0", "link set eth0 up"])
    links.checksum_in_software(host, "eth0")
    switch.vsctl("add-port", "br0", "v0")
