"""The shapes of external VTEPs. As `store.objects`, which names their kind."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from store.fields import AddressText, Label, MacAddress, Malformed, Object, PrefixText, Vnid, address, prefixes
from topology import model
from topology.model import MOST_EXTERNAL_SUBNETS, Encapsulation, format_mac, prefixes_in_order

Subnets = Annotated[tuple[PrefixText, ...], Meta(min_length=1, max_length=MOST_EXTERNAL_SUBNETS)]
Mac = Annotated[
    MacAddress,
    Meta(description="Inner destination MAC of what is sent there; none: 0a:58 and the host's address, as of pods."),
]


class ExternalVtepCreation(Object, frozen=True):
    """A VTEP on which no node of ours runs, with the hosts behind it: an appliance.

    `network`: whose hosts they are, by its name, or by its VNID in `vnid`. Packets carry that VNID in both directions.
    """

    name: Label
    address: AddressText
    subnets: Subnets
    network: Label | None = None
    vnid: Vnid | None = None
    encapsulation: Encapsulation = "vxlan"
    mac: Mac | None = None

    def asked(self) -> model.ExternalVtep:
        """Return the external VTEP that is asked for, without a network if that is named by its VNID.

        Raises Malformed.
        """
        if (self.network is None) == (self.vnid is None):
            raise Malformed("$", "it is to be of not exactly one network", "give network, or vnid")
        return _value(self, self.network or "")


class ExternalVtep(Object, frozen=True):
    """A VTEP on which no node of ours runs, with the hosts of a network behind it."""

    name: Label
    address: AddressText
    network: Label
    subnets: Subnets
    encapsulation: Encapsulation = "vxlan"
    mac: Mac | None = None

    @classmethod
    def of(cls, value: model.ExternalVtep) -> ExternalVtep:
        """Return the shape of a value."""
        return cls(
            name=value.name,
            address=str(value.address),
            network=value.network,
            subnets=tuple(map(str, value.subnets)),
            encapsulation=value.encapsulation,
            mac=None if value.mac is None else format_mac(value.mac),
        )

    def value(self) -> model.ExternalVtep:
        """Return the value of this shape. Raises Malformed."""
        return _value(self, self.network)


def _value(shape: ExternalVtepCreation | ExternalVtep, network: str) -> model.ExternalVtep:
    found = prefixes(shape.subnets, "$.subnets")
    in_order = prefixes_in_order(found)
    if len(in_order) < len(found):
        raise Malformed("$.subnets", "one of them stands there twice", "name each once")
    return model.ExternalVtep(
        name=shape.name,
        address=address(shape.address, "$.address"),
        network=network,
        subnets=in_order,
        encapsulation=shape.encapsulation,
        mac=None if shape.mac is None else int(shape.mac.replace(":", ""), 16),
    )
