"""Addresses of the load balancers' pool: which a service has, may have, and which is free. Questions to a snapshot.

One is given with the service and stays with it; nobody keeps a list of those that are given.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from topology.model import Address, Cluster, Prefix, Service
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot


def is_pooled(address: Address, cluster: Cluster) -> bool:
    """Whether an address is one of the pool's."""
    return any(address.version == cidr.version and address in cidr for cidr in cluster.load_balancer_pool)


def held_of_pool(service: Service, cluster: Cluster) -> tuple[Address, ...]:
    """Return what a service has of the pool that it may keep: of its family, and what it asks for if it does."""
    asked, version = service.load_balancer_address, service.address.version
    fit = (each for each in service.ingress if each.version == version and is_pooled(each, cluster))
    return tuple(each for each in fit if asked in (None, each)) if service.load_balancer else ()


def allotted(service: Service, snapshot: Snapshot, given: Container[Address] = ()) -> Address:
    """Return an address of the pool for a service; `given` are others' by now. Raises Refused when there is none."""
    cluster, version = snapshot.cluster, service.address.version
    subject = f'service "{service.key.project}/{service.key.name}"'
    pool = [cidr for cidr in cluster.load_balancer_pool if cidr.version == version]
    if not pool:
        remedy = "give one by --heddle-load-balancer-pool"
        raise Refused(Reason.EXHAUSTED, subject, f"there is no pool of IPv{version} load balancers' addresses", remedy)
    asked = service.load_balancer_address
    if asked is not None:
        _check(asked, service, snapshot, given)
        return asked
    free = (each for each in _usable(pool) if each not in given and _holder(each, service, snapshot) is None)
    found = next(free, None)
    if found is None:
        cause = f"no address of the load balancers' pool {', '.join(map(str, pool))} is free"
        raise Refused(Reason.EXHAUSTED, subject, cause, "delete services that have one, or make the pool larger")
    return found


def _check(asked: Address, service: Service, snapshot: Snapshot, given: Container[Address]) -> None:
    subject = f'service "{service.key.project}/{service.key.name}"'
    if not is_pooled(asked, snapshot.cluster):
        pool = ", ".join(map(str, snapshot.cluster.load_balancer_pool))
        cause = f"load balancer's address {asked} is outside the pool {pool}"
        raise Refused(Reason.INVALID, subject, cause, "ask for another, or for none to have one allotted")
    if asked.version != service.address.version:
        cause = f"load balancer's address {asked} is of another family than the service's address {service.address}"
        raise Refused(Reason.INVALID, subject, cause, "ask for another, or for none to have one allotted")
    holder = _holder(asked, service, snapshot) or ("another service" if asked in given else None)
    if holder is not None:
        cause = f"load balancer's address {asked} belongs to {holder}"
        raise Refused(Reason.TAKEN, subject, cause, "ask for another, or for none to have one allotted")


def _usable(pool: list[Prefix]) -> Iterator[Address]:
    """Yield addresses that hosts can have: of a subnet, not its first and last."""
    for cidr in pool:
        yield from cidr.hosts()


def _holder(address: Address, service: Service, snapshot: Snapshot) -> str | None:
    """Return in words who has an address, but for the service itself."""
    node = snapshot.node_by_underlay.get(address)
    if node is not None:
        return f'node "{node}"'
    if address in snapshot.cluster.control_plane:
        return "a controller"
    others = [key for key in snapshot.ingress_of.get(address, ()) if key != service.key]
    if others:
        return f'service "{"/".join(min(others))}"'
    claim = snapshot.claims.get(address)
    own = f'service "{"/".join(service.key)}"'
    return None if claim is None or claim.whose == own else claim.whose
