"""What became of addresses: replayed, the history says just what the snapshot holds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.strategies import any_request, granted, snapshots
from topology.history import State, Turn, turns
from topology.model import Address, Port, PortKey, mac_of
from topology.requests import Request
from topology.snapshot import Change, Snapshot, apply_all

Ledger = dict[tuple[int, Address], Turn]


def replay(ledger: Ledger, said: list[Turn]) -> None:
    """Take in what became of addresses: each state comes after the one that it has to come after."""
    for turn in said:
        place = (turn.space, turn.address)
        before = ledger[place].state if place in ledger else State.FREE
        assert (before, turn.state) in {
            (State.FREE, State.ALLOTTED),
            (State.ALLOTTED, State.QUARANTINED),
            (State.QUARANTINED, State.FREE),
        }
        ledger[place] = turn


@settings(max_examples=100, deadline=None)
@given(snapshots(), st.lists(any_request(), max_size=12))
def test_the_history_replayed_is_who_holds_what(now: Snapshot, asked: list[Request]) -> None:
    ledger: Ledger = {}
    replay(ledger, list(turns(Change(None, item) for item in (*now.ports.values(), *now.quarantined.values()))))
    for place, item in now.quarantined.items():
        ledger[place] = Turn(*place, State.QUARANTINED, item.node)
    for request in asked:
        now, changes = apply_all(now, granted(now, request))
        replay(ledger, list(turns(changes)))
    in_state = {state: {place for place, turn in ledger.items() if turn.state is state} for state in State}
    assert in_state[State.ALLOTTED] == set(now.holder)
    assert in_state[State.QUARANTINED] == set(now.quarantined)
    for place in in_state[State.ALLOTTED]:
        turn, port = ledger[place], now.ports[now.holder[place]]
        whose = (port.node, f"{port.project}/{port.pod}", f"{port.key.container}/{port.key.interface}")
        assert (turn.node, turn.pod, turn.attachment) == whose


def test_a_number_that_the_switch_gives_is_no_turn() -> None:
    address = IPv4Address("10.128.0.2")
    port = Port(PortKey("n1", "c1", "eth0"), "red", "a", "red", "v1", mac_of(address), (address,))
    assert list(turns([Change(port, replace(port, ofport=7))])) == []
    assert [turn.state for turn in turns([Change(None, port), Change(port, None)])] == [
        State.ALLOTTED,
        State.QUARANTINED,
    ]
