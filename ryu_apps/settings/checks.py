"""Checks of single settings: a text becomes a value, or an error that names the flag, the cause and the remedy."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from ryu_apps.options import flag
from topology.model import Address
from topology.names import label_fault, subdomain_fault

_URL_EXAMPLE: Final = "needed is http:// or https:// with HOST or HOST:PORT, as in https://192.0.2.10:6443"

Parsed = TypeVar("Parsed")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what to do."""


def each(texts: Sequence[str], name: str, parse: Callable[[str], Parsed], what: str) -> tuple[Parsed, ...]:
    """Return what `parse` makes of each text that is given for `name`. Raises SettingsError for its ValueErrors."""
    values = []
    for text in texts:
        try:
            values.append(parse(text.strip()))
        except ValueError as error:
            raise SettingsError(f"{flag(name)}: {text!r} is not {what}: {error}") from None
    return tuple(values)


def addresses(texts: Sequence[str], name: str) -> tuple[Address, ...]:
    """Return IP addresses. Raises SettingsError."""
    found: tuple[Address, ...] = each(texts, name, ip_address, "an IP address")
    return found


def url(text: str, name: str) -> str:
    """Return where a server is, to which the paths of its API are added. Raises SettingsError."""
    (found,) = each((text,), name, _url, "a server's URL")
    return found


def label(text: str, name: str, what: str) -> str:
    """Return the name of an object in Kubernetes that is a DNS label. Raises SettingsError."""
    fault = label_fault(text)
    if fault is not None:
        raise SettingsError(f"{flag(name)}: {text!r} {fault}; needed is the name of {what}")
    return text


def file(text: str, name: str, load: Callable[[Path], object]) -> None:
    """Try whether `load` can load a file. Raises SettingsError."""
    try:
        load(Path(text))
    except ssl.SSLError as error:
        remedy = "a PEM file, and an unencrypted key that belongs to the certificate, are needed"
        raise SettingsError(f"{flag(name)}: {text!r} is not usable ({error.reason or error}): {remedy}") from None
    except OSError as error:
        raise SettingsError(f"{flag(name)}: {text!r} cannot be read: {why(error)}") from None


def readable(path: Path) -> None:
    """Open a file and close it. Raises OSError."""
    path.open("rb").close()


def why(error: Exception) -> str:
    """Return what an error says, without the file's name where that is said already."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{error}; {_URL_EXAMPLE}") from None
    bracketed = f"[{host}]" if ":" in host else host
    plain = f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"it begins with neither http:// nor https://; {_URL_EXAMPLE}")
    if not _is_host(host):
        raise ValueError(f"{host!r} is neither an IP address nor a DNS name; {_URL_EXAMPLE}")
    if text.lower() != plain:  # a path, a query, a user, a port that is none
        raise ValueError(f"there is more to it than host and port: write {plain}")
    return plain


def _is_host(text: str) -> bool:
    """Whether a text names a host; what ends in a number is an address, or nothing (RFC 1123, section 2.1)."""
    if ":" in text or text.rpartition(".")[2].isdigit():
        try:
            return "%" not in str(ip_address(text))
        except ValueError:
            return False
    return subdomain_fault(text) is None
