"""The snapshot itself: objects by key, and the indexes by which flows and checks look them up. It changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from immutables import Map

from topology.labels import Handle, handles_of
from topology.model import (
    DEFAULT_NETWORK,
    GLOBAL_VNID,
    SHARED_SPACE,
    Address,
    AddressBlock,
    Binding,
    Cluster,
    Connection,
    ConnectionKey,
    Egress,
    Endpoint,
    EndpointSlice,
    Membership,
    Mirror,
    Move,
    Network,
    Node,
    Outage,
    Pod,
    PodKey,
    Port,
    PortKey,
    Prefix,
    Project,
    Quarantine,
    Service,
    ServiceKey,
    SliceKey,
)


class Block(NamedTuple):
    """BLOCK_SIZE addresses in a row, in one address space."""

    space: int
    version: int  # of IP
    number: int  # what the addresses have in common above their last BLOCK_BITS bits


class Claim(NamedTuple):
    """That an address is to be held: for whom, in words, and by which nodes; none named: by any."""

    whose: str
    nodes: tuple[str, ...] = ()


BLOCK_BITS: Final = 9
BLOCK_SIZE: Final = 1 << BLOCK_BITS


_USUAL: Final = Cluster()
BUILT_IN: Map[str, Network] = Map({DEFAULT_NETWORK: Network(DEFAULT_NETWORK, GLOBAL_VNID, is_global=True)})
_PROJECT: Final = Project(DEFAULT_NETWORK, DEFAULT_NETWORK)
_THERE: Map[str, Map[str, None]] = Map({DEFAULT_NETWORK: Map({DEFAULT_NETWORK: None})})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects by key, and indexes by what flows and checks look them up by. Empty entries are left out of indexes."""

    cluster: Cluster = _USUAL
    nodes: Map[str, Node] = Map()
    networks: Map[str, Network] = BUILT_IN
    moves: Map[str, Move] = Map()  # by project
    projects: Map[str, Project] = Map({DEFAULT_NETWORK: _PROJECT})
    pods: Map[PodKey, Pod] = Map()
    bindings: Map[str, Binding] = Map()
    connections: Map[ConnectionKey, Connection] = Map()
    blocks: Map[tuple[str, Prefix], AddressBlock] = Map()  # by network and prefix
    ports: Map[PortKey, Port] = Map()
    memberships: Map[PortKey, Membership] = Map()
    services: Map[ServiceKey, Service] = Map()
    slices: Map[SliceKey, EndpointSlice] = Map()
    egresses: Map[str, Egress] = Map()
    mirrors: Map[str, Mirror] = Map()
    quarantined: Map[tuple[int, Address], Quarantine] = Map()
    watermarks: Map[str, int] = Map()  # by pool: the number last given
    outages: Map[str, Outage] = Map()  # by node: those that are lost

    node_by_dpid: Map[int, str] = Map()
    node_by_underlay: Map[Address, str] = Map()
    network_by_vnid: Map[int, str] = Map({GLOBAL_VNID: DEFAULT_NETWORK})
    global_networks: Map[str, None] = Map({DEFAULT_NETWORK: None})
    terminating: Map[str, None] = Map()  # networks that are being drained
    moves_of: Map[str, Map[str, None]] = Map()  # network -> projects that move from or to it
    peers: Map[str, Map[str, None]] = Map()  # network -> networks it is connected to
    blocks_of: Map[str, Map[Prefix, None]] = Map()  # by network
    blocks_on: Map[tuple[str, str], Map[Prefix, None]] = Map()  # by network and node
    blocks_at: Map[str, Map[tuple[str, Prefix], None]] = Map()  # by node, of all networks
    network_by_zone: Map[int, str] = Map()  # but for transit networks, which share the zone of another
    projects_of: Map[str, Map[str, None]] = _THERE  # by network: the projects whose primary one it is
    homes_of: Map[str, Map[str, None]] = _THERE  # by network: the projects whose home it is
    projects_labelled: Map[Handle, Map[str, None]] = Map(
        {handle: Map({DEFAULT_NETWORK: None}) for handle in handles_of(_PROJECT.selectable)}
    )
    pods_of: Map[str, Map[PodKey, None]] = Map()  # by project
    bindings_wanting: Map[Handle, Map[str, None]] = Map()  # by handle of the projects' selector
    bindings_to: Map[str, Map[str, None]] = Map()  # by network: the bindings that name it
    promised: Map[Address, Map[tuple[str, str], None]] = Map()  # static addresses: the bindings, and on which network
    project_bindings: Map[str, Map[str, None]] = Map()  # by project: the bindings without pods that select it
    pod_bindings: Map[tuple[str, Handle], Map[str, None]] = Map()  # the others, by project and handle of pods' selector
    services_of: Map[str, Map[ServiceKey, None]] = Map()  # by project
    service_by_address: Map[Address, ServiceKey] = Map()
    service_by_node_port: Map[tuple[str, int], ServiceKey] = Map()  # by protocol and node port, or health port
    services_outside: Map[ServiceKey, Service] = Map()  # those of which nodes are told
    ingress_of: Map[Address, Map[ServiceKey, None]] = Map()  # by address: the services to which load balancers gave it
    # By node: its endpoints of those services that lead who comes from outside to endpoints on this node only.
    near: Map[str, Map[ServiceKey, tuple[Endpoint, ...]]] = Map()
    slices_of: Map[ServiceKey, Map[SliceKey, None]] = Map()  # by service, whether it exists or not
    slices_in: Map[str, int] = Map()  # number of slices by project
    egresses_of: Map[str, Map[str, None]] = Map()  # by network
    egress_by_address: Map[Address, str] = Map()
    egresses_via: Map[PodKey, Map[str, None]] = Map()  # by gateway pod
    mirrors_of: Map[str | PodKey, Map[str, None]] = Map()  # by the network or pod that they copy
    mirrors_to: Map[PodKey, Map[str, None]] = Map()  # by target
    ports_on: Map[str, Map[PortKey, None]] = Map()  # by node
    port_by_interface: Map[tuple[str, str], PortKey] = Map()  # by node and name of the host's interface
    port_by_ofport: Map[tuple[str, int], PortKey] = Map()  # by node and ofport
    port_by_pod: Map[tuple[str, str], Map[PortKey, None]] = Map()  # by project and pod
    ports_in: Map[str, int] = Map()  # number of ports by project
    ports_of: Map[tuple[str, str], Map[PortKey, None]] = Map()  # by project and network
    port_by_mac: Map[tuple[int, int], PortKey] = Map()  # by address space and MAC
    holder: Map[tuple[int, Address], PortKey] = Map()  # by address space and address
    taken: Map[Block, int] = Map()  # bit map of the addresses that are held or quarantined, by block
    hosted: Map[tuple[str, str], int] = Map()  # number of ports by node and network
    hosts: Map[str, Map[str, None]] = Map()  # network -> nodes that have ports of it
    hosting: Map[str, Map[str, None]] = Map()  # node -> networks that have ports on it

    listeners: Map[tuple[str, IPv4Address], Map[PortKey, None]] = Map()  # by network and group
    groups_of: Map[str, Map[IPv4Address, None]] = Map()  # by network: those that somebody listens to

    claims: Map[Address, Claim] = Map()  # addresses that are to be held
    held: Map[Address, str] = Map()  # by address: the node that holds it, of those that are not lost

    # Not an index but a memory, and only a hint: the address last given, by node and IP version.
    latest: Map[tuple[str, int], Address] = Map()

    def __repr__(self) -> str:
        objects = (self.cluster, *self.nodes.values(), *self.networks.values(), *self.projects.values())
        more = (
            *self.moves.values(),
            *self.pods.values(),
            *self.bindings.values(),
            *self.connections.values(),
            *self.blocks.values(),
            *self.ports.values(),
            *self.memberships.values(),
            *self.services.values(),
            *self.slices.values(),
            *self.egresses.values(),
            *self.mirrors.values(),
            *self.quarantined.values(),
            *self.outages.values(),
        )
        return f"Snapshot{(*objects, *more)}"


def empty() -> Snapshot:
    """Return the snapshot of a cluster in which nothing was made yet: the built-in network and its project."""
    return Snapshot()


def places(port: Port) -> tuple[tuple[int, Address], ...]:
    """Return every address of a port with its address space: those of its network, and its cluster addresses."""
    own = tuple((port.space, address) for address in port.addresses)
    return own + tuple((SHARED_SPACE, address) for address in port.cluster_addresses)
