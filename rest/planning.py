"""What if: a changing call with `plan=true` ends before anything is asked of the controller; its answer is the plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from rest.control import Published
from rest.findings import finding_views
from rest.verification_shapes import (
    CutView,
    FlowChangeView,
    ObjectChangeView,
    PlanView,
    PodChangeView,
    ReachChangeView,
    RefusalView,
)
from store.connections import Scope
from topology import model
from topology.model import (
    AddressBlock,
    Binding,
    Cluster,
    Connection,
    Egress,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    Network,
    Node,
    Pod,
    Project,
    Service,
    Subject,
)
from topology.plan import Plan, ReachChange, plan_request
from topology.requests import Refused, Request
from topology.snapshot import Change

_KINDS: Final[dict[type, str]] = {
    Cluster: "cluster",
    Node: "node",
    Network: "network",
    Project: "project",
    Binding: "binding",
    Pod: "pod",
    Connection: "connection",
    AddressBlock: "address block",
    Service: "service",
    EndpointSlice: "endpoints",
    Egress: "egress",
    Mirror: "mirror",
    ExternalVtep: "external VTEP",
}


class Planned(Exception):
    """Ends a changing call that was only to be planned."""

    def __init__(self, view: PlanView) -> None:
        super().__init__("planned")
        self.view = view


def planned(published: Published, request: Request) -> Planned:
    """Return what ends the call: the plan of a request, worked out on what is published."""
    return Planned(_view(plan_request(published.snapshot, published.tables, request), published))


def _view(plan: Plan, published: Published) -> PlanView:
    return PlanView(
        revision=published.revision,
        refused=None if plan.refused is None else _refusal(plan.refused),
        objects=tuple(_objects(plan.objects)),
        reach=tuple(map(_reach, plan.reach)),
        pods=tuple(
            PodChangeView(source=each.before, destination=each.after, pods=each.pods, readdressed=each.readdressed)
            for each in plan.pods
        ),
        flows=tuple(FlowChangeView(node=each.node, added=each.added, removed=each.removed) for each in plan.flows),
        cut=tuple(
            CutView(
                source=each.source,
                destination=each.destination,
                why=each.why,
                source_pods=each.source_pods,
                destination_pods=each.destination_pods,
            )
            for each in plan.cut
        ),
        tracking=plan.tracking,
        findings=finding_views(plan.findings, published.snapshot),
    )


def _refusal(refused: Refused) -> RefusalView:
    return RefusalView(reason=refused.reason.value, subject=refused.subject, cause=refused.cause, remedy=refused.remedy)


def _reach(each: ReachChange) -> ReachChangeView:
    return ReachChangeView(
        source=each.source,
        destination=each.destination,
        before=_scope(each.before),
        after=_scope(each.after),
        source_pods=each.source_pods,
        destination_pods=each.destination_pods,
        besides=each.besides,
    )


def _scope(scope: model.Scope | None) -> Scope | None:
    return None if scope is None else Scope.of(scope)


def _objects(changes: tuple[Change, ...]) -> Iterator[ObjectChangeView]:
    """Yield the objects that people know of; what is derived and what is kept for bookkeeping is left out."""
    for change in changes:
        kind = _KINDS.get(type(change.subject))
        if kind is not None:
            yield ObjectChangeView(kind=kind, name=_name(change.subject), what=_what(change))


def _what(change: Change) -> Literal["made", "changed", "removed"]:
    if change.before is None:
        return "made"
    return "removed" if change.after is None else "changed"


def _name(subject: Subject) -> str:
    match subject:
        case Connection(key=key) | Service(key=key) | EndpointSlice(key=key) | Pod(key=key):
            return "/".join(key)
        case AddressBlock(network=network, prefix=prefix, node=node):
            return f"{prefix} of {network} on {node}"
        case (
            Node(name=name)
            | Network(name=name)
            | Project(name=name)
            | Binding(name=name)
            | Egress(name=name)
            | Mirror(name=name)
            | ExternalVtep(name=name)
        ):
            return name
        case _:
            return "settings"
