"""The shape of egresses. As `store.objects`, which names their kind."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from store.bindings import LabelSelector
from store.fields import AddressText, Label, Object, Subdomain, addresses
from store.mirrors import PodName
from topology import model
from topology.model import MOST_EGRESS_ADDRESSES, MOST_EGRESS_NODES, in_order

Fail = Annotated[
    Literal["closed", "open"],
    Meta(description="While nobody lets packets leave: they are dropped, or leave by the pods' own nodes."),
]


class Egress(Object, frozen=True):
    """By which addresses, or pod, pods of a network leave for the outside: all of them, or those that `pods` selects.

    `nodes`: those that may hold the addresses; none: every node. `via`: a pod that forwards it, in place of addresses.
    """

    name: Label
    network: Label
    addresses: Annotated[tuple[AddressText, ...], Meta(max_length=MOST_EGRESS_ADDRESSES)] = ()
    pods: LabelSelector | None = None
    nodes: Annotated[tuple[Subdomain, ...], Meta(max_length=MOST_EGRESS_NODES)] = ()
    fail: Fail = "closed"
    via: PodName | None = None

    @classmethod
    def of(cls, value: model.Egress) -> Egress:
        """Return the shape of a value."""
        return cls(
            name=value.name,
            network=value.network,
            addresses=tuple(map(str, value.addresses)),
            pods=None if value.pods is None else LabelSelector.of(value.pods),
            nodes=value.nodes,
            fail="open" if value.fail_open else "closed",
            via=None if value.via is None else PodName(project=value.via.project, pod=value.via.name),
        )

    def value(self) -> model.Egress:
        """Return the value of this shape. Raises Malformed."""
        return model.Egress(
            name=self.name,
            network=self.network,
            addresses=in_order(addresses(self.addresses, "$.addresses")),
            pods=None if self.pods is None else self.pods.value(),
            nodes=tuple(sorted(self.nodes)),
            fail_open=self.fail == "open",
            via=None if self.via is None else self.via.value(),
        )
