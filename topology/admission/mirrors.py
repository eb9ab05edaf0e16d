"""Requests about mirrors: what one may say, and its number."""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import known_network, known_project, require
from topology.allocation import free_mirror
from topology.model import MIRRORS, MOST_MIRRORS, Mirror, PodKey, Watermark
from topology.requests import CreateMirror, DeleteMirror, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot


def create_mirror(snapshot: Snapshot, request: CreateMirror) -> tuple[Event, ...]:
    """Make or replace a mirror. What it copies may go later, and come again; now it must be known."""
    asked = request.mirror
    require(names.label_fault, "mirror", asked.name)
    _check_pod(snapshot, asked.target)
    _check_source(snapshot, asked)
    if not (asked.sent or asked.received):
        raise _refused(asked.name, "copies neither what is sent nor what is received", "let it copy one of the two")
    old = snapshot.mirrors.get(asked.name)
    if old is not None:
        mirror = replace(asked, number=old.number)
        return () if mirror == old else (Put(mirror),)
    if len(snapshot.mirrors) >= MOST_MIRRORS:
        subject, cause = f'mirror "{asked.name}"', f"there are {MOST_MIRRORS} others"
        raise Refused(Reason.EXHAUSTED, subject, cause, "delete those that are not used")
    number = free_mirror(snapshot)
    return (Put(Watermark(MIRRORS, number)), Put(replace(asked, number=number)))


def delete_mirror(snapshot: Snapshot, request: DeleteMirror) -> tuple[Event, ...]:
    """Remove a mirror."""
    mirror = snapshot.mirrors.get(request.name)
    if mirror is None:
        raise Refused(Reason.UNKNOWN, f'mirror "{request.name}"', "does not exist", "correct the name")
    return (Remove(mirror),)


def _check_source(snapshot: Snapshot, asked: Mirror) -> None:
    if (asked.network is None) == (asked.pod is None):
        raise _refused(asked.name, "copies what is not a network's or a pod's alone", "name a network, or a pod")
    if asked.network is not None:
        known_network(snapshot, asked.network)
    if asked.pod is not None:
        _check_pod(snapshot, asked.pod)
        if asked.pod == asked.target:
            raise _refused(asked.name, "copies the packets of its own target", "name another pod as the target")


def _check_pod(snapshot: Snapshot, pod: PodKey) -> None:
    known_project(snapshot, pod.project)
    require(names.subdomain_fault, "pod", pod.name)


def _refused(name: str, cause: str, remedy: str) -> Refused:
    return Refused(Reason.INVALID, f'mirror "{name}"', cause, remedy)
