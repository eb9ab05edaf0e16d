"""Our custom resources: one table of what each is called, what it says, and who writes it. Shapes are those of `store`.

Two sorts. What is *asked* of the network (Network, Connection, Binding, Egress, Mirror, ExternalVtep,
ProjectNetwork) has a spec that
people write and a status that the controller writes: what is decided (`decided`, the store's shape), the phase and the
conditions.
What is *kept* (VTEPs, outages, severed tunnels, address slices, claims, moves) has a spec only, and only the controller
writes it.

The schemas come out of this table (`schema`); how objects become events is in `mirror`, how events are written, in
`store`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, field

from store import bindings, connections, egresses, externals, mirrors, moves, objects
from store.asked import ConnectionCreation, NetworkCreation
from store.fields import Label, Object, OwnVnid, Subdomain
from topology import model

GROUP: Final = "heddle.sdn"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "heddle"
FINALIZER: Final = f"{GROUP}/decided"  # its object is let go when the network is without it
TRANSIT_LABEL: Final = f"{GROUP}/transit-for"  # of what exists only for the length of a project's move

Decided = TypeVar("Decided", bound=Object)


class Condition(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One thing that is so or not so, as in all of Kubernetes (meta/v1, Condition)."""

    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Meta(max_length=1024)]
    message: Annotated[str, Meta(max_length=32768)]
    last_transition_time: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    observed_generation: Annotated[int, Meta(ge=0)] = 0


class Status(msgspec.Struct, Generic[Decided], frozen=True, kw_only=True, omit_defaults=True):
    """What became of what was asked. `decided` is in force or on its way; without it nothing was granted yet."""

    decided: Decided | None = None
    phase: Literal["", "Initializing", "Active", "Pending", "Failed", "Terminating", "Refused"] = ""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    observed_generation: Annotated[int, Meta(ge=0)] = field(default=0, name="observedGeneration")


class DecidedConnection(connections.Connection, frozen=True, kw_only=True):
    """A connection; `tracked`: what either network begins is told to the tracker, for it is narrowed next."""

    tracked: bool = False

    @classmethod
    def of(cls, value: model.Connection) -> DecidedConnection:
        """Return the shape of a value."""
        kept = msgspec.structs.asdict(connections.Connection.of(value))
        return cls(**kept, tracked=value.is_tracked)

    def value(self) -> model.Connection:
        """Return the value of this shape. Raises Malformed."""
        return replace(connections.Connection.value(self), is_tracked=self.tracked)


class ProjectNetworkAsk(Object, frozen=True):
    """On which network a namespace is at home: its own or the default one, as the cluster is set up, unless given.

    `recreate`: pods whose addresses cannot go along when this changes stay as they are until they are made anew.
    """

    network: Label | None = None
    recreate: bool = False


class AddressSlice(Object, frozen=True):
    """The pods' ports of a node, and the addresses of its that nobody may get yet."""

    node: Subdomain
    ports: tuple[objects.Port, ...] = ()
    quarantined: tuple[objects.Quarantine, ...] = ()


class VnidClaim(Object, frozen=True):
    """That a VNID is a network's. Whoever makes the object of that number first has it."""

    vnid: OwnVnid
    network: Label


class Column(NamedTuple):
    """A column of `kubectl get`: priority 0 always, 1 with -o wide. `path` is a JSONPath from the object."""

    name: str
    type: Literal["string", "integer", "boolean", "date"]
    path: str
    description: str
    priority: int = 0


class CustomResource(NamedTuple):
    """One kind of object in the API.

    `spec` is its spec's shape, but for the fields in `omitted`; of these, `named` is what metadata.name says.
    `decided` is the shape in status.decided, None for what only the controller writes. `value` is the kind of value
    that it stands for, and `name` gives the object's name for one.
    """

    kind: str
    plural: str
    short: str
    spec: type[Object]
    value: type[Any]
    name: Callable[[Any], str]
    decided: type[Any] | None = None
    named: str | None = None
    omitted: frozenset[str] = frozenset()
    columns: tuple[Column, ...] = ()

    @property
    def singular(self) -> str:
        """Its name for one object."""
        return self.kind.lower()

    @property
    def full_name(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def connection_name(key: model.ConnectionKey) -> str:
    """Return the name of a connection's object: networks are DNS labels, so the dot stands between the two."""
    return f"{key.first}.{key.second}"


def block_name(block: model.AddressBlock) -> str:
    """Return the name of an address block's object, such as red.10.0.0.0-26."""
    return f"{block.network}.{block.prefix}".replace("/", "-").replace(":", "-")


def tunnel_name(tunnel: model.Tunnel) -> str:
    """Return the name of a tunnel's object: what may be cut of both nodes' names, or joined alike, is in a digest."""
    digest = blake2b("/".join(tunnel).encode(), digest_size=5).hexdigest()
    ends = (name[:_PART_OF_NAME].rstrip("-.") for name in tunnel)
    return ".".join((*ends, digest))


_PART_OF_NAME: Final = 120  # characters; a name has 253 at most
_PHASE: Final = Column("Phase", "string", ".status.phase", "How far it is: Active when it is in force.")
_WHY: Final = Column(
    "Reason", "string", '.status.conditions[?(@.type=="Accepted")].message', "Why it is refused, if it is.", priority=1
)
_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "Since when it exists.")

NETWORKS: Final = CustomResource(
    "Network",
    "networks",
    "hnet",
    NetworkCreation,
    model.Network,
    lambda network: network.name,
    decided=objects.Network,
    named="name",
    omitted=frozenset({"name", "projects"}),
    columns=(
        Column("VNID", "integer", ".status.decided.vnid", "VXLAN network identifier."),
        Column("Global", "boolean", ".status.decided.global", "Whether it talks with all."),
        Column("Subnets", "string", ".status.decided.subnets[*].cidr", "Ranges of its own.", priority=1),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
CONNECTIONS: Final = CustomResource(
    "Connection",
    "connections",
    "hconn",
    ConnectionCreation,
    model.Connection,
    lambda connection: connection_name(connection.key),
    decided=DecidedConnection,
    columns=(
        Column("First", "string", ".spec.networks[0]", "One network."),
        Column("Second", "string", ".spec.networks[1]", "The other."),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
BINDINGS: Final = CustomResource(
    "Binding",
    "bindings",
    "hbind",
    bindings.Binding,
    model.Binding,
    lambda binding: binding.name,
    decided=bindings.Binding,
    named="name",
    omitted=frozenset({"name"}),
    columns=(
        Column("Primary", "string", ".spec.primary.network", "The primary network that it gives."),
        Column("Secondary", "string", ".spec.secondary[*].network", "The others.", priority=1),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
EGRESSES: Final = CustomResource(
    "Egress",
    "egresses",
    "hegr",
    egresses.Egress,
    model.Egress,
    lambda egress: egress.name,
    decided=egresses.Egress,
    named="name",
    omitted=frozenset({"name"}),
    columns=(
        Column("Network", "string", ".spec.network", "Whose pods leave by it."),
        Column("Addresses", "string", ".spec.addresses[*]", "By which they leave."),
        Column("Fail", "string", ".spec.fail", "What becomes of packets while no node holds an address.", priority=1),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
MIRRORS: Final = CustomResource(
    "Mirror",
    "mirrors",
    "hmir",
    mirrors.MirrorCreation,
    model.Mirror,
    lambda mirror: mirror.name,
    decided=mirrors.Mirror,
    named="name",
    omitted=frozenset({"name"}),
    columns=(
        Column("Network", "string", ".spec.network", "Whose packets are copied: those of its pods."),
        Column("Pod", "string", ".spec.pod.pod", "Whose packets are copied: those of this pod."),
        Column("Direction", "string", ".spec.direction", "Which of them.", priority=1),
        Column("Target", "string", ".spec.target.pod", "The pod that gets the copies."),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
EXTERNAL_VTEPS: Final = CustomResource(
    "ExternalVtep",
    "externalvteps",
    "hext",
    externals.ExternalVtepCreation,
    model.ExternalVtep,
    lambda external: external.name,
    decided=externals.ExternalVtep,
    named="name",
    omitted=frozenset({"name"}),
    columns=(
        Column("Address", "string", ".spec.address", "By which nodes reach it."),
        Column("Network", "string", ".status.decided.network", "Whose hosts are behind it."),
        Column("Subnets", "string", ".spec.subnets[*]", "These hosts.", priority=1),
        Column("By", "string", ".spec.encapsulation", "How packets go there.", priority=1),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
PROJECT_NETWORKS: Final = CustomResource(
    "ProjectNetwork",
    "projectnetworks",
    "projnet",
    ProjectNetworkAsk,
    model.Project,
    lambda project: project.name,
    decided=objects.Project,
    columns=(
        Column("Network", "string", ".status.decided.network", "The primary network of its pods."),
        Column("Home", "string", ".status.decided.home", "The one without a binding, if another.", priority=1),
        _PHASE,
        _WHY,
        _AGE,
    ),
)
VTEPS: Final = CustomResource(
    "Vtep",
    "vteps",
    "vtep",
    objects.Node,
    model.Node,
    lambda node: node.name,
    columns=(
        Column("Underlay", "string", ".spec.underlay", "Its tunnels' address."),
        Column("Subnets", "string", ".spec.subnets[*]", "Where its pods' addresses are from."),
        Column("Encapsulation", "string", ".spec.encapsulation", "That it sends by, if not the cluster's."),
        Column("Zone", "string", ".spec.zone", "Where it stands."),
        Column("Datapath", "string", ".spec.dpid", "Its bridge's datapath id."),
        _AGE,
    ),
)
OUTAGES: Final = CustomResource(
    "Outage",
    "outages",
    "outage",
    objects.Outage,
    model.Outage,
    lambda outage: outage.node,
    columns=(_AGE,),
)
SEVERED_TUNNELS: Final = CustomResource(
    "SeveredTunnel",
    "severedtunnels",
    "sevtun",
    objects.SeveredTunnel,
    model.Severed,
    lambda severed: tunnel_name(severed.tunnel),
    columns=(
        Column("First", "string", ".spec.first", "One node."),
        Column("Second", "string", ".spec.second", "The other."),
        Column("Stage", "string", ".spec.stage", "How far it is that nobody uses it, or all do again."),
        Column("By", "string", ".spec.said_by[*]", "Who says that it is down.", priority=1),
        _AGE,
    ),
)
ADDRESS_SLICES: Final = CustomResource(
    "AddressSlice",
    "addressslices",
    "aslice",
    AddressSlice,
    AddressSlice,
    lambda found: found.node,
    columns=(_AGE,),
)
ADDRESS_BLOCKS: Final = CustomResource(
    "AddressBlock",
    "addressblocks",
    "ablock",
    objects.AddressBlock,
    model.AddressBlock,
    block_name,
    columns=(
        Column("Network", "string", ".spec.network", "Whose addresses they are."),
        Column("Prefix", "string", ".spec.prefix", "The addresses."),
        Column("Node", "string", ".spec.node", "Which node gives them to pods."),
        _AGE,
    ),
)
VNID_CLAIMS: Final = CustomResource(
    "VnidClaim",
    "vnidclaims",
    "vnid",
    VnidClaim,
    VnidClaim,
    lambda claim: str(claim.vnid),
    columns=(Column("Network", "string", ".spec.network", "Whose number it is."), _AGE),
)
MOVES: Final = CustomResource(
    "Move",
    "moves",
    "hmove",
    moves.Move,
    model.Move,
    lambda move: move.project,
    columns=(
        Column("From", "string", ".spec.source", "The network that the project's pods leave."),
        Column("To", "string", ".spec.target", "The network that they go to."),
        Column("Stage", "string", ".spec.stage", "How far they are."),
        _AGE,
    ),
)
WATERMARKS: Final = CustomResource(
    "Watermark",
    "watermarks",
    "wmark",
    objects.Watermark,
    model.Watermark,
    lambda watermark: watermark.pool,
    columns=(Column("Last", "integer", ".spec.last", "The number last given from this pool."),),
)

# In an order in which each comes after those that it refers to. A move comes last: it says how far the others are.
# That a node is lost comes before it: else, for a moment, it would hold what it cannot.
CUSTOM_RESOURCES: Final = (
    OUTAGES,
    SEVERED_TUNNELS,
    VTEPS,
    VNID_CLAIMS,
    NETWORKS,
    PROJECT_NETWORKS,
    BINDINGS,
    CONNECTIONS,
    EGRESSES,
    MIRRORS,
    EXTERNAL_VTEPS,
    ADDRESS_BLOCKS,
    ADDRESS_SLICES,
    WATERMARKS,
    MOVES,
)
