"""What comes by a tunnel is taken from a known node, and only in an envelope such as a node writes."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.topology.states import states
from topology.compiler import compile_all
from topology.fields import ETH_DST, ETH_SRC
from topology.outcome import Delivered, Dropped
from topology.packet import Ends, transport, tunnelled
from topology.pipeline import SERVICE_MAC, SPACE_MAC, Table
from topology.trace import Fabric

RED, N1, N2 = 10, IPv4Address("192.0.2.11"), IPv4Address("192.0.2.12")


@pytest.mark.parametrize(
    ("space", "service", "is_ours"),
    [
        (SPACE_MAC, SERVICE_MAC, True),
        (SERVICE_MAC, SERVICE_MAC, False),
        (SPACE_MAC, SPACE_MAC, False),
        (SPACE_MAC | 1 << 24, SERVICE_MAC, False),
        (SPACE_MAC, SERVICE_MAC | 1 << 47, False),
        (SPACE_MAC, SERVICE_MAC ^ 1 << 41, False),
        (0x0200_0000_0000, SERVICE_MAC, False),
    ],
)
def test_other_macs_are_no_envelope(space: int, service: int, is_ours: bool) -> None:
    """The low 24 bits of each are those of the shared space and of no service: nobody else's would be."""
    snapshot = states()["a pod"]
    pod = next(port for port in snapshot.ports.values() if port.node == "n1")
    assert snapshot.networks[pod.network].vnid == RED
    packet = tunnelled(transport("TCP", Ends(IPv4Address("10.128.2.9"), pod.addresses[0]), 80), RED, N2, N1)
    came = Fabric(snapshot, compile_all(snapshot)).carry("n1", packet.set(ETH_DST, space).set(ETH_SRC, service))
    if is_ours:
        assert came.outcome == Delivered("n1", pod.key)
    else:
        assert isinstance(came.outcome, Dropped)
        assert came.outcome.table == Table.TUNNEL_INGRESS
