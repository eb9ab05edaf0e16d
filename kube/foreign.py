"""What the API server alone says: services, endpoints and pods are Kubernetes' own objects, and only read here. Pure.

Nothing of ours would keep such an object, so one that was made here would be known to one replica, until that ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from kube.objects import ZONE, Node, zone_of
from topology.requests import (
    CreateService,
    DeleteEndpoints,
    DeletePod,
    DeleteService,
    PutEndpoints,
    Reason,
    Refused,
    Request,
    SetPod,
    SetZone,
)


def of_kubernetes(request: Request) -> Refused | None:
    """Return why a request that would change such an object is not taken; None for any other request."""
    match request:
        case CreateService(service=service):
            return _theirs("service", "service", "apply", *service.key)
        case DeleteService(key=key):
            return _theirs("service", "service", "delete", *key)
        case PutEndpoints(slice=found):
            return _theirs("endpoints", "endpointslice", "apply", *found.key)
        case DeleteEndpoints(key=key):
            return _theirs("endpoints", "endpointslice", "delete", *key)
        case SetPod(pod=pod):
            return _theirs("pod", "pod", "apply", *pod.key)
        case DeletePod(key=key):
            return _theirs("pod", "pod", "delete", *key)
    return None


def of_node(request: Request, nodes: Mapping[str, Node]) -> Refused | None:
    """Return why a request for another zone than a Node object has is not taken; None for any other request."""
    found = nodes.get(request.name) if isinstance(request, SetZone) else None
    if found is None or not isinstance(request, SetZone) or request.zone == zone_of(found):
        return None
    cause = f"its zone is what its Node object's label {ZONE} says, and only read here"
    label = f"{ZONE}={request.zone} --overwrite" if request.zone else f"{ZONE}-"
    told = f"change it there: kubectl label node {request.name} {label}"
    return Refused(Reason.TAKEN, f'node "{request.name}"', cause, told)


def _theirs(what: str, kind: str, verb: str, project: str, name: str) -> Refused:
    told = f"kubectl delete {kind} {name} -n {project}" if verb == "delete" else f"kubectl apply -f FILE -n {project}"
    subject, cause = f'{what} "{project}/{name}"', f"is Kubernetes' own ({kind}), and only read here"
    return Refused(Reason.TAKEN, subject, cause, f"change it there: {told}")
