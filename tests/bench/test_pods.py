"""What is made of messages seen on the wire, which pods a round has, and the network they are added to."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from bench.answers import Answers, write
from bench.fake_switch import port_status
from bench.ground import entrance, underlay
from bench.pods import Feed, WrongEndError, pods_of_round, seen
from bench.ryu_objects import bundle_builder, prepare
from bench.tap import Message
from bench.world import FLOWS_OF_A_POD, Plan, crowded_node, host_interface, interfaces, seed
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import PORT_ADDED, PORT_DELETED
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.wire import BundleControl, MessageType
from store.sqlite import SqliteStore
from topology.compiler import Delta, compile_all, compile_node
from topology.pipeline import FeatureId, Table
from topology.snapshot import apply_all, empty

SWITCH, OTHER = (underlay(1), 5000), (underlay(2), 5001)
REPLY = messages.message(
    MessageType.BUNDLE_CONTROL, 1, (1).to_bytes(4) + BundleControl.COMMIT_REPLY.to_bytes(2) + bytes(2)
)
ADD = messages.bundled(MessageType.FLOW_MOD, 1, bytes(48))


def message(at: int, raw: bytes, switch: object = SWITCH, *, to_switch: bool = True) -> Message:
    """A message as the tap tells it."""
    return Message(at, switch, to_switch, raw[1], 0, raw)  # type: ignore[arg-type]


def addition() -> list[Message]:
    """A pod's addition on one switch."""
    sent = [messages.bundle_open(), ADD, ADD, messages.bundle_commit()]
    event = message(1000, port_status(PORT_ADDED, 5, "v1"), to_switch=False)
    return [event, *(message(1300, raw) for raw in sent), message(1700, REPLY, to_switch=False)]


def test_times_and_counts_are_those_of_the_wire() -> None:
    found = seen(addition(), underlay(1))
    assert (found.total, found.reaction, found.flow_mods, found.switches) == (700, 300, 2, 1)
    assert found.bundle == messages.bundle_open() + ADD + ADD + messages.bundle_commit()


def test_a_second_switch_that_is_told_something_counts() -> None:
    found = seen([*addition(), message(1400, ADD, OTHER)], underlay(1))
    assert (found.flow_mods, found.switches) == (3, 2)
    assert found.bundle.count(ADD) == 2


@pytest.mark.parametrize("lost", [0, 5])
def test_without_event_or_commit_reply_nothing_was_measured(lost: int) -> None:
    there = addition()
    del there[lost]
    with pytest.raises(WrongEndError, match=r"the switch at 198\.18\.0\.1"):
        seen(there, underlay(1))


def test_pods_of_a_round_are_spread_and_new() -> None:
    pods = pods_of_round(3, nodes=4, count=10, base=20)
    assert Counter(pod.number for pod in pods) == {1: 3, 2: 3, 3: 2, 4: 2}
    assert len({(pod.number, pod.ofport) for pod in pods}) == 10
    assert min(pod.ofport for pod in pods) == 23
    names = {pod.interface for number in (3, 4) for pod in pods_of_round(number, 4, 10, 20)}
    assert len(names) == 20
    assert max(map(len, names)) <= 15


def test_bundles_before_are_kept_by_datapath_id() -> None:
    feed = Feed()
    feed.record_preludes(
        [message(1, ADD), message(2, ADD, OTHER), message(3, REPLY), message(4, REPLY, to_switch=False)]
    )
    assert feed.preludes == {1: ADD + REPLY, 2: ADD}


def test_recorded_bytes_answer_the_message_of_their_port(tmp_path: Path) -> None:
    answers = Answers()
    write(tmp_path / "preludes", {1: b"first"})
    write(tmp_path / "bundles", {(1, b"v1", False): b"come", (1, b"v1", True): b"gone"})
    assert answers.do_preludes(str(tmp_path / "preludes")) == 1
    assert answers.do_bundles(str(tmp_path / "bundles")) == 2
    assert (answers.prelude(1), answers.prelude(2)) == (b"first", b"")
    assert answers.for_port(1, port_status(PORT_ADDED, 5, "v1")) == b"come"
    assert answers.for_port(1, port_status(PORT_DELETED, 5, "v1")) == b"gone"
    assert answers.for_port(2, port_status(PORT_ADDED, 5, "v1")) is None


@pytest.mark.parametrize("number", [0, 65_001])
def test_the_range_has_its_limits(number: int) -> None:
    with pytest.raises(ValueError, match="the range has room"):
        entrance(number)


def test_the_seeded_store_is_the_network(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    snapshot = seed(path, Plan(nodes=3, networks=2, pods=4))
    store = SqliteStore(path)
    loaded, _ = apply_all(empty(), store.load())
    store.close()
    assert loaded == snapshot
    assert len(snapshot.ports) == 12
    assert interfaces(snapshot, 2) == [host_interface(2, f"p{pod}") for pod in range(4)]
    assert {node.dpid: node.underlay for node in snapshot.nodes.values()} == {n: underlay(n) for n in (1, 2, 3)}
    assert set(compile_all(snapshot)) == {"n1", "n2", "n3"}


def test_ryus_objects_give_the_same_bytes_as_our_encoder() -> None:
    table = compile_node("n1", crowded_node(IPv4Network("10.128.0.0/20"), 8, networks=2))
    entries = tuple(entry for entry in table.entries() if entry.cookie >> 56 == FeatureId.PORTS)
    assert len(entries) == 8 * FLOWS_OF_A_POD
    # What a pod to itself needs of conntrack is beyond those objects.
    known = tuple(entry for entry in entries if entry.flow.table != Table.HAIRPIN)
    assert len(known) == 24
    prepared = prepare(entries)
    assert bundle_builder()(prepared) == Encoder().bundle(Delta(known, ()))
