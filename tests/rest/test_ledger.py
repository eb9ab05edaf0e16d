"""The ledger of addresses: what it shows, and that its proof finds every kind of fault and nothing in sound states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webtest import TestApp

from rest import ledger
from rest.control import Published
from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, bearer, problem, report
from topology.model import AddressBlock, Port, PortKey, Quarantine, Subnet
from topology.requests import (
    CreateNetwork,
    CreateNode,
    DeleteNode,
    ForgetPort,
    JoinNetworks,
    PortSeen,
    PortVanished,
    Refused,
    ReleaseAddresses,
    ReportPort,
    Request,
    SwitchPorts,
)
from topology.snapshot import Event, Put, Remove, apply_all

KEY = PortKey("n1", "c1", "eth0")
EAST = PortKey("n1", "e1", "eth0")


@pytest.fixture
def pods(network: TestApp, control: MemoryControl) -> TestApp:
    """Pods red/pod-c1 and east/pod-e1 on n1, blue/pod-c2 on n2; all are on their switches, and one more was on n2."""
    network.post_json(
        "/v1/networks", {"name": "east", "projects": ["east"], "subnets": [{"cidr": "10.0.0.0/24"}]}, status=201
    )
    pods = (("n1", "c1", "red"), ("n1", "e1", "east"), ("n2", "c2", "blue"), ("n2", "old", "east"))
    for number, (node, container, project) in enumerate(pods, 10):
        report(network, node, container, project=project)
        control.submit(PortSeen(node, f"v{container}", number))
    network.delete("/v1/nodes/n2/ports/old/eth0", headers=bearer("token-2-of-n2"), status=204)
    return network


def listed(app: TestApp, query: str = "") -> list[tuple[str, int, str, str | None]]:
    found = app.get(f"/v1/addresses{query}").json["addresses"]
    return [(entry["address"], entry["space"], entry["state"], entry["network"]) for entry in found]


def test_every_address_is_listed_with_who_has_it(pods: TestApp) -> None:
    entries = pods.get("/v1/addresses").json["addresses"]
    assert entries[0] == {
        "address": "10.128.0.2",
        "space": 0,
        "network": "red",
        "state": "bound",
        "port": {"project": "red", "pod": "pod-c1", "container": "c1", "interface": "eth0"},
        "node": "n1",
    }
    assert listed(pods) == [
        ("10.128.0.2", 0, "bound", "red"),
        ("10.128.0.3", 0, "bound", "east"),
        ("10.128.2.2", 0, "bound", "blue"),
        ("10.128.2.3", 0, "quarantined", None),
        ("10.0.0.2", 12, "bound", "east"),
        ("10.0.0.16", 12, "quarantined", "east"),
    ]
    assert entries[-1] == {
        "address": "10.0.0.16",
        "space": 12,
        "network": "east",
        "state": "quarantined",
        "port": None,
        "node": "n2",
    }


@pytest.mark.parametrize(
    ("query", "addresses"),
    [
        ("?network=red", ["10.128.0.2"]),
        ("?network=east", ["10.128.0.3", "10.0.0.2", "10.0.0.16"]),
        ("?network=east&state=bound&node=n1", ["10.128.0.3", "10.0.0.2"]),
        ("?node=n2", ["10.128.2.2", "10.128.2.3", "10.0.0.16"]),
        ("?state=quarantined", ["10.128.2.3", "10.0.0.16"]),
        ("?network=none", []),
    ],
)
def test_addresses_are_filtered(pods: TestApp, query: str, addresses: list[str]) -> None:
    assert [entry[0] for entry in listed(pods, query)] == addresses


@pytest.mark.parametrize(
    ("query", "path"),
    [("state=free", "$.state"), ("node=No", "$.node"), ("network=No", "$.network"), ("space=0", "$.space")],
)
def test_a_filter_is_refused(pods: TestApp, query: str, path: str) -> None:
    assert problem(pods.get(f"/v1/addresses?{query}", status=400))["path"] == path


def test_who_has_and_who_had_an_address(pods: TestApp) -> None:
    now = pods.get("/v1/addresses/10.128.0.2").json
    assert (now["entry"]["state"], now["entry"]["port"]["pod"]) == ("bound", "pod-c1")
    assert [(entry["state"], entry["pod"]) for entry in now["history"]] == [("allotted", "red/pod-c1")]
    left = pods.get("/v1/addresses/10.0.0.16?space=12").json
    assert (left["entry"]["state"], left["entry"]["port"]) == ("quarantined", None)
    assert [(entry["state"], entry["node"], entry["attachment"]) for entry in left["history"]] == [
        ("quarantined", "n2", "old/eth0"),
        ("allotted", "n2", "old/eth0"),
    ]
    assert len(pods.get("/v1/addresses/10.0.0.16?space=12&most=1").json["history"]) == 1
    nobody = pods.get("/v1/addresses/10.128.0.99").json
    assert (nobody["entry"], nobody["history"]) == (None, [])


def test_an_address_that_is_free_again(pods: TestApp, control: MemoryControl) -> None:
    control.submit(ReleaseAddresses(((0, IPv4Address("10.128.2.3")),)))
    body = pods.get("/v1/addresses/10.128.2.3").json
    assert body["entry"] is None
    assert [entry["state"] for entry in body["history"]] == ["free", "quarantined", "allotted"]
    assert body["history"][0] | {"at": ""} == {"at": "", "state": "free", "node": "n2", "pod": None, "attachment": None}


def test_an_address_is_allotted_until_its_switch_delivers_to_it(pods: TestApp, control: MemoryControl) -> None:
    report(pods, "n1", "c7", project="red")
    assert pods.get("/v1/addresses?state=allotted").json["addresses"][0]["port"]["container"] == "c7"
    control.submit(PortSeen("n1", "vc7", 77))
    assert pods.get("/v1/addresses?state=allotted").json["addresses"] == []


@pytest.mark.parametrize("where", ["none", "10.0.0.2?space=-1", "10.0.0.2?most=0", "10.0.0.300"])
def test_what_is_no_address_is_refused(pods: TestApp, where: str) -> None:
    assert problem(pods.get(f"/v1/addresses/{where}", status=400))["status"] == 400


# --- the proof -----------------------------------------------------------------------------------


def check(app: TestApp) -> Json:
    found: Json = app.get("/v1/addresses/check").json
    assert found["ok"] == (not found["findings"])
    return found


def alter(control: MemoryControl, *events: Event) -> None:
    """Change the snapshot behind admission's back, and compile nothing anew."""
    before = control.published
    control.publish(replace(before, snapshot=apply_all(before.snapshot, events)[0]))


def test_a_sound_ledger(pods: TestApp) -> None:
    assert check(pods) == {"ok": True, "ports": 3, "held": 4, "quarantined": 2, "findings": []}


def port(control: MemoryControl, key: PortKey = KEY) -> Port:
    return control.published.snapshot.ports[key]


def held_twice(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control), key=PortKey("n1", "c9", "eth0"), host_interface="v9")))


def kept_for_nobody(control: MemoryControl) -> None:
    snapshot = control.published.snapshot
    holder = snapshot.holder.set((0, IPv4Address("10.128.0.77")), KEY)
    control.publish(replace(control.published, snapshot=replace(snapshot, holder=holder)))


def kept_for_another(control: MemoryControl) -> None:
    snapshot = control.published.snapshot
    holder = snapshot.holder.set((0, IPv4Address("10.128.0.2")), EAST)
    control.publish(replace(control.published, snapshot=replace(snapshot, holder=holder)))


def leaked(control: MemoryControl) -> None:
    snapshot = control.published.snapshot
    taken = snapshot.taken.set(next(iter(snapshot.taken)), (1 << 512) - 1)
    control.publish(replace(control.published, snapshot=replace(snapshot, taken=taken)))


def given_again(control: MemoryControl) -> None:
    snapshot = control.published.snapshot
    control.publish(replace(control.published, snapshot=replace(snapshot, taken=type(snapshot.taken)())))


def outside_its_node(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control), addresses=(IPv4Address("10.128.2.9"),))))


def the_gateway_s(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control), addresses=(IPv4Address("10.128.0.1"),))))


def outside_its_network(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control, EAST), addresses=(IPv4Address("10.0.1.2"),))))


def outside_its_blocks(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control, EAST), addresses=(IPv4Address("10.0.0.200"),))))


def in_another_node_s_block(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control, EAST), addresses=(IPv4Address("10.0.0.17"),))))


def in_another_space(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control, EAST), space=11)))


def without_a_cluster_address(control: MemoryControl) -> None:
    alter(control, Put(replace(port(control, EAST), cluster_addresses=())))


def a_block_of_nobody(control: MemoryControl) -> None:
    alter(control, Put(AddressBlock("east", ip_network("10.0.0.64/28"), "n1")))


def blocks_that_overlap(control: MemoryControl) -> None:
    alter(control, Put(AddressBlock("east", ip_network("10.0.0.0/27"), "n2")))


def a_block_outside_its_network(control: MemoryControl) -> None:
    alter(control, Put(AddressBlock("east", ip_network("10.9.0.0/28"), "n1")))


def quarantined_and_held(control: MemoryControl) -> None:
    alter(control, Put(Quarantine(12, IPv4Address("10.0.0.2"), "n1")))


def on_its_way(control: MemoryControl) -> None:
    control.stuck.add("n1")
    control.submit(ReportPort(PortKey("n1", "c9", "eth0"), "red", "late", "vc9"))
    control.submit(PortSeen("n1", "vc9", 99))


def not_seen(control: MemoryControl) -> None:
    control.submit(ReportPort(PortKey("n1", "c9", "eth0"), "red", "late", "vc9"))


def released_too_early(control: MemoryControl) -> None:
    control.stuck.add("n1")
    control.submit(ForgetPort(EAST))
    control.submit(ReleaseAddresses(tuple(control.published.snapshot.quarantined)))


def given_too_early(control: MemoryControl) -> None:
    released_too_early(control)
    old = port(control)
    alter(control, Remove(old), Put(replace(old, addresses=(IPv4Address("10.128.0.3"),))))


@pytest.mark.parametrize(
    ("fault", "kinds", "said"),
    [
        (
            held_twice,
            {"held-twice", "not-on-switch", "left-on-switch"},
            "port red/pod-c1 (n1/c1/eth0) and port red/pod-c1 (n1/c9/eth0)",
        ),
        (kept_for_nobody, {"wrong-index"}, "address 10.128.0.77 is kept for port n1/c1/eth0, which does not have it"),
        (kept_for_another, {"wrong-index"}, "address 10.128.0.2 is held by port red/pod-c1"),
        (leaked, {"wrong-index"}, "will never be given again"),
        (given_again, {"wrong-index", "wrong-block"}, "can be given to another pod"),
        (
            outside_its_node,
            {"misplaced", "not-on-switch", "left-on-switch"},
            '10.128.2.9 is none that pods of node "n1" may have',
        ),
        (
            the_gateway_s,
            {"misplaced", "not-on-switch", "left-on-switch"},
            '10.128.0.1 is none that pods of node "n1" may have',
        ),
        (
            outside_its_network,
            {"misplaced", "not-on-switch", "left-on-switch", "wrong-block"},
            "10.0.1.2 is none that pods of network",
        ),
        (
            outside_its_blocks,
            {"misplaced", "not-on-switch", "left-on-switch", "wrong-block"},
            "10.0.0.200 is in no block of network",
        ),
        (
            in_another_node_s_block,
            {"misplaced", "not-on-switch", "left-on-switch", "wrong-block"},
            "10.0.0.17 is in no block",
        ),
        (
            in_another_space,
            {"misplaced", "not-on-switch", "left-on-switch", "wrong-block"},
            "in space 11, its network's in space 12",
        ),
        (
            without_a_cluster_address,
            {"misplaced", "left-on-switch"},
            "0 cluster addresses for 1 addresses",
        ),
        (a_block_of_nobody, {"wrong-block"}, "block 10.0.0.64/28 of network east is kept for node n1"),
        (blocks_that_overlap, {"wrong-block"}, "10.0.0.0/28 of network east overlaps 10.0.0.0/27"),
        (a_block_outside_its_network, {"wrong-block"}, "is in no subnet of its network"),
        (quarantined_and_held, {"quarantined-and-held"}, "address 10.0.0.2 (space 12) is in quarantine, and port east"),
        (on_its_way, {"not-on-switch"}, "is Pending: the switch has not acknowledged its flows"),
        (not_seen, {"not-on-switch"}, "is Pending: the switch has not reported interface vc9"),
        (
            released_too_early,
            {"left-on-switch"},
            "is delivered to port n1/e1/eth0 by the switch of n1, and is nobody's",
        ),
        (given_too_early, {"left-on-switch", "not-on-switch"}, "and is port n1/c1/eth0's"),
    ],
)
def test_every_fault_is_found(
    pods: TestApp, control: MemoryControl, fault: Callable[[MemoryControl], None], kinds: set[str], said: str
) -> None:
    fault(control)
    findings = check(pods)["findings"]
    assert {finding["kind"] for finding in findings} == kinds
    assert said in "\n".join(f"{finding['subject']} {finding['cause']}" for finding in findings)


# --- no false alarm ------------------------------------------------------------------------------

KEYS = [PortKey(f"n{node}", f"c{number}", "eth0") for node in (1, 2) for number in range(4)]
keys = st.sampled_from(KEYS)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        lambda key, project: ReportPort(key, project, f"pod-{key.container}", f"v{key.container}"),
        keys,
        st.sampled_from(["red", "east", "west", "flat"]),
    ),
    st.builds(lambda key, ofport: PortSeen(key.node, f"v{key.container}", ofport), keys, st.integers(3, 9)),
    st.builds(lambda key: PortVanished(key.node, f"v{key.container}"), keys),
    st.builds(ForgetPort, keys),
    st.builds(SwitchPorts, st.sampled_from(["n1", "n2"]), st.just(())),
    st.builds(DeleteNode, st.just("n2"), st.booleans()),
    st.builds(CreateNode, st.just("n2"), st.just(IPv4Address("192.0.2.12"))),
)


def furnished() -> MemoryControl:
    control = MemoryControl()
    for number in (1, 2):
        control.submit(CreateNode(f"n{number}", IPv4Address(f"192.0.2.1{number}")))
    control.connect("n1", "n2")
    small = Subnet("default", ip_network("10.0.0.0/29"), IPv4Address("10.0.0.1"))
    control.submit(CreateNetwork("red", projects=("red",)))
    for name in ("east", "west", "flat"):
        control.submit(CreateNetwork(name, projects=(name,), subnets=(small,), flat=name == "flat"))
    control.submit(JoinNetworks("east", "red"))
    return control


@settings(max_examples=60)
@given(st.lists(requests, max_size=25))
def test_what_comes_about_by_requests_is_sound(asked: list[Request]) -> None:
    """At every moment, but for ports that are not on their switch yet; those are told from the phase."""
    control = furnished()
    for number, request in enumerate(asked):
        try:
            control.submit(request)
        except Refused:
            continue
        if "n2" in control.published.snapshot.nodes:
            control.connect("n2")
        if number % 5 == 4:  # every switch has committed by now
            control.submit(ReleaseAddresses(tuple(control.published.snapshot.quarantined)))
        assert findings(control.published) == pending(control.published)


def findings(published: Published) -> list[tuple[str, str]]:
    return [(finding.kind, finding.cause) for finding in ledger.check(published).findings]


def pending(published: Published) -> list[tuple[str, str]]:
    ports = sorted(published.snapshot.ports.values(), key=lambda port: (port.project, port.pod, port.key))
    phases = [published.port_phase(port.key) for port in ports]
    return [("not-on-switch", f"is {phase}: {reason}") for phase, reason in phases if phase != "Committed"]
