"""What exists, in the field's words: nodes, tunnels, networks, projects, bindings, connections, ports, services.

Values only: frozen, hashable, checked when made as far as one value can be checked by itself. What concerns
several of them (a name taken, subnets that overlap) is in `admission`; look-ups are in `snapshot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple, TypeAlias

from topology.labels import Labels, Selector

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

GLOBAL_VNID: Final = 0
FIRST_VNID: Final = 10  # 1-9 are reserved
LAST_VNID: Final = (1 << 24) - 1  # a VXLAN network identifier has 24 bits (RFC 7348, section 5)
SHARED_SPACE: Final = 0  # the address space of all networks without a CIDR of their own
DEFAULT_NETWORK: Final = "default"  # built in, VNID 0, global
DEFAULT_PROVIDER: Final = "heddle"
NAME_LABEL: Final = "kubernetes.io/metadata.name"  # every namespace has it, with its name

VXLAN_OFPORT: Final = 1
TUN_OFPORT: Final = 2
ICMP_OFPORT: Final = 65000  # icmp0; beyond the numbers that a switch gives to pods by itself


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings that hold for the whole cluster."""

    cluster_cidrs: tuple[Prefix, ...] = (IPv4Network("10.128.0.0/14"),)
    node_prefix: int = 23  # prefix length of a node's subnet
    service_cidrs: tuple[Prefix, ...] = (IPv4Network("172.30.0.0/16"),)
    control_plane: tuple[Address, ...] = ()  # where nodes reach controllers; pods reach no guarded port there
    guarded_tcp_ports: tuple[int, ...] = (6640, 6653, 8080)  # OVSDB, OpenFlow, REST
    guarded_udp_ports: tuple[int, ...] = (4789, 6081)  # VXLAN (RFC 7348), Geneve (RFC 8926)
    own_networks: bool = False  # a project for which no network is named gets one of its own, else the flat default
    translation_cidrs: tuple[Prefix, ...] = (IPv4Network("100.64.0.0/10"),)  # shared address space (RFC 6598)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with an OVS bridge: `underlay` is its VTEP's address; its pods are in `subnets`, one per family."""

    name: str
    dpid: int
    underlay: Address
    subnets: tuple[Prefix, ...]

    def gateway(self, subnet: Prefix) -> Address:
        """Return the address of the node's tun0 in one of its subnets: the first one."""
        return subnet[1]

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The addresses of tun0, one per subnet."""
        return tuple(subnet[1] for subnet in self.subnets)

    @property
    def mac(self) -> int:
        """The MAC address of tun0, derived from its first gateway address."""
        return mac_of(self.gateways[0])


class Tunnel(NamedTuple):
    """A VXLAN path between two nodes, in both directions; the names are in order."""

    first: str
    second: str


class Subnet(NamedTuple):
    """A range of addresses of a network's own; the gateway is answered for on every node, and nobody's address."""

    name: str
    cidr: Prefix
    gateway: Address


@dataclass(frozen=True, slots=True)
class Network:
    """A tenant's network. It keeps its VNID for life; being global is an attribute of it.

    Without subnets its pods have addresses of the cluster CIDR, in the shared address space. With subnets they have
    addresses of those, in a space of their own that may overlap any other, and each has a *cluster address* from the
    shared space besides. `flat`: an address may be on any node; otherwise nodes hold blocks of addresses.
    `mtu` in bytes bounds that of its pods; None: what the node offers. `zone` is its conntrack zone, if it needs one.
    `provider` supplies its specification. `terminating`: it takes nobody new, and goes when nobody uses it any more.
    `transit_for` names the project whose pods pass through it on their way to another network (see `Move`).
    """

    name: str
    vnid: int
    is_global: bool = False
    subnets: tuple[Subnet, ...] = ()
    flat: bool = False
    mtu: int | None = None
    zone: int | None = None
    provider: str = DEFAULT_PROVIDER
    terminating: bool = False
    transit_for: str | None = None

    @property
    def is_transit(self) -> bool:
        """Whether it exists only for the length of a move."""
        return self.transit_for is not None

    @property
    def space(self) -> int:
        """The address space its pods' addresses are in: the shared one, or one of its own with its VNID as number."""
        return self.vnid if self.subnets else SHARED_SPACE


class AddressBlock(NamedTuple):
    """A range of a network's subnet whose addresses are on one node. A flat network's are single addresses."""

    network: str
    prefix: Prefix
    node: str


@dataclass(frozen=True, slots=True)
class Project:
    """A Kubernetes namespace, and `network`, the primary one of its pods.

    `home`, unless given the same, is the one it is on when no binding says otherwise. Whether somebody chose that is
    `is_placed`; else it came by itself: the flat default, or a network of the project's own.
    """

    name: str
    network: str
    home: str = ""
    labels: Labels = ()
    is_placed: bool = True

    def __post_init__(self) -> None:
        if not self.home:
            object.__setattr__(self, "home", self.network)

    @property
    def selectable(self) -> Labels:
        """Its labels as selectors see them: with the one that says its name."""
        return (*self.labels, (NAME_LABEL, self.name))


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of a pod. Without a name it is net1, net2, …; of a pod's primary network, the runtime names it.

    `addresses` (one for each family at most) and `mac` are allotted unless given.
    """

    network: str
    interface: str = ""
    addresses: tuple[Address, ...] = ()
    mac: int | None = None


class PodKey(NamedTuple):
    """What identifies a pod."""

    project: str
    name: str


@dataclass(frozen=True, slots=True)
class Pod:
    """What a tenant says of a pod: its labels, and which networks it asks for besides. It gives the pod no right."""

    key: PodKey
    labels: Labels = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """An administrator's rule: which networks the selected projects, or pods of them, are on.

    Without `pods` it gives networks to projects: the primary one (None: as it is), those that each of their pods gets
    besides, and those that a pod may ask for. With `pods` it chooses, for the pods selected, among what their
    project has.
    """

    name: str
    projects: Selector
    pods: Selector | None = None
    primary: Attachment | None = None
    secondary: tuple[Attachment, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The primary one, if there is any, and the secondary ones."""
        return self.secondary if self.primary is None else (self.primary, *self.secondary)

    @property
    def networks(self) -> tuple[str, ...]:
        """Every network that it names, once."""
        return tuple(dict.fromkeys((*(each.network for each in self.attachments), *self.optional)))


class Stage(Enum):
    """How far a move is: what the switches are being told, or have been."""

    PREPARING = "preparing"  # the transit network is connected; the pods are on the source
    CROSSING = "crossing"  # the pods are on the transit network
    ARRIVING = "arriving"  # the pods, and the project, are on the target; the transit network ends next


@dataclass(frozen=True, slots=True)
class Move:
    """A project's pods on their way from one network to another, by a transit network that may talk with whoever the
    source or the target may talk with. See docs/decisions/live-changes.md.
    """

    project: str
    source: str
    target: str
    transit: str
    stage: Stage = Stage.PREPARING


class ServicePort(NamedTuple):
    """A transport port: protocol is TCP, UDP or SCTP."""

    protocol: str
    port: int


class ConnectionKey(NamedTuple):
    """Two different networks; the names are in order."""

    first: str
    second: str

    @classmethod
    def between(cls, a: str, b: str) -> ConnectionKey:
        """Return the key for two networks, whichever is named first."""
        return cls(*sorted((a, b)))

    def other(self, network: str) -> str:
        """Return the network that `network` is connected to."""
        return self.second if network == self.first else self.first


class Scope(NamedTuple):
    """What one network may begin towards another. `ports` empty: everything, or only services if `services_only`.

    With both, which only a transit network's has: services, and these ports. Replies to what it may begin always pass.
    """

    services_only: bool = False
    ports: tuple[ServicePort, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.services_only and not self.ports


EVERYTHING: Final = Scope()


def either(one: Scope | None, other: Scope | None) -> Scope | None:
    """Return the scope that allows what one of two allows; it may be for services and for ports."""
    if one is None or other is None:
        return one if other is None else other
    if one.is_everything or other.is_everything:
        return EVERYTHING
    return Scope(one.services_only or other.services_only, tuple(sorted({*one.ports, *other.ports})))


class Translation(NamedTuple):
    """That the other network of a connection knows a subnet of `network` by another prefix, of equal length."""

    network: str
    cidr: Prefix
    seen_as: Prefix


@dataclass(frozen=True, slots=True)
class Connection:
    """Two networks that may talk. Not transitive; each direction has a scope, None where nothing may begin.

    `translations` are of all subnets of both, or none: then each knows the other's pods by their own addresses, if
    both have ranges of their own. They stay as they are as long as the connection is there.

    `is_tracked`: what either begins is committed, though nothing asks for it yet; the connection is narrowed next.
    """

    key: ConnectionKey
    forward: Scope | None = EVERYTHING  # from the first to the second
    backward: Scope | None = EVERYTHING  # from the second to the first
    translations: tuple[Translation, ...] = ()
    is_tracked: bool = False  # not stored: whoever narrows asks again after a restart

    @classmethod
    def between(cls, a: str, b: str) -> Connection:
        """Return the symmetric connection of two networks with everything allowed."""
        return cls(ConnectionKey.between(a, b))

    def scope(self, source: str) -> Scope | None:
        """Return what `source`, one of the two networks, may begin."""
        return self.forward if source == self.key.first else self.backward

    def seen_as(self, network: str, cidr: Prefix) -> Prefix:
        """Return the prefix by which the other network knows a subnet of `network`, one of the two."""
        return next((item.seen_as for item in self.translations if item[:2] == (network, cidr)), cidr)


class PortKey(NamedTuple):
    """What identifies an attachment for the runtime: container and interface, on a node."""

    node: str
    container: str
    interface: str


@dataclass(frozen=True, slots=True)
class Port:
    """A pod's attachment to a network. `ofport` is None until the switch has reported the port `host_interface`.

    `addresses` are in the network's space; when that is not the shared one, `cluster_addresses` are what the node,
    services and other spaces know the pod by, one for each family in the same order. `is_secondary`: it is not the
    pod's primary one, so the pod's other traffic does not go by it.
    """

    key: PortKey
    project: str
    pod: str
    network: str
    host_interface: str
    mac: int
    addresses: tuple[Address, ...]
    space: int = SHARED_SPACE
    cluster_addresses: tuple[Address, ...] = ()
    ofport: int | None = None
    pod_uid: str = ""
    is_secondary: bool = False

    @property
    def node(self) -> str:
        """Name of the node it is on."""
        return self.key.node


class ServiceKey(NamedTuple):
    """What identifies a service."""

    project: str
    name: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service address of a project; who may use it is decided by the project's network."""

    key: ServiceKey
    address: Address
    ports: tuple[ServicePort, ...]


# Pools of numbers that are given in order, so that a number comes back as late as possible.
VNIDS: Final = "vnid"
ZONES: Final = "zone"
TRANSLATIONS: Final = "translation"  # of prefixes: the number is the last address of the one last given


class Watermark(NamedTuple):
    """The number last given from a pool (VNIDS, ZONES, TRANSLATIONS)."""

    pool: str
    last: int


class Quarantine(NamedTuple):
    """An address that nobody holds any more and nobody may get yet: switches may still name it."""

    space: int
    address: Address
    node: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """That a node has at least one port of a network. Derived from ports, never stored."""

    node: str
    network: str


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


def mac_of(address: Address) -> int:
    """Return the MAC address (48 bits, host order) derived from an address: 0a:58 and its last 32 bits."""
    return 0x0A58_0000_0000 | (int(address) & 0xFFFF_FFFF)


def format_mac(mac: int) -> str:
    """Return a MAC address in the usual colon notation."""
    return ":".join(f"{byte:02x}" for byte in mac.to_bytes(6, "big"))
