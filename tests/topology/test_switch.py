"""The software switch by itself: look-up, actions, connection tracking, on tables of a few flows."""

from collections import Counter
from ipaddress import IPv4Address

import pytest
from immutables import Map

from topology import fields
from topology.compiler import FlowTable, SectionKey
from topology.fields import BY_NAME, CT_STATE, ETH_DST, ETH_SRC, REG0, REG1
from topology.flow import (
    DROP,
    IN_PORT_NUMBER,
    Action,
    Actions,
    Flow,
    Group,
    Match,
    Op,
    conntrack,
    copy,
    entries,
    goto,
    known_nat,
    load,
    match,
    nat_from,
    nat_to,
    output,
    output_field,
    select,
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
    related = fields.CT_TRACKED | fields.CT_RELATED | fields.CT_REPLY
    invalid = fields.CT_TRACKED | fields.CT_INVALID
    assert state_of(icmp(router, 3, 1, transport("UDP", ENDS, 53)), tracker) == related
    assert state_of(icmp(router, 3, 1, transport("UDP", ENDS, 54)), tracker) == invalid
    assert state_of(icmp(router, 3, 1), tracker) == invalid
    assert state_of(arp(ENDS), tracker) == invalid
    assert committed(arp(ENDS)) == Tracker()


SERVICE, ENDPOINT, CLIENT = (IPv4Address(each) for each in ("172.30.0.10", "10.128.0.3", "10.128.0.2"))
KNOWN = conntrack(2, table=Table.SERVICE_CONNECTIONS, nested=(known_nat(),))


def to_endpoint(address: IPv4Address) -> Action:
    return conntrack(2, commit=True, table=Table.OUTPUT, nested=(nat_to(address, 8080), load(fields.CT_MARK, 10)))


def balanced(*endpoints: IPv4Address) -> Switch:
    """A switch that sends what begins to one of the endpoints, and gives answers the service's address again."""
    group = Group(7, tuple((number, 1, (to_endpoint(each),)) for number, each in enumerate(endpoints, 1)))
    begins, known = (match(ct_state=(bits, bits)) for bits in (fields.IS_NEW, fields.IS_DNATTED))
    return switch(
        flow((KNOWN,)),
        flow((goto(Table.OUTPUT),), known, table=Table.SERVICE_CONNECTIONS, priority=2),
        flow((select(7),), begins, table=Table.SERVICE_CONNECTIONS)._replace(groups=(group,)),
        flow((output(9),), table=Table.OUTPUT),
    )


def test_a_connection_is_led_to_an_endpoint_and_answered_from_where_it_was_to_go() -> None:
    asked = transport("TCP", Ends(CLIENT, SERVICE), 80)
    there = balanced(ENDPOINT).process(arriving(asked, 5))
    (sent,) = there.outputs
    assert sent.packet.get(fields.IPV4_DST) == int(ENDPOINT)
    assert sent.packet.get(fields.BY_NAME["tcp_dst"]) == 8080
    assert sent.packet.get(fields.CT_MARK) == 10
    assert (sent.packet.get(fields.CT_STATE) or 0) & fields.IS_DNATTED == fields.IS_DNATTED
    replies = switch(flow((KNOWN,)), flow((output(9),), table=Table.SERVICE_CONNECTIONS))
    back = transport("TCP", Ends(ENDPOINT, CLIENT), 40000, 8080)
    (got,) = replies.process(arriving(back, 6), there.tracker).outputs
    assert got.packet.get(fields.IPV4_SRC) == int(SERVICE)
    assert got.packet.get(fields.BY_NAME["tcp_src"]) == 80
    error = icmp(Ends(IPv4Address("192.0.2.7"), CLIENT), 3, 4, sent.packet)
    (told,) = replies.process(arriving(error, 6), there.tracker).outputs
    assert told.packet.quoted is not None
    assert told.packet.quoted.get(fields.IPV4_DST) == int(SERVICE)
    assert told.packet.quoted.get(fields.BY_NAME["tcp_dst"]) == 80


def test_a_connection_stays_with_its_endpoint_whatever_becomes_of_the_others() -> None:
    others = [IPv4Address("10.128.2.0") + number for number in range(20)]
    asked = transport("UDP", Ends(CLIENT, SERVICE), 80)
    tracker = balanced(ENDPOINT).process(arriving(asked, 5)).tracker
    (again,) = balanced(*others).process(arriving(asked, 5), tracker).outputs
    assert again.packet.get(fields.IPV4_DST) == int(ENDPOINT)


def test_connections_are_spread_over_endpoints() -> None:
    endpoints = [IPv4Address("10.128.2.0") + number for number in range(4)]
    place, counts = balanced(*endpoints), Counter[int]()
    for number in range(400):
        (sent,) = place.process(arriving(transport("TCP", Ends(CLIENT, SERVICE), 80, 1024 + number), 5)).outputs
        counts[sent.packet.get(fields.IPV4_DST) or 0] += 1
    assert set(counts) == {int(each) for each in endpoints}
    assert min(counts.values()) > 60


def test_a_source_is_exchanged_and_gets_another_port_where_its_own_is_taken() -> None:
    other = IPv4Address("10.128.0.9")
    hide = conntrack(3, commit=True, table=Table.OUTPUT, nested=(nat_from(IPv4Address("169.254.42.1")),))
    place = switch(flow((hide,)), flow((output(9),), table=Table.OUTPUT))
    first = place.process(arriving(transport("TCP", Ends(CLIENT, ENDPOINT), 80), 5))
    second = place.process(arriving(transport("TCP", Ends(other, ENDPOINT), 80), 5), first.tracker)
    sources = [each.outputs[0].packet.get(fields.IPV4_SRC) for each in (first, second)]
    ports = [each.outputs[0].packet.get(fields.BY_NAME["tcp_src"]) for each in (first, second)]
    assert sources == [int(IPv4Address("169.254.42.1"))] * 2
    assert ports == [40000, 40001]


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
