"""A network's phase and conditions, from what is published alone. What each means is in docs/operations.md. Pure.

The conditions are found out one by one, and the phase follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from rest.control import Published, SwitchPhase
from topology.allocation import free_addresses, has_free_own_address
from topology.binding import grant
from topology.compiler import FlowTable, SectionKey
from topology.model import ConnectionKey, Network
from topology.pipeline import FeatureId
from topology.snapshot import Snapshot, projects_selected

_NETWORKS: Final = int(FeatureId.NETWORKS)
_CONNECTIONS: Final = int(FeatureId.CONNECTIONS)
_NAMED: Final = 5  # names that a message lists before it counts the rest
_EMPTY: Final = FlowTable()


class NetworkPhase(Enum):
    """Where a network stands."""

    INITIALIZING = "Initializing"  # switches that are connected have not acknowledged its flows yet
    ACTIVE = "Active"  # all is as it should be
    PENDING = "Pending"  # it waits: for a switch that is away, or for addresses
    FAILED = "Failed"  # a switch refused its flows, or they collide with others
    TERMINATING = "Terminating"  # it is being drained


class Condition(NamedTuple):
    """One thing that is so or not so with a network; `reason` is a word for programs, `message` a text for people."""

    kind: str
    status: bool
    reason: str
    message: str


def conditions(published: Published, network: Network) -> tuple[Condition, ...]:
    """Return a network's conditions: Programmed, AddressesAvailable, Moving, Terminating."""
    snapshot = published.snapshot
    return (
        _programmed(published, network),
        _addresses_available(snapshot, network),
        _moving(snapshot, network),
        _terminating(snapshot, network),
    )


def phase(found: Iterable[Condition]) -> NetworkPhase:
    """Return the phase of a network with these conditions; of several that fit, the one that comes first here."""
    by_kind = {condition.kind: condition for condition in found}
    programmed = by_kind["Programmed"]
    if by_kind["Terminating"].status:
        return NetworkPhase.TERMINATING
    if programmed.reason in ("Conflict", "SwitchError"):
        return NetworkPhase.FAILED
    if programmed.reason == "NotAcknowledged":
        return NetworkPhase.INITIALIZING
    if not programmed.status or not by_kind["AddressesAvailable"].status:
        return NetworkPhase.PENDING
    return NetworkPhase.ACTIVE


def outdated(snapshot: Snapshot, network: Network) -> int:
    """Return how many ports are on a network that their project is not bound to any more."""
    if network.is_transit:
        return 0
    name = network.name
    kept = {*_bound_to(snapshot, name), *snapshot.moves_of.get(name, {})}
    ports = sum(snapshot.hosted[node, name] for node in snapshot.hosts.get(name, {}))
    return ports - sum(len(snapshot.ports_of.get((project, name), ())) for project in kept)


def outdated_in(snapshot: Snapshot, project: str) -> int:
    """Return how many ports of a project are on a network that it is not bound to any more."""
    move = snapshot.moves.get(project)
    places = set(grant(snapshot, project).networks)
    places |= set() if move is None else {move.source, move.target, move.transit}
    return snapshot.ports_in.get(project, 0) - sum(len(snapshot.ports_of.get((project, name), ())) for name in places)


def _bound_to(snapshot: Snapshot, network: str) -> set[str]:
    """Return the projects that have a network: as their primary one, or by bindings that name it."""
    bindings = (snapshot.bindings[name] for name in snapshot.bindings_to.get(network, {}))
    selected = {project for each in bindings for project in projects_selected(snapshot, each)}
    return {
        *snapshot.projects_of.get(network, {}),
        *(project for project in selected if network in grant(snapshot, project).networks),
    }


def _programmed(published: Published, network: Network) -> Condition:
    found: dict[str, list[str]] = {}
    for node, reason in _faults(published, network):
        found.setdefault(reason, []).append(node)
    for reason, said in _REASONS:
        if reason in found:
            return Condition("Programmed", False, reason, f"{said} {_listed(found[reason])}")
    return Condition("Programmed", True, "Acknowledged", "every switch that hosts it has its flows")


# The worst comes first.
_REASONS: Final = (
    ("Conflict", "its flows collide with others' on"),
    ("SwitchError", "its flows were refused on"),
    ("NotAcknowledged", "its flows are not acknowledged yet on"),
    ("SwitchAway", "no switch answers on"),
)


def _faults(published: Published, network: Network) -> Iterator[tuple[str, str]]:
    """Yield the nodes on which a network is not as it must be, each with the reason."""
    snapshot = published.snapshot
    keys = [SectionKey(_NETWORKS, (network.name,))]
    keys += [
        SectionKey(_CONNECTIONS, ConnectionKey.between(network.name, peer))
        for peer in snapshot.peers.get(network.name, {})
    ]
    nodes: Iterable[str] = snapshot.nodes if network.is_global else snapshot.hosts.get(network.name, {})
    for node in sorted(nodes):
        status = published.switches.get(node)
        if status is not None and status.phase is SwitchPhase.STANDBY:
            continue  # another replica knows
        wanted, had = published.tables.get(node, _EMPTY), published.committed.get(node, _EMPTY)
        if any(conflict.left_out in keys for conflict in wanted.conflicts):
            yield node, "Conflict"
        elif any(wanted.sections.get(key) != had.sections.get(key) for key in keys):
            yield node, _reason(published, node)


def _reason(published: Published, node: str) -> str:
    status = published.switches.get(node)
    if status is None or status.phase is SwitchPhase.AWAY:
        return "SwitchAway"
    return "SwitchError" if status.phase is SwitchPhase.ERROR else "NotAcknowledged"


def _addresses_available(snapshot: Snapshot, network: Network) -> Condition:
    kind = "AddressesAvailable"
    if not snapshot.nodes:
        return Condition(kind, False, "NoNodes", "no node is registered")
    if not any(free_addresses(snapshot, node) for node in snapshot.nodes):
        return Condition(kind, False, "NodesExhausted", "no node has an address left")
    if network.subnets and not has_free_own_address(snapshot, network):
        ranges = ", ".join(str(subnet.cidr) for subnet in network.subnets)
        return Condition(kind, False, "SubnetsExhausted", f"no address of {ranges} is left")
    return Condition(kind, True, "Free", "pods can get addresses")


def _moving(snapshot: Snapshot, network: Network) -> Condition:
    moves = [snapshot.moves[project] for project in sorted(snapshot.moves_of.get(network.name, {}))]
    if not moves:
        return Condition("Moving", False, "NoMoves", "no project is being moved from or to it")
    told = [f'"{move.project}" from "{move.source}" to "{move.target}" ({move.stage.value})' for move in moves]
    return Condition("Moving", True, "ProjectsMove", f"projects that are being moved: {_listed(told)}")


def _terminating(snapshot: Snapshot, network: Network) -> Condition:
    if not network.terminating:
        return Condition("Terminating", False, "Kept", "it is not being removed")
    nodes = sorted(snapshot.hosts.get(network.name, {}))
    ports = sum(snapshot.hosted[node, network.name] for node in nodes)
    services = sum(len(snapshot.services_of.get(one, ())) for one in snapshot.projects_of.get(network.name, {}))
    slices = sum(snapshot.slices_in.get(one, 0) for one in snapshot.homes_of.get(network.name, {}))
    left = f"pods left: {ports}{f', on {_listed(nodes)}' if nodes else ''}; services left: {services}"
    left += f"; slices of endpoints left: {slices}" if slices else ""
    return Condition("Terminating", True, "Draining", f"it takes in nobody new and goes by itself; {left}")


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
