"""Requests about projects: where they are at home, and on which network their bindings put them.

`settled` is the one way by which a project's primary network comes about: from its bindings, or else its home. It is
asked for every project that a request concerns, and refuses what would take a network from pods that are on it.
"""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import known_network, known_project, require
from topology.admission.ending import network_gone, project_gone
from topology.admission.moves import move_project
from topology.admission.selectors import checked_project_labels
from topology.allocation import free_vnid
from topology.binding import chosen, chosen_by, grant
from topology.labels import Labels
from topology.model import DEFAULT_NETWORK, VNIDS, Network, Project, Watermark
from topology.requests import CreateProject, DeleteProject, Reason, Refused, SetProjectLabels
from topology.snapshot import Event, Put, Snapshot, apply, apply_all


def create_project(snapshot: Snapshot, request: CreateProject) -> tuple[Event, ...]:
    """Make a project, or give the one that exists other labels."""
    require(names.label_fault, "project", request.name)
    home = None if request.network is None else known_network(snapshot, request.network).name
    old = snapshot.projects.get(request.name)
    if home is not None:
        check_at_home(snapshot, request.name, home)
    if old is None:
        return _new_project(snapshot, request.name, home, checked_project_labels(request.name, request.labels or ()))
    labels = old.labels if request.labels is None else checked_project_labels(request.name, request.labels)
    return put_project(snapshot, replace(old, labels=labels, is_placed=old.is_placed or home is not None))


def set_project_labels(snapshot: Snapshot, request: SetProjectLabels) -> tuple[Event, ...]:
    """Replace a project's labels."""
    project = known_project(snapshot, request.name)
    return put_project(snapshot, replace(project, labels=checked_project_labels(project.name, request.labels)))


def delete_project(snapshot: Snapshot, request: DeleteProject) -> tuple[Event, ...]:
    """Forget a project that nothing uses any more."""
    project = known_project(snapshot, request.name)
    if project.name == DEFAULT_NETWORK:
        cause, remedy = "is built in and cannot be deleted", "leave it as it is"
        raise Refused(Reason.BUILT_IN, f'project "{project.name}"', cause, remedy)
    check_unused(snapshot, project.name, f'project "{project.name}"')
    if not project.is_placed and project.home != DEFAULT_NETWORK and _is_alone(snapshot, project):
        return network_gone(snapshot, snapshot.networks[project.home], (project.name,))
    return project_gone(snapshot, project.name)


def own_networks(snapshot: Snapshot) -> tuple[Event, ...]:
    """Return the events that give each project which is on the flat default network by itself one of its own."""
    events: tuple[Event, ...] = ()
    state = snapshot
    for name in sorted(snapshot.homes_of.get(DEFAULT_NETWORK, {})):
        if not snapshot.projects[name].is_placed:
            made = _own_network(state, name)
            state, _ = apply_all(state, made)
            more = put_project(state, replace(state.projects[name], home=name))
            state, _ = apply_all(state, more)
            events = (*events, *made, *more)
    return events


def put_project(snapshot: Snapshot, project: Project) -> tuple[Event, ...]:
    """Return the events by which a project is as given, on the network that its bindings, or else its home, say."""
    state, _ = apply(snapshot, Put(project))
    return settled(snapshot, state, project.name)


def settled(before: Snapshot, state: Snapshot, name: str) -> tuple[Event, ...]:
    """Return the events that bring a project of `state` to the network where it belongs, `before` being what is so.

    Raises Refused when bindings contradict, and when pods of the project would lose a network that they are on.
    """
    project, old = state.projects[name], before.projects.get(name)
    given = grant(state, name)
    _check_pods(before, state, name)
    if old is not None:
        _check_kept(before, old, given.networks)
    if old is None or old.network == given.primary or name not in before.ports_in:
        wanted = replace(project, network=given.primary)
        moved: tuple[Event, ...] = ()
    else:
        wanted = replace(project, network=old.network)
        moved = move_project(apply(state, Put(wanted))[0], name, given.primary)
    return (*(() if wanted == old else (Put(wanted),)), *moved)


def check_at_home(snapshot: Snapshot, project: str, network: str) -> None:
    """Raise Refused when a project exists and is at home on another network."""
    old = snapshot.projects.get(project)
    if old is not None and old.home != network:
        cause = f'is on network "{old.home}" already'
        raise Refused(Reason.TAKEN, f'project "{project}"', cause, "delete the project there first")


def check_unused(snapshot: Snapshot, project: str, subject: str) -> None:
    """Raise Refused when a project has pods or services."""
    if project in snapshot.ports_in:
        cause = f'project "{project}" has pods (ports: {snapshot.ports_in[project]})'
        raise Refused(Reason.IN_USE, subject, cause, "remove its pods first")
    services = snapshot.services_of.get(project)
    if services:
        cause = f'project "{project}" has services: {", ".join(sorted(key.name for key in services))}'
        raise Refused(Reason.IN_USE, subject, cause, "delete them first")


def _new_project(snapshot: Snapshot, name: str, home: str | None, labels: Labels) -> tuple[Event, ...]:
    if home is not None:
        return put_project(snapshot, Project(name, home, home, labels))
    made = _own_network(snapshot, name) if snapshot.cluster.own_networks else ()
    home = name if made else DEFAULT_NETWORK
    state, _ = apply_all(snapshot, made)
    return (*made, *put_project(state, Project(name, home, home, labels, is_placed=False)))


def _check_pods(before: Snapshot, state: Snapshot, project: str) -> None:
    """Raise Refused when pod bindings contradict for a pod that is known, or for one without labels."""
    if state.pod_bindings is before.pod_bindings:
        return
    for key in sorted(state.pods_of.get(project, {})):
        chosen(state, project, key.name)
    chosen_by(state, project, (), f'pods without labels of project "{project}"')


def _check_kept(before: Snapshot, project: Project, networks: frozenset[str]) -> None:
    """Raise Refused when pods of a project are on a network that it no longer has; those on its primary one move."""
    for network in sorted(grant(before, project.name).networks - networks):
        primary = 0 if network == project.network else before.ports_at.get((project.name, network, False), 0)
        ports = primary + before.ports_at.get((project.name, network, True), 0)
        if ports:
            cause = f'has pods on network "{network}" (ports: {ports}), which it would no longer be bound to'
            raise Refused(Reason.IN_USE, f'project "{project.name}"', cause, "delete those pods first")


def _own_network(snapshot: Snapshot, project: str) -> tuple[Event, ...]:
    if project in snapshot.networks:
        cause = f'is to get a network of its own, and there is a network "{project}" already'
        remedy = "say on which network it is to be, or delete that network"
        raise Refused(Reason.TAKEN, f'project "{project}"', cause, remedy)
    vnid = free_vnid(snapshot)
    return (Put(Watermark(VNIDS, vnid)), Put(Network(project, vnid)))


def _is_alone(snapshot: Snapshot, project: Project) -> bool:
    """Whether nothing but the project itself uses its home."""
    others = {*snapshot.projects_of.get(project.home, {}), *snapshot.homes_of.get(project.home, {})} - {project.name}
    return not others and project.home not in snapshot.bindings_to and project.home not in snapshot.hosts
