"""The shapes of REST's answers about addresses: who holds which, and whether that is sound. No behaviour here."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from rest.shapes import Counter
from store.fields import AddressText, Label, Object, Space, Subdomain


class AddressHolder(Object, frozen=True):
    """The pod that holds an address, and its attachment."""

    project: Label
    pod: Subdomain
    container: str
    interface: str


class LedgerEntry(Object, frozen=True):
    """An address that nobody else may get: a pod has it, or switches may still name it (`quarantined`, no `port`).

    `bound`: the pod's switch delivers to it; `allotted`: it does not yet.
    Of a quarantined address in the shared space (0) it is not known any more whose it was: `network` is null.
    """

    address: AddressText
    space: Space
    network: Label | None
    state: Literal["allotted", "bound", "quarantined"]
    port: AddressHolder | None
    node: Subdomain


class HistoryEntry(Object, frozen=True):
    """What an address became: `at` that time (RFC 3339), on `node`, and whose it was; null when it became free."""

    at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    state: Literal["allotted", "quarantined", "free"]
    node: Subdomain
    pod: str | None
    attachment: str | None


class AddressDetail(Object, frozen=True):
    """One address: what it is now (null: free, or no pod's), and what became of it, newest first."""

    address: AddressText
    space: Space
    entry: LedgerEntry | None
    history: tuple[HistoryEntry, ...]


class Ledger(Object, frozen=True):
    """Addresses that are held or in quarantine."""

    addresses: tuple[LedgerEntry, ...]


class Finding(Object, frozen=True):
    """One thing that is wrong with the ledger: what kind of fault, with which address or port, and how it shows."""

    kind: Literal[
        "held-twice",
        "wrong-index",
        "misplaced",
        "wrong-block",
        "quarantined-and-held",
        "not-on-switch",
        "left-on-switch",
    ]
    subject: str
    cause: str


class LedgerCheck(Object, frozen=True):
    """Whether the ledger is sound, and what was looked at: ports, addresses that they hold, and those in quarantine."""

    ok: bool
    ports: Counter
    held: Counter
    quarantined: Counter
    findings: tuple[Finding, ...]
