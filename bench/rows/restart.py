"""Row 6: a controller that was killed comes back to switches that forward on, with nothing changed, or one pod in 100.

Beside it: one request for the sentinels to each switch that connects, by a plain socket. What is counted is on the
wire; that no packet is lost meanwhile is a test with real packets (tests/lab/test_controller_away.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import workers
from bench.answers import ASK
from bench.cpu import Programs, average
from bench.figures import Contender, Distribution, Ratio, Row, mean
from bench.ground import ASKING_PORT, RYU_ASKING_PORT, Ground
from bench.interleave import interleave
from bench.pods import WrongEndError
from bench.rigs import ControllerRig, Site, Size
from bench.setting import Setting
from bench.tap import Message, Tap
from bench.workers import Worker
from bench.world import FIRST_POD_PORT, FLOWS_OF_A_POD
from ryu_apps.openflow.decode import bundle_reply
from ryu_apps.openflow.wire import MessageType, MultipartType
from topology.pipeline import Table

NUMBER = 6
TITLE = "controller restart: from the first switch's hello to the last one's reply"
_SETTLE = 0.2  # seconds in which nothing more may be sent
_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Return:
    """One return: nanoseconds on the wire, what was sent, CPU-milliseconds, and how long the process took to start."""

    nanoseconds: int
    flow_mods: int
    switches: int
    cpu_ms: Mapping[str, float]
    started: float = 0.0


class Asker:
    """A process that asks every switch that connects for its sentinels, once, and does nothing else."""

    def __init__(self, site: Site, port: int, start: Callable[[Ground], Worker], undo: ExitStack) -> None:
        self._site = site
        self._port = port
        self._tap = Tap(site.ground.namespace, port)
        undo.callback(self._tap.close)
        self._worker = start(site.ground)
        undo.callback(self._worker.kill)

    def __call__(self, _: int) -> Return:
        """Let all switches connect to it; the controller is away and they have no other connection."""
        programs = Programs({"asker": (self._worker.pid,), **self._site.pids()})
        self._tap.reset()
        before = programs.read()
        self._site.connect(self._port)
        nodes = self._site.size.nodes
        messages = _until(self._tap, lambda seen: len(_sentinels_told(seen)) == nodes)
        spent = programs.read().since(before)
        self._site.disconnect()
        return _returned(messages, spent)


class Restarts:
    """A controller that is killed and started again."""

    def __init__(self, rig: ControllerRig) -> None:
        self._rig, self._site = rig, rig.site
        self._nodes = rig.site.size.nodes
        self._lost = 0

    def undisturbed(self, _: int) -> Return:
        """Nothing happened meanwhile."""
        return self._restart(lambda: None, lambda seen: len(_sentinels_told(seen)) == self._nodes)

    def drifted(self, number: int) -> Return:
        """One pod in a hundred went while the controller was away."""
        fakes = self._nodes - self._site.size.real
        count = max(1, self._nodes * self._site.size.pods // 100)
        first = self._site.size.real + 1
        places = [number * count + position for position in range(count)]
        gone = [(first + place % fakes, FIRST_POD_PORT + place // fakes) for place in places]
        touched = len({node for node, _ in gone})

        def remove() -> None:
            if self._site.fakes is not None:
                self._site.fakes.remote.ask("remove_ports", ports=gone)

        found = self._restart(remove, lambda seen: len(_committed(seen)) == touched)
        self._lost += count * FLOWS_OF_A_POD
        if found.switches != touched:
            raise WrongEndError(f"{found.switches} switches were told something, where {touched} had lost pods")
        return found

    def flow_count(self) -> int:
        """How many flows all switches have, and those that were given up added."""
        fakes: dict[str, int] = {}
        if self._site.fakes is not None:
            fakes = self._site.fakes.remote.ask("flow_counts")
        real = sum(self._site.flow_count(number) for number in range(1, self._site.size.real + 1))
        return real + sum(fakes.values()) + self._lost

    def _restart(self, meanwhile: Callable[[], None], done: Callable[[Sequence[Message]], bool]) -> Return:
        """Start the controller and let the switches connect; afterwards it is away again, and they are."""
        meanwhile()
        controller = self._rig.controller
        started = controller.start()
        self._site.tap.reset()
        programs = self._rig.programs()
        before = programs.read()
        self._site.connect()
        messages = _until(self._site.tap, done)
        spent = programs.read().since(before)
        controller.wait_in_sync(self._nodes)
        time.sleep(_SETTLE)
        messages += self._site.tap.read()
        controller.kill()
        self._site.disconnect()
        return _returned(messages, spent, started)


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    nodes = 30 if setting.quick else 100
    with ExitStack() as undo:
        state = setting.state(undo)
        setting.say(f"starting {nodes} switches and their controller")
        rig = ControllerRig(state, "restart", Size(nodes))
        undo.callback(rig.close)
        rig.start()
        restarts = Restarts(rig)
        flows = restarts.flow_count()
        setting.say("killing and restarting it")
        rig.controller.kill()
        rig.site.disconnect()
        plain = Asker(rig.site, ASKING_PORT, lambda ground: workers.python(ground, "bench.plain", "ask"), undo)
        ryu = Asker(rig.site, RYU_ASKING_PORT, lambda ground: workers.ryu(ground, RYU_ASKING_PORT, ASK), undo)
        results = interleave((plain, ryu, restarts.undisturbed, restarts.drifted), setting.pace)
        if restarts.flow_count() != flows:
            raise WrongEndError(f"{restarts.flow_count()} flows at the end where {flows} are right")
    contenders = tuple(map(_contender, _names(nodes), results))
    plain_s, ryu_s, undisturbed, drifted = (one.seconds.median for one in contenders)
    ratios = (
        Ratio("flow-mods sent without drift", mean([one.flow_mods for one in results[2]]), 0, "exactly"),
        Ratio("time without drift / one round trip a switch", undisturbed / plain_s, 3),
        Ratio("time without drift / bare Ryu application", undisturbed / ryu_s),
        Ratio("time with 1 % drift / time without", drifted / undisturbed),
        Ratio("flow-mods per flow gone", _per_flow_gone(results[3], nodes)),
    )
    notes = (
        "Per flow gone: its deletion, and the sentinels of the classes touched. The process's own start is apart.",
    )
    return Row(NUMBER, TITLE, contenders, ratios, notes)


def _names(nodes: int) -> tuple[str, ...]:
    request = f"one request, {nodes} switches"
    return (
        f"plain socket, {request}",
        f"bare Ryu application, {request}",
        "Heddle, no drift",
        "Heddle, 1 % of pods gone",
    )


def _until(tap: Tap, done: Callable[[Sequence[Message]], bool]) -> list[Message]:
    seen: list[Message] = []
    deadline = time.monotonic() + _DEADLINE
    while not done(seen):
        if time.monotonic() > deadline:
            found = f"{len(_sentinels_told(seen))} switches told their sentinels, {len(_committed(seen))} committed"
            raise WrongEndError(f"{found} in {_DEADLINE:.0f} s")
        time.sleep(0.02)
        seen.extend(tap.read())
    return seen


def _per_flow_gone(returns: Sequence[Return], nodes: int) -> float:
    gone = max(1, nodes * Size(nodes).pods // 100) * FLOWS_OF_A_POD
    return mean([one.flow_mods for one in returns]) / gone


def _contender(name: str, returns: Sequence[Return]) -> Contender:
    facts = {"flow-mods": f"{mean([one.flow_mods for one in returns]):.0f}"}
    if any(one.started for one in returns):
        facts["process start s"] = f"{Distribution(tuple(one.started for one in returns)).median:.2f}"
    seconds = Distribution(tuple(one.nanoseconds / 1e9 for one in returns))
    return Contender(name, seconds, average([one.cpu_ms for one in returns], len(returns)), facts)


def _returned(messages: Sequence[Message], spent: Mapping[str, float], started: float = 0.0) -> Return:
    """What a return amounts to: from the first message to the last sentinels told and the last bundle committed."""
    ends = [*_sentinels_told(messages).values(), *_committed(messages).values()]
    mods = [one for one in messages if one.to_switch and one.kind in (MessageType.BUNDLE_ADD, MessageType.FLOW_MOD)]
    return Return(max(ends) - messages[0].at, len(mods), len({one.switch for one in mods}), spent, started)


def _sentinels_told(messages: Sequence[Message]) -> dict[object, int]:
    """When each switch told its sentinels, for the first time."""
    asked = {(one.switch, one.xid) for one in messages if one.to_switch and _asks_sentinels(one.raw)}
    told: dict[object, int] = {}
    for one in messages:
        if not one.to_switch and one.kind == MessageType.MULTIPART_REPLY and (one.switch, one.xid) in asked:
            told.setdefault(one.switch, one.at)
    return told


def _asks_sentinels(raw: bytes) -> bool:
    is_flows = raw[1] == MessageType.MULTIPART_REQUEST and int.from_bytes(raw[8:10]) == MultipartType.FLOW_DESC
    return is_flows and raw[16] == Table.SENTINELS


def _committed(messages: Sequence[Message]) -> dict[object, int]:
    """When each switch committed a bundle last."""
    replies = (one for one in messages if not one.to_switch and one.kind == MessageType.BUNDLE_CONTROL)
    return {one.switch: one.at for one in replies if bundle_reply(one.raw).committed}
