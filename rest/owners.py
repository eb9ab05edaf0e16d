"""Whose flow it is, in words: `port red/a (c1/eth0)`, `network red`. For people; programs compare cookies."""

from __future__ import annotations

from typing import Final

from topology.compiler import SectionKey
from topology.model import PortKey
from topology.pipeline import FeatureId
from topology.snapshot import Snapshot

_WORDS: Final = {
    FeatureId.BASE: "base",
    FeatureId.NODE: "node",
    FeatureId.GUARD: "guard",
    FeatureId.ARP: "arp space",
    FeatureId.ND: "neighbour discovery in space",
    FeatureId.TUNNELS: "tunnel to",
    FeatureId.PORTS: "port",
    FeatureId.NETWORKS: "network",
    FeatureId.CONNECTIONS: "connection",
    FeatureId.SERVICES: "service",
    FeatureId.SPACES: "address space of",
    FeatureId.BLOCKS: "address block",
    FeatureId.TRACKING: "tracking of",
    FeatureId.ERRORS: "ICMP errors",
    FeatureId.EGRESS: "egress",
    FeatureId.LIMITS: "limits of port",
    FeatureId.MIRRORS: "mirror",
}


_OF_PORTS: Final = frozenset({FeatureId.PORTS, FeatureId.LIMITS, FeatureId.MIRRORS})


def owner_text(section: SectionKey, snapshot: Snapshot) -> str:
    """Return the owner of a section in words; a port by its pod, as long as it is known."""
    feature = FeatureId(section.feature)
    subject = "/".join(map(str, section.subject))
    if feature in _OF_PORTS and len(section.subject) == len(PortKey._fields):
        key = PortKey(*map(str, section.subject))
        port = snapshot.ports.get(key)
        attachment = f"{key.container}/{key.interface}"
        subject = attachment if port is None else f"{port.project}/{port.pod} ({attachment})"
    return f"{_WORDS.get(feature, feature.name.lower())} {subject}".strip()


def feature_text(section: SectionKey) -> str:
    """Return the name of the feature that a section is of."""
    return FeatureId(section.feature).name
