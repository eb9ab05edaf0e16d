"""Readers of arguments that are more than one word or number, and how ports are written in the same way.

What a value may be otherwise, the server decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import typer


def pair(text: str) -> tuple[str, str]:
    """Return the two names of PROJECT/NAME."""
    project, slash, name = text.partition("/")
    if not (project and slash and name) or "/" in name:
        raise typer.BadParameter(f"{text!r} is not of the form PROJECT/NAME")
    return project, name


def service_port(text: str) -> dict[str, Any]:
    """Return the API's object for a service's port, written 80, 80/tcp, 53/udp or 5000/sctp."""
    found = re.fullmatch(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?", text, re.IGNORECASE)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no port; write it as 80, 80/tcp, 53/udp or 5000/sctp")
    return {"protocol": (found[2] or "tcp").upper(), "port": int(found[1])}


def named_port(text: str) -> dict[str, Any]:
    """Return the API's object for a port that may have a name: a service port as above, or NAME= before it."""
    name, equals, port = text.rpartition("=")
    if equals and not name:
        raise typer.BadParameter(f"{text!r} is no port; write it as 80/tcp or web=80/tcp")
    return service_port(port) | ({"name": name} if name else {})


def with_node_ports(ports: Iterable[dict[str, Any]], texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the API's objects for a service's ports, with node ports written PORT=NUMBER: PORT, or NAME, as above."""
    found = list(ports)
    for text in texts:
        named, equals, number = text.rpartition("=")
        if not (equals and re.fullmatch(r"[0-9]{1,5}", number)):
            raise typer.BadParameter(f"{text!r} is no node port; write it as 80=30080, 53/udp=30053 or web=30080")
        meant = [place for place, port in enumerate(found) if _is_called(port, named)]
        if not meant:
            raise typer.BadParameter(f"{text!r} is about a port that the service does not have; give it by --port")
        found[meant[0]] = found[meant[0]] | {"node_port": int(number)}
    return found


def _is_called(port: Mapping[str, Any], text: str) -> bool:
    if port.get("name") == text:
        return True
    return bool(re.match("[0-9]", text)) and port.items() >= service_port(text).items()


def node_ports_text(ports: Iterable[Mapping[str, Any]]) -> str:
    """Return the node ports among the API's objects for ports as they are given in arguments: 80/tcp=30080."""
    return ", ".join(f"{_bare_text(port)}={port['node_port']}" for port in ports if port.get("node_port"))


def ports_text(ports: Iterable[Mapping[str, Any]]) -> str:
    """Return the API's objects for ports as they are given in arguments: 80/tcp, dns=53/udp."""
    return ", ".join(map(_port_text, ports))


def _port_text(port: Mapping[str, Any]) -> str:
    text = _bare_text(port)
    return f"{port['name']}={text}" if port.get("name") else text


def _bare_text(port: Mapping[str, Any]) -> str:
    return f"{port.get('port')}/{str(port.get('protocol')).lower()}"


def endpoint(text: str) -> dict[str, Any]:
    """Return the API's object for an endpoint, written ADDRESS[@NODE][=ZONE,…]."""
    where, equals, hints = text.partition("=")
    address, at, node = where.partition("@")
    zones = hints.split(",") if equals else []
    if not address or (at and not node) or not all(zones):
        examples = "10.128.0.5, 10.128.0.5@n1 or, for clients in zones, 10.128.0.5@n1=zone-a,zone-b"
        raise typer.BadParameter(f"{text!r} is no endpoint; write it as {examples}")
    return {"address": address} | ({"node": node} if node else {}) | ({"zones": zones} if zones else {})


def subnet(text: str) -> dict[str, str]:
    """Return the API's object for a subnet, written [NAME=]CIDR[,GATEWAY]."""
    found = re.fullmatch(r"(?:([^=,/]+)=)?([^=,/]+/[^=,/]+)(?:,([^=,/]+))?", text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no subnet; write it as 10.0.0.0/24, office=10.0.0.0/24 or 10.0.0.0/24,10.0.0.254"
        )
    fields = {"name": found[1], "cidr": found[2], "gateway": found[3]}
    return {field: value for field, value in fields.items() if value is not None}


def attachment(text: str) -> dict[str, Any]:
    """Return the API's object for an interface of a pod, written NETWORK[:INTERFACE][,ADDRESS…][,MAC]."""
    first, *static = (part.strip() for part in text.split(","))
    network, colon, interface = first.partition(":")
    if not network or (colon and not interface) or not all(static):
        raise typer.BadParameter(
            f"{text!r} is no attachment; write it as storage, storage:net7 or storage:net7,10.0.0.7,02:00:00:00:00:07"
        )
    macs = [part for part in static if re.fullmatch(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", part)]
    if len(macs) > 1:
        raise typer.BadParameter(f"{text!r} has two MACs; give one")
    found: dict[str, Any] = {"network": network, "addresses": [part for part in static if part not in macs]}
    given = {"interface": interface, "mac": macs[0].lower() if macs else ""}
    return found | {field: value for field, value in given.items() if value}


def datapath_id(text: str) -> str:
    """Return a datapath id as 16 hexadecimal digits; read are these, 0x… and decimal numbers."""
    digits = text.strip().lower()
    if re.fullmatch(r"[0-9a-f]{16}", digits):
        return digits
    if re.fullmatch(r"0x[0-9a-f]+|[0-9]+", digits):
        number = int(digits, 16 if digits.startswith("0x") else 10)
        if 0 < number < 1 << 64:
            return f"{number:016x}"
    raise typer.BadParameter(
        f"{text!r} is no datapath id; write a number (7 or 0x7) from 1 to 2^64-1, or all 16 hexadecimal digits"
    )
