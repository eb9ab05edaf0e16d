"""What a translated connection must have in CROSSING: one flow for each pair of subnets, and where it may lead.

Said of prefixes alone: the receiver's network must know the sender by the prefix that stands for its subnet, the
receiver is found at its own, and nothing else of an address changes. Derived once for each direction.
"""

from __future__ import annotations

from topology import fields
from topology.flow import Match, Op
from topology.model import ConnectionKey, Network, Prefix
from topology.pipeline import SPACE
from topology.snapshot import Snapshot
from topology.verification.shape import IS_IP, KEEP_SOURCE, TO_LEAVING_ERRORS, W32, Facts


class Translations(dict[tuple[str, str], Facts]):
    """Flows by the names of the sender's and the receiver's network; none where their connection is not translated."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, way: tuple[str, str]) -> Facts:
        self[way] = made = self._derive(*way)
        return made

    def _derive(self, one: str, other: str) -> Facts:
        source, destination = self._snapshot.networks.get(one), self._snapshot.networks.get(other)
        connection = self._snapshot.connections.get(ConnectionKey.between(one, other))
        if source is None or destination is None or connection is None or one == other:
            return {}
        names = {(item.network, item.cidr): item.seen_as for item in connection.translations}
        return _flows(source, destination, names) if names else {}


def _flows(source: Network, destination: Network, names: dict[tuple[str, Prefix], Prefix]) -> Facts:
    facts: Facts = {}
    for own in (subnet.cidr for subnet in source.subnets):
        known = names.get((source.name, own))
        for inside in (subnet.cidr for subnet in destination.subnets):
            dialled = names.get((destination.name, inside))
            # Prefixes of unequal length, or none: an address would mean two pods. Then nothing may lead there.
            if known is None or dialled is None or _bits(known) != _bits(own) or _bits(dialled) != _bits(inside):
                continue
            match: Match = (
                (SPACE, source.vnid, W32),
                IS_IP[4],
                (fields.IPV4_SRC, *_bits_of(own)),
                (fields.IPV4_DST, *_bits_of(dialled)),
            )
            facts[match] = (
                KEEP_SOURCE,
                (Op.SET, fields.IPV4_SRC, *_bits_of(known)),
                (Op.SET, fields.IPV4_DST, *_bits_of(inside)),
                (Op.SET, SPACE, destination.vnid, W32),
                TO_LEAVING_ERRORS,
            )
    return facts


def _bits(cidr: Prefix) -> tuple[int, int]:
    """The family and the length: of both sides of a translation they are the same."""
    return cidr.version, cidr.prefixlen


def _bits_of(cidr: Prefix) -> tuple[int, int]:
    """The network bits of a prefix: their value, and which they are."""
    return int(cidr.network_address), int(cidr.netmask)
