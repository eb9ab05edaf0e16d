"""What exists, in the field's words: nodes, tunnels, networks, projects, bindings, connections, ports, services and
their endpoints.

Values only: frozen, hashable, checked when made as far as one value can be checked by itself. What concerns
several of them (a name taken, subnets that overlap) is in `admission`; look-ups are in `snapshot`.
"""

from typing import TypeAlias

from topology.model.addressing import (
    DEFAULT_NETWORK,
    DEFAULT_PROVIDER,
    FIRST_VNID,
    GLOBAL_VNID,
    HAIRPIN,
    LAST_VNID,
    NAME_LABEL,
    NODE_PORTS,
    SHARED_SPACE,
    Address,
    Prefix,
    format_mac,
    in_order,
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
from topology.model.nodes import ICMP_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Cluster, Node, PortRange, Tunnel
from topology.model.ports import (
    TRANSLATIONS,
    VNIDS,
    ZONES,
    Hosting,
    Port,
    PortKey,
    Quarantine,
    Watermark,
)
from topology.model.services import (
    MOST_AFFINITY,
    MOST_ENDPOINT_PORTS,
    MOST_ENDPOINTS,
    MOST_EXTERNAL,
    Endpoint,
    EndpointSlice,
    NamedPort,
    Service,
    ServiceKey,
    SliceKey,
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
    | EndpointSlice
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
    "HAIRPIN",
    "ICMP_OFPORT",
    "LAST_VNID",
    "MOST_AFFINITY",
    "MOST_ENDPOINTS",
    "MOST_ENDPOINT_PORTS",
    "MOST_EXTERNAL",
    "NAME_LABEL",
    "NODE_PORTS",
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
    "Endpoint",
    "EndpointSlice",
    "Hosting",
    "Move",
    "NamedPort",
    "Network",
    "Node",
    "Pod",
    "PodKey",
    "Port",
    "PortKey",
    "PortRange",
    "Prefix",
    "Project",
    "Quarantine",
    "Scope",
    "Service",
    "ServiceKey",
    "ServicePort",
    "SliceKey",
    "Stage",
    "Subject",
    "Subnet",
    "Translation",
    "Tunnel",
    "Watermark",
    "either",
    "format_mac",
    "in_order",
    "mac_of",
]
