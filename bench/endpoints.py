"""An endpoint of a service comes and goes: by the controller, as the whole group anew, and by OVN. No row is made here.

Each round is one endpoint more and one less, seen on the wire. The whole group is bytes prepared beforehand, and
nothing else: no decision, no store, no flow that tells what the group has in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bench.cpu import Programs, average
from bench.offers import PORT, TARGET, Offers
from bench.ovn import Balancer, Ovn
from bench.pods import WrongEndError
from bench.rewriting import Rewriter
from bench.rigs import ControllerRig, Site
from bench.tap import Message
from ryu_apps.openflow import messages
from ryu_apps.openflow.decode import bundle_reply
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.groups import put_group
from ryu_apps.openflow.wire import MessageType
from topology.admission import admit
from topology.compiler import Delta, SectionKey, compile_node, section
from topology.flow import Group
from topology.groups import by_id, changes
from topology.model import Endpoint, EndpointSlice, Service
from topology.pipeline import FeatureId
from topology.requests import PutEndpoints
from topology.snapshot import Snapshot, apply_all

_SETTLE: Final = 0.05  # seconds in which what else a change causes is seen too
_ORDERS: Final = {  # what changes a switch; echoes, and what an audit asks, may come at any time
    *(MessageType.BUNDLE_CONTROL, MessageType.BUNDLE_ADD, MessageType.FLOW_MOD, MessageType.GROUP_MOD),
    MessageType.EXPERIMENTER,  # connections to forget
}
_FIRST: Final = 1  # the switch that is looked at for what it has


@dataclass(frozen=True, slots=True)
class Seen:
    """One change: seconds until it was answered, nanoseconds on the wire, and what was sent to all switches."""

    seconds: float
    wire: int
    messages: int
    sent: int  # bytes
    switches: int


@dataclass(frozen=True, slots=True)
class Round:
    """The changes of a round, and CPU-milliseconds of all by program."""

    seen: tuple[Seen, ...]
    cpu_ms: Mapping[str, float]


class Changing:
    """Puts the last slice of a service with one endpoint more, and then as it was, by REST."""

    def __init__(self, rig: ControllerRig, offers: Offers, size: int) -> None:
        self._rig = rig
        self._slices = [offers.changed(rig.snapshot, size, more=more) for more in (True, False)]
        self._groups = [groups_of(rig.snapshot, offers.of_size(size), one) for one in self._slices]

    def __call__(self, _: int) -> Round:
        """One more and one less. WrongEndError when a switch has not the buckets that it must have after each."""
        programs, site = self._rig.programs(), self._rig.site
        found, spent = [], []
        for changed, groups in zip(self._slices, self._groups, strict=True):
            before = programs.read()
            found.append(watched(site, lambda changed=changed: put(self._rig, changed)))  # type: ignore[misc]
            spent.append(programs.read().since(before))
            check_buckets(site, groups)
        return Round(tuple(found), average(spent, 1))


class Repeating:
    """The limit: puts a slice that is there already. Nothing is sent to any switch."""

    def __init__(self, rig: ControllerRig, offers: Offers, size: int) -> None:
        self._rig = rig
        self._slice = offers.changed(rig.snapshot, size, more=False)

    def __call__(self, _: int) -> Round:
        """Twice, as a round of the others has two changes. WrongEndError when something is sent."""
        programs, tap = self._rig.programs(), self._rig.site.tap
        tap.skip()
        before = programs.read()
        took = []
        for _again in range(2):
            began = time.perf_counter()
            put(self._rig, self._slice)
            took.append(time.perf_counter() - began)
            time.sleep(_SETTLE)
        spent = programs.read().since(before)
        if sent := [one for one in tap.read() if one.to_switch and one.kind in _ORDERS]:
            raise WrongEndError(f"{len(sent)} messages were sent for what is there already")
        return Round(tuple(Seen(seconds, 0, 0, 0, 0) for seconds in took), spent)


class WholeGroup:
    """Replaces all buckets of a service's groups, on switches with the same flows and groups as the controller's."""

    def __init__(self, site: Site, rewriter: Rewriter, snapshot: Snapshot, service: Service) -> None:
        self._site = site
        self._rewriter = rewriter
        self._snapshot = snapshot
        self._service = service
        self._changes: list[tuple[tuple[Group, ...], bytes]] = []

    def between(self, slices: Sequence[EndpointSlice]) -> WholeGroup:
        """Say which slice there is after each change of a round."""
        for one in slices:
            groups = groups_of(self._snapshot, self._service, one)
            puts = b"".join(map(put_group, groups))
            self._changes.append((groups, messages.bundle_open() + puts + messages.bundle_commit()))
        return self

    def __call__(self, _: int) -> Round:
        """There and back. WrongEndError when a switch has not the buckets that were sent."""
        programs = Programs(self._site.pids())
        found, spent = [], []
        for groups, bundle in self._changes:
            bundles = dict.fromkeys((node.dpid for node in self._snapshot.nodes.values()), bundle)
            before = programs.read()
            found.append(watched(self._site, lambda bundles=bundles: self._rewriter.send(bundles)))  # type: ignore[misc]
            spent.append(programs.read().since(before))
            check_buckets(self._site, groups)
        return Round(tuple(found), average(spent, 1))


class OvnChanging:
    """Gives a load balancer of OVN one endpoint more, and one less, and waits for all chassis each time."""

    def __init__(self, ovn: Ovn, balancers: Sequence[Balancer]) -> None:
        """`balancers`: as it is after each change of a round."""
        self._ovn = ovn
        self._balancers = balancers

    def __call__(self, _: int) -> Round:
        """One more and one less. WrongEndError when a chassis has not one bucket more and one less."""
        programs = Programs(self._ovn.pids())
        found, spent, buckets = [], [], [self._ovn.bucket_count(_FIRST)]
        for balancer in self._balancers:
            before = programs.read()
            began = time.perf_counter()
            self._ovn.rebalance(balancer)
            found.append(Seen(time.perf_counter() - began, 0, 0, 0, 0))
            time.sleep(_SETTLE)
            spent.append(programs.read().since(before))
            buckets.append(self._ovn.bucket_count(_FIRST))
        if [more - less for less, more in pairwise(buckets)] != [1, -1]:
            raise WrongEndError(f"a chassis has had {buckets} buckets")
        return Round(tuple(found), average(spent, 1))


def prepare(site: Site, rewriter: Rewriter, snapshot: Snapshot) -> None:
    """Give the switches of a site all flows and groups of a network, by plain sockets."""
    bundles = {}
    for name, node in snapshot.nodes.items():
        entries = tuple(compile_node(name, snapshot).entries())
        delta = Delta(entries, (), changes({}, by_id(entries)))
        bundles[node.dpid] = Encoder().bundle(delta)
    site.connect()
    rewriter.wait(len(bundles))
    rewriter.send(bundles)


def groups_of(snapshot: Snapshot, service: Service, changed: EndpointSlice) -> tuple[Group, ...]:
    """The groups of a service, lower ones first, when one of its slices is `changed`; the same on all nodes."""
    after, _ = apply_all(snapshot, admit(snapshot, PutEndpoints(changed)))
    entries = section(next(iter(snapshot.nodes)), SectionKey(int(FeatureId.SERVICES), service.key), after)
    return tuple(by_id(entries).values())


def balancers(offers: Offers, snapshot: Snapshot) -> list[Balancer]:
    """The services as OVN has them."""
    return [balancer(service, endpoints) for service, endpoints in offers.endpoints(snapshot)]


def balancer(service: Service, endpoints: Sequence[Endpoint]) -> Balancer:
    """One of them."""
    places = tuple(f"{one.address}:{TARGET.port}" for one in endpoints)
    return Balancer(service.key.name, f"{service.address}:{PORT.port}", places)


def put(rig: ControllerRig, changed: EndpointSlice) -> None:
    """Put a slice of endpoints by REST; return when it is in force."""
    body: dict[str, Any] = {
        "project": changed.key.project,
        "name": changed.key.name,
        "service": changed.service,
        "ports": [{"name": port.name, "protocol": port.protocol, "port": port.port} for port in changed.ports],
        "endpoints": [{"address": str(one.address), "node": one.node} for one in changed.endpoints],
    }
    rig.controller.change("POST", "/v1/endpoints", body)


def watched(site: Site, change: Callable[[], object]) -> Seen:
    """Make a change and tell what was seen of it."""
    site.tap.skip()
    began = time.perf_counter()
    change()
    seconds = time.perf_counter() - began
    time.sleep(_SETTLE)
    return seen(list(site.tap.read()), seconds)


def seen(found: Sequence[Message], seconds: float) -> Seen:
    """What the messages of one change amount to. WrongEndError when a switch has not committed."""
    sent = [one for one in found if one.to_switch and one.kind in _ORDERS]
    replies = [one for one in found if not one.to_switch and one.kind == MessageType.BUNDLE_CONTROL]
    commits = [one for one in replies if bundle_reply(one.raw).committed]
    switches = {one.switch for one in sent}
    if not sent or {one.switch for one in commits} != switches:
        raise WrongEndError(f"{len(switches)} switches were told something, {len(commits)} have committed")
    wire = max(one.at for one in commits) - min(one.at for one in sent)
    return Seen(seconds, wire, len(sent), sum(len(one.raw) for one in sent), len(switches))


def check_buckets(site: Site, groups: Sequence[Group]) -> None:
    """WrongEndError when the first switch has other numbers of buckets in these groups."""
    switches, bridge = site.bridge(_FIRST)
    for group in groups:
        shown = switches.ofctl("dump-groups", str(group.group_id), bridge=bridge.name)
        if (there := shown.count("bucket=")) != len(group.buckets):
            raise WrongEndError(f"group {group.group_id} has {there} buckets, not {len(group.buckets)}")
