"""Flows of bare bridges: as many looks at conntrack as are wanted, and one output for each packet."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.bare import LEAST, NORMAL, TWICE, BareBridges, Kind
from lab import probes
from lab.echo import ECHO_PORT, EchoServers
from lab.laboratory import Lab
from lab.state import State

KINDS = (NORMAL, LEAST, TWICE)


@pytest.mark.ovs
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
@pytest.mark.parametrize("near", [True, False])
def test_open_vswitch_takes_the_flows(kind: Kind, near: bool) -> None:
    for flow in kind.flows(near):
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "parse-flow", flow], check=True, capture_output=True)


def test_a_learning_switch_has_one_flow() -> None:
    assert [*NORMAL.flows(near=True)] == ["priority=0,actions=NORMAL"]


@pytest.mark.parametrize("kind", [LEAST, TWICE], ids=lambda kind: kind.title)
def test_a_packet_meets_conntrack_so_often_and_leaves_by_one_port(kind: Kind) -> None:
    flows = [*kind.flows(near=True)]
    assert sum("actions=ct(table=" in flow for flow in flows) == kind.lookups
    leaving = [flow for flow in flows if "output:" in flow]
    assert all(flow.startswith(f"table={kind.lookups},") and flow.count("output:") == 1 for flow in leaving)
    begins = [flow for flow in leaving if "+new" in flow]
    assert [flow.count("ct(commit") for flow in begins] == [kind.lookups] * (len(leaving) // 2)


@pytest.mark.parametrize(("near", "out"), [(True, ["10", "11", "1", "2"]), (False, ["1", "1", "12", "2"])])
def test_each_node_sends_the_others_pods_by_the_tunnel(near: bool, out: list[str]) -> None:
    flows = [flow for flow in LEAST.flows(near) if "+new" in flow]
    assert [re.sub(r".*output:", "", flow) for flow in flows] == out


def test_kinds_have_nothing_in_common() -> None:
    for values in zip(*((kind.bridge, kind.prefix, kind.key, kind.title) for kind in KINDS), strict=True):
        assert len(set(values)) == len(KINDS)


@pytest.mark.netns
@pytest.mark.ovs
@pytest.mark.slow
def test_packets_pass_bare_bridges(tmp_path: Path) -> None:
    """To the same node, to the other, and to the outside; conntrack is asked as often as is said."""
    with ExitStack() as undo:
        lab = undo.enter_context(Lab(f"tbl{os.getpid()}", nodes=2, root=tmp_path / "lab"))
        state = State(f"tbs{os.getpid()}", tmp_path / "state")
        undo.callback(state.release)
        undo.callback(state.clear)
        echo = EchoServers()
        undo.callback(echo.close)
        first, second = lab.nodes.values()
        for kind in KINDS:
            bare = BareBridges(state, kind, (first, second))
            client = bare.pods["client"]
            for host in ("near", "far"):
                echo.listen(bare.pods[host], host)
                outcome = probes.tcp(client, kind.address(host), ECHO_PORT)
                assert (outcome.by, outcome.seen_as) == (host, kind.address("client"))
            outcome = probes.tcp(client, str(lab.outside.address), ECHO_PORT)
            assert (outcome.by, outcome.seen_as) == ("outside", str(first.address))
            tracked = first.ovs_appctl("dpctl/dump-conntrack").count(f"orig=(src={kind.address('client')},")
            assert tracked == 3 * (kind.lookups or 0)
