"""Pods: what tenants say of them, labels, networks asked for, limits. On which networks they are, bindings say."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rest.asked import Timeout
from rest.binding_shapes import PodDetail, PodMade, Pods
from rest.binding_views import pod_detail
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from store.bindings import Pod
from topology.model import PodKey
from topology.requests import DeletePod, SetPod


def index(call: Call[Empty, Empty]) -> Answer:
    """All pods of which something was said, by project and name."""
    pods = sorted(call.control.published.snapshot.pods.items())
    return Answer(200, Pods(pods=tuple(Pod.of(pod) for _, pod in pods)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One pod."""
    published = call.control.published
    return Answer(200, pod_detail(published, known(published.snapshot.pods, "pod", _key(call))))


def create(call: Call[Timeout, Pod]) -> Answer:
    """Say what labels a pod has, which networks it asks for, and to what it is limited."""
    pod = call.body.value()
    changed = ask(call, SetPod(pod))
    made = pod.key not in changed.before.snapshot.pods
    left = late(call, changed.submitted)
    detail = pod_detail(changed.after, changed.after.snapshot.pods[pod.key])
    view = PodMade(**msgspec.structs.asdict(detail), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/pods/{'/'.join(pod.key)}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Forget what was said of a pod."""
    return done(call, ask(call, DeletePod(_key(call))))


def _key(call: Call[Any, Any]) -> PodKey:
    return PodKey(call.where["project"], call.where["pod"])


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/pods", "List what was said of pods", index, Access.ADMINISTRATION, answers={200: Pods}),
    Route(
        "POST",
        "/v1/pods",
        "Say what labels a pod has and which networks it asks for, which counts when it is attached; and its limits",
        create,
        Access.ADMINISTRATION,
        answers={200: PodMade, 201: PodMade, 202: PodMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "GET",
        "/v1/pods/{project}/{pod}",
        "Show what was said of a pod, and which interfaces it would get",
        show,
        Access.ADMINISTRATION,
        answers={200: PodDetail},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/pods/{project}/{pod}",
        "Forget what was said of a pod; its ports stay",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
