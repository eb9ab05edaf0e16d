"""What Kubernetes is told of pods and nodes: Events for people, a pod's network-status, that a node's network is there.

Told once it is so, by the way: nobody waits for it, and an error is only logged.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import eventlet
import msgspec
import structlog

from kube.client import Client
from kube.errors import ApiError, NotFound
from kube.objects import EVENTS, NETWORK_STATUS, NODES, PODS, Metadata
from rest.control import Published, SwitchPhase
from ryu_apps.owner import Owner
from topology.model import Port, PortKey, format_mac
from topology.requests import Refused, ReportPort

COMPONENT: Final = "heddle"
_ATTACHED_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class Announcing:
    """Tells the API by the way."""

    def __init__(self, client: Client, owner: Owner) -> None:
        self._client = client
        self._owner = owner
        self._available: dict[str, bool] = {}

    # --- pods ----------------------------------------------------------------------------------

    def refused(self, request: ReportPort, refused: Refused) -> None:
        """A pod was not attached: an Event says why."""
        about = Metadata(name=request.pod, namespace=request.project, uid=request.pod_uid)
        self._by_the_way(partial(self._event, about, request.key.node, "NetworkRefused", str(refused)))

    def misread(self, pod: Metadata, why: str) -> None:
        """What a pod's annotations say of bandwidth cannot be: an Event says why it is not limited."""
        self._by_the_way(partial(self._event, pod, "", "BandwidthIgnored", why))

    def attached(self, request: ReportPort) -> None:
        """A pod's port is on its way: when it is there, the pod says so."""
        self._by_the_way(partial(self._write_status, request))

    def _event(self, pod: Metadata, node: str, reason: str, message: str) -> None:
        now = datetime.datetime.now(datetime.UTC)
        at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod.name}.{uuid.uuid4().hex[:16]}", "namespace": pod.namespace},
            "involvedObject": {**about, **({"uid": pod.uid} if pod.uid else {})},
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": COMPONENT, **({"host": node} if node else {})},
            "reportingComponent": COMPONENT,
            "reportingInstance": node or COMPONENT,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        self._client.create(EVENTS, body, pod.namespace)

    def _write_status(self, request: ReportPort) -> None:
        wanted = partial(_committed, key=request.key)
        if self._owner.publication.wait(request.key.node, wanted, _ATTACHED_SECONDS) is not True:
            return
        snapshot = self._owner.publication.current.snapshot
        keys = snapshot.port_by_pod.get((request.project, request.pod), ())
        ports = sorted((snapshot.ports[key] for key in keys), key=lambda port: (port.is_secondary, port.key))
        told = msgspec.json.encode([network_status(port) for port in ports]).decode()
        body = {"metadata": {"annotations": {NETWORK_STATUS: told}}}
        self._client.patch(PODS, request.pod, body, request.project)

    # --- nodes ---------------------------------------------------------------------------------

    def run(self, may_tell: Callable[[str], bool]) -> None:
        """Tell of nodes for ever whether their network is there, of those that this replica answers for."""
        while True:
            published = self._owner.publication.current
            for node, status in published.switches.items():
                if may_tell(node) and status.phase is SwitchPhase.IN_SYNC and not self._available.get(node):
                    self._available[node] = True
                    self._by_the_way(partial(self._network_is_there, node))
                elif not may_tell(node):
                    self._available.pop(node, None)
            eventlet.sleep(0.5)

    def _network_is_there(self, node: str) -> None:
        at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "HeddleProgrammed",
            "message": "the node's bridge has its flows",
            "lastTransitionTime": at,
            "lastHeartbeatTime": at,
        }
        try:
            self._client.patch_status(NODES, node, {"status": {"conditions": [condition]}})
        except NotFound:
            return  # a node that is none of Kubernetes'
        except ApiError:
            self._available[node] = False
            raise

    def _by_the_way(self, action: Callable[[], None]) -> None:
        eventlet.spawn(_quietly, action)


def network_status(port: Port) -> dict[str, Any]:
    """Return one item of the network-status annotation (multi-network specification, 4.1.2)."""
    return {
        "name": port.network,
        "interface": port.key.interface,
        "ips": [str(address) for address in port.addresses],
        "mac": format_mac(port.mac),
        "default": not port.is_secondary,
        "dns": {},
    }


def _committed(published: Published, key: PortKey) -> bool | None:
    if key not in published.snapshot.ports:
        return False
    return True if published.port_phase(key)[0] == "Committed" else None


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except NotFound:
        pass  # the pod is gone
    except ApiError as error:
        log.warning("the API was not told", why=str(error))
    except Exception:
        log.exception("the API was not told")
