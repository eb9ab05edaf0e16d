"""Joins and isolations of two networks on a rig, seen on the wire; and the old way beside them. No row is made here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.cpu import Programs, average
from bench.pods import WrongEndError
from bench.rewriting import FLOWS_OF_A_POD, Rewriter, rewritten
from bench.rigs import ControllerRig, Site
from bench.tap import Message
from bench.world import pair_names
from ryu_apps.openflow.decode import bundle_reply
from ryu_apps.openflow.wire import MessageType
from topology.pipeline import Table
from topology.snapshot import Snapshot

_SETTLE = 0.02  # seconds in which what else a change causes is seen too
_FLOW_MOD_AT, _TABLE_AT = 17, 40  # in OFPT_BUNDLE_ADD: the type of the message in it, and a flow-mod's table
_BUNDLE = (MessageType.BUNDLE_CONTROL, MessageType.BUNDLE_ADD)


@dataclass(frozen=True, slots=True)
class Seen:
    """One change: seconds until it was answered, nanoseconds on the wire, what was sent, and to how many switches."""

    seconds: float
    wire: int
    flow_mods: int  # without those that write sentinels
    sentinels: int
    switches: int
    sent: int  # bytes


@dataclass(frozen=True, slots=True)
class Round:
    """The changes of a round, and CPU-milliseconds of all by program."""

    seen: tuple[Seen, ...]
    cpu_ms: Mapping[str, float]


class Joining:
    """Joins the two networks of a size, and isolates them again."""

    def __init__(self, rig: ControllerRig, size: int) -> None:
        self._rig = rig
        self._pair = pair_names(size)
        self.hosts = len({node for name in self._pair for node in rig.snapshot.hosts[name]})

    def __call__(self, _: int) -> Round:
        """One join and one isolation. WrongEndError when the bridges have not what they must have after each."""
        controller, (one, other) = self._rig.controller, self._pair
        changes: list[Callable[[], object]] = [
            lambda: controller.change("POST", "/v1/connections", {"networks": [one, other]}),
            lambda: controller.change("DELETE", f"/v1/connections/{one}/{other}"),
        ]
        programs, spent, found = self._rig.programs(), [], []
        counts = [self._counts()]
        for change in changes:
            before = programs.read()
            found.append(self._watched(change))
            spent.append(programs.read().since(before))
            counts.append(self._counts())
        self._check(*counts)
        return Round(tuple(found), average(spent, 1))

    def _check(self, before: list[int], joined: list[int], after: list[int]) -> None:
        gained = [more - less for more, less in zip(joined, after, strict=True)]
        if gained != self._expected() or any(now - then not in (0, 1) for now, then in zip(after, before, strict=True)):
            raise WrongEndError(f"flows before, joined and after: {before}, {joined}, {after}")

    def _expected(self) -> list[int]:
        """Two flows more on each bridge that hosts one of the two. A sentinel, once written, stays."""
        return [2 if self._is_host(number) else 0 for number in self._numbers]

    def _is_host(self, number: int) -> bool:
        return any(f"n{number}" in self._rig.snapshot.hosts[name] for name in self._pair)

    @property
    def _numbers(self) -> range:
        return range(1, self._rig.site.size.real + 1)

    def _counts(self) -> list[int]:
        return [self._rig.site.flow_count(number) for number in self._numbers]

    def _watched(self, change: Callable[[], object]) -> Seen:
        tap = self._rig.site.tap
        tap.skip()
        began = time.perf_counter()
        change()
        seconds = time.perf_counter() - began
        time.sleep(_SETTLE)
        return seen(list(tap.read()), seconds)


class Rewriting:
    """Gives the pods of one network of a size another VNID, and back."""

    def __init__(self, site: Site, rewriter: Rewriter, snapshot: Snapshot, size: int) -> None:
        self._site = site
        self._rewriter = rewriter
        one, other = (snapshot.networks[name] for name in pair_names(size))
        self._bundles = [rewritten(snapshot, one.name, vnid) for vnid in (other.vnid, one.vnid)]
        self._flows = FLOWS_OF_A_POD * size
        rewriter.send(self._bundles[1])

    def __call__(self, _: int) -> Round:
        """There and back. WrongEndError when not every pod's flows were sent."""
        programs = Programs(self._site.pids())
        before = programs.read()
        found = tuple(self._watched(bundles) for bundles in self._bundles)
        if any(one.flow_mods != self._flows for one in found):
            raise WrongEndError(f"{[one.flow_mods for one in found]} flow-mods, not {self._flows}")
        return Round(found, programs.read().since(before))

    def _watched(self, bundles: Mapping[int, bytes]) -> Seen:
        self._site.tap.skip()
        seconds = self._rewriter.send(bundles)
        time.sleep(_SETTLE)
        return seen(list(self._site.tap.read()), seconds)


def seen(messages: Sequence[Message], seconds: float) -> Seen:
    """What the messages of one change amount to. WrongEndError when a switch has not committed."""
    sent = [one for one in messages if one.to_switch and one.kind in _BUNDLE]
    replies = [one for one in messages if not one.to_switch and one.kind == MessageType.BUNDLE_CONTROL]
    commits = [one for one in replies if bundle_reply(one.raw).committed]
    adds = [one.raw for one in sent if one.kind == MessageType.BUNDLE_ADD]
    mods = [raw for raw in adds if raw[_FLOW_MOD_AT] == MessageType.FLOW_MOD]
    switches = {one.switch for one in sent}
    if not sent or {one.switch for one in commits} != switches:
        raise WrongEndError(f"{len(switches)} switches were told something, {len(commits)} have committed")
    sentinels = sum(raw[_TABLE_AT] == Table.SENTINELS for raw in mods)
    wire = max(one.at for one in commits) - min(one.at for one in sent)
    return Seen(seconds, wire, len(mods) - sentinels, sentinels, len(switches), sum(len(one.raw) for one in sent))
