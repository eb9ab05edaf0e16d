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
    link_local_of,
    mac_of,
    prefixes_in_order,
)
from topology.model.egress import MOST_EGRESS_ADDRESSES, MOST_EGRESS_NODES, Egress
from topology.model.mirrors import LAST_MIRROR, MOST_MIRRORS, Mirror
from topology.model.networks import (
    EVERYTHING,
    MOST_DSCP,
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
from topology.model.nodes import (
    GENEVE_OFPORT,
    ICMP_OFPORT,
    TUN_OFPORT,
    TUNNEL_OFPORTS,
    VXLAN_OFPORT,
    Cluster,
    Encapsulation,
    Held,
    Node,
    Outage,
    PortRange,
    Tunnel,
)
from topology.model.ports import (
    MIRRORS,
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
    MOST_SOURCES,
    Endpoint,
    EndpointSlice,
    NamedPort,
    Service,
    ServiceKey,
    SliceKey,
)
from topology.model.tenancy import (
    LEAST_BANDWIDTH,
    MOST_BANDWIDTH,
    Attachment,
    Binding,
    Move,
    Pod,
    PodKey,
    Project,
    Stage,
)

Subject: TypeAlias = (
    Cluster
    | Node
    | Outage
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
    | Egress
    | Mirror
    | Quarantine
    | Watermark
    | Hosting
    | Held
)

__all__ = [
    "DEFAULT_NETWORK",
    "DEFAULT_PROVIDER",
    "EVERYTHING",
    "FIRST_VNID",
    "GENEVE_OFPORT",
    "GLOBAL_VNID",
    "HAIRPIN",
    "ICMP_OFPORT",
    "LAST_MIRROR",
    "LAST_VNID",
    "LEAST_BANDWIDTH",
    "MIRRORS",
    "MOST_AFFINITY",
    "MOST_BANDWIDTH",
    "MOST_DSCP",
    "MOST_EGRESS_ADDRESSES",
    "MOST_EGRESS_NODES",
    "MOST_ENDPOINTS",
    "MOST_ENDPOINT_PORTS",
    "MOST_EXTERNAL",
    "MOST_MIRRORS",
    "MOST_SOURCES",
    "NAME_LABEL",
    "NODE_PORTS",
    "SHARED_SPACE",
    "TRANSLATIONS",
    "TUNNEL_OFPORTS",
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
    "Egress",
    "Encapsulation",
    "Endpoint",
    "EndpointSlice",
    "Held",
    "Hosting",
    "Mirror",
    "Move",
    "NamedPort",
    "Network",
    "Node",
    "Outage",
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
    "link_local_of",
    "mac_of",
    "prefixes_in_order",
]
