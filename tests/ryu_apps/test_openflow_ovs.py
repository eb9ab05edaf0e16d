"""A real Open vSwitch takes our bytes, and what it gives back is what we sent."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow import decode, messages, wire
from ryu_apps.openflow.encode import Encoder, delete_everything
from ryu_apps.openflow.meters import delete_meters
from ryu_apps.openflow.wire import MessageType
from tests.ryu_apps.openflow_network import small_table
from tests.ryu_apps.openflow_switch import Connection, DummySwitch, running
from tests.ryu_apps.openflow_valid import valid_flows
from topology import fields
from topology.compiler import Delta, FlowTable, diff
from topology.flow import (
    DIGEST_MASK,
    Actions,
    Entry,
    Flow,
    Group,
    Meter,
    Op,
    entries,
    goto,
    load,
    match,
    metered,
    output,
    owner_class,
    sentinel,
)
from topology.groups import BucketChange, GroupChanges, by_id, changes
from topology.meters import MeterChanges
from topology.pipeline import FeatureId, Table

pytestmark = pytest.mark.ovs

BRIDGE = "br0"


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    yield from running(tmp_path_factory.mktemp("ovs"))


@pytest.fixture(scope="module")
def bridge(switch: DummySwitch) -> Iterator[str]:
    with switch.bridge(BRIDGE) as bridge:
        yield bridge


@pytest.fixture
def connection(switch: DummySwitch, bridge: str) -> Iterator[Connection]:
    with switch.connect(bridge) as connection:
        assert connection.commit(delete_everything()) == []
        yield connection


@pytest.fixture(scope="module")
def lasting(switch: DummySwitch, bridge: str) -> Iterator[Connection]:
    with switch.connect(bridge) as connection:
        yield connection


def on_switch(connection: Connection) -> set[Entry]:
    flows = connection.flows()
    found = {Entry(flow.cookie, Flow(flow.table, flow.priority, flow.match, flow.actions)) for flow in flows}
    assert len(found) == len(flows)
    return found


def commit(connection: Connection, *sent: Entry, deletes: tuple[int, ...] = ()) -> None:
    assert connection.commit(Encoder().bundle(Delta(sent, deletes, changes({}, by_id(sent))))) == []


def flows_of(table: FlowTable) -> set[Entry]:
    """The flows as a switch tells them: of groups it tells by themselves."""
    return {Entry(entry.cookie, entry.flow._replace(groups=())) for entry in table.entries()}


def entry(cookie: int, actions: Actions = (), table: int = 10, **terms: int) -> Entry:
    return Entry(cookie, Flow(table, 5, match(**terms), actions))


MISSING_GROUP = entry(0xBAD, ((Op.GROUP, 4711),), in_port=9)
# Open vSwitch refuses it when it reads it: IPv4 addresses are for IPv4 packets.
UNREADABLE = entry(0xBAD, (load(fields.IPV4_SRC, 1),), in_port=9)


# --- flows -------------------------------------------------------------------------------------------


@given(st.lists(valid_flows(), max_size=20, unique_by=lambda flow: flow.key))
def test_what_ovs_gives_back_is_what_we_sent(lasting: Connection, flows: list[Flow]) -> None:
    sent = entries(3, 2, flows)
    assert lasting.commit(delete_everything()) == []
    commit(lasting, *sent)
    assert on_switch(lasting) == set(sent)


def test_a_compiled_table_arrives_whole_and_goes_whole(connection: Connection) -> None:
    table = small_table()
    wanted = {*flows_of(table), *table.sentinels()}
    commit(connection, *diff(FlowTable(), table).adds)
    assert on_switch(connection) == wanted
    assert {group.group_id: group for group in described(connection)} == by_id(table.entries())
    back = diff(table, FlowTable())
    assert connection.commit(Encoder().bundle(back)) == []
    assert described(connection) == []
    assert {one.cookie & DIGEST_MASK for one in on_switch(connection)} <= {0}


def test_a_change_of_a_compiled_table_is_a_change_on_the_switch(connection: Connection) -> None:
    before, after = small_table(4), small_table(6)
    encoder = Encoder()
    for old, new in ((FlowTable(), before), (before, after), (after, before)):
        assert connection.commit(encoder.bundle(diff(old, new))) == []
        assert on_switch(connection) >= flows_of(new)
        assert {group.group_id: group for group in described(connection)} == by_id(new.entries())
        assert len(connection.flows()) == len([*new.entries()]) + len(connection.flows(Table.SENTINELS))


def test_many_flows_are_read_in_many_parts(connection: Connection) -> None:
    sent = [entry(number, (output(1),), reg0=number) for number in range(1, 3001)]
    commit(connection, *sent)
    parts = connection.multipart(messages.flow_desc_request(7))
    assert len(parts) > 1
    assert {flow.cookie for part in parts for flow in decode.flow_stats(part)} == {one.cookie for one in sent}


def test_flows_are_asked_for_by_table_and_by_owner(connection: Connection) -> None:
    one, other, third = entry(0x0701 << 48 | 1, in_port=1), entry(0x0702 << 48 | 1, in_port=2), entry(3, table=20)
    commit(connection, one, other, third)
    assert [flow.cookie for flow in connection.flows(20)] == [3]
    assert [flow.cookie for flow in connection.flows(cookie=0x0702 << 48, mask=0xFFFF << 48)] == [other.cookie]
    assert connection.flows(table=30) == []


def test_an_add_takes_the_place_of_the_flow_with_its_key(connection: Connection) -> None:
    old, new = entry(1, in_port=1), entry(2, (output(1),), in_port=1)
    commit(connection, old)
    commit(connection, new)
    assert on_switch(connection) == {new}


def test_a_deletion_takes_the_flow_with_this_cookie_only(connection: Connection) -> None:
    sent = [entry(1, in_port=1), entry(2, in_port=1, table=20), entry(1 << 63, in_port=2)]
    commit(connection, *sent)
    commit(connection, deletes=(2,))
    assert on_switch(connection) == {sent[0], sent[2]}
    commit(connection, deletes=(12345,))
    assert on_switch(connection) == {sent[0], sent[2]}


def test_sentinels_are_read_by_owner(connection: Connection) -> None:
    table = small_table()
    commit(connection, *table.entries(), *table.sentinels())
    parts = connection.multipart(messages.sentinel_request(3))
    found = {owner: total for part in parts for owner, total in decode.sentinels(part).items()}
    assert found == dict(table.sums)
    owner = owner_class(next(table.entries()).cookie)
    commit(connection, sentinel(owner, 5))
    assert decode.sentinels(connection.multipart(messages.sentinel_request(3))[0])[owner] == 5


def test_counters_are_read(switch: DummySwitch, bridge: str, connection: Connection) -> None:
    switch.run("ovs-vsctl", "--timeout=20", "add-port", bridge, "p1", "--", "set", "Interface", "p1", "type=dummy")
    number = int(switch.run("ovs-vsctl", "--timeout=20", "get", "Interface", "p1", "ofport"))
    commit(connection, entry(1, table=0, in_port=number), entry(2, table=0, in_port=number + 1))
    packet = "eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)"
    for _ in range(3):
        switch.run("ovs-appctl", "netdev-dummy/receive", "p1", f"in_port(1),{packet}")
    switch.run("ovs-appctl", "revalidator/purge")
    counted = {flow.cookie: (flow.packets, flow.bytes > 0) for flow in connection.flows()}
    assert counted == {1: (3, True), 2: (0, False)}


def test_flows_are_counted_by_table(connection: Connection) -> None:
    commit(connection, entry(1, table=10), entry(2, table=20), entry(3, table=20, in_port=1))
    counts: dict[int, int] = {}
    for part in connection.multipart(messages.table_stats_request(3)):
        counts.update(decode.flow_counts(part))
    assert {table: count for table, count in counts.items() if count} == {10: 1, 20: 2}


def test_a_meter_is_used(switch: DummySwitch, bridge: str, connection: Connection) -> None:
    switch.ofctl("add-meter", bridge, "meter=7,kbps,band=type=drop,rate=100")
    metered = entry(1, ((Op.METER, 7), output(1)), in_port=1)
    commit(connection, metered)
    assert on_switch(connection) == {metered}


# --- errors ------------------------------------------------------------------------------------------


def test_a_bundle_with_an_error_at_its_commit_changes_nothing(connection: Connection) -> None:
    kept, fresh = entry(1, in_port=1), entry(2, in_port=2)
    commit(connection, kept)
    refused, end = connection.commit(Encoder().bundle(Delta((fresh, MISSING_GROUP), (1,))))
    assert refused.about_flow == MISSING_GROUP.cookie
    assert refused.text == "BAD_ACTION/BAD_OUT_GROUP, about the flow whose cookie ends in 00000bad"
    assert end.ends_bundle
    assert on_switch(connection) == {kept}


def test_a_message_that_cannot_be_read_is_refused_and_the_rest_is_committed(connection: Connection) -> None:
    """Why an error within a bundle makes its sentinels invalid: the commit reply comes all the same."""
    fresh = entry(2, in_port=2)
    (refused,) = connection.commit(Encoder().bundle(Delta((fresh, UNREADABLE), ())))
    assert refused.about_flow == UNREADABLE.cookie
    assert not refused.ends_bundle
    assert on_switch(connection) == {fresh}


def test_a_barrier_tells_of_the_error_before_the_commit(connection: Connection) -> None:
    connection.send(Encoder().prepared(Delta((entry(2, in_port=2), UNREADABLE), ())))
    before, _ = connection.until(MessageType.BARRIER_REPLY, wire.BARRIER_XID)
    kinds = [decode.header(raw).kind for raw in before]
    assert kinds == [MessageType.BUNDLE_CONTROL, MessageType.ERROR]
    connection.send(messages.bundle_discard())
    _, reply = connection.until(MessageType.BUNDLE_CONTROL, wire.DISCARD_XID)
    assert decode.bundle_reply(reply).kind == wire.BundleControl.DISCARD_REPLY
    assert on_switch(connection) == set()


def test_a_prepared_bundle_is_committed_when_nothing_was_refused(connection: Connection) -> None:
    fresh = entry(2, in_port=2)
    connection.send(Encoder().prepared(Delta((fresh,), ())))
    before, _ = connection.until(MessageType.BARRIER_REPLY, wire.BARRIER_XID)
    assert [decode.bundle_reply(raw).kind for raw in before] == [wire.BundleControl.OPEN_REPLY]
    assert on_switch(connection) == set()
    connection.send(messages.bundle_commit())
    _, reply = connection.until(MessageType.BUNDLE_CONTROL, wire.COMMIT_XID)
    assert decode.bundle_reply(reply).committed
    assert on_switch(connection) == {fresh}


def test_the_id_is_free_again_after_a_commit_and_after_an_error(connection: Connection) -> None:
    for _ in range(3):
        assert len(connection.commit(Encoder().bundle(Delta((MISSING_GROUP,), ())))) == 2
        commit(connection, entry(2, in_port=2))


# --- meters ------------------------------------------------------------------------------------------


def held_meters(connection: Connection) -> list[Meter]:
    return sorted(
        meter for part in connection.multipart(messages.meter_desc_request(4)) for meter in decode.meters(part)
    )


def test_meters_are_made_changed_read_back_and_deleted(connection: Connection) -> None:
    slow, large = Meter(6, 1000, 1100), Meter(2 * 65279 + 1, 2**32 - 1, 2**30 - 1)
    user = Flow(0, 7, match(in_port=3), (metered(6), goto(Table.POD_INGRESS)), meters=(slow,))
    (fresh,) = entries(FeatureId.LIMITS, 0, (user,))
    assert connection.commit(Encoder().bundle(Delta((fresh,), (), meters=MeterChanges((slow, large))))) == []
    assert held_meters(connection) == [slow, large]
    assert on_switch(connection) == {fresh._replace(flow=user._replace(meters=()))}
    fast = slow._replace(rate=9000)
    assert connection.commit(Encoder().bundle(Delta((), (), meters=MeterChanges(changed=(fast,))))) == []
    assert held_meters(connection) == [fast, large]
    connection.send(delete_meters((large.meter_id, 4711)))
    assert held_meters(connection) == [fast]
    connection.send(delete_meters((6,)))
    assert held_meters(connection) == []
    assert on_switch(connection) == set()  # with its meter goes the flow


def test_what_is_wrong_with_a_meter_names_it(connection: Connection) -> None:
    meter = Meter(6, 1000, 1100)
    (error,) = connection.commit(Encoder().bundle(Delta((), (), meters=MeterChanges(changed=(meter,)))))
    assert (error.about_meter, error.about_flow, error.about_group) == (6, None, None)
    assert error.text.endswith("about meter 6")
    assert connection.commit(Encoder().bundle(Delta((), (), meters=MeterChanges((meter,))))) == []
    (error,) = connection.commit(Encoder().bundle(Delta((), (), meters=MeterChanges((meter,)))))
    assert error.about_meter == 6
    connection.send(delete_meters((6,)))


def test_a_meter_of_another_form_is_none_of_ours(connection: Connection, switch: DummySwitch) -> None:
    switch.ofctl("add-meter", BRIDGE, "meter=5,pktps,band=type=drop,rate=100")
    assert held_meters(connection) == [Meter(5, 0, 0)]
    switch.ofctl("del-meters", BRIDGE)


# --- groups ------------------------------------------------------------------------------------------


def described(connection: Connection) -> list[Group]:
    return [group for part in connection.multipart(messages.group_desc_request(4)) for group in decode.groups(part)]


def change(
    connection: Connection, *puts: Group, buckets: tuple[BucketChange, ...] = (), gone: int | None = None
) -> None:
    groups = GroupChanges(puts, buckets, () if gone is None else (gone,))
    assert connection.commit(Encoder().bundle(Delta((), (), groups))) == []


def bucket(number: int, weight: int = 100) -> tuple[int, int, Actions]:
    translate = (Op.CT, 1, 5, 70, ((Op.NAT, 1, 4, number, number, 8080, 8080), load(fields.BY_NAME["ct_mark"], 1)))
    return (number, weight, (load(fields.REG1, number), load(fields.ETH_DST, 7), translate))


def test_groups_are_made_changed_bucket_by_bucket_and_read(connection: Connection) -> None:
    change(connection, Group(7, (bucket(1), bucket(2, 50))), Group(8, (), is_lower=True))
    assert sorted(described(connection)) == [Group(7, (bucket(1), bucket(2, 50))), Group(8, (), is_lower=True)]
    change(connection, buckets=(BucketChange(7, (), (bucket(3), bucket(4))), BucketChange(8, (), (bucket(9),))))
    assert sorted(described(connection))[0] == Group(7, (bucket(1), bucket(2, 50), bucket(3), bucket(4)))
    change(connection, buckets=(BucketChange(7, (2, 4), (bucket(2, 60),)),), gone=8)
    assert described(connection) == [Group(7, (bucket(1), bucket(3), bucket(2, 60)))]
    change(connection, Group(7, (bucket(5),)), gone=4711)
    assert described(connection) == [Group(7, (bucket(5),))]
    change(connection, gone=7)
    assert described(connection) == []


def test_a_group_may_lead_to_others(connection: Connection) -> None:
    """Those it leads to are made first, and go last."""
    lower = [Group(number, (bucket(number),), is_lower=True) for number in (2, 3)]
    upper = Group(1, ((1, 10, ((Op.GROUP, 2),)), (2, 20, ((Op.GROUP, 3),))))
    user = entry(1, ((Op.GROUP, 1),), in_port=1)
    flow = user.flow._replace(groups=(*lower, upper))
    groups = changes({}, by_id([Entry(user.cookie, flow)]))
    assert connection.commit(Encoder().bundle(Delta((user,), (), groups))) == []
    assert sorted(described(connection)) == [upper, *lower]
    groups = changes(by_id([Entry(user.cookie, flow)]), {})
    assert connection.commit(Encoder().bundle(Delta((), (user.cookie,), groups))) == []
    assert described(connection) == []


def test_groups_come_before_their_flows_and_go_after_them(connection: Connection) -> None:
    user = entry(1, ((Op.GROUP, 7),), in_port=1)
    other = entry(2, in_port=2)
    groups = GroupChanges((Group(7, (bucket(1),)),))
    assert connection.commit(Encoder().bundle(Delta((user, other), (), groups))) == []
    assert on_switch(connection) == {user, other}
    assert connection.commit(Encoder().bundle(Delta((), (user.cookie,), GroupChanges(gone=(7,))))) == []
    assert on_switch(connection) == {other}
    assert described(connection) == []


def test_a_refused_group_is_named(connection: Connection) -> None:
    missing = GroupChanges(buckets=(BucketChange(7, (), (bucket(1),)),))
    refused, end = connection.commit(Encoder().bundle(Delta((), (), missing)))
    assert refused.text == "GROUP_MOD_FAILED/UNKNOWN_GROUP, about group 7"
    assert end.ends_bundle
    assert described(connection) == []


# --- connections -------------------------------------------------------------------------------------


def test_what_is_forgotten_is_said_as_open_vswitch_says_it(tmp_path: Path) -> None:
    """What ovs-ofctl sends for the same is taken by a socket in place of a switch."""
    address, source = IPv4Address("10.128.0.5"), IPv4Address("10.128.0.6")
    found = asked(tmp_path, "zone=2", "", "ct_nw_proto=17,ct_nw_src=10.128.0.5,ct_tp_src=8080")
    assert messages.ct_flush(decode.header(found).xid, 2, 17, address, 8080) == found
    found = asked(tmp_path, "zone=5", "", "ct_nw_dst=10.128.0.5")
    assert messages.ct_flush_to(decode.header(found).xid, 5, address) == found
    found = asked(tmp_path, "zone=5", "ct_nw_src=10.128.0.6", "ct_nw_dst=10.128.0.5")
    assert messages.ct_flush_to(decode.header(found).xid, 5, address, source) == found


def asked(folder: Path, *what: str) -> bytes:
    path = folder / "switch"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        words = ["ovs-ofctl", "-O", "OpenFlow15", "ct-flush", f"unix:{path}", *what]
        with subprocess.Popen(words) as process, listener.accept()[0] as stream:
            stream.sendall(messages.message(MessageType.HELLO, 1))
            received = b""
            while (found := _of_kind(received, MessageType.EXPERIMENTER)) is None:
                received += stream.recv(4096)
            while (barrier := _of_kind(received, MessageType.BARRIER_REQUEST)) is None:
                received += stream.recv(4096)
            stream.sendall(messages.message(MessageType.BARRIER_REPLY, decode.header(barrier).xid))
            assert process.wait(20) == 0
    return found


def _of_kind(stream: bytes, kind: MessageType) -> bytes | None:
    while len(stream) >= 8:
        length = decode.header(stream).length
        if decode.header(stream).kind == kind and len(stream) >= length:
            return stream[:length]
        stream = stream[length:]
    return None


def test_connections_are_forgotten_without_an_error(connection: Connection) -> None:
    for address in (IPv4Address("10.128.0.5"), IPv6Address("fd00::5")):
        forgets = messages.ct_flush(9, 2, 6, address, 80) + messages.ct_flush_to(9, 5, address)
        connection.send(forgets + messages.barrier(10))
        before, _ = connection.until(MessageType.BARRIER_REPLY, 10)
        assert before == []


# --- ports, roles ------------------------------------------------------------------------------------


def test_ports_are_described_and_their_changes_told(switch: DummySwitch) -> None:
    name = "v0123456789abcd"
    with switch.bridge("br1") as bridge, switch.controlled(bridge) as connection:
        switch.run("ovs-vsctl", "--timeout=20", "add-port", bridge, name, "--", "set", "Interface", name, "type=dummy")
        number = int(switch.run("ovs-vsctl", "--timeout=20", "get", "Interface", name, "ofport"))
        assert told(connection, decode.PORT_ADDED) == (name, number)
        ports = decode.ports(connection.multipart(messages.port_desc_request(3))[0])
        assert ports == {name: number, bridge: 0xFFFFFFFE}
        switch.run("ovs-vsctl", "--timeout=20", "del-port", name)
        assert told(connection, decode.PORT_DELETED) == (name, number)


def told(connection: Connection, reason: int) -> tuple[str, int]:
    """Wait for the message about a port that came or went."""
    while True:
        raw = connection.receive()
        if decode.header(raw).kind == MessageType.PORT_STATUS:
            status = decode.port_status(raw)
            if status.reason == reason:
                return status.port.name, status.port.number


def test_an_older_generation_is_refused_the_role(connection: Connection) -> None:
    connection.send(messages.role_request(5, messages.Role.MASTER, 10))
    assert decode.role_reply(connection.receive()) == decode.RoleReply(5, messages.Role.MASTER, 10)
    connection.send(messages.role_request(6, messages.Role.MASTER, 9))
    assert decode.error(connection.receive()).text == "ROLE_REQUEST_FAILED/STALE, about a request"
