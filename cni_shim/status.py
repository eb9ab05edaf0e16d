"""STATUS: whether an ADD would succeed on this node now. Changes nothing."""

from __future__ import annotations

import _socket

from cni_shim import ethtool
from cni_shim.add import TUN_PORT
from cni_shim.controller import Controller, read_token
from cni_shim.errors import NOT_READY, NOT_READY_DISCONNECTED, ShimError
from cni_shim.ovsdb import Database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_shim.plugin import Log
    from cni_shim.request import Network, Request

PATIENCE = 5.0  # seconds


def status(request: Request, _log: Log) -> None:
    """Raise NOT_READY_DISCONNECTED when the data path is broken, so that pods that run may be cut off, NOT_READY when
    only an ADD would fail (no controller, no free address); return when all is well."""
    network = request.network
    try:
        _check_switch(network)
    except ShimError as error:
        raise ShimError(NOT_READY_DISCONNECTED, error.msg, error.details) from None
    try:
        controller = Controller(network.controllers, read_token(network.token_file), network.ca_file, PATIENCE)
        try:
            controller.call("GET", f"/v1/nodes/{network.node}/readiness")
        finally:
            controller.close()
    except ShimError as error:
        raise ShimError(NOT_READY, error.msg, error.details) from None


def _check_switch(network: Network) -> None:
    database = Database(network.ovsdb, PATIENCE)
    try:
        found = database.rows("Bridge", ["name"], [["name", "==", network.bridge]])
    finally:
        database.close()
    if not found:
        raise ShimError(NOT_READY, f"the switch has no bridge {network.bridge}", "is heddle-node running on this node?")
    # The bridge's OpenFlow socket, beside that of the database: it is there while ovs-vswitchd runs the bridge.
    path = f"{network.ovsdb.rpartition('/')[0]}/{network.bridge}.mgmt"
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    probe.settimeout(PATIENCE)
    try:
        probe.connect(path)
    except OSError as error:
        raise ShimError(NOT_READY, f"ovs-vswitchd does not run bridge {network.bridge}", f"{path}: {error}") from None
    finally:
        probe.close()
    try:
        ethtool.mtu(TUN_PORT)
    except OSError as error:
        raise ShimError(NOT_READY, f"this node has no {TUN_PORT}", f"{error}; is heddle-node running here?") from None
