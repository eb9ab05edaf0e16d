"""What the API tells becomes part of the snapshot, whoever decided it. One green thread, by the owner's.

Small pieces, one after the other: a hundred thousand pods are taken in without anybody having to wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import eventlet
import msgspec
import structlog
from eventlet.event import Event as GreenEvent

from kube.inputs import Heard, Inputs
from kube.mirror import Mirror, Name, Version
from kube.objects import ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICES, Metadata, Namespace, Node
from kube.reading import BY_PLURAL, gone_version, limit_faults, pod_version
from kube.serving import address_faults, service_version, slice_version
from kube.store import KubernetesStore
from ryu_apps.collector import resting_collector
from ryu_apps.owner import Owner
from store.fields import Malformed
from topology.model import Cluster
from topology.snapshot import Event, Snapshot, apply_all

PIECE: Final = 200  # objects that are taken in at once
OBJECTS: Final = "objects"  # topic: something was taken over

log = structlog.get_logger(__name__)


class Following:
    """Takes in what `inputs` heard. `touched` is told the names of what may ask for something.

    `misread` is told of a pod whose annotations say something that cannot be, when that is new, and what is wrong.
    """

    def __init__(self, owner: Owner, mirror: Mirror, store: KubernetesStore) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self.nodes: dict[str, Node] = {}
        self.pods: dict[Name, str] = {}  # the uid of each
        self.synchronised = GreenEvent()
        self.touched: Callable[[Iterable[Name]], object] = lambda _: None
        self.misread: Callable[[Metadata, str], object] = lambda found, why: None
        self.faults: dict[Name, str] = {}  # of pods and services: what they ask for that cannot be
        self._owner = owner
        self._mirror = mirror
        self._store = store
        self._woken = GreenEvent()

    def wake(self) -> None:
        """Something was heard. From any green thread."""
        if not self._woken.ready():
            self._woken.send(None)

    def run(self, inputs: Inputs) -> None:
        """Take in for ever."""
        with resting_collector():
            self._begin(inputs)
        while True:
            heard = inputs.take(PIECE)
            if heard:
                self.take_in(heard)
                eventlet.sleep(0)
            else:
                self._rest()

    def _begin(self, inputs: Inputs) -> None:
        """Wait until everything is known, and take it in as a whole: nobody can have asked for anything yet."""
        while inputs.waiting_for:
            self._owner.say(waiting_for=inputs.waiting_for)
            self._rest()
        snapshot = self._owner.publication.current.snapshot
        while heard := inputs.take(PIECE):
            snapshot = apply_all(snapshot, self._observe(tuple(heard), [], snapshot))[0]
            eventlet.sleep(0)
        done = GreenEvent()
        self._owner.begin_with(snapshot, partial(eventlet.sleep, 0), partial(done.send, None))
        done.wait()
        self._owner.say(waiting_for=())
        self.synchronised.send(None)

    def _rest(self) -> None:
        """Wait until something is heard, or a second."""
        with eventlet.Timeout(1.0, False):
            self._woken.wait()
        self._woken = GreenEvent()

    def take_in(self, heard: Iterable[Heard]) -> None:
        """Take in some; return when they are part of the snapshot."""
        done = GreenEvent()
        names: list[Name] = []
        self._owner.follow(partial(self._observe, tuple(heard), names))
        self._owner.call(partial(done.send, None))
        done.wait()
        self._owner.publication.publish(self._owner.publication.current, (OBJECTS,))
        self.touched(names)

    def _observe(self, heard: tuple[Heard, ...], names: list[Name], snapshot: Snapshot) -> tuple[Event, ...]:
        """Return what a snapshot lacks. In the owner thread, once there is something to be led."""
        versions: list[Version] = []
        refused: dict[Name, str | None] = {}  # what was known to be wrong with each
        for each in heard:
            name = Name(each.plural, _name(each.found.metadata))
            names.append(name)
            refused[name] = self._mirror.refusals.get(name)
            try:
                versions += self._versions(name, each, snapshot.cluster)
            except (Malformed, msgspec.DecodeError) as error:
                log.error("an object is not what it should be; what was known of it stays", name=name, why=str(error))
                refused[name] = self._mirror.refusals[name] = str(error)
        events = self._mirror.observe(snapshot, versions)
        for name, known in refused.items():
            why = self._mirror.refusals.get(name)
            if why not in (None, known):
                log.warning("an object is not taken as it is", name=name, why=why)
        return events

    def _versions(self, name: Name, heard: Heard, cluster: Cluster) -> Iterable[Version]:
        found, gone = heard.found, heard.gone
        if name.plural in BY_PLURAL:
            return (self._store.saw(name.plural, found, gone=gone),)
        if name.plural == PODS.plural:
            _note(self.pods, name, found.metadata.uid, gone=gone)
            if self._is_faulty_anew(name, limit_faults(found), gone=gone):
                self.misread(found.metadata, self.faults[name])
        elif name.plural == SERVICES.plural:
            self._is_faulty_anew(name, address_faults(found), gone=gone)
        elif name.plural == NAMESPACES.plural:
            _note(self.namespaces, name.name, found, gone=gone or found.metadata.deletion_timestamp is not None)
        elif name.plural == NODES.plural:
            _note(self.nodes, name.name, found, gone=gone)
        read = _READERS.get(name.plural)
        if read is None:
            return ()
        return (gone_version(name, found.metadata.resource_version) if gone else read(found, cluster),)

    def _is_faulty_anew(self, name: Name, faults: tuple[str, ...], *, gone: bool) -> bool:
        """Note an object's faults; return whether they are other ones than were known."""
        why = "" if gone else "; ".join(faults)
        told = self.faults.pop(name, "")
        if why:
            self.faults[name] = why
        return why not in ("", told)


_READERS: Final[Mapping[str, Callable[[Any, Cluster], Version]]] = {
    PODS.plural: lambda found, _: pod_version(found),
    SERVICES.plural: service_version,
    ENDPOINT_SLICES.plural: lambda found, _: slice_version(found),
}


def _note(known: dict[Any, Any], key: Any, value: Any, *, gone: bool) -> None:
    if gone:
        known.pop(key, None)
    else:
        known[key] = value


def _name(metadata: Metadata) -> str:
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
