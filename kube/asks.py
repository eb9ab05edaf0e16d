"""What people ask of the network in Kubernetes' words, as requests: specs, namespaces, nodes. Pure.

Nobody tells what changed: a request says how things are to be. Where they are so there is none: asked again a moment
later, when somebody has just taken back what was asked, it would bring that back. One for what is refused comes again;
it may be granted by then.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import msgspec

from kube.objects import Namespace, Node
from kube.reading import BY_PLURAL
from kube.resources import (
    BINDINGS,
    CONNECTIONS,
    EGRESSES,
    MIRRORS,
    NETWORKS,
    PROJECT_NETWORKS,
    CustomResource,
    ProjectNetworkAsk,
)
from store import bindings, egresses
from store.asked import ConnectionCreation, NetworkCreation
from store.mirrors import MirrorCreation
from topology.admission import admit
from topology.model import DEFAULT_NETWORK, NAME_LABEL, Address, ConnectionKey, Prefix
from topology.requests import (
    CreateBinding,
    CreateEgress,
    CreateMirror,
    CreateNetwork,
    CreateNode,
    CreateProject,
    DeleteBinding,
    DeleteEgress,
    DeleteMirror,
    DeleteNetwork,
    DeleteNode,
    DeleteProject,
    IsolateNetworks,
    JoinNetworks,
    MoveProject,
    Reason,
    Refused,
    Request,
    SetDscp,
    SetGlobal,
    SetMulticast,
    SetProjectLabels,
    TrackConnection,
)
from topology.snapshot import Snapshot, apply_all


class Ask(NamedTuple):
    """An object that people write, as far as it asks for something."""

    plural: str
    name: str
    spec: dict[str, Any]
    is_leaving: bool


def requests_for(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    """Return what an object asks for that is not so yet, to be granted in this order.

    Raises Refused for what cannot be changed, Malformed or msgspec.ValidationError for what is no specification.
    """
    resource = BY_PLURAL[ask.plural]
    if resource is NETWORKS:
        return _network(snapshot, ask)
    if resource is CONNECTIONS:
        return _connection(snapshot, ask)
    if resource is BINDINGS:
        return _binding(snapshot, ask)
    if resource is EGRESSES:
        return _egress(snapshot, ask)
    if resource is MIRRORS:
        return _mirror(snapshot, ask)
    assert resource is PROJECT_NETWORKS
    return _home(snapshot, ask)


def is_gone(snapshot: Snapshot, ask: Ask) -> bool:
    """Whether the network is without what an object stands for, so that the object can go."""
    match ask.plural:
        case NETWORKS.plural:
            return ask.name not in snapshot.networks
        case CONNECTIONS.plural:
            return ConnectionKey(*ask.name.split(".", 1)) not in snapshot.connections
        case BINDINGS.plural:
            return ask.name not in snapshot.bindings
        case EGRESSES.plural:
            return ask.name not in snapshot.egresses
        case MIRRORS.plural:
            return ask.name not in snapshot.mirrors
    return ask.name not in snapshot.projects


def specification(resource: CustomResource, ask: Ask) -> Any:
    """Return a spec in its shape. Raises msgspec.ValidationError."""
    named = {} if resource.named is None else {resource.named: ask.name}
    return msgspec.convert({**ask.spec, **named}, resource.spec)


def _network(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    old = snapshot.networks.get(ask.name)
    if old is not None and old.is_transit:
        return ()
    if ask.is_leaving:
        return () if old is None or old.terminating else (DeleteNetwork(ask.name, drain=True, provider=old.provider),)
    asked: NetworkCreation = specification(NETWORKS, ask)
    wanted = asked.request()
    if old is None:
        return (wanted,)
    _check_kept(old, wanted)
    changed: tuple[Request, ...] = ()
    if wanted.is_global != old.is_global:
        changed = (SetGlobal(ask.name, wanted.is_global, wanted.provider),)
    if wanted.dscp != old.dscp:
        changed = (*changed, SetDscp(ask.name, wanted.dscp, wanted.provider))
    if wanted.multicast != old.multicast:
        changed = (*changed, SetMulticast(ask.name, wanted.multicast, wanted.provider))
    return changed


def _check_kept(old: Any, wanted: CreateNetwork) -> None:
    for field in ("subnets", "flat", "mtu", "provider"):
        if getattr(old, field) != getattr(wanted, field):
            raise _fixed(f'network "{wanted.name}"', field)
    if wanted.vnid not in (None, old.vnid):
        raise _fixed(f'network "{wanted.name}"', "vnid")


def _fixed(subject: str, field: str) -> Refused:
    return Refused(Reason.IN_USE, subject, f"{field} cannot be changed", "delete it, and make it anew")


def _connection(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    first, second = ask.name.split(".", 1)
    key = ConnectionKey(first, second)
    if ask.is_leaving:
        return (IsolateNetworks(first, second),) if key in snapshot.connections else ()
    asked: ConnectionCreation = specification(CONNECTIONS, ask)
    join: JoinNetworks = asked.request()
    if ConnectionKey.between(join.first, join.second) != key:
        cause = f'asks for "{join.first}" and "{join.second}"'
        raise Refused(Reason.INVALID, f'connection "{ask.name}"', cause, "name it FIRST.SECOND, as its networks")
    return (TrackConnection(join), join) if _changes(snapshot, join) else ()


def _binding(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    if ask.is_leaving:
        return (DeleteBinding(ask.name),) if ask.name in snapshot.bindings else ()
    asked: bindings.Binding = specification(BINDINGS, ask)
    wanted = CreateBinding(asked.value())
    return (wanted,) if _changes(snapshot, wanted) else ()


def _egress(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    if ask.is_leaving:
        return (DeleteEgress(ask.name),) if ask.name in snapshot.egresses else ()
    asked: egresses.Egress = specification(EGRESSES, ask)
    wanted = CreateEgress(asked.value())
    return (wanted,) if _changes(snapshot, wanted) else ()


def _mirror(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    if ask.is_leaving:
        return (DeleteMirror(ask.name),) if ask.name in snapshot.mirrors else ()
    asked: MirrorCreation = specification(MIRRORS, ask)
    wanted = CreateMirror(asked.asked())
    return (wanted,) if _changes(snapshot, wanted) else ()


def _changes(snapshot: Snapshot, request: Request) -> bool:
    """Whether a request would change anything. Raises Refused."""
    return bool(apply_all(snapshot, admit(snapshot, request))[1])


def _home(snapshot: Snapshot, ask: Ask) -> tuple[Request, ...]:
    project = snapshot.projects.get(ask.name)
    if project is None:
        return ()  # its namespace makes it
    if ask.is_leaving:
        remedy = "delete the namespace, or change spec.network"
        raise Refused(Reason.IN_USE, f'project "{ask.name}"', "its namespace is there", remedy)
    asked: ProjectNetworkAsk = specification(PROJECT_NETWORKS, ask)
    if asked.network is None or (project.home == asked.network and project.is_placed):
        return ()
    return (MoveProject(ask.name, asked.network, asked.recreate),)


def for_namespace(
    snapshot: Snapshot, name: str, namespace: Namespace | None, home: str | None = None
) -> tuple[Request, ...]:
    """Return what a namespace, or that there is none, asks for; `home` is the network that it is to be made on."""
    project = snapshot.projects.get(name)
    if namespace is None:
        return () if project is None or name == DEFAULT_NETWORK else (DeleteProject(name),)
    labels = tuple(sorted((key, value) for key, value in namespace.metadata.labels.items() if key != NAME_LABEL))
    if project is None:
        return (CreateProject(name, home, labels),)
    return () if project.labels == labels else (SetProjectLabels(name, labels),)


def for_node(snapshot: Snapshot, name: str, node: Node | None, *, pod_cidrs: bool) -> tuple[Request, ...]:
    """Return what a node, or that there is none, asks for. `pod_cidrs`: its subnets are those of its spec.

    Raises Refused when it lacks what it needs, or its address has changed.
    """
    old = snapshot.nodes.get(name)
    if node is None:
        return () if old is None else (DeleteNode(name, drain=True),)
    subject = f'node "{name}"'
    address = _underlay(node)
    if address is None:
        raise Refused(Reason.INVALID, subject, "it has no InternalIP yet", "the kubelet sets it")
    if old is not None:
        if old.underlay != address:
            cause = f"its InternalIP is {address}, its tunnels are at {old.underlay}"
            raise Refused(Reason.IN_USE, subject, cause, "delete the Node object, and let the kubelet register anew")
        return ()
    subnets = _subnets(node) if pod_cidrs else ()
    if pod_cidrs and not subnets:
        raise Refused(Reason.INVALID, subject, "it has no podCIDRs yet", "kube-controller-manager sets them")
    return (CreateNode(name, address, subnets=subnets),)


def _underlay(node: Node) -> Address | None:
    found = [each.address for each in node.status.addresses if each.type == "InternalIP"]
    addresses = [ip_address(text) for text in found]
    return next((address for address in addresses if address.version == 4), next(iter(addresses), None))


def _subnets(node: Node) -> tuple[Prefix, ...]:
    """Return spec.podCIDRs: one for each family, in no order."""
    return tuple(map(ip_network, node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])))
