"""What if: what a change would do to the network, worked out on values and installed nowhere.

Compares the snapshot before with the one after all that the change entails. Who may talk is told by networks, as it is
decided; packets and flows of single pods are for `trace`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from topology.admission import admit
from topology.compiler import Dirty, FlowTable, Tables, update
from topology.model import EVERYTHING, Connection, Network, Port, Scope
from topology.reach import begins_tracked, needs_tracking
from topology.reach import scope as scope_of
from topology.requests import AdvanceMove, Refused, Request
from topology.snapshot import Change, Event, Snapshot, apply_all
from topology.verification import Finding, Step, check, with_witness

# Asked with the snapshot that a change leads to: what else follows from it by itself, nothing when all is done.
Complete: TypeAlias = Callable[[Snapshot], tuple[Event, ...]]

OTHERS: Final = "*"  # in place of a network: all that are not named in `besides`; no network is called so
_MOST_STAGES: Final = 10_000
_MOST_SHOWN: Final = 5  # findings that get a witness


class ReachChange(NamedTuple):
    """What pods of one network may begin towards those of another (or OTHERS), before and after; None: nothing."""

    source: str
    destination: str
    before: Scope | None
    after: Scope | None
    source_pods: int
    destination_pods: int
    besides: tuple[str, ...] = ()  # networks that OTHERS does not mean

    @property
    def is_loss(self) -> bool:
        """Whether something may be begun no longer."""
        return _is_less(self.after, self.before)


class Cut(NamedTuple):
    """Connections that go on now and would not: those that `source` began towards `destination`."""

    source: str
    destination: str
    why: str
    source_pods: int
    destination_pods: int


class PodChange(NamedTuple):
    """How many pods go from one network to another (None: they are new, or gone), and get another address."""

    before: str | None
    after: str | None
    pods: int
    readdressed: int


class FlowChange(NamedTuple):
    """How many flows a node's switch gets, and loses. One that is replaced counts in both."""

    node: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change would do. Refused: nothing, for the reason given."""

    refused: Refused | None = None
    objects: tuple[Change, ...] = ()
    reach: tuple[ReachChange, ...] = ()
    pods: tuple[PodChange, ...] = ()
    flows: tuple[FlowChange, ...] = ()
    cut: tuple[Cut, ...] = ()
    tracking: tuple[str, ...] = ()  # networks whose connections begin or cease to be tracked
    findings: tuple[Finding, ...] = ()


def nothing_more(snapshot: Snapshot) -> tuple[Event, ...]:
    """Nothing follows from a change by itself."""
    return ()


def moves_done(before: Snapshot) -> Complete:
    """Return what leads the moves to their end that were not under way `before`, stage by stage."""

    def next_stage(snapshot: Snapshot) -> tuple[Event, ...]:
        begun = (snapshot.moves[project] for project in sorted(snapshot.moves) if project not in before.moves)
        move = next(begun, None)
        return () if move is None else admit(snapshot, AdvanceMove(move.project, move.transit, move.stage))

    return next_stage


def plan_request(snapshot: Snapshot, tables: Tables, request: Request) -> Plan:
    """Return what a request would do, with the moves that it begins; a refusal is a plan as well."""
    try:
        events = admit(snapshot, request)
    except Refused as refused:
        return Plan(refused=refused)
    return plan(snapshot, tables, events, moves_done(snapshot))


def plan(before: Snapshot, tables: Tables, events: tuple[Event, ...], complete: Complete = nothing_more) -> Plan:
    """Return what events would do, and what `complete` says that follows from them."""
    after, changes = apply_all(before, events)
    for _ in range(_MOST_STAGES):
        events = complete(after)
        if not events:
            break
        after, more = apply_all(after, events)
        changes += more
    changes = _net(changes)
    new, dirty = update(tables, changes, before, after)
    findings = check(Step(changes, before, after, tables, new, dirty))
    reach = tuple(_reach(changes, before, after))
    pods = tuple(_pods(changes))
    return Plan(
        objects=tuple(change for change in changes if not isinstance(change.subject, Port)),
        reach=tuple(each for each in reach if each.before != each.after),
        pods=pods,
        flows=tuple(_flows(tables, new, dirty, before)),
        cut=(*_cut(reach, before, after), *_left_behind(pods, before, after)),
        tracking=tuple(sorted(_tracked(changes, before, after))),
        findings=(*(with_witness(each, after, new) for each in findings[:_MOST_SHOWN]), *findings[_MOST_SHOWN:]),
    )


def _net(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return changes with those of one object joined to one; what comes and goes again on the way is left out."""
    joined: dict[object, Change] = {}  # by what the object is at the end; by itself if it is gone
    for change in changes:
        earlier = None if change.before is None else joined.pop(change.before, None)
        whole = change if earlier is None else Change(earlier.before, change.after)
        if whole.before != whole.after:
            joined[whole if whole.after is None else whole.after] = whole
    return tuple(joined.values())


# --- reach ---------------------------------------------------------------------------------------


def _reach(changes: Iterable[Change], before: Snapshot, after: Snapshot) -> Iterator[ReachChange]:
    """Yield pairs that a change can alter, those that stay as they were among them."""
    pairs: set[tuple[str, str]] = set()
    for change in changes:
        match change.subject:
            case Connection(key=(first, second)):
                pairs |= {(first, second), (second, first)}
            case Network(name=name) if _was_global(change.before) != _was_global(change.after):
                besides = _besides(name, before, after)
                pairs |= {(name, other) for other in besides} | {(other, name) for other in besides}
                yield from _with_all(name, besides, before, after)
    for source, destination in sorted(pairs):
        scopes = (_may(source, destination, before), _may(source, destination, after))
        yield ReachChange(source, destination, *scopes, *_sizes((source, destination), before, after))


def _was_global(network: object) -> bool:
    return isinstance(network, Network) and network.is_global


def _besides(name: str, before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """Return the networks that are told one by one: connected ones, and global ones, which talk with all as it is."""
    special = {each for state in (before, after) for each in (*state.peers.get(name, {}), *state.global_networks)}
    return tuple(sorted(special - {name}))


def _with_all(name: str, besides: tuple[str, ...], before: Snapshot, after: Snapshot) -> Iterator[ReachChange]:
    others = {*before.networks, *after.networks} - {name, *besides}
    if not others:
        return
    was, now = (EVERYTHING if name in state.global_networks else None for state in (before, after))
    mine = max(_size(name, state) for state in (before, after))
    theirs = max(len(state.ports) - sum(_size(each, state) for each in (name, *besides)) for state in (before, after))
    yield ReachChange(name, OTHERS, was, now, mine, theirs, besides)
    yield ReachChange(OTHERS, name, was, now, theirs, mine, besides)


def _may(source: str, destination: str, snapshot: Snapshot) -> Scope | None:
    """Return what one network may begin towards another one."""
    if source not in snapshot.networks or destination not in snapshot.networks:
        return None
    if source in snapshot.global_networks or destination in snapshot.global_networks:
        return EVERYTHING
    return scope_of(source, destination, snapshot)


def _is_less(after: Scope | None, before: Scope | None) -> bool:
    """Whether something may be begun no longer."""
    return before is not None and not _includes(after, before)


def _includes(wide: Scope | None, narrow: Scope) -> bool:
    if wide is None:
        return False
    return wide.is_everything or wide == narrow or (bool(narrow.ports) and {*narrow.ports} <= {*wide.ports})


def _sizes(pair: tuple[str, str], before: Snapshot, after: Snapshot) -> tuple[int, int]:
    first, second = (max(_size(name, state) for state in (before, after)) for name in pair)
    return first, second


def _size(network: str, snapshot: Snapshot) -> int:
    return sum(snapshot.hosted[node, network] for node in snapshot.hosts.get(network, {}))


# --- pods, flows, connections --------------------------------------------------------------------


def _pods(changes: Iterable[Change]) -> Iterator[PodChange]:
    moves: Counter[tuple[str | None, str | None]] = Counter()
    renamed: Counter[tuple[str | None, str | None]] = Counter()
    first: dict[object, Port | None] = {}
    last: dict[object, Port | None] = {}
    for change in changes:
        if isinstance(change.subject, Port):
            old = change.before if isinstance(change.before, Port) else None
            first.setdefault(change.subject.key, old)
            last[change.subject.key] = change.after if isinstance(change.after, Port) else None
    for key, old in first.items():
        new = last[key]
        way = (None if old is None else old.network, None if new is None else new.network)
        moves[way] += way != (None, None)
        renamed[way] += old is not None and new is not None and old.addresses != new.addresses
    for way, pods in sorted(moves.items(), key=str):
        if pods and (way[0] != way[1] or renamed[way]):
            yield PodChange(*way, pods, renamed[way])


def _flows(old: Tables, new: Tables, dirty: Dirty, before: Snapshot) -> Iterator[FlowChange]:
    for node in sorted({*dirty, *(name for name in before.nodes if name not in new)}):
        was, now = old.get(node, FlowTable()), new.get(node, FlowTable())
        sections = dirty.get(node, set(was.sections))
        gone = {entry.cookie for section in sections for entry in was.sections.get(section, ())}
        come = {entry.cookie for section in sections for entry in now.sections.get(section, ())}
        if gone != come:
            yield FlowChange(node, len(come - gone), len(gone - come))


def _cut(reach: Iterable[ReachChange], before: Snapshot, after: Snapshot) -> Iterator[Cut]:
    """Yield what is lost, where both sides have pods. Answers pass as long as what they answer may be begun."""
    for each in reach:
        if each.is_loss and each.source_pods and each.destination_pods:
            why = "nothing may be begun any more" if each.after is None else "less may be begun than before"
            yield Cut(each.source, each.destination, why, each.source_pods, each.destination_pods)
        elif OTHERS not in each[:2] and _becomes_tracked(each, before, after):
            why = "what was begun before is not tracked: it is recognised again with the next packet of who began"
            yield Cut(each.source, each.destination, why, each.source_pods, each.destination_pods)


def _left_behind(moved: Iterable[PodChange], before: Snapshot, after: Snapshot) -> Iterator[Cut]:
    """Yield what pods lose that go to another network: what they might begin, and be asked, where they were."""
    for each in moved:
        source, target = each.before, each.after
        if source is None or target is None or source == target:
            continue
        leaves_all = source in before.global_networks and target not in after.global_networks
        others = {OTHERS} if leaves_all else {source, *before.peers.get(source, {})} - {target}
        begins, is_asked = (f'pods that go to "{target}" may {what} less than before' for what in ("begin", "be asked"))
        for other in sorted(others):
            size = len(after.ports) - each.pods if other == OTHERS else _size(other, after)
            if size and _is_less(_among(target, other, after), _among(source, other, before)):
                yield Cut(source, other, begins, each.pods, size)
            if size and _is_less(_among(other, target, after), _among(other, source, before)):
                yield Cut(other, source, is_asked, size, each.pods)


def _among(source: str, destination: str, snapshot: Snapshot) -> Scope | None:
    """Return what may be begun, also within one network, and from or to all others."""
    if OTHERS in (source, destination):
        one = destination if source == OTHERS else source
        return EVERYTHING if one in snapshot.global_networks else None
    return EVERYTHING if source == destination else _may(source, destination, snapshot)


def _becomes_tracked(each: ReachChange, before: Snapshot, after: Snapshot) -> bool:
    """Whether answers passed as anything else did, and are told apart from now on."""
    both = bool(each.source_pods and each.destination_pods)
    pair = (each.source, each.destination)
    return both and each.before is not None and not begins_tracked(*pair, before) and begins_tracked(*pair, after)


def _tracked(changes: Iterable[Change], before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yield networks whose pods' connections are committed from now on, or no more."""
    names = {change.subject.name for change in changes if isinstance(change.subject, Network)}
    names |= {name for state in (before, after) for each in {*names} for name in state.peers.get(each, {})}
    names |= {name for change in changes if isinstance(change.subject, Connection) for name in change.subject.key}
    yield from (name for name in names if needs_tracking(name, before) != needs_tracking(name, after))
