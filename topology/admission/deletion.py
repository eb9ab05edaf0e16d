"""The end of networks and projects: what is in use stays, or is drained. Nothing is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from topology.admission.checks import (
    built_in,
    check_provider,
    known_network,
    known_project,
)
from topology.model import DEFAULT_NETWORK, FIRST_VNID, VNIDS, ConnectionKey, Network, Project, Watermark
from topology.requests import DeleteNetwork, DeleteProject, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all

SOON: Final = 4096  # numbers given before
_MOST_NAMED: Final = 3


def delete_network(snapshot: Snapshot, request: DeleteNetwork) -> tuple[Event, ...]:
    """Remove a network, with its connections and its projects, that nothing uses any more; or let it be drained."""
    network = known_network(snapshot, request.name)
    if network.name == DEFAULT_NETWORK:
        raise built_in(network.name, "deleted")
    check_provider(network, request.provider, "deletes")
    use = next(_uses(snapshot, network), None)
    if use is None:
        return removal(snapshot, network)
    if not request.drain:
        raise use
    for project in _moves(snapshot, network.name):
        if snapshot.moves[project].target == network.name:
            raise _moving(f'network "{network.name}"', project)
    return () if network.terminating else (Put(replace(network, terminating=True)),)


def delete_project(snapshot: Snapshot, request: DeleteProject) -> tuple[Event, ...]:
    """Forget a project that nothing uses any more."""
    project = known_project(snapshot, request.name)
    if project.name == DEFAULT_NETWORK:
        cause, remedy = "is built in and cannot be deleted", "leave it as it is"
        raise Refused(Reason.BUILT_IN, f'project "{project.name}"', cause, remedy)
    subject = f'project "{project.name}"'
    if project.name in snapshot.moves:
        raise _moving(subject, project.name)
    use = next(_uses_of(snapshot, project.name, subject), None)
    if use is not None:
        raise use
    if not project.is_placed and project.home != DEFAULT_NETWORK and _is_alone(snapshot, project):
        return removal(snapshot, snapshot.networks[project.home])
    return _project_gone(snapshot, project.name)


def drained(snapshot: Snapshot) -> tuple[Event, ...]:
    """Return the removal of the networks that are being drained and that nobody uses any more."""
    events: tuple[Event, ...] = ()
    for name in sorted(snapshot.terminating):
        if next(_uses(snapshot, snapshot.networks[name]), None) is None:
            more = removal(snapshot, snapshot.networks[name])
            snapshot, _ = apply_all(snapshot, more)
            events = (*events, *more)
    return events


def removal(snapshot: Snapshot, network: Network) -> tuple[Event, ...]:
    """Return the removal of a network with its connections, blocks and projects."""
    projects = sorted(snapshot.homes_of.get(network.name, {}))
    return (
        *disconnected(snapshot, network.name),
        *(Remove(snapshot.blocks[network.name, prefix]) for prefix in snapshot.blocks_of.get(network.name, {})),
        *(event for project in projects for event in _project_gone(snapshot, project)),
        Remove(network),
        *_passed_over(snapshot, network.vnid),
    )


def disconnected(snapshot: Snapshot, network: str) -> tuple[Event, ...]:
    """Return the end of all connections of a network; `transit` brings back those that must be."""
    peers: Iterable[str] = sorted(snapshot.peers.get(network, {}))
    return tuple(Remove(snapshot.connections[ConnectionKey.between(network, peer)]) for peer in peers)


def _project_gone(snapshot: Snapshot, project: str) -> tuple[Event, ...]:
    """Return the end of a project, and of what was said of its pods."""
    pods = sorted(snapshot.pods_of.get(project, {}))
    return (*(Remove(snapshot.pods[key]) for key in pods), Remove(snapshot.projects[project]))


def _is_alone(snapshot: Snapshot, project: Project) -> bool:
    """Whether nothing but the project itself uses its home."""
    others = {*snapshot.projects_of.get(project.home, {}), *snapshot.homes_of.get(project.home, {})} - {project.name}
    used = (snapshot.bindings_to, snapshot.hosts, snapshot.moves_of)
    return not others and all(project.home not in index for index in used)


def _uses(snapshot: Snapshot, network: Network) -> Iterator[Refused]:
    """Yield what a network is used for, each as the refusal to remove it. The cheapest to find come first."""
    subject = f'network "{network.name}"'
    for project in _moves(snapshot, network.name):
        yield _moving(subject, project)
    bindings = snapshot.bindings_to.get(network.name)
    if bindings:
        named = ", ".join(f'"{name}"' for name in sorted(bindings)[:_MOST_NAMED])
        cause = f"is named by {len(bindings)} binding{'' if len(bindings) == 1 else 's'}: {named}"
        yield Refused(Reason.IN_USE, subject, cause, "delete them, or let them name another network")
    egresses = sorted(snapshot.egresses_of.get(network.name, {}))
    if egresses:
        cause = f"is named by egress {', '.join(map(_quoted, egresses[:_MOST_NAMED]))}"
        yield Refused(Reason.IN_USE, subject, cause, "delete it, or let it name another network")
    externals = sorted(snapshot.externals_of.get(network.name, {}))
    if externals:
        cause = f"is named by external VTEP {', '.join(map(_quoted, externals[:_MOST_NAMED]))}"
        yield Refused(Reason.IN_USE, subject, cause, "delete it, or let it name another network")
    for project in sorted(snapshot.homes_of.get(network.name, {})):
        if project in snapshot.moves:  # from and to other networks, by a binding
            yield _moving(subject, project)
        yield from _uses_of(snapshot, project, subject)
    nodes = sorted(snapshot.hosts.get(network.name, {}))
    if nodes:
        cause = f"pods that were left on it are on {', '.join(nodes)}"
        yield Refused(Reason.IN_USE, subject, cause, "make these pods anew: they come up on their project's network")


def _quoted(name: str) -> str:
    return f'"{name}"'


def _uses_of(snapshot: Snapshot, project: str, subject: str) -> Iterator[Refused]:
    if project in snapshot.ports_in:
        cause = f'project "{project}" has pods (ports: {snapshot.ports_in[project]})'
        yield Refused(Reason.IN_USE, subject, cause, "remove its pods first")
    services = snapshot.services_of.get(project)
    if services:
        cause = f'project "{project}" has services: {", ".join(sorted(key.name for key in services))}'
        yield Refused(Reason.IN_USE, subject, cause, "delete them first")
    if project in snapshot.slices_in:
        cause = f'project "{project}" has endpoints of services (slices: {snapshot.slices_in[project]})'
        yield Refused(Reason.IN_USE, subject, cause, "delete them first")


def _moves(snapshot: Snapshot, network: str) -> list[str]:
    return sorted(snapshot.moves_of.get(network, {}))


def _moving(subject: str, project: str) -> Refused:
    return Refused(Reason.IN_USE, subject, f'project "{project}" is being moved', "wait until the move is done")


def _passed_over(snapshot: Snapshot, vnid: int) -> tuple[Event, ...]:
    """Count a number that was asked for, not allotted, as given, if else it would be given again soon."""
    last = snapshot.watermarks.get(VNIDS, FIRST_VNID - 1)
    return (Put(Watermark(VNIDS, vnid)),) if 0 < vnid - last <= SOON else ()
