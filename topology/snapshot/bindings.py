"""What projects, their bindings and their pods change in a snapshot: which binding concerns which project.

A project is found by its labels when a binding changes, and a binding by its selector when a project does; neither is
a walk over all. Pod bindings stand under their project and a handle of their pods' selector, so that a pod finds its.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from topology.labels import ANYTHING, handles_of
from topology.model import Binding, Pod, Project
from topology.snapshot.events import Change, Event
from topology.snapshot.index import before_after, exclude, include, table
from topology.snapshot.value import Snapshot


def keep_project(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Project)
    name = event.value.name
    before, after = before_after(snapshot.projects, name, event)
    if before == after:
        return snapshot, ()
    state = replace(snapshot, projects=table(snapshot.projects, name, after))
    if before is not None:
        state = _place(state, before, is_there=False)
    if after is not None:
        state = _place(state, after, is_there=True)
    return state, (Change(before, after),)


def keep_binding(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Binding)
    name = event.value.name
    before, after = before_after(snapshot.bindings, name, event)
    if before == after:
        return snapshot, ()
    state = replace(snapshot, bindings=table(snapshot.bindings, name, after))
    if before is not None:
        state = _file(state, before, is_there=False)
    if after is not None:
        state = _file(state, after, is_there=True)
    return state, (Change(before, after),)


def keep_pod(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Pod)
    key = event.value.key
    before, after = before_after(snapshot.pods, key, event)
    if before == after:
        return snapshot, ()
    keep = include if after is not None else exclude
    pods_of = keep(snapshot.pods_of, key.project, key)
    return replace(snapshot, pods=table(snapshot.pods, key, after), pods_of=pods_of), (Change(before, after),)


def projects_selected(snapshot: Snapshot, binding: Binding) -> tuple[str, ...]:
    """Return the projects that a binding selects, whether or not it is in the snapshot."""
    handles = binding.projects.handles()
    found: Iterable[str] = snapshot.projects
    if ANYTHING not in handles:
        found = (name for handle in handles for name in snapshot.projects_labelled.get(handle, {}))
    return tuple(name for name in found if binding.projects.selects(snapshot.projects[name].selectable))


def _bindings_selecting(snapshot: Snapshot, project: Project) -> tuple[Binding, ...]:
    labels = project.selectable
    handles = (ANYTHING, *handles_of(labels))
    found = (snapshot.bindings[name] for handle in handles for name in snapshot.bindings_wanting.get(handle, {}))
    return tuple(binding for binding in found if binding.projects.selects(labels))


def _place(snapshot: Snapshot, project: Project, *, is_there: bool) -> Snapshot:
    """Put a project into all indexes, or take it out of them."""
    keep = include if is_there else exclude
    labelled = snapshot.projects_labelled
    for handle in handles_of(project.selectable):
        labelled = keep(labelled, handle, project.name)
    state = replace(
        snapshot,
        projects_labelled=labelled,
        projects_of=keep(snapshot.projects_of, project.network, project.name),
        homes_of=keep(snapshot.homes_of, project.home, project.name),
    )
    for binding in _bindings_selecting(snapshot, project):
        state = _bind(state, project.name, binding, is_bound=is_there)
    return state


def _file(snapshot: Snapshot, binding: Binding, *, is_there: bool) -> Snapshot:
    """Put a binding into all indexes, or take it out of them."""
    keep = include if is_there else exclude
    wanting, to, promised = snapshot.bindings_wanting, snapshot.bindings_to, snapshot.promised
    for handle in binding.projects.handles():
        wanting = keep(wanting, handle, binding.name)
    for network in binding.networks:
        to = keep(to, network, binding.name)
    for each in binding.attachments:
        for address in each.addresses:
            promised = keep(promised, address, (binding.name, each.network))
    state = replace(snapshot, bindings_wanting=wanting, bindings_to=to, promised=promised)
    for project in projects_selected(snapshot, binding):
        state = _bind(state, project, binding, is_bound=is_there)
    return state


def _bind(snapshot: Snapshot, project: str, binding: Binding, *, is_bound: bool) -> Snapshot:
    keep = include if is_bound else exclude
    if binding.pods is None:
        return replace(snapshot, project_bindings=keep(snapshot.project_bindings, project, binding.name))
    bound = snapshot.pod_bindings
    for handle in binding.pods.handles():
        bound = keep(bound, (project, handle), binding.name)
    return replace(snapshot, pod_bindings=bound)
