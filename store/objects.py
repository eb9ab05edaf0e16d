"""The shapes of the network's objects outside the program: in the store, in REST bodies, later as custom resources.

One definition for all of them; JSON Schema comes out of it. A shape says what one object by itself may look like;
whether it fits the others is for `topology.admission`. No files and no HTTP here.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from topology import model
from topology.model import FIRST_VNID, LAST_VNID, SHARED_SPACE, Address, Prefix, format_mac

# In Python `$` also matches before a last newline, in JSON Schema (ECMA-262) it does not; `(?!\n)` makes them equal.
END: Final = r"$(?!\n)"
LABEL: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?" + END  # RFC 1123, section 2.1; Kubernetes: "DNS label"
SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*" + END
CONTAINER: Final = r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*" + END  # CNI 1.1.0, "Parameters": CNI_CONTAINERID
INTERFACE: Final = r"^(?!\.{1,2}$)[!-.0-9;-~]{1,15}" + END  # what Linux takes as a name, and OVS in ASCII
DPID: Final = "^[0-9a-f]{16}" + END
PREFIX: Final = "^[0-9a-fA-F.:]+/[0-9]{1,3}" + END
PROTOCOL: Final = "^(TCP|UDP|SCTP)" + END
UID: Final = "^[a-zA-Z0-9_.:-]*" + END
MAC: Final = "^([0-9a-f]{2}:){5}[0-9a-f]{2}" + END

Label = Annotated[str, Meta(pattern=LABEL, max_length=63, examples=["red"])]
Subdomain = Annotated[str, Meta(pattern=SUBDOMAIN, max_length=253, examples=["node-1"])]
ContainerId = Annotated[str, Meta(pattern=CONTAINER, max_length=253, examples=["8d5f0c"])]
InterfaceName = Annotated[str, Meta(pattern=INTERFACE, max_length=15, examples=["eth0"])]
PodUid = Annotated[str, Meta(pattern=UID, max_length=128)]
AddressText = Annotated[
    str,
    Meta(max_length=45, examples=["192.0.2.11"], extra_json_schema={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
]
PrefixText = Annotated[str, Meta(pattern=PREFIX, max_length=49, examples=["10.128.0.0/23"])]
DatapathId = Annotated[
    str, Meta(pattern=DPID, description="Datapath id, 16 hexadecimal digits.", examples=[f"{1:016x}"])
]
MacAddress = Annotated[str, Meta(pattern=MAC, examples=["0a:58:0a:80:00:05"])]
Vnid = Annotated[int, Meta(ge=0, le=LAST_VNID, description="VXLAN network identifier (RFC 7348).")]
OwnVnid = Annotated[int, Meta(ge=FIRST_VNID, le=LAST_VNID, description="VXLAN network identifier (RFC 7348).")]
Space = Annotated[int, Meta(ge=0, le=(1 << 32) - 1, description="Address space; 0 is the shared one.")]
L4Port = Annotated[int, Meta(ge=1, le=65535)]
Protocol = Annotated[str, Meta(pattern=PROTOCOL, examples=["TCP"])]


class Malformed(ValueError):
    """A value that no object of its kind can have: where it stands (`$.underlay`), what is wrong, what is right."""

    def __init__(self, path: str, cause: str, remedy: str) -> None:
        super().__init__(f"{path}: {cause}; {remedy}")
        self.path, self.cause, self.remedy = path, cause, remedy


class Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all shapes have in common: frozen, and a field that is not declared is an error."""


class Cluster(Object, frozen=True):
    """Settings that hold for the whole cluster."""

    cluster_cidrs: tuple[PrefixText, ...]
    node_prefix: Annotated[int, Meta(ge=1, le=127)]
    service_cidrs: tuple[PrefixText, ...]
    control_plane: tuple[AddressText, ...] = ()
    guarded_tcp_ports: tuple[L4Port, ...] = ()
    guarded_udp_ports: tuple[L4Port, ...] = ()

    @classmethod
    def of(cls, value: model.Cluster) -> Cluster:
        """Return the shape of a value."""
        return cls(
            cluster_cidrs=tuple(map(str, value.cluster_cidrs)),
            node_prefix=value.node_prefix,
            service_cidrs=tuple(map(str, value.service_cidrs)),
            control_plane=tuple(map(str, value.control_plane)),
            guarded_tcp_ports=value.guarded_tcp_ports,
            guarded_udp_ports=value.guarded_udp_ports,
        )

    def value(self) -> model.Cluster:
        """Return the value of this shape. Raises Malformed."""
        return model.Cluster(
            cluster_cidrs=prefixes(self.cluster_cidrs, "$.cluster_cidrs"),
            node_prefix=self.node_prefix,
            service_cidrs=prefixes(self.service_cidrs, "$.service_cidrs"),
            control_plane=addresses(self.control_plane, "$.control_plane"),
            guarded_tcp_ports=self.guarded_tcp_ports,
            guarded_udp_ports=self.guarded_udp_ports,
        )


class Node(Object, frozen=True):
    """A machine with an OVS bridge: `underlay` is its VTEP's address, `subnets` hold its pods."""

    name: Subdomain
    dpid: DatapathId
    underlay: AddressText
    subnets: Annotated[tuple[PrefixText, ...], Meta(min_length=1, max_length=2)]

    @classmethod
    def of(cls, value: model.Node) -> Node:
        """Return the shape of a value."""
        subnets = tuple(map(str, value.subnets))
        return cls(name=value.name, dpid=f"{value.dpid:016x}", underlay=str(value.underlay), subnets=subnets)

    def value(self) -> model.Node:
        """Return the value of this shape. Raises Malformed."""
        return model.Node(
            name=self.name,
            dpid=int(self.dpid, 16),
            underlay=address(self.underlay, "$.underlay"),
            subnets=prefixes(self.subnets, "$.subnets"),
        )


class Network(Object, frozen=True):
    """A tenant's network. It keeps its VNID for life; being global is an attribute of it."""

    name: Label
    vnid: Vnid
    is_global: bool = msgspec.field(default=False, name="global")
    space: Space = SHARED_SPACE

    @classmethod
    def of(cls, value: model.Network) -> Network:
        """Return the shape of a value."""
        return cls(name=value.name, vnid=value.vnid, is_global=value.is_global, space=value.space)

    def value(self) -> model.Network:
        """Return the value of this shape."""
        return model.Network(self.name, self.vnid, self.is_global, self.space)


class Project(Object, frozen=True):
    """A Kubernetes namespace, and the network that its pods are on."""

    name: Label
    network: Label

    @classmethod
    def of(cls, value: model.Project) -> Project:
        """Return the shape of a value."""
        return cls(name=value.name, network=value.network)

    def value(self) -> model.Project:
        """Return the value of this shape."""
        return model.Project(self.name, self.network)


class Connection(Object, frozen=True):
    """Two networks that may talk to each other."""

    networks: tuple[Label, Label]

    @classmethod
    def of(cls, value: model.Connection) -> Connection:
        """Return the shape of a value."""
        return cls(networks=(value.first, value.second))

    def value(self) -> model.Connection:
        """Return the value of this shape."""
        return model.Connection.between(*self.networks)


class ServicePort(Object, frozen=True):
    """One port of a service."""

    protocol: Protocol
    port: L4Port


class Service(Object, frozen=True):
    """A service address of a project; who may use it is decided by the project's network."""

    name: Label
    project: Label
    address: AddressText
    ports: Annotated[tuple[ServicePort, ...], Meta(max_length=1000)]

    @classmethod
    def of(cls, value: model.Service) -> Service:
        """Return the shape of a value."""
        ports = tuple(ServicePort(protocol=item.protocol, port=item.port) for item in value.ports)
        return cls(name=value.key.name, project=value.key.project, address=str(value.address), ports=ports)

    def value(self) -> model.Service:
        """Return the value of this shape. Raises Malformed."""
        key = model.ServiceKey(self.project, self.name)
        ports = tuple(model.ServicePort(item.protocol, item.port) for item in self.ports)
        return model.Service(key, address(self.address, "$.address"), ports)


class Port(Object, frozen=True):
    """A pod's attachment to a network. The switch's number for it is not kept: the switch tells it anew."""

    node: Subdomain
    container: ContainerId
    interface: InterfaceName
    project: Label
    pod: Subdomain
    network: Label
    host_interface: InterfaceName
    mac: MacAddress
    addresses: tuple[AddressText, ...]
    space: Space = SHARED_SPACE
    pod_uid: PodUid = ""

    @classmethod
    def of(cls, value: model.Port) -> Port:
        """Return the shape of a value."""
        return cls(
            node=value.key.node,
            container=value.key.container,
            interface=value.key.interface,
            project=value.project,
            pod=value.pod,
            network=value.network,
            host_interface=value.host_interface,
            mac=format_mac(value.mac),
            addresses=tuple(map(str, value.addresses)),
            space=value.space,
            pod_uid=value.pod_uid,
        )

    def value(self) -> model.Port:
        """Return the value of this shape, with no ofport. Raises Malformed."""
        return model.Port(
            key=model.PortKey(self.node, self.container, self.interface),
            project=self.project,
            pod=self.pod,
            network=self.network,
            host_interface=self.host_interface,
            mac=int(self.mac.replace(":", ""), 16),
            addresses=addresses(self.addresses, "$.addresses"),
            space=self.space,
            pod_uid=self.pod_uid,
        )


class Quarantine(Object, frozen=True):
    """An address that nobody holds any more and nobody may get yet."""

    space: Space
    address: AddressText
    node: Subdomain

    @classmethod
    def of(cls, value: model.Quarantine) -> Quarantine:
        """Return the shape of a value."""
        return cls(space=value.space, address=str(value.address), node=value.node)

    def value(self) -> model.Quarantine:
        """Return the value of this shape. Raises Malformed."""
        return model.Quarantine(self.space, address(self.address, "$.address"), self.node)


class Kind(NamedTuple):
    """One kind of object: its name, its shape, the value it stands for, and what identifies one of them (as text)."""

    name: str
    shape: type[Any]  # has of() and value(), as above
    value: type[Any]
    key: Callable[[Any], str]


# In an order in which each object comes after those it refers to.
KINDS: Final = (
    Kind("cluster", Cluster, model.Cluster, lambda cluster: "cluster"),
    Kind("node", Node, model.Node, lambda node: node.name),
    Kind("network", Network, model.Network, lambda network: network.name),
    Kind("project", Project, model.Project, lambda project: project.name),
    Kind("connection", Connection, model.Connection, "/".join),
    Kind("service", Service, model.Service, lambda service: "/".join(service.key)),
    Kind("port", Port, model.Port, lambda port: "/".join(port.key)),
    Kind("quarantine", Quarantine, model.Quarantine, lambda item: f"{item.space}/{item.address}"),
)


def address(text: str, path: str) -> Address:
    """Return the IPv4 or IPv6 address that a text at `path` stands for. Raises Malformed."""
    try:
        value = ip_address(text)
    except ValueError:
        raise Malformed(path, f'"{text}" is no IP address', "write it as 192.0.2.11 or 2001:db8::11") from None
    if "%" in text:
        raise Malformed(path, f'"{text}" names an interface', "leave out the part from % on")
    return value


def prefix(text: str, path: str) -> Prefix:
    """Return the IPv4 or IPv6 subnet that a text at `path` stands for. Raises Malformed."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        wider = ip_network(text, strict=False)
    except ValueError:
        raise Malformed(path, f'"{text}" is no CIDR', "write it as 10.128.0.0/23 or 2001:db8::/64") from None
    example = f"write {wider}, or the prefix length that you meant"
    family = 32 if isinstance(wider, IPv4Network) else 128
    raise Malformed(path, f'"{text}" has bits set in its last {family - wider.prefixlen}', example)


def addresses(texts: tuple[str, ...], path: str) -> tuple[Address, ...]:
    """Return the addresses of an array at `path`. Raises Malformed."""
    return tuple(address(text, f"{path}[{position}]") for position, text in enumerate(texts))


def prefixes(texts: tuple[str, ...], path: str) -> tuple[Prefix, ...]:
    """Return the subnets of an array at `path`. Raises Malformed."""
    return tuple(prefix(text, f"{path}[{position}]") for position, text in enumerate(texts))
