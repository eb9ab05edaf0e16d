"""Which nodes may hold the pool's addresses that services have: kept as services, endpoints and the pool change."""

from __future__ import annotations

from collections.abc import Iterable

from topology.model import Address, Service
from topology.snapshot.events import Change
from topology.snapshot.holding import claim, disclaim
from topology.snapshot.value import Claim, Snapshot


def reclaimed(snapshot: Snapshot, addresses: Iterable[Address]) -> tuple[Snapshot, tuple[Change, ...]]:
    """Let each of these addresses be claimed for the service that has it, if one has; of two, the first in order."""
    changes: list[Change] = []
    for address in addresses:
        present, wanted = snapshot.claims.get(address), _wanted(snapshot, address)
        if present == wanted or address in snapshot.egress_by_address:
            continue
        if wanted is not None:
            snapshot, moved = claim(snapshot, address, wanted)
        else:
            snapshot, moved = disclaim(snapshot, address, "" if present is None else present.whose)
        changes += moved
    return snapshot, tuple(changes)


def _wanted(snapshot: Snapshot, address: Address) -> Claim | None:
    keys = snapshot.ingress_of.get(address, ())
    pool = snapshot.cluster.load_balancer_pool
    if not keys or not any(address.version == cidr.version and address in cidr for cidr in pool):
        return None
    key = min(keys)
    nodes = _candidates(snapshot.services[key], snapshot)
    return None if nodes == () else Claim(f'service "{"/".join(key)}"', nodes or ())


def _candidates(service: Service, snapshot: Snapshot) -> tuple[str, ...] | None:
    """Return the nodes that have an endpoint for who comes there, where others lead nowhere; None: any will do."""
    if not service.external_local:
        return None
    ready: set[str] = set()
    serving: set[str] = set()
    for name in snapshot.slices_of.get(service.key, {}):
        for each in snapshot.slices[name].endpoints:
            if each.node and each.address.version == service.address.version:
                if each.ready or service.publish_not_ready:
                    ready.add(each.node)
                elif each.serving and each.terminating:
                    serving.add(each.node)
    return tuple(sorted(ready or serving))
