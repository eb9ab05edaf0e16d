"""Row 8: one endpoint of a service more or less, of 10, 100 and 1,000, among 5,000 services on ten switches.

Beside it: nothing changed, so that nothing is sent; all buckets of the group replaced, as bytes prepared beforehand;
and OVN's load balancer. And what compiling and verifying such a change takes, on a hundred nodes, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from bench import ovn
from bench.cpu import average
from bench.endpoints import (
    Changing,
    OvnChanging,
    Repeating,
    Round,
    WholeGroup,
    balancer,
    balancers,
    prepare,
)
from bench.figures import Contender, Distribution, Ratio, Row
from bench.ground import Ground
from bench.interleave import interleave
from bench.offers import Offers, endpoint, offered, seed_services
from bench.ovn import Ovn
from bench.rewriting import Rewriter
from bench.rigs import ControllerRig, Site, Size
from bench.setting import Setting
from bench.work import Work, checked_and_compiled, contender, steps_of, timed
from bench.world import Plan
from lab.state import State
from topology.compiler import compile_all
from topology.requests import PutEndpoints

NUMBER = 8
TITLE = "an endpoint of a service more or less"
_ALL, _QUICK = Offers(5000, (10, 100, 1000)), Offers(500, (10, 100))
_SWITCHES = 10
_NODES = 100  # where no switches are needed
_CHANGES = 10
_TENTH = 0.1
_OURS, _NOTHING, _WHOLE, _OVN = "Heddle", "nothing changed", "whole group", "OVN"


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    offers = _QUICK if setting.quick else _ALL
    absent = ovn.missing()
    with ExitStack() as undo:
        ways = _ways(undo, setting, offers, with_ovn=not absent)
        setting.say("changing endpoints")
        results = interleave([way for each in ways.values() for way in each.values()], setting.pace)
    names = [(size, name) for size, each in ways.items() for name in each]
    by_name = {name: _contender(*name, rounds) for name, rounds in zip(names, results, strict=True)}
    measured = dict(zip(names, results, strict=True))
    ratios = [ratio for size in ways for ratio in _ratios(size, by_name, measured)]
    works, more = _computed(setting, offers)
    notes = (*_NOTES, f"Not compared with OVN: {', '.join(absent)} not installed.") if absent else _NOTES
    return Row(NUMBER, TITLE, (*by_name.values(), *works), (*ratios, *more), notes)


_NOTES = (
    "Heddle, nothing changed: from the REST call to its answer. Whole group: from the first byte to the last reply.",
    "Messages and bytes are those to one switch, counted on the wire; the most that a change has.",
    "The whole group is prepared bytes: no decision, store and encoding is in its times.",
    "OVN: set load_balancer with the whole list, --wait=hv; every chassis with an Open vSwitch of its own, as ours.",
)


# --- on the wire ---------------------------------------------------------------------------------

_Way = Callable[[int], Round]


def _ways(undo: ExitStack, setting: Setting, offers: Offers, *, with_ovn: bool) -> dict[int, dict[str, _Way]]:
    """Start everything; how each contender changes each service, by its size in endpoints."""
    state = setting.state(undo)
    size = Size(_SWITCHES, real=_SWITCHES, alone=True)
    setting.say(f"starting {_SWITCHES} switches with {offers.services} services, and their controller")
    rig = ControllerRig(state, "heddle", size, partial(seed_services, plan=size.plan, offers=offers))
    undo.callback(rig.close)
    rig.start()
    whole = _whole(undo, state, rig, offers)
    peer = _started_ovn(setting, state, size, offers, rig) if with_ovn else None
    ways: dict[int, dict[str, _Way]] = {}
    for wide in offers.sizes:
        ways[wide] = {_OURS: Changing(rig, offers, wide), _NOTHING: Repeating(rig, offers, wide), _WHOLE: whole(wide)}
        if peer is not None:
            service = offers.of_size(wide)
            every = [endpoint(rig.snapshot, number) for number in range(wide + 1)]
            ways[wide][_OVN] = OvnChanging(peer, [balancer(service, every), balancer(service, every[:wide])])
    return ways


def _whole(undo: ExitStack, state: State, rig: ControllerRig, offers: Offers) -> Callable[[int], WholeGroup]:
    size = rig.site.size
    snapshot = offered(size.plan, offers)
    site = Site(state, "whole", snapshot, size)
    undo.callback(site.close)
    rewriter = Rewriter(site.ground)
    undo.callback(rewriter.close)
    prepare(site, rewriter, snapshot)

    def way(wide: int) -> WholeGroup:
        slices = [offers.changed(snapshot, wide, more=more) for more in (True, False)]
        return WholeGroup(site, rewriter, snapshot, offers.of_size(wide)).between(slices)

    return way


def _started_ovn(setting: Setting, state: State, size: Size, offers: Offers, rig: ControllerRig) -> Ovn:
    setting.say(f"starting OVN with {size.nodes} chassis and {offers.services} load balancers")
    peer = Ovn(Ground(state, "ovn"), size.nodes, size.pods, size.plan.networks)
    peer.start()
    peer.balance(balancers(offers, rig.snapshot))
    return peer


def _contender(size: int, name: str, rounds: Sequence[Round]) -> Contender:
    found = [one for each in rounds for one in each.seen]
    facts = {}
    if any(one.switches for one in found):
        facts = {
            "on the wire ms": f"{_wire(rounds) * 1000:.2f}",
            "switches": f"{max(one.switches for one in found)}",
            "messages": f"{max(one.messages / one.switches for one in found):.0f}",
            "bytes": f"{_bytes(rounds):.0f}",
        }
    cpu = average([each.cpu_ms for each in rounds], len(found))
    return Contender(f"{size} endpoints: {name}", Distribution(tuple(one.seconds for one in found)), cpu, facts)


def _ratios(
    size: int, by_name: Mapping[tuple[int, str], Contender], measured: Mapping[tuple[int, str], Sequence[Round]]
) -> list[Ratio]:
    ours, nothing, whole = (by_name[size, name] for name in (_OURS, _NOTHING, _WHOLE))
    sent, all_of_it = measured[size, _OURS], measured[size, _WHOLE]
    ratios = [
        Ratio(f"{size} endpoints: bytes / whole group's", _bytes(sent) / _bytes(all_of_it), _TENTH),
        Ratio(f"{size} endpoints: on the wire / whole group's", _wire(sent) / _wire(all_of_it)),
        Ratio(f"{size} endpoints: ovs-vswitchd's CPU / whole group's", _switch_cpu(ours) / _switch_cpu(whole)),
        Ratio(f"{size} endpoints: p50 / nothing changed", ours.seconds.median / nothing.seconds.median),
    ]
    if (size, _OVN) in by_name:
        theirs = by_name[size, _OVN]
        ratios += [
            Ratio(f"{size} endpoints: CPU / OVN's", ours.total_cpu_ms / theirs.total_cpu_ms, _TENTH),
            Ratio(f"{size} endpoints: p50 / OVN's", ours.seconds.median / theirs.seconds.median),
        ]
    return ratios


def _bytes(rounds: Sequence[Round]) -> float:
    """To one switch, the most that a change has."""
    return max(one.sent / one.switches for each in rounds for one in each.seen)


def _wire(rounds: Sequence[Round]) -> float:
    """Seconds, the median."""
    return Distribution(tuple(one.wire / 1e9 for each in rounds for one in each.seen)).median


def _switch_cpu(contender: Contender) -> float:
    return contender.cpu_ms["ovs-vswitchd"]


# --- computed ------------------------------------------------------------------------------------


def _computed(setting: Setting, offers: Offers) -> tuple[list[Contender], list[Ratio]]:
    nodes = _SWITCHES if setting.quick else _NODES
    setting.say(f"computing {offers.services} services on {nodes} nodes")
    snapshot = offered(Plan(nodes), offers)
    tables = compile_all(snapshot)
    works: list[Work] = []
    for size in offers.sizes:
        both = [PutEndpoints(offers.changed(snapshot, size, more=more)) for more in (True, False)]
        steps = steps_of(snapshot, tables, both * (_CHANGES // 2), PutEndpoints)
        works += checked_and_compiled(f"{size} endpoints, {nodes} nodes", steps)
    results = interleave([timed(work) for work in works], setting.pace)
    contenders = [contender(work, seconds) for work, seconds in zip(works, results, strict=True)]
    return contenders, [Ratio(f"ms to {one.name}", one.seconds.median * 1000) for one in contenders]
