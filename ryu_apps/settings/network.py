"""The settings of the whole network: the same for every controller of it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from ryu_apps.listening import Listen
from ryu_apps.options import flag
from ryu_apps.settings.checks import SettingsError, each
from topology.model import TUNNEL_OFPORTS, Address, Cluster, Encapsulation, PortRange, Prefix

_OVSDB_PORT: Final = 6640  # IANA: ovsdb
_LAST_PORT: Final = 65535


def cluster(given: dict[str, Any], control_plane: tuple[Address, ...], listens: Sequence[Listen]) -> Cluster:
    """Return what holds for all nodes and networks; pods do not reach the ports of `listens`. Raises SettingsError."""
    pods, services = _cidrs(given["cluster_cidr"], "cluster-cidr"), _cidrs(given["service_cidr"], "service-cidr")
    for pod in pods:
        for service in services:
            if pod.version == service.version and pod.overlaps(service):
                raise SettingsError(
                    f"{flag('service-cidr')}: {service} overlaps the pods' {pod} ({flag('cluster-cidr')})"
                )
    (length,) = each((given["node_prefix"],), "node-prefix", int, "a prefix length")
    for pod in pods:
        # Two addresses besides network and broadcast: the gateway's and a pod's.
        if isinstance(pod, IPv4Network) and not pod.prefixlen <= length <= 30:
            raise SettingsError(f"{flag('node-prefix')}: {length} is not from {pod.prefixlen} (of {pod}) to 30")
    translated = each(given["translation_cidr"], "translation-cidr", ip_network, "a CIDR (such as 100.64.0.0/10)")
    external = each(given["external_cidr"], "external-cidr", ip_network, "a CIDR (such as 203.0.113.0/24)")
    pool = each(given["load_balancer_pool"], "load-balancer-pool", ip_network, "a CIDR (such as 203.0.113.0/28)")
    ports = {_OVSDB_PORT, *(listen.tcp_port for listen in listens if listen.tcp_port)}
    return Cluster(
        cluster_cidrs=pods,
        node_prefix=length,
        service_cidrs=services,
        control_plane=control_plane,
        guarded_tcp_ports=tuple(sorted(ports)),
        own_networks=given["own_networks"],
        translation_cidrs=translated,
        external_cidrs=external,
        load_balancer_pool=pool,
        node_ports=_node_ports(given["node_ports"]),
        encapsulation=_encapsulation(given["encapsulation"]),
    )


def _encapsulation(text: str) -> Encapsulation:
    for known in TUNNEL_OFPORTS:
        if text == known:
            return known
    raise SettingsError(f"{flag('encapsulation')}: {text!r} is unknown; give one of {', '.join(TUNNEL_OFPORTS)}")


def _node_ports(text: str) -> PortRange | None:
    (offered,) = each((text,), "node-ports", _port_range, "a range of ports (such as 30000-32767), or none")
    return offered


def _port_range(text: str) -> PortRange | None:
    if text == "none":
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        raise ValueError("write the first and the last with a dash between them")
    if not 1 <= int(first) <= int(last) <= _LAST_PORT:
        raise ValueError(f"the first is at least 1 and not above the last, which is at most {_LAST_PORT}")
    return PortRange(int(first), int(last))


def _cidrs(texts: Sequence[str], name: str) -> tuple[Prefix, ...]:
    prefixes: tuple[Prefix, ...] = each(texts, name, ip_network, "a CIDR (such as 10.128.0.0/14)")
    versions = [prefix.version for prefix in prefixes]
    if not prefixes or len(set(versions)) != len(versions):
        raise SettingsError(f"{flag(name)}: one CIDR for each address family is needed, not {','.join(texts)!r}")
    return prefixes
