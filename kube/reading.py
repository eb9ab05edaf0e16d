"""What objects of the API say about the network: from their shapes to `mirror.Version`s. Pure.

Of what is asked, only what was decided (status.decided) is so; the rest of it is for `asks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kube.mirror import Name, Version
from kube.objects import EGRESS_BANDWIDTH, INGRESS_BANDWIDTH, NETWORKS_ASKED, Custom, Pod
from kube.resources import ADDRESS_SLICES, CUSTOM_RESOURCES, GROUP, VNID_CLAIMS, AddressSlice, CustomResource
from store.fields import Malformed
from store.quantities import bandwidth
from topology import model
from topology.labels import labels_of
from topology.model import Subject

OWN_NETWORKS_ASKED: Final = f"{GROUP}/networks"  # annotation of a pod: names, with commas between
BY_PLURAL: Final[Mapping[str, CustomResource]] = {resource.plural: resource for resource in CUSTOM_RESOURCES}


_NULL: Final = msgspec.Raw(b"null")


class _Decided(msgspec.Struct, frozen=True):
    decided: msgspec.Raw = _NULL


def custom_version(plural: str, found: Custom) -> Version:
    """Return what an object of ours says. Raises Malformed, or msgspec.DecodeError, for one that is wrong."""
    return Version(
        Name(plural, found.metadata.name), version_number(found.metadata.resource_version), _values(plural, found)
    )


def gone_version(name: Name, resource_version: str) -> Version:
    """Return that an object is gone."""
    return Version(name, version_number(resource_version), (), deleted=True)


def pod_version(found: Pod) -> Version:
    """Return what a tenant says of a pod: labels, networks asked for, limits. One that is over is as if gone."""
    meta = found.metadata
    name = Name("pods", f"{meta.namespace}/{meta.name}")
    number = version_number(meta.resource_version)
    if found.is_over or found.spec.host_network:
        return Version(name, number, ())
    key = model.PodKey(meta.namespace, meta.name)
    limits = (_limit(meta.annotations, each) for each in (INGRESS_BANDWIDTH, EGRESS_BANDWIDTH))
    pod = model.Pod(key, labels_of(meta.labels), networks_asked(meta.annotations), *limits)
    return Version(name, number, (pod,))


def limit_faults(found: Pod) -> tuple[str, ...]:
    """Return what is wrong with the limits that a pod's annotations ask for; one that is wrong is none."""
    faults: list[str] = []
    for annotation in (INGRESS_BANDWIDTH, EGRESS_BANDWIDTH):
        try:
            bandwidth(found.metadata.annotations.get(annotation, "1k"), annotation)
        except Malformed as error:
            faults.append(str(error))
    return tuple(faults)


def _limit(annotations: Mapping[str, str], annotation: str) -> int | None:
    try:
        return bandwidth(annotations[annotation], annotation)
    except (KeyError, Malformed):
        return None


def networks_asked(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return the networks that a pod's annotations ask for; what is no name stays one, and is refused by that name."""
    given = annotations.get(OWN_NETWORKS_ASKED, annotations.get(NETWORKS_ASKED, ""))
    if given.lstrip().startswith("["):
        try:
            return tuple(each.name for each in msgspec.json.decode(given, type=list[_Selected]))
        except msgspec.DecodeError:
            return (given,)
    return tuple(part.strip() for part in given.split(",") if part.strip())


class _Selected(msgspec.Struct, frozen=True):
    """One network of a NetworkSelectionElement (multi-network specification, 4.1.1)."""

    name: str


def version_number(text: str) -> int:
    """Return a resource version as a number: they can be compared, as KEP-5504 says. Raises Malformed."""
    if not text.isascii() or not text.isdigit():
        raise Malformed("$.metadata.resourceVersion", f'"{text}" is no number', "use an API server that counts them")
    return int(text)


def _values(plural: str, found: Custom) -> tuple[Subject, ...]:
    resource = BY_PLURAL[plural]
    if resource is VNID_CLAIMS:
        return ()
    if resource is ADDRESS_SLICES:
        return _of_slice(msgspec.json.decode(found.spec, type=AddressSlice))
    if resource.decided is None:
        return (_value(found.spec, resource.spec),)
    decided = msgspec.json.decode(found.status, type=_Decided).decided
    return () if bytes(decided) == b"null" else (_value(decided, resource.decided),)


def _value(content: msgspec.Raw, shape: type[Any]) -> Subject:
    value: Subject = msgspec.json.decode(content, type=shape).value()
    return value


def _of_slice(found: AddressSlice) -> tuple[Subject, ...]:
    for port in found.ports:
        if port.node != found.node:
            raise Malformed("$.spec.ports", f"port of node {port.node}", f"only ports of {found.node} belong here")
    return (*(port.value() for port in found.ports), *(each.value() for each in found.quarantined))
