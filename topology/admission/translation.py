"""The prefixes by which two networks know each other's subnets, when they are joined with translation: allotted once.

What a prefix must be free of is decided here, which one is taken in `allocation`. Whether ranges may overlap without
translation is for `ranges`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from topology.admission.checks import NOT_FOR_PODS, overlapping, reserved_ranges
from topology.allocation import free_translation, span
from topology.model import TRANSLATIONS, Cluster, ConnectionKey, Prefix, Translation, Watermark
from topology.reach import ranges_known
from topology.requests import Reason, Refused
from topology.snapshot import Event, Put, Snapshot, apply


def translations(
    snapshot: Snapshot, key: ConnectionKey, *, wanted: bool
) -> tuple[tuple[Translation, ...], tuple[Event, ...]]:
    """Return the translations that a connection has from now on, and the events that count what was allotted.

    Those of a connection that exists stay. Raises Refused when it cannot be translated, or no prefix is free.
    """
    old = snapshot.connections.get(key)
    if old is not None and (old.translations or not wanted):
        return old.translations, ()
    if not wanted:
        return (), ()
    subject = f'connection of "{key.first}" and "{key.second}"'
    if old is not None:
        cause = "it exists without translation, and addresses in use would change"
        raise Refused(Reason.IN_USE, subject, cause, "isolate the two, then join them with translation")
    for name in key:
        if not snapshot.networks[name].subnets:
            cause = f'network "{name}" has no range of its own, so its pods are known by addresses that nobody else has'
            raise Refused(Reason.INVALID, subject, cause, "join them without translation")
    return _allot(snapshot, key)


def unsound_pools(cluster: Cluster) -> Iterator[Refused]:
    """Yield what is wrong with the ranges that translated prefixes are allotted from."""
    for cidr in cluster.translation_cidrs:
        subject = f"translation range {cidr}"
        other = overlapping(cidr, NOT_FOR_PODS)
        if cidr.version != 4:
            yield Refused(Reason.INVALID, subject, "is IPv6, which is not translated yet", "give IPv4 ranges only")
        elif other is not None:
            cause = f"shares addresses with {other}, which no host can have for its own"
            yield Refused(Reason.INVALID, subject, cause, "give a range of unicast addresses")


def unfit_translations(cluster: Cluster, snapshot: Snapshot) -> Iterator[Refused]:
    """Yield the translated prefixes that exist and do not fit settings."""
    for key, connection in sorted(snapshot.connections.items(), key=lambda item: item[0]):
        for network, _, seen_as in connection.translations:
            other, viewer = overlapping(seen_as, reserved_ranges(cluster)), key.other(network)
            if other is not None:
                cause = f'{other} overlaps {seen_as}, by which network "{viewer}" knows network "{network}"'
                remedy = f'choose other ranges, or isolate "{network}" from "{viewer}"'
                yield Refused(Reason.IN_USE, "settings of the cluster", cause, remedy)


def _allot(snapshot: Snapshot, key: ConnectionKey) -> tuple[tuple[Translation, ...], tuple[Event, ...]]:
    found: list[Translation] = []
    events: tuple[Event, ...] = ()
    for name in key:
        taken = list(_known(snapshot, key.other(name)))
        for subnet in snapshot.networks[name].subnets:
            prefix = free_translation(snapshot, subnet.cidr, taken)
            taken.append(prefix)
            found.append(Translation(name, subnet.cidr, prefix))
            events = (Put(Watermark(TRANSLATIONS, span(prefix)[2])),)
            snapshot, _ = apply(snapshot, events[0])
    return tuple(found), events


def _known(snapshot: Snapshot, viewer: str) -> Iterator[Prefix]:
    """Yield what addresses mean to the pods of a network: its own, its peers', the cluster's, nodes and controllers.

    The nodes are looked at one by one, as when one is made; connections are made by administrators, not by pods.
    """
    yield from (subnet.cidr for subnet in snapshot.networks[viewer].subnets)
    yield from reserved_ranges(snapshot.cluster)
    for peer in snapshot.peers.get(viewer, {}):
        yield from ranges_known(peer, snapshot.connections[ConnectionKey.between(viewer, peer)], snapshot)
    for address in (*snapshot.node_by_underlay, *snapshot.cluster.control_plane):
        yield ip_network(address)
