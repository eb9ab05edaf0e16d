"""Moves and drained networks: what is refused, what each stage is, and whom a transit network may talk with."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from store.connections import Connection as ConnectionShape
from tests.topology.asking import node, report, service
from tests.topology.strategies import CLUSTER, own_range
from topology import requests
from topology.admission import admit
from topology.admission.moves import MOST_MOVES, move_project
from topology.labels import Operator, Requirement, Selector
from topology.model import (
    EVERYTHING,
    NAME_LABEL,
    Attachment,
    Binding,
    ConnectionKey,
    PortKey,
    Project,
    Scope,
    ServicePort,
    Stage,
    either,
)
from topology.requests import AdvanceMove, MoveProject, Reason, Refused, Request
from topology.snapshot import Put, Snapshot, apply_all, empty

TRANSIT = "transit-14"
WEB = Scope(ports=(ServicePort("TCP", 80),))
SERVICES = Scope(services_only=True)


def step(snapshot: Snapshot, *asked: Request) -> Snapshot:
    for request in asked:
        snapshot, _ = apply_all(snapshot, admit(snapshot, request))
    return snapshot


def refused(snapshot: Snapshot, request: Request) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(snapshot, request)
    return caught.value


@pytest.fixture
def world() -> Snapshot:
    """Return red with two pods of the project red and one of shop; blue, green and far (a range of its own) without."""
    return step(
        empty(),
        requests.SetCluster(CLUSTER),
        node("n1", "192.0.2.11"),
        requests.CreateNetwork("red", projects=("red", "shop", "idle")),
        requests.CreateNetwork("blue", projects=("blue",)),
        requests.CreateNetwork("green", projects=("green",)),
        requests.CreateNetwork("far", projects=("far",), subnets=own_range("10.0.0.0/24")),
        report("c1"),
        report("c2"),
        report("c3", project="shop"),
        report("c4", project="far"),
    )


def on(snapshot: Snapshot, container: str) -> str:
    return snapshot.ports[PortKey("n1", container, "eth0")].network


def test_stages(world: Snapshot) -> None:
    begun = step(world, MoveProject("red", "blue"))
    assert begun.moves["red"].stage is Stage.PREPARING
    transit = begun.networks[TRANSIT]
    assert (transit.transit_for, transit.is_global, transit.space) == ("red", False, 0)
    assert set(begun.peers[TRANSIT]) == {"red", "blue"}
    assert on(begun, "c1") == "red"
    crossing = step(begun, AdvanceMove("red", TRANSIT, Stage.PREPARING))
    assert [on(crossing, name) for name in ("c1", "c2", "c3")] == [TRANSIT, TRANSIT, "red"]
    assert crossing.projects["red"].network == "red"
    serving = step(crossing, AdvanceMove("red", TRANSIT, Stage.CROSSING))
    assert [on(serving, name) for name in ("c1", "c2", "c3")] == [TRANSIT, TRANSIT, "red"]
    assert serving.projects["red"].network == "blue"
    arriving = step(serving, AdvanceMove("red", TRANSIT, Stage.SERVING))
    assert [on(arriving, name) for name in ("c1", "c2", "c3")] == ["blue", "blue", "red"]
    assert arriving.projects["red"].network == "blue"
    done = step(arriving, AdvanceMove("red", TRANSIT, Stage.ARRIVING))
    assert not done.moves
    assert TRANSIT not in done.networks
    assert not done.connections
    back = step(done, MoveProject("red", "red"))
    assert back.moves["red"].transit == "transit-15"


def test_a_stage_that_is_not_the_present_one_changes_nothing(world: Snapshot) -> None:
    begun = step(world, MoveProject("red", "blue"))
    for request in (
        AdvanceMove("red", TRANSIT, Stage.CROSSING),
        AdvanceMove("red", "transit-99", Stage.PREPARING),
        AdvanceMove("shop", TRANSIT, Stage.PREPARING),
        MoveProject("red", "blue"),
    ):
        assert admit(begun, request) == ()


def test_a_project_without_pods_goes_at_once(world: Snapshot) -> None:
    assert move_project(world, "idle", "blue") == (Put(Project("idle", "blue", home="red")),)
    assert move_project(world, "idle", "far") == (Put(Project("idle", "far", home="red")),)
    assert admit(world, MoveProject("idle", "far")) == (Put(Project("idle", "far")),)
    assert move_project(world, "idle", "red") == ()


def test_pods_that_come_and_go_meanwhile(world: Snapshot) -> None:
    begun = step(world, MoveProject("red", "blue"), report("c5"), AdvanceMove("red", TRANSIT, Stage.PREPARING))
    gone = step(begun, requests.ForgetPort(PortKey("n1", "c1", "eth0")), report("c6"))
    assert [on(gone, name) for name in ("c2", "c5", "c6")] == [TRANSIT] * 3
    serving = step(gone, AdvanceMove("red", TRANSIT, Stage.CROSSING), report("c7"))
    assert on(serving, "c7") == TRANSIT
    arriving = step(serving, AdvanceMove("red", TRANSIT, Stage.SERVING), report("c8"))
    assert {on(arriving, name) for name in ("c2", "c5", "c6", "c7", "c8")} == {"blue"}


def test_recreate_leaves_pods_where_they_are(world: Snapshot) -> None:
    assert "cannot go along" in refused(world, MoveProject("red", "far")).cause
    assert refused(world, MoveProject("far", "red")).reason is Reason.IN_USE
    changed = step(world, MoveProject("red", "far", recreate=True), report("c5"))
    assert [on(changed, name) for name in ("c1", "c2", "c5")] == ["red", "red", "far"]
    assert not changed.moves
    left = step(changed, requests.DeleteProject("idle"), requests.ForgetPort(PortKey("n1", "c3", "eth0")))
    assert "left on it are on n1" in refused(left, requests.DeleteNetwork("red")).cause


@pytest.mark.parametrize(
    ("request_", "reason", "said"),
    [
        (MoveProject("nope", "blue"), Reason.UNKNOWN, 'project "nope"'),
        (MoveProject("shop", "nope"), Reason.UNKNOWN, 'network "nope"'),
        (MoveProject("shop", TRANSIT), Reason.BUILT_IN, "for the move of project"),
        (MoveProject("red", "green"), Reason.IN_USE, 'from network "red" to "blue"'),
        (MoveProject("red", "red"), Reason.IN_USE, "wait"),
        (requests.DeleteNetwork("red"), Reason.IN_USE, 'project "red" is being moved'),
        (requests.DeleteNetwork("blue"), Reason.IN_USE, 'project "red" is being moved'),
        (requests.DeleteNetwork("blue", drain=True), Reason.IN_USE, 'project "red" is being moved'),
        (requests.DeleteNetwork(TRANSIT), Reason.BUILT_IN, TRANSIT),
        (requests.DeleteProject("red"), Reason.IN_USE, "is being moved"),
        (requests.JoinNetworks(TRANSIT, "green"), Reason.BUILT_IN, TRANSIT),
        (requests.IsolateNetworks(TRANSIT), Reason.BUILT_IN, TRANSIT),
        (requests.SetGlobal(TRANSIT, True), Reason.BUILT_IN, TRANSIT),
        (requests.CreateProject("new", TRANSIT), Reason.BUILT_IN, TRANSIT),
        (requests.CreateNetwork(TRANSIT), Reason.BUILT_IN, TRANSIT),
    ],
)
def test_what_is_refused_during_a_move(world: Snapshot, request_: Request, reason: Reason, said: str) -> None:
    found = refused(step(world, MoveProject("red", "blue")), request_)
    assert found.reason is reason
    assert said in str(found)


def test_a_name_that_somebody_has_is_passed_over(world: Snapshot) -> None:
    taken = step(world, requests.CreateNetwork("transit-15"), MoveProject("red", "blue"))
    assert taken.networks["transit-15"].vnid == 14
    assert taken.moves["red"].transit == "transit-16"


def test_so_many_moves_at_once(world: Snapshot) -> None:
    for number in range(MOST_MOVES + 1):
        name = f"p{number}"
        world = step(world, requests.CreateProject(name, "red"), report(f"x{number}", project=name))
        if number < MOST_MOVES:
            world = step(world, MoveProject(name, "blue"))
    assert refused(world, MoveProject(f"p{MOST_MOVES}", "blue")).reason is Reason.EXHAUSTED


# --- whom a transit network may talk with --------------------------------------------------------


def scopes(snapshot: Snapshot, peer: str) -> tuple[Scope | None, Scope | None] | None:
    """What the transit network may begin towards a peer, and the peer towards it; None: not connected."""
    connection = snapshot.connections.get(ConnectionKey.between(TRANSIT, peer))
    return None if connection is None else (connection.scope(TRANSIT), connection.scope(peer))


def test_scopes_are_what_source_or_target_may(world: Snapshot) -> None:
    begun = step(
        world,
        requests.JoinNetworks("red", "green", WEB, None),
        requests.JoinNetworks("blue", "green", SERVICES, WEB),
        requests.JoinNetworks("blue", "far"),
        MoveProject("red", "blue"),
    )
    assert scopes(begun, "green") == (Scope(True, WEB.ports), WEB)
    assert scopes(begun, "far") == (EVERYTHING, EVERYTHING)
    assert scopes(begun, "red") == scopes(begun, "blue") == (EVERYTHING, EVERYTHING)
    assert begun.networks[TRANSIT].zone is not None


def test_connections_made_and_ended_meanwhile_carry_over(world: Snapshot) -> None:
    begun = step(world, MoveProject("red", "blue"), requests.JoinNetworks("green", "blue", WEB, None))
    assert scopes(begun, "green") == (None, WEB)
    both = step(begun, requests.JoinNetworks("red", "green"))
    assert scopes(both, "green") == (EVERYTHING, EVERYTHING)
    narrowed = step(both, requests.IsolateNetworks("red", "green"))
    assert scopes(narrowed, "green") == (None, WEB)
    assert scopes(step(narrowed, requests.IsolateNetworks("green")), "green") is None
    alone = step(narrowed, requests.IsolateNetworks("red"))
    assert scopes(alone, "red") == (EVERYTHING, EVERYTHING)
    opened = step(alone, requests.SetGlobal("blue", True))
    assert opened.networks[TRANSIT].is_global
    assert not step(opened, requests.IsolateNetworks("blue")).networks[TRANSIT].is_global


def test_from_the_global_network(world: Snapshot) -> None:
    begun = step(world, report("c9", project="default"), MoveProject("default", "blue"))
    assert begun.networks[TRANSIT].is_global
    assert set(begun.peers[TRANSIT]) == {"blue"}


def test_two_moves_at_once_see_each_other_as_their_ends_do(world: Snapshot) -> None:
    together = step(world, MoveProject("red", "blue"), MoveProject("shop", "blue"))
    assert scopes(together, "transit-15") == (EVERYTHING, EVERYTHING)
    apart = step(world, MoveProject("red", "blue"), report("c8", project="green"), MoveProject("green", "red"))
    assert scopes(apart, "transit-15") is None
    joined = step(apart, requests.JoinNetworks("red", "green", WEB, None))
    assert scopes(joined, "transit-15") == (WEB, None)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (None, None, None),
        (None, WEB, WEB),
        (SERVICES, None, SERVICES),
        (EVERYTHING, WEB, EVERYTHING),
        (SERVICES, WEB, Scope(True, WEB.ports)),
        (WEB, Scope(ports=(ServicePort("UDP", 53), *WEB.ports)), Scope(ports=(*WEB.ports, ServicePort("UDP", 53)))),
    ],
)
def test_either(one: Scope | None, other: Scope | None, wanted: Scope | None) -> None:
    assert either(one, other) == either(other, one) == wanted


# --- draining ------------------------------------------------------------------------------------


def test_a_network_in_use_is_drained(world: Snapshot) -> None:
    draining = step(world, requests.DeleteNetwork("red", drain=True))
    assert draining.networks["red"].terminating
    assert admit(draining, requests.DeleteNetwork("red", drain=True)) == ()
    for request in (
        report("c9"),
        requests.CreateProject("new", "red"),
        requests.CreateNetwork("red"),
        MoveProject("blue", "red"),
    ):
        assert "being drained" in refused(draining, request).cause
    assert admit(draining, report("c1")) == ()  # it is there already, and goes on
    for container in ("c1", "c2"):
        draining = step(draining, requests.ForgetPort(PortKey("n1", container, "eth0")))
    assert "red" in draining.networks
    ended = step(draining, requests.ForgetPort(PortKey("n1", "c3", "eth0")))
    assert "red" not in ended.networks
    assert not {"red", "shop", "idle"} & set(ended.projects)


def test_moving_the_last_pods_away_ends_a_drained_network(world: Snapshot) -> None:
    draining = step(world, requests.DeleteNetwork("red", drain=True))
    for project in ("idle", "red", "shop"):
        draining = step(draining, MoveProject(project, "blue"))
        move = draining.moves.get(project)
        for stage in Stage if move else ():
            assert "red" in draining.networks
            draining = step(draining, AdvanceMove(project, move.transit, stage))
    assert "red" not in draining.networks
    assert {"red", "shop", "idle"} <= set(draining.projects_of["blue"])


def test_services_hold_a_drained_network_up(world: Snapshot) -> None:
    draining = step(world, service(), requests.DeleteNetwork("red", drain=True))
    for container in ("c1", "c2", "c3"):
        draining = step(draining, requests.ForgetPort(PortKey("n1", container, "eth0")))
    assert "red" in draining.networks
    key = next(iter(draining.services))
    assert "red" not in step(draining, requests.DeleteService(key)).networks


def test_an_unused_network_goes_at_once_and_the_built_in_one_never(world: Snapshot) -> None:
    assert "blue" not in step(world, requests.DeleteNetwork("blue", drain=True)).networks
    assert refused(world, requests.DeleteNetwork("default", drain=True)).reason is Reason.BUILT_IN


# --- providers -----------------------------------------------------------------------------------


def test_another_provider_s_network_is_left_alone(world: Snapshot) -> None:
    made = step(world, requests.CreateNetwork("theirs", provider="acme"))
    assert made.networks["theirs"].provider == "acme"
    for request in (
        requests.DeleteNetwork("theirs"),
        requests.DeleteNetwork("theirs", drain=True, provider="other"),
        requests.SetGlobal("theirs", True),
        requests.CreateNetwork("theirs"),
        requests.DeleteNetwork("red", provider="acme"),
    ):
        found = refused(made, request)
        assert found.reason is Reason.TAKEN
        assert 'provider "' in found.cause
    assert admit(made, requests.CreateNetwork("theirs", provider="acme")) == ()
    assert refused(made, requests.CreateNetwork("x", provider="No Label")).reason is Reason.INVALID
    assert "theirs" not in step(made, requests.DeleteNetwork("theirs", provider="acme")).networks


def test_addresses_stay(world: Snapshot) -> None:
    before = {key: (port.addresses, port.mac) for key, port in world.ports.items()}
    moved = step(world, MoveProject("red", "blue"), *(AdvanceMove("red", TRANSIT, stage) for stage in Stage))
    assert {key: (port.addresses, port.mac) for key, port in moved.ports.items()} == before
    assert moved.holder[0, IPv4Address("10.128.0.2")] == PortKey("n1", "c1", "eth0")


def test_a_zone_stays_its_networks_when_a_move_has_used_it(world: Snapshot) -> None:
    """A transit network shares the zone of the move's source, which nobody else may get when the move is done."""
    tracked = step(world, requests.JoinNetworks("red", "green", EVERYTHING, None))
    zone = tracked.networks["red"].zone
    moved = tracked
    request: Request = MoveProject("red", "blue")
    while True:
        moved = step(moved, request)
        assert zone is not None
        assert moved.network_by_zone[zone] == "red"
        if "red" not in moved.moves:
            break
        move = moved.moves["red"]
        request = AdvanceMove(move.project, move.transit, move.stage)
    assert moved.projects["red"].network == "blue"


def test_a_home_stays_while_its_project_moves_between_others(world: Snapshot) -> None:
    """A binding places the project elsewhere: its home has no part in the move, and is not to take it along."""
    bound = step(world, requests.CreateNetwork("home", projects=("p",)), placed_on("blue"), report("c9", project="p"))
    under_way = step(bound, placed_on("green"), requests.ForgetPort(PortKey("n1", "c9", "eth0")))
    assert (under_way.moves["p"].source, under_way.moves["p"].target) == ("blue", "green")
    assert "is being moved" in refused(under_way, requests.DeleteNetwork("home")).cause
    drained = step(under_way, requests.DeleteNetwork("home", drain=True))
    assert "p" in drained.projects
    for stage in Stage:
        drained = step(drained, AdvanceMove("p", under_way.moves["p"].transit, stage))
    assert not drained.moves


def placed_on(network: str) -> Request:
    selector = Selector((Requirement(NAME_LABEL, Operator.IN, ("p",)),))
    return requests.CreateBinding(Binding("b", selector, primary=Attachment(network)))


def test_scopes_that_add_up_on_the_way_can_be_stored(world: Snapshot) -> None:
    ports = [
        Scope(ports=tuple(ServicePort("TCP", number) for number in range(first, first + 600))) for first in (1, 1001)
    ]
    joins = (requests.JoinNetworks("red", "green", ports[0]), requests.JoinNetworks("blue", "green", ports[1]))
    connection = step(world, *joins, MoveProject("red", "blue")).connections[ConnectionKey.between("green", TRANSIT)]
    assert len((connection.scope(TRANSIT) or Scope()).ports) == 1200
    assert ConnectionShape.of(connection).value() == connection


def test_narrowing_during_a_move_is_told_to_the_tracker_of_the_transit_network(world: Snapshot) -> None:
    joins = (requests.JoinNetworks("red", "green"), requests.JoinNetworks("blue", "green", EVERYTHING, None))
    narrowing = requests.TrackConnection(requests.JoinNetworks("red", "green", EVERYTHING, None))
    tracked = step(world, *joins, MoveProject("red", "blue"), narrowing)
    assert tracked.connections[ConnectionKey.between("green", TRANSIT)].is_tracked
    assert tracked.networks[TRANSIT].zone == tracked.networks["red"].zone is not None
    narrowed = step(tracked, narrowing.join)
    assert not narrowed.connections[ConnectionKey.between("green", TRANSIT)].is_tracked


def test_a_network_with_many_moves_stays_global(world: Snapshot) -> None:
    names = [f"p{number}" for number in range(MOST_MOVES + 1)]
    many = step(world, requests.SetGlobal("red", True), *(requests.CreateProject(name, "red") for name in names))
    for name in names:
        pod = report(name, project=name, key=PortKey("n1", name, "eth0"), host_interface=f"v{name}")
        many = step(many, pod, MoveProject(name, "blue"))
    assert len(many.moves) == MOST_MOVES + 1
    for request in (requests.SetGlobal("red", False), requests.IsolateNetworks("red")):
        assert "101 projects are being moved" in refused(many, request).cause
