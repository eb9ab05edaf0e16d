"""What Services and EndpointSlices say about the network: from their shapes to `mirror.Version`s. Pure.

What the API server has let pass is looked at once more: flows are made of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Final

from kube.mirror import Name, Version
from kube.objects import (
    ENDPOINT_SLICES,
    SERVICE_NAME,
    SERVICES,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Service,
    ServicePort,
)
from kube.objects import ServiceSpec as Spec
from kube.reading import version_number
from kube.resources import GROUP
from store.fields import Malformed, address
from topology import model
from topology.endpoints import Fault, range_fault, service_fault, slice_fault
from topology.model import Address, Cluster, Prefix, Subject
from topology.pool import is_pooled

LOAD_BALANCER_CLASS: Final = f"{GROUP}/pool"  # besides none
LOAD_BALANCER_ADDRESS: Final = f"{GROUP}/load-balancer-address"  # annotation; before spec.loadBalancerIP
USUAL_AFFINITY: Final = 10800  # seconds: v1, ClientIPConfig
_FAMILIES: Final = ("IPv4", "IPv6")


def service_version(found: Service, cluster: Cluster) -> Version:
    """Return a service, if it has an address. Raises Malformed, also where the API server has other service ranges."""
    meta = found.metadata
    name = Name(SERVICES.plural, f"{meta.namespace}/{meta.name}")
    services = _service(found)
    for service in services:
        _check(range_fault(service, cluster), "$.spec.clusterIPs[0]")
    return Version(name, version_number(meta.resource_version), services)


def slice_version(found: EndpointSlice) -> Version:
    """Return the endpoints of a slice, if it is a service's and has addresses. Raises Malformed."""
    meta = found.metadata
    name = Name(ENDPOINT_SLICES.plural, f"{meta.namespace}/{meta.name}")
    return Version(name, version_number(meta.resource_version), _slice(found))


def _service(found: Service) -> tuple[model.Service, ...]:
    spec = found.spec
    addresses = [text for text in spec.cluster_ips if text not in ("", "None")]
    if not addresses or spec.type == "ExternalName":
        return ()
    is_balanced = _is_balanced(spec)
    is_local = spec.external_traffic_policy == "Local"
    service = model.Service(
        key=model.ServiceKey(found.metadata.namespace, found.metadata.name),
        address=address(addresses[0], "$.spec.clusterIPs[0]"),
        ports=tuple(sorted(map(_offered, spec.ports))),
        affinity=_affinity(spec),
        internal_local=spec.internal_traffic_policy == "Local",
        publish_not_ready=spec.publish_not_ready_addresses,
        external=_external(spec),
        ingress=_ingress(found),
        sources=_sources(spec),
        external_local=is_local,
        health_port=spec.health_check_node_port if is_local else 0,
        load_balancer=is_balanced,
        load_balancer_address=_asked_if_any(found) if is_balanced else None,
    )
    _check(service_fault(service), "$.spec")
    return (service,)


def _offered(port: ServicePort) -> model.NamedPort:
    return model.NamedPort(port.protocol, port.port, port.name, port.node_port)


def _external(spec: Spec) -> tuple[Address, ...]:
    return model.in_order(address(text, f"$.spec.externalIPs[{at}]") for at, text in enumerate(spec.external_ips))


def _ingress(found: Service) -> tuple[Address, ...]:
    """Return the addresses of a load balancer that leads to nodes what comes there as it is.

    Of mode Proxy is one that comes to nodes by node ports (v1, LoadBalancerIngress).
    """
    if found.spec.type != "LoadBalancer":
        return ()  # it was one, and nobody has cleared that away
    return _given(found)


def pooled(found: Service, cluster: Cluster) -> tuple[Address, ...]:
    """Return the addresses of the pool in a service's status, whatever its type is now. Raises Malformed."""
    return tuple(each for each in _given(found) if is_pooled(each, cluster))


def _given(found: Service) -> tuple[Address, ...]:
    given = enumerate(found.status.load_balancer.ingress or ())
    asked = ((each.ip, f"$.status.loadBalancer.ingress[{at}].ip") for at, each in given if each.ip_mode != "Proxy")
    return model.in_order(address(*each) for each in asked if each[0])


def address_faults(found: Service) -> tuple[str, ...]:
    """Return what is wrong with the load balancer's address that a service asks for: it is none."""
    try:
        _asked(found)
    except Malformed as error:
        return (str(error),) if _is_balanced(found.spec) else ()
    return ()


def is_of_others(found: Service) -> bool:
    """Whether a service is for another load balancer to serve."""
    return found.spec.type == "LoadBalancer" and not _is_balanced(found.spec)


def _is_balanced(spec: Spec) -> bool:
    return spec.type == "LoadBalancer" and spec.load_balancer_class in (None, LOAD_BALANCER_CLASS)


def _asked_if_any(found: Service) -> Address | None:
    """Return the load balancer's address that a service asks for; what is none is for `address_faults` to say."""
    try:
        return _asked(found)
    except Malformed:
        return None


def _asked(found: Service) -> Address | None:
    annotated = found.metadata.annotations.get(LOAD_BALANCER_ADDRESS, "").strip()
    if annotated:
        return address(annotated, f"$.metadata.annotations['{LOAD_BALANCER_ADDRESS}']")
    text = found.spec.load_balancer_ip
    return address(text, "$.spec.loadBalancerIP") if text else None


def _sources(spec: Spec) -> tuple[Prefix, ...]:
    """Return the ranges of clients. The API server takes spaces around them, and bits beyond the prefix."""
    found = []
    for at, text in enumerate(spec.load_balancer_source_ranges):
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError:
            path = f"$.spec.loadBalancerSourceRanges[{at}]"
            raise Malformed(path, f'"{text}" is no CIDR', "write it as 192.0.2.0/24 or 2001:db8::/64") from None
    return model.prefixes_in_order(found)


def _affinity(spec: Spec) -> int:
    """Return for how many seconds a client stays with its endpoint."""
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    given = None if config is None or config.client_ip is None else config.client_ip.timeout_seconds
    return USUAL_AFFINITY if given is None else given


def _slice(found: EndpointSlice) -> tuple[Subject, ...]:
    service = found.metadata.labels.get(SERVICE_NAME, "")
    if not service or found.address_type not in _FAMILIES:
        return ()
    endpoints = model.EndpointSlice(
        key=model.SliceKey(found.metadata.namespace, found.metadata.name),
        service=service,
        ports=_ports(found.ports or ()),
        endpoints=_endpoints(found.endpoints or ()),
    )
    _check(slice_fault(endpoints), "$")
    return (endpoints,)


def _ports(ports: Iterable[EndpointPort]) -> tuple[model.NamedPort, ...]:
    """Return the ports that have a number: without one, it is for whoever reads the slice to say."""
    named = (model.NamedPort(one.protocol or "TCP", one.port, one.name or "") for one in ports if one.port is not None)
    return tuple(sorted(named))


def _endpoints(endpoints: Iterable[Endpoint]) -> tuple[model.Endpoint, ...]:
    """Return endpoints in order, one for each address.

    Of two that share one, as a pod of the host's network that ends and the one after it, that which is good for more.
    """
    best: dict[Address, model.Endpoint] = {}
    for position, each in enumerate(endpoints):
        if each.addresses:  # of several, the others are for nobody to use
            made = _endpoint(each, address(each.addresses[0], f"$.endpoints[{position}].addresses[0]"))
            best[made.address] = max(best.get(made.address, made), made, key=_worth)
    return tuple(sorted(best.values(), key=lambda one: (one.address.version, one)))


def _endpoint(found: Endpoint, where: Address) -> model.Endpoint:
    conditions = found.conditions
    ready = conditions.ready is not False
    serving = ready if conditions.serving is None else conditions.serving
    node = sys.intern(found.node_name or "")  # few nodes, many endpoints
    return model.Endpoint(where, node, ready, serving, conditions.terminating is True, _zones(found))


def _zones(found: Endpoint) -> tuple[str, ...]:
    """Return for whose clients an endpoint is; few zones, many endpoints."""
    given = () if found.hints is None else found.hints.for_zones or ()
    return tuple(sorted({sys.intern(each.name) for each in given}))


def _worth(endpoint: model.Endpoint) -> tuple[bool, bool, bool]:
    return endpoint.ready, endpoint.serving, not endpoint.terminating


def _check(fault: Fault | None, path: str) -> None:
    if fault is not None:
        raise Malformed(path, *fault)
