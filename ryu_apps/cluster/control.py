"""The control of a replica: as a lone controller's; besides it joins reports with pods, and asks the other replicas."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

import msgspec
from eventlet.event import Event as GreenEvent

from kube.client import Client
from kube.errors import ApiError, NotFound
from kube.foreign import of_kubernetes, of_node
from kube.inputs import Heard
from kube.mirror import Mirror, Name
from kube.objects import PODS, Pod
from kube.resources import tunnel_name
from rest.control import Forwarded, Published, Replica, Reply, Submitted, SwitchPhase
from ryu_apps.cluster.acknowledging import Acknowledging
from ryu_apps.cluster.announcing import Announcing
from ryu_apps.cluster.domain import ClusterDomain
from ryu_apps.cluster.following import OBJECTS, Following
from ryu_apps.cluster.living import while_living
from ryu_apps.cluster.peers import Peers
from ryu_apps.owner import Owner
from ryu_apps.plane import ControlPlane
from store.base import Mark, Store, StoreError
from topology.model import ConnectionKey, Move, Severed
from topology.requests import Reason, Refused, ReportPort, Request

PROJECT_SECONDS: Final = 5.0  # that a report waits for the project of a namespace that was made just now


class Sources(NamedTuple):
    """From where it knows what the API says."""

    client: Client
    mirror: Mirror
    following: Following
    domain: ClusterDomain


class ClusterControl(ControlPlane):
    """See `rest.control.Control`."""

    def __init__(self, owner: Owner, store: Store, sources: Sources, peers: Peers, announcing: Announcing) -> None:
        super().__init__(owner, store)
        self._sources = sources
        self._peers = peers
        self._announcing = announcing
        self._acknowledging = Acknowledging(owner.publication, self.behind, peers.late)

    def submit(self, request: Request) -> Submitted:
        """Store and apply a request; a report of a port, once its pod and project are known. Raises Refused.

        So is what Kubernetes has: nothing of ours would keep it.
        """
        theirs = of_kubernetes(request) or of_node(request, self._sources.following.nodes)
        if theirs is not None:
            raise theirs
        if not isinstance(request, ReportPort):
            return super().submit(request)
        self._sources.domain.check(request)  # before the API server is asked in vain
        self._know_pod(request)
        try:
            submitted = super().submit(request)
        except Refused as refused:
            self._announcing.refused(request, refused)
            raise
        self._announcing.attached(request)
        return submitted

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Wait until a request is in force on all switches; return the nodes on which it is not."""
        return self._acknowledging.late(submitted, timeout)

    def in_force(self, marks: tuple[Mark, ...], timeout: float, nodes: frozenset[str] | None = None) -> tuple[str, ...]:
        """See `rest.control.Control`."""
        deadline = time.monotonic() + timeout
        wanted = self.published.snapshot.nodes if nodes is None else nodes
        led = frozenset(node for node in wanted if self._is_led(node))
        gone = frozenset(wanted) - led if nodes is not None else frozenset()
        if self.wait(OBJECTS, partial(self._seen, marks), timeout) is None:
            return tuple(sorted(led | gone))
        if not self._is_taken_in(deadline):
            return tuple(sorted(led | gone))
        revision = self.published.revision
        for node in sorted(led):
            behind = partial(_settled, node=node, revision=revision)
            self.wait(node, behind, max(0.0, deadline - time.monotonic()))
        published = self.published
        return tuple(sorted(gone | {node for node in led if _is_behind(published, node, revision)}))

    def reached(self, move: Move, nodes: frozenset[str], timeout: float) -> bool:
        """Wait until a move's stage is in force where others program the switches; whether it is."""
        found = self.published.snapshot
        names = [Name("moves", move.project), Name("projectnetworks", move.project), Name("networks", move.transit)]
        names += [Name("addressslices", node) for node in sorted(nodes)]
        names += [
            Name("connections", ".".join(ConnectionKey.between(move.transit, peer)))
            for peer in sorted(found.peers.get(move.transit, ()))
        ]
        return self._have(names, nodes, timeout)

    def have_tunnels(self, tunnels: tuple[Severed, ...], nodes: frozenset[str], timeout: float) -> bool:
        """Wait until what is said of tunnels is in force where others program the switches; whether it is."""
        return self._have([Name("severedtunnels", tunnel_name(each.tunnel)) for each in tunnels], nodes, timeout)

    def _have(self, names: Iterable[Name], nodes: frozenset[str], timeout: float) -> bool:
        versions = (self._sources.mirror.version(name) for name in names)
        marks = tuple(Mark(*each.name, each.resource_version) for each in versions if each is not None)
        return not self.late(Submitted(0, nodes, marks), timeout)

    def forward(self, replica: Replica, call: Forwarded) -> Reply:
        """See `rest.control.Control`."""
        return while_living(self._owner.publication, replica.name, partial(self._peers.call, replica, call))

    # --- inside --------------------------------------------------------------------------------

    def _is_led(self, node: str) -> bool:
        published = self.published
        return published.replicas.masters.get(node) == published.replicas.me

    def _is_taken_in(self, deadline: float) -> bool:
        """Wait until what the mirror has seen is published too: the owner may be between the one and the other."""
        done = GreenEvent()
        self._owner.call(partial(done.send, True))
        return done.wait(timeout=max(0.0, deadline - time.monotonic())) is True

    def _seen(self, marks: tuple[Mark, ...], _: Published) -> bool | None:
        return True if all(self._is_seen(mark) for mark in marks) else None

    def _is_seen(self, mark: Mark) -> bool:
        version = self._sources.mirror.version(Name(mark.plural, mark.name))
        if mark.resource_version == 0:
            return version is None or version.deleted
        return version is not None and version.resource_version >= mark.resource_version

    def _know_pod(self, request: ReportPort) -> None:
        """See that the pod of a report is known, and its project: the watch may be behind the kubelet."""
        client, following = self._sources.client, self._sources.following
        name = Name(PODS.plural, f"{request.project}/{request.pod}")
        if following.pods.get(name) != request.pod_uid or not request.pod_uid:
            try:
                found = msgspec.json.decode(client.get(PODS, request.pod, request.project), type=Pod)
            except NotFound:
                cause, remedy = "does not exist", "the runtime should not attach it; it asks again"
                raise Refused(Reason.UNKNOWN, f"pod {request.project}/{request.pod}", cause, remedy) from None
            except ApiError as error:
                raise StoreError(error.subject, error.cause, error.remedy) from None
            _check_uid(request, found)
            following.take_in((Heard(PODS.plural, found, gone=False),))
        self.wait("projects", partial(_has_project, project=request.project), PROJECT_SECONDS)


def _check_uid(request: ReportPort, found: Pod) -> None:
    if request.pod_uid and found.metadata.uid != request.pod_uid:
        cause = f"was made anew: its uid is {found.metadata.uid}, not {request.pod_uid}"
        subject = f"pod {request.project}/{request.pod}"
        raise Refused(Reason.TAKEN, subject, cause, "the runtime removes what is left of the old one")


def _has_project(published: Published, project: str) -> bool | None:
    return True if project in published.snapshot.projects else None


def _is_behind(published: Published, node: str, revision: int) -> bool:
    status = published.switches.get(node)
    return status is not None and status.committed_revision < min(revision, status.desired_revision)


def _settled(published: Published, node: str, revision: int) -> bool | None:
    status = published.switches.get(node)
    # One in standby is about to be led: it has been taken over just now.
    away = status is not None and status.phase is SwitchPhase.AWAY
    return True if away or not _is_behind(published, node, revision) else None
