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


def ports_text(ports: Iterable[Mapping[str, Any]]) -> str:
    """Return the API's objects for ports as they are given in arguments: 80/tcp, 53/udp."""
    return ", ".join(f"{port.get('port')}/{str(port.get('protocol')).lower()}" for port in ports)


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
