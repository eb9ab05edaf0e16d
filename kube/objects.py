"""The shapes of Kubernetes' own objects: only the fields that networking needs; what else they have is passed over.

Field names are those of the API, in Python's spelling. What they mean here is in `inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import field

from kube.client import Resource

MULTUS: Final = "k8s.v1.cni.cncf.io"
SERVICE_NAME: Final = "kubernetes.io/service-name"  # label of an EndpointSlice
ZONE: Final = "topology.kubernetes.io/zone"  # label of a Node
NETWORKS_ASKED: Final = f"{MULTUS}/networks"
NETWORK_STATUS: Final = f"{MULTUS}/network-status"
INGRESS_BANDWIDTH: Final = "kubernetes.io/ingress-bandwidth"
EGRESS_BANDWIDTH: Final = "kubernetes.io/egress-bandwidth"


class Shape(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """What all of these have in common."""


class Metadata(Shape, frozen=True):
    """meta/v1, ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class Named(Shape, frozen=True):
    """Any object, as far as its metadata."""

    metadata: Metadata = Metadata()


class Namespace(Named, frozen=True):
    """v1, Namespace."""


class PodSpec(Shape, frozen=True):
    """v1, PodSpec."""

    node_name: str = ""
    host_network: bool = False


class PodStatus(Shape, frozen=True):
    """v1, PodStatus."""

    phase: str = ""


class Pod(Named, frozen=True):
    """v1, Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_over(self) -> bool:
        """Whether its containers have ended for ever: it needs no network any more."""
        return self.status.phase in ("Succeeded", "Failed")


class NodeSpec(Shape, frozen=True):
    """v1, NodeSpec."""

    pod_cidr: str = field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] = field(default=(), name="podCIDRs")


class NodeAddress(Shape, frozen=True):
    """v1, NodeAddress."""

    type: str
    address: str


class NodeCondition(Shape, frozen=True):
    """v1, NodeCondition."""

    type: str
    status: str
    reason: str = ""


class NodeStatus(Shape, frozen=True):
    """v1, NodeStatus."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[NodeCondition, ...] = ()


class Node(Named, frozen=True):
    """v1, Node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


def zone_of(node: Node) -> str:
    """Return the zone that a Node stands in, "" if it says none."""
    return node.metadata.labels.get(ZONE, "")


class ServicePort(Shape, frozen=True):
    """v1, ServicePort."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    node_port: int = 0


class ClientIpConfig(Shape, frozen=True):
    """v1, ClientIPConfig: for how many seconds a client stays with its endpoint."""

    timeout_seconds: int | None = None


class AffinityConfig(Shape, frozen=True):
    """v1, SessionAffinityConfig."""

    client_ip: ClientIpConfig | None = field(default=None, name="clientIP")


class ServiceSpec(Shape, frozen=True):
    """v1, ServiceSpec."""

    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    health_check_node_port: int = 0
    ports: tuple[ServicePort, ...] = ()
    session_affinity: str = "None"
    session_affinity_config: AffinityConfig | None = None
    internal_traffic_policy: str | None = None
    publish_not_ready_addresses: bool = False


class Ingress(Shape, frozen=True):
    """v1, LoadBalancerIngress."""

    ip: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(Shape, frozen=True):
    """v1, LoadBalancerStatus."""

    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(Shape, frozen=True):
    """v1, ServiceStatus."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Named, frozen=True):
    """v1, Service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(Shape, frozen=True):
    """discovery/v1, EndpointConditions: unknown (null) counts as ready, as serving if ready, as not terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Shape, frozen=True):
    """discovery/v1, ForZone."""

    name: str


class EndpointHints(Shape, frozen=True):
    """discovery/v1, EndpointHints: whose clients an endpoint is for."""

    for_zones: tuple[ForZone, ...] | None = None


class Endpoint(Shape, frozen=True):
    """discovery/v1, Endpoint. Its own zone is of no account: for which ones it is, hints say."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    node_name: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Shape, frozen=True):
    """discovery/v1, EndpointPort."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(Named, frozen=True):
    """discovery/v1, EndpointSlice."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class NetworkPolicy(Named, frozen=True):
    """networking/v1, NetworkPolicy. Its specification is kept as it came: policies are compiled from it."""

    spec: msgspec.Raw = msgspec.Raw(b"{}")


class LeaseSpec(Shape, frozen=True):
    """coordination/v1, LeaseSpec."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Named, frozen=True):
    """coordination/v1, Lease."""

    spec: LeaseSpec = LeaseSpec()


class Custom(Named, frozen=True):
    """An object of ours; spec and status are read one by one, so that one that is wrong is told from a good one."""

    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


NAMESPACES: Final = Resource("", "v1", "namespaces")
PODS: Final = Resource("", "v1", "pods", namespaced=True)
NODES: Final = Resource("", "v1", "nodes")
SERVICES: Final = Resource("", "v1", "services", namespaced=True)
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", namespaced=True)
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", namespaced=True)
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", namespaced=True)
EVENTS: Final = Resource("", "v1", "events", namespaced=True)

SHAPES: Final[Mapping[Resource, type[Any]]] = {
    NAMESPACES: Namespace,
    PODS: Pod,
    NODES: Node,
    SERVICES: Service,
    ENDPOINT_SLICES: EndpointSlice,
    NETWORK_POLICIES: NetworkPolicy,
    LEASES: Lease,
}
