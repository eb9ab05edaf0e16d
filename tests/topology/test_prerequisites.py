"""What a switch demands of a flow: actions on a field of some protocol need a match that says the packet has it.

Open vSwitch refuses anything else (OFPBAC_MATCH_INCONSISTENT; OpenFlow 1.5.1, 7.2.3.6). Asked of all flows of a network
in which every feature has some; what the flows mean is not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Final

import pytest

from tests.topology.asking import endpoints, ip, node, report, service
from tests.topology.strategies import DUAL, after
from topology import fields, requests
from topology.compiler import compile_node
from topology.fields import Field
from topology.flow import Action, Flow, Op
from topology.model import (
    EVERYTHING,
    Egress,
    Mirror,
    Pod,
    PodKey,
    PortKey,
    Scope,
    ServiceKey,
    ServicePort,
    SliceKey,
    Subnet,
)
from topology.pipeline import FeatureId
from topology.requests import Request
from topology.snapshot import Snapshot, empty
from topology.text import flow_text

OWN: Final = {"red": "10.0.0.0/24", "blue": "10.0.0.0/24", "lime": "10.1.0.0/24"}
SCOPES: Final[dict[tuple[str, str], tuple[Scope | None, Scope | None]]] = {
    ("red", "fir"): (EVERYTHING, None),
    ("blue", "fir"): (Scope(ports=(ServicePort("TCP", 80), ServicePort("UDP", 53))), None),
    ("red", "lime"): (EVERYTHING, Scope(services_only=True)),
    ("fir", "oak"): (EVERYTHING, EVERYTHING),
}
NEEDS: Final[dict[Field, int]] = {
    **dict.fromkeys((fields.IPV4_SRC, fields.IPV4_DST), fields.ETH_IPV4),
    **dict.fromkeys((fields.IPV6_SRC, fields.IPV6_DST, fields.ICMPV6_TYPE), fields.ETH_IPV6),
    **dict.fromkeys((fields.ND_TARGET, fields.ND_TLL, fields.ND_RESERVED, fields.ND_OPTIONS_TYPE), fields.ETH_IPV6),
    **dict.fromkeys((fields.ARP_OP, fields.ARP_SPA, fields.ARP_TPA, fields.ARP_SHA, fields.ARP_THA), fields.ETH_ARP),
}


def _network(name: str) -> Request:
    cidrs = [ip_network(OWN[name])] if name in OWN else []
    subnets = tuple(Subnet("s1", cidr, cidr[1]) for cidr in cidrs)
    return requests.CreateNetwork(name, projects=(name,), subnets=subnets)


@pytest.fixture(scope="module")
def everything() -> Snapshot:
    """Return two nodes, with a pod of each of five networks on each; own ranges, and connections of every kind."""
    names = (*OWN, "fir", "oak")
    asked: list[Any] = [
        requests.SetCluster(DUAL),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        *map(_network, names),
    ]
    for number, (name, place) in enumerate((name, place) for name in names for place in ("n1", "n2")):
        key = PortKey(place, f"{name}{place}", "eth0")
        asked += [
            report(key.container, key=key, project=name, pod="p"),
            requests.PortSeen(place, f"v{key.container}", 10 + number),
        ]
    asked += [requests.JoinNetworks(*pair, *scopes) for pair, scopes in SCOPES.items()]
    kept = replace(service("172.30.0.21", key=ServiceKey("oak", "kept")).service, affinity=60)
    pods = PodKey("fir", "p"), PodKey("red", "p")
    asked += [requests.CreateMirror(Mirror("m", 0, pods[1], "fir")), requests.SetDscp("fir", 46)]
    asked += [requests.SetPod(Pod(key, (), (), 10**6, 10**6)) for key in pods]
    slices = (endpoints("10.128.0.2"), endpoints("10.128.0.2", key=SliceKey("oak", "kept"), service="kept"))
    leaving = [
        requests.CreateEgress(Egress(name, name, (ip(f"203.0.113.{number}"),), nodes=("n1",)))
        for number, name in enumerate(("red", "fir"), 65)
    ]
    leaving.append(requests.CreateEgress(Egress("lime", "lime", via=pods[0])))
    return after(empty(), *asked, service(), requests.CreateService(kept), *slices, *leaving)


def test_every_feature_is_there(everything: Snapshot) -> None:
    found = {key.feature for place in everything.nodes for key in compile_node(place, everything).sections}
    assert found == set(FeatureId) - {FeatureId.SENTINEL, FeatureId.LEARNT}


def test_actions_are_on_packets_that_can_take_them(everything: Snapshot) -> None:
    flows = [
        entry.flow
        for place in everything.nodes
        for section in compile_node(place, everything).sections.values()
        for entry in section
    ]
    assert [flow_text(flow, names=True) for flow in flows if not _is_consistent(flow)] == []


def _is_consistent(flow: Flow) -> bool:
    known = next((value for field, value, _ in flow.match if field == fields.ETH_TYPE), None)
    return all(known in wanted for action in flow.actions for wanted in _wanted(action))


def _wanted(action: Action) -> Iterator[tuple[int, ...]]:
    """For each thing that an action touches, the EtherTypes that have it."""
    if action[0] == Op.CT or action[:2] == (Op.SET, fields.IP_DSCP):
        yield fields.ETH_IPV4, fields.ETH_IPV6
    for nested in action[1] if action[0] == Op.CLONE and isinstance(action[1], tuple) else ():
        yield from _wanted(nested)
    touched: tuple[object, ...] = ()
    if action[0] == Op.SET:
        touched = action[1:2]
    elif action[0] == Op.COPY:
        touched = (action[1], action[3])
    for field in touched:
        if field in NEEDS:
            yield (NEEDS[Field(int(str(field)))],)
