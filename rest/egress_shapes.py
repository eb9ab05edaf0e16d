"""The shapes of what is answered about egresses. No behaviour here."""

from __future__ import annotations

from rest.shapes import LateNodes
from store.egresses import Egress
from store.fields import AddressText, Object, Subdomain


class HeldAddress(Object, frozen=True):
    """An address, and the node that holds it now; null: none does."""

    address: AddressText
    node: Subdomain | None


class EgressView(Egress, frozen=True, kw_only=True):
    """An egress, and who holds its addresses."""

    held: tuple[HeldAddress, ...]


class Egresses(Object, frozen=True):
    """All egresses."""

    egresses: tuple[EgressView, ...]


class EgressMade(EgressView, frozen=True, kw_only=True):
    """An egress that was made or replaced."""

    late: LateNodes = ()
