"""From what is published to the shapes of answers about projects, bindings and pods. Pure functions."""

from __future__ import annotations

import msgspec

from rest.binding_shapes import BindingDetail, MoveView, PodDetail, ProjectView
from rest.control import Published
from rest.phases import outdated_in
from store.bindings import Attachment, Binding, Pod, label_map
from topology import model
from topology.binding import attachments, grant
from topology.requests import Refused
from topology.snapshot import Snapshot, projects_selected


def project_view(published: Published, project: model.Project) -> ProjectView:
    """Return a project as it is shown."""
    snapshot = published.snapshot
    given = grant(snapshot, project.name)
    move = snapshot.moves.get(project.name)
    return ProjectView(
        name=project.name,
        network=project.network,
        home=project.home,
        is_placed=project.is_placed,
        labels=label_map(project.labels),
        secondary=tuple(each.network for each in given.secondary),
        optional=given.optional,
        ports=snapshot.ports_in.get(project.name, 0),
        outdated=outdated_in(snapshot, project.name),
        moving=None
        if move is None
        else MoveView(source=move.source, target=move.target, transit=move.transit, stage=move.stage.value),
    )


def binding_detail(published: Published, binding: model.Binding) -> BindingDetail:
    """Return a binding as it is shown alone."""
    selected = tuple(sorted(projects_selected(published.snapshot, binding)))
    return BindingDetail(**msgspec.structs.asdict(Binding.of(binding)), selected=selected)


def pod_detail(published: Published, pod: model.Pod) -> PodDetail:
    """Return a pod as it is shown alone."""
    found: tuple[model.Attachment, ...] = ()
    refusal = None
    try:
        found = attachments(published.snapshot, *pod.key)
    except Refused as refused:
        refusal = str(refused)
    shown = tuple(map(Attachment.of, found))
    return PodDetail(**msgspec.structs.asdict(Pod.of(pod)), attachments=shown, refusal=refusal)


def other_interfaces(snapshot: Snapshot, port: model.Port) -> tuple[str, ...]:
    """Return the interfaces that a pod has to get besides this one: none, if it is a secondary one itself.

    Raises Refused when the pod could not come now.
    """
    if port.is_secondary:
        return ()
    return tuple(each.interface for each in attachments(snapshot, port.project, port.pod)[1:])
