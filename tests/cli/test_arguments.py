"""Readers of arguments, and which of several option values counts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest
import typer

from cli.arguments import (
    attachment,
    datapath_id,
    endpoint,
    named_port,
    node_ports_text,
    pair,
    ports_text,
    service_port,
    subnet,
    with_node_ports,
)
from cli.commands.bindings import attachment_text
from cli.failures import one_line
from cli.main import build
from cli.options import COMMON, Output, resolve
from cli.selectors import label, labels_text, selector, selector_text


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("1", "0000000000000001"),
        ("10", "000000000000000a"),
        ("0x10", "0000000000000010"),
        ("0XAB", "00000000000000ab"),
        ("00000000000000AB", "00000000000000ab"),
        ("18446744073709551615", "f" * 16),
    ],
)
def test_datapath_ids(text: str, digits: str) -> None:
    assert datapath_id(text) == digits


@pytest.mark.parametrize("text", ["", "0", "0x0", "18446744073709551616", "-1", "ab", "1.5", "0000000000000001x"])
def test_what_is_no_datapath_id(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="datapath id"):
        datapath_id(text)


def test_service_ports() -> None:
    assert service_port("80") == {"protocol": "TCP", "port": 80}
    assert service_port("53/udp") == {"protocol": "UDP", "port": 53}
    assert service_port("5000/SCTP") == {"protocol": "SCTP", "port": 5000}
    for text in ("", "80/", "tcp/80", "80/icmp", "-1", "²"):
        with pytest.raises(typer.BadParameter, match="is no port"):
            service_port(text)


def test_ports_are_written_as_they_are_given() -> None:
    given = ["80/tcp", "dns=53/udp", "5000/sctp"]
    assert ports_text(map(named_port, given)) == ", ".join(given)


def test_named_ports() -> None:
    assert named_port("80") == {"protocol": "TCP", "port": 80}
    assert named_port("dns-tcp=53") == {"protocol": "TCP", "port": 53, "name": "dns-tcp"}
    for text in ("=80", "web=", "web", "web:80"):
        with pytest.raises(typer.BadParameter, match="is no port"):
            named_port(text)


def test_node_ports() -> None:
    ports = [*map(named_port, ("http=80", "53/udp"))]
    with_both = with_node_ports(ports, ("http=30080", "53/udp=30053"))
    assert with_both == [ports[0] | {"node_port": 30080}, ports[1] | {"node_port": 30053}]
    assert with_node_ports(ports, ("80=30080", "53/udp=30053")) == with_both
    assert node_ports_text(with_both) == "80/tcp=30080, 53/udp=30053"
    assert node_ports_text(ports) == ""
    for text in ("80", "80=", "80=http", "=30080 "):
        with pytest.raises(typer.BadParameter, match="is no node port; write it as 80=30080"):
            with_node_ports(ports, (text,))
    for text in ("=30080", "53=30053", "web=30080"):
        with pytest.raises(typer.BadParameter, match="a port that the service does not have; give it by --port"):
            with_node_ports(ports, (text,))


def test_endpoints() -> None:
    assert endpoint("10.128.0.5") == {"address": "10.128.0.5"}
    assert endpoint("fd00::5@n1.example.org") == {"address": "fd00::5", "node": "n1.example.org"}
    assert endpoint("fd00::5@n1=a,b.c") == {"address": "fd00::5", "node": "n1", "zones": ["a", "b.c"]}
    assert endpoint("10.128.0.5=a") == {"address": "10.128.0.5", "zones": ["a"]}
    for text in ("", "@n1", "10.128.0.5@"):
        with pytest.raises(typer.BadParameter, match="is no endpoint"):
            endpoint(text)


def test_subnets() -> None:
    assert subnet("10.0.0.0/24") == {"cidr": "10.0.0.0/24"}
    assert subnet("a=10.0.0.0/24") == {"name": "a", "cidr": "10.0.0.0/24"}
    assert subnet("10.0.0.0/24,10.0.0.9") == {"cidr": "10.0.0.0/24", "gateway": "10.0.0.9"}
    assert subnet("a=fd00::/64,fd00::1") == {"name": "a", "cidr": "fd00::/64", "gateway": "fd00::1"}
    for text in ("", "10.0.0.0", "=10.0.0.0/24", "10.0.0.0/24,", "a=b=10.0.0.0/24", "10.0.0.0/24,1,2", "a,10.0.0.0/24"):
        with pytest.raises(typer.BadParameter, match="is no subnet"):
            subnet(text)


def test_pairs() -> None:
    assert pair("red/web") == ("red", "web")
    for text in ("red", "red/", "/web", "a/b/c", ""):
        with pytest.raises(typer.BadParameter, match="PROJECT/NAME"):
            pair(text)


def test_one_line_is_safe_to_print() -> None:
    assert one_line(" a\n b\tc\x1b[0m\u202e ") == "a b c\\x1b[0m\\u202e"


def test_the_nearest_value_counts() -> None:
    environment = {"HEDDLE_SERVER": "http://env", "HEDDLE_TOKEN": "env", "HEDDLE_CA_FILE": ""}
    output, access = resolve(({"output": Output.JSON}, {"output": Output.YAML, "server": "http://before"}), environment)
    assert output is Output.JSON
    assert (access.server, access.token, access.ca_file, access.timeout) == ("http://before", "env", None, 10.0)
    assert resolve(({"timeout": 0.0}, {"timeout": 5.0}), {})[1].timeout == 0.0


def _callbacks() -> Iterator[tuple[str, Callable[..., None]]]:
    for command in build().registered_commands:
        assert command.name is not None
        assert command.callback is not None
        yield command.name, command.callback


@pytest.mark.parametrize(
    ("name", "callback"), [*_callbacks()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_a_summary_and_all_common_options(name: str, callback: Callable[..., None]) -> None:
    assert (callback.__doc__ or "").splitlines()[0].endswith(".")
    assert set(COMMON) <= set(inspect.signature(callback).parameters)


def test_attachments() -> None:
    mac = "02:00:00:00:00:0a"
    assert attachment("storage") == {"network": "storage", "addresses": []}
    assert attachment("storage:s0") == {"network": "storage", "addresses": [], "interface": "s0"}
    full = {"network": "storage", "addresses": ["10.0.0.7", "fd00::7"], "interface": "s0", "mac": mac}
    assert attachment(f"storage:s0,10.0.0.7, {mac.upper()},fd00::7") == full
    assert attachment_text(full) == f"storage:s0,10.0.0.7,fd00::7,{mac}"
    assert attachment_text(None) == ""
    for text in ("", ":s0", "storage:", "storage,", "storage,,10.0.0.7", f"storage,{mac},{mac}"):
        with pytest.raises(typer.BadParameter, match=r"attachment|two MACs"):
            attachment(text)


@pytest.mark.parametrize(
    ("text", "expressions"),
    [
        ("", []),
        ("a=b", [("a", "In", ["b"])]),
        ("a == b , c!=d", [("a", "In", ["b"]), ("c", "NotIn", ["d"])]),
        ("a=", [("a", "In", [""])]),
        ("x.io/a in (b, c),!d", [("x.io/a", "In", ["b", "c"]), ("d", "DoesNotExist", [])]),
        ("a notin (b),c", [("a", "NotIn", ["b"]), ("c", "Exists", [])]),
    ],
)
def test_selectors(text: str, expressions: list[tuple[str, str, list[str]]]) -> None:
    found = selector(text)
    assert [
        (each["key"], each["operator"], each.get("values", [])) for each in found["match_expressions"]
    ] == expressions
    assert selector(selector_text(found) if expressions else "") == found
    assert selector_text({}) == "all"


@pytest.mark.parametrize("text", ["a in b", "a=b=c", "a b", "=b", "!", "a in (b", "a,=", "in (a)"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no condition on a label"):
        selector(text)


def test_labels() -> None:
    assert label("a=b") == ("a", "b")
    assert label("a=") == ("a", "")
    assert labels_text({"a": "b", "c": ""}) == ["a=b", "c="]
    for text in ("a", "=b", ""):
        with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
            label(text)
