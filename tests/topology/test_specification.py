"""The compiled flows do what the specification says: packets walked through the tables by the software switch."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from immutables import Map

from tests.topology.strategies import STRANGERS, Sending, answer, failure, once_in, pick, sendings, snapshots
from topology import fields
from topology.compiler import compile_all
from topology.fields import ETH_DST, ETH_SRC, IP_DSCP, IPV4_SRC, Family
from topology.model import TUN_OFPORT, Address, Port
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import ICMP_UNREACHABLE, Ends, Packet, arriving, icmp, is_discovery
from topology.pipeline import SERVICE_ZONE
from topology.reach import known_as
from topology.snapshot import Snapshot, places
from topology.specification import Choice, FromNode, FromPort, Said, copies, dscp, is_believed, may
from topology.targets import Target
from topology.trace import Fabric, Trace
from topology.tracker import NOTHING_TRACKED, Tracker, begins, talk_of


def seen(outcome: Outcome) -> Outcome:
    """Return an outcome without what only flows have: table and owner of a drop."""
    return Dropped(outcome.node) if isinstance(outcome, Dropped) else outcome


def endpoint_of(snapshot: Snapshot, sending: Sending, trace: Trace) -> Target | None:
    """The endpoint that a packet's connection was led to, as the tracker of its node knows it."""
    sender, asked = _sender(snapshot, sending), talk_of(sending.packet, SERVICE_ZONE)
    if asked is None:
        return None
    if sender is not None and sender.cluster_addresses:
        asked = asked._replace(source=int(sender.cluster_addresses[0]))
    known = trace.trackers.get(sending.node, NOTHING_TRACKED).talks.get(asked)
    make = IPv4Address if asked.eth_type == fields.ETH_IPV4 else IPv6Address
    return None if known is None else Target(make(known.answer.source), known.answer.source_port)


def as_chosen(snapshot: Snapshot, sending: Sending, trace: Trace) -> Choice:
    """What the switch chose among the endpoints, if it may be chosen."""
    chosen = endpoint_of(snapshot, sending, trace)
    return lambda options: chosen if chosen in options else min(options)


def fabric_of(snapshot: Snapshot) -> Fabric:
    tables = compile_all(snapshot)
    assert all(table.conflicts == () for table in tables.values())
    return Fabric(snapshot, tables)


@given(st.data())
@settings(max_examples=200)
def test_every_packet_fares_as_specified(data: st.DataObject) -> None:
    snapshot = data.draw(snapshots())
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot), min_size=10, max_size=20)):
        trace = fabric.carry(sending.node, sending.at_switch(snapshot))
        wanted = may(snapshot, sending.packet, sending.ingress, choose=as_chosen(snapshot, sending, trace))
        assert seen(trace.outcome) == wanted, (sending, trace.steps)
        if not isinstance(wanted, Dropped):
            assert trace.packet.get(IP_DSCP) == dscp(snapshot, sending.packet, sending.ingress)
        copied = tuple(sorted(copy.port for copy in trace.copies if isinstance(copy, Delivered)))
        assert copied == copies(snapshot, sending.packet, sending.ingress, trace.outcome)
        assert len(copied) == len(trace.copies)


@given(st.data())
@settings(max_examples=100)
def test_tun0_lets_in_answers_to_pods_and_nothing_else_from_outside(data: st.DataObject) -> None:
    snapshot = data.draw(snapshots(nodes=2))
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot, ("port",)), min_size=3, max_size=10)):
        there = fabric.carry(sending.node, sending.at_switch(snapshot))
        left = isinstance(there.outcome, Sent) and there.outcome.where is not Where.NODE
        began = left and begins(sending.packet)  # answers and errors begin nothing
        back = answer(there.packet)
        sender = _sender(snapshot, sending)
        said = ()
        if sender is not None and is_believed(sender, sending.packet):
            said = (Said(sender.key, sending.packet, endpoint_of(snapshot, sending, there)),)
        for node in snapshot.nodes:
            for packet, fits in ((back, node == there.outcome.node), (_from_another_port(back), False)):
                here = FromNode(node, is_answer=began and fits)
                trace = fabric.carry(node, arriving(packet, TUN_OFPORT), there.trackers)
                assert seen(trace.outcome) == may(snapshot, packet, here, said), (sending, here, trace.steps)


def _from_another_port(packet: Packet) -> Packet:
    """Return a packet of the same ends and protocol that belongs to no connection."""
    for name in ("tcp_dst", "udp_dst", "sctp_dst"):
        number = packet.get(fields.BY_NAME[name])
        if number is not None:
            return packet.update(**{name: number ^ 1})
    other = {"icmpv4_type": 13} if packet.get(IPV4_SRC) is not None else {"icmpv6_type": 200}
    return replace(packet.update(**other), quoted=None)


# --- conversations -------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=200)
def test_who_answers_and_who_begins_is_told_apart(data: st.DataObject) -> None:
    """Packets of pods and tunnels in a row, among them answers and errors to those that were sent before."""
    snapshot = data.draw(snapshots(nodes=2))
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    trackers: Map[str, Tracker] = Map()
    said: list[Said] = []
    replies: list[Sending] = []
    for _ in range(data.draw(st.integers(6, 16))):
        sending = data.draw(_next_sending(snapshot, replies))
        trace = fabric.carry(sending.node, sending.at_switch(snapshot), trackers)
        wanted = may(snapshot, sending.packet, sending.ingress, said, as_chosen(snapshot, sending, trace))
        assert seen(trace.outcome) == wanted, (sending, trace.steps)
        trackers = trace.trackers
        sender = _sender(snapshot, sending)
        if sender is not None and is_believed(sender, sending.packet):
            said.append(Said(sender.key, sending.packet, endpoint_of(snapshot, sending, trace)))
            replies.extend(_replies(snapshot, sender, sending.packet, trace))


@st.composite
def _next_sending(draw: st.DrawFn, snapshot: Snapshot, replies: list[Sending]) -> Sending:
    """Draw an answer to something said before, or something new."""
    if replies and not once_in(draw, 3):
        return pick(draw, replies)
    return draw(sendings(snapshot, (*["port"] * 8, "tunnel")))


def _sender(snapshot: Snapshot, sending: Sending) -> Port | None:
    if not isinstance(sending.ingress, FromPort):
        return None
    key = snapshot.port_by_ofport.get((sending.ingress.node, sending.ingress.ofport))
    return None if key is None else snapshot.ports[key]


def _replies(snapshot: Snapshot, sender: Port, packet: Packet, trace: Trace) -> list[Sending]:
    """Return what whoever was meant may send back, though it did not get the packet: answers, and an error."""
    meant = [port for port in snapshot.ports.values() if port != sender and _is_meant(port, trace.packet)]
    sendings_ = []
    for port in [port for port in meant if port.ofport is not None][:2]:
        kind = family_of(packet)
        own, known = (of_family(each, kind) for each in (port.addresses, known_as(sender, port, snapshot)))
        if own is None or known is None:
            continue
        got = packet.set(kind.destination, int(own)).set(kind.source, int(known))
        if trace.outcome == Delivered(port.node, port.key):
            got = arriving(trace.packet, 0)
        back = answer(got).set(ETH_SRC, port.mac)
        assert port.ofport is not None
        ingress = FromPort(port.node, port.ofport)
        sendings_ += [Sending(ingress, each) for each in (back, _from_another_port(back), failure(got, port))]
    return sendings_ + _from_outside(trace)


def _from_outside(trace: Trace) -> list[Sending]:
    """Return what comes back to the address by which a packet left: an answer, an error, and what is neither."""
    if not isinstance(trace.outcome, Sent) or trace.outcome.source is None:
        return []
    got, here = arriving(trace.packet, 0), FromNode(trace.outcome.node)
    router = Ends(IPv4Address("198.51.100.1"), trace.outcome.source)
    backs = (answer(got), _from_another_port(answer(got)), icmp(router, ICMP_UNREACHABLE, 3, got))
    return [Sending(here, packet) for packet in backs]


def _is_meant(port: Port, packet: Packet) -> bool:
    there = packet.get(family_of(packet).destination)
    return any(there == int(address) for _, address in places(port) if address.version == family_of(packet).version)


def family_of(packet: Packet) -> Family:
    """Return the family of a packet's addresses."""
    return fields.IPV6 if packet.get(fields.ETH_TYPE) == fields.ETH_IPV6 else fields.IPV4


def of_family(addresses: tuple[Address, ...], kind: Family) -> Address | None:
    """Return the first address of a family."""
    return next((address for address in addresses if address.version == kind.version), None)


def is_query(packet: Packet) -> bool:
    """Whether a packet asks something of somebody by IP, and no neighbour."""
    return packet.get(family_of(packet).source) is not None and begins(packet) and not is_discovery(packet)


@given(st.data())
@settings(max_examples=150)
def test_what_is_delivered_can_be_answered_and_both_see_one_conversation(data: st.DataObject) -> None:
    """The receiver sees the sender by an address that leads back; the sender gets the answer from whom it asked.

    And if the answer is an error, it quotes what the sender sent.
    """
    snapshot = data.draw(snapshots(nodes=2))
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot, ("port",)), min_size=5, max_size=10)):
        asked = fabric.carry(sending.node, sending.at_switch(snapshot))
        sender = _sender(snapshot, sending)
        if sender is None or not isinstance(asked.outcome, Delivered) or not is_query(sending.packet):
            continue
        kind = family_of(sending.packet)
        receiver = snapshot.ports[asked.outcome.port]
        got = asked.packet
        assert got.get(kind.destination) == int(of_family(receiver.addresses, kind) or 0)
        assert got.get(ETH_DST) == receiver.mac
        if receiver != sender:
            known = (*sender.cluster_addresses, *known_as(sender, receiver, snapshot))
            assert got.get(kind.source) in {int(each) for each in known if each.version == kind.version}
        back = answer(arriving(got, 0)).set(ETH_SRC, receiver.mac)
        assert receiver.ofport is not None
        answered = fabric.carry(receiver.node, arriving(back, receiver.ofport), asked.trackers)
        assert answered.outcome == Delivered(sender.node, sender.key), answered.steps
        wanted = answer(sending.packet)
        for field in set(wanted.values) - {ETH_SRC, ETH_DST}:
            assert answered.packet.get(field) == wanted.get(field)
        assert answered.packet.get(ETH_DST) == sender.mac
        refusal = failure(arriving(got, 0), receiver)
        refused = fabric.carry(receiver.node, arriving(refusal, receiver.ofport), asked.trackers)
        assert refused.outcome == Delivered(sender.node, sender.key), refused.steps
        assert refused.packet.get(kind.source) == sending.packet.get(kind.destination)
        assert refused.packet.quoted is not None
        for field in set(wanted.values) - {ETH_SRC, ETH_DST}:
            assert refused.packet.quoted.get(field) == sending.packet.get(field)


@given(st.data())
@settings(max_examples=150)
def test_a_node_gets_answers_and_refusals_from_whom_it_asked(data: st.DataObject) -> None:
    """By its tun0's address, as its kernel asks for others too: pods, services, and node ports.

    And by the addresses of those who come from outside by their own, who are led to endpoints here.
    """
    snapshot = data.draw(snapshots(nodes=2))
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot, ("node",)), min_size=5, max_size=10)):
        node = snapshot.nodes[sending.node]
        asked = fabric.carry(sending.node, sending.at_switch(snapshot))
        kind = family_of(sending.packet)
        by_gateway = sending.packet.get(kind.source) in {int(gateway) for gateway in node.gateways}
        if not (is_query(sending.packet) and isinstance(asked.outcome, Delivered)):
            continue
        receiver = snapshot.ports[asked.outcome.port]
        assert receiver.ofport is not None
        strange = sending.packet.get(kind.source) == int(STRANGERS[kind.version])
        from_outside = strange and receiver.node == node.name
        if not (by_gateway or from_outside):
            continue
        got = arriving(asked.packet, 0)
        back, refusal = answer(got).set(ETH_SRC, receiver.mac), failure(got, receiver)
        answered = fabric.carry(receiver.node, arriving(back, receiver.ofport), asked.trackers)
        refused = fabric.carry(receiver.node, arriving(refusal, receiver.ofport), asked.trackers)
        where = Where.NODE if by_gateway else Where.OUTSIDE
        assert answered.outcome == refused.outcome == Sent(node.name, where), (answered.steps, refused.steps)
        wanted = answer(sending.packet)
        for field in set(wanted.values) - {ETH_SRC, ETH_DST}:
            assert answered.packet.get(field) == wanted.get(field)
        assert answered.packet.get(ETH_DST) == refused.packet.get(ETH_DST) == node.mac
        assert refused.packet.get(kind.source) == sending.packet.get(kind.destination)
        assert refused.packet.quoted is not None
        for field in set(wanted.values) - {ETH_SRC, ETH_DST}:
            assert refused.packet.quoted.get(field) == sending.packet.get(field)
