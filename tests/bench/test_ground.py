"""Namespaces, the tap, the fronts and the worker processes, for real; and one whole row."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import workers
from bench.answers import write
from bench.dummies import Bridge, DummySwitches, PortDatabase
from bench.executions import Execution, execute_all
from bench.ground import OPENFLOW_PORT, Ground, entrance, underlay
from bench.interleave import Pace
from bench.rigs import Size, plain_answers, ryu_answering
from bench.rows import restart
from bench.setting import Setting
from bench.tap import Tap
from lab.state import ROOT, State
from ryu_apps.openflow import messages, wire
from ryu_apps.openflow.decode import PORT_ADDED, PORT_DELETED, PORT_MODIFIED, bundle_reply, port_status
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.wire import MessageType
from tests.ryu_apps.openflow_network import small_table
from topology.compiler import Delta

pytestmark = [pytest.mark.netns, pytest.mark.ovs]
NAME = f"tb{os.getpid()}"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A claim of our own, cleaned up in the end."""
    claimed = State(NAME, tmp_path / "state")
    yield claimed
    claimed.clear()
    claimed.release()


@pytest.fixture
def ground(state: State) -> Ground:
    """An empty ground."""
    return Ground(state, "ground")


def wait_for_flows(switches: DummySwitches, count: int) -> None:
    """Wait until the first bridge has so many flows."""
    deadline = time.monotonic() + 20
    while switches.flow_count(switches.bridges[0]) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listening(ground: Ground) -> socket.socket:
    """A listening socket where the controller would be."""
    listener = ground.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", OPENFLOW_PORT))
    listener.listen()
    listener.settimeout(20)
    return listener


def test_what_connects_to_an_entrance_comes_from_its_node(ground: Ground) -> None:
    ground.open_entrances([5, 300])
    with listening(ground) as listener:
        for number in (5, 300):
            with ground.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
                stream.connect((str(entrance(number)), OPENFLOW_PORT))
                accepted, address = listener.accept()
                accepted.close()
                assert address[0] == str(underlay(number))


def test_the_tap_sees_messages_in_order_of_time(ground: Ground) -> None:
    tap = Tap(ground.namespace)
    with listening(ground) as listener, ground.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.connect((str(entrance(1)), OPENFLOW_PORT))
        accepted, _ = listener.accept()
        with accepted:
            stream.sendall(messages.message(MessageType.ECHO_REQUEST, 1, bytes(60_000)))
            received = 0
            while received < 60_008:
                received += len(accepted.recv(1 << 16))
            accepted.sendall(messages.echo_reply(1, b"all"))
            assert stream.recv(100)
            found = list(tap.read())
            assert [(one.kind, one.to_switch, len(one.raw)) for one in found] == [
                (MessageType.ECHO_REQUEST, False, 60_008),
                (MessageType.ECHO_REPLY, True, 11),
            ]
            assert found[0].at < found[1].at
            assert not list(tap.read())
    tap.close()


@pytest.fixture
def switches(ground: Ground) -> Iterator[DummySwitches]:
    """An Open vSwitch with two dummy bridges."""
    started = DummySwitches(ground.namespace, ground.folder("ovs"), [Bridge(1, {"v1": 3}), Bridge(2, {})])
    started.start()
    yield started
    started.stop()


def test_ports_come_and_go_by_the_database(ground: Ground, switches: DummySwitches) -> None:
    ground.open_entrances([1, 2])
    tap = Tap(ground.namespace)
    with listening(ground) as listener:
        switches.connect()
        dialogues = [listener.accept() for _ in switches.bridges]
        assert sorted(address[0] for _, address in dialogues) == [str(underlay(1)), str(underlay(2))]
        for stream, _ in dialogues:
            stream.sendall(messages.message(MessageType.HELLO, 0))
            stream.sendall(struct.pack(">BBHI", wire.VERSION, 5, 8, 1))
            stream.sendall(messages.barrier(2))
        database = PortDatabase(switches)
        database.add("br2", "v2", {"iface-id": "x"})
        row = database.settled()
        assert switches.vsctl("get", "interface", "v2", "external_ids:iface-id").strip() == "x"
        database.remove("br2", row)
        assert not database.settled()
        assert "v2" not in switches.vsctl("list-ports", "br2").split()
        for stream, _ in dialogues:
            stream.close()
        told = [port_status(one.raw) for one in tap.read() if one.kind == MessageType.PORT_STATUS]
        news = [(one.port.name, one.reason) for one in told if one.reason != PORT_MODIFIED]
        assert news == [("v2", PORT_ADDED), ("v2", PORT_DELETED)]
        database.close()
    tap.close()


@pytest.mark.parametrize("start", [plain_answers, ryu_answering])
def test_raw_contenders_answer_a_port_with_the_recorded_bytes(
    start: Callable[[Ground], workers.Worker], ground: Ground, switches: DummySwitches
) -> None:
    entries = tuple(small_table().entries())
    encoder, folder = Encoder(), ground.folder("recorded")
    fronted = [{"number": 1, "bridge": str(switches.directory / "br1.mgmt")}]
    (folder / "nodes").write_text(str(fronted).replace("'", '"'))
    write(folder / "preludes", {1: encoder.bundle(Delta(entries[:4], ()))})
    write(folder / "bundles", {(1, b"v9", False): encoder.bundle(Delta(entries[4:6], ()))})
    tap = Tap(ground.namespace)
    answers = start(ground)
    fronts = workers.python(ground, "bench.fronts", str(folder / "nodes"))
    answers.remote.ask("preludes", path=str(folder / "preludes"))
    answers.remote.ask("bundles", path=str(folder / "bundles"))
    fronts.remote.ask("connect")
    wait_for_flows(switches, 4)
    fronts.remote.ask("port", number=1, ofport=9, name="v9", gone=False)
    seen = list(tap.read())
    assert switches.flow_count(switches.bridges[0]) == 6
    assert sum(one.kind == MessageType.BUNDLE_ADD for one in seen) == 6
    replies = [bundle_reply(one.raw) for one in seen if one.kind == MessageType.BUNDLE_CONTROL and not one.to_switch]
    assert [one.committed for one in replies] == [False, True, False, True]
    fronts.kill()
    answers.kill()
    tap.close()


def test_programs_are_executed_where_they_belong(ground: Ground) -> None:
    script = 'read line; echo "$line $MARK"; ip -brief link; exit $STATUS'
    executions = [
        Execution(
            ("/bin/sh", "-c", script), {"PATH": os.environ["PATH"], "MARK": f"m{n}", "STATUS": str(n)}, f"in{n}\n"
        )
        for n in range(5)
    ]
    done = execute_all(ground.namespace, executions, at_once=3)
    assert [one.status for one in done] == list(range(5))
    for number, one in enumerate(done):
        first, *links = one.out.splitlines()
        assert first == f"in{number} m{number}"
        assert [link.split()[0] for link in links if "UP" in link or "UNKNOWN" in link] == ["lo"]
        assert one.seconds > 0


class Brief(Setting):
    """As quick as can be."""

    @property
    def pace(self) -> Pace:
        """Once."""
        return Pace(0, 1)


@pytest.mark.slow
def test_a_row_runs_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "Size", lambda nodes: Size(min(nodes, 12), real=2))
    said: list[str] = []
    row = restart.run(Brief(True, said.append, f"{NAME}r"))
    assert said
    without, *_ = row.ratios
    assert (without.value, without.met) == (0, True)
    assert [len(one.seconds.values) for one in row.contenders] == [1, 1, 1, 1]
    assert not (ROOT / f"{NAME}r").exists()
    with ExitStack() as undo:
        Setting(True, said.append, f"{NAME}r").state(undo)
