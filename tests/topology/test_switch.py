"""The software switch by itself: look-up, actions, connection tracking, on tables of a few flows."""

from ipaddress import IPv4Address

import pytest
from immutables import Map

from topology import fields
from topology.compiler import FlowTable, SectionKey
from topology.fields import BY_NAME, CT_STATE, ETH_DST, ETH_SRC, REG0, REG1
from topology.flow import (
    DROP,
    IN_PORT_NUMBER,
    Actions,
    Flow,
    Match,
    Op,
    conntrack,
    copy,
    entries,
    load,
    match,
    output,
    output_field,
)
from topology.packet import Ends, Packet, arp, arriving, icmp, transport, tunnelled
from topology.pipeline import Table
from topology.switch import AmbiguousError, Switch
from topology.tracker import Tracker

OWNER = SectionKey(1, ("all",))
ENDS = Ends(IPv4Address("10.128.0.2"), IPv4Address("10.128.0.3"))
SYN = arriving(transport("TCP", ENDS, 80), 5)


def switch(*flows: Flow) -> Switch:
    """Return a switch with some flows, all of one section."""
    section = entries(1, 0, flows)
    return Switch.of(FlowTable(Map({OWNER: section}), Map({entry.flow.key: OWNER for entry in section})))


def flow(actions: Actions, terms: Match = (), *, table: int = 0, priority: int = 1) -> Flow:
    return Flow(int(table), priority, terms, actions)


def ports(flows: list[Flow], packet: Packet = SYN) -> list[int]:
    """Return the ports that a packet leaves by."""
    return [sent.port for sent in switch(*flows).process(packet).outputs]


def test_the_highest_priority_wins() -> None:
    assert ports([flow((output(7),)), flow((output(8),), priority=2), flow((output(9),), priority=1, table=1)]) == [8]


def test_a_mask_selects_bits() -> None:
    near = match(eth_type=0x800, ipv4_dst=(int(IPv4Address("10.128.0.0")), 0xFFFFFF00))
    far = match(eth_type=0x800, ipv4_dst=(int(IPv4Address("10.128.1.0")), 0xFFFFFF00))
    assert ports([flow((output(7),), near), flow((output(8),), far)]) == [7]


def test_equal_priorities_must_agree() -> None:
    both = [flow((output(7),), match(eth_type=0x800)), flow((output(8),), match(in_port=5))]
    with pytest.raises(AmbiguousError, match="table 0, priority 1"):
        switch(*both).process(SYN)
    same = [flow((output(7),), match(eth_type=0x800)), flow((output(7),), match(in_port=5))]
    assert ports(same) == [7]
    assert ports([*both, flow((output(9),), priority=2)]) == [9]


def test_a_field_that_the_packet_does_not_have_does_not_match() -> None:
    zero = match(eth_type=0x800, ip_proto=17, udp_dst=(0, 0))
    assert ports([flow((output(7),), zero)]) == []
    assert ports([flow((output(7),), match(udp_dst=(0, 1)))]) == []
    assert ports([flow((output(7),), match(reg0=0))]) == [7]


def test_no_flow_is_a_drop_without_owner() -> None:
    passage = switch(flow((output(1),), match(in_port=6))).process(SYN)
    assert passage.outputs == ()
    assert [(step.table, step.entry, step.owner) for step in passage.steps] == [(0, None, None)]


def test_a_drop_names_its_flow_and_owner() -> None:
    passage = switch(flow(((Op.GOTO, 4),)), flow(DROP, table=4)).process(SYN)
    assert passage.outputs == ()
    assert [step.table for step in passage.steps] == [0, 4]
    assert passage.steps[-1].owner == OWNER
    assert passage.steps[-1].entry is not None
    assert passage.steps[-1].entry.flow.table == 4


def test_set_writes_masked_bits() -> None:
    actions = (load(REG0, 0xABCD), load(REG0, 0x1200, 0xFF00), load(ETH_DST, 1, 1), output(7))
    sent = switch(flow(actions)).process(SYN).outputs[0].packet
    assert sent.get(REG0) == 0x12CD
    assert sent.get(ETH_DST) == (SYN.get(ETH_DST) or 0) | 1


def test_copy_moves_bits() -> None:
    actions = (
        load(REG0, 0x12345678),
        copy(REG0, REG1, 8, from_bit=8, to_bit=16),
        copy(ETH_SRC, ETH_DST, 48),
        output(7),
    )
    sent = switch(flow(actions)).process(SYN).outputs[0].packet
    assert sent.get(REG1) == 0x560000
    assert sent.get(ETH_DST) == SYN.get(ETH_SRC)


def test_output_is_never_to_the_input_port_unless_asked() -> None:
    assert ports([flow((output(5),))]) == []
    assert ports([flow((output(IN_PORT_NUMBER),))]) == [5]
    assert ports([flow((load(REG0, 9), output_field(REG0)))]) == [9]
    assert ports([flow((load(REG0, 5), output_field(REG0)))]) == []
    assert ports([flow((output_field(REG0),))]) == []


def test_an_output_sees_what_was_done_before_it() -> None:
    actions = (output(7), load(REG0, 1), output(8))
    sent = switch(flow(actions)).process(SYN).outputs
    assert [(each.port, each.packet.get(REG0)) for each in sent] == [(7, 0), (8, 1)]


def test_resubmit_comes_back() -> None:
    flows = [flow(((Op.RESUBMIT, 3), output(7))), flow((load(REG0, 1), output(8)), table=3)]
    sent = switch(*flows).process(SYN).outputs
    assert [(each.port, each.packet.get(REG0)) for each in sent] == [(8, 1), (7, 1)]


def test_a_loop_ends() -> None:
    with pytest.raises(RecursionError):
        switch(flow(((Op.RESUBMIT, 0),))).process(SYN)


def test_an_unknown_action_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not know action"):
        switch(flow(((Op.GROUP, 1),))).process(SYN)


# --- connection tracking -------------------------------------------------------------------------

TRACK = [
    flow((conntrack(1, commit=True), output(7)), match(in_port=5)),
    flow((conntrack(1, table=Table.NODE_REPLIES), output(9)), priority=0),
    flow((output_field(CT_STATE),), table=Table.NODE_REPLIES),
]


def state_of(packet: Packet, tracker: Tracker) -> int:
    """Return the ct_state that a packet from port 6 has, told by the port it leaves by; the original goes on too."""
    passage = switch(*TRACK).process(arriving(packet, 6), tracker)
    state, original = passage.outputs
    assert (original.port, original.packet.get(CT_STATE)) == (9, 0)
    return state.port


def reply_to(protocol: str, port: int = 80, source_port: int = 40000) -> Packet:
    return transport(protocol, Ends(ENDS.destination, ENDS.source), source_port, port)


def committed(packet: Packet) -> Tracker:
    return switch(*TRACK).process(arriving(packet, 5)).tracker


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_replies_are_known_and_nothing_else(protocol: str) -> None:
    query = transport(protocol, ENDS, 80)
    tracker = committed(query)
    new, reply = fields.CT_TRACKED | fields.CT_NEW, fields.CT_TRACKED | fields.CT_ESTABLISHED | fields.CT_REPLY
    assert state_of(query, Tracker()) == new
    assert state_of(query, tracker) == new  # until a reply was seen
    assert state_of(reply_to(protocol), tracker) == reply
    assert state_of(reply_to(protocol, port=81), tracker) == new
    other = next(name for name in fields.TRANSPORT if name != protocol)
    assert state_of(reply_to(other), tracker) == new
    answered = switch(*TRACK).process(arriving(reply_to(protocol), 6), tracker).tracker
    assert state_of(query, answered) == fields.CT_TRACKED | fields.CT_ESTABLISHED


def test_a_commit_of_the_reply_changes_nothing() -> None:
    tracker = committed(transport("TCP", ENDS, 80))
    answered = switch(*TRACK).process(arriving(reply_to("TCP"), 5), tracker).tracker
    assert set(answered.talks) == set(tracker.talks)


def test_ping_and_its_answer() -> None:
    tracker = committed(icmp(ENDS))
    back = Ends(ENDS.destination, ENDS.source)
    assert state_of(icmp(back, 0), tracker) & fields.CT_REPLY
    assert state_of(icmp(back), tracker) == fields.CT_TRACKED | fields.CT_NEW
    assert state_of(icmp(back, 13), tracker) == fields.CT_TRACKED | fields.CT_NEW


def test_errors_belong_to_what_they_quote() -> None:
    tracker = committed(transport("UDP", ENDS, 53))
    router = Ends(IPv4Address("198.51.100.1"), ENDS.source)
    related, invalid = fields.CT_TRACKED | fields.CT_RELATED, fields.CT_TRACKED | fields.CT_INVALID
    assert state_of(icmp(router, 3, 1, transport("UDP", ENDS, 53)), tracker) == related
    assert state_of(icmp(router, 3, 1, transport("UDP", ENDS, 54)), tracker) == invalid
    assert state_of(icmp(router, 3, 1), tracker) == invalid
    assert state_of(arp(ENDS), tracker) == invalid
    assert committed(arp(ENDS)) == Tracker()


def test_zones_are_apart() -> None:
    tracker = committed(transport("TCP", ENDS, 80))
    elsewhere = [flow((conntrack(2, table=Table.NODE_REPLIES),)), flow((output_field(CT_STATE),), table=25)]
    sent = switch(*elsewhere).process(arriving(reply_to("TCP"), 6), tracker).outputs
    assert [each.port for each in sent] == [fields.CT_TRACKED | fields.CT_NEW]


def test_ct_clear_forgets_the_state() -> None:
    flows = [
        flow((conntrack(1, table=Table.NODE_REPLIES),)),
        flow(((Op.CT_CLEAR,), load(REG0, 7), output_field(REG0)), table=Table.NODE_REPLIES),
    ]
    sent = switch(*flows).process(SYN).outputs
    assert [each.packet.get(CT_STATE) for each in sent] == [0]


# --- packets -------------------------------------------------------------------------------------


def test_a_packet_from_a_tunnel_has_its_outer_addresses_and_nothing_of_the_other_switch() -> None:
    vteps = IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")
    packet = tunnelled(SYN.update(reg0=9, ct_state=1), 10, *vteps)
    assert packet.get(fields.IN_PORT) == 1
    assert packet.get(fields.TUNNEL_ID) == 10
    assert packet.get(fields.TUN_IPV4_SRC) == int(vteps[0])
    assert packet.get(fields.TUN_IPV4_DST) == int(vteps[1])
    assert packet.get(REG0) == packet.get(CT_STATE) == 0
    assert packet.get(BY_NAME["tcp_dst"]) == 80
    assert packet.get(BY_NAME["udp_dst"]) is None


def test_an_arp_request_goes_to_all_and_a_reply_to_one() -> None:
    assert arp(ENDS).get(ETH_DST) == 0xFFFFFFFFFFFF
    assert arp(ENDS).get(fields.ARP_THA) == 0
    assert arp(ENDS, 2).get(ETH_DST) == arp(ENDS, 2).get(fields.ARP_THA) == 0x0A580A800003
