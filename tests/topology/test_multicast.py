"""Multicast: who hears whom, which nodes get copies, what a change of membership costs, and what is refused."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.topology.asking import ip
from tests.topology.states import states
from tests.topology.strategies import after, own_range
from topology import fields, requests
from topology.admission import admit
from topology.compiler import compile_all, diff, update
from topology.fields import ETH_DST, IP_PROTO
from topology.flow import Op
from topology.model import (
    DEFAULT_NETWORK,
    EVERYTHING,
    MOST_AUDIENCE,
    MOST_NETWORK_GROUPS,
    MOST_PORT_GROUPS,
    Membership,
    Pod,
    PodKey,
    Port,
    PortKey,
    Scope,
    ServicePort,
)
from topology.multicast import audible, audience
from topology.outcome import Delivered, Dropped, Outcome, Shared
from topology.packet import Ends, Packet, arriving, transport, tunnelled
from topology.pipeline import FeatureId, Table
from topology.requests import Reason, Refused, Request
from topology.snapshot import Snapshot, apply_all
from topology.trace import Fabric

GROUP, OTHER = ip("239.1.1.1"), ip("239.1.1.2")


def pod(project: str, name: str, node: str, ofport: int) -> tuple[Request, ...]:
    report = requests.ReportPort(PortKey(node, name, "eth0"), project, name, f"v{name}")
    return report, requests.PortSeen(node, f"v{name}", ofport)


def joins(node: str, **groups: tuple[IPv4Address, ...]) -> requests.GroupsHeard:
    return requests.GroupsHeard(node, tuple((f"v{name}", each) for name, each in groups.items()))


@pytest.fixture(scope="module")
def network() -> Snapshot:
    """Red's a and c on n1, d on n2, blue's b on n2, joined, all members; and red's e on n1, which is none."""
    return after(
        states()["joined networks"],
        *(requests.SetMulticast(name, True) for name in ("red", "blue")),
        *pod("red", "c", "n1", 5),
        *pod("red", "d", "n2", 6),
        *pod("red", "e", "n1", 7),
        joins("n1", a=(GROUP,), c=(GROUP,)),
        joins("n2", b=(GROUP,), d=(GROUP,)),
    )


def port(snapshot: Snapshot, name: str) -> Port:
    (found,) = (each for each in snapshot.ports.values() if each.pod == name)
    return found


def packet(snapshot: Snapshot, name: str, group: IPv4Address = GROUP) -> Packet:
    sender = port(snapshot, name)
    return transport("UDP", Ends(sender.addresses[0], group, sender.mac), 5000)


def sent(snapshot: Snapshot, name: str, group: IPv4Address = GROUP) -> Outcome:
    sender = port(snapshot, name)
    asked = arriving(packet(snapshot, name, group), sender.ofport or 0)
    return Fabric(snapshot, compile_all(snapshot)).carry(sender.node, asked).outcome


def heard(snapshot: Snapshot, name: str, group: IPv4Address = GROUP) -> str:
    """Return the pods that get what one sends to a group, by their letters."""
    found = sent(snapshot, name, group)
    return "".join(sorted(snapshot.ports[key].pod for key in found.ports)) if isinstance(found, Shared) else ""


def test_all_members_but_the_sender_hear_it_and_nobody_else(network: Snapshot) -> None:
    assert heard(network, "a") == "bcd"
    assert heard(network, "e") == "abcd"
    assert heard(network, "b") == "acd"
    assert heard(network, "a", OTHER) == ""
    assert sent(network, "a", OTHER) == Dropped("n1", int(Table.GROUPS), (int(FeatureId.BASE), ()))


@pytest.mark.parametrize(
    ("change", "from_a", "from_b"),
    [
        (requests.SetMulticast("blue", False), "cd", ""),
        (requests.SetMulticast("red", False), "", ""),
        (requests.IsolateNetworks("red", "blue"), "cd", ""),
        (requests.JoinNetworks("red", "blue", EVERYTHING, None), "bcd", ""),
        (requests.JoinNetworks("red", "blue", Scope(services_only=True), EVERYTHING), "cd", "acd"),
        (requests.JoinNetworks("red", "blue", Scope(ports=(ServicePort("UDP", 5000),)), None), "cd", ""),
        (joins("n1"), "bd", "d"),
        (joins("n2", d=(OTHER,)), "c", "ac"),
        (requests.ForgetPort(PortKey("n2", "d", "eth0")), "bc", "ac"),
        (requests.PortVanished("n1", "vc", forget=False), "bd", "ad"),
    ],
)
def test_who_hears_after_a_change(network: Snapshot, change: Request, from_a: str, from_b: str) -> None:
    changed = after(network, change)
    assert changed != network
    assert (heard(changed, "a"), heard(changed, "b")) == (from_a, from_b)


def test_being_global_is_no_connection(network: Snapshot) -> None:
    apart = after(network, requests.IsolateNetworks("red", "blue"), requests.SetGlobal("blue", True))
    assert (heard(apart, "a"), heard(apart, "b")) == ("cd", "")


def test_it_stays_in_its_address_space() -> None:
    """Within a network with a range of its own; not to a connected one, for which the sender has another address."""
    start = states()["connected ranges"]
    world = after(
        start,
        *(requests.SetMulticast(name, True) for name in ("red", "lime", "blue")),
        *pod("red", "d", "n2", 9),
        joins("n1", a=(GROUP,), b=(GROUP,)),
        joins("n2", c=(GROUP,), d=(GROUP,)),
    )
    assert heard(world, "a") == "d"
    assert heard(world, "c") == ""
    assert audible("red", world) == ("red",)


def test_what_a_member_gets_is_for_the_group_and_from_the_sender(network: Snapshot) -> None:
    sender = port(network, "a")
    fabric = Fabric(network, compile_all(network))
    trace = fabric.carry("n1", arriving(packet(network, "a").set(ETH_DST, 0x0200_0000_0001), sender.ofport or 0))
    assert isinstance(trace.outcome, Shared)
    assert trace.packet.get(ETH_DST) == 0x0100_5E01_0101
    assert trace.packet.get(fields.ETH_SRC) == sender.mac
    assert trace.packet.get(fields.IPV4_SRC) == int(sender.addresses[0])


def test_each_node_gets_one_copy(network: Snapshot) -> None:
    tunnels = [copy for copy in process(network, packet(network, "a")) if copy == 1]
    assert tunnels == [1]


def process(network: Snapshot, sent: Packet) -> list[int]:
    sender = port(network, "a")
    passage = Fabric(network, compile_all(network)).switch("n1").process(arriving(sent, sender.ofport or 0))
    assert passage.outputs == ()
    return [copy.port for copy in passage.copies]


@pytest.mark.parametrize("field", ["eth_src", "ipv4_src"])
def test_nobody_sends_as_somebody_else(network: Snapshot, field: str) -> None:
    honest, other = packet(network, "a"), packet(network, "e")
    assert process(network, honest)
    assert process(network, honest.set(fields.BY_NAME[field], other.get(fields.BY_NAME[field]) or 0)) == []


@pytest.mark.parametrize("group", ["224.0.0.1", "224.0.0.251", "239.255.255.250", "255.255.255.255"])
def test_what_nobody_can_or_did_join_ends_at_the_sender(network: Snapshot, group: str) -> None:
    assert process(network, packet(network, "a", ip(group))) == []


def test_reports_go_to_the_node_and_to_nobody_else(network: Snapshot) -> None:
    sender = port(network, "a")
    said = packet(network, "a").set(IP_PROTO, fields.PROTO_IGMP)
    passage = Fabric(network, compile_all(network)).switch("n1").process(arriving(said, sender.ofport or 0))
    (output,) = passage.outputs
    assert (output.port, output.packet.get(fields.ETH_SRC)) == (65002, 0x0E01_0000_0003)
    assert passage.copies == ()
    without = after(network, requests.SetMulticast("red", False))
    passage = Fabric(without, compile_all(without)).switch("n1").process(arriving(said, sender.ofport or 0))
    assert (passage.outputs, passage.copies) == ((), ())


@pytest.mark.parametrize(("ofport", "is_sent"), [(3, True), (5, True), (4, False), (65000, False), (1, False)])
def test_queries_go_to_ports_of_networks_with_multicast(network: Snapshot, ofport: int, is_sent: bool) -> None:
    asked = (
        packet(network, "a", ip("224.0.0.1")).set(IP_PROTO, fields.PROTO_IGMP).set(ETH_DST, 0x0E02_0000_0000 | ofport)
    )
    passage = Fabric(network, compile_all(network)).switch("n1").process(arriving(asked, 65002))
    assert [(out.port, out.packet.get(ETH_DST)) for out in passage.outputs] == (
        [(ofport, 0x0100_5E00_0001)] if is_sent else []
    )
    other = asked.set(IP_PROTO, fields.PROTO_UDP)
    assert Fabric(network, compile_all(network)).switch("n1").process(arriving(other, 65002)).outputs == ()


@pytest.mark.parametrize(
    ("vtep", "vnid", "mac", "delivered"),
    [
        ("192.0.2.12", "red", 0x0100_5E01_0101, True),
        ("192.0.2.12", "blue", 0x0100_5E01_0101, True),
        ("192.0.2.99", "red", 0x0100_5E01_0101, False),
        ("192.0.2.12", "red", 0x0A59_0000_0000, False),
        ("192.0.2.12", "default", 0x0100_5E01_0101, False),
    ],
)
def test_what_comes_by_the_tunnel_goes_to_members_here_only(
    network: Snapshot, vtep: str, vnid: str, mac: int, delivered: bool
) -> None:
    number = network.networks[vnid].vnid
    frame = tunnelled(packet(network, "b"), number, ip(vtep), network.nodes["n1"].underlay).set(ETH_DST, mac)
    passage = Fabric(network, compile_all(network)).switch("n1").process(frame)
    assert sorted(copy.port for copy in passage.copies) == ([3, 5] if delivered else [])
    assert passage.outputs == ()


def test_a_members_limit_drops_its_own_copy_only(network: Snapshot) -> None:
    """Asked inside of the clone: outside, what exceeds it would be lost to all that come after."""
    limited = after(network, requests.SetPod(Pod(PodKey("red", "c"), ingress_bandwidth=10**6)))
    flows = [entry.flow for entry in compile_all(limited)["n1"].entries() if entry.flow.table == Table.GROUP_MEMBERS]
    clones = [action[1] for flow in flows for action in flow.actions if action[0] == Op.CLONE]
    metered = [clone for clone in clones if isinstance(clone, tuple) and clone[0] == (Op.METER, 11)]
    assert len(metered) == 2  # from red, and from blue
    assert not any(action[0] == Op.METER for flow in flows for action in flow.actions)


def told(snapshot: Snapshot, *asked: Request) -> dict[str, int]:
    """Return how many flows of multicast each switch is told, by the incremental way."""
    tables, later, changes = compile_all(snapshot), snapshot, []
    for request in asked:
        later, more = apply_all(later, admit(later, request))
        changes += more
    new, dirty = update(tables, changes, snapshot, later)
    assert new == compile_all(later)
    deltas = {node: diff(tables[node], new[node], dirty.get(node, ())) for node in new}
    return {
        node: sum(each.cookie >> 56 == FeatureId.MULTICAST for each in delta.adds) for node, delta in deltas.items()
    }


def test_another_member_on_a_node_concerns_that_node_alone(network: Snapshot) -> None:
    assert told(network, joins("n1", a=(GROUP,), c=(GROUP,), e=(GROUP,))) == {"n1": 2, "n2": 0}
    assert told(network, joins("n1", a=(GROUP,))) == {"n1": 2, "n2": 0}
    assert told(network, joins("n1", a=(GROUP, OTHER), c=(GROUP,))) == {"n1": 3, "n2": 2}


def test_a_node_tells_of_its_own_ports_and_of_networks_with_multicast(network: Snapshot) -> None:
    assert admit(network, joins("n1", a=(GROUP,), c=(GROUP,), b=(GROUP,), nobody=(GROUP,))) == ()
    off = after(network, requests.SetMulticast("blue", False))
    again = after(off, joins("n2", b=(GROUP,), d=(GROUP,)))
    assert {*again.memberships} == {port(network, name).key for name in "acd"}


def test_a_port_takes_its_groups_along_and_away(network: Snapshot) -> None:
    key = port(network, "d").key
    assert network.memberships[key] == Membership(key, (GROUP,))
    gone = after(network, requests.ForgetPort(key))
    assert key not in gone.memberships
    assert key not in gone.listeners["red", GROUP]


def many(first: int, count: int) -> tuple[IPv4Address, ...]:
    return tuple(ip("239.9.0.0") + number for number in range(first, first + count))


def test_a_network_has_so_many_groups_and_no_more(network: Snapshot) -> None:
    names = ("a", "c", "e")
    full = after(network, joins("n1", **{name: many(place * 64, 64) for place, name in enumerate(names)}))
    assert len(full.groups_of["red"]) == 3 * 64 + 1
    full = after(full, *pod("red", "x", "n2", 30), joins("n2", d=(GROUP, *many(192, 63))))
    assert len(full.groups_of["red"]) == MOST_NETWORK_GROUPS
    more = after(full, joins("n2", d=(GROUP, *many(192, 63)), x=(GROUP, *many(500, 5))))
    assert more.memberships[port(more, "x").key].groups == (GROUP,)
    assert {*more.groups_of["red"]} == {*full.groups_of["red"]}


def test_so_many_hear_one_packet_and_no_more(network: Snapshot) -> None:
    asked = [request for n in range(MOST_AUDIENCE) for request in pod("red", f"m{n}", "n2", 100 + n)][: 2 * 400]
    crowd = after(network, *asked)
    names = [each.pod for each in crowd.ports.values() if each.node == "n2" and each.network == "red"]
    crowd = after(crowd, requests.GroupsHeard("n2", tuple((f"v{name}", (GROUP,)) for name in names)))
    assert len(audience("red", GROUP, crowd)) == min(MOST_AUDIENCE, len(names) + 2)


@pytest.mark.parametrize(
    ("asked", "reason", "said"),
    [
        (joins("n1", a=(ip("224.0.0.251"),)), Reason.INVALID, "reserved"),
        (joins("n1", a=(ip("10.0.0.1"),)), Reason.INVALID, "no group"),
        (joins("n1", a=many(0, MOST_PORT_GROUPS + 1)), Reason.INVALID, "64 at most"),
        (requests.SetMulticast("pink", True), Reason.UNKNOWN, "pink"),
        (requests.SetMulticast(DEFAULT_NETWORK, True), Reason.BUILT_IN, "built in"),
        (requests.SetMulticast("red", False, "others"), Reason.TAKEN, "others"),
        (requests.CreateNetwork("red"), Reason.TAKEN, "exists"),
    ],
)
def test_what_is_refused(network: Snapshot, asked: Request, reason: Reason, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        admit(network, asked)
    assert refused.value.reason is reason


def test_a_network_is_made_with_it(network: Snapshot) -> None:
    asked = requests.CreateNetwork("new", multicast=True, subnets=own_range("10.9.0.0/24"))
    made = after(network, asked)
    assert made.networks["new"].multicast
    assert admit(made, asked) == ()


def test_a_project_that_moves_has_the_targets_on_the_way(network: Snapshot) -> None:
    moving = after(network, requests.MoveProject("red", "blue"))
    (move,) = moving.moves.values()
    assert moving.networks[move.transit].multicast
    assert isinstance(sent(moving, "a"), Shared | Delivered)
