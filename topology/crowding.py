"""Whether a service has more groups than numbers belong to its address. What the numbers are is said in `balancing`."""

from __future__ import annotations

from collections.abc import Collection

from topology.balancing import most_groups, room_for
from topology.endpoints import Fault
from topology.model import Cluster, EndpointSlice, NamedPort, Service


def crowding(service: Service, slices: Collection[EndpointSlice], cluster: Cluster) -> Fault | None:
    """Return what is wrong with a service that has these slices, ready or not; None if all of its groups have room."""
    needed = sum(most_groups(_endpoints(port, slices)) * (2 if port.node_port else 1) for port in service.ports)
    there = room_for(service, cluster)
    if needed <= there:
        return None
    cause = f"may need {needed} groups for its ports and endpoints, and its address has numbers for {there}"
    return Fault(cause, "divide it into several services, or make the service CIDR smaller (--heddle-service-cidr)")


def _endpoints(port: NamedPort, slices: Collection[EndpointSlice]) -> int:
    return sum(
        len(each.endpoints)
        for each in slices
        for own in each.ports
        if (own.name, own.protocol) == (port.name, port.protocol)
    )
