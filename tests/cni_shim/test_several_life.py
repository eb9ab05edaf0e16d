"""DEL and GC of pods with several interfaces: all that came with one goes with it, whatever is gone; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni_shim import errors
from cni_shim.attachment import Attachment
from cni_shim.remove import of_alias
from cni_shim.several import FIRST_TABLE
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import UNSET, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

NAMES = ("eth0", "net1", "net2")
AWAY = {"controllers": ["http://127.0.0.1:9"], "token_file": "/nonexistent", "ovsdb": "unix:/nonexistent/db.sock"}


@pytest.fixture
def two(controller: FakeController) -> FakeController:
    """The controller, which gives every pod net1 and net2 besides."""
    controller.others = NAMES[1:]
    return controller


@pytest.fixture
def pod(plugin: Plugin, two: FakeController) -> Plugin:
    """A pod with all three."""
    assert two.others
    plugin.add()
    return plugin


def host(name: str, container: str = "c1") -> str:
    return Attachment("heddle", container, name).host


def hosts(*names: str, container: str = "c1") -> list[str]:
    return sorted(host(name, container) for name in names)


def nothing_left(pod: Plugin) -> None:
    assert pod.machine.traces() == []
    assert set(pod.machine.links(pod.netns)) == {"lo"}
    assert pod.machine.rules(pod.netns) == []


# -- DEL -------------------------------------------------------------------------------------------------------------


def test_del_takes_all_and_needs_no_controller(pod: Plugin, two: FakeController) -> None:
    asked = len(two.requests)
    outcome = pod.call("DEL", controllers=["http://127.0.0.1:9"])
    assert (outcome.status, outcome.value, outcome.log) == (0, None, "")
    nothing_left(pod)
    assert len(two.requests) == asked  # the switch tells it of the vanished ports


def test_del_any_number_of_times(pod: Plugin, two: FakeController) -> None:
    for _ in range(3):
        outcome = pod.call("DEL")
        assert (outcome.status, outcome.value, outcome.log) == (0, None, "")
        nothing_left(pod)
    assert two.count("DELETE", "c1/eth0") == 2


def test_an_add_can_follow_a_del_at_once(pod: Plugin) -> None:
    for _ in range(3):
        assert pod.call("DEL").status == 0
        pod.add()


@pytest.mark.parametrize("netns", [UNSET, "", "/run/netns/gone"])
def test_del_without_the_namespace(pod: Plugin, machine: Machine, netns: str) -> None:
    outcome = pod.call("DEL", {"CNI_NETNS": netns})
    assert (outcome.status, outcome.log) == (0, "")
    assert machine.traces() == []
    # A DEL that knows the namespace again clears up there too, before an ADD could meet what is left.
    assert pod.call("DEL").status == 0
    nothing_left(pod)


@pytest.mark.usefixtures("two")
def test_del_after_the_namespace_went(plugin: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    passing = f"{namespace()}x"
    run("ip", "netns", "add", passing)
    pod = Plugin(machine, plugin.url, plugin.token_file, passing, container="passing")
    pod.add()
    run("ip", "netns", "del", passing)
    until("the veths' ends", lambda: machine.veths() == [])
    assert machine.ports() == hosts(*NAMES, container="passing")
    assert pod.call("DEL").status == 0
    assert machine.traces() == []


def test_del_with_everybody_away(pod: Plugin, machine: Machine) -> None:
    outcome = pod.call("DEL", **AWAY)
    assert (outcome.status, outcome.value) == (0, None)
    assert "/nonexistent/db.sock" in outcome.log
    assert machine.veths() == []
    assert machine.ports() == hosts(*NAMES)  # stale: heddle-node takes them away, or a later DEL
    assert pod.call("DEL").status == 0
    nothing_left(pod)


@pytest.mark.parametrize("gone", [["eth0"], ["net1"], ["net1", "net2"], ["eth0", "net2"], NAMES])
@pytest.mark.parametrize("part", ["row", "link", "both"])
def test_del_when_parts_are_gone(
    pod: Plugin, machine: Machine, two: FakeController, gone: list[str], part: str
) -> None:
    for name in gone:
        if part != "link":
            machine.vsctl("del-port", host(name))
        if part != "row":
            machine.ip("link", "del", host(name))
    assert pod.call("DEL").status == 0
    nothing_left(pod)
    told = {key[1] for key in two.ports}
    if part == "row":  # no port vanished for these, so the controller is told
        assert told == {*NAMES} - {*gone}


def test_del_of_a_pod_whose_add_was_killed(pod: Plugin, machine: Machine) -> None:
    """The row names others of which there is no row yet, and only one has a link."""
    machine.vsctl("del-port", host("net1"), "--", "del-port", host("net2"))
    machine.ip("link", "del", host("net2"))
    assert pod.call("DEL").status == 0
    nothing_left(pod)


def test_del_leaves_what_the_runtime_asked_for_by_itself(pod: Plugin, machine: Machine, two: FakeController) -> None:
    two.others = ()
    second = Plugin(machine, pod.url, pod.token_file, pod.netns, ifname="eth1")
    result = second.add()
    assert pod.call("DEL").status == 0
    assert pod.call("DEL", **AWAY).status == 0
    assert pod.call("DEL").status == 0
    assert (machine.ports(), machine.veths()) == (hosts("eth1"), hosts("eth1"))
    assert set(machine.links(pod.netns)) == {"lo", "eth1"}
    until("ofport", lambda: machine.vsctl("get", "Interface", second.host, "ofport").strip().isdigit())
    assert second.call("CHECK", prevResult=result).status == 0


def test_del_of_a_second_interface_leaves_the_first_ones(pod: Plugin, machine: Machine, two: FakeController) -> None:
    two.others = ("net3",)
    second = Plugin(machine, pod.url, pod.token_file, pod.netns, ifname="eth1")
    second.add()
    assert machine.ports() == hosts(*NAMES, "eth1", "net3")
    tables = {rule["table"] for rule in machine.rules(pod.netns)}
    for _ in range(2):
        assert second.call("DEL").status == 0
        assert (machine.ports(), machine.veths()) == (hosts(*NAMES), hosts(*NAMES))
        left = machine.rules(pod.netns)
        assert len(left) == 2 * len(NAMES)
        assert {rule["table"] for rule in left} < tables
    assert pod.call("DEL").status == 0
    nothing_left(pod)


def test_a_row_that_names_an_interface_of_its_own_does_not_take_it(
    pod: Plugin, machine: Machine, two: FakeController
) -> None:
    """As after an ADD that was killed when it met an interface that the runtime had asked for before."""
    two.others = ()
    second = Plugin(machine, pod.url, pod.token_file, pod.netns, ifname="eth1")
    second.add()
    machine.vsctl("set", "Port", pod.host, 'external_ids:heddle-others="net1 net2 eth1"')
    assert pod.call("DEL").status == 0
    assert (machine.ports(), machine.veths()) == (hosts("eth1"), hosts("eth1"))


def test_another_pod_stays(pod: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    other = Plugin(machine, pod.url, pod.token_file, namespace(), container="c2")
    other.add()
    for away in ({}, AWAY):
        assert pod.call("DEL", **away).status == 0
        assert machine.ports() == machine.veths() == hosts(*NAMES, container="c2")
        assert len(machine.rules(other.netns)) == 2 * len(NAMES)


def test_rules_of_others_stay(pod: Plugin, machine: Machine) -> None:
    run("ip", "-n", pod.netns, "rule", "add", "from", "10.201.0.3", "lookup", "1003", "priority", "77")
    assert pod.call("DEL").status == 0
    assert [(rule["priority"], rule["src"]) for rule in machine.rules(pod.netns)] == [(77, "10.201.0.3")]


@pytest.mark.parametrize(
    ("alias", "names"),
    [
        ("heddle net c1 eth0", ("net", "c1", "eth0", "")),
        ("heddle net c1 net1 with eth0", ("net", "c1", "net1", "eth0")),
        ("heddle net c1", None),
        ("heddle net c1 net1 and eth0", None),
        ("heddle net c1 net1 with", None),
        ("weaver net c1 eth0", None),
        ("", None),
    ],
)
def test_aliases(alias: str, names: tuple[str, ...] | None) -> None:
    found = of_alias(alias)
    assert (found and (found.network, found.container, found.ifname, found.primary)) == names
    assert found is None or found.alias == alias


# -- GC --------------------------------------------------------------------------------------------------------------


def collect(plugin: Plugin, *kept: Plugin) -> None:
    valid = [{"containerID": pod.container, "ifname": pod.ifname} for pod in kept]
    outcome = plugin.call("GC", **{"cni.dev/valid-attachments": valid})
    assert (outcome.status, outcome.value) == (0, None)


@pytest.mark.parametrize("lost", ["nothing", "rows", "links", "own row", "own link"])
def test_gc_keeps_the_others_of_what_is_valid_alone(
    pod: Plugin, machine: Machine, two: FakeController, namespace: Callable[[], str], lost: str
) -> None:
    gone = Plugin(machine, pod.url, pod.token_file, namespace(), container="gone")
    gone.add()
    for name in {"nothing": (), "rows": NAMES, "links": NAMES}.get(lost, NAMES[:1]):
        if "row" in lost:
            machine.vsctl("del-port", host(name, "gone"))
        else:
            machine.ip("link", "del", host(name, "gone"))
    collect(pod, pod)
    assert machine.ports() == machine.veths() == hosts(*NAMES)
    assert set(two.ports) == {("c1", name) for name in NAMES}
    collect(pod)
    assert machine.traces() == []
    assert two.ports == {}


def test_gc_has_the_controller_keep_what_a_link_stands_for(pod: Plugin, machine: Machine, two: FakeController) -> None:
    machine.vsctl("del-port", host("net1"))
    two.ports["c1", "net9"] = dict(two.ports["c1", "net1"])
    collect(pod, pod)
    assert set(two.ports) == {("c1", name) for name in NAMES}
    assert machine.veths() == hosts(*NAMES)


# -- any sequence ----------------------------------------------------------------------------------------------------

PODS = st.sampled_from(["p1", "p2"])
ASKED = st.sampled_from(["eth0", "eth1"])
BESIDE = st.lists(st.sampled_from(["net1", "net2", "net3"]), unique=True, max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("ADD"), PODS, ASKED, BESIDE, st.sampled_from(["", "", "net1", "net2"])),
    st.tuples(st.just("DEL"), PODS, ASKED),
    st.tuples(st.just("GC"), st.sets(st.tuples(PODS, ASKED))),
)


class Life:
    """Two pods, and what should be there: by container and interface asked for, the names of the others."""

    def __init__(self, plugin: Plugin, controller: FakeController, spaces: dict[str, str]) -> None:
        self.plugin, self.controller, self.spaces = plugin, controller, spaces
        self.attached: dict[tuple[str, str], list[str]] = {}
        self.results: dict[tuple[str, str], dict[str, Any]] = {}

    def pod(self, container: str, ifname: str) -> Plugin:
        usual = self.plugin
        netns = self.spaces[container]
        return Plugin(usual.machine, usual.url, usual.token_file, netns, container=container, ifname=ifname)

    def add(self, container: str, ifname: str, others: list[str], refused: str) -> None:
        names = {ifname, *others}
        used = {name for (c, i), besides in self.attached.items() if c == container for name in (i, *besides)}
        self.controller.others = tuple(others)
        self.controller.refused = {refused: (404, "Network not found", "")} if refused else {}
        outcome = self.pod(container, ifname).call("ADD")
        if names & used or refused in names:
            assert outcome.code in (errors.INTERFACE_EXISTS, errors.REFUSED)
        else:
            assert outcome.status == 0, outcome.text
            self.attached[container, ifname] = others
            self.results[container, ifname] = outcome.value

    def delete(self, container: str, ifname: str) -> None:
        assert self.pod(container, ifname).call("DEL").status == 0
        self.attached.pop((container, ifname), None)
        self.forget()

    def collect(self, valid: set[tuple[str, str]]) -> None:
        collect(self.plugin, *(self.pod(*one) for one in sorted(valid)))
        self.attached = {key: others for key, others in self.attached.items() if key in valid}
        self.forget()

    def forget(self) -> None:
        """What the controller does when the switch tells it of a vanished port."""
        there = self.plugin.machine.ports()
        for container, name in list(self.controller.ports):
            if host(name, container) not in there:
                del self.controller.ports[container, name]

    def compare(self) -> None:
        machine = self.plugin.machine
        wanted = {(c, name): len(others) for (c, ifname), others in self.attached.items() for name in (ifname, *others)}
        assert machine.ports() == machine.veths() == sorted(host(name, c) for c, name in wanted)
        assert set(self.controller.ports) == set(wanted)
        for container, netns in self.spaces.items():
            names = {name for c, name in wanted if c == container}
            links = machine.links(netns)
            assert set(links) == {"lo", *names}
            tables = {name: str(FIRST_TABLE + links[name]["ifindex"]) for name in names}
            ruled = {tables[name] for c, name in wanted if c == container and wanted[c, name]}
            # GC knows no namespace: rules of what it took stay there, for the end of it or the next DEL.
            assert {rule["table"] for rule in machine.rules(netns)} & {*tables.values()} == ruled


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=8))
def test_any_sequence(
    plugin: Plugin, controller: FakeController, namespace: Callable[[], str], steps: list[tuple[Any, ...]]
) -> None:
    """After each step there is exactly what was attached and neither detached nor collected."""
    life = Life(plugin, controller, {"p1": namespace(), "p2": namespace()})
    for command, *what in steps:
        {"ADD": life.add, "DEL": life.delete, "GC": life.collect}[command](*what)
        life.compare()
    for key in life.attached:
        until("ofports", plugin.machine.all_open)
        outcome = life.pod(*key).call("CHECK", prevResult=life.results[key])
        assert outcome.status == 0, outcome.text
    for key in [*life.attached]:
        life.delete(*key)
        life.compare()
    assert controller.ports == {}
