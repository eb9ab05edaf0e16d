"""Row 8: the services of its network, what is made of messages seen on the wire, OVN's words; and the row itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import ovn
from bench.endpoints import balancer, groups_of, seen
from bench.ground import underlay
from bench.interleave import Pace
from bench.offers import Offers, endpoint, offered, seed_services
from bench.ovn import Balancer
from bench.pods import WrongEndError
from bench.rows import endpoints
from bench.setting import Setting
from bench.tap import Message
from bench.work import Work, checked_and_compiled, contender, flows_of, steps_of, timed
from bench.world import Plan
from lab.state import ROOT
from ryu_apps.openflow import messages
from ryu_apps.openflow.wire import BundleControl, MessageType
from store.sqlite import SqliteStore
from topology.compiler import compile_all
from topology.groups import BucketChange, changes
from topology.requests import PutEndpoints
from topology.snapshot import apply_all, empty

PLAN, OFFERS = Plan(3, pods=2), Offers(8, (10, 100, 600))
SWITCH, OTHER = (underlay(1), 5000), (underlay(2), 5001)
REPLY = messages.message(
    MessageType.BUNDLE_CONTROL, 1, (1).to_bytes(4) + BundleControl.COMMIT_REPLY.to_bytes(2) + bytes(2)
)
ADD = messages.bundled(MessageType.GROUP_MOD, 1, bytes(48))


def message(at: int, raw: bytes, switch: object = SWITCH, *, to_switch: bool = True) -> Message:
    """A message as the tap tells it."""
    return Message(at, switch, to_switch, raw[1], 0, raw)  # type: ignore[arg-type]


def change(switch: object = SWITCH, start: int = 1000) -> list[Message]:
    """A bundle to one switch, and its reply 400 ns later."""
    sent = (messages.bundle_open(), ADD, messages.bundle_commit())
    told = [message(start + number, raw, switch) for number, raw in enumerate(sent)]
    return [*told, message(start + 400, REPLY, switch, to_switch=False)]


# --- the network ---------------------------------------------------------------------------------


def test_the_store_has_the_services(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    snapshot = seed_services(path, PLAN, OFFERS)
    store = SqliteStore(path)
    loaded, _ = apply_all(empty(), store.load())
    store.close()
    assert loaded == snapshot
    assert len(snapshot.services) == OFFERS.services
    for size in OFFERS.sizes:
        slices = [snapshot.slices[key] for key in snapshot.slices_of[OFFERS.of_size(size).key]]
        assert sum(len(one.endpoints) for one in slices) == size
        assert max(len(one.endpoints) for one in slices) <= 100
    assert {len(found) for service, found in OFFERS.endpoints(snapshot) if service.key.name.startswith("s")} == {2}


def test_endpoints_are_on_all_nodes_and_different() -> None:
    snapshot = offered(PLAN, OFFERS)
    found = [endpoint(snapshot, number) for number in range(300)]
    assert len({one.address for one in found}) == 300
    for one in found:
        assert one.address in snapshot.nodes[one.node].subnets[0]
    assert {one.node for one in found} == set(snapshot.nodes)


@pytest.mark.parametrize("size", OFFERS.sizes)
def test_a_change_is_one_endpoint_in_the_last_slice(size: int) -> None:
    snapshot = offered(PLAN, OFFERS)
    more, less = (OFFERS.changed(snapshot, size, more=more) for more in (True, False))
    assert snapshot.slices[less.key] == less
    assert len({*more.endpoints} - {*less.endpoints}) == 1
    before, after = (groups_of(snapshot, OFFERS.of_size(size), one) for one in (less, more))
    # Up to 128 endpoints, one has its share in two buckets; above 256, a group leads to four others.
    assert (len(before), sum(len(group.buckets) for group in after)) == ((5, size + 5) if size > 256 else (1, size + 2))
    told = changes(*({group.group_id: group for group in groups} for groups in (before, after)))
    assert not told.puts
    assert all(isinstance(one, BucketChange) for one in told.buckets)
    # Of ten, the one that comes is the first: the share in two buckets passes to it from another.
    assert {len(one.inserted) for one in told.buckets} == ({3} if size == 10 else {1})


def test_a_change_is_compiled_and_checked_by_itself() -> None:
    snapshot = offered(PLAN, OFFERS)
    requests = [PutEndpoints(OFFERS.changed(snapshot, 10, more=more)) for more in (True, False)]
    steps = steps_of(snapshot, compile_all(snapshot), requests, PutEndpoints)
    assert len(steps) == 2
    assert flows_of(steps) == 2 * PLAN.nodes  # what begins, and what is sent to an endpoint
    assert compile_all(steps[-1].after) == steps[-1].new
    assert [work.units for work in checked_and_compiled("a change", steps)] == [2, 2]


def test_work_is_told_by_the_unit() -> None:
    done: list[int] = []
    work = Work("counting", "number", 4, lambda: done.append(1))
    seconds = timed(work)(0)
    assert done == [1]
    assert contender(work, [0.004, 0.002]).facts == {"µs a number": "3,000.0", "of": "4"}
    assert seconds >= 0


# --- what is seen --------------------------------------------------------------------------------


def test_bytes_and_times_are_those_of_all_switches() -> None:
    found = seen([*change(), *change(OTHER, 1300)], 0.5)
    size = sum(map(len, (messages.bundle_open(), ADD, messages.bundle_commit())))
    assert (found.messages, found.sent, found.switches, found.wire) == (6, 2 * size, 2, 700)


def test_what_is_asked_meanwhile_is_no_part_of_a_change() -> None:
    asked = [message(999, messages.table_stats_request(3)), message(998, messages.echo_reply(1, b""))]
    assert seen([*asked, *change()], 0.5) == seen(change(), 0.5)


@pytest.mark.parametrize("found", [[], change()[:-1], [*change(), *change(OTHER)[:-1]]])
def test_every_switch_has_to_commit(found: list[Message]) -> None:
    with pytest.raises(WrongEndError, match="have committed"):
        seen(found, 0.5)


# --- OVN -----------------------------------------------------------------------------------------


def test_a_load_balancer_is_its_whole_list() -> None:
    snapshot = offered(PLAN, OFFERS)
    made = balancer(OFFERS.of_size(10), [endpoint(snapshot, number) for number in range(3)])
    assert made == Balancer("wide10", "172.30.1.0:80", ("10.128.0.2:8080", "10.128.2.2:8080", "10.128.4.2:8080"))
    assert made.vips == 'vips={"172.30.1.0:80"="10.128.0.2:8080,10.128.2.2:8080,10.128.4.2:8080"}'
    assert [*made.creation()][:3] == ["--", "--id=@wide10", "create"]


# --- the row -------------------------------------------------------------------------------------


class Brief(Setting):
    """As quick as can be."""

    @property
    def pace(self) -> Pace:
        """Once."""
        return Pace(0, 1)


@pytest.mark.netns
@pytest.mark.ovs
@pytest.mark.slow
def test_the_row_runs_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_QUICK", Offers(12, (6, 40)))
    monkeypatch.setattr(endpoints, "_SWITCHES", 2)
    monkeypatch.setattr(ovn, "missing", lambda: ("ovn-northd",))
    name = f"te{os.getpid()}"
    said: list[str] = []
    row = endpoints.run(Brief(True, said.append, name))
    assert said
    assert "ovn-northd not installed" in row.notes[-1]
    assert [one.facts.get("switches") for one in row.contenders[:6]] == ["2", None, "2"] * 2
    sent = {ratio.what: ratio.value for ratio in row.ratios}
    assert sent["40 endpoints: bytes / whole group's"] < sent["6 endpoints: bytes / whole group's"] < 1
    assert not (ROOT / name).exists()
