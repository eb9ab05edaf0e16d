"""The shapes of labels, selectors, bindings and pods. As `store.objects`, which names them among the kinds of objects.

Selectors are written as in Kubernetes' LabelSelector, in this API's spelling.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from store.fields import (
    AddressText,
    InterfaceName,
    Label,
    LabelKey,
    LabelValue,
    MacAddress,
    Object,
    Subdomain,
    addresses,
)
from store.quantities import Bandwidth, bandwidth, bandwidth_text
from topology import model
from topology.labels import Labels, Operator, Requirement, Selector, labels_of
from topology.model import format_mac

LabelMap = Annotated[dict[LabelKey, LabelValue], Meta(max_length=1000)]


def label_map(labels: Labels) -> dict[str, str]:
    """Return labels as an object."""
    return dict(labels)


class Expression(Object, frozen=True):
    """One condition on the label with a key. `values` are for In and NotIn; NotIn holds without the label too."""

    key: LabelKey
    operator: Operator
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=1000)] = ()


class LabelSelector(Object, frozen=True):
    """What is selected: all whose labels are `match_labels`, and meet every expression. Empty: everything."""

    match_labels: LabelMap = field(default_factory=dict)
    match_expressions: Annotated[tuple[Expression, ...], Meta(max_length=1000)] = ()

    @classmethod
    def of(cls, value: Selector) -> LabelSelector:
        """Return the shape of a value: all of it as expressions."""
        expressions = (Expression(key=key, operator=operator, values=values) for key, operator, values in value[0])
        return cls(match_expressions=tuple(expressions))

    def value(self) -> Selector:
        """Return the value of this shape."""
        labels = (Requirement(key, Operator.IN, (value,)) for key, value in self.match_labels.items())
        expressions = (Requirement(each.key, each.operator, each.values) for each in self.match_expressions)
        return Selector((*labels, *expressions))


class Attachment(Object, frozen=True):
    """One interface of a pod: its network, and what is not to be allotted. A primary one has no name here."""

    network: Label
    interface: InterfaceName | None = None
    addresses: Annotated[tuple[AddressText, ...], Meta(max_length=2)] = ()
    mac: MacAddress | None = None

    @classmethod
    def of(cls, value: model.Attachment) -> Attachment:
        """Return the shape of a value."""
        return cls(
            network=value.network,
            interface=value.interface or None,
            addresses=tuple(map(str, value.addresses)),
            mac=None if value.mac is None else format_mac(value.mac),
        )

    def value(self, path: str) -> model.Attachment:
        """Return the value of this shape, which stands at `path`. Raises Malformed."""
        mac = None if self.mac is None else int(self.mac.replace(":", ""), 16)
        return model.Attachment(self.network, self.interface or "", addresses(self.addresses, f"{path}.addresses"), mac)


class Binding(Object, frozen=True):
    """An administrator's rule: which networks the selected projects are on, or pods of them (`pods`)."""

    name: Label
    projects: LabelSelector
    pods: LabelSelector | None = None
    primary: Attachment | None = None
    secondary: Annotated[tuple[Attachment, ...], Meta(max_length=64)] = ()
    optional: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()

    @classmethod
    def of(cls, value: model.Binding) -> Binding:
        """Return the shape of a value."""
        return cls(
            name=value.name,
            projects=LabelSelector.of(value.projects),
            pods=None if value.pods is None else LabelSelector.of(value.pods),
            primary=None if value.primary is None else Attachment.of(value.primary),
            secondary=tuple(map(Attachment.of, value.secondary)),
            optional=value.optional,
        )

    def value(self) -> model.Binding:
        """Return the value of this shape. Raises Malformed."""
        secondary = (each.value(f"$.secondary[{position}]") for position, each in enumerate(self.secondary))
        return model.Binding(
            name=self.name,
            projects=self.projects.value(),
            pods=None if self.pods is None else self.pods.value(),
            primary=None if self.primary is None else self.primary.value("$.primary"),
            secondary=tuple(secondary),
            optional=self.optional,
        )


class Pod(Object, frozen=True):
    """What a tenant says of a pod: its labels, the networks that it asks for besides, and its limits.

    By each of its ports it gets (ingress) and sends (egress) so many bits a second at most; null: any.
    """

    project: Label
    pod: Subdomain
    labels: LabelMap = field(default_factory=dict)
    networks: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    ingress_bandwidth: Bandwidth | None = None
    egress_bandwidth: Bandwidth | None = None

    @classmethod
    def of(cls, value: model.Pod) -> Pod:
        """Return the shape of a value."""
        project, pod = value.key
        return cls(
            project=project,
            pod=pod,
            labels=label_map(value.labels),
            networks=value.networks,
            ingress_bandwidth=bandwidth_text(value.ingress_bandwidth),
            egress_bandwidth=bandwidth_text(value.egress_bandwidth),
        )

    def value(self) -> model.Pod:
        """Return the value of this shape. Raises Malformed."""
        ingress, egress = self.ingress_bandwidth, self.egress_bandwidth
        return model.Pod(
            key=model.PodKey(self.project, self.pod),
            labels=labels_of(self.labels),
            networks=self.networks,
            ingress_bandwidth=None if ingress is None else bandwidth(ingress, "$.ingress_bandwidth"),
            egress_bandwidth=None if egress is None else bandwidth(egress, "$.egress_bandwidth"),
        )
