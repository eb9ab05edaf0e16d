"""Row 1: 50,000 flows to an empty bridge, from the model's values to the switch's reply.

Beside it: the same bytes prepared beforehand in one write, `ovs-ofctl --bundle add-flows` of the same flows as text,
and Ryu's message objects (fewer flows: they take too long).
"""

from __future__ import annotations

import gc
import resource
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network

from bench.cpu import Programs, average
from bench.dummies import Bridge, DummySwitches
from bench.figures import Contender, Distribution, Ratio, Row
from bench.ground import OPENFLOW_PORT, Ground
from bench.interleave import interleave
from bench.pods import WrongEndError
from bench.ryu_objects import Prepared, bundle_builder, prepare
from bench.setting import Setting
from bench.switch_connection import SwitchConnection
from bench.world import FLOWS_OF_A_POD, crowded_node
from lab.namespaces import Namespace
from lab.ovs import OPENFLOW
from ryu_apps.openflow.encode import Encoder
from topology.compiler import Delta, compile_node
from topology.flow import Entry

NUMBER = 1
TITLE = "bulk: flows to an empty bridge"
FLOWS = 50_000
RYU_FLOWS = 3_000
_CLUSTER = IPv4Network("10.128.0.0/14")
_OFCTL = ("ovs-ofctl", "-O", OPENFLOW)


@dataclass(frozen=True, slots=True)
class Load:
    """One loading: how long, how many flows, CPU-milliseconds by program."""

    seconds: float
    flows: int
    cpu_ms: Mapping[str, float]


class Bulk:
    """A bridge, and how each contender loads it over TCP. Every loading is checked and undone."""

    def __init__(self, ground: Ground, entries: Sequence[Entry]) -> None:
        switches = DummySwitches(ground.namespace, ground.folder("ovs"), [Bridge(1, {})])
        switches.start()
        switches.listen("br1", OPENFLOW_PORT)
        self._namespace = ground.namespace
        self._entries = tuple(entries)
        self._prepared = prepare(entries)[:RYU_FLOWS]
        self._by_objects = bundle_builder()
        self._connection = SwitchConnection(_connect(ground.namespace))
        self._switch = Programs({"ovs-vswitchd": (switches.pids()["ovs-vswitchd"],)})
        self._bytes = Encoder().bundle(Delta(self._entries, ()))
        self._file = ground.folder("files") / "flows.txt"
        self._write_text()

    def encoder(self, _: int) -> Load:
        """Our encoder, which has never seen a flow; the switch works on a piece while the next is encoded."""
        encoder, delta = Encoder(), Delta(self._entries, ())
        return self._measured(lambda: self._connection.commit(encoder.parts(delta)), len(self._entries))

    def raw(self, _: int) -> Load:
        """The same bytes, prepared."""
        return self._measured(lambda: self._connection.commit((self._bytes,)), len(self._entries))

    def ovs_ofctl(self, _: int) -> Load:
        """The same flows as text; the whole program, with its best settings."""
        return self._measured(
            lambda: self._run_ofctl("--bundle", "add-flows", last=str(self._file)), len(self._entries)
        )

    def ryu_objects(self, _: int) -> Load:
        """Some of the flows by Ryu's objects."""
        flows: list[Prepared] = self._prepared
        return self._measured(lambda: self._connection.commit((self._by_objects(flows),)), len(flows))

    def _measured(self, load: Callable[[], object], flows: int) -> Load:
        gc.collect()
        before, own = self._switch.read(), _own_cpu()
        began = time.perf_counter()
        load()
        seconds = time.perf_counter() - began
        spent = {**self._switch.read().since(before), "sender": (_own_cpu() - own) * 1000}
        found = self._connection.flow_count()
        self._connection.clear()
        left = self._connection.flow_count()
        if (found, left) != (flows, 0):
            raise WrongEndError(f"{found} flows where {flows} were sent; {left} after they were deleted")
        return Load(seconds, flows, spent)

    def _run_ofctl(self, *command: str, last: str = "") -> str:
        target = f"tcp:127.0.0.1:{OPENFLOW_PORT}"
        done = self._namespace.run([*_OFCTL, *command, target, *([last] if last else [])])
        if done.returncode:
            raise WrongEndError(f"ovs-ofctl: {done.stderr.strip()}")
        return done.stdout

    def _write_text(self) -> None:
        """What ovs-ofctl adds is what it says of a bridge that has the flows."""
        self._connection.commit((self._bytes,))
        lines = self._run_ofctl("dump-flows", "--no-stats").splitlines()
        self._file.write_text("\n".join(lines))
        self._connection.clear()


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    with ExitStack() as undo:
        state = setting.state(undo)
        flows = FLOWS // 5 if setting.quick else FLOWS
        setting.say(f"computing {flows} flows")
        entries = [*compile_node("n1", crowded_node(_CLUSTER, flows // FLOWS_OF_A_POD)).entries()][:flows]
        bulk = Bulk(Ground(state, "bulk"), entries)
        setting.say("loading them")
        ways = (bulk.raw, bulk.encoder, bulk.ovs_ofctl, bulk.ryu_objects)
        results = interleave(ways, setting.pace)
    names = ("plain socket, same bytes", "Heddle's encoder", "ovs-ofctl --bundle add-flows")
    contenders = tuple(map(_contender, (*names, f"Ryu's objects, {RYU_FLOWS} flows"), results))
    raw, ours, ofctl, objects = (_rate(loads) for loads in results)
    ratios = (
        Ratio("flows/s / plain socket's", ours / raw, 0.8, "at least"),
        Ratio("flows/s / ovs-ofctl's", ours / ofctl, 2.0, "at least"),
        Ratio("flows/s / Ryu objects'", ours / objects, 10.0, "at least"),
    )
    return Row(
        NUMBER,
        TITLE,
        contenders,
        ratios,
        (f"{len(entries)} flows of {len(entries) // FLOWS_OF_A_POD} pods on one node.",),
    )


def _rate(loads: Sequence[Load]) -> float:
    """Flows per second, the median."""
    return Distribution(tuple(load.flows / load.seconds for load in loads)).median


def _contender(name: str, loads: Sequence[Load]) -> Contender:
    seconds = Distribution(tuple(load.seconds for load in loads))
    facts = {"flows/s": f"{_rate(loads):,.0f}"}
    return Contender(name, seconds, average([load.cpu_ms for load in loads], len(loads)), facts)


def _connect(namespace: Namespace) -> socket.socket:
    stream = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.connect(("127.0.0.1", OPENFLOW_PORT))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def _own_cpu() -> float:
    """CPU seconds of this process and of those that it started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime
