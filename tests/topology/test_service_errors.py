"""ICMP errors about what went by a service, where a connection is for services only and pods have ranges of their own.

Their quotes are translated on the node where they arrive, and what conntrack knows of them has to come back with them.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.topology.states import states
from tests.topology.strategies import answer, failure
from topology.compiler import compile_all
from topology.fields import ETH_DST, ETH_SRC, IPV4_DST, IPV4_SRC
from topology.model import Port, PortKey
from topology.outcome import Delivered, Dropped
from topology.packet import Ends, Packet, arriving, transport
from topology.snapshot import Snapshot
from topology.trace import Fabric, Trace

A, B = PortKey("n1", "a", "eth0"), PortKey("n2", "b", "eth0")
SERVICES = {A: "172.30.0.20", B: "172.30.0.30"}  # and the pods that they lead to


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return states()["for services of each other only, with ranges of their own"]


@pytest.fixture(scope="module")
def fabric(snapshot: Snapshot) -> Fabric:
    return Fabric(snapshot, compile_all(snapshot))


def send(fabric: Fabric, port: Port, packet: Packet, earlier: Trace | None = None) -> Trace:
    assert port.ofport is not None
    own = arriving(packet.set(ETH_SRC, port.mac), port.ofport)
    return fabric.carry(port.node, own) if earlier is None else fabric.carry(port.node, own, earlier.trackers)


@pytest.mark.parametrize(("asker", "asked"), [(A, B), (B, A)])
def test_both_sides_hear_of_each_others_errors(
    snapshot: Snapshot, fabric: Fabric, asker: PortKey, asked: PortKey
) -> None:
    client, endpoint = snapshot.ports[asker], snapshot.ports[asked]
    query = transport("UDP", Ends(client.addresses[0], IPv4Address(SERVICES[asked]), client.mac), 53)
    there = send(fabric, client, query)
    assert there.outcome == Delivered(endpoint.node, asked)

    refused = send(fabric, endpoint, failure(arriving(there.packet, 0), endpoint), there)
    assert refused.outcome == Delivered(client.node, asker), refused.steps
    assert refused.packet.get(ETH_DST) == client.mac
    assert refused.packet.get(IPV4_SRC) == query.get(IPV4_DST)
    assert refused.packet.quoted is not None
    for end in (IPV4_SRC, IPV4_DST):
        assert refused.packet.quoted.get(end) == query.get(end)

    answered = send(fabric, endpoint, answer(arriving(there.packet, 0)), there)
    assert answered.outcome == Delivered(client.node, asker)
    closed = send(fabric, client, failure(arriving(answered.packet, 0), client), answered)
    assert closed.outcome == Delivered(endpoint.node, asked), closed.steps
    assert closed.packet.quoted is not None
    assert closed.packet.quoted.get(IPV4_SRC) == int(endpoint.addresses[0])


def test_nobody_gets_an_error_about_what_went_by_no_service(snapshot: Snapshot, fabric: Fabric) -> None:
    """And an endpoint gets no more through by errors than by anything else."""
    client, endpoint = snapshot.ports[A], snapshot.ports[B]
    beside = transport("UDP", Ends(client.cluster_addresses[0], endpoint.addresses[0], client.mac), 5353)
    forged = send(fabric, endpoint, failure(arriving(beside, 0), endpoint))
    assert isinstance(forged.outcome, Dropped)
