"""What an administrator tells heddle-node, by a file and flags: where things are. No network policy here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cni_shim.errors import BAD_CONFIGURATION, ShimError
from cni_shim.node.members import Timers

INTERFACE_NAME_LIMIT = 15  # IFNAMSIZ - 1
SCHEMES = ("http://", "https://", "unix:/")  # of the controllers' APIs
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # where a pod finds its own
NAMESPACE = "heddle-system"


@dataclass(frozen=True)
class Tls:
    """PEM files for OpenFlow over TLS (`ssl:` controller targets)."""

    private_key: str
    certificate: str
    ca_certificate: str


@dataclass(frozen=True)
class ApiServer:
    """Where Kubernetes' API is, and by what this node is known there: a token, or a certificate with its key.

    Controllers keep their Leases in `namespace`.
    """

    url: str
    ca_file: str | None = None
    token_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    namespace: str = NAMESPACE


@dataclass(frozen=True)
class Settings:
    """One node's settings; paths are absolute. `uplink` None: found by the underlay address.

    `mtu`: bytes of the largest packet that the underlay carries, where that is less than its interface says.

    `controllers` are where the first controller is looked for, besides what `apiserver` tells. `cni_ca_file`: where the
    plugin finds a copy of `ca_file`, if it cannot see that itself.
    """

    node: str
    token_file: str
    ovs_rundir: Path
    datapath: str
    state_dir: Path
    controllers: tuple[str, ...] = ()
    apiserver: ApiServer | None = None
    cni_conf_dir: Path | None = None
    ca_file: str | None = None
    cni_ca_file: str | None = None
    uplink: str | None = None
    mtu: int | None = None
    cni_config: dict[str, Any] | None = field(default=None)
    cni_file: str = "10-heddle.conflist"
    cni_chained: tuple[dict[str, Any], ...] = ()  # plugins that a runtime executes after ours
    openflow_tls: Tls | None = None
    inherit_dscp: bool = False  # whether what goes between nodes carries the DSCP of the packet inside
    multicast: Timers = field(default_factory=Timers)

    @property
    def database(self) -> str:
        return f"unix:{self.ovs_rundir}/db.sock"


def load(path: Path, flags: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """The settings in the JSON file `path`, as `flags` change them; ShimError names file, field and remedy."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ShimError(BAD_CONFIGURATION, f"cannot read {path}", str(error)) from None
    except ValueError as error:
        raise ShimError(BAD_CONFIGURATION, f"{path} is not JSON", str(error)) from None
    try:
        return parse(changed(content, flags))
    except ShimError as error:
        raise ShimError(error.code, f"{path}: {error.msg}", error.details) from None


def changed(content: Any, flags: Mapping[str, Any]) -> Any:
    """`content` with the fields that `flags` give; those of an object one by one."""
    if not isinstance(content, dict):
        return content
    made = dict(content)
    for name, value in flags.items():
        before = made.get(name)
        made[name] = {**(before if isinstance(before, dict) else {}), **value} if isinstance(value, dict) else value
    return made


def parse(content: Any) -> Settings:
    """Settings from decoded JSON."""
    if not isinstance(content, dict):
        raise _wrong("the file", "must hold a JSON object")
    readers = _READERS
    unknown = sorted(set(content) - set(readers))
    if unknown:
        raise _wrong(f"field {unknown[0]!r}", f"is unknown; known are {', '.join(readers)}")
    missing = sorted(_REQUIRED - set(content))
    if missing:
        raise _wrong(f"field {missing[0]!r}", "is missing")
    values = {name: readers[name](name, value) for name, value in content.items()}
    return Settings(**values)


def _wrong(what: str, why: str) -> ShimError:
    return ShimError(BAD_CONFIGURATION, f"{what} {why}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(f"field {name!r}", f"must be a non-empty string, not {value!r}")
    return value


def _file(name: str, value: Any) -> str:
    if not _text(name, value).startswith("/"):
        raise _wrong(f"field {name!r}", f"must be an absolute path, not {value!r}")
    return str(value)


def _folder(name: str, value: Any) -> Path:
    return Path(_file(name, value))


def _node_name(name: str, value: Any) -> str:
    if not all(c.isascii() and (c.isalnum() or c in "-.") for c in _text(name, value)) or len(value) > 253:
        raise _wrong(f"field {name!r}", f"must be a node name (letters, digits, '-', '.'), not {value!r}")
    return str(value)


def _controllers(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(f"field {name!r}", "must be a list of URLs")
    for url in value:
        if not isinstance(url, str) or not url.startswith(SCHEMES):
            raise _wrong(f"field {name!r}", f"holds {url!r}: a URL starts with {', '.join(SCHEMES)}")
    return tuple(value)


def _datapath(name: str, value: Any) -> str:
    if value not in ("netdev", "system"):
        raise _wrong(f"field {name!r}", f"must be 'netdev' or 'system', not {value!r}")
    return str(value)


def _interface(name: str, value: Any) -> str:
    text = _text(name, value)
    if (
        len(text.encode()) > INTERFACE_NAME_LIMIT
        or "/" in text
        or any(c.isspace() for c in text)
        or text in (".", "..")
    ):
        raise _wrong(f"field {name!r}", f"must be an interface's name, not {value!r}")
    return text


def _mtu(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 16:
        raise _wrong(f"field {name!r}", f"must be a number of bytes, not {value!r}")
    return value


def _plugin_config(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"field {name!r}", "must be an object")
    return value


def _chained(name: str, value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list):
        raise _wrong(f"field {name!r}", "must be a list of plugins' configurations")
    for plugin in value:
        if not isinstance(plugin, dict) or not isinstance(plugin.get("type"), str) or not plugin["type"]:
            raise _wrong(f"field {name!r}", f"holds {plugin!r}: each is an object with the plugin's type")
    return tuple(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(f"field {name!r}", f"must be true or false, not {value!r}")
    return value


def _timers(name: str, value: Any) -> Timers:
    bounds = {"interval": (5, 3600), "response": (1, 60), "robustness": (1, 7)}
    if not isinstance(value, dict) or set(value) - set(bounds):
        raise _wrong(f"field {name!r}", f"must be an object with some of {', '.join(bounds)}")
    for key, number in value.items():
        low, high = bounds[key]
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise _wrong(f"field '{name}.{key}'", f"must be an integer from {low} to {high}, not {number!r}")
    timers = Timers(**value)
    if timers.response >= timers.interval:
        raise _wrong(f"field '{name}.response'", "must be less than the interval (RFC 3376, section 8.3)")
    return timers


def _file_name(name: str, value: Any) -> str:
    if "/" in _text(name, value) or not value.endswith(".conflist"):
        raise _wrong(f"field {name!r}", "must be a file's name that ends in .conflist")
    return str(value)


def _tls(name: str, value: Any) -> Tls:
    wanted = {"private_key", "certificate", "ca_certificate"}
    if not isinstance(value, dict) or set(value) != wanted:
        raise _wrong(f"field {name!r}", f"must be an object with {', '.join(sorted(wanted))}")
    return Tls(**{key: _file(f"{name}.{key}", path) for key, path in value.items()})


def _api_server(name: str, value: Any) -> ApiServer:
    known = {entry.name for entry in fields(ApiServer)}
    if not isinstance(value, dict) or set(value) - known or "url" not in value:
        raise _wrong(f"field {name!r}", f"must be an object with url, and of {', '.join(sorted(known))}")
    made = {key: _text(f"{name}.{key}", part) for key, part in value.items() if part is not None}
    if not made["url"].startswith("https://"):
        raise _wrong(f"field '{name}.url'", f"must start with https://, not be {made['url']!r}")
    for key in set(made) - {"url", "namespace"}:
        _file(f"{name}.{key}", made[key])
    if ("certificate" in made) != ("key" in made):
        raise _wrong(f"field {name!r}", "needs certificate and key together")
    if "certificate" not in made and "token_file" not in made:  # in a pod
        made["token_file"] = str(ACCOUNT / "token")
        made.setdefault("ca_file", str(ACCOUNT / "ca.crt"))
    return ApiServer(**made)


def _optional(reader: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else reader(name, value)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "node": _node_name,
    "controllers": _controllers,
    "apiserver": _optional(_api_server),
    "token_file": _file,
    "ovs_rundir": _folder,
    "datapath": _datapath,
    "state_dir": _folder,
    "cni_conf_dir": _optional(_folder),
    "ca_file": _optional(_file),
    "cni_ca_file": _optional(_file),
    "uplink": _optional(_interface),
    "mtu": _optional(_mtu),
    "cni_config": _optional(_plugin_config),
    "cni_file": _file_name,
    "cni_chained": _chained,
    "openflow_tls": _optional(_tls),
    "inherit_dscp": _flag,
    "multicast": _timers,
}
_REQUIRED = {"node", "token_file", "ovs_rundir", "datapath", "state_dir"}
