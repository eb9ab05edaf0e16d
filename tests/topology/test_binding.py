"""On which networks pods are: what bindings give, what pods choose among it, and that labels give nothing more."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.asking import node, report
from tests.topology.strategies import (
    CONTAINERS,
    INTERFACES,
    NODES,
    PROJECTS,
    after,
    labels,
    networks,
    own_range,
    snapshots,
)
from topology import requests
from topology.admission import admit
from topology.binding import _is_plain, attachments, grant
from topology.labels import Labels, Operator, Requirement, Selector
from topology.model import NAME_LABEL, VNIDS, Attachment, Binding, Pod, PodKey, Port, PortKey, mac_of
from topology.requests import Reason, Refused, Request
from topology.snapshot import Snapshot, apply_all, empty

ALL = Selector()
DB: Labels = (("role", "db"),)


def labelled(key: str, *values: str) -> Selector:
    return Selector((Requirement(key, Operator.IN, values),))


def called(*names: str) -> Selector:
    return labelled(NAME_LABEL, *names)


def on(*names: str) -> tuple[Attachment, ...]:
    return tuple(map(Attachment, names))


def bind(name: str, projects: Selector, primary: str | None = None, **more: object) -> requests.CreateBinding:
    first = None if primary is None else Attachment(primary)
    return requests.CreateBinding(Binding(name, projects, primary=first, **more))  # type: ignore[arg-type]


def say(pod: str, some: Labels = (), *asked: str, project: str = "red") -> requests.SetPod:
    return requests.SetPod(Pod(PodKey(project, pod), some, asked))


def pod(name: str, interface: str = "eth0", project: str = "red", place: str = "n1") -> requests.ReportPort:
    side = {"eth0": "v"}.get(interface, f"{interface}-")
    return requests.ReportPort(PortKey(place, name, interface), project, name, f"{side}{name}")


def port(snapshot: Snapshot, name: str, interface: str = "eth0", place: str = "n1") -> Port:
    return snapshot.ports[PortKey(place, name, interface)]


def named(snapshot: Snapshot, name: str, project: str = "red") -> list[tuple[str, str]]:
    return [(each.network, each.interface) for each in attachments(snapshot, project, name)]


def refused(snapshot: Snapshot, request: Request, reason: Reason, *words: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(snapshot, request)
    assert caught.value.reason is reason
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.fixture(scope="module")
def world() -> Snapshot:
    """Two nodes; networks red, blue, with projects; store and more without; ring with a range, a flat one."""
    return after(
        empty(),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        *(requests.CreateNetwork(name, projects=(name,)) for name in ("red", "blue")),
        *(requests.CreateNetwork(name) for name in ("store", "more")),
        requests.CreateNetwork("ring", subnets=own_range("10.0.0.0/24")),
        requests.CreateNetwork("flat", subnets=own_range("10.9.0.0/24"), flat=True),
    )


# --- projects ------------------------------------------------------------------------------------


def test_a_project_is_at_home_unless_a_binding_says_otherwise(world: Snapshot) -> None:
    assert grant(world, "red") == ("red", (), ())
    moved = after(world, bind("b", called("red"), "store", optional=("more",), secondary=on("ring")))
    assert moved.projects["red"].network == "store"
    assert moved.projects["red"].home == "red"
    assert moved.projects["blue"].network == "blue"
    assert grant(moved, "red") == ("store", on("ring"), ("more",))
    assert after(moved, requests.DeleteBinding("b")) == world


def test_labels_bring_a_project_to_a_binding_and_away(world: Snapshot) -> None:
    bound = after(world, bind("b", labelled("team", "a"), "store"))
    assert bound.projects["red"].network == "red"
    there = after(bound, requests.SetProjectLabels("red", (("team", "a"),)))
    assert there.projects["red"].network == "store"
    assert after(there, requests.SetProjectLabels("red", ())).projects["red"].network == "red"
    new = after(bound, requests.CreateProject("new", "blue", (("team", "a"),)))
    assert (new.projects["new"].network, new.projects["new"].home) == ("store", "blue")
    assert admit(new, requests.CreateProject("new", "blue")) == ()
    back = after(new, requests.CreateProject("new", "blue", ()))
    assert back.projects["new"].network == "blue"


def test_bindings_that_give_a_project_different_primaries_are_refused_with_both_named(world: Snapshot) -> None:
    bound = after(world, bind("one", called("red"), "store"))
    refused(bound, bind("two", ALL, "more"), Reason.TAKEN, '"one"', '"two"', 'project "red"')
    assert admit(bound, bind("two", called("red"), "store"))  # they agree
    assert admit(bound, bind("two", called("red"), optional=("more",)))
    apart = after(bound, bind("two", labelled("team", "a"), "more"))
    refused(apart, requests.SetProjectLabels("red", (("team", "a"),)), Reason.TAKEN, '"one"', '"two"')
    both = after(apart, bind("one", labelled("tier", "x"), "store"))
    new = requests.CreateProject("new", "blue", (("team", "a"), ("tier", "x")))
    refused(both, new, Reason.TAKEN, '"one"', '"two"', 'project "new"')


def test_bindings_that_disagree_on_an_interface_are_refused(world: Snapshot) -> None:
    bound = after(world, bind("one", ALL, secondary=(Attachment("store", "s0"),)))
    refused(bound, bind("two", ALL, secondary=on("store")), Reason.TAKEN, '"one"', '"two"', '"store"')
    refused(bound, bind("two", ALL, secondary=(Attachment("more", "s0"),)), Reason.TAKEN, '"one"', '"two"', '"s0"')
    assert admit(bound, bind("two", ALL, secondary=(Attachment("store", "s0"),)))


def moved(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot when all moves are done."""
    while snapshot.moves:
        snapshot = after(
            snapshot,
            *(requests.AdvanceMove(each.project, each.transit, each.stage) for each in snapshot.moves.values()),
        )
    return snapshot


def test_a_project_with_pods_moves_when_a_binding_or_its_labels_say_so(world: Snapshot) -> None:
    lived = after(world, pod("a"))
    bound = bind("b", labelled("team", "a"), "blue")
    for way in ((bind("b", called("red"), "blue"),), (bound, requests.SetProjectLabels("red", (("team", "a"),)))):
        under_way = after(lived, *way)
        assert (under_way.projects["red"].network, under_way.moves["red"].target) == ("red", "blue")
        there = moved(under_way)
        assert (there.projects["red"].network, there.projects["red"].home) == ("blue", "red")
        assert {each.network for each in there.ports.values()} == {"blue"}
        back = moved(after(there, requests.DeleteBinding("b")))
        assert back.projects["red"].network == "red"
        assert {each.network for each in back.ports.values()} == {"red"}


def test_a_move_under_way_goes_where_it_goes(world: Snapshot) -> None:
    under_way = after(world, pod("a"), bind("b", called("red"), "blue"))
    refused(under_way, requests.DeleteBinding("b"), Reason.IN_USE, 'project "red"', "wait")
    refused(under_way, bind("b", called("red"), "store"), Reason.IN_USE, 'project "red"', "wait")
    assert admit(under_way, requests.SetProjectLabels("red", (("team", "a"),)))
    assert moved(after(under_way, requests.SetProjectLabels("red", (("team", "a"),)))).projects["red"].labels


def test_a_project_that_a_binding_places_is_not_moved_by_hand(world: Snapshot) -> None:
    bound = after(world, bind("b", called("red"), "blue"))
    refused(bound, requests.MoveProject("red", "store"), Reason.IN_USE, 'project "red"', "binding")


def test_secondary_interfaces_stay_when_a_project_moves(world: Snapshot) -> None:
    lived = after(world, bind("s", called("red"), secondary=on("store")), pod("a"), pod("a", "net1"))
    there = moved(after(lived, requests.MoveProject("red", "blue")))
    assert {each.key.interface: each.network for each in there.ports.values()} == {"eth0": "blue", "net1": "store"}


def test_pods_whose_addresses_cannot_go_along_hold_a_binding_up(world: Snapshot) -> None:
    lived = after(world, requests.CreateNetwork("own", subnets=own_range("10.9.0.0/24")), pod("a"))
    refused(lived, bind("b", called("red"), "own"), Reason.IN_USE, 'project "red"', "anew")
    assert admit(lived, bind("b", called("red"), "red"))
    assert admit(lived, bind("b", called("red"), secondary=on("store")))


def test_projects_of_one_binding_move_side_by_side(world: Snapshot) -> None:
    lived = after(world, pod("a"), pod("b", project="blue"))
    moving = after(lived, bind("b", called("red", "blue"), "store"))
    transits = [moving.networks[move.transit] for move in moving.moves.values()]
    assert set(moving.moves) == {"red", "blue"}
    assert len({transit.vnid for transit in transits}) == 2
    assert moving.watermarks[VNIDS] == max(transit.vnid for transit in transits)


def test_a_project_does_not_move_away_from_its_pods_secondary_ports(world: Snapshot) -> None:
    swapped = bind("swapped", called("red"), "store", pods=ALL, secondary=on("red"))
    bound = after(world, bind("given", called("red"), optional=("store",)), swapped, pod("a"))
    away = bind("away", called("red"), "more")
    assert admit(bound, away)
    lived = after(bound, pod("a", "net1"))
    assert {each.network: each.is_secondary for each in lived.ports.values()} == {"store": False, "red": True}
    refused(lived, away, Reason.IN_USE, 'project "red"', 'network "red"')


def test_pods_do_not_lose_a_network_that_they_are_on(world: Snapshot) -> None:
    bound = after(world, bind("b", called("red"), secondary=on("store"), optional=("more",)), say("a", (), "more"))
    lived = after(bound, pod("a"), pod("a", "net1"), pod("a", "net2"))
    assert {each.network for each in lived.ports.values()} == {"red", "store", "more"}
    for request in (
        requests.DeleteBinding("b"),
        bind("b", called("red"), secondary=on("store")),
        bind("b", called("blue"), secondary=on("store"), optional=("more",)),
    ):
        refused(lived, request, Reason.IN_USE, 'project "red"')
    assert admit(lived, bind("b", ALL, secondary=on("more", "store")))  # it has both still
    gone = after(lived, *(requests.ForgetPort(key) for key in lived.ports if key.interface != "eth0"))
    assert admit(gone, requests.DeleteBinding("b"))


def test_a_network_that_a_binding_names_stays(world: Snapshot) -> None:
    for more in ({"primary": "store"}, {"secondary": on("store")}, {"optional": ("store",)}):
        bound = after(world, bind("b", called("red"), **more))  # type: ignore[arg-type]
        refused(bound, requests.DeleteNetwork("store"), Reason.IN_USE, '"b"', 'network "store"')
        assert admit(after(bound, requests.DeleteBinding("b")), requests.DeleteNetwork("store"))


def test_a_home_goes_with_its_project_wherever_that_is_bound_to(world: Snapshot) -> None:
    bound = after(world, bind("b", called("red"), "store"))
    gone = after(bound, requests.DeleteNetwork("red"))
    assert "red" not in gone.projects
    lived = after(bound, pod("a"))
    refused(lived, requests.DeleteNetwork("red"), Reason.IN_USE, 'project "red" has pods')


# --- pods ----------------------------------------------------------------------------------------


def test_interfaces_are_named_in_order(world: Snapshot) -> None:
    bound = after(
        world,
        bind("b", called("red"), secondary=(*on("store"), Attachment("ring", "net2")), optional=("more", "flat")),
        say("a", (), "flat", "store", "more", "red"),
    )
    assert named(bound, "a") == [("red", ""), ("store", "net1"), ("ring", "net2"), ("flat", "net3"), ("more", "net4")]
    assert named(bound, "unknown") == [("red", ""), ("store", "net1"), ("ring", "net2")]


def test_each_report_is_for_its_own_network(world: Snapshot) -> None:
    bound = after(world, bind("b", called("red"), secondary=on("ring"), optional=("more",)), say("a", (), "more"))
    lived = after(bound, pod("a"), pod("a", "net1"), pod("a", "net2"), pod("a", "net9", place="n2"))
    ports = {key.interface: one for key, one in lived.ports.items()}
    assert {name: (one.network, one.is_secondary) for name, one in ports.items()} == {
        "eth0": ("red", False),
        "net1": ("ring", True),
        "net2": ("more", True),
        "net9": ("red", False),  # no secondary one is called so: the runtime's word for the primary
    }
    assert [str(address) for address in ports["net1"].addresses] == ["10.0.0.2"]
    assert len(ports["net1"].cluster_addresses) == 1
    assert all(one.mac == mac_of(one.addresses[0]) for one in ports.values())


def test_a_pod_asks_among_what_its_project_has(world: Snapshot) -> None:
    bound = after(world, bind("b", called("red"), optional=("more",)))
    for asked, project in (("blue", "red"), ("store", "red"), ("nowhere", "red"), ("more", "blue")):
        greedy = after(bound, say("a", (), asked, project=project))
        refused(greedy, pod("a", project=project), Reason.INVALID, f"pod {project}/a", f'"{asked}"')
        assert greedy.ports == bound.ports
    assert named(after(bound, say("a", (), "more")), "a") == [("red", ""), ("more", "net1")]


def test_a_pod_binding_chooses_among_what_the_project_has(world: Snapshot) -> None:
    bound = after(
        world,
        bind("given", called("red"), secondary=on("store"), optional=("ring",)),
        bind("chosen", ALL, "ring", pods=labelled("role", "db")),
        say("a", DB),
        say("a", DB, project="blue"),
    )
    assert named(bound, "a") == [("ring", ""), ("store", "net1")]
    assert named(bound, "b") == [("red", ""), ("store", "net1")]
    refused(bound, pod("a", project="blue"), Reason.INVALID, "pod blue/a", '"ring"', '"chosen"', "labels")
    assert admit(bound, pod("b", project="blue"))
    narrow = after(bound, bind("chosen", ALL, "store", pods=labelled("role", "db")))
    assert named(narrow, "a") == [("store", "")]


def test_pod_bindings_that_disagree_are_refused_with_both_named(world: Snapshot) -> None:
    given_ = bind("given", called("red"), optional=("store", "more"))
    one = bind("one", called("red"), "store", pods=labelled("role", "db"))
    two = bind("two", labelled("team", "a"), "more", pods=labelled("kind", "x"))
    both: Labels = (("kind", "x"), ("role", "db"))
    bound = after(world, given_, one, two, say("a", both))
    refused(bound, requests.SetProjectLabels("red", (("team", "a"),)), Reason.TAKEN, '"one"', '"two"', "pod red/a")
    unlabelled = after(bound, say("a", DB), requests.SetProjectLabels("red", (("team", "a"),)))
    refused(unlabelled, say("a", both), Reason.TAKEN, '"one"', '"two"', "pod red/a")
    refused(after(world, given_, one, say("a", both)), bind("two", ALL, "more", pods=ALL), Reason.TAKEN, '"one"')
    refused(after(world, bind("z", ALL, "red", pods=ALL)), bind("two", ALL, "more", pods=ALL), Reason.TAKEN, '"z"')
    # As it may come from elsewhere, past admission: the last line is the pod's own report.
    told, _ = apply_all(unlabelled, tuple(admit(bound, say("b", both))))
    refused(told, pod("b"), Reason.TAKEN, '"one"', '"two"', "pod red/b")


def test_one_interface_is_not_two(world: Snapshot) -> None:
    bound = after(
        world,
        bind("given", called("red"), secondary=(Attachment("store", "s0"),), optional=("more",)),
        bind("chosen", called("red"), pods=ALL, secondary=(Attachment("more", "s0"),)),
    )
    refused(bound, pod("a"), Reason.TAKEN, "pod red/a", '"s0"', '"store"', '"more"')


# --- static addresses ----------------------------------------------------------------------------


def fixed(network: str, *addresses: str, mac: int | None = None, pods: Selector = ALL) -> requests.CreateBinding:
    given_ = Attachment(network, "", tuple(map(IPv4Address, addresses)), mac)
    return requests.CreateBinding(Binding("fixed", called("red"), pods, None, (given_,)))


def test_static_address_and_mac(world: Snapshot) -> None:
    given_ = after(world, bind("given", called("red"), optional=("ring", "flat", "store")))
    bound = after(given_, fixed("ring", "10.0.0.77", mac=0x02_00_00_00_00_07))
    lived = after(bound, pod("a"), pod("a", "net1"))
    assert port(lived, "a", "net1").addresses == (IPv4Address("10.0.0.77"),)
    assert port(lived, "a", "net1").mac == 0x02_00_00_00_00_07
    refused(lived, pod("b", "net1"), Reason.TAKEN, "10.0.0.77", "red/a")
    only_mac = after(lived, fixed("ring", mac=0x02_00_00_00_00_07))
    refused(only_mac, pod("b", "net1"), Reason.TAKEN, "02:00:00:00:00:07", "red/a")
    left = after(lived, requests.ForgetPort(PortKey("n1", "a", "net1")))
    refused(left, pod("b", "net1"), Reason.TAKEN, "10.0.0.77", "quarantine")
    free = after(left, requests.ReleaseAddresses(tuple(left.quarantined)))
    assert port(after(free, pod("b", "net1")), "b", "net1").addresses == (IPv4Address("10.0.0.77"),)
    shared = after(given_, fixed("store", "10.128.0.50"))
    assert port(after(shared, pod("a", "net1")), "a", "net1").addresses == (IPv4Address("10.128.0.50"),)
    refused(shared, pod("a", "net1", place="n2"), Reason.INVALID, "10.128.0.50", 'node "n2"')
    assert admit(shared, pod("a", place="n2"))


def test_a_static_address_of_the_shared_space_is_held_by_one(world: Snapshot) -> None:
    given_ = after(world, bind("given", called("red"), optional=("store",)))
    bound = after(given_, fixed("store", "10.128.0.50"))
    lived = after(bound, pod("a", "net1"))
    refused(lived, pod("b", "net1"), Reason.TAKEN, "10.128.0.50", "red/a")
    left = after(lived, requests.ForgetPort(PortKey("n1", "a", "net1")))
    refused(left, pod("b", "net1"), Reason.TAKEN, "10.128.0.50", "quarantine")
    for address in ("10.128.0.0", "10.128.0.1", "10.128.1.255"):  # first, gateway, last of n1's subnet
        refused(after(given_, fixed("store", address)), pod("a", "net1"), Reason.INVALID, address, 'node "n1"')
    late = after(given_, pod("a"), fixed("store", "10.128.0.2"))  # somebody had it before it was promised
    refused(late, pod("b", "net1"), Reason.TAKEN, "10.128.0.2", "red/a")


def test_a_static_address_is_in_a_block_of_its_node_or_anywhere_in_a_flat_network(world: Snapshot) -> None:
    given_ = after(world, bind("given", called("red"), optional=("ring", "flat")))
    ring = after(given_, fixed("ring", "10.0.0.77"), pod("a", "net1"))
    assert [(str(each.prefix), each.node) for each in ring.blocks.values()] == [("10.0.0.64/28", "n1")]
    moved = after(ring, fixed("ring", "10.0.0.78"))
    refused(moved, pod("b", "net1", place="n2"), Reason.TAKEN, "10.0.0.78", 'node "n1"')
    flat = after(given_, fixed("flat", "10.9.0.77"), pod("a", "net1"))
    gone = after(flat, requests.ForgetPort(PortKey("n1", "a", "net1")))
    free = after(gone, requests.ReleaseAddresses(tuple(gone.quarantined)))
    there = after(free, pod("a", "net1", place="n2"))
    assert port(there, "a", "net1", "n2").addresses == (IPv4Address("10.9.0.77"),)


def test_what_is_promised_to_one_pod_is_given_to_no_other(world: Snapshot) -> None:
    given_ = after(world, bind("given", called("red"), optional=("ring", "store")))
    db = labelled("role", "db")
    bound = after(given_, fixed("ring", "10.0.0.2", pods=db), say("a", (), "ring"), say("db", DB))
    other = port(after(bound, pod("a", "net1")), "a", "net1")
    assert other.addresses == (IPv4Address("10.0.0.3"),)
    assert port(after(bound, pod("a", "net1"), pod("db", "net1")), "db", "net1").addresses == (IPv4Address("10.0.0.2"),)
    shared = after(given_, fixed("store", "10.128.0.2", pods=db), pod("a"), pod("b", project="blue"))
    assert {str(each.addresses[0]) for each in shared.ports.values()} == {"10.128.0.3", "10.128.0.4"}
    free = after(given_, pod("a"))
    assert port(free, "a").addresses == (IPv4Address("10.128.0.2"),)


# --- what a binding may say ----------------------------------------------------------------------

GROUP_MAC = 0x01_00_00_00_00_07
BAD: list[tuple[Request, Reason, str]] = [
    (bind("B", ALL, "red"), Reason.INVALID, 'binding "B"'),
    (bind("b", ALL), Reason.INVALID, "no network"),
    (bind("b", ALL, "nowhere"), Reason.UNKNOWN, 'network "nowhere"'),
    (bind("b", ALL, optional=("nowhere",)), Reason.UNKNOWN, 'network "nowhere"'),
    (bind("b", ALL, "red", secondary=on("red")), Reason.INVALID, '"red" twice'),
    (bind("b", ALL, secondary=(Attachment("red", "a0"), Attachment("blue", "a0"))), Reason.INVALID, '"a0" twice'),
    (bind("b", ALL, secondary=(Attachment("red", "eth0"),)), Reason.INVALID, '"eth0"'),
    (bind("b", ALL, secondary=(Attachment("red", "lo"),)), Reason.INVALID, '"lo"'),
    (bind("b", ALL, secondary=(Attachment("red", "a/b"),)), Reason.INVALID, "a/b"),
    (bind("b", ALL, secondary=(Attachment("red", "x" * 16),)), Reason.INVALID, "15"),
    (bind("b", ALL, pods=ALL, optional=("red",)), Reason.INVALID, "offers"),
    (bind("b", labelled("a b", "x"), "red"), Reason.INVALID, '"a b"'),
    (bind("b", labelled("a", "x y"), "red"), Reason.INVALID, '"x y"'),
    (bind("b", labelled("a"), "red"), Reason.INVALID, "no values"),
    (bind("b", Selector((Requirement("a", Operator.EXISTS, ("x",)),)), "red"), Reason.INVALID, "has values"),
    (requests.CreateBinding(Binding("b", ALL, None, Attachment("red", "e0"))), Reason.INVALID, "runtime"),
    (requests.CreateBinding(Binding("b", ALL, None, Attachment("red", mac=2 << 40))), Reason.INVALID, "every pod"),
    (fixed("ring", "10.0.1.7"), Reason.INVALID, "10.0.1.7"),
    (fixed("ring", "10.0.0.0"), Reason.INVALID, "10.0.0.0"),
    (fixed("ring", "10.0.0.1"), Reason.INVALID, "gateway"),
    (fixed("ring", "10.0.0.7", "10.0.0.8"), Reason.INVALID, "two addresses"),
    (fixed("red", "10.1.2.3"), Reason.INVALID, "cluster CIDRs"),
    (fixed("red", mac=GROUP_MAC), Reason.INVALID, "01:00:00:00:00:07"),
    (fixed("red", mac=0), Reason.INVALID, "00:00:00:00:00:00"),
    (fixed("red", mac=mac_of(IPv4Address("10.128.0.9"))), Reason.INVALID, "0a:58"),
    (requests.DeleteBinding("nobody"), Reason.UNKNOWN, '"nobody"'),
    (say("A"), Reason.INVALID, 'pod "A"'),
    (say("a", project="nowhere"), Reason.UNKNOWN, 'project "nowhere"'),
    (say("a", (("a", "1"), ("a", "2"))), Reason.INVALID, "twice"),
    (say("a", (("a b", "1"),)), Reason.INVALID, '"a b"'),
    (say("a", (), "No"), Reason.INVALID, '"No"'),
    (say("a", (), *(f"n{number}" for number in range(65))), Reason.INVALID, "65"),
    (requests.DeletePod(PodKey("red", "nobody")), Reason.UNKNOWN, "red/nobody"),
    (requests.SetProjectLabels("nowhere", ()), Reason.UNKNOWN, 'project "nowhere"'),
    (requests.SetProjectLabels("red", ((NAME_LABEL, "blue"),)), Reason.INVALID, NAME_LABEL),
    (requests.SetProjectLabels("red", (("a", "-"),)), Reason.INVALID, '"-"'),
]


@pytest.mark.parametrize(("request_", "reason", "word"), BAD, ids=lambda value: str(value)[:60])
def test_bad_requests(world: Snapshot, request_: Request, reason: Reason, word: str) -> None:
    refused(world, request_, reason, word)


def test_what_is_so_already_is_no_event(world: Snapshot) -> None:
    bound = after(
        world, bind("b", Selector((Requirement("a", Operator.IN, ("y", "x")),)), "store"), say("a", DB, "red")
    )
    assert admit(bound, bind("b", labelled("a", "x", "y", "x"), "store")) == ()
    assert admit(bound, say("a", DB, "red", "red")) == ()
    assert admit(bound, requests.SetProjectLabels("red", ((NAME_LABEL, "red"),))) == ()
    assert after(bound, requests.DeletePod(PodKey("red", "a")), requests.DeleteBinding("b")) == world
    gone = after(bound, requests.DeleteProject("red"))
    assert not gone.pods


# --- networks of projects' own -------------------------------------------------------------------


def own(snapshot: Snapshot, is_on: bool = True) -> Snapshot:
    cluster = snapshot.cluster.__class__(own_networks=is_on)
    return after(snapshot, requests.SetCluster(cluster))


def test_a_project_without_a_network_gets_one_of_its_own(world: Snapshot) -> None:
    flat = after(world, requests.CreateProject("shop"))
    assert flat.projects["shop"].network == "default"
    on_own = after(own(world), requests.CreateProject("shop"))
    assert on_own.projects["shop"].network == "shop"
    assert on_own.networks["shop"].vnid == 16
    assert not on_own.networks["shop"].is_global
    assert admit(on_own, requests.CreateProject("shop")) == ()
    away = after(on_own, bind("b", called("shop"), "store"))
    assert (away.projects["shop"].network, away.networks["shop"].vnid) == ("store", 16)
    assert after(away, requests.DeleteBinding("b")).projects["shop"].network == "shop"
    refused(own(world), requests.CreateProject("store"), Reason.TAKEN, 'network "store"')


def test_switching_it_on_makes_nobody_global_and_off_changes_nothing(world: Snapshot) -> None:
    before = after(world, requests.CreateProject("shop"), requests.CreateProject("cafe", "default"))
    on_now = own(before)
    assert {name: each.network for name, each in on_now.projects.items()} == {
        "default": "default",
        "red": "red",
        "blue": "blue",
        "shop": "shop",
        "cafe": "default",
    }
    assert set(on_now.global_networks) == {"default"}
    off = own(on_now, is_on=False)
    assert off.projects == on_now.projects
    assert off.networks == on_now.networks
    lived = moved(own(after(before, pod("a", project="shop"))))
    assert {each.network for each in lived.ports.values()} == {"shop"}
    assert lived.projects == on_now.projects
    assert set(lived.global_networks) == {"default"}
    taken = after(before, requests.CreateNetwork("shop"))
    refused(taken, requests.SetCluster(on_now.cluster), Reason.TAKEN, 'network "shop"')


def test_a_deleted_projects_own_network_goes_with_it_if_nothing_else_uses_it(world: Snapshot) -> None:
    shop = after(own(world), requests.CreateProject("shop"), requests.JoinNetworks("shop", "red"))
    gone = after(shop, requests.DeleteProject("shop"))
    assert "shop" not in gone.networks
    assert not gone.connections
    for use in (requests.CreateProject("other", "shop"), bind("b", called("red"), optional=("shop",))):
        used = after(shop, use, requests.DeleteProject("shop"))
        assert "shop" not in used.projects
        assert "shop" in used.networks
    asked = after(world, requests.DeleteProject("red"))
    assert "red" in asked.networks  # somebody made it


# --- what holds whatever tenants do --------------------------------------------------------------


def given_by_hand(snapshot: Snapshot, project: str) -> set[str]:
    """Return a project's networks by the administrator's words alone; nothing of `topology.binding` is used."""
    known = snapshot.projects[project]
    seen = {**dict(known.labels), NAME_LABEL: project}
    bindings = [each for each in snapshot.bindings.values() if each.pods is None]
    mine = [binding for binding in bindings if all(each.holds(seen) for each in binding.projects.requirements)]
    home = () if any(binding.primary for binding in mine) else (known.home,)
    return {*home, *(name for binding in mine for name in binding.networks)}


any_pod = st.builds(
    Pod,
    st.builds(PodKey, st.sampled_from(PROJECTS), st.sampled_from([f"pod-{name}" for name in CONTAINERS])),
    labels,
    st.lists(networks, max_size=3).map(tuple),
)
any_report = st.builds(
    lambda place, container, interface, project: report(
        container,
        key=PortKey(place, container, interface),
        project=project,
        host_interface=f"{INTERFACES[interface]}{container}",
    ),
    st.sampled_from(NODES),
    st.sampled_from(CONTAINERS),
    st.sampled_from(tuple(INTERFACES)),
    st.sampled_from(PROJECTS),
)
tenants = st.lists(st.builds(requests.SetPod, any_pod) | any_report, min_size=4, max_size=20)


@given(snapshots(), tenants)
@settings(max_examples=150)
def test_a_pod_is_on_networks_of_project_bindings_only(snapshot: Snapshot, asked: list[Request]) -> None:
    there = snapshot.ports  # of these some may be on their way, or have been left to be made anew
    for request in asked:
        snapshot = after(snapshot, request)
        for key, one in snapshot.ports.items():
            move = snapshot.moves.get(one.project)
            transit = set() if move is None or one.is_secondary else {move.transit}
            assert key in there or one.network in given_by_hand(snapshot, one.project) | transit
    for project in PROJECTS:
        for name in CONTAINERS:
            try:
                found = {each.network for each in attachments(snapshot, project, f"pod-{name}")}
            except (Refused, KeyError):
                continue
            assert found <= given_by_hand(snapshot, project)


@given(snapshots())
@settings(max_examples=60)
def test_the_short_way_of_a_plain_pod_leads_where_the_long_one_does(snapshot: Snapshot) -> None:
    for project in PROJECTS:
        for name in CONTAINERS:
            if project not in snapshot.projects or not _is_plain(snapshot, project, f"pod-{name}"):
                continue
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("topology.binding._is_plain", lambda *_: False)
                long = attachments(snapshot, project, f"pod-{name}")
            assert attachments(snapshot, project, f"pod-{name}") == long
