"""What a runtime asks, checked at the door: variables, CNI_ARGS, and the network configuration.

Pure: nothing is opened or looked up. CNI specification 1.1.0, sections 1 and 2; every error names variable or field.
"""

from __future__ import annotations

from cni_shim import jsontext
from cni_shim.errors import (
    BAD_CONFIGURATION,
    BAD_ENVIRONMENT,
    INCOMPATIBLE_VERSION,
    UNDECODABLE,
    UNSUPPORTED_FIELD,
    ShimError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
_SINCE = {"CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}
INTERFACE_NAME_LIMIT = 15  # IFNAMSIZ - 1
LONGEST_NAME = 253  # a DNS name (RFC 1123)
LONGEST_TIMEOUT = 600
DEFAULT_TIMEOUT = 30
_KNOWN_ARGS = ("K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID")
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class Network:
    """The network configuration: how to reach the controller and the switch, and what the runtime adds to it."""

    __slots__ = (
        "bridge", "ca_file", "cni_version", "controllers", "dns", "name", "node", "ovsdb", "prev_result", "tap",
        "timeout", "token_file", "valid_attachments",
    )  # fmt: skip

    def __init__(self, content: dict[str, Any]) -> None:
        self.cni_version: Final = _version(content)
        self.name: Final = _identifier("name", _text(content, "name"))
        self.node: Final = _dns_name(_text(content, "node"), "field 'node'", BAD_CONFIGURATION)
        self.controllers: Final = _controllers(content)
        self.token_file: Final = _path(content, "token_file")
        self.ca_file: Final = _path(content, "ca_file") if content.get("ca_file") is not None else None
        self.ovsdb: Final = _database(content)
        self.bridge: Final = _bridge(content)
        self.tap: Final = _interface_kind(content) == "tap"
        self.timeout: Final = _timeout(content)
        self.prev_result: Final = _prev_result(content)
        self.dns: Final = _object(content, "dns")
        self.valid_attachments: Final = _valid_attachments(content)
        ipam = content.get("ipam")
        if ipam:
            raise ShimError(
                UNSUPPORTED_FIELD, f"unsupported field 'ipam': {jsontext.dumps(ipam)}",
                "the controller gives the addresses; take the field out",
            )  # fmt: skip


class Request:
    """One call of a runtime. Names that a command does not need are empty."""

    __slots__ = ("command", "container", "ifname", "netns", "network", "pod", "pod_uid", "project")

    def __init__(self, command: str, environment: Mapping[str, str], network: Network) -> None:
        self.command: Final = command
        self.network: Final = network
        attached = command in ("ADD", "DEL", "CHECK")
        self.container: Final = _container(environment) if attached else ""
        self.ifname: Final = _interface(environment) if attached else ""
        self.netns: Final = _netns(environment, needed=command != "DEL") if attached else ""
        # DEL must succeed whatever became of the pod: its arguments do not matter to it.
        pod, project, uid = _pod(environment) if command == "ADD" else ("", "", "")
        self.pod: Final = pod
        self.project: Final = project
        self.pod_uid: Final = uid


def read_request(command: str, environment: Mapping[str, str], text: bytes, largest: int) -> Request:
    """The request in `environment` and `text` (stdin), at most `largest` bytes; ShimError where it is malformed."""
    if len(text) > largest:
        raise ShimError(UNDECODABLE, "the network configuration on stdin is too large", f"over {largest} bytes")
    try:
        content = jsontext.loads(text.decode())
    except ValueError as error:
        raise ShimError(UNDECODABLE, "the network configuration on stdin is not JSON", str(error)) from None
    if not isinstance(content, dict):
        raise ShimError(UNDECODABLE, "the network configuration on stdin is not a JSON object")
    network = Network(content)
    since = _SINCE.get(command, VERSIONS[0])
    if VERSIONS.index(network.cni_version) < VERSIONS.index(since):
        raise ShimError(
            INCOMPATIBLE_VERSION,
            f"{command} is not in CNI {network.cni_version}",
            f"it needs cniVersion {since} or later",
        )
    return Request(command, environment, network)


def variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ShimError(BAD_ENVIRONMENT, f"{name} is missing", f"the runtime must set the variable {name}")
    return value


def _container(environment: Mapping[str, str]) -> str:
    value = variable(environment, "CNI_CONTAINERID")
    if not _is_identifier(value) or len(value) > LONGEST_NAME:
        raise ShimError(
            BAD_ENVIRONMENT, f"CNI_CONTAINERID {value[:60]!r} is invalid",
            "it starts with a letter or digit and goes on with these, '_', '.' or '-'",
        )  # fmt: skip
    return value


def _interface(environment: Mapping[str, str]) -> str:
    value = variable(environment, "CNI_IFNAME")
    if not is_interface_name(value):
        raise ShimError(
            BAD_ENVIRONMENT, f"CNI_IFNAME {value[:60]!r} is invalid",
            f"1 to {INTERFACE_NAME_LIMIT} bytes without '/', ':' and white space, not '.' or '..'",
        )  # fmt: skip
    return value


def _netns(environment: Mapping[str, str], needed: bool) -> str:
    value = environment.get("CNI_NETNS", "")
    if not value and not needed:
        return ""
    value = variable(environment, "CNI_NETNS")
    if not value.startswith("/") or "\0" in value:
        raise ShimError(BAD_ENVIRONMENT, f"CNI_NETNS {value[:80]!r} is invalid", "it must be an absolute path")
    return value


def _pod(environment: Mapping[str, str]) -> tuple[str, str, str]:
    """Pod, project and UID out of CNI_ARGS (`K=V;K=V`)."""
    args = _args(environment.get("CNI_ARGS", ""))
    for name in ("K8S_POD_NAME", "K8S_POD_NAMESPACE"):
        if not args.get(name):
            raise ShimError(
                BAD_ENVIRONMENT, f"CNI_ARGS lacks {name}", "e.g. CNI_ARGS=K8S_POD_NAMESPACE=project;K8S_POD_NAME=pod"
            )
    pod = _dns_name(args["K8S_POD_NAME"], "K8S_POD_NAME in CNI_ARGS", BAD_ENVIRONMENT)
    project = _dns_name(args["K8S_POD_NAMESPACE"], "K8S_POD_NAMESPACE in CNI_ARGS", BAD_ENVIRONMENT)
    uid = args.get("K8S_POD_UID", "")
    if uid and (not _is_identifier(uid) or len(uid) > LONGEST_NAME):
        raise ShimError(BAD_ENVIRONMENT, f"K8S_POD_UID in CNI_ARGS is invalid: {uid[:60]!r}")
    return pod, project, uid


def _args(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in text.split(";") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ShimError(BAD_ENVIRONMENT, f"CNI_ARGS is malformed at {pair[:60]!r}", "it is KEY=VALUE;KEY=VALUE")
        found[key] = value
    tolerance = found.pop("IgnoreUnknown", "0").lower()
    if tolerance not in ("0", "1", "true", "false"):
        raise ShimError(BAD_ENVIRONMENT, f"CNI_ARGS has IgnoreUnknown={tolerance[:20]!r}", "it is 1, 0, true or false")
    unknown = [key for key in found if key not in _KNOWN_ARGS]
    if unknown and tolerance not in ("1", "true"):
        raise ShimError(
            BAD_ENVIRONMENT, f"CNI_ARGS has the unknown key {unknown[0][:60]!r}", "take it out, or add IgnoreUnknown=1"
        )
    return found


def _version(content: dict[str, Any]) -> str:
    version = content.get("cniVersion")
    if version not in VERSIONS:
        raise ShimError(
            INCOMPATIBLE_VERSION, f"cniVersion {version!r} is not supported", f"supported are {', '.join(VERSIONS)}"
        )
    return str(version)


def _wrong(what: str, why: str) -> ShimError:
    return ShimError(BAD_CONFIGURATION, f"{what} of the network configuration is wrong", why)


def _text(content: dict[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(
            f"field {key!r}", "it is missing" if value is None else f"it must be a non-empty string: {value!r}"
        )
    return value


def _identifier(key: str, value: str) -> str:
    if not _is_identifier(value) or len(value) > LONGEST_NAME:
        raise _wrong(f"field {key!r}", f"{value[:60]!r}: a letter or digit, then these, '_', '.' or '-'")
    return value


def _path(content: dict[str, Any], key: str) -> str:
    value = _text(content, key)
    if not value.startswith("/") or "\0" in value:
        raise _wrong(f"field {key!r}", f"it must be an absolute path: {value!r}")
    return value


def _controllers(content: dict[str, Any]) -> tuple[str, ...]:
    value = content.get("controllers")
    good = ("http://", "https://", "unix:/")
    if not isinstance(value, list) or not value or not all(isinstance(u, str) and u.startswith(good) for u in value):
        raise _wrong("field 'controllers'", f"it must be a list of URLs ({', '.join(good)}): {value!r}")
    return tuple(value)


def _database(content: dict[str, Any]) -> str:
    value = _text(content, "ovsdb")
    if not value.startswith("unix:/") or "\0" in value:
        raise _wrong("field 'ovsdb'", f"it must be unix:/path/db.sock: {value!r}")
    return value.removeprefix("unix:")


def _bridge(content: dict[str, Any]) -> str:
    value = content.get("bridge", "br0")
    if not isinstance(value, str) or not is_interface_name(value):
        raise _wrong("field 'bridge'", f"it must be a bridge's name: {value!r}")
    return value


def _interface_kind(content: dict[str, Any]) -> str:
    """What pods' interfaces are: a veth, or an internal port of the switch that is moved into the pod."""
    value = content.get("interface", "veth")
    if value not in ("veth", "tap"):
        raise _wrong("field 'interface'", f"it must be 'veth' or 'tap': {value!r}")
    return str(value)


def _timeout(content: dict[str, Any]) -> float:
    value = content.get("timeout", DEFAULT_TIMEOUT)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_TIMEOUT:
        raise _wrong("field 'timeout'", f"it must be seconds, more than 0 and at most {LONGEST_TIMEOUT}: {value!r}")
    return float(value)


def _object(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(f"field {key!r}", f"it must be an object: {value!r}")
    return value


def _prev_result(content: dict[str, Any]) -> dict[str, Any] | None:
    if content.get("prevResult") is None:
        return None
    value = _object(content, "prevResult")
    for key in ("interfaces", "ips", "routes"):
        items = value.get(key)
        if items is not None and not (isinstance(items, list) and all(isinstance(item, dict) for item in items)):
            raise _wrong(f"field 'prevResult.{key}'", "it must be a list of objects")
    return value


def _valid_attachments(content: dict[str, Any]) -> frozenset[tuple[str, str]] | None:
    """Container and interface of every attachment in use (GC); None when the runtime does not say."""
    key = "cni.dev/valid-attachments"
    value = content.get(key)
    if value is None:
        return None
    try:
        pairs = [(item["containerID"], item["ifname"]) for item in value]
    except (TypeError, KeyError):
        pairs = [(None, None)]
    if not isinstance(value, list) or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise _wrong(f"field {key!r}", 'it must be a list of {"containerID": …, "ifname": …}')
    return frozenset(pairs)


def _is_identifier(value: str) -> bool:
    return value[0] in _ALPHANUMERIC and all(c in _ALPHANUMERIC or c in "_.-" for c in value)


def is_interface_name(value: str) -> bool:
    """As the kernel's dev_valid_name(), and ASCII that a log can show."""
    if not 0 < len(value) <= INTERFACE_NAME_LIMIT or value in (".", ".."):
        return False
    return all("!" <= c <= "~" and c not in "/:" for c in value)


def _dns_name(value: str, what: str, code: int) -> str:
    """A DNS subdomain as Kubernetes means it: lower-case letters, digits, '-' and '.', at most 253."""
    good = len(value) <= LONGEST_NAME and all(c in _ALPHANUMERIC or c in "-." for c in value) and value == value.lower()
    if not good or value[0] in "-." or value[-1] in "-.":
        raise ShimError(code, f"{what} is invalid: {value[:60]!r}", "lower-case letters, digits, '-' and '.' only")
    return value
