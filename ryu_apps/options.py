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
    return (*_of_this_controller(), *_of_the_cluster(), *_of_kubernetes(), *_of_this_replica())


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
        cfg.StrOpt(
            "node-ports",
            metavar="FIRST-LAST|none",
            default="30000-32767",
            help="ports of every node's own addresses that lead to services, the same as the API server's"
            " --service-node-port-range; none: somebody else leads them (default: 30000-32767)",
        ),
        cfg.StrOpt(
            "encapsulation",
            metavar="vxlan|geneve",
            default="vxlan",
            help="that nodes send to each other by, unless one has its own (heddle set-node); all nodes accept both"
            " (default: vxlan)",
        ),
        cfg.ListOpt(
            "external-cidr",
            metavar="CIDR[,...]",
            default=[],
            help="external and load balancers' addresses that services may have: whoever makes a service gets what is"
            " sent to such an address (default: none)",
        ),
        cfg.ListOpt(
            "load-balancer-pool",
            metavar="CIDR[,...]",
            default=[],
            help="addresses inside --heddle-external-cidr that services get which ask for a load balancer; each is"
            " answered for by one of the nodes, and by another one when that fails (default: none)",
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


def _of_kubernetes() -> tuple[cfg.Opt, ...]:
    """Whether the state is in Kubernetes' API, where that is, and what is taken over from there."""
    return (
        cfg.BoolOpt(
            "kubernetes",
            default=False,
            help="keep the state in Kubernetes' API and share the switches with other replicas, in place of --store;"
            " reached by the pod's service account unless --heddle-kubeconfig names a file",
        ),
        cfg.StrOpt("kubeconfig", metavar="FILE", help="kubeconfig of the API server (with --heddle-kubernetes)"),
        cfg.StrOpt(
            "apiserver",
            metavar="URL",
            help="the API server's own address, in place of the one that kubeconfig or environment name: a service"
            " address is not there before this controller has made it",
        ),
        cfg.StrOpt(
            "namespace",
            metavar="NAME",
            default="heddle-system",
            help="namespace of the replicas' leases (default: heddle-system)",
        ),
        cfg.ListOpt(
            "token-audience",
            metavar="AUDIENCE[,...]",
            default=["heddle"],
            help="callers are known by tokens that the API server knows, if they are for one of these or for the API"
            " server itself (default: heddle)",
        ),
        cfg.BoolOpt(
            "pod-cidrs",
            default=False,
            help="nodes' subnets are their spec.podCIDRs, in place of ones that are allotted here",
        ),
    )


def _of_this_replica() -> tuple[cfg.Opt, ...]:
    """What it is among the others, and what all of them say alike."""
    return (
        cfg.StrOpt("replica", metavar="NAME", help="name of this replica (default: host name, and a part by chance)"),
        cfg.StrOpt(
            "api-url",
            metavar="URL",
            help="where other replicas and nodes reach this one's API (default: from --heddle-advertise and"
            " --heddle-rest-listen)",
        ),
        cfg.StrOpt(
            "lease-seconds",
            metavar="SECONDS",
            default="5",
            help="after how many seconds without a sign of life a replica is replaced (default: 5)",
        ),
        cfg.StrOpt(
            "shards",
            metavar="NUMBER",
            default="8",
            help="into how many shares the switches are divided among replicas; the same for all (default: 8)",
        ),
        cfg.ListOpt(
            "control-plane",
            metavar="ADDRESS[,...]",
            default=[],
            help="addresses, besides the nodes', at which controllers are: pods do not reach their ports there; with"
            " --heddle-kubernetes, and the same for all replicas",
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
