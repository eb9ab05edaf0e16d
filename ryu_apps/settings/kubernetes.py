"""The settings of a controller that is one of several replicas: where Kubernetes' API is, and who it is there."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Any, Final

from ryu_apps.listening import TcpAddress
from ryu_apps.options import flag
from ryu_apps.settings import checks
from ryu_apps.settings.checks import SettingsError, each
from ryu_apps.settings.doors import Doors
from ryu_apps.settings.values import Kubernetes
from topology.names import subdomain_fault

_LONGEST_NAME: Final = 200  # of a replica: its lease's has a word before it


def replica(given: dict[str, Any], listening: Doors, token: str | None) -> Kubernetes:
    """Return what this replica is among the others. Raises SettingsError."""
    if token is None:
        remedy = "give --heddle-admin-token-file, the same token for all"
        raise SettingsError(f"{flag('kubernetes')}: replicas call each other by the administrator's token: {remedy}")
    apiserver, api_url = given["apiserver"], given["api_url"]
    (lease,) = each((given["lease_seconds"],), "lease-seconds", _seconds, "a number of seconds from 1 to 600")
    (shards,) = each((given["shards"],), "shards", _shards, "a number from 1 to 256")
    return Kubernetes(
        kubeconfig=_kubeconfig(given["kubeconfig"]),
        apiserver=None if apiserver is None else checks.url(apiserver, "apiserver"),
        namespace=checks.label(given["namespace"], "namespace", "a namespace, such as heddle-system"),
        replica=_name(given["replica"]),
        api_url=checks.url(api_url, "api-url") if api_url else _api_url(listening),
        lease=lease,
        shards=shards,
        pod_cidrs=given["pod_cidrs"],
        audiences=tuple(given["token_audience"]),
    )


def _kubeconfig(text: str | None) -> Path | None:
    if text is None:
        return None
    checks.file(text, "kubeconfig", checks.readable)
    return Path(text).absolute()


def _name(given: str | None) -> str:
    """Return the name of this replica: by chance, unless one is given, so that each process has its own."""
    name = given or f"{socket.gethostname().split('.')[0].lower()}-{secrets.token_hex(3)}"
    if subdomain_fault(name) or len(name) > _LONGEST_NAME:
        remedy = f"a DNS name of at most {_LONGEST_NAME} characters is needed"
        raise SettingsError(f"{flag('replica')}: {name!r} cannot be a lease's name; {remedy}")
    return name


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 600:
        raise ValueError("it is outside that")
    return seconds


def _shards(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 256:
        raise ValueError("it is outside that")
    return number


def _api_url(listening: Doors) -> str:
    """Return where others reach the API: the first TCP address it listens on, or at that port the advertised one."""
    scheme, advertised = "https" if listening.tls else "http", listening.reached_at[0]
    for listen in listening.rest:
        if isinstance(listen, TcpAddress):
            address = advertised if listen.address.is_unspecified else listen.address
            return f"{scheme}://{TcpAddress(address, listen.port)}"
        if listen.tcp_port:
            return f"{scheme}://{TcpAddress(advertised, listen.tcp_port)}"
    raise SettingsError(
        f"{flag('api-url')}: other replicas have to reach this one; listen on a TCP address, or give it"
    )
