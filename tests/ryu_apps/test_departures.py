"""Addresses are free when the last node that may name them has acknowledged, and not before."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.departures import Departures

PLACES = [(0, IPv4Address(f"10.0.0.{host}")) for host in range(4)]
NODES = ("n1", "n2", "n3")


def test_nobody_to_wait_for() -> None:
    assert Departures().depart(PLACES[0], ())


@given(
    st.dictionaries(st.sampled_from(PLACES), st.sets(st.sampled_from(NODES), min_size=1)),
    st.lists(st.sampled_from(NODES)),
)
def test_each_address_is_freed_once_by_its_last_node(leaving: dict, acknowledged: list[str]) -> None:
    departures = Departures()
    for place, nodes in leaving.items():
        assert not departures.depart(place, nodes)
    seen: set[str] = set()
    freed: list = []
    for node in acknowledged:
        seen.add(node)
        freed += departures.acknowledge(node)
        assert set(freed) == {place for place, nodes in leaving.items() if nodes <= seen}
    assert len(freed) == len(set(freed))
