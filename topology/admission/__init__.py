"""Whether a request can be granted, and the events it becomes: `admit`. Pure; nothing is applied or stored here.

What holds in every snapshot that came about by `admit` alone, and features rely on it: what an object names exists
(but a slice of endpoints may name a service and nodes that do not); VNIDs, datapath ids, underlay addresses, node
subnets, service addresses and pod addresses have one holder each; on a node, an interface and an ofport belong to one
port; no pod holds an address that is in quarantine; a project is on the network that its bindings, or else its home,
say, or on its way there; its pods are on networks that it has (but for those that were left to be made anew); a move's
networks exist, and its transit network is connected as `transit` says.

A request for what is so already is granted and becomes no event, so every request can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from topology import requests
from topology.admission import (
    bindings,
    deletion,
    egresses,
    endpoints,
    mirrors,
    moves,
    multicast,
    networks,
    nodes,
    pods,
    ports,
    projects,
    services,
    transit,
)
from topology.requests import Request
from topology.snapshot import Event, Snapshot, apply_all


def admit(snapshot: Snapshot, request: Request) -> tuple[Event, ...]:
    """Return the events that grant `request`, in the order in which they have to be applied.

    Raises Refused, with nothing changed, when it cannot be granted.
    """
    events = _DESKS[type(request)](snapshot, request)
    if not events or not (snapshot.moves or snapshot.terminating):
        return events
    return (*events, *_consequences(snapshot, request, events))


def _consequences(snapshot: Snapshot, request: Request, events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return what follows by itself: for transit networks, and for networks that are being drained."""
    after, _ = apply_all(snapshot, events)
    about_moves = isinstance(request, requests.MoveProject | requests.AdvanceMove)  # they know their transit networks
    followed = () if about_moves else transit.followed(after, events)
    after, _ = apply_all(after, followed)
    return (*followed, *deletion.drained(after))


_DESKS: Final[dict[type, Callable[[Snapshot, Any], tuple[Event, ...]]]] = {
    requests.SetCluster: nodes.set_cluster,
    requests.CreateNode: nodes.create_node,
    requests.SetNode: nodes.set_node,
    requests.DeleteNode: nodes.delete_node,
    requests.NodeLost: nodes.node_lost,
    requests.NodeFound: nodes.node_found,
    requests.CreateNetwork: networks.create_network,
    requests.DeleteNetwork: deletion.delete_network,
    requests.SetGlobal: networks.set_global,
    requests.SetDscp: networks.set_dscp,
    requests.SetMulticast: multicast.set_multicast,
    requests.GroupsHeard: multicast.groups_heard,
    requests.MoveProject: projects.relocate,
    requests.AdvanceMove: moves.advance_move,
    requests.CreateProject: projects.create_project,
    requests.SetProjectLabels: projects.set_project_labels,
    requests.DeleteProject: deletion.delete_project,
    requests.CreateBinding: bindings.create_binding,
    requests.DeleteBinding: bindings.delete_binding,
    requests.SetPod: pods.set_pod,
    requests.DeletePod: pods.delete_pod,
    requests.JoinNetworks: networks.join_networks,
    requests.TrackConnection: networks.track_connection,
    requests.IsolateNetworks: networks.isolate_networks,
    requests.CreateService: services.create_service,
    requests.DeleteService: services.delete_service,
    requests.PutEndpoints: endpoints.put_endpoints,
    requests.DeleteEndpoints: endpoints.delete_endpoints,
    requests.CreateEgress: egresses.create_egress,
    requests.DeleteEgress: egresses.delete_egress,
    requests.CreateMirror: mirrors.create_mirror,
    requests.DeleteMirror: mirrors.delete_mirror,
    requests.ReportPort: ports.report_port,
    requests.ForgetPort: ports.forget_port,
    requests.PortSeen: ports.port_seen,
    requests.PortVanished: ports.port_vanished,
    requests.SwitchPorts: ports.switch_ports,
    requests.ReleaseAddresses: ports.release_addresses,
}
