"""Short ways to ask: requests with the usual values, for tests that name only what matters to them."""

from ipaddress import IPv4Address, ip_network
from typing import Any, Final

from topology import requests
from topology.model import Cluster, PortKey, Prefix, Service, ServiceKey, ServicePort

API: Final = ServiceKey("red", "api")


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


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
    offers = tuple(ServicePort(*port) for port in ports or (("TCP", 80),))
    return requests.CreateService(Service(key, ip(address), offers))
