"""The mirror: whatever the order in which objects come, the snapshot comes to say what they say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube.mirror import Mirror, Name, Version
from kube.references import missing, reference
from tests.topology.sequences import TABLES, events_between
from tests.topology.strategies import any_request, granted, snapshots
from topology.model import Membership, Network, Node, Port, PortKey, Project, Quarantine, Subject
from topology.snapshot import Put, Snapshot, apply_all, empty

Streams = dict[str, list[Version]]


def name_of(value: Subject) -> Name:
    """Return the object that says a value: those of a node's ports and addresses are one."""
    match value:
        case Port(key=PortKey(node=node)) | Quarantine(node=node):
            return Name("addressslices", node)
    return Name(*reference(value))


def streams(states: Sequence[Snapshot]) -> Streams:
    """Return, by kind, what a watch of each would tell of a row of states."""
    told: Streams = {}
    said: dict[Name, dict[Any, Subject]] = {}
    version = 0
    before = empty()
    for state in states:
        for event in events_between(before, state):
            if isinstance(event.value, Membership):  # no object: nodes tell it
                continue
            version += 1
            name = name_of(event.value)
            values = said.setdefault(name, {})
            if isinstance(event, Put):
                values[reference(event.value)] = event.value
            else:
                del values[reference(event.value)]
            deleted = not values and name.plural != "addressslices"
            told.setdefault(name.plural, []).append(Version(name, version, tuple(values.values()), deleted))
        before = state
    return told


def tables(snapshot: Snapshot) -> dict[str, Any]:
    """Return all objects; a port's number is what the switch told this replica, and no object's to say."""
    told = {table: dict(getattr(snapshot, table)) for table in TABLES if table != "memberships"}
    told["ports"] = {key: replace(port, ofport=None) for key, port in told["ports"].items()}
    return told


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    states = [draw(snapshots())]
    for asked in draw(st.lists(any_request(), max_size=12)):
        events = granted(states[-1], asked)
        states.append(apply_all(states[-1], events)[0])
    return states


@given(st.data(), histories())
def test_every_order_leads_to_what_the_objects_say(data: st.DataObject, states: list[Snapshot]) -> None:
    told = streams(states)
    mirror, snapshot = Mirror(), empty()
    while told:
        kind = data.draw(st.sampled_from(sorted(told)))
        many = data.draw(st.integers(1, len(told[kind])))
        events = mirror.observe(snapshot, told[kind][:many])
        snapshot = apply_all(snapshot, events)[0]
        del told[kind][:many]
        if not told[kind]:
            del told[kind]
        assert_sound(snapshot)
    assert tables(snapshot) == tables(states[-1])
    assert not mirror.refusals


def assert_sound(snapshot: Snapshot) -> None:
    for table in TABLES:
        if table not in ("watermarks", "quarantined", "memberships"):
            assert not any(missing(snapshot, value) for value in getattr(snapshot, table).values())


def seen(version: int, value: Subject) -> Version:
    return Version(name_of(value), version, (value,))


def test_what_was_written_here_is_not_undone_by_an_older_echo() -> None:
    mirror, red = Mirror(), Network("red", 10)
    snapshot = apply_all(empty(), (Put(replace(red, is_global=True)),))[0]
    mirror.wrote([seen(7, replace(red, is_global=True))])
    assert mirror.observe(snapshot, [seen(5, red)]) == ()
    assert mirror.observe(snapshot, [seen(7, replace(red, is_global=True))]) == ()
    assert mirror.observe(snapshot, [seen(8, red)]) == (Put(red),)


def test_of_two_with_one_vnid_the_second_waits_and_says_why() -> None:
    mirror = Mirror()
    snapshot = apply_all(empty(), mirror.observe(empty(), [seen(1, Network("red", 10))]))[0]
    assert mirror.observe(snapshot, [seen(2, Network("blue", 10))]) == ()
    assert mirror.refusals == {Name("network", "blue"): 'VNID 10 belongs to network "red"'}
    gone = Version(Name("network", "red"), 3, (), deleted=True)
    snapshot = apply_all(snapshot, mirror.observe(snapshot, [gone]))[0]
    assert set(snapshot.networks) == {"default", "blue"}
    assert mirror.refusals == {}


def test_a_change_that_cannot_be_leaves_the_last_good_state() -> None:
    mirror = Mirror()
    snapshot = apply_all(empty(), mirror.observe(empty(), [seen(1, Network("red", 10)), seen(2, Network("blue", 11))]))[
        0
    ]
    snapshot = apply_all(snapshot, mirror.observe(snapshot, [seen(3, Network("blue", 10))]))[0]
    assert snapshot.networks["blue"].vnid == 11
    assert Name("network", "blue") in mirror.refusals


def test_what_waits_for_what_is_decided_here_comes_when_it_is_there() -> None:
    mirror = Mirror()
    assert mirror.observe(empty(), [seen(4, Project("shop", "red"))]) == ()
    snapshot = apply_all(empty(), (Put(Network("red", 10)),))[0]
    assert mirror.settle(snapshot, (Put(Network("red", 10)),)) == (Put(Project("shop", "red")),)


def test_a_node_does_not_take_the_place_of_another() -> None:
    from ipaddress import ip_address, ip_network

    one = Node("n1", 1, ip_address("192.0.2.1"), (ip_network("10.128.0.0/23"),))
    mirror = Mirror()
    snapshot = apply_all(empty(), mirror.observe(empty(), [seen(1, one)]))[0]
    for wrong in (
        replace(one, name="n2"),
        replace(one, name="n2", dpid=2),
        replace(one, name="n2", dpid=2, underlay=ip_address("192.0.2.2")),
    ):
        assert mirror.observe(snapshot, [Version(Name("node", "n2"), 2 + wrong.dpid, (wrong,))]) == ()
        assert Name("node", "n2") in mirror.refusals
