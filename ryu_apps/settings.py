"""What the controller was told at its start, as one frozen value: read from flags and INI file, and checked.

Nothing here listens, connects or logs. A mistake is a `SettingsError` that names the flag and the remedy.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from oslo_config import cfg

from ryu_apps import options
from ryu_apps.listening import Listen, TcpAddress, listen_at, tcp_address
from ryu_apps.options import flag
from topology.model import Address, Cluster, Prefix

OVSDB_PORT: Final = 6640  # IANA: ovsdb
HTTPS_HINT: Final = "give --heddle-tls-certificate and --heddle-tls-key"
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")  # the b64token of RFC 6750, section 2.1, of a decent length

# Ryu's own options that ours replace: one way to say it, one place that checks it.
REPLACED: Final = {
    "ofp_listen_host": "openflow-listen",
    "ofp_tcp_listen_port": "openflow-listen",
    "ofp_ssl_listen_port": "openflow-listen",
    "ctl_privkey": "tls-key",
    "ctl_cert": "tls-certificate",
    "ca_certs": "tls-ca",
    "wsapi_host": "rest-listen",
    "wsapi_port": "rest-listen",
}

Parsed = TypeVar("Parsed")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM; `ca` signs the certificates of those who connect, None: clients need no certificate."""

    certificate: Path
    key: Path
    ca: Path | None


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


def load(conf: Any) -> Settings:
    """Register our options with Ryu's configuration, read them, and make Ryu listen where they say.

    For the controller application, before it starts: it works under our launcher and under stock ryu-manager.
    Raises SettingsError.
    """
    options.register(conf)
    settings = read(conf)
    apply_to_ryu(settings, conf)
    return settings


def read(conf: Any) -> Settings:
    """Return the settings that a parsed configuration holds; raises SettingsError."""
    _refuse_ryus_own(conf)
    _refuse_unknown_keys(conf)
    try:
        given = {option.dest: getattr(conf[options.GROUP], option.dest) for option in options.declared()}
    except (cfg.Error, ValueError) as error:
        raise SettingsError(f"[{options.GROUP}]: {error}") from None
    return _settings(given)


def apply_to_ryu(settings: Settings, conf: Any) -> None:
    """Set Ryu's own options, which its OpenFlow listener reads when it starts."""
    conf.set_override("ofp_listen_host", str(settings.openflow_listen.address))
    conf.set_override("ofp_tcp_listen_port", settings.openflow_listen.port)
    conf.set_override("ofp_ssl_listen_port", settings.openflow_listen.port)
    tls = settings.tls
    conf.set_override("ctl_cert", str(tls.certificate) if tls else None)
    conf.set_override("ctl_privkey", str(tls.key) if tls else None)
    conf.set_override("ca_certs", str(tls.ca) if tls and tls.ca else None)


def _settings(given: dict[str, Any]) -> Settings:
    rest_listen = _rest_listen(given["rest_listen"])
    openflow_listen = _openflow_listen(given["openflow_listen"])
    advertise = _each(given["advertise"], "advertise", ip_address, "an IP address")
    tls = _tls(given["tls_certificate"], given["tls_key"], given["tls_ca"])
    token = _token(given["admin_token_file"])
    exposures = (*_openflow_exposure(openflow_listen, tls), *_rest_exposures(rest_listen, tls, token))
    if exposures and not given["insecure"]:
        raise SettingsError("; ".join(exposures) + "; or accept that with --heddle-insecure")
    reached_at = _reached_at(openflow_listen, advertise)
    return Settings(
        store=_store(given["store"]),
        rest_listen=rest_listen,
        openflow_listen=openflow_listen,
        advertise=advertise,
        tls=tls,
        admin_token=token,
        insecure=given["insecure"],
        cluster=_cluster(given, reached_at, (openflow_listen, *rest_listen)),
        controllers=tuple(
            f"{'ssl' if tls else 'tcp'}:{TcpAddress(address, openflow_listen.port)}" for address in reached_at
        ),
        exposures=exposures,
    )


# --- where to listen, and who may reach it ---------------------------------------------------------------------------


def _rest_listen(texts: Sequence[str]) -> tuple[Listen, ...]:
    name = "rest-listen"
    pieces = [piece.strip() for text in texts for piece in text.split(",") if piece.strip()]
    listens = _each(pieces, name, listen_at, "an address to listen on")
    if not listens:
        raise SettingsError(f"{flag(name)}: nowhere to listen; give HOST:PORT, unix:PATH or fd:N")
    for listen in listens:
        if listens.count(listen) > 1:
            raise SettingsError(f"{flag(name)}: {listen} is given twice")
    return listens


def _openflow_listen(text: str) -> TcpAddress:
    # Port 0 would make Ryu fall back to its own ports.
    (listen,) = _each((text,), "openflow-listen", lambda one: tcp_address(one, lowest=1), "an address to listen on")
    return listen


def _openflow_exposure(listen: TcpAddress, tls: Tls | None) -> tuple[str, ...]:
    if listen.address.is_loopback or (tls and tls.ca):
        return ()
    exposure = (
        f"{flag('openflow-listen')}: on {listen} anyone who reaches it can pose as a switch:"
        f" {HTTPS_HINT} and --heddle-tls-ca, or listen on 127.0.0.1"
    )
    return (exposure,)


def _rest_exposures(listens: Sequence[Listen], tls: Tls | None, token: str | None) -> tuple[str, ...]:
    needed = [HTTPS_HINT] if not tls else []
    needed += ["give --heddle-admin-token-file"] if not token else []
    if not needed:
        return ()
    return tuple(
        f"{flag('rest-listen')}: on {listen} the API is open to whoever reaches it:"
        f" {' and '.join(needed)}, or listen on 127.0.0.1 or unix:PATH"
        for listen in listens
        if isinstance(listen, TcpAddress) and not listen.address.is_loopback
    )


def _reached_at(listen: TcpAddress, advertise: tuple[Address, ...]) -> tuple[Address, ...]:
    if not advertise and listen.address.is_unspecified:
        raise SettingsError(
            f"{flag('openflow-listen')}: {listen} is every address of this machine, so nodes have to be told one:"
            " give --heddle-advertise ADDRESS"
        )
    return advertise or (listen.address,)


# --- files -----------------------------------------------------------------------------------------------------------


def _store(text: str) -> Path:
    name, path = flag("store"), Path(text).absolute()
    if not path.parent.is_dir():
        raise SettingsError(f"{name}: there is no directory {str(path.parent)!r} for {text!r}; make it first")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{name}: {text!r} is not a file; name one, it is made when it does not exist")
    if not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        raise SettingsError(f"{name}: {text!r} cannot be read and written by user id {os.geteuid()}")
    return path


def _token(text: str | None) -> str | None:
    if text is None:
        return None
    name = flag("admin-token-file")
    try:
        token = Path(text).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{name}: {text!r} cannot be read: {_why(error)}") from None
    if not TOKEN.fullmatch(token):
        raise SettingsError(
            f"{name}: {text!r} has to hold one token of 16 or more letters, digits and any of ._~+/-"
            " (for example: openssl rand -hex 32)"
        )
    return token


def _tls(certificate: str | None, key: str | None, ca: str | None) -> Tls | None:
    if not certificate and not key and not ca:
        return None
    if not certificate or not key:
        missing = flag("tls-key" if certificate else "tls-certificate")
        raise SettingsError(f"{missing} is missing: certificate and key are needed together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, file in (("tls-certificate", certificate), ("tls-key", key), ("tls-ca", ca)):
        if file:
            _checked(name, file, lambda path: path.open("rb").close())
    # An empty password instead of OpenSSL's question on the terminal, when the key is encrypted.
    _checked("tls-certificate", certificate, lambda path: context.load_cert_chain(path, key, password=""))
    if ca:
        _checked("tls-ca", ca, context.load_verify_locations)
    return Tls(Path(certificate).absolute(), Path(key).absolute(), Path(ca).absolute() if ca else None)


def _checked(name: str, file: str, load_file: Callable[[Path], object]) -> None:
    try:
        load_file(Path(file))
    except ssl.SSLError as error:
        remedy = "a PEM file, and an unencrypted key that belongs to the certificate, are needed"
        raise SettingsError(f"{flag(name)}: {file!r} is not usable ({error.reason or error}): {remedy}") from None
    except OSError as error:
        raise SettingsError(f"{flag(name)}: {file!r} cannot be read: {_why(error)}") from None


def _why(error: Exception) -> str:
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


# --- addresses -------------------------------------------------------------------------------------------------------


def _each(texts: Sequence[str], name: str, parse: Callable[[str], Parsed], what: str) -> tuple[Parsed, ...]:
    values = []
    for text in texts:
        try:
            values.append(parse(text.strip()))
        except ValueError as error:
            raise SettingsError(f"{flag(name)}: {text!r} is not {what}: {error}") from None
    return tuple(values)


def _cidrs(texts: Sequence[str], name: str) -> tuple[Prefix, ...]:
    prefixes: tuple[Prefix, ...] = _each(texts, name, ip_network, "a CIDR (such as 10.128.0.0/14)")
    versions = [prefix.version for prefix in prefixes]
    if not prefixes or len(set(versions)) != len(versions):
        raise SettingsError(f"{flag(name)}: one CIDR for each address family is needed, not {','.join(texts)!r}")
    return prefixes


def _cluster(given: dict[str, Any], reached_at: tuple[Address, ...], listens: Sequence[Listen]) -> Cluster:
    pods, services = _cidrs(given["cluster_cidr"], "cluster-cidr"), _cidrs(given["service_cidr"], "service-cidr")
    for pod in pods:
        for service in services:
            if pod.version == service.version and pod.overlaps(service):
                raise SettingsError(
                    f"{flag('service-cidr')}: {service} overlaps the pods' {pod} ({flag('cluster-cidr')})"
                )
    (length,) = _each((given["node_prefix"],), "node-prefix", int, "a prefix length")
    for pod in pods:
        # Two addresses besides network and broadcast: the gateway's and a pod's.
        if isinstance(pod, IPv4Network) and not pod.prefixlen <= length <= 30:
            raise SettingsError(f"{flag('node-prefix')}: {length} is not from {pod.prefixlen} (of {pod}) to 30")
    translated = _each(given["translation_cidr"], "translation-cidr", ip_network, "a CIDR (such as 100.64.0.0/10)")
    ports = {OVSDB_PORT, *(listen.tcp_port for listen in listens if listen.tcp_port)}
    return Cluster(
        cluster_cidrs=pods,
        node_prefix=length,
        service_cidrs=services,
        control_plane=reached_at,
        guarded_tcp_ports=tuple(sorted(ports)),
        own_networks=given["own_networks"],
        translation_cidrs=translated,
    )


# --- where a setting came from ---------------------------------------------------------------------------------------


def _refuse_ryus_own(conf: Any) -> None:
    for name, ours in REPLACED.items():
        if name not in conf:
            continue
        location = conf.get_location(name)
        if location is not None and location.location.is_user_controlled:
            raise SettingsError(f"{name} is an option of Ryu that this controller does not take: use {flag(ours)}")


def _refuse_unknown_keys(conf: Any) -> None:
    known = {option.dest for option in options.declared()}
    for file in conf.config_file or ():
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, sections).parse()
        for key in sections.get(options.GROUP, {}):
            if key not in known:
                raise SettingsError(
                    f"{file}: [{options.GROUP}] has no setting {key!r}; it has {', '.join(sorted(known))}"
                )
