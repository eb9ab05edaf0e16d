"""Services of a thousand and of five thousand endpoints, and endpoints that come and go a hundred times a second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import Final

import pytest

from lab.echo import ECHO_PORT
from lab.laboratory import Lab
from lab.probes import Verdict
from lab.services import PORT, Service
from topology.model import MOST_ENDPOINTS

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

CROWD: Final = IPv4Network("198.18.0.0/19")
"""Addresses that all are the outside host's (RFC 2544 keeps them for measurements)."""


@pytest.fixture
def crowd(lab: Lab) -> Iterator[list[str]]:
    """Addresses at which the outside host answers, more than any test needs."""
    lab.outside.run(f"ip route add local {CROWD} dev lo").check_returncode()
    yield [str(CROWD[number]) for number in range(1, 5001)]
    lab.outside.run(f"ip route del local {CROWD} dev lo").check_returncode()


@pytest.fixture
def service(lab: Lab) -> Iterator[Service]:
    """A service of project red, without endpoints yet."""
    made = Service(lab.api, "red", "crowd", "172.30.0.90")
    made.make([])
    yield made
    made.remove()


def put(lab: Lab, service: Service, name: str, addresses: Sequence[str], unready: Sequence[str] = ()) -> None:
    """Make or replace a slice of endpoints; what the data path has cached is left to Open vSwitch."""
    endpoints = [{"address": each, "ready": each not in unready} for each in (*addresses, *unready)]
    ports = [{"name": "tcp", "protocol": "TCP", "port": ECHO_PORT}]
    body = {"project": service.project, "name": name, "service": service.name, "ports": ports}
    lab.api.post("/v1/endpoints", {**body, "endpoints": endpoints})


def lead_to(lab: Lab, service: Service, addresses: list[str]) -> list[str]:
    """Let these addresses be its endpoints, in as many slices as they need; return the slices' names."""
    names = []
    for first in range(0, len(addresses), MOST_ENDPOINTS):
        names.append(f"{service.name}-{2 + first // MOST_ENDPOINTS}")
        put(lab, service, names[-1], addresses[first : first + MOST_ENDPOINTS])
    lab.api.settle()
    return names


def buckets(lab: Lab, node: str) -> int:
    """How many buckets lead to the crowd, as Open vSwitch reads its groups back."""
    return lab.node(node).ovs_ofctl("dump-groups").count("nat(dst=198.18.")


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_service_of_many_endpoints(lab: Lab, service: Service, crowd: list[str], count: int) -> None:
    """All are in the switches, whoever is chosen answers, and one less is one less."""
    names = lead_to(lab, service, crowd[:count])
    try:
        assert {buckets(lab, node) for node in ("n1", "n2")} == {count}
        source = lab.pods_by_name["red/a"]
        assert Counter(source.tcp(service.address, PORT).by for _ in range(100)) == {"outside": 100}
        lead_to(lab, service, crowd[: count - 1])
        assert {buckets(lab, node) for node in ("n1", "n2")} == {count - 1}
    finally:
        for name in names:
            lab.api.delete(f"/v1/endpoints/{service.project}/{name}")
    assert source.tcp(service.address, PORT).verdict is Verdict.REFUSED


def test_endpoints_that_flap(lab: Lab, service: Service) -> None:
    """One is ready or not a hundred times a second: nobody who asks meanwhile is left without an answer."""
    steady, flapping = (str(lab.pods_by_name[name].cluster_address) for name in ("red/b", "red/c"))
    source, seconds = lab.pods_by_name["red/a"], 3
    lead_to(lab, service, [steady, flapping])

    def flap(began: float) -> float:
        for number in range(100 * seconds):
            time.sleep(max(0.0, began + number / 100 - time.monotonic()))
            put(lab, service, f"{service.name}-2", *(([steady], [flapping]) if number % 2 else ([steady, flapping],)))
        return time.monotonic() - began

    answered: Counter[str] = Counter()
    with ThreadPoolExecutor(1) as aside:
        flapped = aside.submit(flap, time.monotonic())
        while not flapped.done():
            answered[source.tcp(service.address, PORT).by] += 1
    assert flapped.result() < 2 * seconds  # else it did not flap
    assert set(answered) <= {"red/b", "red/c"}, answered
    assert answered.total() >= 50
    lab.api.settle()
    assert Counter(source.tcp(service.address, PORT).by for _ in range(30)) == {"red/b": 30}
    assert lab.api.get("/v1/verification")["proven"]
    lab.api.delete(f"/v1/endpoints/{service.project}/{service.name}-2")
