"""Row 13: what the verifier costs: a change, a flow, a packet walked, the whole of 1,000 networks on 100 nodes.

Nobody else proves changes, so each stands beside what the compiler takes for the same. All of it is one process's work:
CPU time is what counts, and the times of the rows are CPU time. Nothing here needs a switch.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from bench.figures import Contender, Ratio, Row
from bench.interleave import interleave
from bench.pods import WrongEndError
from bench.setting import Setting
from bench.work import Work, checked_and_compiled, contender, flows_of, steps_of, timed
from bench.world import network_name, node_name, report, spread
from topology.compiler import Tables, compile_all
from topology.packet import Ends, Packet, arriving, transport
from topology.requests import IsolateNetworks, JoinNetworks, PortSeen, Request
from topology.snapshot import Snapshot
from topology.trace import Fabric
from topology.verification import prove
from topology.verification.registry import BY_PLACE
from topology.verification.world import Focus, View, World

NUMBER = 13
TITLE = "verification: a change, a flow, a packet, the whole network"
NODES: Final = 100
NETWORKS: Final = 1000
CONNECTIONS: Final = 200
PODS: Final = (20, 100)  # on a node
_CHANGES: Final = 100
_WALKS: Final = 2000


@dataclass(frozen=True, slots=True)
class Place:
    """A network, compiled."""

    snapshot: Snapshot
    tables: Tables

    @classmethod
    def of(cls, pods: int) -> Place:
        """Return the network with so many pods on a node."""
        snapshot = spread(NODES, NETWORKS, pods, CONNECTIONS)
        return cls(snapshot, compile_all(snapshot))

    @property
    def flows(self) -> int:
        """How many flows all tables have."""
        return sum(len(section) for table in self.tables.values() for section in table.sections.values())


def run(setting: Setting) -> Row:
    """Measure everything of the row."""
    setting.say(f"computing {NETWORKS} networks on {NODES} nodes")
    small, large = (Place.of(pods) for pods in PODS)
    gc.collect()
    gc.freeze()
    works = (*_whole(small), *_whole(large), *_changes(small), _classes(large), _walks(small))
    setting.say("proving them")
    results = interleave([timed(work) for work in works], setting.pace)
    gc.unfreeze()
    contenders = tuple(contender(work, seconds) for work, seconds in zip(works, results, strict=True))
    return Row(NUMBER, TITLE, contenders, _ratios(dict(zip((work.name for work in works), contenders, strict=True))))


# --- the whole -----------------------------------------------------------------------------------


def _whole(place: Place) -> tuple[Work, Work]:
    pods = len(place.snapshot.ports)

    def proof() -> None:
        if any(proof.findings for proof in prove(place.snapshot, place.tables)):
            raise WrongEndError("the verifier finds fault with what the compiler made")

    name = f"{pods:,} pods, {place.flows:,} flows"
    return (
        Work(f"prove all, {name}", "proof", 1, proof),
        Work(f"compile all, {name}", "compile", 1, lambda: compile_all(place.snapshot)),
    )


# --- changes -------------------------------------------------------------------------------------


def _changes(place: Place) -> tuple[Work, ...]:
    """The check of single changes, and beside each its compile: a port that comes to its switch, a join, its end."""
    ports: list[Request] = []
    for number in range(_CHANGES):
        asked = report(number % NODES + 1, f"x{number}", network_name(number * PODS[0] % NETWORKS))
        ports += [asked, PortSeen(node_name(number % NODES + 1), asked.host_interface, 5000 + number)]
    joins: list[Request] = []
    for number in range(0, 2 * _CHANGES, 2):
        pair = (network_name(number), network_name(number + NETWORKS // 2))
        joins += [JoinNetworks(*pair), IsolateNetworks(*pair)]
    kinds = ((ports, PortSeen, "a port"), (joins, JoinNetworks, "a join"), (joins, IsolateNetworks, "its end"))
    return tuple(work for requests, kind, name in kinds for work in _of_changes(place, name, requests, kind))


def _of_changes(place: Place, name: str, requests: Sequence[Request], kind: type) -> tuple[Work, Work]:
    steps = steps_of(place.snapshot, place.tables, requests, kind)
    return checked_and_compiled(f"{name}, {flows_of(steps):.3g} flows", steps)


# --- flows and packets ---------------------------------------------------------------------------


def _classes(place: Place) -> Work:
    """Every flow by the claim of its class alone."""

    def hold() -> None:
        world = World(place.snapshot)
        for node, table in place.tables.items():
            view = View(world, place.snapshot.nodes[node], Focus(whole=True))
            for section in table.sections.values():
                for _, (number, priority, match, actions, groups, meters) in section:
                    if not BY_PLACE[number, priority].holds(view, match, actions + groups + meters):
                        raise WrongEndError("a flow does not hold")

    return Work("flows by class", "flow", place.flows, hold)


def _walks(place: Place) -> Work:
    """Packets between pods, through the software switches."""
    fabric = Fabric(place.snapshot, place.tables)
    sent = list(_packets(place.snapshot))
    for node, packet in sent:
        fabric.carry(node, packet)  # each switch is prepared once

    def carry() -> None:
        for node, packet in sent:
            fabric.carry(node, packet)

    return Work("packets walked", "packet", len(sent), carry)


def _packets(snapshot: Snapshot) -> list[tuple[str, Packet]]:
    ports = [snapshot.ports[key] for key in sorted(snapshot.ports)]
    found = []
    for position in range(_WALKS):
        source, target = ports[position % len(ports)], ports[position * 7 % len(ports)]
        assert isinstance(source.addresses[0], IPv4Address)
        ends = Ends(source.addresses[0], target.addresses[0], source.mac)
        found.append((source.node, arriving(transport("TCP", ends, 443), source.ofport or 0)))
    return found


# --- ratios --------------------------------------------------------------------------------------


def _ratios(by_name: dict[str, Contender]) -> tuple[Ratio, ...]:
    found: list[Ratio] = []
    median = {name: contender.seconds.median for name, contender in by_name.items()}
    for name, seconds in median.items():
        if name.startswith("prove all"):
            what = name.removeprefix("prove all, ")
            found.append(Ratio(f"ms for all of {what}", seconds * 1000, 100.0))
            found.append(Ratio(f"prove / compile all of {what}", seconds / median[f"compile all, {what}"]))
        elif name.startswith("check"):
            what = name.removeprefix("check ")
            found.append(Ratio(f"µs to check {what}", seconds * 1e6))
            found.append(Ratio(f"check / compile {what}", seconds / median[f"compile {what}"]))
    found.append(Ratio("µs a flow, by class", median["flows by class"] * 1e6, 1.0))
    found.append(Ratio("µs a packet walked", median["packets walked"] * 1e6, 10.0))
    return tuple(found)
