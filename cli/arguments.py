"""Readers of arguments that are more than one word or number. What a value may be otherwise, the server decides."""

from __future__ import annotations

import re
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
