"""DSCP of networks: whose packets get it, and what a change of it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topology.states import states
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all, diff, update
from topology.fields import IP_DSCP
from topology.model import DEFAULT_NETWORK
from topology.packet import Ends, arriving, transport
from topology.pipeline import FeatureId
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot, apply_all
from topology.trace import Fabric


def received(snapshot: Snapshot, source: str, destination: str, own: int = 10) -> int | None:
    """Return the DSCP with which a packet of one pod comes to another, which it sent with its own."""
    ports = {port.pod: port for port in snapshot.ports.values()}
    sender, receiver = ports[source], ports[destination]
    ends = Ends(sender.addresses[0], (receiver.cluster_addresses or receiver.addresses)[0], sender.mac)
    packet = arriving(transport("UDP", ends, 53).set(IP_DSCP, own), sender.ofport or 0)
    trace = Fabric(snapshot, compile_all(snapshot)).carry(sender.node, packet)
    return trace.packet.get(IP_DSCP) if getattr(trace.outcome, "port", None) == receiver.key else None


def test_what_a_pod_sends_carries_its_networks() -> None:
    start = states()["joined networks"]
    assert (received(start, "a", "b"), received(start, "b", "a")) == (10, 10)
    marked = after(start, requests.SetDscp("red", 46))
    assert (received(marked, "a", "b"), received(marked, "b", "a")) == (46, 10)
    assert received(after(marked, requests.SetDscp("red", 0)), "a", "b") == 0
    assert received(after(marked, requests.SetDscp("red", None)), "a", "b") == 10


def test_a_change_is_of_the_networks_own_ports_where_they_are() -> None:
    start = states()["pods of two networks"]
    tables = compile_all(start)
    later, changes = apply_all(start, admit(start, requests.SetDscp("red", 46)))
    new, dirty = update(tables, changes, start, later)
    assert new == compile_all(later)
    changed = {node: diff(tables[node], new[node], dirty.get(node, ())).adds for node in new}
    flows = [entry for entry in changed["n1"] if entry.cookie >> 56 == FeatureId.PORTS]
    assert len(flows) == 1
    assert changed["n2"] == ()


def test_a_project_that_moves_gets_the_targets_on_the_way() -> None:
    start = after(states()["pods of two networks"], requests.SetDscp("blue", 46))
    moving = after(start, requests.MoveProject("red", "blue"))
    (move,) = moving.moves.values()
    assert moving.networks[move.transit].dscp == 46
    again = after(moving, requests.SetDscp("blue", 10))
    assert again.networks[move.transit].dscp == 10


def test_the_same_network_is_one_with_the_same_dscp() -> None:
    start = states()["two networks"]
    asked = requests.CreateNetwork("new", dscp=46)
    made = after(start, asked)
    assert made.networks["new"].dscp == 46
    assert admit(made, asked) == ()
    with pytest.raises(Refused) as refused:
        admit(made, replace(asked, dscp=None))
    assert refused.value.reason is Reason.TAKEN


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (requests.SetDscp("red", 64), Reason.INVALID),
        (requests.SetDscp("red", -1), Reason.INVALID),
        (requests.CreateNetwork("new", dscp=64), Reason.INVALID),
        (requests.SetDscp("pink", 46), Reason.UNKNOWN),
        (requests.SetDscp(DEFAULT_NETWORK, 46), Reason.BUILT_IN),
        (requests.SetDscp("red", 46, "others"), Reason.TAKEN),
    ],
)
def test_a_dscp_is_refused(request_: requests.Request, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        admit(states()["two networks"], request_)
    assert refused.value.reason is reason
