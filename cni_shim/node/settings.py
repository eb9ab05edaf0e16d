"""The file that an administrator gives heddle-node: where things are on this node. No network policy here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cni_shim.errors import BAD_CONFIGURATION, ShimError

INTERFACE_NAME_LIMIT = 15  # IFNAMSIZ - 1


@dataclass(frozen=True)
class Tls:
    """PEM files for OpenFlow over TLS (`ssl:` controller targets)."""

    private_key: str
    certificate: str
    ca_certificate: str


@dataclass(frozen=True)
class Settings:
    """One node's settings; paths are absolute. `uplink` None: found by the underlay address."""

    node: str
    controllers: tuple[str, ...]
    token_file: str
    ovs_rundir: Path
    datapath: str
    state_dir: Path
    cni_conf_dir: Path | None = None
    ca_file: str | None = None
    uplink: str | None = None
    cni_config: dict[str, Any] | None = field(default=None)
    cni_file: str = "10-heddle.conflist"
    openflow_tls: Tls | None = None

    @property
    def database(self) -> str:
        return f"unix:{self.ovs_rundir}/db.sock"


def load(path: Path) -> Settings:
    """The settings in the JSON file `path`; ShimError names the file, the field and the remedy."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ShimError(BAD_CONFIGURATION, f"cannot read {path}", str(error)) from None
    except ValueError as error:
        raise ShimError(BAD_CONFIGURATION, f"{path} is not JSON", str(error)) from None
    try:
        return parse(content)
    except ShimError as error:
        raise ShimError(error.code, f"{path}: {error.msg}", error.details) from None


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
    schemes = ("http://", "https://", "unix:/")
    if not isinstance(value, list) or not value:
        raise _wrong(f"field {name!r}", "must be a list of at least one URL")
    for url in value:
        if not isinstance(url, str) or not url.startswith(schemes):
            raise _wrong(f"field {name!r}", f"holds {url!r}: a URL starts with {', '.join(schemes)}")
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


def _plugin_config(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"field {name!r}", "must be an object")
    return value


def _file_name(name: str, value: Any) -> str:
    if "/" in _text(name, value) or not value.endswith(".conflist"):
        raise _wrong(f"field {name!r}", "must be a file's name that ends in .conflist")
    return str(value)


def _tls(name: str, value: Any) -> Tls:
    wanted = {"private_key", "certificate", "ca_certificate"}
    if not isinstance(value, dict) or set(value) != wanted:
        raise _wrong(f"field {name!r}", f"must be an object with {', '.join(sorted(wanted))}")
    return Tls(**{key: _file(f"{name}.{key}", path) for key, path in value.items()})


def _optional(reader: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else reader(name, value)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "node": _node_name,
    "controllers": _controllers,
    "token_file": _file,
    "ovs_rundir": _folder,
    "datapath": _datapath,
    "state_dir": _folder,
    "cni_conf_dir": _optional(_folder),
    "ca_file": _optional(_file),
    "uplink": _optional(_interface),
    "cni_config": _optional(_plugin_config),
    "cni_file": _file_name,
    "openflow_tls": _optional(_tls),
}
_REQUIRED = {"node", "controllers", "token_file", "ovs_rundir", "datapath", "state_dir"}
