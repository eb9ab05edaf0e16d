"""The Ryu application: `ryu-manager ryu_apps.controller`. It wires the parts; what Ryu says becomes queue entries.

No decision is taken here and no state of the network is kept here: that is `owner`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final

import eventlet
import structlog

from ryu_apps import compat  # noqa: F401  # repairs Ryu, so it comes before it

from ryu.base.app_manager import RyuApp  # isort: skip
from ryu.cfg import CONF  # isort: skip
from ryu.controller import ofp_event  # isort: skip
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls  # isort: skip
from ryu.ofproto import ofproto_v1_5  # isort: skip

from kube.errors import ApiError
from rest.app import make_app
from rest.options import Options
from ryu_apps import settings as controller_settings
from ryu_apps.cluster.starting import start_cluster
from ryu_apps.collector import resting_collector
from ryu_apps.logs import configure_logs
from ryu_apps.moves import Conductor
from ryu_apps.openflow import channel, decode, messages
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.meters import delete_meters
from ryu_apps.openflow.wire import ALL_TABLES, BEAT_XID, MessageType, MultipartType
from ryu_apps.owner import Owner
from ryu_apps.plane import ControlPlane
from ryu_apps.pulse import BEAT_SECONDS
from ryu_apps.server import serve
from ryu_apps.session import SwitchSession
from ryu_apps.settings import Settings
from ryu_apps.started import Started
from ryu_apps.tunnels import TunnelConductor
from store.base import Store, StoreError
from store.sqlite import SqliteStore
from topology.admission import admit
from topology.compiler import Delta
from topology.egress import Left
from topology.fields import TRANSPORT
from topology.model import Cluster
from topology.pipeline import EGRESS_ZONE, NODE_ZONE, SERVICE_ZONE
from topology.requests import Refused, SetCluster
from topology.snapshot import Snapshot, apply_all, empty
from topology.targets import Gone

log = structlog.get_logger(__name__)

_AUDIT_SECONDS: Final = 60.0  # how often each switch is read back


class OpenFlowWire:
    """`ryu_apps.session.Wire` by our own encoder; one for all switches, so equal flows are encoded once."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def bundle(self, delta: Delta) -> Iterable[bytes]:
        """Return one ordered atomic bundle, from open to commit, in parts; what must precede it is before it."""
        return self._encoder.parts(delta)

    def read_flows(self, xid: int, table: int | None, cookie: int, mask: int) -> bytes:
        """Return a request for flows, by table (None: all) and masked cookie."""
        return messages.flow_desc_request(xid, ALL_TABLES if table is None else table, cookie, mask)

    def read_counts(self, xid: int) -> bytes:
        """Return a request for the number of flows in each table."""
        return messages.table_stats_request(xid)

    def read_groups(self, xid: int) -> bytes:
        """Return a request for all groups."""
        return messages.group_desc_request(xid)

    def read_meters(self, xid: int) -> bytes:
        """Return a request for all meters."""
        return messages.meter_desc_request(xid)

    def delete_meters(self, meters: Iterable[int]) -> bytes:
        """Return requests to delete meters."""
        return delete_meters(meters)

    def forget(self, xid: int, gone: Gone | Left) -> bytes:
        """Return a request to forget what a service led to an endpoint that is gone, or what left by an address."""
        if isinstance(gone, Left):
            return messages.ct_flush_to(xid, EGRESS_ZONE, *gone)
        protocol, _, _ = TRANSPORT[gone.protocol]
        zone = NODE_ZONE if gone.from_outside else SERVICE_ZONE
        return messages.ct_flush(xid, zone, protocol, *gone.target)

    def ask_role(self, xid: int, role: messages.Role, generation: int) -> bytes:
        """Return a request for a role."""
        return messages.role_request(xid, role, generation)

    def ask_echo(self) -> bytes:
        """Return a request that is answered at once."""
        return messages.echo_request()


class HeddleController(RyuApp):
    """Starts store, owner thread, OpenFlow and REST; ends the process when one of them cannot start."""

    OFP_VERSIONS: Final = [ofproto_v1_5.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        configure_logs()
        try:
            settings = controller_settings.load(CONF)
            with resting_collector():
                put_together = _alone if settings.kubernetes is None else start_cluster
                self._started = put_together(settings, OpenFlowWire())
            self._owner = self._started.owner
            channel.intercept(self._on_message)
            serve(settings.rest_listen, settings.tls, partial(_application, self._started, settings))
        except (controller_settings.SettingsError, StoreError, ApiError, Refused, OSError) as error:
            raise SystemExit(f"heddle: cannot start: {error}") from error

    def start(self) -> None:
        """Called by Ryu when all applications exist."""
        super().start()
        for thread in (self._owner.run, *self._started.threads, self._audit, self._beat):
            eventlet.spawn(thread)

    def close(self) -> None:
        """Called by Ryu when the process ends in order."""
        self._started.leave()

    def accept_switch(self, dpid: int, address: str) -> bool | str:
        """Accept registered switches, from their node's address only. See `compat.first_connection_stays`."""
        snapshot = self._owner.publication.current.snapshot
        name = snapshot.node_by_dpid.get(dpid)
        if name is None:
            return "no node has this datapath id; register it with: heddle create-node"
        underlay = snapshot.nodes[name].underlay
        if ip_address(address) != underlay:
            return f"node {name} is to connect from {underlay}"
        return True

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def _state_changed(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            ofports = {port.name.decode("utf-8", "replace"): number for number, port in datapath.ports.items()}
            self._owner.connected(datapath.id, datapath, ofports)
        else:
            self._owner.disconnected(datapath)

    def _on_message(self, datapath: Any, kind: int, xid: int, raw: bytes) -> bool:
        """Turn a message into a queue entry; return whether it is dealt with. Called by the connection's thread."""
        if datapath.state != MAIN_DISPATCHER:
            return False
        owner = self._owner
        match kind:
            case MessageType.BUNDLE_CONTROL:
                if decode.bundle_reply(raw).committed:
                    owner.switch_says(datapath, SwitchSession.committed_reply)
            case MessageType.PORT_STATUS:
                status = decode.port_status(raw)
                gone = status.reason == decode.PORT_DELETED
                owner.port_seen(datapath, status.port.name, None if gone else status.port.number)
            case MessageType.MULTIPART_REPLY:
                tell = _answer(raw)
                if tell is None:
                    return False
                owner.switch_says(datapath, tell)
            case MessageType.ECHO_REPLY:
                return xid == BEAT_XID  # what is not ours is Ryu's
            case MessageType.ERROR:
                owner.switch_says(datapath, _refusal(raw))
            case MessageType.ROLE_REPLY:
                given = decode.role_reply(raw)
                owner.switch_says(datapath, lambda session: session.role_given(*given))
            case MessageType.ROLE_STATUS:
                changed = decode.role_status(raw)
                owner.switch_says(datapath, lambda session: session.role_changed(changed.role))
            case _:
                return False
        return True

    def _beat(self) -> None:
        """Let the owner look for signs of life."""
        while True:
            eventlet.sleep(BEAT_SECONDS)
            self._owner.beat()

    def _audit(self) -> None:
        """Read one switch after the other back, each once in _AUDIT_SECONDS."""
        while True:
            nodes = sorted(self._owner.publication.current.snapshot.nodes)
            for node in nodes:
                eventlet.sleep(_AUDIT_SECONDS / len(nodes))
                self._owner.audit(node)
            if not nodes:
                eventlet.sleep(_AUDIT_SECONDS)


def _application(started: Started, settings: Settings, local: bool) -> Any:
    """Return the REST application; where no administrator's token is set up, local users are administrators."""
    token = settings.admin_token
    options = Options(
        admin_sha256=None if token is None else sha256(token.encode()).hexdigest(),
        open_administration=local,
        controllers=settings.controllers,
        own_authorization=None if token is None else f"Bearer {token}",
        reviewer=started.reviewer,
    )
    return make_app(started.control, options)


def _alone(settings: Settings, wire: OpenFlowWire) -> Started:
    """Return the parts of a controller without others, whose state is in a file."""
    store = SqliteStore(settings.store)
    owner = Owner(store, wire, _restore(store, settings.cluster))
    return Started(owner, ControlPlane(owner, store), (Conductor(owner).run, TunnelConductor(owner).run), store.close)


def _refusal(raw: bytes) -> Callable[[SwitchSession], None]:
    """Return what an error tells a session: about its role, or about what it sent."""
    refusal = decode.error(raw)
    if refusal.is_stale_role:
        return lambda session: session.role_refused(refusal.xid)
    if refusal.is_slave:
        return lambda session: session.forbidden(refusal.text, ends_bundle=refusal.ends_bundle)
    return lambda session: session.error(refusal.text, ends_bundle=refusal.ends_bundle)


def _answer(raw: bytes) -> Callable[[SwitchSession], None] | None:
    """Return what a part of a multipart reply tells a session; None for what no session asked."""
    found = decode.part(raw)
    if found.kind == MultipartType.FLOW_DESC:
        flows = list(decode.flow_stats(raw))
        return lambda session: session.flows_read(found.xid, flows, found.more)
    if found.kind == MultipartType.TABLE_STATS:
        counts = decode.flow_counts(raw)
        return lambda session: session.counts_read(counts)
    if found.kind == MultipartType.GROUP_DESC:
        groups = list(decode.groups(raw))
        return lambda session: session.groups_read(groups)
    if found.kind == MultipartType.METER_DESC:
        meters = list(decode.meters(raw))
        return lambda session: session.meters_read(meters)
    return None


def _restore(store: Store, cluster: Cluster) -> Snapshot:
    """Return what the store keeps, with the settings of this start. Raises Refused when they do not fit it."""
    snapshot, _ = apply_all(empty(), store.load())
    events = admit(snapshot, SetCluster(cluster))
    store.commit(events)
    return apply_all(snapshot, events)[0]
