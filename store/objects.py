"""The shapes of the network's objects outside the program: in the store, in REST bodies, later as custom resources.

One definition for all of them; JSON Schema comes out of it. A shape says what one object by itself may look like;
whether it fits the others is for `topology.admission`. No files and no HTTP here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from store.bindings import Binding, LabelMap, Pod, label_map
from store.connections import Connection
from store.egresses import Egress
from store.fields import (
    AddressText,
    ContainerId,
    DatapathId,
    Dscp,
    InterfaceName,
    L4Port,
    Label,
    MacAddress,
    Malformed,
    Mtu,
    Object,
    PodUid,
    PrefixText,
    Space,
    Subdomain,
    Vnid,
    Zone,
    address,
    addresses,
    prefix,
    prefixes,
)
from store.mirrors import Mirror
from store.moves import Move
from store.services import EndpointSlice, Service
from topology import model
from topology.labels import labels_of
from topology.model import SHARED_SPACE, Encapsulation, format_mac

_USUAL: Final = model.Cluster()  # what stores say that are older than a setting
_TRANSLATION_CIDRS: Final = tuple(map(str, _USUAL.translation_cidrs))


class PortRange(Object, frozen=True):
    """Transport ports from the first to the last."""

    first: L4Port
    last: L4Port

    @classmethod
    def of(cls, value: model.PortRange) -> PortRange:
        """Return the shape of a value."""
        return cls(first=value.first, last=value.last)

    def value(self, path: str) -> model.PortRange:
        """Return the value of this shape, which stands at `path`. Raises Malformed."""
        if self.first > self.last:
            raise Malformed(path, f"{self.first} is above {self.last}", "name the first port first")
        return model.PortRange(self.first, self.last)


_NODE_PORTS: Final = None if _USUAL.node_ports is None else PortRange.of(_USUAL.node_ports)


class Cluster(Object, frozen=True):
    """Settings that hold for the whole cluster."""

    cluster_cidrs: tuple[PrefixText, ...]
    node_prefix: Annotated[int, Meta(ge=1, le=127)]
    service_cidrs: tuple[PrefixText, ...]
    control_plane: tuple[AddressText, ...] = ()
    guarded_tcp_ports: tuple[L4Port, ...] = ()
    guarded_udp_ports: tuple[L4Port, ...] = ()
    own_networks: bool = False
    translation_cidrs: tuple[PrefixText, ...] = _TRANSLATION_CIDRS
    external_cidrs: tuple[PrefixText, ...] = ()
    load_balancer_pool: tuple[PrefixText, ...] = ()
    node_ports: PortRange | None = _NODE_PORTS
    encapsulation: Encapsulation = "vxlan"

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
            own_networks=value.own_networks,
            translation_cidrs=tuple(map(str, value.translation_cidrs)),
            external_cidrs=tuple(map(str, value.external_cidrs)),
            load_balancer_pool=tuple(map(str, value.load_balancer_pool)),
            node_ports=None if value.node_ports is None else PortRange.of(value.node_ports),
            encapsulation=value.encapsulation,
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
            own_networks=self.own_networks,
            translation_cidrs=prefixes(self.translation_cidrs, "$.translation_cidrs"),
            external_cidrs=prefixes(self.external_cidrs, "$.external_cidrs"),
            load_balancer_pool=prefixes(self.load_balancer_pool, "$.load_balancer_pool"),
            node_ports=None if self.node_ports is None else self.node_ports.value("$.node_ports"),
            encapsulation=self.encapsulation,
        )


class Node(Object, frozen=True):
    """A machine with an OVS bridge: `underlay` is its VTEP's address, `subnets` hold its pods."""

    name: Subdomain
    dpid: DatapathId
    underlay: AddressText
    subnets: Annotated[tuple[PrefixText, ...], Meta(min_length=1, max_length=2)]
    encapsulation: Encapsulation | None = None  # that it sends by; none: the cluster's

    @classmethod
    def of(cls, value: model.Node) -> Node:
        """Return the shape of a value."""
        subnets = tuple(map(str, value.subnets))
        return cls(
            name=value.name,
            dpid=f"{value.dpid:016x}",
            underlay=str(value.underlay),
            subnets=subnets,
            encapsulation=value.encapsulation,
        )

    def value(self) -> model.Node:
        """Return the value of this shape. Raises Malformed."""
        return model.Node(
            name=self.name,
            dpid=int(self.dpid, 16),
            underlay=address(self.underlay, "$.underlay"),
            subnets=prefixes(self.subnets, "$.subnets"),
            encapsulation=self.encapsulation,
        )


class Outage(Object, frozen=True):
    """That a node is lost: it holds no address that the outside sends to."""

    node: Subdomain

    @classmethod
    def of(cls, value: model.Outage) -> Outage:
        """Return the shape of a value."""
        return cls(node=value.node)

    def value(self) -> model.Outage:
        """Return the value of this shape."""
        return model.Outage(self.node)


class Subnet(Object, frozen=True):
    """A range of addresses of a network's own, with the gateway that answers on every node."""

    name: Label
    cidr: PrefixText
    gateway: AddressText

    @classmethod
    def of(cls, value: model.Subnet) -> Subnet:
        """Return the shape of a value."""
        return cls(name=value.name, cidr=str(value.cidr), gateway=str(value.gateway))

    def value(self, path: str) -> model.Subnet:
        """Return the value of this shape, which stands at `path`. Raises Malformed."""
        return model.Subnet(self.name, prefix(self.cidr, f"{path}.cidr"), address(self.gateway, f"{path}.gateway"))


class Network(Object, frozen=True):
    """A tenant's network. It keeps its VNID for life; being global is an attribute of it. `mtu` is in bytes.

    `dscp`: what its pods' packets carry; null: what they have written there themselves. `multicast`: what its pods send
    to groups gets to those that joined them.
    """

    name: Label
    vnid: Vnid
    is_global: bool = msgspec.field(default=False, name="global")
    subnets: tuple[Subnet, ...] = ()
    flat: bool = False
    mtu: Mtu | None = None
    zone: Zone | None = None
    provider: Label = model.DEFAULT_PROVIDER
    terminating: bool = False
    transit_for: Label | None = None
    dscp: Dscp | None = None
    multicast: bool = False

    @classmethod
    def of(cls, value: model.Network) -> Network:
        """Return the shape of a value."""
        return cls(
            name=value.name,
            vnid=value.vnid,
            is_global=value.is_global,
            subnets=tuple(map(Subnet.of, value.subnets)),
            flat=value.flat,
            mtu=value.mtu,
            zone=value.zone,
            provider=value.provider,
            terminating=value.terminating,
            transit_for=value.transit_for,
            dscp=value.dscp,
            multicast=value.multicast,
        )

    def value(self) -> model.Network:
        """Return the value of this shape. Raises Malformed."""
        subnets = tuple(subnet.value(f"$.subnets[{position}]") for position, subnet in enumerate(self.subnets))
        return model.Network(
            name=self.name,
            vnid=self.vnid,
            is_global=self.is_global,
            subnets=subnets,
            flat=self.flat,
            mtu=self.mtu,
            zone=self.zone,
            provider=self.provider,
            terminating=self.terminating,
            transit_for=self.transit_for,
            dscp=self.dscp,
            multicast=self.multicast,
        )


class AddressBlock(Object, frozen=True):
    """A range of a network's subnet whose addresses are on one node."""

    network: Label
    prefix: PrefixText
    node: Subdomain

    @classmethod
    def of(cls, value: model.AddressBlock) -> AddressBlock:
        """Return the shape of a value."""
        return cls(network=value.network, prefix=str(value.prefix), node=value.node)

    def value(self) -> model.AddressBlock:
        """Return the value of this shape. Raises Malformed."""
        return model.AddressBlock(self.network, prefix(self.prefix, "$.prefix"), self.node)


class Project(Object, frozen=True):
    """A Kubernetes namespace, the primary network of its pods, and its home: the one it is on without a binding.

    `home` null: as `network`. `placed`: somebody chose its home; else it came by itself.
    """

    name: Label
    network: Label
    home: Label | None = None
    labels: LabelMap = msgspec.field(default_factory=dict)
    is_placed: bool = msgspec.field(default=True, name="placed")

    @classmethod
    def of(cls, value: model.Project) -> Project:
        """Return the shape of a value."""
        home = value.home if value.home != value.network else None
        labels = label_map(value.labels)
        return cls(name=value.name, network=value.network, home=home, labels=labels, is_placed=value.is_placed)

    def value(self) -> model.Project:
        """Return the value of this shape."""
        return model.Project(self.name, self.network, self.home or "", labels_of(self.labels), self.is_placed)


class Port(Object, frozen=True):
    """A pod's attachment to a network. `ofport` is a hint: the switch tells its number anew when it connects.

    `addresses` are in its network's space; `cluster_addresses`, if that is not the shared one, in the shared one.
    """

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
    cluster_addresses: tuple[AddressText, ...] = ()
    pod_uid: PodUid = ""
    ofport: Annotated[int, Meta(ge=1, le=(1 << 32) - 1)] | None = None
    is_secondary: bool = msgspec.field(default=False, name="secondary")

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
            cluster_addresses=tuple(map(str, value.cluster_addresses)),
            pod_uid=value.pod_uid,
            ofport=value.ofport,
            is_secondary=value.is_secondary,
        )

    def value(self) -> model.Port:
        """Return the value of this shape. Raises Malformed."""
        return model.Port(
            key=model.PortKey(self.node, self.container, self.interface),
            project=self.project,
            pod=self.pod,
            network=self.network,
            host_interface=self.host_interface,
            mac=int(self.mac.replace(":", ""), 16),
            addresses=addresses(self.addresses, "$.addresses"),
            space=self.space,
            cluster_addresses=addresses(self.cluster_addresses, "$.cluster_addresses"),
            pod_uid=self.pod_uid,
            ofport=self.ofport,
            is_secondary=self.is_secondary,
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


class Watermark(Object, frozen=True):
    """The number last given from a pool of numbers."""

    pool: Label
    last: Annotated[int, Meta(ge=0)]

    @classmethod
    def of(cls, value: model.Watermark) -> Watermark:
        """Return the shape of a value."""
        return cls(pool=value.pool, last=value.last)

    def value(self) -> model.Watermark:
        """Return the value of this shape."""
        return model.Watermark(self.pool, self.last)


class Kind(NamedTuple):
    """One kind of object: its name, its shape, the value it stands for, and what identifies one of them (as text)."""

    name: str
    shape: type[Any]  # has of() and value(), as above
    value: type[Any]
    key: Callable[[Any], str]


# In an order in which each object comes after those it refers to.
KINDS: Final = (
    Kind("cluster", Cluster, model.Cluster, lambda cluster: "cluster"),
    Kind("outage", Outage, model.Outage, lambda outage: outage.node),
    Kind("node", Node, model.Node, lambda node: node.name),
    Kind("network", Network, model.Network, lambda network: network.name),
    Kind("project", Project, model.Project, lambda project: project.name),
    Kind("move", Move, model.Move, lambda move: move.project),
    Kind("binding", Binding, model.Binding, lambda binding: binding.name),
    Kind("pod", Pod, model.Pod, lambda pod: "/".join(pod.key)),
    Kind("connection", Connection, model.Connection, lambda connection: "/".join(connection.key)),
    Kind("block", AddressBlock, model.AddressBlock, lambda block: f"{block.network}/{block.prefix}"),
    Kind("service", Service, model.Service, lambda service: "/".join(service.key)),
    Kind("endpoints", EndpointSlice, model.EndpointSlice, lambda found: "/".join(found.key)),
    Kind("egress", Egress, model.Egress, lambda egress: egress.name),
    Kind("mirror", Mirror, model.Mirror, lambda mirror: mirror.name),
    Kind("port", Port, model.Port, lambda port: "/".join(port.key)),
    Kind("quarantine", Quarantine, model.Quarantine, lambda item: f"{item.space}/{item.address}"),
    Kind("watermark", Watermark, model.Watermark, lambda watermark: watermark.pool),
)
