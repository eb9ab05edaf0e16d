"""Each repair of Ryu: what fails without it. Everything over loopback sockets and in green threads; no switch."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
import trustme
from eventlet.green import socket as green_socket
from eventlet.green import ssl as green_ssl

from ryu_apps import compat
from ryu_apps.compat import LooseVersion

# isort: split
from ryu.base import app_manager
from ryu.controller import controller, ofp_handler
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3, ofproto_v1_4, ofproto_v1_5
from ryu.ofproto import ofproto_v1_5_parser as parser

PATIENCE = 10  # seconds until a green thread that should have answered is given up


@pytest.fixture(autouse=True)
def _deadline() -> Iterator[None]:
    """Fail a test whose green threads wait for ever."""
    with eventlet.Timeout(PATIENCE):
        yield


# --- before Ryu is imported ------------------------------------------------------------------------------------------


def test_ryus_wsgi_module_finds_the_marker_that_eventlet_removed() -> None:
    from ryu.app import wsgi

    assert tuple(wsgi._AlreadyHandledResponse()({}, lambda *_: None)) == ()


WITHOUT_DISTUTILS = """
import importlib.util, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "distutils":
            raise ModuleNotFoundError(name)

found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "distutils" else found(name, package)
sys.meta_path.insert(0, Missing())
for name in [name for name in sys.modules if name.split(".")[0] == "distutils"]:
    del sys.modules[name]

import ryu_apps.compat
import ryu.flags, ryu.lib.packet.zebra
from distutils.version import LooseVersion
assert LooseVersion is ryu_apps.compat.LooseVersion
print("imported")
"""


def test_ryu_imports_without_distutils() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_DISTUTILS], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("imported\n", 0), run.stderr


def test_the_stand_in_orders_versions_as_ryu_compares_them() -> None:
    versions = [LooseVersion(text) for text in ("0.0", "3.0", "3.1.2", "3.10", "6.0.3")]
    assert all(older < newer for older, newer in itertools.pairwise(versions))
    assert LooseVersion("3.0") >= LooseVersion("3.0") == "3.0"
    assert LooseVersion("0.0") != LooseVersion("0.1")
    assert str(LooseVersion("7.1-dev")) == "7.1-dev"


# --- OpenFlow 1.5 messages -------------------------------------------------------------------------------------------


def bucket(number: int, weight: int) -> bytes:
    """A bucket that outputs to port `number`; layout: OpenFlow 1.5.1, 7.3.4.3 and 7.2.5."""
    action = struct.pack("!HHIH6x", 0, 16, number, 0xFFE5)
    properties = struct.pack("!HHH2x", 0, 8, weight)
    return struct.pack("!HHI", 8 + len(action) + len(properties), len(action), number) + action + properties


def group(number: int, *buckets: bytes) -> bytes:
    """A select group's description; layout: OpenFlow 1.5.1, 7.3.5.9."""
    body = b"".join(buckets)
    return struct.pack("!HBxIH6x", 16 + len(body), 1, number, len(body)) + body


def description(*groups: bytes) -> Any:
    body = struct.pack("!HH4x", ofproto_v1_5.OFPMP_GROUP_DESC, 0) + b"".join(groups)
    header = struct.pack("!BBHI", 6, ofproto_v1_5.OFPT_MULTIPART_REPLY, 8 + len(body), 1)
    datapath = SimpleNamespace(ofproto=ofproto_v1_5, ofproto_parser=parser)
    return parser.msg_parser(datapath, 6, ofproto_v1_5.OFPT_MULTIPART_REPLY, len(header + body), 1, header + body)


@pytest.mark.timeout(20)
def test_the_description_of_several_groups_is_read() -> None:
    reply = description(group(1, bucket(1, 10), bucket(2, 20)), group(2, bucket(0, 0)), group(3))
    read = [
        (one.group_id, [(b.bucket_id, b.actions[0].port, [p.weight for p in b.properties]) for b in one.buckets])
        for one in reply.body
    ]
    assert read == [(1, [(1, 1, [10]), (2, 2, [20])]), (2, [(0, 0, [0])]), (3, [])]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "broken",
    [
        group(1, struct.pack("!HHI", 0, 0, 0)),  # a bucket of no length
        group(1, struct.pack("!HHIHHH2x", 16, 0, 1, 0, 0, 0)),  # a property of no length
        struct.pack("!HBxIH6x", 0, 1, 1, 0),  # a group of no length
        struct.pack("!HBxIH6x", 64, 1, 1, 0),  # a group that is longer than the message
        group(1, struct.pack("!HHI", 24, 0, 0)),  # a bucket that is longer than its group
    ],
)
def test_a_malformed_description_is_an_error_and_no_endless_loop(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"length|bytes"):
        description(broken)


@pytest.mark.parametrize("ofproto", [ofproto_v1_3, ofproto_v1_4, ofproto_v1_5])
@pytest.mark.parametrize(
    ("name", "value", "mask", "wire"),
    [  # the bytes are those that `ovs-ofctl -m parse-oxm OpenFlow15` of Open vSwitch 3.1 prints
        ("nd_reserved", 1, None, "1000020400000001"),
        ("nd_options_type", 2, None, "1000040102"),
        ("ct_nw_proto", 6, None, "0001ee0106"),
        ("ct_nw_src", "192.0.2.1", None, "0001f004c0000201"),
        ("ct_nw_dst", "192.0.2.0", "255.255.255.0", "0001f308c0000200ffffff00"),
        ("ct_ipv6_src", "2001:db8::1", None, "0001f41020010db8000000000000000000000001"),
        ("ct_tp_dst", 80, None, "0001fa020050"),
        ("tun_metadata0", "AAAAAQ==", None, "0001500400000001"),
        ("tun_metadata63", "AQ==", None, "0001ce0101"),
    ],
)
def test_match_fields_of_open_vswitch_go_to_the_wire_and_back(
    ofproto: Any, name: str, value: Any, mask: Any, wire: str
) -> None:
    number, *binary = ofproto.oxm_from_user(name, value if mask is None else (value, mask))
    buffer = bytearray()
    length = ofproto.oxm_serialize(number, *binary, buffer, 0)
    assert bytes(buffer[:length]).hex() == wire
    parsed_number, parsed_value, parsed_mask, parsed_length = ofproto.oxm_parse(bytes(buffer), 0)
    assert parsed_length == length
    assert ofproto.oxm_to_user(parsed_number, parsed_value, parsed_mask) == (
        name,
        value if mask is None else (value, mask),
    )


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_files(ca: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """The arguments that Ryu's OpenFlowController gives to StreamServer for TLS with client certificates."""
    certificate = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return {
        "keyfile": str(tmp_path / "key.pem"),
        "certfile": str(tmp_path / "cert.pem"),
        "ca_certs": str(tmp_path / "ca.pem"),
        "cert_reqs": green_ssl.CERT_REQUIRED,
        "ssl_ctx": green_ssl.SSLContext(green_ssl.PROTOCOL_TLS_SERVER),
    }


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[str, int]]]:
    """Return start(handle, **tls arguments) -> the address of a StreamServer that runs until the test ends."""
    running: list[Any] = []

    def start(handle: Callable[[Any, Any], None], **tls: Any) -> tuple[str, int]:
        server = hub.StreamServer(("127.0.0.1", 0), handle, **tls)
        running.append((eventlet.spawn(server.serve_forever), server.server))
        address: tuple[str, int] = server.server.getsockname()
        return address

    yield start
    for thread, listening in running:
        thread.kill()
        listening.close()


def client_context(ca: trustme.CA, with_certificate: bool = True) -> Any:
    context = green_ssl.SSLContext(green_ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    if with_certificate:
        ca.issue_cert("switch").configure_cert(context)
    return context


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Return connect(address, context): a connection, over TLS when there is a context, closed after the test."""
    with contextlib.ExitStack() as closing:

        def to(address: tuple[str, int], context: Any = None) -> Any:
            connection = green_socket.create_connection(address)
            if context is not None:
                connection = context.wrap_socket(connection, server_hostname="127.0.0.1", do_handshake_on_connect=False)
            closing.callback(connection.close)
            if context is not None:
                connection.do_handshake()
            return connection

        yield to


def echo(connection: Any, _address: object) -> None:
    connection.sendall(connection.recv(100))
    connection.close()


def test_a_second_switch_can_connect_over_tls(serve: Any, connect: Any, server_files: Any, ca: trustme.CA) -> None:
    address = serve(echo, **server_files)
    switches = [connect(address, client_context(ca)) for _ in range(3)]
    for number, switch in enumerate(switches):
        switch.sendall(b"hello %d" % number)
    assert [switch.recv(100) for switch in switches] == [b"hello 0", b"hello 1", b"hello 2"]


def test_a_switch_without_a_certificate_is_refused(serve: Any, connect: Any, server_files: Any, ca: trustme.CA) -> None:
    served: list[object] = []

    def handle(connection: Any, address: object) -> None:
        served.append(address)
        echo(connection, address)

    address = serve(handle, **server_files)
    # TLS 1.3 tells a client of its missing certificate only when it reads.
    with pytest.raises(OSError, match=r"(?i)certificate required|handshake failure|reset|EOF"):
        connect(address, client_context(ca, with_certificate=False)).recv(1)
    assert served == []
    switch = connect(address, client_context(ca))
    switch.sendall(b"x")
    assert switch.recv(1) == b"x"  # and the next one is served


def test_tls_before_1_2_is_refused(serve: Any, connect: Any, server_files: Any, ca: trustme.CA) -> None:
    context = client_context(ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = green_ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = green_ssl.TLSVersion.TLSv1_1
    address = serve(echo, **server_files)
    with pytest.raises(OSError, match=r"(?i)protocol version|reset|EOF"):
        connect(address, context)


def test_a_peer_that_does_not_finish_its_handshake_is_dropped(
    serve: Any, connect: Any, server_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compat, "HANDSHAKE_SECONDS", 0.05)
    assert connect(serve(echo, **server_files)).recv(1) == b""


def test_only_one_controller_listens_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    first = hub.StreamServer(address, echo)
    with contextlib.closing(first.server), pytest.raises(OSError, match="in use"):
        hub.StreamServer(address, echo)


def test_a_switch_may_take_a_minute_to_read_and_is_asked_whether_it_lives() -> None:
    controller.CONF(args=[], project="test", default_config_files=[])  # as Ryu's manager does; it must not undo it
    assert controller.CONF.socket_timeout == 60
    assert controller.CONF.echo_request_interval == 5
    assert controller.CONF.maximum_unreplied_echo_requests == 4


class FakeDatapath:
    """A connection as far as the switch-features handler uses it."""

    def __init__(self, address: str) -> None:
        self.address = (address, 40000)
        self.id: int | None = None
        self.state = CONFIG_DISPATCHER
        self.ofproto = ofproto_v1_5
        self.ofproto_parser = parser
        self.ports: dict[int, object] = {}
        self.sent: list[object] = []

    def send_msg(self, message: object) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.state = DEAD_DISPATCHER


class Connect:
    """connect(address, dpid): a switch answers the controller's features request."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __call__(self, address: str, dpid: int) -> FakeDatapath:
        datapath = FakeDatapath(address)
        self._handler.switch_features_handler(SimpleNamespace(msg=SimpleNamespace(datapath=datapath, datapath_id=dpid)))
        assert (datapath.state == DEAD_DISPATCHER) == (datapath.id is None) == (not datapath.sent)
        return datapath


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Connect:
    monkeypatch.setattr(app_manager, "SERVICE_BRICKS", {})
    return Connect(ofp_handler.OFPHandler())


def test_the_first_connection_of_a_datapath_id_stays(switch: Connect) -> None:
    first = switch("192.0.2.1", 7)
    second = switch("192.0.2.2", 7)
    assert (first.id, first.state) == (7, CONFIG_DISPATCHER)
    assert (second.id, second.state) == (None, DEAD_DISPATCHER)
    assert switch("192.0.2.2", 8).id == 8


def test_a_switch_comes_back_when_its_first_connection_is_dead(switch: Connect) -> None:
    switch("192.0.2.1", 7).close()
    assert switch("192.0.2.1", 7).id == 7


class Application:
    """An application that lets switch 7 in from 192.0.2.1 only."""

    name = "application"

    def accept_switch(self, dpid: int, address: str) -> bool | str:
        if dpid == 0:
            raise LookupError("broken")
        if dpid != 7:
            return False
        return address == "192.0.2.1" or "the node is at 192.0.2.1"


def test_an_application_may_refuse_a_switch(switch: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app_manager.SERVICE_BRICKS["application"] = Application()
    assert switch("192.0.2.1", 7).id == 7
    assert switch("192.0.2.1", 8).id is None
    assert "0000000000000008 from 192.0.2.1 refused: not accepted by application" in caplog.text
    assert switch("192.0.2.1", 0).id is None
    assert "refused: error in application: broken" in caplog.text


def test_a_refused_address_neither_takes_nor_blocks_the_place(
    switch: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app_manager.SERVICE_BRICKS["application"] = Application()
    assert switch("192.0.2.9", 7).id is None
    assert "refused: the node is at 192.0.2.1" in caplog.text
    assert switch("192.0.2.1", 7).id == 7


def test_the_handler_is_still_known_to_ryu() -> None:
    """Ryu finds handlers by the mark that its decorator leaves on the function."""
    marked = ofp_handler.OFPHandler.switch_features_handler.callers
    assert [(event.__name__, caller.dispatchers) for event, caller in marked.items()] == [
        ("EventOFPSwitchFeatures", [CONFIG_DISPATCHER])
    ]
