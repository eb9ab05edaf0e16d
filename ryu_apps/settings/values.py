"""The settings, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ryu_apps.listening import Listen, TcpAddress
from topology.model import Address, Cluster


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM; `ca` signs the certificates of those who connect, None: clients need no certificate."""

    certificate: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Where the API server is, and what this replica is among the others. `lease` in seconds."""

    kubeconfig: Path | None
    apiserver: str | None
    namespace: str
    replica: str
    api_url: str
    lease: float
    shards: int
    pod_cidrs: bool
    audiences: tuple[str, ...] = ("heddle",)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the controller. TLS, if any, is for OpenFlow and for the API's TCP addresses.

    `controllers` are the targets for the switches in OVSDB's form (tcp:192.0.2.1:6653, ssl:...), and `exposures`
    the risks that --heddle-insecure took, as sentences to warn with.
    """

    store: Path
    rest_listen: tuple[Listen, ...]
    openflow_listen: TcpAddress
    advertise: tuple[Address, ...]
    tls: Tls | None
    admin_token: str | None = field(repr=False)
    insecure: bool
    cluster: Cluster
    controllers: tuple[str, ...]
    exposures: tuple[str, ...]
    kubernetes: Kubernetes | None = None
