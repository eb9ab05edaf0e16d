"""The shapes of what clients send: queries and bodies. JSON Schema in the OpenAPI document comes out of them.

What they are answered is in `rest.shapes`. No behaviour here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from store.fields import (
    AddressText,
    DatapathId,
    Dscp,
    InterfaceName,
    Label,
    Object,
    PodUid,
    PrefixText,
    Subdomain,
)
from topology.model import DEFAULT_PROVIDER, Encapsulation

Seconds = Annotated[float, Meta(ge=0, le=60)]
ObjectName = Annotated[str, Meta(description="`project/pod`, or an IP address where it says so.", max_length=320)]


# --- queries -------------------------------------------------------------------------------------


class Planning(Object, frozen=True):
    """Whether a change is to be made, or with `plan` only told: 200, and the plan."""

    plan: bool = False


class Timeout(Planning, frozen=True):
    """How long a change may take to be in force before 202 is answered; or, with `plan`, that it is only to be told."""

    timeout: Seconds = 10.0


class Deletion(Timeout, frozen=True):
    """How a node is deleted: with its ports, or only without any. How a network is: see NetworkDeletion."""

    drain: bool = False


class NetworkDeletion(Deletion, frozen=True):
    """How a network is deleted: at once, or when nobody uses it any more; and in whose name."""

    provider: Label = DEFAULT_PROVIDER


class Listing(Object, frozen=True):
    """What to list: `transit`, also what exists only for the length of a move."""

    transit: bool = False


class LongPoll(Object, frozen=True):
    """Answer at once when the revision is not `after`, else when it changes, or after `wait` seconds."""

    after: int | UnsetType = UNSET
    wait: Seconds = 0.0


class Wait(Object, frozen=True):
    """Answer when it is decided, or after `wait` seconds."""

    wait: Seconds = 0.0


class PortFilter(Object, frozen=True):
    """Which ports to list; all when nothing is given."""

    node: Subdomain | UnsetType = UNSET
    network: Label | UnsetType = UNSET
    project: Label | UnsetType = UNSET


class AddressFilter(Object, frozen=True):
    """Which addresses to list; all when nothing is given."""

    network: Label | UnsetType = UNSET
    node: Subdomain | UnsetType = UNSET
    state: Literal["allotted", "bound", "quarantined"] | UnsetType = UNSET


class HistoryQuery(Object, frozen=True):
    """In which address space an address is meant, and how many entries of its history are wanted."""

    space: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)] = 0
    most: Annotated[int, Meta(ge=1, le=1000)] = 100


class TopologyQuery(Object, frozen=True):
    """What of the topology to show. Tunnels are as many as pairs of nodes: 80 000 of 400 nodes."""

    tunnels: bool = True


class TraceQuery(Object, frozen=True, rename={"source": "from", "destination": "to"}):
    """Which packet to follow: from a pod, to a pod or an address."""

    source: ObjectName
    destination: ObjectName
    protocol: Literal["tcp", "udp", "icmp"] = "icmp"
    port: Annotated[int, Meta(ge=1, le=65535)] | UnsetType = UNSET


# --- bodies --------------------------------------------------------------------------------------


class NodeCreation(Object, frozen=True):
    """Register a node; datapath id and subnets are allotted unless given."""

    name: Subdomain
    underlay: AddressText
    dpid: DatapathId | None = None
    subnets: Annotated[tuple[PrefixText, ...], Meta(max_length=2)] = ()


class NodeReport(Object, frozen=True):
    """What a node says of itself: bytes that a pod's packet may have there, and what may go wrong, in words."""

    mtu: Annotated[int, Meta(ge=0, le=65535)]
    warnings: Annotated[tuple[Annotated[str, Meta(max_length=500)], ...], Meta(max_length=32)] = ()


class NodeChange(Object, frozen=True):
    """Let a node send by an encapsulation of its own; null: by the cluster's."""

    encapsulation: Encapsulation | None


class NetworkChange(Object, frozen=True):
    """Let a network talk with all, or its pods' packets carry a DSCP (null: their own), or have multicast.

    One at a time, in the name of a provider.
    """

    is_global: bool | None = field(default=None, name="global")
    dscp: Dscp | UnsetType | None = UNSET
    multicast: bool | UnsetType = UNSET
    provider: Label = DEFAULT_PROVIDER


class PortReport(Object, frozen=True):
    """What a node knows of a pod that is to be attached."""

    project: Label
    pod: Subdomain
    host_interface: InterfaceName
    pod_uid: PodUid = ""
