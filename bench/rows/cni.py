"""Row 10: CNI ADD and DEL as whole processes, one at a time and many at once.

Beside it: Debian's `bridge` with `host-local`, which connects pods of one node and nothing else, and the execution of
/bin/true, which nothing can undercut.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.cpu import Programs, average
from bench.executions import Executed, Execution, execute_all
from bench.figures import Contender, Distribution, Ratio, Row, mean
from bench.interleave import interleave
from bench.pods import WrongEndError
from bench.setting import Setting
from lab.description import PodName
from lab.laboratory import Lab
from lab.namespaces import Namespace
from lab.node import PLUGINS, Node
from lab.processes import marked
from lab.runtime import Attachment

NUMBER = 10
TITLE = "CNI ADD and DEL, the whole process"
LAB = "benchcni"
PEER = Path("/usr/lib/cni")
_BATCHES = {1: 15, 8: 16, 32: 32}  # pods in a round, by how many at once


class Plugin(Protocol):
    """A network plugin: what one execution of it is, and what runs besides it."""

    namespace: Namespace

    def execution(self, command: str, pod: Pod) -> Execution:
        """ADD or DEL of a pod."""
        ...

    def programs(self) -> Programs:
        """The processes that work for it."""
        ...


@dataclass(frozen=True, slots=True)
class Pod:
    """A namespace to be attached, and the name under which that is done."""

    namespace: Namespace
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class Round:
    """Pods attached and detached: every execution, and CPU-milliseconds of what runs besides, by program."""

    added: tuple[Executed, ...]
    deleted: tuple[Executed, ...]
    adding_ms: Mapping[str, float]
    deleting_ms: Mapping[str, float]


class Heddle:
    """Our plugin on a node of a laboratory, by the configuration that heddle-node wrote."""

    def __init__(self, lab: Lab, node: Node) -> None:
        self.namespace = node.namespace
        conflist = json.loads(next(iter(sorted((node.directory / "net.d").glob("*.conflist")))).read_text())
        common = {"cniVersion": conflist["cniVersion"], "name": conflist["name"]}
        self._configuration = json.dumps({**conflist["plugins"][0], **common})
        self._state = str(lab.controller.directory.parent)

    def execution(self, command: str, pod: Pod) -> Execution:
        """ADD or DEL of a pod."""
        environment = {"CNI_COMMAND": command, "CNI_PATH": str(PLUGINS), **pod.attachment.environment}
        return Execution((str(PLUGINS / "heddle"),), environment, self._configuration)

    def programs(self) -> Programs:
        """Controller, heddle-node and Open vSwitch."""
        found: dict[str, tuple[int, ...]] = {}
        for pid in marked(self._state):
            name = program(pid)
            if name is not None:
                found[name] = (*found.get(name, ()), pid)
        return Programs(found)


class BridgeHostLocal:
    """Debian's `bridge` with `host-local` in a namespace of its own."""

    def __init__(self, namespace: Namespace, data: Path) -> None:
        self.namespace = namespace
        ipam = {"type": "host-local", "subnet": "10.99.0.0/16", "dataDir": str(data)}
        configuration = {"cniVersion": "1.0.0", "name": "peer", "type": "bridge", "bridge": "cni0", "isGateway": True}
        self._configuration = json.dumps({**configuration, "ipam": ipam})

    def execution(self, command: str, pod: Pod) -> Execution:
        """ADD or DEL of a pod."""
        environment = {"CNI_COMMAND": command, "CNI_PATH": str(PEER), **pod.attachment.environment}
        return Execution((str(PEER / "bridge"),), environment, self._configuration)

    def programs(self) -> Programs:
        """Nothing runs besides it."""
        return Programs({})


class Nothing:
    """/bin/true, executed in the same way."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def execution(self, _command: str, _pod: Pod) -> Execution:
        """The same for all."""
        return Execution(("/bin/true",), {})

    def programs(self) -> Programs:
        """Nothing runs besides it."""
        return Programs({})


class Attaching:
    """Attaches and detaches a batch of pods by one plugin, round by round."""

    def __init__(self, plugin: Plugin, namespaces: Sequence[Namespace], at_once: int) -> None:
        self._plugin = plugin
        self._namespaces = namespaces[: _BATCHES[at_once]]
        self._at_once = at_once

    def __call__(self, number: int) -> Round:
        """One round; every execution's success and the pods' interfaces are checked."""
        names = [PodName("red", f"r{number}x{self._at_once}x{one}") for one in range(len(self._namespaces))]
        pods = [
            Pod(namespace, Attachment(secrets.token_hex(32), namespace.path, name))
            for namespace, name in zip(self._namespaces, names, strict=True)
        ]
        added, adding = self._execute("ADD", pods)
        self._check(pods[-1], there=True)
        deleted, deleting = self._execute("DEL", pods)
        self._check(pods[-1], there=False)
        return Round(tuple(added), tuple(deleted), adding, deleting)

    def _execute(self, command: str, pods: Sequence[Pod]) -> tuple[list[Executed], dict[str, float]]:
        executions = [self._plugin.execution(command, pod) for pod in pods]
        programs = self._plugin.programs()
        before = programs.read()
        done = execute_all(self._plugin.namespace, executions, self._at_once)
        spent = programs.read().since(before)
        for one in done:
            if one.status:
                raise WrongEndError(f"{executions[0].command[0]} {command}: {one.out}")
        return done, spent

    def _check(self, pod: Pod, *, there: bool) -> None:
        if isinstance(self._plugin, Nothing):
            return
        shown = pod.namespace.run(["ip", "-json", "address", "show", pod.attachment.interface]).stdout
        found = bool(shown) and any(one["family"] == "inet" for one in json.loads(shown)[0]["addr_info"])
        if found is not there:
            raise WrongEndError(f"{pod.namespace.name}: an address where none should be, or none: {shown}")


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    if not (PEER / "bridge").exists():
        note = f"Not measured: {PEER}/bridge is not installed (apt-get install containernetworking-plugins)."
        return Row(NUMBER, TITLE, (), (), (note,))
    contenders: list[Contender] = []
    ratios: list[Ratio] = []
    with ExitStack() as undo:
        setting.say("starting a laboratory with one node")
        lab = undo.enter_context(Lab(LAB, nodes=1))
        lab.network("red")
        state = setting.state(undo)
        most = max(_BATCHES.values())
        (peer,) = state.namespaces(["peer"])
        plugins = _plugins(lab, peer, state.folder("peer"))
        sets = [state.namespaces(f"{kind}{number}" for number in range(most)) for kind in ("a", "b", "c")]
        for at_once in (1, 8) if setting.quick else _BATCHES:
            setting.say(f"attaching pods, {at_once} at once")
            ways = [Attaching(plugin, spaces, at_once) for plugin, spaces in zip(plugins, sets, strict=True)]
            rounds = interleave(ways, setting.pace)
            found, compared = _compared(rounds, at_once)
            contenders += found
            ratios += compared
    return Row(NUMBER, TITLE, tuple(contenders), tuple(ratios), _NOTES)


_NOTES = (
    "A pod's ADD by Heddle includes the controller's decision, its store, and the flows in the switch.",
    "CPU: the executed process with its children, and what runs besides it.",
)


def _plugins(lab: Lab, peer: Namespace, data: Path) -> tuple[Plugin, ...]:
    (node,) = lab.nodes.values()
    return Heddle(lab, node), BridgeHostLocal(peer, data), Nothing(peer)


def _compared(rounds: Sequence[Sequence[Round]], at_once: int) -> tuple[list[Contender], list[Ratio]]:
    contenders: list[Contender] = []
    ratios: list[Ratio] = []
    for command, side in (("ADD", _adding), ("DEL", _deleting)):
        names = (f"Heddle {command}, {at_once} at once", f"bridge + host-local {command}", "/bin/true")
        three = [_contender(name, [side(one) for one in each]) for name, each in zip(names, rounds, strict=True)]
        ours, peer, _ = three
        goal = 1.0 if command == "ADD" else None
        contenders += three if command == "ADD" else three[:2]
        ratios += [
            Ratio(f"{command} p50, {at_once} at once / bridge + host-local", _p50(ours) / _p50(peer), goal),
            Ratio(f"{command} p99, {at_once} at once / bridge + host-local", _p99(ours) / _p99(peer), goal),
            Ratio(f"{command} CPU, {at_once} at once / bridge + host-local", ours.total_cpu_ms / peer.total_cpu_ms),
        ]
    return contenders, ratios


def _adding(one: Round) -> tuple[Sequence[Executed], Mapping[str, float]]:
    return one.added, one.adding_ms


def _deleting(one: Round) -> tuple[Sequence[Executed], Mapping[str, float]]:
    return one.deleted, one.deleting_ms


def _p50(contender: Contender) -> float:
    return contender.seconds.median


def _p99(contender: Contender) -> float:
    return contender.seconds.quantile(0.99)


def _contender(name: str, rounds: Sequence[tuple[Sequence[Executed], Mapping[str, float]]]) -> Contender:
    executed = [one for each, _ in rounds for one in each]
    beside = average([spent for _, spent in rounds], len(executed))
    cpu = {"process": mean([one.cpu_seconds for one in executed]) * 1000, **beside}
    return Contender(name, Distribution(tuple(one.seconds for one in executed)), cpu, {})


def program(pid: int) -> str | None:
    """What a process of the laboratory is, by its command line; None for one that only runs for a moment, or has ended.

    heddle-node executes nft and the like, and a plugin that was answered lets links go in the background.
    """
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return None
    named = [Path(argument).name for argument in arguments[:2]]
    known: Callable[[str], bool] = ("ovs-vswitchd", "ovsdb-server", "heddle-node", "ryu-manager").__contains__
    found = next(filter(known, named), None)
    return None if found is None else found.replace("ryu-manager", "controller")
