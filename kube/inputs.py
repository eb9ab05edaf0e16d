"""All that is watched: Kubernetes' objects and ours, each kind by a reflector, gathered for whoever takes them in.

Nothing is told before every kind is known (`waiting_for` is empty): a network of which half is known would be half
deleted. What is told are `Heard`s, in the order in which each kind told them; the first ones, kind after kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import structlog

from kube.client import Client, Resource
from kube.objects import (
    ENDPOINT_SLICES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SERVICES,
    SHAPES,
    Custom,
    Metadata,
    Named,
)
from kube.reflector import Reflector
from kube.resources import CUSTOM_RESOURCES, GROUP, VERSION

CUSTOM: Final = tuple(Resource(GROUP, VERSION, resource.plural) for resource in CUSTOM_RESOURCES)
# In the order in which they are told at first: what others refer to comes before them.
WATCHED: Final = (NAMESPACES, NODES, *CUSTOM, PODS, SERVICES, ENDPOINT_SLICES, NETWORK_POLICIES)

log = structlog.get_logger(__name__)


class Heard(NamedTuple):
    """An object that exists as it is here, or (gone) exists no more."""

    plural: str
    found: Any  # of the kind's shape
    gone: bool


class Thread(Protocol):
    """A thread that can be ended from outside."""

    def kill(self) -> None:
        """End it."""
        ...


class Key(NamedTuple):
    """What identifies an object of a kind."""

    namespace: str
    name: str


class Inputs:
    """The reflectors of all kinds. `start` begins; `take` returns what was heard since, once all is known."""

    def __init__(
        self,
        client: Client,
        sleep: Callable[[float], object],
        wake: Callable[[], object],
        watched: Iterable[Resource] = WATCHED,
    ) -> None:
        self._sinks = {resource.plural: _Sink(resource, self._hear, self._complete) for resource in watched}
        self._reflectors = [
            Reflector(client, resource, SHAPES.get(resource, Custom), self._sinks[resource.plural], sleep)
            for resource in watched
        ]
        self._wake = wake
        self._threads: list[Thread] = []
        self._heard: dict[str, list[Heard]] = {plural: [] for plural in self._sinks}

    def start(self, spawn: Callable[[Callable[[], None]], Thread]) -> None:
        """Begin to list and watch, each kind in a thread of its own."""
        self._spawn = spawn
        self._threads = [spawn(reflector.run) for reflector in self._reflectors]

    def restart(self) -> None:
        """Begin anew: what was heard may be old, and connections dead without saying so. What is known stays known."""
        for thread in self._threads:
            thread.kill()
        for sink in self._sinks.values():
            sink.is_complete = False
        for reflector in self._reflectors:
            reflector.forget()
        self._threads = [self._spawn(reflector.run) for reflector in self._reflectors]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What is not known yet, each with the reason in words."""
        return tuple(sink.state for sink in self._sinks.values() if not sink.is_complete)

    @property
    def troubles(self) -> Mapping[str, str]:
        """What keeps a kind from being followed now."""
        return {plural: sink.said for plural, sink in self._sinks.items() if sink.said}

    @property
    def is_idle(self) -> bool:
        """Whether everything is known, and taken."""
        return not self.waiting_for and not any(self._heard.values())

    @property
    def counts(self) -> Mapping[str, int]:
        """How many objects there are, by kind."""
        return {plural: len(sink.known) for plural, sink in self._sinks.items()}

    def take(self, most: int) -> list[Heard]:
        """Return what was heard, at most so many, kind after kind. Nothing before all kinds are known."""
        if self.waiting_for:
            return []
        taken: list[Heard] = []
        for heard in self._heard.values():
            room = most - len(taken)
            if room <= 0:
                break
            taken += heard[:room]
            del heard[:room]
        return taken

    def _hear(self, heard: Heard) -> None:
        self._heard[heard.plural].append(heard)
        self._wake()

    def _complete(self) -> None:
        self._wake()


class _Sink:
    """What is known of one kind: which objects there are, so that a list tells which are not there any more."""

    def __init__(self, resource: Resource, hear: Callable[[Heard], None], complete: Callable[[], None]) -> None:
        self.known: dict[Key, None] = {}
        self.is_complete = False
        self.said = ""
        self._resource = resource
        self._hear = hear
        self._tell_complete = complete
        self._listed: dict[Key, None] = {}

    @property
    def state(self) -> str:
        """How far it is, in words."""
        return self.said or f"{self._resource.full_name}: {len(self._listed)} listed so far"

    def begin(self) -> None:
        """See `reflector.Sink`."""
        self._listed = {}

    def put(self, found: Named) -> None:
        """See `reflector.Sink`."""
        key = _key(found.metadata)
        self.known[key] = self._listed[key] = None
        self._hear(Heard(self._resource.plural, found, gone=False))

    def remove(self, found: Named) -> None:
        """See `reflector.Sink`."""
        self.known.pop(_key(found.metadata), None)
        self._hear(Heard(self._resource.plural, found, gone=True))

    def complete(self, resource_version: str) -> None:
        """See `reflector.Sink`."""
        for key in [key for key in self.known if key not in self._listed]:
            metadata = Metadata(namespace=key.namespace, name=key.name, resource_version=resource_version)
            self.remove(SHAPES.get(self._resource, Custom)(metadata=metadata))
        self._listed = {}
        self.is_complete = True
        self._tell_complete()

    def unreadable(self, found: Metadata, why: str) -> None:
        """See `reflector.Sink`."""
        log.error("an object cannot be read; what was known of it stays", kind=self._resource.full_name,
                  name=f"{found.namespace}/{found.name}".lstrip("/"), why=why)  # fmt: skip
        self.known[_key(found)] = self._listed[_key(found)] = None

    def trouble(self, why: str) -> None:
        """See `reflector.Sink`."""
        if why and why != self.said:
            log.warning("watching", why=why)
        self.said = why


def _key(metadata: Metadata) -> Key:
    return Key(metadata.namespace, metadata.name)
