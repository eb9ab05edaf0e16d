"""What is answered about mirrors, from the snapshot. Pure."""

from __future__ import annotations

import msgspec

from rest.shapes import Counter, LateNodes
from store.fields import Object, Subdomain
from store.mirrors import Mirror
from topology import model
from topology.snapshot import Snapshot


class MirrorView(Mirror, frozen=True, kw_only=True):
    """A mirror, how many ports it copies, and on which node its target is; null: nowhere, so nothing is copied."""

    ports: Counter
    node: Subdomain | None


class MirrorMade(MirrorView, frozen=True, kw_only=True):
    """A mirror that was made or replaced."""

    late: LateNodes = ()


class Mirrors(Object, frozen=True):
    """All mirrors."""

    mirrors: tuple[MirrorView, ...]


def mirror_view(snapshot: Snapshot, mirror: model.Mirror) -> MirrorView:
    """Return a mirror as it is shown."""
    targets = (snapshot.ports[key] for key in sorted(snapshot.port_by_pod.get(mirror.target, {})))
    nodes = (port.node for port in targets if port.ofport is not None and not port.is_secondary)
    shape = msgspec.structs.asdict(Mirror.of(mirror))
    return MirrorView(**shape, ports=_ports(snapshot, mirror), node=next(nodes, None))


def _ports(snapshot: Snapshot, mirror: model.Mirror) -> int:
    if mirror.pod is not None:
        return len(snapshot.port_by_pod.get(mirror.pod, {}))
    network = mirror.network or ""
    own = (snapshot.ports[key] for key in snapshot.port_by_pod.get(mirror.target, {}))
    every = sum(snapshot.hosted[node, network] for node in snapshot.hosts.get(network, {}))
    return every - sum(port.network == network for port in own)
