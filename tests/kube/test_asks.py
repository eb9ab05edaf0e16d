"""What objects ask for: nothing, where it is so already."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from kube.asks import Ask, for_node, requests_for
from kube.objects import ZONE, Metadata, Node, NodeAddress, NodeStatus
from kube.resources import BINDINGS, CONNECTIONS, EGRESSES, EXTERNAL_VTEPS, MIRRORS, NETWORKS
from store.fields import Malformed
from topology.admission import admit
from topology.requests import (
    CreateBinding,
    CreateEgress,
    CreateExternalVtep,
    CreateMirror,
    CreateNetwork,
    CreateNode,
    DeleteEgress,
    DeleteExternalVtep,
    DeleteMirror,
    IsolateNetworks,
    JoinNetworks,
    Refused,
    Request,
    SetDscp,
    SetGlobal,
    SetZone,
    TrackConnection,
)
from topology.snapshot import Snapshot, apply_all, empty


def after(snapshot: Snapshot, *requests: Request) -> Snapshot:
    for request in requests:
        snapshot = apply_all(snapshot, admit(snapshot, request))[0]
    return snapshot


@pytest.fixture
def two() -> Snapshot:
    return after(empty(), CreateNetwork("blue", projects=("blue",)), CreateNetwork("red", projects=("red",)))


def connection(leaving: bool = False, **spec: Any) -> Ask:
    return Ask(CONNECTIONS.plural, "blue.red", {"networks": ["blue", "red"], **spec}, leaving)


def binding(leaving: bool = False, **spec: Any) -> Ask:
    selector = {"projects": {"match_labels": {"team": "a"}}, "secondary": [{"network": "red"}]}
    return Ask(BINDINGS.plural, "extra", {**selector, **spec}, leaving)


def kinds(requests: tuple[Request, ...]) -> list[type]:
    return [type(request) for request in requests]


def test_a_connection_is_joined_once(two: Snapshot) -> None:
    """Asked for again while somebody isolates the two, it would come back."""
    wanted = requests_for(two, connection())
    assert kinds(wanted) == [TrackConnection, JoinNetworks]
    joined = after(two, *wanted)
    assert requests_for(joined, connection()) == ()
    assert kinds(requests_for(joined, connection(backward=None))) == [TrackConnection, JoinNetworks]
    assert kinds(requests_for(joined, connection(leaving=True))) == [IsolateNetworks]
    assert requests_for(two, connection(leaving=True)) == ()


def test_a_binding_is_made_once(two: Snapshot) -> None:
    wanted = requests_for(two, binding())
    assert kinds(wanted) == [CreateBinding]
    bound = after(two, *wanted)
    assert requests_for(bound, binding()) == ()
    assert kinds(requests_for(bound, binding(optional=["blue"]))) == [CreateBinding]


def egress(leaving: bool = False, **spec: Any) -> Ask:
    return Ask(EGRESSES.plural, "out", {"network": "red", "addresses": ["203.0.113.5"], **spec}, leaving)


def test_an_egress_is_made_once(two: Snapshot) -> None:
    wanted = requests_for(two, egress())
    assert kinds(wanted) == [CreateEgress]
    made = after(two, *wanted)
    assert requests_for(made, egress()) == ()
    assert kinds(requests_for(made, egress(fail="open"))) == [CreateEgress]
    assert kinds(requests_for(made, egress(leaving=True))) == [DeleteEgress]
    (led,) = requests_for(made, egress(addresses=[], via={"project": "red", "pod": "gw"}))
    assert isinstance(led, CreateEgress)
    assert led.egress.via == ("red", "gw")
    with pytest.raises(Refused, match="belongs to pods and services"):
        requests_for(two, egress(addresses=["10.128.0.1"]))


def test_a_networks_dscp_and_being_global_change_by_themselves(two: Snapshot) -> None:
    def red(**spec: Any) -> Ask:
        return Ask(NETWORKS.plural, "red", spec, is_leaving=False)

    assert requests_for(two, red()) == ()
    wanted = requests_for(two, red(dscp=46, **{"global": True}))
    assert wanted == (SetGlobal("red", True), SetDscp("red", 46))
    marked = after(two, *wanted)
    assert requests_for(marked, red(dscp=46, **{"global": True})) == ()
    assert requests_for(marked, red(**{"global": True})) == (SetDscp("red", None),)


def mirror(leaving: bool = False, **spec: Any) -> Ask:
    return Ask(MIRRORS.plural, "watch", {"network": "red", "target": {"project": "blue", "pod": "p"}, **spec}, leaving)


def test_a_mirror_is_made_once(two: Snapshot) -> None:
    wanted = requests_for(two, mirror())
    assert kinds(wanted) == [CreateMirror]
    made = after(two, *wanted)
    assert requests_for(made, mirror()) == ()
    assert kinds(requests_for(made, mirror(direction="in"))) == [CreateMirror]
    assert kinds(requests_for(made, mirror(leaving=True))) == [DeleteMirror]
    with pytest.raises(Malformed, match="give network, or pod"):
        requests_for(two, mirror(pod={"project": "red", "pod": "a"}))


def external(leaving: bool = False, **spec: Any) -> Ask:
    given = {"address": "192.0.2.50", "subnets": ["198.18.7.128/26"], "network": "red", **spec}
    return Ask(EXTERNAL_VTEPS.plural, "f5", {name: part for name, part in given.items() if part is not None}, leaving)


def test_an_external_vtep_is_made_once_by_name_or_vnid(two: Snapshot) -> None:
    wanted = requests_for(two, external())
    assert kinds(wanted) == [CreateExternalVtep]
    made = after(two, *wanted)
    vnid = two.networks["red"].vnid
    assert requests_for(made, external()) == requests_for(made, external(network=None, vnid=vnid)) == ()
    assert kinds(requests_for(made, external(mac="02:00:00:00:00:01"))) == [CreateExternalVtep]
    assert kinds(requests_for(made, external(leaving=True))) == [DeleteExternalVtep]
    for spec in ({"vnid": vnid}, {"network": None}):
        with pytest.raises(Malformed, match="give network, or vnid"):
            requests_for(two, external(**spec))
    with pytest.raises(Refused, match="no network's"):
        requests_for(two, external(network=None, vnid=4711))


@pytest.mark.parametrize("ask", [connection, binding, egress, mirror, external])
def test_nothing_is_asked_for_by_what_is_not_there_and_leaves(two: Snapshot, ask: Callable[..., Ask]) -> None:
    assert requests_for(two, ask(leaving=True)) == ()


def machine(**labels: str) -> Node:
    status = NodeStatus(addresses=(NodeAddress(type="InternalIP", address="192.0.2.11"),))
    return Node(metadata=Metadata(name="n1", labels=labels), status=status)


def test_a_node_stands_where_its_label_says() -> None:
    """From the beginning, or once a cloud's controller has said it; and nowhere if the label goes."""

    def asked(snapshot: Snapshot, node: Node) -> tuple[Request, ...]:
        return for_node(snapshot, "n1", node, pod_cidrs=False)

    here, there = machine(**{ZONE: "zone-a"}), machine(**{ZONE: "zone-b", "other": "zone-a"})
    made = CreateNode("n1", ip_address("192.0.2.11"), zone="zone-a")
    assert asked(empty(), here) == (made,)
    placed = after(empty(), made)
    assert asked(placed, here) == ()
    assert asked(placed, there) == (SetZone("n1", "zone-b"),)
    assert asked(placed, machine()) == (SetZone("n1", ""),)
    assert asked(after(empty(), *asked(empty(), machine())), here) == (SetZone("n1", "zone-a"),)
    with pytest.raises(Refused, match='zone "zone a" is no label'):
        after(placed, *asked(placed, machine(**{ZONE: "zone a"})))
