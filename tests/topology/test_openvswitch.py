"""The software switch and Open vSwitch take the same packet through the same tables by the same flows, to the same end.

Open vSwitch tells its way by `ofproto/trace` (ovs-vswitchd(8)), on a private dummy bridge with the very flows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from immutables import Map

from tests.ryu_apps.openflow_switch import DummySwitch, running
from tests.topology.strategies import sendings, snapshots
from topology import fields
from topology import meters as metering
from topology.compiler import FlowTable, compile_node
from topology.fields import Field
from topology.flow import Flow, match_fields
from topology.model import ICMP_OFPORT, TUN_OFPORT, TUNNEL_OFPORTS
from topology.packet import Packet
from topology.pipeline import Table
from topology.switch import Switch
from topology.text import flow_text, group_text, match_text, meter_text
from topology.tracker import Look, Nat, Tracker

pytestmark = [pytest.mark.ovs, pytest.mark.timeout(300)]  # each of the networks is installed in Open vSwitch

BRIDGE = "br0"
POD_OFPORTS = range(3, 16)
STATES = {
    "trk,new": fields.CT_TRACKED | fields.CT_NEW,
    "trk,est": fields.CT_TRACKED | fields.CT_ESTABLISHED,
    "trk,est,dnat": fields.CT_TRACKED | fields.CT_ESTABLISHED | fields.CT_DESTINATION_CHANGED,
    "trk,new,dnat": fields.CT_TRACKED | fields.CT_NEW | fields.CT_DESTINATION_CHANGED,
    "trk,est,rpl": fields.CT_TRACKED | fields.CT_ESTABLISHED | fields.CT_REPLY,
    "trk,rel": fields.CT_TRACKED | fields.CT_RELATED,
    "trk,inv": fields.CT_TRACKED | fields.CT_INVALID,
}
MOST_TRACKED = 8  # times that a packet passes conntrack and goes on
# What ofproto/trace calls the fields of the packet in the end, and what of it we compare.
SHOWN = {fields.spec(field).ovs: field for field in fields.all_fields()}
IPV6_FIELDS = ("ipv6_src", "ipv6_dst", "nd_target")
COMPARED = (
    *(f"reg{number}" for number in range(7)),
    *("dl_src", "dl_dst", "nw_src", "nw_dst", "arp_op", "tun_dst", *IPV6_FIELDS, "nd_tll"),
)
# Of which ICMPv6 types neighbour discovery's fields are.
OF_DISCOVERY = {
    fields.ND_TARGET: (135, 136),
    fields.ND_SLL: (135,),
    fields.ND_TLL: (136,),
    fields.ND_RESERVED: (135, 136),
    fields.ND_OPTIONS_TYPE: (135, 136),
}


@dataclass(frozen=True)
class Told(Tracker):
    """A tracker that finds every packet in one state: that which Open vSwitch is told to assume.

    Like `ofproto/trace` it translates what is committed, and nothing that is only looked up.
    """

    state: int = 0
    begun: Map[int, tuple[Nat | None, int]] = Map()  # by zone

    def look_up(self, packet: Packet, zone: int) -> tuple[Look, Tracker]:
        nat, mark = self.begun.get(zone, (None, 0))
        return Look(self.state, mark, packet if nat is None else _translated(packet, nat)), self

    def commit(self, packet: Packet, zone: int, nat: Nat | None = None, mark: int = 0) -> Tracker:
        return replace(self, begun=self.begun.set(zone, (nat, mark)))


def _translated(packet: Packet, nat: Nat) -> Packet:
    protocol = next((each for each in fields.TRANSPORT.values() if each[0] == packet.get(fields.IP_PROTO)), None)
    kind = fields.IPV6 if packet.get(fields.ETH_TYPE) == fields.ETH_IPV6 else fields.IPV4
    packet = packet.set(kind.source if nat.is_source else kind.destination, nat.address)
    if protocol is None or not nat.port:
        return packet
    return packet.set(protocol[1] if nat.is_source else protocol[2], nat.port)


@dataclass(frozen=True)
class Seen:
    """What happened to a packet: tables with cookies, ports, and how it looked in the end if it got out itself."""

    steps: tuple[tuple[int, int], ...]
    ports: tuple[int, ...]
    fields: dict[str, int]
    vnid: int  # by the tunnel; 0 if not by it


@dataclass(frozen=True)
class Bridge:
    """A private Open vSwitch with a bridge; which ofport each port of the data path has."""

    switch: DummySwitch
    ofports: dict[int, int]


@pytest.fixture(scope="module")
def openvswitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Return a private Open vSwitch whose bridge has tunnel ports, tun0 and pods' ports, with their usual numbers."""
    for switch in running(tmp_path_factory.mktemp("ovs")):
        with switch.bridge(BRIDGE):
            options = [f"options:{name}=flow" for name in ("remote_ip", "local_ip", "key")]
            for kind, ofport in TUNNEL_OFPORTS.items():
                _add_port(switch, f"{kind}0", ofport, (f"type={kind}", *options))
            for number in (TUN_OFPORT, ICMP_OFPORT, *POD_OFPORTS):
                _add_port(switch, f"p{number}", number, ("type=dummy",))
            shown = re.findall(r" (\d+)/(\d+): ", switch.run("ovs-appctl", "dpif/show"))
            yield Bridge(switch, {int(there): int(ofport) for ofport, there in shown})


def _add_port(switch: DummySwitch, name: str, number: int, settings_: tuple[str, ...]) -> None:
    request = f"ofport_request={number}"
    switch.run(
        "ovs-vsctl", "--timeout=20", "add-port", BRIDGE, name, "--", "set", "interface", name, *settings_, request
    )
    assert switch.run("ovs-vsctl", "get", "interface", name, "ofport").strip() == str(number)


def first_choices(table: FlowTable) -> FlowTable:
    """Return a table whose groups have one bucket each: which one is chosen, every switch decides by itself."""
    sections = {
        key: tuple(entry._replace(flow=_first_choice(entry.flow)) for entry in entries)
        for key, entries in table.sections.items()
    }
    return replace(table, sections=Map(sections))


def _first_choice(flow: Flow) -> Flow:
    return flow._replace(groups=tuple(group._replace(buckets=group.buckets[:1]) for group in flow.groups))


def install(switch: DummySwitch, table: FlowTable) -> None:
    """Give the bridge exactly the flows of a table; where it would choose by a hash, `ofproto/trace` ends."""
    told = (group_text(group) for entry in table.entries() for group in entry.flow.groups)
    groups = [re.sub(r"weight:\d+,", "", re.sub(r"type=select.*?,bucket", "type=all,bucket", text)) for text in told]
    flows = [flow_text(entry.flow, cookie=entry.cookie) for entry in (*table.entries(), *table.sentinels())]
    switch.ofctl("del-flows", BRIDGE)
    switch.ofctl("del-groups", BRIDGE)
    switch.ofctl("del-meters", BRIDGE)
    for meter in metering.by_id(table.entries()).values():
        switch.ofctl("add-meter", BRIDGE, meter_text(meter))
    switch.ofctl("add-groups", BRIDGE, "-", text="\n".join(groups))
    switch.ofctl("--bundle add-flows", BRIDGE, "-", text="\n".join(flows))
    assert f"flow_count={len(flows)}" in switch.ofctl("dump-aggregate", BRIDGE)


def in_words(packet: Packet) -> str:
    """Return a packet as ofproto/trace wants it: there, "tp_src" is of TCP only."""
    words = match_text(match_fields(*_present(packet)))
    protocol = words.split(",")[0].removesuffix("6")
    return re.sub(r"\btp_", f"{protocol}_", words)


def _present(packet: Packet) -> Iterator[tuple[Field, int]]:
    """Yield the fields that a packet of its kind has."""
    kind = packet.get(fields.ICMPV6_TYPE)
    is_plain = packet.get(fields.ICMPV6_CODE) == 0
    for field, value in packet.values.items():
        if field not in OF_DISCOVERY or (kind in OF_DISCOVERY[field] and is_plain):
            yield field, value


def told_by_openvswitch(bridge: Bridge, packet: Packet, state: str) -> Seen:
    text = bridge.switch.run(
        "ovs-appctl", "ofproto/trace", BRIDGE, in_words(packet), *["--ct-next", state] * MOST_TRACKED
    )
    steps = re.findall(r"^ *(\d+)\. .*cookie 0x(\w+)$", text, re.M)
    last = text[text.rindex("\nFlow: ") if "\nFlow: " in text else 0 :]
    begun, ended = re.findall(r"^(?:Final f|F)low: (.*)$", last, re.M)
    sent = re.findall(r"^Datapath actions: (.*)$", text, re.M)
    moved = re.findall(r"NXM_NX_TUN_ID\[0\.\.23\] is now (0x\w+)", text)
    return Seen(
        tuple((int(table), int(cookie, 16)) for table, cookie in steps),
        tuple(bridge.ofports[port] for actions in sent for port in _outputs(actions)),
        _numbers(begun if ended == "unchanged" else ended),
        int(moved[-1], 16) if moved else 0,  # not told when it stays 0
    )


def _outputs(actions: str) -> Iterator[int]:
    """Yield the data path's ports of its actions: numbers outside of brackets."""
    while "(" in actions:
        actions = re.sub(r"\w*\([^()]*\)", "", actions)
    return (int(word) for word in actions.split(",") if word.isdigit())


def _numbers(flow: str) -> dict[str, int]:
    """Return fields that we compare, by Open vSwitch's names; registers that it leaves out are 0."""
    words = dict(word.split("=", 1) for word in flow.split(",") if "=" in word)
    return {name: _number(words.get(name, "0"), is_ipv6=name in IPV6_FIELDS) for name in COMPARED}


def _number(word: str, *, is_ipv6: bool) -> int:
    if is_ipv6 and ":" in word:
        return int(IPv6Address(word))
    if word.count(":") == 5:
        return int(word.replace(":", ""), 16)
    if word.count(".") == 3:
        return int.from_bytes(bytes(map(int, word.split("."))), "big")
    return int(word, 0)


def told_by_ours(table: FlowTable, packet: Packet, state: str) -> Seen:
    passage = Switch.of(table).process(packet, Told(state=STATES[state]))
    steps = tuple((step.table, step.entry.cookie) for step in passage.steps if step.entry is not None)
    assert all(step.entry is not None or step.table == Table.AFFINITY for step in passage.steps)
    sent = passage.outputs[-1].packet if passage.outputs else packet
    present = dict(_present(sent))
    numbers = {name: present.get(SHOWN[name], 0) for name in COMPARED} if passage.outputs else {}
    ports = tuple(output.port for output in (*passage.copies, *passage.outputs))
    by_tunnel = not {*TUNNEL_OFPORTS.values()}.isdisjoint(ports)
    return Seen(steps, ports, numbers, (sent.get(fields.TUNNEL_ID) or 0) if by_tunnel else 0)


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_same_way_same_end(openvswitch: Bridge, data: st.DataObject) -> None:
    snapshot = data.draw(snapshots())
    assume(snapshot.nodes)
    drawn = data.draw(st.lists(sendings(snapshot), min_size=20, max_size=20))
    node = max(sorted(snapshot.nodes), key=[sending.node for sending in drawn].count)
    table = first_choices(compile_node(node, snapshot))
    install(openvswitch.switch, table)
    for sending in drawn:
        if sending.node == node:
            state = data.draw(st.sampled_from(sorted(STATES)))
            packet = sending.at_switch(snapshot)
            check(told_by_openvswitch(openvswitch, packet, state), told_by_ours(table, packet, state), state)


def check(theirs: Seen, ours: Seen, state: str) -> None:
    assert ours.steps == theirs.steps
    assert sorted(ours.ports) == sorted(theirs.ports)
    assert ours.vnid == theirs.vnid
    # What is no new connection is not committed, and so not met from the hairpin address: `ofproto/trace` says it is.
    compared = set(COMPARED) - (set() if "new" in state else {"nw_src", "ipv6_src"})
    if ours.fields:  # of what is dropped in the end, a mirror may have had a copy
        assert {name: ours.fields[name] for name in compared} == {name: theirs.fields[name] for name in compared}
