"""Row 2: one pod more, from its port's message to the switch's commit reply, with 10 to 400 switches.

Beside it, in the same rounds: the same bytes answered by a plain socket and by a bare Ryu application, and, as a node
sees a pod's whole addition, OVN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from bench import ovn
from bench.answers import write
from bench.cpu import average
from bench.dummies import MOST_BRIDGES
from bench.figures import Contender, Distribution, Ratio, Row, mean
from bench.ground import Ground
from bench.interleave import interleave
from bench.ovn import Ovn
from bench.pods import Feed, PodAdditions, Round, WrongEndError
from bench.rigs import ControllerRig, RawRig, Size, plain_answers, ryu_answering
from bench.setting import Setting
from bench.whole import HeddleWhole, OvnWhole, WholeRound
from lab.state import State

NUMBER = 2
TITLE = "pod add: from the port's message to the commit reply"
_NANOSECONDS = 1e9
_REACTION = "reaction µs"  # median time from the port's message to the last byte of the commit request


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    scales = (10, 50) if setting.quick else (10, 50, 200, 400)
    with_fakes = [Size(nodes) for nodes in scales]
    contenders, ratios = _on_the_wire(setting, with_fakes)
    if not setting.quick:
        real, real_ratios = _on_the_wire(setting, [Size(400, real=400)])
        contenders, ratios = [*contenders, *real], [*ratios, *real_ratios]
    whole, whole_ratios, notes = _beside_ovn(setting, (10,) if setting.quick else (10, 20))
    return Row(NUMBER, TITLE, (*contenders, *whole), (*ratios, *whole_ratios), (*_NOTES, *notes))


_NOTES = (
    "The port's message is put into the stream by a process in front of the bridge, for all contenders alike.",
    "Raw contenders repeat the bytes that the controller sent, on bridges with the same flows.",
    "'with fakes': ten real bridges, on which pods are added, and fake switches that answer.",
    "'whole': REST report, a real port made in OVSDB, until Committed; OVN: the port, lsp-add, --wait=hv.",
)


def _on_the_wire(setting: Setting, sizes: Sequence[Size]) -> tuple[list[Contender], list[Ratio]]:
    count = 20 if setting.quick else 40
    with ExitStack() as undo:
        state = setting.state(undo)
        feed = Feed()
        rigs = [_controller_rig(undo, state, setting, size, feed) for size in sizes]
        raws = [_raw_rig(undo, state, name, rigs[0], feed) for name in ("plain", "ryu")]
        setting.say("adding pods")
        ours = [PodAdditions(rig, feed if rig is rigs[0] else Feed(), count) for rig in rigs]
        theirs = [PodAdditions(rig, feed, count) for rig in raws]
        # The first controller's round fills the feed that the raw ones live on.
        order: list[PodAdditions] = [ours[0], *theirs, *ours[1:]]
        results = interleave(order, setting.pace)
        _check(results[:3], rigs[0], raws)
    names = [_name(sizes[0]), "plain socket, same bytes", "bare Ryu application, same bytes", *map(_name, sizes[1:])]
    contenders = [_contender(name, rounds) for name, rounds in zip(names, results, strict=True)]
    return contenders, _ratios(contenders, sizes)


def _controller_rig(undo: ExitStack, state: State, setting: Setting, size: Size, feed: Feed) -> ControllerRig:
    """Start a rig; the first one's first messages are what raw contenders begin with."""
    setting.say(f"starting {size.nodes} switches, {size.real} of them real, and their controller")
    rig = ControllerRig(state, f"heddle{size.nodes}", size)
    undo.callback(rig.close)
    first = rig.start()
    if not feed.preludes:
        feed.record_preludes(first)
    return rig


def _raw_rig(undo: ExitStack, state: State, name: str, model: ControllerRig, feed: Feed) -> RawRig:
    start = plain_answers if name == "plain" else ryu_answering
    rig = RawRig(state, name, model.snapshot, Size(10), start)
    undo.callback(rig.close)
    file = rig.site.ground.folder("recorded") / "preludes"
    write(file, feed.preludes)
    rig.answers.remote.ask("preludes", path=str(file))
    rig.site.connect()
    rig.wait_like(model.site)
    return rig


def _check(results: Sequence[Sequence[Round]], model: ControllerRig, raws: Sequence[RawRig]) -> None:
    """Every raw contender's bridges had and have exactly as many flows as the controller's. WrongEndError if not."""
    for rounds in zip(*results, strict=True):
        if len({one.flows for one in rounds}) != 1:
            raise WrongEndError(f"flows after the additions differ: {[one.flows for one in rounds]}")
    sites = [model.site, *(rig.site for rig in raws)]
    at_the_end = {tuple(site.flow_count(node) for node in range(1, 11)) for site in sites}
    if len(at_the_end) != 1:
        raise WrongEndError(f"flows after the removals differ: {at_the_end}")


def _name(size: Size) -> str:
    kind = "all real" if size.real == size.nodes else "with fakes"
    return f"Heddle, {size.nodes} switches, {kind}"


def _contender(name: str, rounds: Sequence[Round]) -> Contender:
    added = [one for each in rounds for one in each.added]
    facts = {
        _REACTION: f"{Distribution(tuple(one.reaction / 1000 for one in added)).median:.0f}",
        "switches": f"{max(one.switches for one in added)}",
        "flow-mods": f"{mean([one.flow_mods for one in added]):.1f}",
        "bytes": f"{mean([len(one.bundle) for one in added]):.0f}",
    }
    cpu = average([each.cpu_ms for each in rounds], len(added))
    return Contender(name, Distribution(tuple(one.total / _NANOSECONDS for one in added)), cpu, facts)


def _ratios(contenders: Sequence[Contender], sizes: Sequence[Size]) -> list[Ratio]:
    ours, plain, ryu = contenders[:3]
    first = f"{sizes[0].nodes} switches" + (", all real" if sizes[0].real > MOST_BRIDGES else "")
    ratios = [
        Ratio(f"p50, {first} / plain socket", _p50(ours) / _p50(plain), 2.5),
        Ratio(f"p50, {first} / bare Ryu application", _p50(ours) / _p50(ryu), 1.4),
        Ratio(f"until the controller's last byte, {first} / bare Ryu", _reaction(ours) / _reaction(ryu)),
    ]
    for size, contender in zip(sizes[1:], contenders[3:], strict=True):
        goal = 1.2 if size.nodes == 400 else None
        ratios.append(Ratio(f"p50, {size.nodes} / {sizes[0].nodes} switches", _p50(contender) / _p50(ours), goal))
    most = max(float(contender.facts["switches"]) for contender in contenders)
    ratios.append(Ratio(f"switches touched by one pod, of {sizes[-1].nodes}", most, 1, "exactly"))
    return ratios


def _p50(contender: Contender) -> float:
    return contender.seconds.median


def _reaction(contender: Contender) -> float:
    return float(contender.facts[_REACTION])


def _beside_ovn(setting: Setting, scales: Sequence[int]) -> tuple[list[Contender], list[Ratio], tuple[str, ...]]:
    if absent := ovn.missing():
        return (
            [],
            [],
            (f"Not compared with OVN: {', '.join(absent)} not installed (apt-get install ovn-central ovn-host).",),
        )
    contenders: list[Contender] = []
    ratios: list[Ratio] = []
    for scale in scales:
        ours, theirs = _whole(setting, scale)
        contenders += [ours, theirs]
        ratios += [
            Ratio(f"whole addition at {scale}: CPU / OVN's", ours.total_cpu_ms / theirs.total_cpu_ms, 1 / 50),
            Ratio(f"whole addition at {scale}: CPU / OVN's northd and databases", _central(ours, theirs)),
            Ratio(f"whole addition at {scale}: p50 / OVN's", ours.seconds.median / theirs.seconds.median),
        ]
    return contenders, ratios, ()


def _central(ours: Contender, theirs: Contender) -> float:
    """The controller's CPU beside OVN's central programs': what does not share the machine in real life."""
    return ours.cpu_ms["controller"] / (theirs.cpu_ms["ovn-northd"] + theirs.cpu_ms["ovn databases"])


def _whole(setting: Setting, scale: int) -> tuple[Contender, Contender]:
    count = 4 if setting.quick else 6
    size = Size(scale, real=scale, alone=True)
    with ExitStack() as undo:
        state = setting.state(undo)
        rig = _controller_rig(undo, state, setting, size, Feed())
        setting.say(f"starting OVN with {scale} chassis")
        peer = Ovn(Ground(state, "ovn"), scale, size.pods, size.plan.networks)
        peer.start()
        setting.say("adding pods")
        both: list[Callable[[int], WholeRound]] = [HeddleWhole(rig, count), OvnWhole(peer, count)]
        results = interleave(both, setting.pace)
    names = (f"Heddle, whole, {scale} nodes", f"OVN, whole, {scale} chassis")
    ours, theirs = (_whole_contender(name, rounds) for name, rounds in zip(names, results, strict=True))
    return ours, theirs


def _whole_contender(name: str, rounds: Sequence[WholeRound]) -> Contender:
    seconds = tuple(one for each in rounds for one in each.seconds)
    return Contender(name, Distribution(seconds), average([each.cpu_ms for each in rounds], len(seconds)), {})
