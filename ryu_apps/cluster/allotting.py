"""Gives services of type LoadBalancer addresses of the pool, at the replica that decides: in their status.

What is there is what is so: it comes back by the watch, as what any load balancer gives. Until then this replica
remembers what it has written; what another one wrote that decided before is read first. Should two services have one
address all the same, the second in order gets another one. A service that is no load balancer of ours any more loses
what it had, and only then is that given to another.

It works by what is touched: all services are looked at once, when a replica begins to decide.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import eventlet
import msgspec
import structlog

from kube.client import Client
from kube.errors import ApiError, Conflict, NotFound
from kube.mirror import Mirror, Name
from kube.objects import EVENTS, SERVICES, Service
from kube.reading import version_number
from kube.serving import is_of_others, pooled, service_version
from ryu_apps.cluster.announcing import COMPONENT
from ryu_apps.cluster.holdings import Holdings
from store.fields import Malformed
from topology import model
from topology.model import Address, ServiceKey
from topology.pool import allotted, held_of_pool, is_pooled
from topology.requests import Refused
from topology.snapshot import Snapshot

_LOOK_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 5.0  # until those that got none are looked at again
_REASON: Final = "LoadBalancerRefused"

log = structlog.get_logger(__name__)


class _Items(msgspec.Struct, frozen=True):
    items: tuple[Service, ...] = ()


class Known(NamedTuple):
    """What a replica knows: what objects say, the network as it is, and what services ask for that cannot be."""

    mirror: Mirror
    snapshot: Callable[[], Snapshot]
    faults: Mapping[Name, str]


class Allotting:
    """Looks at the services that were touched, while this replica decides."""

    def __init__(
        self,
        client: Client,
        known: Known,
        decides: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._mirror, self._snapshot, self._faults = known
        self._decides = decides
        self._clock = clock
        self._due: dict[ServiceKey, None] = {}
        self._waiting: dict[ServiceKey, None] = {}
        self._again = 0.0
        self._given: dict[ServiceKey, int] = {}  # what was written and not heard of yet: the version of the service
        self._held = Holdings()
        self._said: dict[ServiceKey, str] = {}
        self._has_read = False

    def touched(self, names: Iterable[Name]) -> None:
        """Note services that have changed, or are new, or gone."""
        for name in names:
            if name.plural == SERVICES.plural:
                self._due[_key(name.name)] = None

    def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                self.look()
            except ApiError as error:
                log.warning("load balancers' addresses are not given", why=str(error))
                eventlet.sleep(AGAIN_SECONDS)
            except Exception:
                log.exception("load balancers' addresses are not given")
                eventlet.sleep(AGAIN_SECONDS)
            eventlet.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Give addresses to those that lack one, take them from those that are to have none. Raises ApiError.

        What is not done then is done by the next call.
        """
        if not self._decides() or not self._snapshot().cluster.load_balancer_pool:
            self._has_read = False
            self._due.clear()
            return
        if not self._has_read:
            self._read(self._snapshot())
        if self._clock() >= self._again:
            self._again = self._clock() + AGAIN_SECONDS
            self._due.update(self._waiting)
        for key in sorted(self._due):
            del self._due[key]  # it may be touched anew while the API server is asked
            try:
                self._see_to(key, self._snapshot())
            except BaseException:
                self._due[key] = None
                raise

    def _read(self, snapshot: Snapshot) -> None:
        """Read what services have now: another replica may have given what the watch has not told yet."""
        for state in (self._given, self._held, self._waiting, self._said):
            state.clear()
        self._due.update(dict.fromkeys(map(_key, self._mirror.names(SERVICES.plural))))
        for found in msgspec.json.decode(self._client.list(SERVICES, {}), type=_Items).items:
            key = ServiceKey(found.metadata.namespace, found.metadata.name)
            try:
                held, version = pooled(found, snapshot.cluster), service_version(found, snapshot.cluster)
            except Malformed:
                continue  # whoever reads the watch has said so
            if not held or is_of_others(found):
                continue
            self._held.put(key, held)
            self._given[key] = version.resource_version
        self._has_read = True

    def _see_to(self, key: ServiceKey, snapshot: Snapshot) -> None:
        """Do what is to be done about one service."""
        self._waiting.pop(key, None)
        given, known = self._given.get(key), self._mirror.version(_name(key))
        if given is not None and known is not None and known.resource_version < given:
            return  # what was written comes yet, and this is looked at then
        self._given.pop(key, None)
        if known is None:
            self._said.pop(key, None)
            self._hold(key, ())
            return
        # As of the version that is written over: the snapshot may be a moment behind.
        service = next((each for each in known.values if isinstance(each, model.Service)), None)
        if service is None or not service.load_balancer:
            self._take_back(key, known.resource_version, () if service is None else service.ingress, snapshot)
        elif key not in snapshot.services:
            self._waiting[key] = None  # it is not taken into the network yet
        else:
            self._serve(service, known.resource_version, snapshot)

    def _serve(self, service: model.Service, version: int, snapshot: Snapshot) -> None:
        """Give a service an address, if it lacks one. Who shares it is looked at as well."""
        mine = tuple(each for each in service.ingress if is_pooled(each, snapshot.cluster))
        self._hold(service.key, mine)
        if _lacks(service, snapshot):
            self._give(service, version, snapshot)
        else:
            self._said.pop(service.key, None)
        for each in mine:
            for other in snapshot.ingress_of.get(each, ()):
                if other != service.key and _lacks(snapshot.services[other], snapshot):
                    self._due[other] = None

    def _give(self, service: model.Service, version: int, snapshot: Snapshot) -> None:
        key = service.key
        try:
            if why := self._faults.get(_name(key)):
                raise _Misread(why)
            address = allotted(service, snapshot, self._held.others(key))
        except (Refused, _Misread) as refused:
            self._waiting[key] = None
            self._refused(key, str(refused))
            return
        written = self._write(key, version, [{"ip": str(address)}])
        if written is None:
            return
        self._given[key] = version_number(written.metadata.resource_version)
        self._hold(key, (address,))
        self._said.pop(key, None)
        log.info("a load balancer's address is given", service="/".join(key), address=str(address))

    def _take_back(self, key: ServiceKey, version: int, there: Iterable[Address], snapshot: Snapshot) -> None:
        """Let a service's status be without what it had of the pool; `there`: all that it has, as far as it counts."""
        self._said.pop(key, None)
        if key not in self._held:
            return
        left = [{"ip": str(each)} for each in there if not is_pooled(each, snapshot.cluster)]
        if self._write(key, version, left or None) is not None:
            log.info("a load balancer's address is taken back", service="/".join(key), address=self._held.of(key))
            self._hold(key, ())

    def _hold(self, key: ServiceKey, addresses: tuple[Address, ...]) -> None:
        """Note what a service has. Where something becomes free, those that wait are looked at next."""
        if self._held.put(key, addresses):
            self._again = 0.0

    def _write(self, key: ServiceKey, version: int, ingress: list[dict[str, str]] | None) -> Service | None:
        """Write a status; None when another has changed the service: it is looked at again when that is heard of."""
        status = {"loadBalancer": {"ingress": ingress}}
        body = {"metadata": {"resourceVersion": str(version)}, "status": status}
        try:
            content = self._client.patch(SERVICES, key.name, body, key.project, subresource="status")
        except (Conflict, NotFound):
            return None
        return msgspec.json.decode(content, type=Service)

    def _refused(self, key: ServiceKey, why: str) -> None:
        """An Event says why a service has none, each reason once."""
        if self._said.get(key) == why:
            return
        self._client.create(EVENTS, _event(key, why), key.project)
        self._said[key] = why
        log.warning("refused", name="/".join(key), why=why)


class _Misread(Exception):
    """A service asks for what is no address."""


def _lacks(service: model.Service, snapshot: Snapshot) -> bool:
    """Whether a service has no address of the pool by itself. One that another load balancer serves is let alone."""
    own = held_of_pool(service, snapshot.cluster)
    if own:
        holders: tuple[ServiceKey, ...] = (service.key, *snapshot.ingress_of.get(own[0], ()))
        return service.key != min(holders)
    return not service.ingress or any(is_pooled(address, snapshot.cluster) for address in service.ingress)


def _name(key: ServiceKey) -> Name:
    return Name(SERVICES.plural, "/".join(key))


def _key(name: str) -> ServiceKey:
    project, _, service = name.partition("/")
    return ServiceKey(project, service)


def _event(key: ServiceKey, why: str) -> dict[str, Any]:
    at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name}.{uuid.uuid4().hex[:16]}", "namespace": key.project},
        "involvedObject": {"apiVersion": "v1", "kind": "Service", "namespace": key.project, "name": key.name},
        "type": "Warning",
        "reason": _REASON,
        "message": why[:1024],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
