"""Doors of services by real packets: who comes from outside as whom, who is let in, and who answers for an address."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.api import ProblemError
from lab.description import EXTERNAL, POOL
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict
from lab.services import PORT, Service
from lab.underlay import UPLINK
from tests.lab.watching import eventually, in_sync

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PATIENCE = 0.5  # seconds without an answer, where others had theirs in milliseconds
ROUTED = str(EXTERNAL[20])
Make = Callable[..., Service]


@pytest.fixture
def service(lab: Lab) -> Iterator[Make]:
    """A function that makes a service of a project, with these pods as endpoints; all go at the end."""
    made: list[Service] = []

    def make(project: str, *pods: str, node_port: int = 0, **fields: Any) -> Service:
        each = Service(lab.api, project, f"door{len(made)}", f"172.30.0.{100 + len(made)}", node_port)
        each.make([lab.pods_by_name[pod] for pod in pods], **fields)
        made.append(each)
        return each

    yield make
    for each in made:
        each.remove()


def pod(lab: Lab, name: str) -> Pod:
    return lab.pods_by_name[name]


def told(lab: Lab, address: str) -> bool:
    """Whether every node's kernel leads somewhere what comes to an address, or to a service's."""
    return all(address in node.run("nft list table inet heddle").stdout for node in lab.nodes.values())


def holder(lab: Lab, address: str) -> str | None:
    """The node that is told to answer for an address."""
    names = [name for name in lab.nodes if address in lab.api.get(f"/v1/nodes/{name}/configuration")["held"]]
    assert len(names) < 2
    return names[0] if names else None


def test_an_endpoint_sees_who_comes_from_outside(lab: Lab, service: Make) -> None:
    """On the node that he came to; by another one, which has none, he hears nothing. Pods and nodes go by either."""
    made = service("red", "red/c", node_port=30701, external_local=True)
    here, elsewhere = lab.node("n2"), lab.node("n1")
    assert eventually(lambda: told(lab, made.address))
    for probe in (lab.outside.tcp, lab.outside.udp):
        seen = probe(here, 30701)
        assert (seen.by, seen.seen_as) == ("red/c", str(lab.outside.address))
        assert probe(elsewhere, 30701, PATIENCE).verdict is Verdict.SILENT
    for source in (pod(lab, "red/a"), lab.node("n1")):
        for place in (here, elsewhere):
            assert source.tcp(place, 30701).by == "red/c"
    made.serve([pod(lab, "red/a")])
    assert lab.outside.tcp(elsewhere, 30701).seen_as == str(lab.outside.address)
    assert lab.outside.tcp(here, 30701, PATIENCE).verdict is Verdict.SILENT
    made.serve([])
    assert lab.outside.tcp(here, 30701).verdict is Verdict.REFUSED


def test_a_network_with_a_range_of_its_own(lab: Lab, service: Make) -> None:
    """Its pods have the addresses of another network's, and see the client as he is."""
    for name in ("lime", "pear"):
        lab.network(name, subnets=["10.0.0.0/24"])
    lab.pods({"lime/a": "n1", "pear/a": "n1"})
    try:
        ports = {"lime": 30702, "pear": 30703}
        made = [service(name, f"{name}/a", node_port=port, external_local=True) for name, port in ports.items()]
        assert eventually(lambda: all(told(lab, each.address) for each in made))
        for name, port in ports.items():
            seen = lab.outside.tcp(lab.node("n1"), port)
            assert (seen.by, seen.seen_as) == (f"{name}/a", str(lab.outside.address))
    finally:
        for each in ("lime/a", "pear/a"):
            lab.remove_pod(each)


def test_an_endpoint_whose_network_leaves_by_an_address_of_its_own(lab: Lab, service: Make) -> None:
    """What it answers does not leave by that."""
    made = service("red", "red/c", node_port=30704, external_local=True)
    lab.api.post("/v1/egresses", {"name": "way", "network": "red", "addresses": ["192.0.2.170"]})
    try:
        assert eventually(lambda: told(lab, made.address))
        assert lab.outside.tcp(lab.node("n2"), 30704).seen_as == str(lab.outside.address)
        assert eventually(lambda: pod(lab, "red/c").tcp(lab.outside).seen_as == "192.0.2.170")
        assert lab.outside.tcp(lab.node("n2"), 30704).seen_as == str(lab.outside.address)
    finally:
        lab.api.delete("/v1/egresses/way")


@pytest.mark.parametrize("local", [False, True], ids=["to all nodes", "to one"])
def test_only_clients_of_some_ranges(lab: Lab, service: Make, local: bool) -> None:
    lab.outside.run(f"ip route replace {ROUTED} via {lab.node('n2').address}")
    fields = {"external": [ROUTED], "external_local": local}
    made = service("red", "red/c", sources=[f"{lab.outside.address}/32"], **fields)
    assert eventually(lambda: lab.outside.tcp(ROUTED, PORT, PATIENCE).by == "red/c")
    assert not pod(lab, "red/a").tcp(ROUTED, PORT, PATIENCE).arrived
    made.make([pod(lab, "red/c")], sources=["198.51.100.0/24", "10.128.0.0/14"], **fields)
    assert eventually(lambda: pod(lab, "red/a").tcp(ROUTED, PORT, PATIENCE).by == "red/c")
    assert lab.outside.tcp(ROUTED, PORT, PATIENCE).verdict is Verdict.SILENT


@pytest.fixture
def on_link(lab: Lab) -> None:
    """The outside host asks by ARP who has an address of the pool."""
    lab.outside.run(f"ip route replace {POOL} dev {UPLINK}")


@pytest.mark.usefixtures("on_link")
def test_an_address_of_the_pool_moves_when_its_node_fails(lab: Lab, service: Make) -> None:
    made = service("blue", "blue/a", "blue/b", load_balancer=True)
    other = service("blue", "blue/c", load_balancer=True)
    address = made.ingress
    assert (address, other.ingress) == (str(POOL[1]), str(POOL[2]))
    assert eventually(lambda: lab.outside.tcp(address, PORT, PATIENCE).by in ("blue/a", "blue/b"))
    assert eventually(lambda: lab.outside.udp(other.ingress, PORT, PATIENCE).by == "blue/c")
    assert lab.node("n3").tcp(address, PORT).arrived
    assert pod(lab, "red/a").tcp(address, PORT).arrived
    first = holder(lab, address)
    assert first is not None
    survivors = {"n1": ["blue/b"], "n2": ["blue/a"]}.get(first, ["blue/a", "blue/b"])
    made.serve([pod(lab, name) for name in survivors])
    dead = lab.node(first)
    dead.ovs.stop_switch(signal.SIGKILL)
    try:
        assert eventually(lambda: lab.outside.tcp(address, PORT, PATIENCE).by in survivors)
        assert holder(lab, address) not in (first, None)
    finally:
        dead.ovs.start_switch()
        assert eventually(lambda: in_sync(lab))
    made.make([pod(lab, "blue/a")])
    assert service("blue", "blue/c", load_balancer=True).ingress == address


@pytest.mark.usefixtures("on_link")
def test_only_a_node_with_an_endpoint_holds_the_address_where_only_that_leads_in(lab: Lab, service: Make) -> None:
    made = service("red", "red/c", load_balancer=True, external_local=True)
    address = made.ingress
    for name, node in (("red/c", "n2"), ("red/a", "n1")):
        made.serve([pod(lab, name)])
        assert holder(lab, address) == node
        assert eventually(lambda name=name: lab.outside.tcp(address, PORT, PATIENCE).by == name)  # type: ignore[misc]
        assert lab.outside.tcp(address, PORT).seen_as == str(lab.outside.address)
    made.serve([])
    assert holder(lab, address) is None


def test_an_address_that_cannot_be_had(lab: Lab, service: Make) -> None:
    given = service("red", "red/c", load_balancer=True, load_balancer_address=str(POOL[5]))
    assert given.ingress == str(POOL[5])
    for asked, words in ((str(POOL[5]), 'belongs to service "red/door0"'), ("203.0.113.9", "outside the pool")):
        with pytest.raises(ProblemError, match=words):
            service("red", load_balancer=True, load_balancer_address=asked)
    with pytest.raises(ProblemError, match="one of the load balancers' pool"):
        service("red", external=[str(POOL[6])])
