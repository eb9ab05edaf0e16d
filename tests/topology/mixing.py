"""Networks of which some switches have the flows of one state already and the others still those of another. No tests.

Between two states every switch changes in one step, but not at the same moment: what is tried here is every set of
nodes that may have changed already, with packets between all pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations, product
from typing import NamedTuple

from tests.topology.strategies import answer
from topology.compiler import Tables, compile_all
from topology.fields import ETH_SRC
from topology.model import Move, Port, PortKey, Project
from topology.outcome import Delivered, Sent, Where
from topology.packet import Ends, Packet, arriving, icmp, transport
from topology.reach import known_as
from topology.snapshot import Put, Remove, Snapshot, apply_all
from topology.switch import Switch
from topology.trace import Fabric


class Probe(NamedTuple):
    """A packet of a pod to another pod, as it knows it there, or to a service."""

    source: PortKey
    packet: Packet


@dataclass(frozen=True)
class State:
    """A network whose switches all have what they must have, prepared for packets."""

    snapshot: Snapshot
    tables: Tables
    switches: Mapping[str, Switch]

    @classmethod
    def of(cls, snapshot: Snapshot) -> State:
        tables = compile_all(snapshot)
        assert all(table.conflicts == () for table in tables.values())
        return cls(snapshot, tables, {node: Switch.of(table) for node, table in tables.items()})

    def fate(self, probe: Probe) -> PortKey | Where | None:
        """Who gets the packet: a pod, or something outside; None for nobody."""
        return fate(self.fabric, probe)

    @property
    def fabric(self) -> Fabric:
        """Its switches."""
        return Fabric(self.snapshot, self.tables, dict(self.switches))


def fate(fabric: Fabric, probe: Probe) -> PortKey | Where | None:
    port = fabric.snapshot.ports.get(probe.source)
    if port is None or port.ofport is None:
        return None
    outcome = fabric.carry(port.node, arriving(probe.packet, port.ofport)).outcome
    match outcome:
        case Delivered(port=key):
            return key
        case Sent(where=where):
            return where
    return None


def mixtures(before: State, after: State) -> Iterator[Fabric]:
    """Yield the network with every set of nodes that have changed already, all and none of them included."""
    nodes = [node for node in before.tables if node in after.tables]
    differing = [node for node in nodes if before.tables[node] != after.tables[node]]
    subsets = chain.from_iterable(combinations(differing, size) for size in range(len(differing) + 1))
    for changed in subsets:
        switches = {node: (after if node in changed else before).switches[node] for node in nodes}
        tables = before.tables.update({node: after.tables[node] for node in changed})
        yield Fabric(after.snapshot, tables, switches)


def probes(snapshot: Snapshot) -> list[Probe]:
    """Packets from every pod to every other one, and to every service."""
    ports = [snapshot.ports[key] for key in sorted(snapshot.ports) if snapshot.ports[key].ofport is not None]
    found = []
    for source in ports:
        for target in ports:
            if target != source:
                ends = _ends(snapshot, source, target)
                found += [Probe(source.key, icmp(ends)), Probe(source.key, transport("TCP", ends, 443))]
        for key in sorted(snapshot.services):
            service = snapshot.services[key]
            ends = Ends(source.addresses[0], service.address, source.mac, snapshot.nodes[source.node].mac)
            found += [Probe(source.key, transport(offer.protocol, ends, offer.port)) for offer in service.ports]
    return found


def _ends(snapshot: Snapshot, source: Port, target: Port) -> Ends:
    return Ends(source.addresses[0], known_as(target, source, snapshot)[0], source.mac, snapshot.nodes[source.node].mac)


def settled(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Yield the network as it would be with no moves: each of those under way not begun yet, or done."""
    moves = [snapshot.moves[project] for project in sorted(snapshot.moves)]
    for ends in product(*((move.source, move.target) for move in moves)):
        state = snapshot
        for move, end in zip(moves, ends, strict=True):
            state = _settle(state, move, end)
        yield state


def _settle(snapshot: Snapshot, move: Move, network: str) -> Snapshot:
    ports = [
        snapshot.ports[key]
        for end in {move.source, move.target, move.transit}
        for key in snapshot.ports_of.get((move.project, end), {})
    ]
    transit = snapshot.networks[move.transit]
    events = (
        *(Put(replace(port, network=network)) for port in ports),
        *(Remove(snapshot.connections[key]) for key in snapshot.connections if move.transit in key),
        Remove(transit),
        Put(Project(move.project, network)),
        Remove(move),
    )
    return apply_all(snapshot, events)[0]


def is_answered(request: Fabric, answering: Fabric, probe: Probe) -> bool:
    """Whether a pod gets the answer to what it sent, sent through one fabric and answered through another."""
    snapshot = request.snapshot
    source = snapshot.ports[probe.source]
    there = request.carry(source.node, arriving(probe.packet, source.ofport or 0))
    if not isinstance(there.outcome, Delivered):
        return False
    receiver = snapshot.ports[there.outcome.port]
    back = answer(arriving(there.packet, 0)).set(ETH_SRC, receiver.mac)
    trace = answering.carry(receiver.node, arriving(back, receiver.ofport or 0), there.trackers)
    return trace.outcome == Delivered(source.node, source.key)
