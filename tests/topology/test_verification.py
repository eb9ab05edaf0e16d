"""The verifier: no alarm on what the compiler makes of sound changes, none missed of what changes who reaches whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from tests.topology import seeded
from tests.topology.asking import endpoints, report, service
from tests.topology.faults import FAULTS, OF_CHOICE, Fault, Numbers, Place, inject, inject_at, table_of, with_entries
from tests.topology.probes import Walk, attached, probes, walk
from tests.topology.states import states
from tests.topology.strategies import Sending, after, any_request, granted, snapshots
from topology import fields, pipeline, requests
from topology.admission import admit
from topology.balancing import MOST_BUCKETS
from topology.compiler import Dirty, SectionKey, Tables, compile_all, update
from topology.fields import FULL_MASK, IN_PORT
from topology.flow import Action, Entry, Flow, Op, goto, load, resubmit, select
from topology.model import (
    EVERYTHING,
    ICMP_OFPORT,
    TUN_OFPORT,
    ConnectionKey,
    NamedPort,
    PortKey,
    Scope,
    Service,
    ServiceKey,
    SliceKey,
)
from topology.pipeline import ASKED, OUTPUT_PORT, OUTSIDE, SPACE, FeatureId, Stage, Table, stages
from topology.requests import Reason, Request
from topology.snapshot import Change, Snapshot, apply_all
from topology.trace import Fabric
from topology.verification import Finding, Kind, Step, Unsafe, check, passed, provable, prove, with_witness
from topology.verification.registry import BY_PLACE, CLAIMS
from topology.verification.statement import Scene, state
from topology.verification.words import witness_text
from topology.verification.world import Focus, View, World


def findings(snapshot: Snapshot, tables: Tables) -> list[Finding]:
    return [finding for proof in prove(snapshot, tables) for finding in proof.findings]


def test_every_stage_has_a_claim() -> None:
    claimed = [claim.stage for claim in CLAIMS]
    assert sorted(claimed) == sorted(stages())
    assert len(BY_PLACE) == len(claimed)


@pytest.mark.parametrize("name", sorted(states()))
def test_named_states_are_proven(name: str) -> None:
    snapshot = states()[name]
    tables = compile_all(snapshot)
    assert findings(snapshot, tables) == []
    counted = Counter(flow.flow[:2] for table in tables.values() for flow in table.entries())
    total: Counter[tuple[int, int]] = Counter()
    for proof in prove(snapshot, tables):
        total.update(proof.counts)
    assert total == counted


@given(snapshots())
@settings(max_examples=60)
def test_what_is_owed_is_counted_right_and_twice_nowhere(snapshot: Snapshot) -> None:
    """And it is what stands in the tables: no more holds than is owed."""
    tables = compile_all(snapshot)
    world = World(snapshot)
    for node in snapshot.nodes.values():
        view = View(world, node, Focus(whole=True))
        owed = [(claim.stage[:2], match) for claim in CLAIMS for match in claim.owed(view)]
        assert len(owed) == len(set(owed)) == sum(claim.count(view) for claim in CLAIMS)
        assert {(*place, match) for place, match in owed} == {e.flow.key for e in tables[node.name].entries()}


@given(snapshots(), st.lists(any_request(), min_size=5, max_size=25))
@settings(max_examples=60)
def test_sound_changes_raise_no_alarm(start: Snapshot, asked: list[Request]) -> None:
    """The whole is proven after every change that is granted, and so is each change by itself."""
    snapshot, tables = start, compile_all(start)
    assert findings(snapshot, tables) == []
    for request in asked:
        before, old = snapshot, tables
        snapshot, changes = apply_all(before, granted(before, request))
        tables, dirty = update(old, changes, before, snapshot)
        assert check(Step(changes, before, snapshot, old, tables, dirty)) == ()
        assert findings(snapshot, tables) == []


@pytest.mark.parametrize("services_only", [False, True])
def test_a_move_over_one_way_connections_raises_no_alarm(services_only: bool) -> None:
    """What its pods begin on the way is committed for the network where they are, and for the one where they go.

    And by whose services they are reached follows from both.
    """
    scopes = (None, Scope(services_only=True)) if services_only else (EVERYTHING, None)
    asked = [requests.JoinNetworks(name, "lime", *scopes) for name in ("red", "blue")]
    lime = (requests.CreateNetwork("lime", projects=("lime",)), report("l", project="lime"))
    snapshot = after(states()["services with endpoints"], *lime, *asked)
    assert set(snapshot.peers["lime"]) == {"red", "blue"}
    tables = compile_all(snapshot)
    request: Request = requests.MoveProject("red", "blue")
    stages_seen = 0
    while True:
        before, old = snapshot, tables
        snapshot, changes = apply_all(before, admit(before, request))
        tables, dirty = update(old, changes, before, snapshot)
        assert check(Step(changes, before, snapshot, old, tables, dirty)) == ()
        assert findings(snapshot, tables) == []
        stages_seen += 1
        if not snapshot.moves:
            break
        move = snapshot.moves["red"]
        request = requests.AdvanceMove(move.project, move.transit, move.stage)
    assert stages_seen == 5
    assert snapshot.projects["red"].network == "blue"


def test_pods_on_their_way_are_reached_by_services_of_one_end_no_more() -> None:
    """The connection of the transit network stays as it is: what the other end may use is still for services."""
    may = [requests.JoinNetworks(name, "lime", None, Scope(services_only=True)) for name in ("red", "blue")]
    lime = (requests.CreateNetwork("lime", projects=("lime",)), report("l", project="lime"))
    before = after(states()["services with endpoints"], *lime, *may, requests.MoveProject("red", "blue"))
    old = compile_all(before)
    transit = before.moves["red"].transit
    snapshot, changes = apply_all(before, admit(before, requests.IsolateNetworks("red", "lime")))
    key = ConnectionKey.between(transit, "lime")
    assert snapshot.connections[key] == before.connections[key]
    tables, dirty = update(old, changes, before, snapshot)
    assert check(Step(changes, before, snapshot, old, tables, dirty)) == ()
    assert findings(snapshot, tables) == []
    assert tables == compile_all(snapshot)


# --- faults --------------------------------------------------------------------------------------

SEEDS = tuple(range(20))
FAULTS_OF_A_KIND = 2  # that are tried in every network
NO_SERVICE = int(IPv4Address("172.30.0.77"))
LEAST_FAULTS = 50  # that can be put into every network; 1468 in all of them when this was written
LEAST_CHANGES = 20  # of who reaches whom among these; 826 in all networks together


def numbers_of(snapshot: Snapshot) -> Numbers:
    return Numbers(
        tuple(sorted(network.vnid for network in snapshot.networks.values())),
        tuple(sorted({port.ofport for port in attached(snapshot) if port.ofport is not None} | {1, 2, ICMP_OFPORT})),
        tuple(sorted(int(node.underlay) for node in snapshot.nodes.values())),
        tuple(sorted(int((port.cluster_addresses or port.addresses)[0]) for port in snapshot.ports.values())),
        tuple(sorted({*(int(service.address) for service in snapshot.services.values()), NO_SERVICE})),
    )


def changes_reach(fault: Fault, snapshot: Snapshot, walks: dict[Sending, Walk]) -> bool:
    """Whether any packet fares otherwise: those that came by the flow's tables are walked again."""
    fabric = Fabric(snapshot, fault.tables)
    return any(
        walk(fabric, probe).fared != before.fared for probe, before in walks.items() if before.places & fault.places
    )


def alarms(fault: Fault, snapshot: Snapshot, tables: Tables) -> tuple[list[Finding], tuple[Finding, ...]]:
    """Return what the whole proof says of a fault, and the check of the section that it is in."""
    step = Step((), snapshot, snapshot, tables, fault.tables, {fault.node: {fault.section}})
    return findings(snapshot, fault.tables), check(step)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_is_caught(seed: int) -> None:
    """Those that change who reaches whom, and the others: a flow that nothing asks for is one too many in any case."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    fabric = Fabric(snapshot, tables)
    walks = {probe: walk(fabric, probe) for probe in probes(snapshot)}
    tried, changing = Counter[str](), Counter[str]()
    for kind in (*FAULTS,) * FAULTS_OF_A_KIND:
        fault = inject(tables, numbers_of(snapshot), kind, chance)
        if fault is None:
            continue
        tried[kind] += 1
        whole, of_section = alarms(fault, snapshot, tables)
        assert whole, fault
        assert of_section, fault
        changing[kind] += changes_reach(fault, snapshot, walks)
        assert all(finding.node == fault.node for finding in (*whole, *of_section)), fault
    assert tried.total() >= LEAST_FAULTS
    assert changing.total() >= LEAST_CHANGES


@pytest.mark.parametrize("seed", range(5))
def test_a_fault_has_a_witness(seed: int) -> None:
    """The packet of a witness that shows something fares wrong by the switches, and right without the fault."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    walks = {probe: walk(Fabric(snapshot, tables), probe) for probe in probes(snapshot)}
    shown, changing = 0, 0
    for kind in FAULTS:
        fault = inject(tables, numbers_of(snapshot), kind, chance)
        if fault is None:
            continue
        found = [with_witness(finding, snapshot, fault.tables) for finding in findings(snapshot, fault.tables)]
        seen = [finding.witness for finding in found if finding.witness is not None and finding.witness.shows]
        for witness in seen:
            sending = Sending(witness.ingress, witness.packet)
            if not witness.said:
                sound = walk(Fabric(snapshot, tables), sending).fared
                assert walk(Fabric(snapshot, fault.tables), sending).fared != sound, (fault, witness)
                assert witness_text(witness)
        changed = kind not in OF_CHOICE and changes_reach(fault, snapshot, walks)
        changing += changed
        shown += changed and bool(seen)
    assert shown >= 0.7 * changing


@pytest.mark.parametrize("seed", range(6))
def test_of_sound_tables_nothing_has_a_witness(seed: int) -> None:
    """Whatever flow is suspected: pods, their answers and errors, nodes, tunnels and icmp0 fare as specified."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    for node in snapshot.nodes:
        for entry in chance.sample(list(tables[node].entries()), 6):
            suspect = Finding(Kind.LEAK, node, "is suspected", entry.flow.key, entry.flow.actions)
            witness = with_witness(suspect, snapshot, tables).witness
            assert witness is None or not witness.shows, witness_text(witness)


def place_of(stage: Stage, tables: Tables) -> tuple[str, SectionKey, Entry]:
    """Return a flow of a stage, where red's and blue's pods are; of several, one that leads into another space."""
    found = [
        (node, section, entry)
        for node in sorted(tables)
        for section, entries in sorted(tables[node].sections.items())
        for entry in entries
        if entry.flow[:2] == stage[:2]
    ]
    return next((each for each in found if any(a[:2] == (Op.SET, SPACE) for a in each[2].flow.actions)), found[0])


def without_space(flow: Flow) -> Flow:
    return flow._replace(actions=tuple(action for action in flow.actions if action[:2] != (Op.SET, SPACE)))


def without_match(flow: Flow) -> Flow:
    """Of ICMP_BACK only the marks are left."""
    return flow._replace(match=flow.match[:2])


def to_crossing(flow: Flow) -> Flow:
    return flow._replace(actions=(*flow.actions[:-1], goto(Table.CROSSING)))


def by_pods_port(flow: Flow) -> Flow:
    return flow._replace(match=((IN_PORT, 3, FULL_MASK[IN_PORT]),))


def next_prefix(flow: Flow) -> Flow:
    """The receiver's address becomes that of the next prefix."""
    code, field, value, mask = flow.actions[2]
    assert isinstance(value, int)
    assert isinstance(mask, int)
    moved = (code, field, value + (mask & -mask), mask)
    return flow._replace(actions=(*flow.actions[:2], moved, *flow.actions[3:]))


def whole_address(flow: Flow) -> Flow:
    """All pods of the sender's subnet become one address."""
    code, field, value, _ = flow.actions[1]
    return flow._replace(actions=(flow.actions[0], (code, field, value, 0xFFFF_FFFF), *flow.actions[2:]))


Make = Callable[[Flow], Flow | None]
TRANSLATED_FAULTS: tuple[tuple[Stage, Make, Kind, bool], ...] = (
    (pipeline.CROSS_TRANSLATED, next_prefix, Kind.LEAK, True),
    (pipeline.CROSS_TRANSLATED, whole_address, Kind.LEAK, True),
    (pipeline.CROSS_TRANSLATED, without_space, Kind.LEAK, True),
    (pipeline.CROSS_TRANSLATED, lambda flow: None, Kind.BLACK_HOLE, True),
    (pipeline.LOCAL_POD, without_space, Kind.LOOP, False),
    (pipeline.ICMP_BACK, to_crossing, Kind.LOOP, False),
    (pipeline.ICMP_BACK, without_match, Kind.SPOOF, True),
    (pipeline.DISPATCH_ICMP, by_pods_port, Kind.SPOOF, True),
    (pipeline.LEAVING_ERROR, lambda flow: None, Kind.BLACK_HOLE, True),
    (pipeline.ARRIVING_AGAIN, lambda flow: None, Kind.BLACK_HOLE, False),
)


@pytest.mark.parametrize(("stage", "make", "kind", "shown"), TRANSLATED_FAULTS)
def test_faults_of_translation_by_name(stage: Stage, make: Make, kind: Kind, shown: bool) -> None:
    """What they are called, and that a packet shows those that change who gets what."""
    snapshot = states()["two subnets joined with translation"]
    tables = compile_all(snapshot)
    node, section, entry = place_of(stage, tables)
    worse = make(entry.flow)
    put = [] if worse is None else [Entry(entry.cookie, worse)]
    faulty = tables.set(node, with_entries(tables[node], section, entry, put))
    found = [with_witness(finding, snapshot, faulty) for finding in findings(snapshot, faulty)]
    assert kind in {finding.kind for finding in found}
    assert any(finding.witness is not None and finding.witness.shows for finding in found) or not shown


# --- faults of services --------------------------------------------------------------------------


def services_only() -> Snapshot:
    """Red and blue may use services of each other and nothing else; each has a pod, which is an endpoint."""
    return states()["endpoints for services of each other only"]


def clients_stay(snapshot: Snapshot) -> Snapshot:
    return after(
        snapshot,
        *(requests.CreateService(replace(each, affinity=10800)) for each in snapshot.services.values()),
    )


def many_endpoints() -> Snapshot:
    """More endpoints than one group holds, of one port of two; the address is in the second range."""
    start = states()["two cluster CIDRs and a controller"]
    addresses = tuple(str(IPv4Address("203.0.0.1") + 7 * number) for number in range(MOST_BUCKETS + 50))
    ports = (NamedPort("TCP", 8443, "tcp-443"), NamedPort("UDP", 53, "udp-53"))
    return after(
        start,
        requests.CreateNetwork("red", projects=("red",)),
        service("172.31.7.7", ("TCP", 443), ("UDP", 53)),
        endpoints(*addresses, ports=ports),
        endpoints("198.51.100.9", key=SliceKey("red", "api-2"), ports=ports[1:]),
    )


def from_outside() -> Snapshot:
    """A service of a network with a range of its own, for who comes from outside by his own address."""
    key, port = ServiceKey("red", "api"), NamedPort("TCP", 443)
    return after(
        states()["pods with equal addresses"],
        requests.CreateService(Service(key, IPv4Address("172.30.0.20"), (port,), external_local=True)),
        endpoints("10.128.0.2", ports=(NamedPort("TCP", 8443),), node="n1"),
    )


def places_of(tables: Tables, stage: Stage) -> list[Place]:
    """Return all flows of a stage."""
    return [
        (node, section, entry)
        for node in sorted(tables)
        for section, entries in sorted(tables[node].sections.items())
        for entry in entries
        if entry.flow[:2] == stage[:2]
    ]


# Stages of services, and the others that services made or changed.
BY_SERVICES = (
    *(stage for stage in stages() if stage.feature in (FeatureId.SERVICES, FeatureId.OUTSIDE)),
    *(pipeline.TUNNEL_PEER, pipeline.TUNNEL_ROUTE, pipeline.NODE_HAIRPIN, pipeline.NODE_SERVICE, pipeline.NODE_REPLY),
    *(
        pipeline.SERVICE_RANGE,
        pipeline.SERVICE_NODE_PORT,
        pipeline.NODE_PORT_NONE,
        pipeline.SERVICE_KNOWN,
        pipeline.ROUTE_HAIRPIN,
        pipeline.ROUTE_LOCAL,
    ),
    *(pipeline.SERVICE_REPLY, pipeline.SERVICE_REPLY_NONE, pipeline.HAIRPIN_SELF, pipeline.HAIRPIN_NONE),
    *(pipeline.DELIVER_SERVICE, pipeline.DELIVER_ANSWER, pipeline.OUTPUT_BALANCER, pipeline.OUTPUT_HAIRPIN),
    *(pipeline.DELIVER_ERROR, pipeline.ANSWERING_ERROR, pipeline.ANSWERING_AGAIN, pipeline.ICMP_BACK),
)
SERVED: dict[str, Callable[[], Snapshot]] = {
    "services only": services_only,
    "services only, ranges of their own": lambda: states()["for services of each other only, with ranges of their own"],
    "services only, clients stay": lambda: clients_stay(services_only()),
    "many endpoints": many_endpoints,
    "many endpoints, clients stay": lambda: clients_stay(many_endpoints()),
    "node ports": lambda: states()["services with node ports"],
    "node ports, clients stay": lambda: clients_stay(states()["services with node ports"]),
    "from outside": from_outside,
    "from outside, clients stay": lambda: clients_stay(from_outside()),
    "local endpoints": lambda: states()["endpoints that go away, and one on the client's own node only"],
}


def sample(places: list[Place], most: int, chance: Random) -> list[Place]:
    return chance.sample(places, min(len(places), most))


@pytest.mark.parametrize("name", SERVED)
def test_every_fault_of_every_flow_of_services_is_caught(name: str) -> None:
    """Whatever kind of fault a flow can have, by the whole and by the check of its section."""
    snapshot = SERVED[name]()
    tables = compile_all(snapshot)
    numbers = replace(numbers_of(snapshot), addresses=(int(IPv4Address("10.128.0.2")), int(IPv4Address("10.128.2.2"))))
    chance, caught = Random(name), Counter[str]()
    some = [each for stage in BY_SERVICES for each in sample(places_of(tables, stage), 4, chance)]
    for place in some:
        for kind in FAULTS:
            fault = inject_at(tables, place, kind, numbers, chance)
            if fault is not None:
                whole, of_section = alarms(fault, snapshot, tables)
                assert whole, fault
                assert of_section, fault
                caught[kind] += 1
    assert findings(snapshot, tables) == []
    assert caught.total() >= 200


# Stages of egresses, and those that lead there or would lead past them.
BY_EGRESSES = (
    *(stage for stage in stages() if stage.feature is FeatureId.EGRESS),
    *(pipeline.EGRESS_REPLY, pipeline.EGRESS_RELATED, pipeline.ROUTE_NODE_PORTS, pipeline.ROUTE_OUTSIDE),
)
LEAVING = (
    "an address that this node holds",
    "an address that another node holds",
    "an address that no node holds",
    "addresses for pods by label",
    "an address of a network with a range of its own",
)


@pytest.mark.parametrize("name", LEAVING)
def test_every_fault_of_every_flow_of_egresses_is_caught(name: str) -> None:
    snapshot = states()[name]
    tables = compile_all(snapshot)
    chance, caught = Random(name), Counter[str]()
    for stage in BY_EGRESSES:
        for place in places_of(tables, stage):
            for kind in FAULTS:
                fault = inject_at(tables, place, kind, numbers_of(snapshot), chance)
                if fault is not None:
                    whole, of_section = alarms(fault, snapshot, tables)
                    assert whole, fault
                    assert of_section, fault
                    caught[kind] += 1
    assert findings(snapshot, tables) == []
    assert caught.total() >= 90


BY_GATEWAYS = tuple(stage for stage in stages() if stage.feature is FeatureId.GATEWAYS)
LED = ("a gateway on this node", "a gateway on another node", "a gateway that is not there")


@pytest.mark.parametrize("name", LED)
def test_every_fault_of_every_flow_of_gateways_is_caught(name: str) -> None:
    snapshot = states()[name]
    tables = compile_all(snapshot)
    chance, caught = Random(name), Counter[str]()
    for stage in BY_GATEWAYS:
        for place in places_of(tables, stage):
            for kind in FAULTS:
                fault = inject_at(tables, place, kind, numbers_of(snapshot), chance)
                if fault is not None:
                    whole, of_section = alarms(fault, snapshot, tables)
                    assert whole, fault
                    assert of_section, fault
                    caught[kind] += 1
    assert findings(snapshot, tables) == []
    assert caught.total() >= 12


# What is done for red's pods: what a fault is called, and whether a packet shows it.
EGRESS_FAULTS: tuple[tuple[Stage, str, Kind, bool], ...] = (
    (pipeline.ROUTE_EGRESS, "delete", Kind.BLACK_HOLE, True),
    (pipeline.ROUTE_EGRESS, "egress_of_another", Kind.LEAK, True),
    (pipeline.EGRESS_BY, "endpoint_elsewhere", Kind.LEAK, True),
    (pipeline.EGRESS_BY, "mark_of_another", Kind.LEAK, False),  # it may be a global one
    (pipeline.EGRESS_BY, "untranslated", Kind.LEAK, True),
    (pipeline.EGRESS_BY, "delete", Kind.BLACK_HOLE, True),
    (pipeline.EGRESS_LEAVES, "drop_term", Kind.LEAK, False),
    (pipeline.EGRESS_LEAVES, "change_mac", Kind.LEAK, True),
    (pipeline.EGRESS_BACK, "untranslated", Kind.LEAK, True),
    (pipeline.EGRESS_BACK, "change_zone", Kind.LEAK, True),
)


@pytest.mark.parametrize(("stage", "fault", "kind", "shown"), EGRESS_FAULTS)
def test_faults_of_egresses_by_name(stage: Stage, fault: str, kind: Kind, shown: bool) -> None:
    snapshot = states()["an address that this node holds"]
    tables = compile_all(snapshot)
    made = inject_at(tables, places_of(tables, stage)[0], fault, numbers_of(snapshot), Random(0))
    assert made is not None
    found = [with_witness(finding, snapshot, made.tables) for finding in findings(snapshot, made.tables)]
    assert kind in {finding.kind for finding in found}
    assert any(finding.witness is not None and finding.witness.shows for finding in found) or not shown


STARTS = tuple((pipeline.BALANCE, kind) for kind in ("endpoint_elsewhere", "endpoint_port", "mark_of_another"))
# Of what is done for blue's service, to which red has no other way: what it is called, and whether a packet shows it.
SERVICE_FAULTS: tuple[tuple[Stage, str, Kind, bool], ...] = (
    *((stage, kind, Kind.LEAK, True) for stage, kind in STARTS),
    (pipeline.BALANCE, "untranslated", Kind.LEAK, True),
    (pipeline.BALANCE, "bucket_astray", Kind.LOOP, True),
    (pipeline.BALANCE, "lose_bucket", Kind.LEAK, True),
    (pipeline.BALANCE, "more_buckets", Kind.LEAK, False),
    (pipeline.BALANCE, "group_of_another", Kind.LEAK, False),
    (pipeline.BALANCE, "stray_group", Kind.LEAK, False),
    (pipeline.BALANCE, "other_service", Kind.LEAK, True),
    (pipeline.BALANCE, "delete", Kind.BLACK_HOLE, True),
    (pipeline.SERVICE_PORT, "other_service", Kind.LEAK, True),
    (pipeline.SERVICE_PORT, "relabel", Kind.LEAK, False),  # the endpoint's node decides again
    (pipeline.SERVICE_PORT, "mark_of_another", Kind.LEAK, True),
    (pipeline.SERVICE_RANGE, "untranslated", Kind.LEAK, True),
    (pipeline.SERVICE_KNOWN, "delete", Kind.BLACK_HOLE, True),
    (pipeline.SERVICE_KNOWN, "mark_amiss", Kind.LEAK, False),
    (pipeline.SERVICE_REPLY, "untranslated", Kind.SPOOF, True),
    (pipeline.SERVICE_REPLY, "change_zone", Kind.SPOOF, True),
    (pipeline.HAIRPIN_SELF, "hairpin_of_another", Kind.SPOOF, True),
    (pipeline.HAIRPIN_SELF, "endpoint_elsewhere", Kind.SPOOF, False),
    (pipeline.ROUTE_HAIRPIN, "change_zone", Kind.LEAK, True),
    (pipeline.DELIVER_SERVICE, "mark_of_another", Kind.LEAK, True),
    (pipeline.DELIVER_SERVICE, "delete", Kind.BLACK_HOLE, True),
    (pipeline.DELIVER_ANSWER, "mark_of_another", Kind.LEAK, True),
    (pipeline.DELIVER_ANSWER, "delete", Kind.BLACK_HOLE, True),
    (pipeline.NODE_SERVICE, "change_goto", Kind.SPOOF, True),
    (pipeline.OUTPUT_HAIRPIN, "other_end", Kind.SPOOF, False),
    (pipeline.OUTPUT_BALANCER, "delete", Kind.BLACK_HOLE, True),
    (pipeline.TUNNEL_PEER, "mark_amiss", Kind.SPOOF, False),
)


@pytest.mark.parametrize(("stage", "fault", "kind", "shown"), SERVICE_FAULTS)
def test_faults_of_services_by_name(stage: Stage, fault: str, kind: Kind, shown: bool) -> None:
    """What they are called, and that a packet shows those that change who gets what; nothing else is at fault."""
    snapshot = services_only()
    tables = compile_all(snapshot)
    chance = Random(3)  # by which what goes astray goes somewhere where a packet shows it
    made = inject_at(tables, places_of(tables, stage)[0], fault, numbers_of(snapshot), chance)
    assert made is not None
    found = [with_witness(finding, snapshot, made.tables) for finding in findings(snapshot, made.tables)]
    assert kind in {finding.kind for finding in found}
    assert {finding.node for finding in found} == {made.node}
    assert any(finding.witness is not None and finding.witness.shows for finding in found) or not shown


def without(*actions: Action) -> Callable[[Flow], Flow]:
    return lambda flow: flow._replace(actions=tuple(each for each in flow.actions if each not in actions))


LOOPS: tuple[tuple[Stage, Callable[[Flow], Flow]], ...] = (
    (pipeline.OUTPUT_HAIRPIN, without((Op.NO_IN_PORT,))),
    (pipeline.BALANCE, without(load(OUTPUT_PORT, TUN_OFPORT))),
    (pipeline.BALANCE, lambda flow: flow._replace(actions=(*flow.actions[:-1], resubmit(Table.SERVICES)))),
    (pipeline.SERVICE_REPLY, lambda flow: flow._replace(actions=(goto(Table.ROUTING),))),
    (pipeline.ROUTE_ANSWER, without(load(OUTSIDE, ASKED))),
)


@pytest.mark.parametrize(("stage", "make"), LOOPS)
def test_what_leads_back_for_ever_is_called_so(stage: Stage, make: Callable[[Flow], Flow]) -> None:
    """And no other fault of these flows is, though they lead back."""
    snapshot = from_outside() if stage is pipeline.ROUTE_ANSWER else states()["services of two networks"]
    tables = compile_all(snapshot)
    node, section, entry = places_of(tables, stage)[0]
    faulty = tables.set(node, with_entries(tables[node], section, entry, [Entry(entry.cookie, make(entry.flow))]))
    assert {finding.kind for finding in findings(snapshot, faulty)} == {Kind.LOOP}
    more = entry.flow._replace(actions=(load(OUTPUT_PORT, 3), *entry.flow.actions))
    other = tables.set(node, with_entries(tables[node], section, entry, [Entry(entry.cookie, more)]))
    assert Kind.LOOP not in {finding.kind for finding in findings(snapshot, other)}


def test_two_ports_of_a_service_that_share_a_group_are_told() -> None:
    snapshot = services_only()
    tables = compile_all(snapshot)
    balanced = [place for place in places_of(tables, pipeline.BALANCE) if place[1].subject == ("red", "api")]
    (node, section, one), (_, _, other), *_ = balanced
    actions = tuple(select(one.flow.groups[0].group_id) if each[0] == Op.GROUP else each for each in other.flow.actions)
    groups = (other.flow.groups[0]._replace(group_id=one.flow.groups[0].group_id),)
    worse = Entry(other.cookie, other.flow._replace(actions=actions, groups=groups))
    faulty = tables.set(node, with_entries(tables[node], section, other, [worse]))
    step = Step((), snapshot, snapshot, tables, faulty, {node: {section}})
    for found in (findings(snapshot, faulty), check(step)):
        assert [(finding.kind, finding.owner) for finding in found] == [(Kind.LEAK, section)]


def test_a_slice_that_passes_to_another_service_concerns_both() -> None:
    """Neither the compiler nor the check of a change leaves the first with its endpoints."""
    start = after(
        services_only(),
        service("172.30.0.40", ("TCP", 443), ("UDP", 53), key=ServiceKey("red", "other")),
    )
    tables = compile_all(start)
    given = replace(next(start.slices[key] for key in start.slices if key.project == "red"), service="other")
    snapshot, changes = apply_all(start, admit(start, requests.PutEndpoints(given)))
    new, dirty = update(tables, changes, start, snapshot)
    assert new == compile_all(snapshot)
    assert check(Step(changes, start, snapshot, tables, new, dirty)) == ()
    for key in (("red", "api"), ("red", "other")):
        worse = {
            node: table_of(table.sections.set(section, past))
            for node, table in new.items()
            for section in table.sections
            if section.subject == key
            for past in (tables[node].sections[section],)
        }
        fewer = {
            node: {*keys} - {section for section in keys if section.subject == key} for node, keys in dirty.items()
        }
        found = check(Step(changes, start, snapshot, tables, new.update(worse), fewer))
        assert {finding.node for finding in found} == {*snapshot.nodes}


# --- changes -------------------------------------------------------------------------------------

CHANGES = 45  # that are granted, in each of the networks: 900 in all, and every second request is about services


@pytest.mark.parametrize("seed", SEEDS)
def test_no_false_alarm_and_what_the_compiler_forgets_is_noticed(seed: int) -> None:
    """Each granted change is checked as it is; then with one section left as it was, as if no feature had named it."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    granted_changes = 0
    while granted_changes < CHANGES:
        before, old = snapshot, tables
        request = chance.choice((seeded.request, seeded.about_services))(chance)
        snapshot, changes = apply_all(before, granted(before, request))
        if not changes:
            continue
        granted_changes += 1
        tables, dirty = update(old, changes, before, snapshot)
        assert check(Step(changes, before, snapshot, old, tables, dirty)) == ()
        assert findings(snapshot, tables) == []
        forgotten = forget(old, tables, dirty, chance)
        if forgotten is not None:
            node, worse, fewer = forgotten
            found = check(Step(changes, before, snapshot, old, worse, fewer))
            assert {finding.node for finding in found} == {node}, changes
            assert findings(snapshot, worse)


def forget(old: Tables, new: Tables, dirty: Dirty, chance: Random) -> tuple[str, Tables, Dirty] | None:
    """Return tables in which one section is still as it was, and the sections that were named; None: all are equal."""
    differ = [
        (node, key)
        for node, keys in sorted(dirty.items())
        for key in sorted(keys)
        if node in old and {*old[node].sections.get(key, ())} != {*new[node].sections.get(key, ())}
    ]
    if not differ:
        return None
    node, key = chance.choice(differ)
    fewer = {name: keys - {key} if name == node else keys for name, keys in dirty.items()}
    past = old[node].sections.get(key)
    sections = new[node].sections
    sections = sections.set(key, past) if past else sections.delete(key)
    return node, new.set(node, table_of(sections)), fewer


# --- the gate ------------------------------------------------------------------------------------


def broken(snapshot: Snapshot, tables: Tables) -> Fault:
    """A pod's address that leads to somebody else's port."""
    for seed in range(100):
        fault = inject(tables, numbers_of(snapshot), "swap_port", Random(seed))
        if fault is not None and fault.before.table == Table.LOCAL and fault.section.feature == FeatureId.PORTS:
            return fault
    raise AssertionError("no flow to break")


def step_of(fault: Fault, snapshot: Snapshot, tables: Tables) -> Step:
    return Step((), snapshot, snapshot, tables, fault.tables, {fault.node: {fault.section}})


def test_a_change_that_is_not_sound_is_refused_with_a_witness() -> None:
    snapshot = states()["pods of two networks"]
    tables = compile_all(snapshot)
    fault = broken(snapshot, tables)
    with pytest.raises(Unsafe) as refusal:
        passed(step_of(fault, snapshot, tables), may_refuse=True)
    assert refusal.value.reason is Reason.UNSAFE
    assert "witness: " in refusal.value.cause
    (finding,) = refusal.value.findings
    assert finding.witness is not None
    assert finding.witness.shows


def test_what_has_happened_is_not_refused_but_left_out() -> None:
    snapshot = states()["pods of two networks"]
    tables = compile_all(snapshot)
    fault = broken(snapshot, tables)
    sound = passed(step_of(fault, snapshot, tables), may_refuse=False)
    table = sound[fault.node]
    assert fault.section not in table.sections
    assert [found.left_out for found in table.faults] == [fault.section]
    assert set(table.sections) == set(tables[fault.node].sections) - {fault.section}
    # The next change of the node compiles it anew, and finds it as it should be.
    again, dirty = update(sound, (Change(None, snapshot.nodes[fault.node]),), snapshot, snapshot)
    assert passed(Step((), snapshot, snapshot, sound, again, dirty), may_refuse=True) == tables


def test_a_node_that_is_at_fault_refuses_nothing_else() -> None:
    snapshot = states()["pods of two networks"]
    tables = compile_all(snapshot)
    fault = broken(snapshot, tables)
    sound = passed(step_of(fault, snapshot, tables), may_refuse=False)
    # It is still at fault when the next request comes.
    step = Step((), snapshot, snapshot, sound, fault.tables, {fault.node: {*tables[fault.node].sections}})
    assert passed(step, may_refuse=True) == sound


def test_tables_at_the_start_are_proven_too() -> None:
    snapshot = states()["pods of two networks"]
    tables = compile_all(snapshot)
    assert provable(snapshot, tables) is tables
    fault = broken(snapshot, tables)
    assert provable(snapshot, fault.tables)[fault.node].faults


# --- statements ----------------------------------------------------------------------------------


def test_a_statement_is_of_one_network_however_it_came_about() -> None:
    snapshot = states()["joined networks"]
    tables = compile_all(snapshot)
    pauses: list[None] = []
    found = state(Scene(7, snapshot, tables, tables), lambda: pauses.append(None))
    assert found.is_proven
    assert (found.revision, sum(claim.flows for claim in found.claims)) == (7, sum(node.flows for node in found.nodes))
    assert all(node.installed for node in found.nodes)
    assert len(pauses) >= len(snapshot.nodes)
    again = after(snapshot, requests.SetGlobal("red", True), requests.IsolateNetworks("red"))
    back = after(again, requests.JoinNetworks("red", "blue"))
    other = state(Scene(9, back, compile_all(back), Map()), lambda: None)
    assert other.digest == found.digest
    assert [node.digest for node in other.nodes] == [node.digest for node in found.nodes]
    assert not any(node.installed for node in other.nodes)
    different = state(Scene(9, again, compile_all(again), Map()), lambda: None)
    assert different.digest != found.digest
    assert [node.digest for node in different.nodes] != [node.digest for node in found.nodes]


def test_a_statement_of_what_is_wrong_says_so() -> None:
    snapshot = states()["joined networks"]
    tables = compile_all(snapshot)
    fault = broken(snapshot, tables)
    found = state(Scene(7, snapshot, fault.tables, tables), lambda: None)
    assert not found.is_proven
    assert [(node.node, node.findings) for node in found.nodes if node.findings] == [(fault.node, 1)]
    assert found.findings[0].witness is not None


# Stages of neighbour discovery, and those that have flows of IPv6 besides.
OF_NEIGHBOURS = (
    *(stage for stage in stages() if stage.feature is FeatureId.ND),
    *(pipeline.NODE_ND, pipeline.POD_ND, pipeline.POD_ADDRESS, pipeline.LOCAL_POD, pipeline.ROUTE_MULTICAST),
    *(pipeline.TUNNEL_ROUTE, pipeline.ROUTE_EGRESS, pipeline.SERVICE_PORT),
)


@pytest.mark.parametrize("name", ["a service of IPv6", "an address of IPv4 for pods of both families"])
def test_every_fault_of_every_flow_of_ipv6_is_caught(name: str) -> None:
    snapshot = states()[name]
    tables = compile_all(snapshot)
    numbers, chance, caught = numbers_of(snapshot), Random(name), Counter[str]()
    six = (fields.ETH_TYPE, fields.ETH_IPV6, 0xFFFF)
    for stage in OF_NEIGHBOURS:
        places = [place for place in places_of(tables, stage) if six in place[2].flow.match or not place[2].flow.match]
        for place in places[:6]:
            for kind in FAULTS:
                fault = inject_at(tables, place, kind, numbers, chance)
                if fault is not None:
                    whole, of_section = alarms(fault, snapshot, tables)
                    assert whole, fault
                    assert of_section, fault
                    caught[kind] += 1
    assert findings(snapshot, tables) == []
    assert caught.total() >= 200


ALONE = "pods of IPv6 alone"


@pytest.mark.parametrize("name", ["a service of IPv6", ALONE])
def test_a_fault_in_ipv6_has_a_witness(name: str) -> None:
    """What somebody gets, or does not get, for lack of a flow is shown by a packet of IPv6."""
    snapshot = states()["a service of IPv6"]
    if name == ALONE:
        snapshot = after(
            states()["a pod of IPv6 alone"], report("e", key=PortKey("n1", "e", "eth0"), project="default")
        )
        snapshot = after(snapshot, requests.PortSeen("n1", "ve", 4))
    tables = compile_all(snapshot)
    shown = Counter[str]()
    for stage in (pipeline.POD_NO_ND, pipeline.POD_ND, pipeline.POD_ADDRESS, pipeline.ND_SOLICITED, pipeline.LOCAL_POD):
        for place in places_of(tables, stage):
            fault = inject_at(tables, place, "delete", numbers_of(snapshot), Random(name))
            if fault is None:
                continue
            for finding in findings(snapshot, fault.tables):
                witness = with_witness(finding, snapshot, fault.tables).witness
                if witness is not None and witness.shows:
                    witness_text(witness)
                    shown[str(witness.packet.get(fields.ETH_TYPE))] += 1
    assert shown[str(fields.ETH_IPV6)] >= 6, shown
