"""Short ways to ask: requests with the usual values, for tests that name only what matters to them."""

from ipaddress import ip_address, ip_network
from typing import Any, Final

from topology import requests
from topology.model import (
    Address,
    Cluster,
    Endpoint,
    EndpointSlice,
    NamedPort,
    PortKey,
    Prefix,
    Service,
    ServiceKey,
    SliceKey,
)

API: Final = ServiceKey("red", "api")
SLICE: Final = SliceKey("red", "api-1")
HTTP: Final = (NamedPort("TCP", 8080),)


def ip(text: str) -> Address:
    return ip_address(text)


def report(container: str = "c1", **more: Any) -> requests.ReportPort:
    """Return the report of a pod of project red on node n1."""
    given: dict[str, Any] = {
        "key": PortKey("n1", container, "eth0"),
        "project": "red",
        "pod": f"pod-{container}",
        "host_interface": f"v{container}",
    }
    return requests.ReportPort(**(given | more))


def cluster(**more: Any) -> requests.SetCluster:
    return requests.SetCluster(Cluster(**more))


def node(name: str = "n3", underlay: str = "192.0.2.13", **more: Any) -> requests.CreateNode:
    return requests.CreateNode(name, ip(underlay), **more)


def nets(*texts: str) -> tuple[Prefix, ...]:
    return tuple(ip_network(text) for text in texts)


def service(address: str = "172.30.0.20", *ports: tuple[str, int], key: ServiceKey = API) -> requests.CreateService:
    """Return the wish for a service; several ports are named after themselves."""
    given = ports or (("TCP", 80),)
    named = [f"{protocol}-{port}".lower() if len(given) > 1 else "" for protocol, port in given]
    offers = tuple(NamedPort(*port, name) for port, name in zip(given, named, strict=True))
    return requests.CreateService(Service(key, ip(address), offers))


def endpoints(
    *addresses: str, key: SliceKey = SLICE, service: str = API.name, ports: tuple[NamedPort, ...] = HTTP, **more: Any
) -> requests.PutEndpoints:
    """Return the wish for a slice of endpoints; what more is given is the same for all of them."""
    found = tuple(Endpoint(ip_address(address), **more) for address in addresses)
    return requests.PutEndpoints(EndpointSlice(key, service, ports, found))
