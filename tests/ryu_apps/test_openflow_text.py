"""Open vSwitch's own tool reads our text as what our bytes say."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow.encode import Encoder, delete_everything
from tests.ryu_apps.openflow_network import small_table
from tests.ryu_apps.openflow_switch import Connection, DummySwitch, running
from tests.ryu_apps.openflow_valid import valid_flows
from topology import fields
from topology.compiler import Delta
from topology.flow import DROP, NO_TABLE, Action, Entry, Flow, Op, copy, entries, goto, learn, load, match, output
from topology.groups import by_id, changes
from topology.pipeline import Table
from topology.text import actions_text, flow_text, match_text

REG = fields.BY_NAME
IPV6_FIELDS = {"tun_ipv6_src", "tun_ipv6_dst", "ipv6_src", "ipv6_dst", "nd_target"}


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    yield from running(tmp_path_factory.mktemp("ovs"))


@pytest.fixture(scope="module")
def by_text(switch: DummySwitch) -> Iterator[Connection]:
    with switch.bridge("text"), switch.connect("text") as connection:
        yield connection


@pytest.fixture(scope="module")
def by_bytes(switch: DummySwitch) -> Iterator[Connection]:
    with switch.bridge("bytes"), switch.connect("bytes") as connection:
        yield connection


def equal_on_both(switch: DummySwitch, by_text: Connection, by_bytes: Connection, sent: tuple[Entry, ...]) -> None:
    groups = changes({}, by_id(sent))
    for connection in (by_text, by_bytes):
        assert connection.commit(delete_everything()) == []
        assert connection.commit(Encoder().bundle(Delta((), (), groups))) == []
    assert by_bytes.commit(Encoder().bundle(Delta(sent, ()))) == []
    lines = "".join(f"{flow_text(entry.flow, cookie=entry.cookie)}\n" for entry in sent)
    switch.ofctl("--bundle add-flows", "text", "-", text=lines)
    assert set(by_text.flows()) == set(by_bytes.flows())
    assert len(by_bytes.flows()) == len(sent)


def is_readable(flow: Flow) -> bool:
    """ovs-ofctl 3.1 takes an IPv6 mask that begins with a decimal digit for the length of a prefix, and refuses it."""
    set_terms = [action[1:] for action in flow.actions if action[0] == Op.SET]
    masks = [mask for field, _, mask in (*flow.match, *set_terms) if fields.spec(field).ovs in IPV6_FIELDS]
    return not any(str(IPv6Address(mask))[0].isdecimal() for mask in masks)


@pytest.mark.ovs
@given(st.lists(valid_flows().filter(is_readable), max_size=20, unique_by=lambda flow: flow.key))
def test_ovs_ofctl_reads_what_we_mean(
    switch: DummySwitch, by_text: Connection, by_bytes: Connection, flows: list[Flow]
) -> None:
    equal_on_both(switch, by_text, by_bytes, entries(3, 2, flows))


@pytest.mark.ovs
def test_ovs_ofctl_reads_every_compiled_flow_as_we_mean_it(
    switch: DummySwitch, by_text: Connection, by_bytes: Connection
) -> None:
    table = small_table()
    sent = (*table.entries(), *table.sentinels())
    assert len(sent) > 100
    equal_on_both(switch, by_text, by_bytes, sent)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ((), ""),
        (match(in_port=0xFFFFFFFE), "in_port=LOCAL"),
        (match(eth_type=0x800, ipv4_dst=(0x0A800000, 0xFFFC0000), reg3=0), "ip,reg3=0x0,nw_dst=10.128.0.0/14"),
        (match(eth_type=0x800, ipv4_dst=(5, 0xFF0000FF)), "ip,nw_dst=0.0.0.5/255.0.0.255"),
        (match(eth_type=0x800, ipv4_dst=(0, 0)), "ip"),
        (match(eth_type=0x86DD, ip_proto=6, tcp_dst=80), "tcp6,tp_dst=80"),
        (match(eth_type=0x86DD, ipv6_src=(0xFD << 120, 0xFF << 120)), "ipv6,ipv6_src=fd00::/8"),
        (match(eth_type=0x800, ip_proto=89), "ip,nw_proto=89"),
        (match(eth_type=0x88CC), "dl_type=0x88cc"),
        (match(eth_dst=(1 << 40, 1 << 40)), "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"),
        (match(ct_state=(0x22, 0x23), ct_zone=5), "ct_state=-new+est+trk,ct_zone=5"),
        (match(ct_state=(0x120, 0x120)), "ct_state=0x120/0x120"),
        (match(eth_type=0x806, arp_op=1, arp_spa=0x0A800002), "arp,arp_op=1,arp_spa=10.128.0.2"),
    ],
)
def test_matches_in_words(terms: tuple[tuple[fields.Field, int, int], ...], text: str) -> None:
    assert match_text(terms) == text


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        (DROP, "drop"),
        ((load(REG["reg0"], 10), goto(Table.SERVICES)), "set_field:0xa->reg0,goto_table:40"),
        ((load(REG["ipv4_dst"], 0x0A000000, 0xFF000000),), "set_field:10.0.0.0/8->nw_dst"),
        ((load(REG["udp_dst"], 53),), "set_field:53->udp_dst"),
        ((copy(REG["tunnel_id"], REG["reg0"], 24),), "move:tun_id[0..23]->reg0[0..23]"),
        ((copy(REG["reg1"], REG["reg0"], 1, from_bit=3),), "move:reg1[3]->reg0[0]"),
        ((output(3), output(0xFFFFFFF8)), "output:3,IN_PORT"),
        (((Op.OUTPUT_FIELD, REG["reg2"]),), "output:reg2[]"),
        (((Op.CT, 0, 0, NO_TABLE, ()),), "ct"),
        (((Op.CT, 1, 5, 40, ((Op.NAT, 1, 4, 5, 5, 80, 80),)),), "ct(commit,zone=5,table=40,nat(dst=0.0.0.5:80))"),
        (((Op.CT, 1, 5, 40, ((Op.NAT, 0, 6, 5, 9, 0, 0),)),), "ct(commit,zone=5,table=40,nat(src=[::5]-[::9]))"),
        (((Op.CT, 0, 5, 40, ((Op.NAT, 2, 0, 0, 0, 0, 0),)),), "ct(zone=5,table=40,nat)"),
        (((Op.CT, 1, 0, 255, ((Op.NAT, 0, 0, 0, 0, 0, 0),)),), "ct(commit,nat(src))"),
        (((Op.RESUBMIT, 5), (Op.DEC_TTL,), (Op.CT_CLEAR,)), "resubmit(,5),dec_ttl,ct_clear"),
        (
            (learn(Table.AFFINITY, 9, [REG["ipv4_src"]], match(eth_type=0x800), [REG["reg4"]]),),
            "learn(table=105,idle_timeout=9,priority=100,cookie=0xfe00000000000000,dl_type=0x800,nw_src[],load:reg4[]->reg4[])",
        ),
        (((Op.NO_IN_PORT,), (Op.GROUP, 7), (Op.METER, 8)), "set_field:0->in_port,group:7,meter:8"),
        (((Op.CONJUNCTION, 7, 0, 2),), "conjunction(7,1/2)"),
    ],
)
def test_actions_in_words(actions: tuple[Action, ...], text: str) -> None:
    assert actions_text(actions) == text


def test_tables_are_named_for_people() -> None:
    flow = Flow(Table.POD_INGRESS, 100, match(in_port=3), (goto(Table.SERVICES),))
    assert flow_text(flow, cookie=0x12, names=True) == (
        "cookie=0x12,table=30(POD_INGRESS),priority=100,in_port=3 actions=goto_table:40(SERVICES)"
    )
    assert flow_text(Flow(7, 1, (), DROP), names=True) == "table=7,priority=1 actions=drop"
