"""What may be asked of the network, and how a refusal looks. `admission.admit` turns a request into events.

Requests are already well-formed values (the door they came by has checked types and syntax); whether they can
be granted is a question to the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import TypeAlias

from topology.labels import Labels
from topology.model import (
    DEFAULT_PROVIDER,
    EVERYTHING,
    Address,
    Binding,
    Cluster,
    Egress,
    Encapsulation,
    EndpointSlice,
    Mirror,
    Pod,
    PodKey,
    PortKey,
    Prefix,
    Scope,
    Service,
    ServiceKey,
    SliceKey,
    Stage,
    Subnet,
)


class Reason(Enum):
    """Why a request is refused; every way to ask (REST, CNI, CLI) has its own code for each."""

    INVALID = "invalid"  # the value can never be right
    UNKNOWN = "unknown"  # it names an object that does not exist
    TAKEN = "taken"  # name, number or address belongs to somebody else
    IN_USE = "in use"  # others depend on it
    BUILT_IN = "built in"  # it cannot be changed by anybody
    EXHAUSTED = "exhausted"  # a pool of addresses or numbers is empty
    UNSAFE = "unsafe"  # its flows, as compiled, would not do what the network allows: a fault of the controller


@dataclass(eq=False)  # not frozen: whoever passes an exception on sets its traceback
class Refused(Exception):
    """A request that changes nothing: which object, what is wrong, and what to do about it."""

    reason: Reason
    subject: str  # such as 'network "red"'
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.cause}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class SetCluster:
    """Take over settings of the cluster. Refused when nodes exist that they do not fit."""

    cluster: Cluster


@dataclass(frozen=True, slots=True)
class CreateNode:
    """Register a node; datapath id and subnets are allotted unless given."""

    name: str
    underlay: Address
    dpid: int | None = None
    subnets: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class SetNode:
    """Let a node send to others by an encapsulation of its own; None: by the cluster's."""

    name: str
    encapsulation: Encapsulation | None


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Forget a node. Refused while it has ports, unless they may go with it."""

    name: str
    drain: bool = False


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node's switch gives no sign of life: others are to hold the addresses that it holds."""

    name: str


@dataclass(frozen=True, slots=True)
class NodeFound:
    """A node's switch is there and has its flows: it may hold addresses again."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Make a network, with projects that are to be on it (they are made too); the VNID is allotted unless given.

    For `subnets`, `flat`, `mtu` (bytes), `provider`, `dscp` and `multicast` see `model.Network`.
    """

    name: str
    vnid: int | None = None
    is_global: bool = False
    projects: tuple[str, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    flat: bool = False
    mtu: int | None = None
    provider: str = DEFAULT_PROVIDER
    dscp: int | None = None
    multicast: bool = False


@dataclass(frozen=True, slots=True)
class DeleteNetwork:
    """Remove a network with its empty projects and its connections. Refused while it has ports, services or endpoints.

    `drain`: let it take nobody new instead, and go by itself when nobody uses it any more. `provider` is who asks.
    """

    name: str
    drain: bool = False
    provider: str = DEFAULT_PROVIDER


@dataclass(frozen=True, slots=True)
class SetGlobal:
    """Let a network talk with all, or no longer. `provider` is who asks."""

    name: str
    is_global: bool
    provider: str = DEFAULT_PROVIDER


@dataclass(frozen=True, slots=True)
class SetDscp:
    """Let the packets of a network's pods carry a DSCP; None: their own. `provider` is who asks."""

    name: str
    dscp: int | None
    provider: str = DEFAULT_PROVIDER


@dataclass(frozen=True, slots=True)
class SetMulticast:
    """Let what a network's pods send to groups get to members, or no longer. `provider` is who asks."""

    name: str
    multicast: bool
    provider: str = DEFAULT_PROVIDER


@dataclass(frozen=True, slots=True)
class CreateProject:
    """Make a project, at home on a network; None: on its own or the flat default one, as the cluster's settings say.

    `labels` replace what it has; None: they stay.
    """

    name: str
    network: str | None = None
    labels: Labels | None = None


@dataclass(frozen=True, slots=True)
class SetProjectLabels:
    """Replace a project's labels. Refused when bindings would contradict, or pods lose a network that they are on."""

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class DeleteProject:
    """Forget a project, and the network of its own if nothing else uses it.

    Refused while it has ports, services or endpoints.
    """

    name: str


@dataclass(frozen=True, slots=True)
class MoveProject:
    """Take a project, and its pods, to another network while they talk.

    `recreate`: where the pods' addresses cannot go along, the pods stay as they are until they are made anew.
    """

    name: str
    network: str
    recreate: bool = False


@dataclass(frozen=True, slots=True)
class AdvanceMove:
    """A stage of a move is in force: go on to the next one. Nothing happens when the move is not at that stage."""

    project: str
    transit: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class CreateBinding:
    """Make or replace a binding. Refused when it contradicts another, or pods would lose a network that they are on."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """Remove a binding. Refused as CreateBinding is."""

    name: str


@dataclass(frozen=True, slots=True)
class SetPod:
    """Take over what a tenant says of a pod. It counts when the pod is attached."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Forget what was said of a pod. Its ports stay: nodes and switches say when those are gone."""

    key: PodKey


@dataclass(frozen=True, slots=True)
class JoinNetworks:
    """Let two networks talk to each other; the scopes say what the first may begin, and what the second may.

    `translate`: each is to know the other's subnets by prefixes that are allotted now. A connection that is translated
    stays so, whatever a later request says; one that is not cannot become it.
    """

    first: str
    second: str
    forward: Scope | None = EVERYTHING
    backward: Scope | None = EVERYTHING
    translate: bool = False


@dataclass(frozen=True, slots=True)
class TrackConnection:
    """Before the same JoinNetworks: if that leaves answers to the tracker, let it know what is under way.

    Nothing happens otherwise. Refused where the JoinNetworks would be.
    """

    join: JoinNetworks


@dataclass(frozen=True, slots=True)
class IsolateNetworks:
    """End the connection of two networks, or all connections of the first (second None), and its being global."""

    first: str
    second: str | None = None


@dataclass(frozen=True, slots=True)
class CreateService:
    """Make or replace a service."""

    service: Service


@dataclass(frozen=True, slots=True)
class DeleteService:
    """Remove a service. Its endpoints stay, for whoever makes it again."""

    key: ServiceKey


@dataclass(frozen=True, slots=True)
class PutEndpoints:
    """Make or replace a slice of endpoints. Its service may come later."""

    slice: EndpointSlice


@dataclass(frozen=True, slots=True)
class DeleteEndpoints:
    """Remove a slice of endpoints."""

    key: SliceKey


@dataclass(frozen=True, slots=True)
class CreateEgress:
    """Make or replace an egress."""

    egress: Egress


@dataclass(frozen=True, slots=True)
class DeleteEgress:
    """Remove an egress: what it was for leaves by the nodes' own addresses again."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateMirror:
    """Make or replace a mirror; the number is allotted, whatever it says."""

    mirror: Mirror


@dataclass(frozen=True, slots=True)
class DeleteMirror:
    """Remove a mirror."""

    name: str


@dataclass(frozen=True, slots=True)
class ReportPort:
    """A node says that a pod is to be attached. Idempotent; addresses are allotted at the first report."""

    key: PortKey
    project: str
    pod: str
    host_interface: str
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class ForgetPort:
    """A node says that an attachment is gone; nothing happens when it never was. Its addresses go into quarantine."""

    key: PortKey


@dataclass(frozen=True, slots=True)
class GroupsHeard:
    """A node says which groups its ports have joined, by the names of host interfaces: all that it knows of."""

    node: str
    members: tuple[tuple[str, tuple[IPv4Address, ...]], ...]


@dataclass(frozen=True, slots=True)
class PortSeen:
    """A switch says that it has an interface, and its number. Interfaces nobody reported change nothing."""

    node: str
    interface: str
    ofport: int


@dataclass(frozen=True, slots=True)
class PortVanished:
    """A switch says that an interface is gone: its port, if it was reported, is forgotten, or only its number."""

    node: str
    interface: str
    forget: bool = True


@dataclass(frozen=True, slots=True)
class SwitchPorts:
    """A switch says which interfaces it has, by name: all it had before and does not name have vanished.

    The ports of these are forgotten, or only their numbers, if that is for another replica to decide.
    """

    node: str
    ofports: tuple[tuple[str, int], ...]
    forget: bool = True


@dataclass(frozen=True, slots=True)
class ReleaseAddresses:
    """Every switch that named these addresses has committed their removal: they may be given again."""

    addresses: tuple[tuple[int, Address], ...]


Request: TypeAlias = (
    SetCluster
    | CreateNode
    | SetNode
    | DeleteNode
    | NodeLost
    | NodeFound
    | CreateNetwork
    | DeleteNetwork
    | SetGlobal
    | SetDscp
    | SetMulticast
    | CreateProject
    | SetProjectLabels
    | DeleteProject
    | MoveProject
    | AdvanceMove
    | CreateBinding
    | DeleteBinding
    | SetPod
    | DeletePod
    | JoinNetworks
    | TrackConnection
    | IsolateNetworks
    | CreateService
    | DeleteService
    | PutEndpoints
    | DeleteEndpoints
    | CreateEgress
    | DeleteEgress
    | CreateMirror
    | DeleteMirror
    | ReportPort
    | ForgetPort
    | GroupsHeard
    | PortSeen
    | PortVanished
    | SwitchPorts
    | ReleaseAddresses
)
