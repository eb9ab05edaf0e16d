"""A real Open vSwitch takes our bytes, and what it gives back is what we sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ryu_apps.openflow.encode import Encoder, delete_everything
from tests.ryu_apps.openflow_switch import Connection, DummySwitch, running
from tests.ryu_apps.openflow_valid import valid_flows
from topology.compiler import Delta
from topology.flow import Entry, Flow, entries

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    yield from running(tmp_path_factory.mktemp("ovs"))


@pytest.fixture(scope="module")
def connection(switch: DummySwitch) -> Iterator[Connection]:
    with switch.bridge("br0"), switch.connect("br0") as connection:
        yield connection


@given(st.lists(valid_flows(), max_size=20, unique_by=lambda flow: flow.key))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_ovs_gives_back_is_what_we_sent(connection: Connection, flows: list[Flow]) -> None:
    sent = entries(3, 2, flows)
    assert connection.commit(delete_everything()) == []
    assert connection.commit(Encoder().bundle(Delta(sent, ()))) == []
    found = {
        Entry(flow.cookie, Flow(flow.table, flow.priority, flow.match, flow.actions)) for flow in connection.flows()
    }
    assert found == set(sent)
