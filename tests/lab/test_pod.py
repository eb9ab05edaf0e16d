"""A pod of the laboratory is what ADD said and what is in its namespace; probes go out by the address asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, cast

import pytest

from lab.description import PodName
from lab.echo import EchoServers
from lab.errors import LabError
from lab.namespaces import Namespace, ip_batch
from lab.node import Node
from lab.pod import Pod, described
from lab.runtime import Attachment
from lab.state import State
from tests.lab.conftest import Plain

pytestmark = [pytest.mark.netns]

ADDRESSES = {"eth0": "10.128.0.2/23", "net1": "10.201.0.3/24", "net2": "10.0.0.4/24"}
TOLD = {**ADDRESSES, "net2": "10.128.0.9/32"}  # net2's network has a range of its own
MACS = {name: f"0a:58:00:00:00:0{number}" for number, name in enumerate(ADDRESSES, 1)}


@dataclass(frozen=True)
class Wired:
    """A namespace with three interfaces, as a plugin leaves it, and what the plugin says."""

    node: Namespace
    namespace: Namespace
    attachment: Attachment
    result: dict[str, Any]

    def pod(self, echo: EchoServers) -> Pod:
        return Pod(cast(Node, None), self.attachment, self.namespace, self.result, echo)


@pytest.fixture
def wired(state: State) -> Wired:
    node, namespace = state.namespaces(["node", "pod"])
    for name, mac in MACS.items():
        peer = f"{name} address {mac} netns {namespace.name}"
        ip_batch([f"link add name v{name} netns {node.name} type veth peer name {peer}"])
    namespace.ip(
        command
        for name, address in ADDRESSES.items()
        for command in (f"address add {address} dev {name}", f"link set {name} up")
    )
    ends = [
        end
        for name in ADDRESSES
        for end in (
            {"name": f"v{name}", "mac": "06:00:00:00:00:01"},
            {"name": name, "mac": MACS[name], "sandbox": str(namespace.path)},
        )
    ]
    ips = [{"address": address, "interface": 2 * number + 1} for number, address in enumerate(TOLD.values())]
    attachment = Attachment("c1", namespace.path, PodName.parse("red/a"))
    return Wired(node, namespace, attachment, {"interfaces": ends, "ips": ips})


@pytest.fixture
def echo() -> Iterator[EchoServers]:
    servers = EchoServers()
    yield servers
    servers.close()


def test_a_pod_with_several_interfaces(wired: Wired, echo: EchoServers) -> None:
    pod = wired.pod(echo)
    assert list(pod.interfaces) == list(ADDRESSES)
    assert pod.addresses == {
        "eth0": IPv4Address("10.128.0.2"),
        "net1": IPv4Address("10.201.0.3"),
        "net2": IPv4Address("10.0.0.4"),
    }
    assert pod.interfaces["net2"].cluster_address == IPv4Address("10.128.0.9")
    assert (pod.address, pod.cluster_address, pod.mac) == (pod.addresses["eth0"],) * 2 + (MACS["eth0"],)
    assert [one.host_interface for one in pod.interfaces.values()] == ["veth0", "vnet1", "vnet2"]
    assert pod.host_interface == "veth0"


def test_what_it_is_known_by(wired: Wired, echo: EchoServers) -> None:
    pod = wired.pod(echo)
    other = copy.copy(pod)
    pod.networks, other.networks = {"eth0": "red", "net1": "blue", "net2": "green"}, {}
    known = {"red": "eth0", "blue": "net1", "green": "net2"}
    for other.network, name in known.items():
        assert pod.known_to(other) == pod.addresses[name]
    other.network = "black"
    assert pod.known_to(other) == pod.cluster_address
    other.networks = {"eth0": "black", "net1": "green", "net2": "red"}
    assert pod.known_to(other) == pod.addresses["net2"]


def _without(key: str, number: int) -> Callable[[dict[str, Any]], None]:
    return lambda result: result[key].pop(number)


def _changed(key: str, number: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda result: result[key][number].update(values)


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["interfaces"].reverse(),
        _without("interfaces", 5),
        _without("interfaces", 4),
        _without("interfaces", 1),
        _without("ips", 0),
        _without("ips", 2),
        _changed("interfaces", 3, mac="0a:58:00:00:00:09"),
        _changed("interfaces", 3, name="net9"),
        _changed("interfaces", 3, name="eth0"),
        _changed("ips", 1, interface=5),
        _changed("ips", 1, address="10.201.0.9/24"),
        _changed("ips", 2, address="10.0.0.4/32"),
    ],
)
def test_a_result_that_does_not_fit(wired: Wired, change: Callable[[dict[str, Any]], None]) -> None:
    assert [one.name for one in described(wired.namespace, wired.attachment, wired.result)] == list(ADDRESSES)
    change(wired.result)
    with pytest.raises(LabError, match="ADD of red/a"):
        described(wired.namespace, wired.attachment, wired.result)


@pytest.mark.parametrize(
    "command",
    [
        "link set net1 down",
        "address del 10.201.0.3/24 dev net1",
        "address add 10.201.0.4/24 dev net1",
        "link del net2",
        "link add name net3 type veth peer name net4",
    ],
)
def test_a_namespace_that_does_not_fit(wired: Wired, command: str) -> None:
    wired.namespace.ip([command])
    with pytest.raises(LabError, match="ADD of red/a"):
        described(wired.namespace, wired.attachment, wired.result)


@pytest.mark.ovs
def test_an_echo_server_answers_from_the_address_that_was_asked(plain: Plain) -> None:
    """Also where the kernel would choose another: a host with several addresses is asked by each."""
    plain.second.namespace.ip(["address add 10.0.0.102/24 dev eth0"])
    try:
        for target in ("10.0.0.2", "10.0.0.102"):
            assert plain.first.udp(target)  # its socket takes an answer from there alone
            assert plain.first.tcp(target)
    finally:
        plain.second.namespace.ip(["address del 10.0.0.102/24 dev eth0"])


@pytest.mark.ovs
def test_probes_go_out_by_the_address_asked_for(plain: Plain) -> None:
    plain.first.namespace.ip(["address add 10.0.0.101/24 dev eth0"])
    try:
        for source in (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.101")):
            assert plain.first.ping(plain.second, source=source)
            for outcome in (plain.first.tcp(plain.second, source=source), plain.first.udp(plain.second, source=source)):
                assert (bool(outcome), outcome.seen_as) == (True, str(source))
        with pytest.raises(OSError, match="assign requested address"):
            plain.first.ping(plain.second, source=IPv4Address("10.0.0.102"))
    finally:
        plain.first.namespace.ip(["address del 10.0.0.101/24 dev eth0"])
