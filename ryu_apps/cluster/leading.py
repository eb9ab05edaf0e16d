"""Who answers for what, as leases say: told to the owner, which leads or follows, and published for REST and nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import eventlet
import structlog
from immutables import Map

from kube.leases import Membership, View
from kube.shares import DECISIONS
from rest.control import Held, Published, Replica, Replicas
from ryu_apps.cluster.domain import ClusterDomain
from ryu_apps.owner import Owner

log = structlog.get_logger(__name__)


class Knowing(NamedTuple):
    """How what is known is brought up to date: of nodes that are to be led, and of everything."""

    refresh: Callable[[Iterable[str]], object]
    catch_up: Callable[[], object]


class Leading:
    """Brings the owner to what leases say, when they or the nodes change."""

    def __init__(self, owner: Owner, membership: Membership, domain: ClusterDomain, knowing: Knowing) -> None:
        self._owner = owner
        self._membership = membership
        self._domain = domain
        self._knowing = knowing
        self._led: dict[str, int] = {}
        self._trouble = ""

    @property
    def decides(self) -> bool:
        """Whether this replica decides about the whole network."""
        return DECISIONS in self._membership.view.mine and not self._membership.trouble

    def run(self) -> None:
        """Follow leases and nodes for ever."""
        eventlet.spawn(self._membership.run, eventlet.sleep, self.changed, self._catch_up)
        eventlet.spawn(self._watch_trouble)
        nodes = self._owner.publication.current.snapshot.nodes
        while True:
            seen = nodes

            def others(published: Published, seen: object = seen) -> object:
                return published.snapshot.nodes if published.snapshot.nodes is not seen else None

            found = self._owner.publication.wait("nodes", others, 3600.0)
            if found is not None:
                nodes = self._owner.publication.current.snapshot.nodes
                self.changed(self._membership.view)

    def changed(self, view: View) -> None:
        """Take over who has what."""
        nodes = self._owner.publication.current.snapshot.nodes
        shares = {node: self._domain.share_of(node) for node in nodes}
        self._owner.say(replicas=self._replicas(view, shares))
        wanted = {node: view.mine[share] for node, share in shares.items() if share in view.mine}
        left = [node for node in self._led if node not in wanted]
        new = {node: generation for node, generation in wanted.items() if self._led.get(node) != generation}
        self._led = wanted
        if left:
            self._owner.step_back(left)
        if new:
            # What its last master has decided just now may be on its way still; without it, flows would go and come.
            self._knowing.refresh(new)
            # That takes a while, and leases or nodes may have changed: the call that came with that has the last word.
            self._owner.lead(
                {node: generation for node, generation in new.items() if self._led.get(node) == generation}
            )

    def _catch_up(self) -> None:
        """List everything anew, and wait until it is known."""
        log.info("this replica's lease has run out; everything is listed anew")
        self._knowing.catch_up()
        log.info("everything is known again")

    def _replicas(self, view: View, shares: Mapping[str, str]) -> Replicas:
        masters = {node: view.holders[share] for node, share in shares.items() if share in view.holders}
        held = (Held(share, holder, view.since.get(share, "")) for share, holder in sorted(view.holders.items()))
        return Replicas(
            me=self._membership.me.name,
            living=tuple(Replica(*replica) for replica in view.replicas),
            decides=view.holders.get(DECISIONS),
            masters=Map(masters),
            shares=Map(shares),
            held=tuple(held),
        )

    def _watch_trouble(self) -> None:
        """Say when this replica stops deciding; when it goes on, catch up on what switches told meanwhile."""
        while True:
            eventlet.sleep(self._membership.interval)
            trouble = self._membership.trouble
            if trouble and not self._trouble:
                log.error("no decisions are taken; switches are kept as they are", why=trouble)
                self._owner.say(waiting_for=(trouble,))
            if self._trouble and not trouble:
                log.info("decisions are taken again")
                self._owner.say(waiting_for=())
                self._owner.lead(self._led)
            self._trouble = trouble
            if not trouble:
                self._owner.insist(self._led)
