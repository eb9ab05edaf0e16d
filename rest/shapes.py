"""The shapes of REST's answers that are not simply stored objects (others: `ledger_shapes`, `binding_shapes`).

JSON Schema in the OpenAPI document comes out of them. No behaviour here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from store.connections import Scope, Translation
from store.fields import (
    AddressText,
    DatapathId,
    Dscp,
    InterfaceName,
    L4Port,
    Label,
    MacAddress,
    Mtu,
    Object,
    PrefixText,
    Protocol,
    Space,
    Subdomain,
    Vnid,
)
from store.objects import Subnet
from store.services import EndpointSlice, NodePort, Service
from topology.model import Encapsulation

Counter = Annotated[int, Meta(ge=0)]
LateNodes = Annotated[
    tuple[Subdomain, ...], Meta(description="Nodes on whose switches the change is not in force yet (status 202).")
]


class Late(Object, frozen=True):
    """An accepted change that is not in force yet on the switches of these nodes. It will be when they can take it."""

    late: LateNodes


class NodeView(Object, frozen=True):
    """A node. `gateways` are the addresses of its tun0, with prefix length; `encapsulation` is that it sends by.

    `mtu` (bytes that a pod's packet may have there; null: not known yet) and `warnings` (what may go wrong) are the
    node's own word.
    """

    name: Subdomain
    dpid: DatapathId
    underlay: AddressText
    subnets: tuple[PrefixText, ...]
    gateways: tuple[str, ...]
    encapsulation: Encapsulation
    connected: bool
    phase: str
    ports: Counter
    free_addresses: Counter
    mtu: int | None
    warnings: tuple[str, ...]


class NodeChanged(NodeView, frozen=True):
    """A node that was changed."""

    late: LateNodes = ()


class NodeMade(NodeView, frozen=True):
    """A node that was registered. `token` is shown this once; null when the node was registered before."""

    token: str | None
    late: LateNodes = ()


class Token(Object, frozen=True):
    """A node's new token, shown this once; earlier ones are void."""

    node: Subdomain
    token: str


class NetworkView(Object, frozen=True):
    """A network, its projects, and the nodes that have ports of it. `space` is 0 without subnets of its own.

    `outdated` counts those of its pods whose project is on another network by now: made anew, they come up there.
    """

    name: Label
    vnid: Vnid
    is_global: bool = field(name="global")
    space: Space
    subnets: tuple[Subnet, ...]
    flat: bool
    mtu: Mtu | None
    dscp: Dscp | None
    multicast: bool
    provider: Label
    phase: Literal["Initializing", "Active", "Pending", "Failed", "Terminating"]
    projects: tuple[Label, ...]
    nodes: tuple[Subdomain, ...]
    ports: Counter
    outdated: Counter


class ConditionView(Object, frozen=True, rename={"kind": "type"}):
    """One thing that is so (`status`) or not so with a network. `reason` is for programs, `message` for people."""

    kind: Literal["Programmed", "AddressesAvailable", "Moving", "Terminating"]
    status: bool
    reason: str
    message: str


class BlockView(Object, frozen=True):
    """Addresses of a network that are on one node."""

    prefix: PrefixText
    node: Subdomain


class NetworkDetail(NetworkView, frozen=True):
    """A network, why it is in its phase, and which node has which of its own addresses."""

    conditions: tuple[ConditionView, ...]
    blocks: tuple[BlockView, ...]


class NetworkMade(NetworkView, frozen=True):
    """A network that was made or changed."""

    late: LateNodes = ()


class ConnectionView(Object, frozen=True):
    """Two networks that may talk: `forward` is what the first may begin, `backward` the second; null is nothing.

    `translations`, if any: by which prefix the other network knows each subnet of either.
    """

    networks: tuple[Label, Label]
    forward: Scope | None
    backward: Scope | None
    translations: tuple[Translation, ...]


class ConnectionMade(ConnectionView, frozen=True):
    """A connection that was made or changed."""

    late: LateNodes = ()


class ServiceMade(Service, frozen=True):
    """A service that was made or replaced."""

    late: LateNodes = ()


class EndpointsMade(EndpointSlice, frozen=True):
    """A slice of endpoints that was made or replaced."""

    late: LateNodes = ()


class AddressView(Object, frozen=True):
    """A pod's address with its prefix length, and the gateway of that subnet."""

    address: str
    gateway: AddressText


class RouteView(Object, frozen=True):
    """A route that a pod has."""

    dst: str
    gw: AddressText


class Assignment(Object, frozen=True):
    """What the controller decided for a port: network, MAC, addresses, routes; and how far it is.

    `addresses` go into the pod. By `cluster_addresses`, if it has any, it is known outside its network: to the node,
    to services, and to pods in other address spaces. `mtu` (bytes) bounds that of the pod's interface. `others` are the
    interfaces that the pod has to get besides: each is reported as this one was. A secondary one has none.
    """

    network: Label
    vnid: Vnid
    mac: MacAddress
    addresses: tuple[AddressView, ...]
    cluster_addresses: tuple[AddressText, ...]
    routes: tuple[RouteView, ...]
    mtu: Mtu | None
    others: tuple[InterfaceName, ...]
    phase: Literal["Pending", "Committed", "Failed"]


class PortView(Assignment, frozen=True):
    """A pod's attachment. `ofport` is null until the switch has reported the interface."""

    node: Subdomain
    container: str
    interface: str
    project: Label
    pod: Subdomain
    pod_uid: str
    host_interface: str
    space: Space
    is_secondary: bool = field(name="secondary")
    ofport: int | None
    reason: str


class ConflictView(Object, frozen=True):
    """A subject whose flows were left out because another has what they need."""

    left_out: str
    owner: str
    table: int
    priority: int


class SwitchView(Object, frozen=True):
    """A switch: what it should have and what it has acknowledged."""

    node: Subdomain
    dpid: DatapathId
    connected: bool
    phase: str
    committed_revision: int
    desired_revision: int
    last_error: str | None
    conflicts: tuple[ConflictView, ...]
    faults: Annotated[tuple[str, ...], Meta(description="What was left out, for the verifier found it unsound.")]


class FlowView(Object, frozen=True):
    """A flow, in ovs-ofctl's words. Packets and bytes are null when the switch did not tell."""

    table: Annotated[int, Meta(ge=0, le=254)]
    table_name: str
    priority: Annotated[int, Meta(ge=0, le=65535)]
    match: str
    actions: str
    cookie: str
    feature: str
    owner: str
    state: Literal["Installed", "Pending", "Leaving"]
    packets: int | None
    bytes: int | None


class TunnelView(Object, frozen=True, rename={"source": "from", "destination": "to"}):
    """A VXLAN path between two nodes, both ways. `up`: both switches are connected and know each other."""

    source: Subdomain
    destination: Subdomain
    kind: Literal["vxlan", "geneve", "mixed"]
    up: bool


class Topology(Object, frozen=True):
    """The whole network as a graph: nodes and tunnels, networks and connections."""

    revision: int
    nodes: tuple[NodeView, ...]
    tunnels: tuple[TunnelView, ...]
    networks: tuple[NetworkView, ...]
    connections: tuple[ConnectionView, ...]


class NodePortsView(Object, frozen=True):
    """Ports of a node's own addresses that its kernel leads into the switch, and the ranges that stand for it there."""

    first: L4Port
    last: L4Port
    prefixes: tuple[PrefixText, ...]


class DoorView(Object, frozen=True):
    """A port of an external address, and where a node leads it: to its `node_port`, or if that is 0 to `service`.

    `sources`: where the clients are whom it leads in; null: anywhere.
    """

    address: AddressText
    protocol: Protocol
    port: L4Port
    service: AddressText
    node_port: NodePort
    sources: tuple[PrefixText, ...] | None


class LocalPortView(Object, frozen=True):
    """A port of a service to which a node leads clients from outside by their own addresses.

    So it does by every external address of the service, and by `node_port`, if that is not 0.
    """

    service: AddressText
    protocol: Protocol
    port: L4Port
    node_port: NodePort


class HealthView(Object, frozen=True):
    """A port at which a node tells by HTTP how many endpoints of a service it has."""

    port: L4Port
    project: Label
    service: Label
    endpoints: int


class Configuration(Object, frozen=True):
    """What a node sets itself up by. `revision` changes whenever anything else in it does; it has no order.

    `controllers` are its switch's OpenFlow targets; `api`, where there are several replicas, the URLs of their APIs.
    `hairpin`, one for each address family: from where the node is met that reaches itself by a service. `node_ports`
    null: somebody else leads them to services. `held`: addresses that are no interface's, and that it is to answer for.
    `multicast`: the host interfaces of its ports whose pods may join groups.
    """

    revision: int
    node: Subdomain
    bridge: str
    datapath_id: DatapathId
    underlay: AddressText
    gateways: tuple[str, ...]
    cluster_cidrs: tuple[PrefixText, ...]
    service_cidrs: tuple[PrefixText, ...]
    hairpin: tuple[AddressText, ...]
    node_ports: NodePortsView | None
    external: tuple[DoorView, ...]
    local: tuple[LocalPortView, ...]
    health: tuple[HealthView, ...]
    control_plane: tuple[AddressText, ...]
    held: tuple[AddressText, ...]
    multicast: tuple[str, ...]
    mtu_overhead: int
    controllers: tuple[str, ...]
    api: tuple[str, ...]
    peers: tuple[AddressText, ...]
    guarded_tcp_ports: tuple[int, ...]
    guarded_udp_ports: tuple[int, ...]
    programmed: bool


class ShareView(Object, frozen=True):
    """A part of what is to be decided; `since` when it is its holder's, by the holder's clock (null: not known)."""

    name: str
    since: str | None


class ReplicaView(Object, frozen=True):
    """One replica of the controller, and what it answers for: `decides` about the whole network, and these nodes.

    `me` is the one that answers this call; `since` when each is there, by its own clock (null: not known).
    """

    name: str
    api: str
    openflow: str
    since: str | None
    me: bool
    decides: bool
    shares: tuple[ShareView, ...]
    nodes: tuple[Subdomain, ...]


class ReplicasView(Object, frozen=True):
    """All living replicas; none, when the controller is alone."""

    replicas: tuple[ReplicaView, ...]


class Readiness(Object, frozen=True):
    """That a node can take more pods, and how many."""

    ready: bool
    free_addresses: Counter


class Health(Object, frozen=True):
    """That the controller answers, or is ready."""

    status: str


class Nodes(Object, frozen=True):
    """All nodes."""

    nodes: tuple[NodeView, ...]


class Networks(Object, frozen=True):
    """All networks."""

    networks: tuple[NetworkView, ...]


class Connections(Object, frozen=True):
    """All connections."""

    connections: tuple[ConnectionView, ...]


class Services(Object, frozen=True):
    """All services."""

    services: tuple[Service, ...]


class Endpoints(Object, frozen=True):
    """All slices of endpoints."""

    endpoints: tuple[EndpointSlice, ...]


class Ports(Object, frozen=True):
    """Ports."""

    ports: tuple[PortView, ...]


class Switches(Object, frozen=True):
    """All switches."""

    switches: tuple[SwitchView, ...]


class ProblemKind(Object, frozen=True, rename={"kind": "type"}):
    """A kind of problem."""

    kind: str
    status: int
    title: str
    meaning: str


class ProblemKinds(Object, frozen=True):
    """All kinds of problems."""

    problems: tuple[ProblemKind, ...]


class Step(Object, frozen=True):
    """One table that the packet passed, and the flow that matched there."""

    node: Subdomain
    table: int
    table_name: str
    priority: int | None
    match: str | None
    actions: str
    feature: str | None
    owner: str | None


class Place(Object, frozen=True):
    """Where a packet ended, and whose flow ended it."""

    node: Subdomain
    table: int | None
    table_name: str | None
    owner: str | None


class TraceView(Object, frozen=True):
    """What becomes of a packet, by the flows that the switches must have. `copies`: pods that mirrors copy it to."""

    destination: Annotated[AddressText, Meta(description="What the pod dials: the address by which it knows `to`.")]
    verdict: Literal["delivered", "sent", "dropped"]
    at: Place
    steps: tuple[Step, ...]
    reason: str
    copies: tuple[str, ...] = ()
