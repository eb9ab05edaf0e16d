"""Gives services of type LoadBalancer addresses of the pool, at the replica that decides: in their status.

What is there is what is so: it comes back by the watch, as what any load balancer gives. Until then this replica
remembers what it has written; what another one wrote that decided before is read first. Should two services have one
address all the same, the second in order gets another one.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import eventlet
import msgspec
import structlog

from kube.client import Client
from kube.errors import ApiError, Conflict, NotFound
from kube.mirror import Mirror, Name
from kube.objects import EVENTS, SERVICES, Service
from kube.serving import service_version
from ryu_apps.cluster.announcing import COMPONENT
from store.fields import Malformed
from topology import model
from topology.model import Address, ServiceKey
from topology.pool import allotted, held_of_pool, is_pooled
from topology.requests import Refused
from topology.snapshot import Snapshot

_LOOK_SECONDS: Final = 0.5
_REASON: Final = "LoadBalancerRefused"

log = structlog.get_logger(__name__)


class _Items(msgspec.Struct, frozen=True):
    items: tuple[Service, ...] = ()


class _Given(NamedTuple):
    """What was written and not heard of yet, at which version of the service."""

    address: Address
    version: int


class Allotting:
    """Looks at all services from time to time, while this replica decides."""

    def __init__(
        self, client: Client, mirror: Mirror, snapshot: Callable[[], Snapshot], decides: Callable[[], bool]
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._snapshot = snapshot
        self._decides = decides
        self._given: dict[ServiceKey, _Given] = {}
        self._said: dict[ServiceKey, str] = {}
        self._has_read = False

    def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                self.look()
            except ApiError as error:
                log.warning("load balancers' addresses are not given", why=str(error))
            except Exception:
                log.exception("load balancers' addresses are not given")
            eventlet.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Give addresses to the services that lack one. Raises ApiError."""
        snapshot = self._snapshot()
        if not self._decides() or not snapshot.cluster.load_balancer_pool:
            self._has_read = False
            return
        if not self._has_read:
            self._read(snapshot)
        self._given = {key: given for key, given in self._given.items() if self._is_under_way(key, given, snapshot)}
        for key, service in sorted(snapshot.services.items()):
            if service.load_balancer and key not in self._given and _lacks(service, snapshot):
                self._give(service, snapshot)
        self._said = {key: why for key, why in self._said.items() if key in snapshot.services}

    def _read(self, snapshot: Snapshot) -> None:
        """Read what services have now: another replica may have given what the watch has not told yet."""
        self._given = {}
        for found in msgspec.json.decode(self._client.list(SERVICES, {}), type=_Items).items:
            try:
                version = service_version(found, snapshot.cluster)
            except Malformed:
                continue  # whoever reads the watch has said so
            for value in version.values:
                own = held_of_pool(value, snapshot.cluster) if isinstance(value, model.Service) else ()
                if own and isinstance(value, model.Service):
                    self._given[value.key] = _Given(own[0], version.resource_version)
        self._has_read = True

    def _is_under_way(self, key: ServiceKey, given: _Given, snapshot: Snapshot) -> bool:
        known = self._mirror.version(_name(key))
        return key in snapshot.services and (known is None or known.resource_version < given.version)

    def _give(self, service: model.Service, snapshot: Snapshot) -> None:
        known = self._mirror.version(_name(service.key))
        if known is None:
            return
        try:
            address = allotted(service, snapshot, {given.address for given in self._given.values()})
        except Refused as refused:
            self._refused(service.key, str(refused))
            return
        status = {"loadBalancer": {"ingress": [{"ip": str(address)}]}}
        body = {"metadata": {"resourceVersion": str(known.resource_version)}, "status": status}
        try:
            content = self._client.patch(SERVICES, service.key.name, body, service.key.project, subresource="status")
        except (Conflict, NotFound):
            return  # another has changed it: it is looked at again when that is heard of
        told = msgspec.json.decode(content, type=Service)
        version = service_version(told, snapshot.cluster).resource_version
        self._given[service.key] = _Given(address, version)
        self._said.pop(service.key, None)
        log.info("a load balancer's address is given", service="/".join(service.key), address=str(address))

    def _refused(self, key: ServiceKey, why: str) -> None:
        """An Event says why a service has none, each reason once."""
        if self._said.get(key) == why:
            return
        self._said[key] = why
        log.warning("refused", name="/".join(key), why=why)
        self._client.create(EVENTS, _event(key, why), key.project)


def _lacks(service: model.Service, snapshot: Snapshot) -> bool:
    """Whether a service has no address of the pool by itself. One that another load balancer serves is let alone."""
    own = held_of_pool(service, snapshot.cluster)
    if own:
        return service.key != min(snapshot.ingress_of.get(own[0], (service.key,)))
    return not service.ingress or any(is_pooled(address, snapshot.cluster) for address in service.ingress)


def _name(key: ServiceKey) -> Name:
    return Name(SERVICES.plural, "/".join(key))


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
