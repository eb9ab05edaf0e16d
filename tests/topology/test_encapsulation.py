"""What a tunnel takes of the underlay's MTU, counted header by header."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from topology.encapsulation import Encapsulation, least_mtu, overhead


@pytest.mark.parametrize(
    ("kind", "version", "options", "bytes_taken"),
    [
        (Encapsulation.VXLAN, 4, 0, 50),
        (Encapsulation.VXLAN, 6, 0, 70),
        (Encapsulation.GENEVE, 4, 0, 50),
        (Encapsulation.GENEVE, 4, 8, 58),
        (Encapsulation.GENEVE, 6, 12, 82),
    ],
)
def test_what_a_tunnel_takes(kind: Encapsulation, version: int, options: int, bytes_taken: int) -> None:
    assert overhead(kind, version, options) == bytes_taken


@pytest.mark.parametrize(("kind", "options"), [(Encapsulation.VXLAN, 4), (Encapsulation.GENEVE, 6)])
def test_options_that_cannot_be(kind: Encapsulation, options: int) -> None:
    with pytest.raises(ValueError, match=f"{kind.value} has no {options} bytes"):
        overhead(kind, 4, options)


def test_ipv6_needs_more() -> None:
    four, six = ip_network("10.0.0.0/24"), ip_network("fd00::/64")
    assert [least_mtu(()), least_mtu([four]), least_mtu([four, six])] == [576, 576, 1280]
