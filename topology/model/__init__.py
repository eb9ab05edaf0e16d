"""What exists, in the field's words: nodes, tunnels, networks, projects, bindings, connections, ports, services.

Values only: frozen, hashable, checked when made as far as one value can be checked by itself. What concerns
several of them (a name taken, subnets that overlap) is in `admission`; look-ups are in `snapshot`.
"""

from typing import TypeAlias

from topology.model.addressing import (
    DEFAULT_NETWORK,
    DEFAULT_PROVIDER,
    FIRST_VNID,
    GLOBAL_VNID,
    LAST_VNID,
    NAME_LABEL,
    SHARED_SPACE,
    Address,
    Prefix,
    format_mac,
    mac_of,
)
from topology.model.networks import (
    EVERYTHING,
    AddressBlock,
    Connection,
    ConnectionKey,
    Network,
    Scope,
    ServicePort,
    Subnet,
    Translation,
    either,
)
from topology.model.nodes import ICMP_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Cluster, Node, Tunnel
from topology.model.ports import (
    TRANSLATIONS,
    VNIDS,
    ZONES,
    Hosting,
    Port,
    PortKey,
    Quarantine,
    Service,
    ServiceKey,
    Watermark,
)
from topology.model.tenancy import Attachment, Binding, Move, Pod, PodKey, Project, Stage

Subject: TypeAlias = (
    Cluster
    | Node
    | Network
    | AddressBlock
    | Project
    | Move
    | Pod
    | Binding
    | Connection
    | Port
    | Service
    | Quarantine
    | Watermark
    | Hosting
)

__all__ = [
    "DEFAULT_NETWORK",
    "DEFAULT_PROVIDER",
    "EVERYTHING",
    "FIRST_VNID",
    "GLOBAL_VNID",
    "ICMP_OFPORT",
    "LAST_VNID",
    "NAME_LABEL",
    "SHARED_SPACE",
    "TRANSLATIONS",
    "TUN_OFPORT",
    "VNIDS",
    "VXLAN_OFPORT",
    "ZONES",
    "Address",
    "AddressBlock",
    "Attachment",
    "Binding",
    "Cluster",
    "Connection",
    "ConnectionKey",
    "Hosting",
    "Move",
    "Network",
    "Node",
    "Pod",
    "PodKey",
    "Port",
    "PortKey",
    "Prefix",
    "Project",
    "Quarantine",
    "Scope",
    "Service",
    "ServiceKey",
    "ServicePort",
    "Stage",
    "Subject",
    "Subnet",
    "Translation",
    "Tunnel",
    "Watermark",
    "either",
    "format_mac",
    "mac_of",
]
