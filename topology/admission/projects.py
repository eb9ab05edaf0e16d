"""Requests about projects: where they are at home, and on which network their bindings put them.

`settled` is the one way by which a project's primary network comes about: from its bindings, or else its home. It is
asked for every project that a request concerns, and refuses what would take a network from pods that are on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from topology import names
from topology.admission.checks import check_takes_in, known_network, known_project, require
from topology.admission.moves import move_project
from topology.admission.selectors import checked_project_labels
from topology.allocation import free_vnid
from topology.binding import chosen, chosen_by, grant
from topology.labels import Labels
from topology.model import DEFAULT_NETWORK, VNIDS, Network, PortKey, Project, Watermark
from topology.requests import CreateProject, MoveProject, Reason, Refused, SetProjectLabels
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


def relocate(snapshot: Snapshot, request: MoveProject) -> tuple[Event, ...]:
    """Give a project another home, and take its pods there while they talk."""
    project, target = known_project(snapshot, request.name), known_network(snapshot, request.network)
    wanted = replace(project, home=target.name, is_placed=True)
    state, _ = apply(snapshot, Put(wanted))
    given = grant(state, project.name).primary
    if given != target.name:
        cause = f'is on network "{given}" by a binding'
        raise Refused(Reason.IN_USE, f'project "{project.name}"', cause, "change the binding, or what it selects")
    return settled(snapshot, state, project.name, recreate=request.recreate)


def own_networks(snapshot: Snapshot) -> tuple[Event, ...]:
    """Return the events that give each project which is on the flat default network by itself one of its own."""
    events: tuple[Event, ...] = ()
    state = snapshot
    for name in sorted(snapshot.homes_of.get(DEFAULT_NETWORK, {})):
        if not snapshot.projects[name].is_placed and name not in snapshot.moves:
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


def settled(before: Snapshot, state: Snapshot, name: str, *, recreate: bool = False) -> tuple[Event, ...]:
    """Return the events that bring a project of `state` to the network where it belongs, `before` being what is so.

    Raises Refused when bindings contradict, when pods of the project would lose a secondary network that they are on,
    and when pods cannot go along to another primary one (see `move_project`).
    """
    project, old = state.projects[name], before.projects.get(name)
    given = grant(state, name)
    _check_pods(before, state, name)
    if old is None or (old.network == given.primary and name not in before.moves):
        if old is None:
            check_takes_in(state.networks[given.primary])
        wanted = replace(project, network=given.primary)
        moved: tuple[Event, ...] = ()
    else:
        wanted = replace(project, network=old.network)
        moved = move_project(apply(state, Put(wanted))[0], name, given.primary, recreate=recreate)
    if old is not None:
        _check_kept(before, old, given.networks)
    says_all = wanted == old or any(isinstance(event.value, Project) for event in moved)
    return (*(() if says_all else (Put(wanted),)), *moved)


def check_at_home(snapshot: Snapshot, project: str, network: str) -> None:
    """Raise Refused when a project exists and is at home on another network."""
    old = snapshot.projects.get(project)
    if old is not None and old.home != network:
        cause = f'is on network "{old.home}" already'
        raise Refused(Reason.TAKEN, f'project "{project}"', cause, "move it: heddle move-project")


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
        keys: Iterable[PortKey] = before.ports_of.get((project.name, network), {})
        moves = network == project.network
        ports = sum(1 for key in keys if not moves or before.ports[key].is_secondary)
        if ports:
            cause = f'has pods on network "{network}" (ports: {ports}), which it would no longer be bound to'
            raise Refused(Reason.IN_USE, f'project "{project.name}"', cause, "delete those pods first")


def _own_network(snapshot: Snapshot, project: str) -> tuple[Event, ...]:
    if project in snapshot.networks:
        cause = f'is to get a network of its own, and there is a network "{project}" already'
        remedy = "say on which network it is to be, or delete that network; until then do without networks of their own"
        raise Refused(Reason.TAKEN, f'project "{project}"', cause, remedy)
    vnid = free_vnid(snapshot)
    return (Put(Watermark(VNIDS, vnid)), Put(Network(project, vnid)))
