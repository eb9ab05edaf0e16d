"""The controller's own flags: names, defaults and help texts, as options of Ryu's configuration (oslo.config).

Only declarations: what the texts mean, and whether they are valid, is decided in `settings`.
The group's name gives each flag its prefix (--heddle-store) and each INI file its section ([heddle], store = ...).
"""

from __future__ import annotations

from typing import Any, Final

from oslo_config import cfg

GROUP: Final = "heddle"


def declared() -> tuple[cfg.Opt, ...]:
    """Return the declarations of all options, new ones at each call (oslo.config writes into them)."""
    return (*_of_this_controller(), *_of_the_cluster())


def _of_this_controller() -> tuple[cfg.Opt, ...]:
    """Where it keeps its state, where it listens, and who may come in."""
    return (
        cfg.StrOpt(
            "store",
            metavar="FILE",
            default="./heddle.sqlite",
            help="SQLite file of the desired state (default: ./heddle.sqlite)",
        ),
        cfg.MultiStrOpt(
            "rest-listen",
            metavar="HOST:PORT|unix:PATH|fd:N",
            default=["127.0.0.1:8080"],
            help="where the HTTP API listens, several with commas or repeated; fd:N: an inherited listening socket"
            " (default: 127.0.0.1:8080)",
        ),
        cfg.StrOpt(
            "openflow-listen",
            metavar="HOST:PORT",
            default="127.0.0.1:6653",
            help="where switches connect (default: 127.0.0.1:6653)",
        ),
        cfg.ListOpt(
            "advertise",
            metavar="ADDRESS[,...]",
            default=[],
            help="addresses at which nodes reach this controller (default: where it listens)",
        ),
        cfg.StrOpt("admin-token-file", metavar="FILE", help="file with the token that allows every call of the API"),
        cfg.StrOpt("tls-certificate", metavar="FILE", help="PEM certificate (chain) for the API and for OpenFlow"),
        cfg.StrOpt("tls-key", metavar="FILE", help="PEM key that belongs to the certificate"),
        cfg.StrOpt("tls-ca", metavar="FILE", help="PEM certificates of the CA that signs the switches' certificates"),
        cfg.BoolOpt("insecure", default=False, help="listen beyond loopback without TLS and authentication; warns"),
    )


def _of_the_cluster() -> tuple[cfg.Opt, ...]:
    """What holds for all nodes and networks."""
    return (
        cfg.ListOpt(
            "cluster-cidr",
            metavar="CIDR[,...]",
            default=["10.128.0.0/14"],
            help="addresses of all pods, one for each address family (default: 10.128.0.0/14)",
        ),
        cfg.StrOpt(
            "node-prefix",
            metavar="LENGTH",
            default="23",
            help="prefix length of a node's share of the pods' addresses (default: 23)",
        ),
        cfg.ListOpt(
            "service-cidr",
            metavar="CIDR[,...]",
            default=["172.30.0.0/16"],
            help="addresses of services, one for each address family (default: 172.30.0.0/16)",
        ),
        cfg.BoolOpt(
            "own-networks",
            default=False,
            help="a project for which no network is named gets one of its own, else it is on the flat default one",
        ),
        cfg.ListOpt(
            "translation-cidr",
            metavar="CIDR[,...]",
            default=["100.64.0.0/10"],
            help="from where networks joined with translation get prefixes for each other (default: 100.64.0.0/10)",
        ),
    )


def register(conf: Any) -> None:
    """Register the options with `conf` (an oslo.config ConfigOpts); again is harmless.

    Flags can be registered only before the command line was parsed. Stock `ryu-manager` parses it before it
    imports an application: then the options come from --config-file and the defaults only, and
    `--user-flags ryu_apps/options.py` makes it know the flags too.
    """
    conf.register_group(cfg.OptGroup(GROUP, title="Heddle"))
    try:
        conf.register_cli_opts(declared(), group=GROUP)
    except cfg.ArgsAlreadyParsedError:
        conf.register_opts(declared(), group=GROUP)


def flag(name: str) -> str:
    """Return how the option `name` (as in `declared`) is written on the command line, for error messages."""
    return f"--{GROUP}-{name}"
