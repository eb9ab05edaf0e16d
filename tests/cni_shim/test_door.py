"""What the plugin refuses at the door: each variable, CNI_ARGS, stdin and field, by code and by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cni_shim import errors
from cni_shim.plugin import LARGEST_INPUT, main
from cni_shim.request import VERSIONS, read_request
from tests.cni_shim.machine import Machine
from tests.cni_shim.plugin_in_memory import UNSET, Outcome, Plugin

NOWHERE = Machine("none", Path("/nonexistent"))
PLUGIN = Plugin(NOWHERE, "http://127.0.0.1:1", "/nonexistent/token", "nonexistent")
ATTACHING = ("ADD", "DEL", "CHECK")


def feed(stdin: bytes, environment: dict[str, str]) -> Outcome:
    stdout, stderr = io.StringIO(), io.StringIO()
    status = main(environment, io.BytesIO(stdin), stdout, stderr)
    return Outcome(status, json.loads(stdout.getvalue()), stderr.getvalue())


def refused(command: str, environment: dict[str, str] | None = None, **configuration: Any) -> Outcome:
    text = json.dumps(PLUGIN.configuration(**configuration)).encode()
    outcome = feed(text, PLUGIN.environment(command, **(environment or {})))
    assert outcome.status == 1
    assert set(outcome.value) == {"cniVersion", "code", "msg", "details"}
    return outcome


@pytest.mark.parametrize("command", ATTACHING)
@pytest.mark.parametrize("variable", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
@pytest.mark.parametrize("value", ["", UNSET])
def test_a_missing_variable_is_named(command: str, variable: str, value: str) -> None:
    if (command, variable) == ("DEL", "CNI_NETNS"):
        assert read_del_without_netns(value) == ""
        return
    outcome = refused(command, {variable: value})
    assert outcome.code == errors.BAD_ENVIRONMENT
    assert variable in outcome.value["msg"]


def read_del_without_netns(value: str) -> str:
    text = json.dumps(PLUGIN.configuration()).encode()
    return read_request("DEL", PLUGIN.environment("DEL", CNI_NETNS=value), text, LARGEST_INPUT).netns


@pytest.mark.parametrize("command", ["", UNSET, "add", "FLY"])
def test_an_unknown_command_is_refused(command: str) -> None:
    outcome = refused(command)
    assert outcome.code == errors.BAD_ENVIRONMENT
    assert "CNI_COMMAND" in outcome.value["msg"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CNI_CONTAINERID", "-c1"),
        ("CNI_CONTAINERID", "../../etc"),
        ("CNI_CONTAINERID", "a/b"),
        ("CNI_CONTAINERID", "ä"),
        ("CNI_CONTAINERID", "a b"),
        ("CNI_CONTAINERID", "c" * 254),
        ("CNI_IFNAME", "sixteen-bytes-xx"),
        ("CNI_IFNAME", "."),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "eth/0"),
        ("CNI_IFNAME", "eth:0"),
        ("CNI_IFNAME", "eth 0"),
        ("CNI_IFNAME", "eth\n0"),
        ("CNI_IFNAME", "äth0"),
        ("CNI_NETNS", "run/netns/a"),
        ("CNI_NETNS", "/run/\0"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red"),
        ("CNI_ARGS", "K8S_POD_NAME=a"),
        ("CNI_ARGS", ""),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;COLOUR=red"),
        ("CNI_ARGS", "IgnoreUnknown=0;K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;COLOUR=red"),
        ("CNI_ARGS", "IgnoreUnknown=perhaps;K8S_POD_NAMESPACE=red;K8S_POD_NAME=a"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=Red;K8S_POD_NAME=a"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME=a/b"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME=-a"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;K8S_POD_UID=../x"),
    ],
)
def test_a_malformed_variable_is_named(variable: str, value: str) -> None:
    outcome = refused("ADD", {variable: value})
    assert outcome.code == errors.BAD_ENVIRONMENT
    assert variable in outcome.value["msg"]


@pytest.mark.parametrize("tolerance", ["1", "true", "TRUE"])
def test_unknown_arguments_are_taken_when_the_runtime_says_so(tolerance: str) -> None:
    args = f"IgnoreUnknown={tolerance};COLOUR=red;K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;K8S_POD_UID=u"
    text = json.dumps(PLUGIN.configuration()).encode()
    request = read_request("ADD", PLUGIN.environment("ADD", CNI_ARGS=args), text, LARGEST_INPUT)
    assert (request.project, request.pod, request.pod_uid) == ("red", "a", "u")


def test_del_does_not_look_at_the_arguments() -> None:
    text = json.dumps(PLUGIN.configuration()).encode()
    request = read_request("DEL", PLUGIN.environment("DEL", CNI_ARGS="nonsense"), text, LARGEST_INPUT)
    assert request.container == "c1"


@pytest.mark.parametrize(
    "stdin", [b"", b"{", b"[]", b"7", b'{"a": NaN}', b"\xff", b'{"cniVersion": "1.1.0"} x', b"[" * 100_000]
)
def test_input_that_is_no_json_object(stdin: bytes) -> None:
    outcome = feed(stdin, PLUGIN.environment("ADD"))
    assert outcome.code == errors.UNDECODABLE
    assert outcome.value["cniVersion"] in VERSIONS


def test_input_that_is_too_large() -> None:
    outcome = feed(b" " * (LARGEST_INPUT + 1), PLUGIN.environment("ADD"))
    assert outcome.code == errors.UNDECODABLE
    assert "too large" in outcome.value["msg"]


@pytest.mark.parametrize("version", [UNSET, None, "", "0.1.0", "0.2.0", "0.3.0", "1.2.0", 1.0, ["1.0.0"], {}])
def test_a_version_that_is_not_supported(version: Any) -> None:
    outcome = refused("ADD", cniVersion=version)
    assert outcome.code == errors.INCOMPATIBLE_VERSION
    assert "1.1.0" in outcome.value["details"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_is_in_the_version_of_the_configuration(version: str) -> None:
    assert refused("ADD", {"CNI_IFNAME": ""}, cniVersion=version).value["cniVersion"] == version


@pytest.mark.parametrize(
    ("command", "version"), [("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0"), ("GC", "0.4.0")]
)
def test_a_command_that_is_younger_than_the_version(command: str, version: str) -> None:
    outcome = refused(command, cniVersion=version)
    assert outcome.code == errors.INCOMPATIBLE_VERSION
    assert command in outcome.value["msg"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", UNSET),
        ("name", ""),
        ("name", "a/b"),
        ("name", 7),
        ("node", UNSET),
        ("node", "n1/../n2"),
        ("node", "N1"),
        ("node", 7),
        ("controllers", UNSET),
        ("controllers", []),
        ("controllers", "http://127.0.0.1"),
        ("controllers", ["ftp://127.0.0.1"]),
        ("controllers", [7]),
        ("token_file", UNSET),
        ("token_file", "token"),
        ("token_file", 7),
        ("ca_file", "ca.pem"),
        ("ca_file", 7),
        ("ovsdb", UNSET),
        ("ovsdb", "tcp:127.0.0.1:6640"),
        ("ovsdb", 7),
        ("bridge", ""),
        ("bridge", "a-name-of-a-bridge"),
        ("bridge", 7),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", 601),
        ("timeout", "5"),
        ("timeout", True),
        ("dns", []),
        ("prevResult", []),
        ("prevResult", {"interfaces": {}}),
        ("prevResult", {"ips": [7]}),
        ("prevResult", {"routes": "x"}),
        ("cni.dev/valid-attachments", {}),
        ("cni.dev/valid-attachments", [{"containerID": "a"}]),
        ("cni.dev/valid-attachments", [{"containerID": "a", "ifname": 7}]),
        ("cni.dev/valid-attachments", ["a"]),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    outcome = refused("ADD", **{field: value})
    assert outcome.code == errors.BAD_CONFIGURATION
    assert field in outcome.value["msg"]


def test_an_unsupported_field_is_named_with_its_value() -> None:
    outcome = refused("ADD", ipam={"type": "host-local"})
    assert outcome.code == errors.UNSUPPORTED_FIELD
    assert "'ipam'" in outcome.value["msg"]
    assert "host-local" in outcome.value["msg"]


def test_fields_of_others_are_left_alone() -> None:
    content = PLUGIN.configuration(ipam={}, runtimeConfig={"portMappings": []}, capabilities={"x": True}, other=1)
    request = read_request("ADD", PLUGIN.environment("ADD"), json.dumps(content).encode(), LARGEST_INPUT)
    assert request.network.node == "n1"
    assert request.network.timeout == 5.0


def test_a_mistake_of_ours_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("cni_shim.plugin.read_request", broken)
    outcome = refused("ADD")
    assert outcome.code == errors.INTERNAL
    assert "surprise" in outcome.value["details"]
    assert "test_door.py" in outcome.value["details"]


@pytest.mark.parametrize("version", [*VERSIONS, "9.9.9"])
def test_version(version: str) -> None:
    outcome = feed(json.dumps({"cniVersion": version}).encode(), {"CNI_COMMAND": "VERSION"})
    assert outcome.status == 0
    expected = version if version in VERSIONS else "1.1.0"
    assert outcome.value == {"cniVersion": expected, "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]}


def test_version_needs_no_input() -> None:
    assert feed(b"", {"CNI_COMMAND": "VERSION"}).value["supportedVersions"] == list(VERSIONS)
