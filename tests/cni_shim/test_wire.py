"""The small codecs under the plugin: JSON by its C parts, OVSDB's values, netlink's messages."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni_shim import jsontext, netlink, ovsdb
from cni_shim.attachment import Attachment
from cni_shim.errors import ShimError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_as_the_package_says(value: Any) -> None:
    text = jsontext.dumps(value)
    assert json.loads(text) == value
    assert jsontext.loads(json.dumps(value, ensure_ascii=False)) == value
    assert jsontext.first(f"{text} rest") == (value, " rest")


@given(st.text(max_size=30))
def test_what_the_package_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            jsontext.loads(text)
    else:
        assert jsontext.loads(text) == expected


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        jsontext.dumps({"a": object()})
    with pytest.raises(ValueError, match="compliant"):
        jsontext.dumps(float("nan"))


def test_without_the_c_parts_the_package_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_json", None)
    scan, encode = jsontext._functions()
    assert scan('{"a": [1]}', 0) == ({"a": [1]}, 10)
    assert json.loads(encode({"a": [1]})) == {"a": [1]}


def test_ovsdb_values() -> None:
    assert ovsdb.decode(["set", []]) == ()
    assert ovsdb.decode(["set", [1, ["uuid", "u"]]]) == (1, "u")
    assert ovsdb.decode(["map", [["k", "v"]]]) == {"k": "v"}
    assert ovsdb.decode("x") == "x"
    assert ovsdb.as_set("x") == ("x",)
    assert ovsdb.as_set(()) == ()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A function that answers one connection with these pieces of bytes; it returns the socket's path."""
    path = str(tmp_path / "db.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    got: list[bytes] = []

    def serve(*pieces: bytes) -> tuple[str, list[bytes]]:
        def work() -> None:
            connection, _ = listener.accept()
            got.append(connection.recv(65536))
            for piece in pieces:
                connection.sendall(piece)
                if b'"echo"' in piece:
                    got.append(connection.recv(65536))
            connection.close()

        threading.Thread(target=work, daemon=True).start()
        return path, got

    yield serve
    listener.close()


def test_an_answer_in_pieces_and_an_echo_between(server: Any) -> None:
    echo = b'{"id": "echo", "method": "echo", "params": [1]}'
    other = b'{"id": 9, "result": 0, "error": null}'
    path, got = server(echo, other + b'{"id": 1, "result": {"a": ', b'"}"}', b', "error": null}')
    connection = ovsdb.JsonRpc(path, 5.0)
    assert connection.call("list") == {"a": "}"}
    connection.close()
    assert json.loads(got[1]) == {"result": [1], "error": None, "id": "echo"}


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        (b'{"id": 1, "result": null, "error": "unknown method"}', "unknown method"),
        (b'{"id": 1, "resu', "closed the connection"),
        (b"", "closed the connection"),
    ],
)
def test_an_answer_that_is_an_error(server: Any, piece: bytes, said: str) -> None:
    path, _ = server(piece)
    connection = ovsdb.JsonRpc(path, 5.0)
    with pytest.raises(ShimError, match=said):
        connection.call("list")
    connection.close()


def test_a_transaction_that_is_refused(server: Any) -> None:
    path, _ = server(b'{"id": 1, "result": [{}, {"error": "constraint violation", "details": "why"}], "error": null}')
    database = ovsdb.Database(f"unix:{path}")
    with pytest.raises(ShimError, match="constraint violation: why"):
        database.transact({"op": "insert"}, {"op": "insert"})
    database.close()


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_prefixes(address: Any, length: int) -> None:
    assert netlink.prefix(f"{address}/{length}") == (socket.AF_INET, address.packed, length)


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.1/33", "10.0.0/8", "::1/129", "::1/x", "10.0.0.1/-1"])
def test_prefixes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        netlink.prefix(text)


@given(st.dictionaries(st.integers(1, 100), st.binary(max_size=20), max_size=6))
def test_attributes(attributes: dict[int, bytes]) -> None:
    buffer = b"".join(netlink.attribute(kind, value) for kind, value in attributes.items())
    assert netlink.parse(buffer, 0) == attributes
    assert len(buffer) % 4 == 0


def test_the_kernel_says_why() -> None:
    kernel = netlink.Netlink()
    try:
        with pytest.raises(netlink.NetlinkError, match="make the veth") as caught:
            kernel.do(netlink.new_veth("a-name-that-is-too-long", bytes(6), 0, 1450, ("eth0", 0)))
        assert caught.value.errno
        with pytest.raises(netlink.NetlinkError, match="delete none"):
            kernel.do(netlink.delete_link("none"))
    finally:
        kernel.close()


def test_names_of_hosts_ends() -> None:
    """Fifteen characters, the same for the same attachment, another one for another interface."""
    one = Attachment("heddle", "c1", "eth0")
    assert one.host == Attachment("other", "c1", "eth0").host
    assert one.host != Attachment("heddle", "c1", "net1").host
    assert len(one.host) == 15
    assert one.host[0] == "v"
    assert set(one.host[1:]) <= set("0123456789abcdef")
    assert one.host_mac[0] & 3 == 2


@given(st.text("!#$%&*+,-.;<=>?@^_`|~azAZ09", min_size=1, max_size=15))
def test_interface_names_in_paths(ifname: str) -> None:
    path = Attachment("heddle", "c1", ifname).path("n1")
    assert path.count("/") == 6
    assert "?" not in path
    assert unquote(path.rpartition("/")[2]) == ifname
