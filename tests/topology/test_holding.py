"""Who holds which address: few move when nodes come and go, each has its share, whatever came before."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from tests.topology.asking import node
from tests.topology.strategies import NODES, after
from topology.holding import holder
from topology.model import Address, Held, Outage
from topology.requests import DeleteNode, NodeFound, NodeLost
from topology.snapshot import Change, Claim, Put, Remove, Snapshot, apply, empty, held_by
from topology.snapshot.holding import claim, disclaim

ADDRESSES = tuple(IPv4Address("203.0.113.0") + number for number in range(200))
WHOSE = 'egress "e1"'
FOUR = ("n1", "n2", "n3", "n4")
STEPS = ("come", "go", "lose", "find", "claim", "claim one", "disclaim")


def test_each_node_has_its_share() -> None:
    counts = Counter(holder(address, FOUR) for address in ADDRESSES)
    assert set(counts) == set(FOUR)
    assert min(counts.values()) > 30


def test_a_node_that_goes_gives_up_only_what_it_held() -> None:
    for address in ADDRESSES:
        before, left = holder(address, FOUR), holder(address, FOUR[:3])
        assert left == before or before == "n4"


def test_nobody_holds_without_nodes() -> None:
    assert holder(ADDRESSES[0], ()) is None


def three() -> Snapshot:
    return after(empty(), *(node(name, f"192.0.2.1{number}") for number, name in enumerate(NODES, 1)))


def claimed(snapshot: Snapshot, *addresses: Address, by: tuple[str, ...] = ()) -> Snapshot:
    for address in addresses:
        snapshot, _ = claim(snapshot, address, Claim(WHOSE, by))
    return snapshot


def test_what_a_lost_node_held_is_held_by_others_until_it_is_found() -> None:
    before = claimed(three(), *ADDRESSES[:20])
    lost = after(before, NodeLost("n1"))
    assert held_by("n1", before)
    assert not held_by("n1", lost)
    for address in before.held:
        assert lost.held[address] == before.held[address] or before.held[address] == "n1"
    assert after(lost, NodeFound("n1")) == before
    assert after(lost, NodeLost("n1")) is lost
    assert after(before, NodeFound("n1")) is before


def test_the_change_is_told() -> None:
    before = claimed(three(), ADDRESSES[0], by=("n1", "n2"))
    one = before.held[ADDRESSES[0]]
    (other,) = {"n1", "n2"} - {one}
    outage = Outage(one)
    after_it, changes = apply(before, Put(outage))
    assert changes == (Change(None, outage), Change(Held(ADDRESSES[0], one), Held(ADDRESSES[0], other)))
    _, changes = apply(after_it, Put(Outage(other)))
    assert changes[1:] == (Change(Held(ADDRESSES[0], other), None),)


def test_a_node_that_is_made_holds_nothing_before_its_switch_has_come() -> None:
    before = claimed(three(), *ADDRESSES[:20])
    made = after(before, node("n4", "192.0.2.14"))
    assert made.held == before.held
    assert set(made.outages) == {"n4"}
    assert held_by("n4", after(made, NodeFound("n4")))
    assert not after(made, DeleteNode("n4")).outages


def test_without_addresses_to_be_held_nothing_is_said_of_a_node_that_is_made() -> None:
    assert not after(three(), node("n4", "192.0.2.14")).outages


def test_a_node_that_does_not_exist_is_not_lost() -> None:
    assert not after(three(), NodeLost("n9")).outages


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(NODES), st.sampled_from(ADDRESSES[:3])), max_size=12))
def test_who_holds_what_does_not_depend_on_how_it_came_about(steps: list[tuple[str, str, IPv4Address]]) -> None:
    nodes, lost = dict(three().nodes), set[str]()
    claims: dict[Address, tuple[str, ...]] = {}
    snapshot = three()
    for what, name, address in steps:
        match what:
            case "come":
                snapshot, _ = apply(snapshot, Put(nodes[name]))
            case "go":
                snapshot, _ = apply(snapshot, Remove(nodes[name]))
            case "lose":
                lost.add(name)
                snapshot, _ = apply(snapshot, Put(Outage(name)))
            case "find":
                lost.discard(name)
                snapshot, _ = apply(snapshot, Remove(Outage(name)))
            case "disclaim":
                claims.pop(address, None)
                snapshot, _ = disclaim(snapshot, address, WHOSE)
            case _:
                claims[address] = (name,) if what == "claim one" else ()
                snapshot, _ = claim(snapshot, address, Claim(WHOSE, claims[address]))
    living = {name for name in snapshot.nodes if name not in lost}
    wanted = {address: holder(address, living.intersection(by) if by else living) for address, by in claims.items()}
    assert dict(snapshot.held) == {address: name for address, name in wanted.items() if name is not None}
