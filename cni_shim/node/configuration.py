"""What the controller says about this node, validated, and the last good one kept on disk. No data path here.

Fail static: when no controller answers, the node is kept as the last good configuration said.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cni_shim.controller import split_host_port
from cni_shim.errors import UNDECODABLE, ShimError
from cni_shim.node.settings import INTERFACE_NAME_LIMIT, SCHEMES

PROTOCOLS = ("TCP", "UDP", "SCTP")
FILE_NAME = "configuration.json"


@dataclass(frozen=True)
class NodePorts:
    """Ports `first` to `last` of this node's own addresses lead to services; in br0, `prefixes` stand for the node."""

    first: int
    last: int
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Door:
    """A port of an external address; it leads to this node's `node_port`, or if that is 0 to the address `service`.

    `sources`: where the clients are whom it leads in; None: anywhere.
    """

    address: str
    protocol: str
    port: int
    service: str
    node_port: int
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LocalPort:
    """A port of a service to which clients from outside come by their own addresses; so they do by its `node_port`."""

    service: str
    protocol: str
    port: int
    node_port: int


@dataclass(frozen=True)
class Health:
    """At `port` of this node is told how many endpoints of a service of a project it has."""

    port: int
    project: str
    service: str
    endpoints: int


@dataclass(frozen=True)
class Configuration:
    """GET /v1/nodes/{node}/configuration, checked. Addresses are text in their usual form; `mtu_overhead` in bytes.

    `controllers` are the switch's OpenFlow targets; `api`, the URLs of the living controllers' APIs, if they tell.
    `hairpin`: from where the node is met that reaches itself by a service, one address for each family; none from an
    older controller, which leaves services to a proxy on the node. `node_ports`: none if they are left to one. `held`:
    addresses that this node answers for on the underlay, besides its own.
    """

    revision: int
    node: str
    bridge: str
    datapath_id: str
    underlay: str
    gateways: tuple[str, ...]
    cluster_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    mtu_overhead: int
    controllers: tuple[str, ...]
    peers: tuple[str, ...]
    guarded_tcp_ports: tuple[int, ...]
    guarded_udp_ports: tuple[int, ...]
    programmed: bool
    api: tuple[str, ...] = ()
    hairpin: tuple[str, ...] = ()
    node_ports: NodePorts | None = None
    external: tuple[Door, ...] = ()
    local: tuple[LocalPort, ...] = ()
    health: tuple[Health, ...] = ()
    control_plane: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def gateway_mac(self) -> str:
        """That of the IPv4 gateway, or of the IPv6 one if there is none."""
        addresses = [gateway.partition("/")[0] for gateway in self.gateways]
        return mac_of(next((address for address in addresses if ":" not in address), addresses[0]))


def mac_of(address: str) -> str:
    """0a:58 and four bytes of an address, as the controller makes MAC addresses too: the last two of IPv6, and the two
    that tell subnets apart."""
    octets = ipaddress.ip_address(address).packed
    return ":".join(f"{byte:02x}" for byte in b"\x0a\x58" + (octets if len(octets) == 4 else octets[6:8] + octets[14:]))


def parse(content: Any, node: str) -> Configuration:
    """The configuration in decoded JSON `content`; fields that this version does not know are left alone.

    ShimError names the field that is missing or malformed, or another node's name.
    """
    if not isinstance(content, dict):
        raise _wrong("(all)", content, "an object")
    values = {}
    for name, reader in _READERS.items():
        if name not in content:
            raise ShimError(UNDECODABLE, f"the controller's configuration lacks {name!r}", "is its version too old?")
        values[name] = reader(name, content[name])
    values["api"] = _many(_url)("api", content.get("api") or [])
    values["hairpin"] = _many(_address)("hairpin", content.get("hairpin") or [])
    values["node_ports"] = _node_ports(content.get("node_ports"))
    values["external"] = _many(_door)("external", content.get("external") or [])
    values["control_plane"] = _many(_address)("control_plane", content.get("control_plane") or [])
    values["local"] = _many(_of(LocalPort, _LOCAL_PORT))("local", content.get("local") or [])
    values["health"] = _many(_of(Health, _HEALTH))("health", content.get("health") or [])
    values["held"] = _many(_address)("held", content.get("held") or [])
    if values["node"] != node:
        raise _wrong("node", values["node"], f"this node, {node!r}")
    return Configuration(**values)


def save(configuration: Configuration, state_dir: Path) -> None:
    """Keep `configuration` as the last good one, by rename: a reader never sees half of it."""
    write_by_rename(state_dir / FILE_NAME, json.dumps(asdict(configuration), indent=1) + "\n")


def last_good(state_dir: Path, node: str) -> Configuration | None:
    """The configuration kept last, or None when there is none that this version can use."""
    try:
        return parse(json.loads((state_dir / FILE_NAME).read_text()), node)
    except (OSError, ValueError, ShimError):
        return None


def write_by_rename(path: Path, text: str, mode: int = 0o644) -> bool:
    """Make `text` the content of `path` in one step; False when it was already."""
    try:
        if path.read_text() == text:
            return False
    except (OSError, ValueError):
        pass  # not there or unreadable: write it
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return True


def _wrong(name: str, value: Any, wanted: str) -> ShimError:
    shown = repr(value)
    return ShimError(
        UNDECODABLE, f"the controller's configuration has {name} {shown[:80]}", f"expected {wanted}; nothing is changed"
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a non-empty string")
    return value


def _number(low: int, high: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _wrong(name, value, f"an integer from {low} to {high}")
        return value

    return read


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _bridge(name: str, value: Any) -> str:
    text = _text(name, value)
    plain = text.isascii() and text.replace("-", "").isalnum() and text[0] != "-"
    if len(text) > INTERFACE_NAME_LIMIT or not plain:
        raise _wrong(name, value, "a bridge's name")
    return text


def _datapath_id(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != 16 or set(value) - set("0123456789abcdef") or not int(value, 16):
        raise _wrong(name, value, "16 lower-case hex digits, not all zero")
    return value


def _address(name: str, value: Any) -> str:
    try:
        address = ipaddress.ip_address(_text(name, value))
    except ValueError:
        raise _wrong(name, value, "an IP address") from None
    if "%" in value:  # a scope id (RFC 4007) may be any text, and this becomes part of nft's
        raise _wrong(name, value, "an IP address without a scope")
    return str(address)


def _interface_address(name: str, value: Any) -> str:
    try:
        address = ipaddress.ip_interface(_text(name, value))
    except ValueError:
        raise _wrong(name, value, "an address with its prefix length") from None
    if "/" not in value:
        raise _wrong(name, value, "an address with its prefix length")
    return str(address)


def _prefix(name: str, value: Any) -> str:
    try:
        return str(ipaddress.ip_network(_text(name, value)))
    except ValueError as error:
        raise _wrong(name, value, f"a CIDR ({error})") from None


def _target(name: str, value: Any) -> str:
    scheme, _, rest = _text(name, value).partition(":")
    if scheme == "unix" and rest.startswith("/"):
        return str(value)
    if scheme not in ("tcp", "ssl") or not rest.rpartition(":")[0]:
        raise _wrong(name, value, "tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:/PATH")
    try:
        ipaddress.ip_address(split_host_port(rest, 0)[0])
    except (ShimError, ValueError):
        raise _wrong(name, value, "tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:/PATH") from None
    return str(value)


def _url(name: str, value: Any) -> str:
    scheme, slashes, rest = _text(name, value).partition("://")
    if value.startswith("unix:/"):
        return str(value)
    try:
        if scheme not in ("http", "https") or not slashes or not split_host_port(rest.partition("/")[0], 443)[0]:
            raise _wrong(name, value, f"a URL that starts with {', '.join(SCHEMES)}")
    except ShimError:
        raise _wrong(name, value, f"a URL that starts with {', '.join(SCHEMES)}") from None
    return str(value)


def _many(reader: Callable[[str, Any], Any], least: int = 0) -> Callable[[str, Any], tuple[Any, ...]]:
    def read(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise _wrong(name, value, f"a list of {least} or more")
        return tuple(reader(name, item) for item in value)

    return read


def _node_ports(content: Any) -> NodePorts | None:
    if content is None:
        return None
    name = "node_ports"
    if not isinstance(content, dict) or not {"first", "last", "prefixes"} <= content.keys():
        raise _wrong(name, content, "first, last and prefixes")
    first, last = (_number(1, 65535)(f"{name}.{end}", content[end]) for end in ("first", "last"))
    if first > last:
        raise _wrong(name, content, "the first not above the last")
    return NodePorts(first, last, _many(_prefix)(f"{name}.prefixes", content["prefixes"]))


def _door(name: str, value: Any) -> Door:
    door: Door = _of(Door, _DOOR)(name, value)
    given = value.get("sources")  # an older controller knows of none
    return door if given is None else replace(door, sources=_many(_prefix)(f"{name}.sources", given))


def _of(kind: Callable[..., Any], fields: dict[str, Callable[[str, Any], Any]]) -> Callable[[str, Any], Any]:
    """A reader of objects with these fields."""

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, dict) or not fields.keys() <= value.keys():
            raise _wrong(name, value, f"{', '.join(fields)} of each")
        return kind(**{field: reader(f"{name}.{field}", value[field]) for field, reader in fields.items()})

    return read


def _protocol(name: str, value: Any) -> str:
    if value not in PROTOCOLS:
        raise _wrong(name, value, f"one of {', '.join(PROTOCOLS)}")
    return str(value)


_DOOR: dict[str, Callable[[str, Any], Any]] = {
    "address": _address,
    "protocol": _protocol,
    "port": _number(1, 65535),
    "service": _address,
    "node_port": _number(0, 65535),
}
_LOCAL_PORT: dict[str, Callable[[str, Any], Any]] = {
    "service": _address,
    "protocol": _protocol,
    "port": _number(1, 65535),
    "node_port": _number(0, 65535),
}
_HEALTH: dict[str, Callable[[str, Any], Any]] = {
    "port": _number(1, 65535),
    "project": _text,
    "service": _text,
    "endpoints": _number(0, 2**31),
}
_READERS: dict[str, Callable[[str, Any], Any]] = {
    "revision": _number(-(2**63), 2**64),
    "node": _text,
    "bridge": _bridge,
    "datapath_id": _datapath_id,
    "underlay": _address,
    "gateways": _many(_interface_address, 1),
    "cluster_cidrs": _many(_prefix, 1),
    "service_cidrs": _many(_prefix),
    "mtu_overhead": _number(0, 1000),
    "controllers": _many(_target, 1),
    "peers": _many(_address),
    "guarded_tcp_ports": _many(_number(1, 65535)),
    "guarded_udp_ports": _many(_number(1, 65535)),
    "programmed": _flag,
}
