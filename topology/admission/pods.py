"""Requests about what tenants say of their pods. It is kept as it comes; what it gives is decided when a pod comes."""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import known_project, require
from topology.admission.selectors import checked_labels
from topology.binding import chosen
from topology.model import LEAST_BANDWIDTH, MOST_BANDWIDTH, PodKey
from topology.requests import DeletePod, Reason, Refused, SetPod
from topology.snapshot import Event, Put, Remove, Snapshot, apply

_MOST_NETWORKS = 64  # interfaces of a pod


def set_pod(snapshot: Snapshot, request: SetPod) -> tuple[Event, ...]:
    """Take over labels, limits and networks asked for. Refused when bindings contradict each other for such a pod."""
    key = request.pod.key
    require(names.subdomain_fault, "pod", key.name)
    known_project(snapshot, key.project)
    asked = tuple(dict.fromkeys(request.pod.networks))
    for name in asked:
        require(names.label_fault, "network", name)
    if len(asked) > _MOST_NETWORKS:
        cause = f"asks for {len(asked)} networks"
        raise Refused(Reason.INVALID, _named(key), cause, f"ask for at most {_MOST_NETWORKS}")
    for bandwidth in (request.pod.ingress_bandwidth, request.pod.egress_bandwidth):
        if bandwidth is not None and not LEAST_BANDWIDTH <= bandwidth <= MOST_BANDWIDTH:
            cause = f"a bandwidth of {bandwidth} bits a second"
            remedy = f"limit it to between {LEAST_BANDWIDTH} and {MOST_BANDWIDTH}"
            raise Refused(Reason.INVALID, _named(key), cause, remedy)
    pod = replace(request.pod, labels=checked_labels(_named(key), request.pod.labels), networks=asked)
    if snapshot.pods.get(key) == pod:
        return ()
    chosen(apply(snapshot, Put(pod))[0], key.project, key.name)
    return (Put(pod),)


def delete_pod(snapshot: Snapshot, request: DeletePod) -> tuple[Event, ...]:
    """Forget what was said."""
    pod = snapshot.pods.get(request.key)
    if pod is None:
        raise Refused(Reason.UNKNOWN, _named(request.key), "is not known", "correct project and name")
    return (Remove(pod),)


def _named(key: PodKey) -> str:
    return f"pod {key.project}/{key.name}"
