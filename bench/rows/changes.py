"""Row 7: two networks of 10, 100 and 1,000 pods among 1,000 networks are joined and isolated; and nobody gets a wrong
packet, nor misses a right one, while 1,000 random joins, isolations and moves happen under traffic.

Beside the first: five flows of every pod rewritten, as with one number for joined networks, prepared beforehand and
written by plain sockets. The second is a laboratory with real packets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.cpu import average
from bench.figures import Contender, Distribution, Ratio, Row
from bench.interleave import interleave
from bench.joins import Joining, Rewriting, Round
from bench.rewriting import Rewriter
from bench.rigs import ControllerRig, Site, Size
from bench.setting import Setting
from bench.traffic import Traffic
from bench.upheaval import Change, Judgement, State, Upheaval, judge
from bench.world import seed_pairs
from lab.laboratory import Lab
from lab.state import State as LabState
from topology.snapshot import Snapshot

NUMBER = 7
TITLE = "join, isolate, move: what it takes, and what packets notice"
_NETWORKS = 1000
_LAB = "benchmoves"
_TENANTS = tuple(f"t{number}" for number in range(5))
_PODS = ("a", "b", "c")
_RATE = 8.0  # datagrams a second for each pair of pods: far below what Open vSwitch's sockets hold
_SEED = 20


def run(setting: Setting) -> Row:
    """Measure both parts."""
    contenders, ratios = _on_the_wire(setting)
    under_traffic, verdicts, notes = _under_traffic(setting)
    return Row(NUMBER, TITLE, (*contenders, *under_traffic), (*ratios, *verdicts), (*_NOTES, *notes))


_NOTES = (
    "Joins and isolations, from the REST call to its answer; rewriting, from the first byte to the last commit reply.",
    "Flow-mods without the one per switch that writes the class's sentinel; counted on the wire.",
    "'certain': datagrams that all states in force from 50 ms before to 250 ms after the sending allow: all must come.",
    "'forbidden': datagrams that no state in force from 50 ms before the sending to the arrival allows: none may come.",
    "The 50 ms: after the commit reply Open vSwitch's datapath may go by its cache; 'lagging' tells how long it did.",
)


def _on_the_wire(setting: Setting) -> tuple[list[Contender], list[Ratio]]:
    sizes, nodes = ((10, 100), 20) if setting.quick else ((10, 100, 1000), 100)
    size = Size(nodes, real=10)
    with ExitStack() as undo:
        state = setting.state(undo)
        setting.say(f"making {_NETWORKS} networks on {nodes} switches, and their controller")
        rig = ControllerRig(state, "heddle", size, partial(_store, nodes, sizes))
        undo.callback(rig.close)
        rig.start()
        site, rewriter = _rewriting_site(undo, state, rig, size)
        joining = [Joining(rig, pods) for pods in sizes]
        ways: list[Callable[[int], Round]] = []
        for ours, pods in zip(joining, sizes, strict=True):
            ways += [ours, Rewriting(site, rewriter, rig.snapshot, pods)]
        setting.say("joining and isolating")
        results = interleave(ways, setting.pace)
    contenders: list[Contender] = []
    ratios: list[Ratio] = []
    for position, pods in enumerate(sizes):
        measured = results[2 * position]
        both = (
            _contender(f"Heddle, {pods} pods each", measured),
            _contender(f"five flows per pod rewritten, {pods} pods", results[2 * position + 1]),
        )
        contenders += both
        ratios += _ratios(pods, joining[position].hosts, measured, both)
    return contenders, ratios


def _store(nodes: int, sizes: Sequence[int], path: Path) -> Snapshot:
    return seed_pairs(path, nodes, sizes, _NETWORKS)


def _rewriting_site(undo: ExitStack, state: LabState, rig: ControllerRig, size: Size) -> tuple[Site, Rewriter]:
    site = Site(state, "rewriting", rig.snapshot, size)
    undo.callback(site.close)
    rewriter = Rewriter(site.ground)
    undo.callback(rewriter.close)
    site.connect()
    rewriter.wait(size.nodes)
    return site, rewriter


def _contender(name: str, rounds: Sequence[Round]) -> Contender:
    found = [one for each in rounds for one in each.seen]
    wire = Distribution(tuple(one.wire / 1e6 for one in found))
    facts = {
        "on the wire ms": f"{wire.median:.2f}",
        "flow-mods": f"{max(one.flow_mods for one in found)}",
        "switches": f"{max(one.switches for one in found)}",
        "bytes": f"{max(one.sent for one in found)}",
    }
    cpu = average([each.cpu_ms for each in rounds], len(found))
    return Contender(name, Distribution(tuple(one.seconds for one in found)), cpu, facts)


def _ratios(pods: int, hosts: int, rounds: Sequence[Round], both: tuple[Contender, Contender]) -> list[Ratio]:
    found = [one for each in rounds for one in each.seen]
    each_way = max(one.flow_mods / one.switches / 2 for one in found)
    touched = max(one.switches for one in found) / hosts
    ours, theirs = both
    mods, wire = (_fact(ours, name) / _fact(theirs, name) for name in ("flow-mods", "on the wire ms"))
    return [
        Ratio(f"{pods} pods: flow-mods per direction and switch", each_way, 1, "exactly"),
        Ratio(f"{pods} pods: switches touched / that host them", touched, 1, "exactly"),
        Ratio(f"{pods} pods: flow-mods / rewriting's", mods),
        Ratio(f"{pods} pods: p50 / rewriting's", ours.seconds.median / theirs.seconds.median),
        Ratio(f"{pods} pods: p50 on the wire / rewriting's", wire),
    ]


def _fact(contender: Contender, name: str) -> float:
    return float(contender.facts[name])


def _under_traffic(setting: Setting) -> tuple[list[Contender], list[Ratio], tuple[str, ...]]:
    count = 60 if setting.quick else 1000
    with Lab(_LAB, nodes=3) as lab:
        setting.say(f"making {len(_TENANTS)} networks with {len(_PODS)} pods each on three nodes")
        for name in _TENANTS:
            lab.network(name)
        names = [f"{tenant}/{pod}" for tenant in _TENANTS for pod in _PODS]
        pods = lab.pods({name: f"n{position % 3 + 1}" for position, name in enumerate(names)})
        first = State({name: name for name in _TENANTS}, frozenset())
        upheaval = Upheaval(lab, first, _SEED)
        setting.say(f"{count} changes under traffic")
        with Traffic(pods, _RATE) as traffic:
            upheaval.run(count, setting.say)
        found = judge(traffic, first, upheaval.changes)
    return _changed(upheaval.changes), _verdicts(found), _told(found, traffic, count)


def _changed(changes: Sequence[Change]) -> list[Contender]:
    contenders = []
    for kind in sorted({change.kind for change in changes}):
        seconds = tuple(change.answered - change.asked for change in changes if change.kind == kind)
        contenders.append(
            Contender(f"{kind}, under traffic", Distribution(seconds), {}, {"changes": f"{len(seconds)}"})
        )
    return contenders


def _verdicts(found: Judgement) -> list[Ratio]:
    return [
        Ratio("delivered though neither state allows it", float(len(found.leaks)), 0, "exactly"),
        Ratio("lost though both states allow it", float(len(found.losses)), 0, "exactly"),
        Ratio("delivered to another pod, or twice", float(len(found.strays)), 0, "exactly"),
    ]


def _told(found: Judgement, traffic: Traffic, count: int) -> tuple[str, ...]:
    wrong = (*found.strays, *found.leaks, *found.losses)
    counts = (
        f"{count} changes (seed {_SEED}); {found.sent} datagrams sent, {traffic.unsent} refused by senders' kernels, "
        f"{found.delivered} delivered; {found.certain} certain, {found.forbidden} forbidden."
    )
    lag = f"Lagging: {len(found.lagging)} datagrams, up to {max(found.lagging, default=0.0) * 1000:.1f} ms."
    return (counts, lag, *wrong[:20])
