"""Addresses: who holds which, which are in quarantine, and whether that is sound."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from msgspec import UNSET

from rest import ledger
from rest.asked import AddressFilter, HistoryQuery
from rest.ledger_shapes import AddressDetail, HistoryEntry, Ledger, LedgerCheck, LedgerEntry
from rest.problems import MALFORMED, Problem
from rest.routing import Access, Answer, Call, Empty, Route
from store import fields
from store.base import Record


def index(call: Call[AddressFilter, Empty]) -> Answer:
    """The addresses that fit a filter, by address space and number."""
    query = call.query
    wanted = ((query.network, "network"), (query.node, "node"), (query.state, "state"))
    asked = [(name, value) for value, name in wanted if value is not UNSET]
    found = (
        entry
        for entry in ledger.entries(call.control.published)
        if all(getattr(entry, name) == value for name, value in asked)
    )
    return Answer(200, Ledger(addresses=tuple(sorted(found, key=_order))))


def check(call: Call[Empty, Empty]) -> Answer:
    """Whether the ledger is sound."""
    # What is published is a value: while others work, it stays as it is.
    return Answer(200, ledger.check(call.control.published, lambda: time.sleep(0)))


def show(call: Call[HistoryQuery, Empty]) -> Answer:
    """One address: who has it, and who had it."""
    try:
        address = fields.address(call.where["address"], "address")
    except fields.Malformed as error:
        raise Problem(MALFORMED, "path, address", error.cause, error.remedy).at("address") from None
    place = (call.query.space, address)
    records = call.control.history(*place, call.query.most)
    detail = AddressDetail(
        address=str(address),
        space=call.query.space,
        entry=ledger.entry(call.control.published, place),
        history=tuple(map(_entry, records)),
    )
    return Answer(200, detail)


def _entry(record: Record) -> HistoryEntry:
    turn = record.turn
    return HistoryEntry(
        at=datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds"),
        state=turn.state.value,
        node=turn.node,
        pod=turn.pod or None,
        attachment=turn.attachment or None,
    )


def _order(entry: LedgerEntry) -> tuple[int, int, int]:
    address = ip_address(entry.address)
    return entry.space, address.version, int(address)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/addresses",
        "List the addresses that pods hold or that are in quarantine",
        index,
        Access.ADMINISTRATION,
        answers={200: Ledger},
    ),
    Route(
        "GET",
        "/v1/addresses/check",
        "Prove that the ledger of addresses is sound",
        check,
        Access.ADMINISTRATION,
        answers={200: LedgerCheck},
    ),
    Route(
        "GET",
        "/v1/addresses/{address}",
        "Show who has an address, and who had it",
        show,
        Access.ADMINISTRATION,
        answers={200: AddressDetail},
    ),
)
