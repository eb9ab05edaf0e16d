"""How events become objects of the API: what has to be written, in which order, and with what body. Pure.

An event is about one object of the network; ports and quarantined addresses of a node share an object of the API. What
is made comes in the order of `CUSTOM_RESOURCES`, so that nothing names what is not there, and what goes, in the reverse
order: when a replica ends in between, what is there is sound, and whoever comes next finishes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from kube.mirror import Name
from kube.references import reference
from kube.resources import (
    ADDRESS_SLICES,
    API_VERSION,
    BINDINGS,
    CONNECTIONS,
    CUSTOM_RESOURCES,
    EGRESSES,
    MIRRORS,
    MOVES,
    NETWORKS,
    PROJECT_NETWORKS,
    TRANSIT_LABEL,
    VNID_CLAIMS,
    VTEPS,
    AddressSlice,
    CustomResource,
    VnidClaim,
)
from store import objects
from topology.model import FIRST_VNID, Binding, Connection, Egress, Mirror, Network, Port, Project, Quarantine, Subject
from topology.snapshot import Event, Put

_OF_VALUE: Final[Mapping[type[Any], CustomResource]] = {resource.value: resource for resource in CUSTOM_RESOURCES}

# What refers to others goes before them; a move stays until all is done that it leads.
_LEAVING: Final = (*(each for each in reversed(CUSTOM_RESOURCES) if each is not MOVES), MOVES)

Values = tuple[Subject, ...]


class Write(NamedTuple):
    """One object to be written: what it is to stand for, None to remove it."""

    resource: CustomResource
    name: str
    values: Values | None

    @property
    def id(self) -> Name:
        """What identifies the object."""
        return Name(self.resource.plural, self.name)


class Present(Protocol):
    """What the API has, as far as it is known."""

    def values(self, name: Name) -> Values | None:
        """Return what an object stands for, None when there is no such object."""
        ...

    def claimant(self, vnid: int) -> str | None:
        """Return the network that has claimed a VNID."""
        ...


def writes(events: Iterable[Event], present: Present) -> list[list[Write]]:
    """Return what has to be written: groups, one after the other; the writes of one do not wait for each other."""
    wanted: dict[Name, Write] = {}
    for event in events:
        for write in _of_event(event, present, wanted):
            wanted[write.id] = write
    found = [_without_node(write, present, wanted) for write in wanted.values()]
    made = [write for write in found if write.values is not None]
    gone = [write for write in found if write.values is None and present.values(write.id) is not None]
    groups = [[write for write in made if write.resource is resource] for resource in CUSTOM_RESOURCES]
    groups += [[write for write in gone if write.resource is resource] for resource in _LEAVING]
    return [group for group in groups if group]


def _of_event(event: Event, present: Present, wanted: Mapping[Name, Write]) -> Iterator[Write]:
    value, is_put = event.value, isinstance(event, Put)
    match value:
        case Port() | Quarantine():
            yield _of_slice(value, is_put=is_put, present=present, wanted=wanted)
            return
        case Network(name=name, vnid=vnid) if vnid >= FIRST_VNID:
            if not is_put or present.claimant(vnid) != name:
                yield Write(VNID_CLAIMS, str(vnid), (value,) if is_put else None)
    resource = _OF_VALUE.get(type(value))
    if resource is not None:
        yield Write(resource, resource.name(value), (value,) if is_put else None)


def _of_slice(value: Port | Quarantine, *, is_put: bool, present: Present, wanted: Mapping[Name, Write]) -> Write:
    name = Name(ADDRESS_SLICES.plural, value.node)
    before = wanted[name].values if name in wanted else present.values(name)
    kept = {reference(each): each for each in before or ()}
    if is_put:
        kept[reference(value)] = value
    else:
        kept.pop(reference(value), None)
    return Write(ADDRESS_SLICES, value.node, tuple(kept.values()))


def _without_node(write: Write, present: Present, wanted: Mapping[Name, Write]) -> Write:
    """Return the removal of a slice that says nothing any more, of a node that is gone."""
    if write.resource is not ADDRESS_SLICES or write.values:
        return write
    node = Name(VTEPS.plural, write.name)
    there = wanted[node].values if node in wanted else present.values(node)
    return write if there is not None else write._replace(values=None)


def spec_of(write: Write) -> Any:
    """Return the spec of an object that only the controller writes."""
    values = write.values or ()
    if write.resource is ADDRESS_SLICES:
        ports = tuple(objects.Port.of(each) for each in values if isinstance(each, Port))
        quarantined = tuple(objects.Quarantine.of(each) for each in values if isinstance(each, Quarantine))
        return AddressSlice(node=write.name, ports=ports, quarantined=quarantined)
    if write.resource is VNID_CLAIMS:
        (network,) = values
        assert isinstance(network, Network)
        return VnidClaim(vnid=network.vnid, network=network.name)
    (value,) = values
    return write.resource.spec.of(value)  # type: ignore[attr-defined]


def decided_of(write: Write) -> Any:
    """Return status.decided of an object that is asked for."""
    (value,) = write.values or ()
    assert write.resource.decided is not None
    return write.resource.decided.of(value)


def ask_of(value: Subject) -> dict[str, Any]:
    """Return what a spec says that asks for just this: fields that the controller allots are left out."""
    match value:
        case Network():
            shape: Any = objects.Network.of(value)
            kept: tuple[str, ...] = ("global", "subnets", "flat", "mtu", "provider", "dscp", "multicast")
        case Connection():
            shape = CONNECTIONS.decided.of(value)  # type: ignore[union-attr]
            kept = ("networks", "forward", "backward", "translated")
        case Binding():
            shape = BINDINGS.spec.of(value)  # type: ignore[attr-defined]
            kept = ("projects", "pods", "primary", "secondary", "optional")
        case Egress():
            shape = EGRESSES.spec.of(value)  # type: ignore[attr-defined]
            kept = ("network", "addresses", "pods", "nodes", "fail")
        case Mirror():
            shape = MIRRORS.decided.of(value)  # type: ignore[union-attr]
            kept = ("target", "network", "pod", "direction")
        case Project():
            return {"network": value.home} if value.is_placed else {}
        case _:
            return {}
    told: dict[str, Any] = msgspec.to_builtins(shape)
    if isinstance(value, Connection):
        told["translated"] = bool(value.translations)
    return {name: told[name] for name in kept if told.get(name) is not None or name in ("forward", "backward")}


def labels_of(value: Subject) -> dict[str, str]:
    """Return the labels of an object that stands for a value."""
    if isinstance(value, Network) and value.transit_for is not None:
        return {TRANSIT_LABEL: value.transit_for}
    return {}


def document(resource: CustomResource, name: str, metadata: Mapping[str, Any], spec: Any) -> dict[str, Any]:
    """Return an object as it is sent."""
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


ASKED: Final = (NETWORKS, PROJECT_NETWORKS, BINDINGS, CONNECTIONS, EGRESSES, MIRRORS)
