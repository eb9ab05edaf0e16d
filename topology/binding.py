"""Which networks a project has, and on which of them a pod is: questions to a snapshot. Nothing is decided here.

The administrator's project bindings say what a project has. Everything else chooses among that: pod bindings, whose
selectors look at labels that tenants write, and what a pod asks for. So no label gives a pod more than its project has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from topology.labels import ANYTHING, Labels, handles_of
from topology.model import Attachment, Binding, Pod, PodKey, Project
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot


class Grant(NamedTuple):
    """What a project has: its primary network, those that each of its pods gets besides, those that one may ask for."""

    primary: str
    secondary: tuple[Attachment, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def networks(self) -> frozenset[str]:
        """All of them."""
        return frozenset((self.primary, *(each.network for each in self.secondary), *self.optional))


class Choice(NamedTuple):
    """What bindings that agree with each other say; `primary` is None when none of them names one."""

    primary: Attachment | None
    secondary: tuple[Attachment, ...]
    optional: tuple[str, ...]
    names: tuple[str, ...]  # of the bindings


def grant(snapshot: Snapshot, project: str) -> Grant:
    """Return what a project has by its bindings, or else its home. Raises Refused when two of them contradict."""
    return granted_to(snapshot, snapshot.projects[project])


def granted_to(snapshot: Snapshot, project: Project) -> Grant:
    """Return what a project has, whatever primary network the snapshot says it is on. Raises Refused as `grant`."""
    bindings = (snapshot.bindings[name] for name in snapshot.project_bindings.get(project.name, {}))
    choice = _agreed(f'project "{project.name}"', bindings)
    primary = project.home if choice.primary is None else choice.primary.network
    secondary = tuple(each for each in choice.secondary if each.network != primary)
    given = {primary, *(each.network for each in secondary)}
    return Grant(primary, secondary, tuple(name for name in choice.optional if name not in given))


def chosen(snapshot: Snapshot, project: str, pod: str) -> Choice:
    """Return what the pod bindings that select a pod say. Raises Refused when two of them contradict.

    A pod that nobody has told of has no labels.
    """
    return chosen_by(snapshot, project, _known(snapshot, project, pod).labels, f"pod {project}/{pod}")


def chosen_by(snapshot: Snapshot, project: str, labels: Labels, subject: str) -> Choice:
    """Return what the pod bindings say that select pods of a project with these labels. Raises Refused as `chosen`."""
    handles = (ANYTHING, *handles_of(labels))
    names = {name for handle in handles for name in snapshot.pod_bindings.get((project, handle), {})}
    bindings = (snapshot.bindings[name] for name in names)
    return _agreed(subject, (each for each in bindings if each.pods is not None and each.pods.selects(labels)))


def attachments(snapshot: Snapshot, project: str, pod: str) -> tuple[Attachment, ...]:
    """Return a pod's interfaces: the primary one first, without a name, and the others, each with its name.

    Raises Refused when a binding or the pod itself names a network that the project does not have, and when
    bindings contradict. Raises KeyError when there is no such project.
    """
    if _is_plain(snapshot, project, pod):
        return (Attachment(snapshot.projects[project].home),)
    given, choice = grant(snapshot, project), chosen(snapshot, project, pod)
    _check_within(choice, given, f"pod {project}/{pod}", project)
    primary = choice.primary or Attachment(given.primary)
    others = {each.network: each for each in given.secondary}
    others |= {each.network: each for each in choice.secondary}
    others.pop(primary.network, None)
    for name in _known(snapshot, project, pod).networks:
        if name == primary.network or name in others:
            continue
        _check_asked(name, given, project, pod)
        others[name] = Attachment(name)
    return (primary, *_named(tuple(others.values()), f"pod {project}/{pod}"))


def _is_plain(snapshot: Snapshot, project: str, pod: str) -> bool:
    """Whether no binding and no word of its tenant concerns a pod, as with most: told in three look-ups."""
    said = PodKey(project, pod) in snapshot.pods or (project, ANYTHING) in snapshot.pod_bindings
    return not said and project not in snapshot.project_bindings


def _known(snapshot: Snapshot, project: str, pod: str) -> Pod:
    key = PodKey(project, pod)
    return snapshot.pods.get(key) or Pod(key)


def _agreed(subject: str, bindings: Iterable[Binding]) -> Choice:
    """Return what bindings say together, in the order of their names. Raises Refused when two contradict."""
    primary: tuple[Attachment, str] | None = None
    secondary: dict[str, tuple[Attachment, str]] = {}
    interfaces: dict[str, tuple[str, str]] = {}
    optional: dict[str, None] = {}
    ordered = sorted(bindings, key=lambda binding: binding.name)
    for binding in ordered:
        if binding.primary is not None:
            if primary is not None and primary[0] != binding.primary:
                raise _contradiction(subject, (primary[1], binding.name), "give it different primary networks")
            primary = (binding.primary, binding.name)
        for each in binding.secondary:
            known, by = secondary.setdefault(each.network, (each, binding.name))
            if known != each:
                cause = f'give it different interfaces on network "{each.network}"'
                raise _contradiction(subject, (by, binding.name), cause)
            network, by = interfaces.setdefault(each.interface, (each.network, binding.name))
            if each.interface and network != each.network:
                raise _contradiction(subject, (by, binding.name), f'both give it an interface "{each.interface}"')
        optional.update(dict.fromkeys(binding.optional))
    return Choice(
        None if primary is None else primary[0],
        tuple(each for each, _ in secondary.values()),
        tuple(optional),
        tuple(binding.name for binding in ordered),
    )


def _contradiction(subject: str, bindings: tuple[str, str], what: str) -> Refused:
    cause = f'bindings "{bindings[0]}" and "{bindings[1]}" {what}'
    return Refused(Reason.TAKEN, subject, cause, "change one of the two, or what it selects")


def _check_within(choice: Choice, given: Grant, subject: str, project: str) -> None:
    for each in (*(() if choice.primary is None else (choice.primary,)), *choice.secondary):
        if each.network not in given.networks:
            names = " and ".join(f'"{name}"' for name in choice.names)
            cause = f'is to be on network "{each.network}" by {names}, and its project is not bound to it'
            remedy = f'have the administrator bind project "{project}" to it, or change the pod\'s labels'
            raise Refused(Reason.INVALID, subject, cause, remedy)


def _check_asked(network: str, given: Grant, project: str, pod: str) -> None:
    offered = (*(each.network for each in given.secondary), *given.optional)
    if network not in offered:
        may = f"ask for one of {', '.join(offered)}" if offered else "ask for none"
        remedy = f'{may}, or have the administrator bind project "{project}" to it'
        cause = f'asks for network "{network}", which its project may not use'
        raise Refused(Reason.INVALID, f"pod {project}/{pod}", cause, remedy)


def _named(others: tuple[Attachment, ...], subject: str) -> Iterator[Attachment]:
    """Give names to the interfaces that have none: the first of net1, net2, … that none of the others has."""
    taken: dict[str, str] = {}
    for each in others:
        if each.interface and taken.setdefault(each.interface, each.network) != each.network:
            cause = (
                f'networks "{taken[each.interface]}" and "{each.network}" both have its interface "{each.interface}"'
            )
            raise Refused(Reason.TAKEN, subject, cause, "give one of the two another name in its binding")
    free = (name for name in map("net{}".format, count(1)) if name not in taken)
    for each in others:
        yield each if each.interface else Attachment(each.network, next(free), each.addresses, each.mac)
