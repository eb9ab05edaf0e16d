"""Row 11: packets: a stream, small datagrams, requests, connections; to a pod, to a service, to the outside.

Beside it, on the same Open vSwitch: a learning switch (NORMAL), and the least pipeline with conntrack. And how many
masks megaflows have while there are more and more services. In a laboratory, with the userspace datapath.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain

from bench.crowds import Crowd, Looked, Reach
from bench.figures import Contender, Distribution, Ratio, Row, mean
from bench.interleave import Pace, interleave
from bench.loads import DATAGRAMS, LOADS, STREAM, Load
from bench.setting import Setting
from bench.ways import GENEVE, PROJECT, ByGeneve, Course, Courses, Ran, Running, Way, courses
from lab.laboratory import Lab

NUMBER = 11
TITLE = "packets: rates beside bare bridges' on the same Open vSwitch, and masks of megaflows"
_LAB = "benchdata"
_GOAL = 0.95
_STEADY = (STREAM, DATAGRAMS)  # kinds of traffic that leave a switch no time to sleep: CPU a packet tells its work
_SETTLE = 0.5  # seconds until servers listen
_COUNTS = (0, 10, 100, 1000)  # of services
_REMEMBERED = 60_000  # milliseconds for which the datapath keeps a megaflow that nothing uses


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    with ExitStack() as undo:
        setting.say("making a laboratory of two nodes, and bare bridges on both")
        lab = undo.enter_context(Lab(_LAB, nodes=2))
        found = courses(lab, setting.state(undo), undo)
        time.sleep(_SETTLE)
        contenders, ratios = _rates(setting, lab, found)
        looked = _crowded(setting, lab)
    counts = tuple(_crowd_contender(count, each) for count, each in looked.items())
    return Row(NUMBER, TITLE, (*contenders, *counts), (*ratios, *_mask_ratios(looked)), _NOTES)


_NOTES = (
    "Rates are of what arrived in a moment of traffic; each ratio is the median of the rounds' ratios.",
    "'NORMAL again': the same once more; how far its ratio is from 1 is how far chance goes.",
    "'tap': pods whose interfaces are ports of the switch, moved into them; 'pod': on veths.",
    "'Geneve': the pods on veths, while both nodes send by Geneve.",
    "'packets': that the client's switch took in; to the outside each comes twice, by br0 and by br-ex.",
    "'µs': CPU of both switches for each of those packets, and how much of it outside the kernel.",
    "'passes' through the datapath for a packet, and masks tried for a hit: the client's switch, the other's.",
    "'masks' of IPv4 megaflows from pods, tunnel and node: on the client's node and the other; flows there.",
    "Services of one endpoint each, and 'widest' of as many endpoints as there are services.",
)


# --- rates ---------------------------------------------------------------------------------------


def _rates(setting: Setting, lab: Lab, found: Courses) -> tuple[list[Contender], list[Ratio]]:
    pace = Pace(0, 2) if setting.quick else Pace(1, 7)
    contenders: list[Contender] = []
    ratios: list[Ratio] = []
    for load in LOADS:
        for course in (found.near, found.far, found.outside)[: 1 if setting.quick else None]:
            setting.say(f"{load.name}, {course.title}")
            ways = (*course.ways, *((found.again, found.twice) if course is found.near else ()))
            results = interleave([_running(load, way, lab) for way in ways], pace)
            contenders += [_contender(load, course, *each) for each in zip(ways, results, strict=True)]
            ratios += _ratios(load, course, dict(zip(ways, results, strict=True)))
    return contenders, ratios


def _running(load: Load, way: Way, lab: Lab) -> Callable[[int], Ran]:
    running = Running(load, way, tuple(lab.nodes.values()))
    return ByGeneve(running, lab) if way.title == GENEVE else running


def _contender(load: Load, course: Course, way: Way, rounds: Sequence[Ran]) -> Contender:
    rates = Distribution(tuple(one.moved.rate for one in rounds))
    facts = {
        f"{load.unit}/s": f"{rates.median:,.0f} ({rates.minimum:,.0f} to {max(rates.values):,.0f})",
        "packets": f"{mean([one.packets for one in rounds]):,.0f}",
        "µs": f"{_cpu_us(rounds):.2f}, outside the kernel {_user_us(rounds):.2f}",
        "passes": " + ".join(f"{_passes(rounds, number):.2f}" for number in _switches(rounds)),
        "masks tried": " + ".join(f"{_tried(rounds, number):.1f}" for number in _switches(rounds)),
    }
    units = sum(one.moved.units for one in rounds)
    cpu = {name: sum(one.cpu_ms[name] for one in rounds) / units for name in rounds[0].cpu_ms}
    seconds = Distribution(tuple(1 / one.moved.rate for one in rounds))
    return Contender(f"{load.name}, {course.title}: {way.title}", seconds, cpu, facts)


def _ratios(load: Load, course: Course, results: Mapping[Way, Sequence[Ran]]) -> list[Ratio]:
    first = course.peers[0]
    pairs: list[tuple[Way, Way, float | None]] = [(way, peer, _GOAL) for way in course.ours for peer in course.peers]
    pairs += [(way, first, None) for way in results if way not in course.ways]
    pairs += [(way, course.ours[0], None) for way in course.others]
    ratios = []
    for way, peer, goal in pairs:
        what = f"{load.name}, {course.title}: {way.title} / {peer.title}"
        ratios.append(Ratio(what, _rate_ratio(results[way], results[peer]), goal, "at least"))
        if load in _STEADY:
            ratios.append(Ratio(f"{what}, CPU a packet", _cpu_us(results[way]) / _cpu_us(results[peer])))
    return ratios


def _rate_ratio(ours: Sequence[Ran], theirs: Sequence[Ran]) -> float:
    """Of each round by itself: what else the machine does changes from round to round."""
    each = tuple(one.moved.rate / other.moved.rate for one, other in zip(ours, theirs, strict=True))
    return Distribution(each).median


def _cpu_us(rounds: Sequence[Ran]) -> float:
    return Distribution(tuple(one.cpu_us for one in rounds)).median


def _user_us(rounds: Sequence[Ran]) -> float:
    """Over all rounds: a single one has few ticks."""
    return 1000 * sum(one.user_ms for one in rounds) / sum(one.packets for one in rounds)


def _switches(rounds: Sequence[Ran]) -> range:
    """The switches through which what was measured went."""
    return range(sum(one.packets > rounds[0].packets / 2 for one in rounds[0].passed))


def _passes(rounds: Sequence[Ran], number: int) -> float:
    return mean([one.passed[number].passes for one in rounds])


def _tried(rounds: Sequence[Ran], number: int) -> float:
    return mean([one.passed[number].subtables for one in rounds])


# --- masks ---------------------------------------------------------------------------------------


def _crowded(setting: Setting, lab: Lab) -> dict[int, dict[Reach, Looked]]:
    pods = lab.pods_by_name
    near, far, *behind = (pods[f"{PROJECT}/{name}"] for name in ("near", "far", "near-behind", "far-behind"))
    crowd = Crowd(lab, pods[f"{PROJECT}/client"], (near, far, lab.outside), behind)
    for node in lab.nodes.values():
        node.ovs_vsctl("set", "open", ".", f"other_config:max-idle={_REMEMBERED}")
    found = {}
    for count in _COUNTS[: -1 if setting.quick else None]:
        setting.say(f"looking at megaflows with {count} services")
        crowd.grow(count)
        found[count] = {reach: crowd.look(reach) for reach in Reach}
    return found


def _crowd_contender(count: int, looked: dict[Reach, Looked]) -> Contender:
    facts = {}
    for reach, each in looked.items():
        shown = " + ".join(str(one.distinct) for one in each.masks)
        facts[f"masks, {_ASKED[reach]}"] = f"{shown}, flows {' + '.join(str(one.flows) for one in each.masks)}"
    seconds = tuple(chain.from_iterable(each.seconds for each in looked.values()))
    return Contender(f"first connections, {count} services", Distribution(seconds), {}, facts)


_ASKED = {Reach.PODS: "pods asked", Reach.SERVICES: "services too", Reach.WIDEST: "the widest too"}


def _mask_ratios(looked: dict[int, dict[Reach, Looked]]) -> list[Ratio]:
    none, few, *_, many = looked
    ratios = []
    for reach, words in _ASKED.items():
        fewest = none if reach is Reach.PODS else few
        value = _masks(looked[many][reach]) / _masks(looked[fewest][reach])
        ratios.append(Ratio(f"masks, {words}: {many:,} services / {fewest}", value, 1, "exactly"))
    return ratios


def _masks(looked: Looked) -> int:
    return sum(each.distinct for each in looked.masks)
