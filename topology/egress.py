"""By which address a pod's packets leave for the outside: questions to a snapshot. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from topology.holding import spread
from topology.labels import Labels
from topology.model import Address, Egress, Held, Move, Network, Pod, PodKey, Port
from topology.snapshot import Change, Snapshot


class Source(NamedTuple):
    """The address by which a pod leaves, and the node that holds it; None: no node does, and nothing leaves."""

    address: Address
    holder: str | None


def source_of(port: Port, snapshot: Snapshot) -> Source | None:
    """Return by which address a port's packets leave; None where that is its node's own, or leads by a gateway."""
    if not snapshot.egresses:
        return None
    egress = egress_of(port, snapshot)
    if egress is None or egress.via is not None:
        return None
    address = spread(egress.addresses, f"{port.project}/{port.pod}")
    holder = snapshot.held.get(address)
    return None if holder is None and egress.fail_open else Source(address, holder)


def egress_of(port: Port, snapshot: Snapshot) -> Egress | None:
    """Return the egress that is for a port: the first that selects its pod, or that of the whole network.

    For a gateway pod those by gateways do not count: so none sends to another, and nothing goes round.
    """
    is_gateway = PodKey(port.project, port.pod) in snapshot.egresses_via
    home = home_of(port.network, snapshot)
    every = (snapshot.egresses[name] for name in sorted(snapshot.egresses_of.get(home, {})))
    found = [egress for egress in every if egress.via is None or not is_gateway]
    chosen = (egress for egress in found if egress.pods is not None and egress.pods.selects(_labels(port, snapshot)))
    return next(chosen, next((egress for egress in found if egress.pods is None), None))


def home_of(network: str, snapshot: Snapshot) -> str:
    """Return the network whose egress the pods on a network have: on the way to another, where they come from."""
    found = snapshot.networks.get(network)
    move = None if found is None or found.transit_for is None else snapshot.moves.get(found.transit_for)
    return network if move is None or move.transit != network else move.source


def networks_of(home: str, snapshot: Snapshot) -> Iterator[Network]:
    """Yield the networks whose pods have the egress of a network: itself, and those by which pods leave it."""
    moves = (snapshot.moves[project] for project in snapshot.moves_of.get(home, {}))
    names = (home, *sorted(move.transit for move in moves if move.source == home))
    yield from (snapshot.networks[name] for name in names if name in snapshot.networks)


def homes_of(change: Change, snapshot: Snapshot) -> set[str]:
    """Return the networks whose egresses the change of an egress, a move or a network is about."""
    found: set[str] = set()
    for side in (change.before, change.after):
        match side:
            case Egress(network=network):
                found.add(network)
            case Move(source=source):
                found.add(source)
            case Network(name=name):
                found.add(home_of(name, snapshot))
    return found


def _labels(port: Port, snapshot: Snapshot) -> Labels:
    key = PodKey(port.project, port.pod)
    return (snapshot.pods.get(key) or Pod(key)).labels


# --- what switches remember ----------------------------------------------------------------------


class Left(NamedTuple):
    """Connections that left by an address; if `source` is given, those of the pod that has it as cluster address."""

    address: Address
    source: Address | None = None


def forgotten(changes: Collection[Change], before: Snapshot, after: Snapshot) -> Iterator[tuple[str, Left]]:
    """Yield what a node is to forget of connections that left by an address otherwise than they would now.

    They would go on by their old address as long as they last; by that, nothing of theirs is let out any more.
    """
    if not (before.egresses or after.egresses):
        return
    for change in changes:
        match change.before:
            case Held(address=address, node=node):
                yield node, Left(address)
            case Egress() as egress if _leads_elsewhere(egress, change.after):
                addresses = {*egress.addresses, *(change.after.addresses if isinstance(change.after, Egress) else ())}
                yield from ((after.held[each], Left(each)) for each in addresses if each in after.held)
            case Port() as port:
                yield from _of_port(port, before, after)
        if isinstance(change.subject, Pod):
            for key in before.port_by_pod.get(change.subject.key, {}):
                yield from _of_port(before.ports[key], before, after)


def _leads_elsewhere(egress: Egress, now: object) -> bool:
    if not isinstance(now, Egress):
        return False  # its addresses are held no more, which says the rest
    return (egress.network, egress.addresses, egress.pods) != (now.network, now.addresses, now.pods)


def _of_port(port: Port, before: Snapshot, after: Snapshot) -> Iterator[tuple[str, Left]]:
    was, there = source_of(port, before), after.ports.get(port.key)
    now = None if there is None else source_of(there, after)
    if was is None or was.holder is None or (now is not None and now.address == was.address):
        return
    for known_as in port.cluster_addresses or port.addresses:
        yield was.holder, Left(was.address, known_as)
