"""The old way to join two networks, for comparison: five flows of each pod of one of them are written anew.

A server of its own, without a controller: it knows the switches' numbers, writes to each a bundle prepared beforehand,
and waits for all commit replies.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Thread
from typing import Final

from bench.framing import whole_messages
from bench.ground import OPENFLOW_PORT, Ground
from bench.world import FIRST_POD_PORT
from ryu_apps.openflow import messages, wire
from ryu_apps.openflow.decode import bundle_reply
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.wire import HEADER, MessageType
from topology.compiler import Delta, SectionKey, section
from topology.flow import Flow, entries
from topology.model import Network, PortKey
from topology.pipeline import FeatureId
from topology.snapshot import Put, Snapshot, apply

FLOWS_OF_A_POD: Final = 5
_FEATURES_REQUEST = 5
_HELLO = HEADER.pack(wire.VERSION, MessageType.HELLO, 16, 1) + struct.pack(">HHI", 1, 8, 1 << wire.VERSION)
_WHO = HEADER.pack(wire.VERSION, _FEATURES_REQUEST, 8, 2)
_PATIENCE = 60.0
_PIECE = 1 << 18
_OTHER_STAGES = (1000, 2000)  # priorities above those of a pod's own flows: its fourth and fifth flow


class RewritingError(RuntimeError):
    """A switch did not connect or commit."""


def rewritten(snapshot: Snapshot, network: str, vnid: int) -> dict[int, bytes]:
    """Return the bundle for each switch (by datapath id) that gives the pods of a network another VNID."""
    encoder = Encoder()
    number: Network = replace(snapshot.networks[network], vnid=vnid)
    state, _ = apply(snapshot, Put(number))
    bundles = {}
    for node in snapshot.hosts[network]:
        flows: list[Flow] = []
        for position, key in enumerate(sorted(snapshot.ports_on[node])):
            if snapshot.ports[key].network == network:
                seen, _ = apply(state, Put(replace(snapshot.ports[key], ofport=FIRST_POD_PORT + position)))
                flows += _five(seen, node, key)
        adds = entries(int(FeatureId.PORTS), 0, flows)
        bundles[snapshot.nodes[node].dpid] = b"".join(encoder.parts(Delta(adds, ())))
    return bundles


def _five(snapshot: Snapshot, node: str, key: PortKey) -> Iterator[Flow]:
    own = [entry.flow for entry in section(node, SectionKey(int(FeatureId.PORTS), key), snapshot)]
    yield from own
    for number, flow in zip(range(FLOWS_OF_A_POD - len(own)), own * 2, strict=False):
        yield flow._replace(priority=flow.priority + _OTHER_STAGES[number])


class Rewriter:
    """Listens on a ground, and keeps the switches that connect."""

    def __init__(self, ground: Ground) -> None:
        self._switches: dict[int, socket.socket] = {}
        self._committed: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = ground.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("0.0.0.0", OPENFLOW_PORT))
        self._listener.listen(1024)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._ended = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all connections."""
        self._ended = True
        self._thread.join()
        for one in (self._listener, *self._switches.values()):
            one.close()

    def wait(self, switches: int) -> None:
        """Wait until so many switches have said who they are. RewritingError when it takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while len(self._switches) < switches:
            if time.monotonic() > deadline:
                raise RewritingError(f"{len(self._switches)} of {switches} switches have connected")
            time.sleep(0.01)

    def send(self, bundles: Mapping[int, bytes]) -> float:
        """Write a bundle to each switch; the seconds until the last has committed. RewritingError if one does not."""
        self._committed.clear()
        began = time.monotonic()
        for dpid, bundle in bundles.items():
            self._switches[dpid].sendall(bundle)
        while len(self._committed) < len(bundles):
            if time.monotonic() - began > _PATIENCE:
                raise RewritingError(f"{len(self._committed)} of {len(bundles)} switches have committed")
            time.sleep(0.0001)
        return max(self._committed.values()) - began

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.1):
                if key.data is None:
                    stream, _address = self._listener.accept()
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    stream.sendall(_HELLO + _WHO)
                    self._selector.register(stream, selectors.EVENT_READ, _Switch())
                else:
                    self._hear(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket, as registered above

    def _hear(self, stream: socket.socket, switch: _Switch) -> None:
        data = stream.recv(_PIECE)
        if not data:
            self._selector.unregister(stream)
            return
        switch.held += data
        for kind, xid, raw in whole_messages(switch.held):
            if kind == MessageType.ECHO_REQUEST:
                stream.sendall(messages.echo_reply(xid, raw[8:]))
            elif kind == MessageType.FEATURES_REPLY:
                switch.dpid = int.from_bytes(raw[8:16])
                self._switches[switch.dpid] = stream
            elif kind == MessageType.BUNDLE_CONTROL and bundle_reply(raw).committed:
                self._committed[switch.dpid] = time.monotonic()
            elif kind == MessageType.ERROR:
                raise RewritingError(f"switch {switch.dpid} refused a message")


class _Switch:
    """One connection: its switch's number once it is known, and the beginning of a message."""

    def __init__(self) -> None:
        self.dpid = 0
        self.held = bytearray()
