"""The compiled flows do what the specification says: packets walked through the tables by the software switch."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.topology.strategies import answer, sendings, snapshots
from topology import fields
from topology.compiler import compile_all
from topology.model import TUN_OFPORT
from topology.outcome import Dropped, Outcome, Sent, Where
from topology.packet import Packet, arriving
from topology.snapshot import Snapshot
from topology.specification import FromNode, may
from topology.trace import Fabric


def seen(outcome: Outcome) -> Outcome:
    """Return an outcome without what only flows have: table and owner of a drop."""
    return Dropped(outcome.node) if isinstance(outcome, Dropped) else outcome


def fabric_of(snapshot: Snapshot) -> Fabric:
    tables = compile_all(snapshot)
    assert all(table.conflicts == () for table in tables.values())
    return Fabric(snapshot, tables)


@given(st.data())
@settings(max_examples=300)
def test_every_packet_fares_as_specified(data: st.DataObject) -> None:
    snapshot = data.draw(snapshots())
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot), min_size=10, max_size=20)):
        trace = fabric.carry(sending.node, sending.at_switch(snapshot))
        assert seen(trace.outcome) == may(snapshot, sending.packet, sending.ingress), (sending, trace.steps)


@given(st.data())
@settings(max_examples=150)
def test_tun0_lets_in_answers_to_pods_and_nothing_else_from_outside(data: st.DataObject) -> None:
    snapshot = data.draw(snapshots(nodes=2))
    assume(snapshot.nodes)
    fabric = fabric_of(snapshot)
    for sending in data.draw(st.lists(sendings(snapshot, ("port",)), min_size=3, max_size=10)):
        there = fabric.carry(sending.node, sending.at_switch(snapshot))
        left = isinstance(there.outcome, Sent) and there.outcome.where is not Where.NODE
        began = left and sending.packet.get(fields.BY_NAME["icmpv4_type"]) not in (3, 11)  # errors begin nothing
        back = answer(sending.packet)
        for node in snapshot.nodes:
            for packet, fits in ((back, node == sending.node), (_from_another_port(back), False)):
                here = FromNode(node, is_answer=began and fits)
                trace = fabric.carry(node, arriving(packet, TUN_OFPORT), there.trackers)
                assert seen(trace.outcome) == may(snapshot, packet, here), (sending, here, trace.steps)


def _from_another_port(packet: Packet) -> Packet:
    """Return a packet of the same ends and protocol that belongs to no connection."""
    for name in ("tcp_dst", "udp_dst", "sctp_dst"):
        number = packet.get(fields.BY_NAME[name])
        if number is not None:
            return packet.update(**{name: number ^ 1})
    return packet.update(icmpv4_type=13)
