"""From flags and INI file to settings, and from settings to Ryu's own options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from oslo_config import cfg

from ryu_apps import options
from ryu_apps.listening import TcpAddress
from ryu_apps.options import flag
from ryu_apps.settings import files
from ryu_apps.settings.checks import SettingsError, addresses
from ryu_apps.settings.doors import Doors, doors
from ryu_apps.settings.kubernetes import replica
from ryu_apps.settings.network import cluster
from ryu_apps.settings.values import Settings
from topology.model import Cluster

# Ryu's own options that ours replace: one way to say it, one place that checks it.
_REPLACED: Final = {
    "ofp_listen_host": "openflow-listen",
    "ofp_tcp_listen_port": "openflow-listen",
    "ofp_ssl_listen_port": "openflow-listen",
    "ctl_privkey": "tls-key",
    "ctl_cert": "tls-certificate",
    "ca_certs": "tls-ca",
    "wsapi_host": "rest-listen",
    "wsapi_port": "rest-listen",
}


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
    tls = files.tls(given["tls_certificate"], given["tls_key"], given["tls_ca"])
    token = files.token(given["admin_token_file"])
    listening = doors(given, tls, token)
    kubernetes = replica(given, listening, token) if given["kubernetes"] else None
    port, scheme = listening.openflow.port, "ssl" if tls else "tcp"
    return Settings(
        store=Path(given["store"]) if kubernetes else files.store(given["store"]),
        rest_listen=listening.rest,
        openflow_listen=listening.openflow,
        advertise=listening.advertise,
        tls=tls,
        admin_token=token,
        insecure=given["insecure"],
        cluster=_cluster(given, listening, shared=kubernetes is not None),
        kubernetes=kubernetes,
        controllers=tuple(f"{scheme}:{TcpAddress(address, port)}" for address in listening.reached_at),
        exposures=listening.exposures,
    )


def _cluster(given: dict[str, Any], listening: Doors, *, shared: bool) -> Cluster:
    """Return what holds for the whole network; `shared`: with other replicas.

    What is programmed must not depend on which replica does it: a replica's own addresses are not in it then, nor are
    sockets that its starter left open.
    """
    listens = (listening.openflow, *listening.rest)
    if not shared:
        return cluster(given, listening.reached_at, listens)
    tcp = tuple(listen for listen in listens if isinstance(listen, TcpAddress))
    return cluster(given, addresses(given["control_plane"], "control-plane"), tcp)


# --- where a setting came from ---------------------------------------------------------------------------------------


def _refuse_ryus_own(conf: Any) -> None:
    for name, ours in _REPLACED.items():
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
