"""Repairs of Ryu 4.34 for today's Python and eventlet. Import this before anything of Ryu; importing it applies them.

Ryu's last release is of 2020. Each function below mends one thing and says what is wrong upstream (file, function),
what follows from it, and what is done. Nothing that is not a repair belongs here: no feature, no setting of ours.
Paths are those of the package `ryu` unless said otherwise.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import re
import socket
import ssl
import struct
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Final

import eventlet
import eventlet.wsgi
from eventlet.green import ssl as green_ssl

LOG = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
SOCKET_SECONDS: Final = 60.0
ECHO_SECONDS: Final = 5.0
UNANSWERED_ECHOES: Final = 4

ERICSSON: Final = 0x1000  # OXM class of Open vSwitch's ERICOXM_OF_... fields


# --- before Ryu is imported ------------------------------------------------------------------------------------------


def already_handled() -> None:
    """Put back `eventlet.wsgi.ALREADY_HANDLED`.

    app/wsgi.py, class _AlreadyHandledResponse, imports this marker, which eventlet 0.30.3 removed: without it
    `ryu-manager` ends with an ImportError. An application has answered by itself nowadays when
    `eventlet.wsgi.WSGI_LOCAL.already_handled` is set, as eventlet's web sockets do; the body is then not looked at,
    so an empty one does as the marker.
    """
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = ()


@functools.total_ordering
class LooseVersion:
    """Stands in for distutils.version.LooseVersion as far as Ryu needs it: made from text, compared, printed."""

    def __init__(self, vstring: str = "") -> None:
        self.vstring = vstring
        self.version = [int(part) if part.isdigit() else part for part in re.findall(r"\d+|[a-z]+", vstring)]

    def __str__(self) -> str:
        return self.vstring

    def __eq__(self, other: object) -> bool:
        return self.version == _version(other)

    def __lt__(self, other: object) -> bool:
        return self.version < _version(other)

    __hash__ = None  # type: ignore[assignment]


def _version(value: object) -> list[Any]:
    return value.version if isinstance(value, LooseVersion) else LooseVersion(str(value)).version


def distutils_version() -> None:
    """Provide `distutils.version.LooseVersion` where there is no distutils.

    flags.py and lib/packet/zebra.py import it; Python 3.12 removed distutils (PEP 632). Setuptools brings a copy
    along, so this matters in an environment without setuptools. A distutils that exists is left alone.
    """
    if importlib.util.find_spec("distutils") is not None:
        return
    package, module = types.ModuleType("distutils"), types.ModuleType("distutils.version")
    module.LooseVersion = LooseVersion  # type: ignore[attr-defined]
    package.version = module  # type: ignore[attr-defined]
    sys.modules.update({"distutils": package, "distutils.version": module})


# --- OpenFlow 1.5 messages -------------------------------------------------------------------------------------------


def bounded_group_description() -> None:
    """Keep the parser of the OpenFlow 1.5 group description reply inside the thing that it parses.

    ofproto/ofproto_v1_5_parser.py, OFPGroupDescStats.parser and OFPBucket.parser: the properties are taken to reach
    from their own offset for the length of the whole object, which is past its end, into the next bucket or group;
    a zero found there as a property's length makes OFPPropBase.parse return the same rest for ever, and the process
    hangs. Here each parser sees only the bytes of its own object, and a length that is too small is an error (which
    Ryu logs; the message is dropped).
    """
    from ryu.ofproto import ofproto_v1_5_parser as parser

    def bound(target: Any, name: str, layout: str, smallest: int) -> None:
        original = getattr(target, name).__func__

        def bounded(cls: Any, buf: bytes, offset: int = 0) -> Any:
            (length,) = struct.unpack_from(layout, buf, offset)
            if not smallest <= length <= len(buf) - offset:
                raise ValueError(f"{cls.__name__} of {length} bytes where {len(buf) - offset} are left")
            own = bytes(buf[offset : offset + length])
            return original(cls, own, 0)

        setattr(target, name, classmethod(functools.wraps(original)(bounded)))

    bound(parser.OFPGroupDescStats, "parser", "!H", 16)
    bound(parser.OFPBucket, "parser", "!H", 8)

    endless = parser.OFPPropBase.parse.__func__

    def parse(cls: Any, buf: bytes) -> Any:
        if len(buf) < 4 or struct.unpack_from("!H", buf, 2)[0] < 4:
            raise ValueError(f"{cls.__name__} with a length below 4 bytes")
        return endless(cls, buf)

    parser.OFPPropBase.parse = classmethod(functools.wraps(endless)(parse))


def missing_match_fields() -> None:
    """Register match fields that Open vSwitch has and Ryu does not know.

    ofproto/nicira_ext.py, oxm_types, ends with OVS 2.5: OFPMatch(ct_nw_dst=...) is a KeyError, and a reply with
    such a field cannot be read. Numbers: Open vSwitch, include/openvswitch/meta-flow.h. Tunnel options have no fixed
    length, so their values are bytes in base64, as Ryu shows all that it does not know. OFPMatch(name=value, ...)
    sorts by number, which puts these before eth_type and the like, which they need first: give a match that has them
    in order, as OFPMatch(_ordered_fields=[(name, value), ...]).
    """
    from ryu.lib import type_desc
    from ryu.ofproto import ofproto_v1_3, ofproto_v1_4, ofproto_v1_5, oxm_fields

    class Ericsson(oxm_fields._OxmClass):
        _class = ERICSSON

    nicira = oxm_fields.NiciraExtended1
    fields = [
        nicira("ct_nw_proto", 119, type_desc.Int1),
        nicira("ct_nw_src", 120, type_desc.IPv4Addr),
        nicira("ct_nw_dst", 121, type_desc.IPv4Addr),
        nicira("ct_ipv6_src", 122, type_desc.IPv6Addr),
        nicira("ct_ipv6_dst", 123, type_desc.IPv6Addr),
        nicira("ct_tp_src", 124, type_desc.Int2),
        nicira("ct_tp_dst", 125, type_desc.Int2),
        Ericsson("nd_reserved", 1, type_desc.Int4),
        Ericsson("nd_options_type", 2, type_desc.Int1),
        *(nicira(f"tun_metadata{index}", 40 + index, type_desc.UnknownType) for index in range(64)),
    ]
    for protocol in (ofproto_v1_3, ofproto_v1_4, ofproto_v1_5):
        known = {known.name for known in protocol.oxm_types}
        protocol.oxm_types.extend(wanted for wanted in fields if wanted.name not in known)
        oxm_fields.generate(protocol.__name__)


# --- connections -----------------------------------------------------------------------------------------------------


def stream_server() -> None:
    """Listen alone, and accept more than one switch over TLS.

    lib/hub.py, StreamServer.__init__: (1) the SSL context and the file names are popped from the arguments at the
    first connection, so the second one is handled without them and fails; (2) ssl.wrap_socket is gone from
    Python 3.12; (3) TLS 1.0 is accepted; (4) a peer that never finishes its handshake is kept for ever; (5)
    eventlet.listen sets SO_REUSEPORT, so a second controller on the same port gets no error, and half the switches.
    """
    from ryu.lib import hub, ip

    def __init__(
        self: Any, listen_info: Any, handle: Any = None, backlog: Any = None, spawn: str = "default", **ssl_args: Any
    ) -> None:
        family = socket.AF_INET6 if ip.valid_ipv6(listen_info[0]) else socket.AF_INET
        if str(listen_info[0]).startswith("/"):
            family, listen_info = socket.AF_UNIX, listen_info[0]
        self.server = eventlet.listen(listen_info, family=family, backlog=backlog or 1024, reuse_port=False)
        self.handle = _tls_handler(handle, _server_context(**ssl_args)) if ssl_args else handle

    hub.StreamServer.__init__ = __init__


def _server_context(
    certfile: str, keyfile: str, ca_certs: str | None = None, cert_reqs: int = ssl.CERT_NONE, **_other: Any
) -> Any:
    context = green_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certfile, keyfile)
    if ca_certs is not None:
        context.load_verify_locations(ca_certs)
    context.verify_mode = cert_reqs
    return context


def _tls_handler(handle: Callable[[Any, Any], None], context: Any) -> Callable[[Any, Any], None]:
    def wrap_and_handle(connection: Any, address: Any) -> None:
        encrypted = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        try:
            encrypted.settimeout(HANDSHAKE_SECONDS)
            encrypted.do_handshake()
        except OSError as error:  # ssl.SSLError and time-outs are OSErrors
            LOG.warning("TLS handshake with %s failed: %s", address, error)
            encrypted.close()
            return
        handle(encrypted, address)

    return wrap_and_handle


def patient_and_watched_connections() -> None:
    """Give a switch time to read, and notice one that is gone.

    controller/controller.py, socket-timeout (5 s): Datapath._send_loop gives a connection up when the switch does
    not read for that long, as one busy with a large bundle does not. Now a minute. maximum-unreplied-echo-requests
    (0): the controller never asks whether a silent switch is alive, so a connection whose other end vanished stays
    "connected" for hours, and (see `first_connection_stays`) would keep the switch out. Now it is dead after
    20 to 25 seconds. A --config-file can set all three otherwise.
    """
    importlib.import_module("ryu.base.app_manager")  # before the controller: they import each other
    from ryu.controller import controller

    controller.CONF.set_default("socket_timeout", SOCKET_SECONDS)
    controller.CONF.set_default("echo_request_interval", ECHO_SECONDS)
    controller.CONF.set_default("maximum_unreplied_echo_requests", UNANSWERED_ECHOES)


def first_connection_stays() -> None:
    """Refuse a switch whose datapath id is connected already, and one that the application does not accept.

    controller/ofp_handler.py, OFPHandler.switch_features_handler takes any datapath id from anyone, and two
    connections with one id are both served: whoever keeps switches by id (controller/dpset.py does) drops the
    first for the second, so a stranger who names a known id takes a switch's place. Here the first stays as long as
    it lives. An application may refuse more, by a method

        accept_switch(dpid: int, address: str) -> bool | str

    called before anything is sent to the switch: True accepts; False, or the reason as text, refuses; an exception
    refuses. A refused connection is closed and never gets an id or reaches MAIN_DISPATCHER. (Observers of
    EventOFPSwitchFeatures still see it, with `msg.datapath.id` None; observe EventOFPStateChange.)
    """
    from ryu.controller.ofp_handler import OFPHandler

    original = OFPHandler.switch_features_handler

    @functools.wraps(original)  # it also carries over Ryu's mark of an event handler
    def switch_features_handler(self: Any, ev: Any) -> None:
        datapath, dpid = ev.msg.datapath, ev.msg.datapath_id
        connected = self.__dict__.setdefault("connected_by_dpid", {})
        reason = _refusal(dpid, datapath, connected.get(dpid))
        if reason is None:
            connected[dpid] = datapath
            original(self, ev)
        else:
            LOG.warning("switch %016x from %s refused: %s", dpid, datapath.address[0], reason)
            datapath.close()

    OFPHandler.switch_features_handler = switch_features_handler


def _refusal(dpid: int, datapath: Any, first: Any) -> str | None:
    from ryu.base.app_manager import SERVICE_BRICKS
    from ryu.controller.handler import DEAD_DISPATCHER

    if first is not None and first is not datapath and first.state != DEAD_DISPATCHER:
        return f"it is connected already, from {first.address[0]}"
    for app in tuple(SERVICE_BRICKS.values()):
        accept = getattr(app, "accept_switch", None)
        if accept is None:
            continue
        try:
            verdict = accept(dpid, datapath.address[0])
        except Exception as error:
            LOG.exception("%s.accept_switch failed", app.name)
            return f"error in {app.name}: {error}"
        if verdict is not True:
            return verdict or f"not accepted by {app.name}"
    return None


REPAIRS: Final[Iterable[Callable[[], None]]] = (
    already_handled,
    distutils_version,
    bounded_group_description,
    missing_match_fields,
    stream_server,
    patient_and_watched_connections,
    first_connection_stays,
)

for _repair in REPAIRS:
    _repair()
