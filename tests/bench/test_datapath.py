"""What the datapath's own words say: which bits megaflows look at, and what went through."""

from __future__ import annotations

import pytest

from bench.datapath import Masks, Passed, mask, masks, passed

FLOW = (
    "ufid:c6289fa9-ceae-4bc0-b25b-578a5acdd2c6, skb_priority(0/0),ct_state(0x21/{state}),ct_mark(0/0),"
    "ct_tuple4(src=10.128.0.2/0.0.0.0,dst=172.30.0.10/0.0.0.0,proto=6/0,tp_src=54338/0,tp_dst=80/0),"
    "recirc_id(0x2),dp_hash(0x7566741d/{hash}),in_port({port}),packet_type(ns=0,id=0),"
    "eth(src=0a:58:0a:80:00:02/00:00:00:00:00:00,dst=0a:58:0a:80:00:01),eth_type({type}),"
    "ipv4(src=10.128.0.2/0.0.0.0,dst={address}/255.255.254.0,proto=6/0,tos=0/0x3,ttl=64/0,frag=no),"
    "tcp(src=54338/0,dst=80),tcp_flags(0/0), packets:1, bytes:74, used:0.040s, flags:S, dp:ovs, "
    "actions:ct(commit,zone=2,mark=0xa/0xffffffff,nat(dst=10.128.0.3:7)),recirc(0x3), dp-extra-info:miniflow_bits(5,1)"
)
TUNNELLED = (
    "skb_priority(0/0),tunnel(tun_id=0xa,src=192.0.2.12,dst=192.0.2.11,ttl=64/0,tp_dst=4789/0,flags(-df-csum+key)),"
    "recirc_id(0),in_port(vxlan_sys_4789),eth_type(0x0800),ipv4(dst=10.128.0.2,frag=no)"
)
STATISTICS = """
main thread:
  packets received: 239
  packet recirculations: 152
  avg. datapath passes per packet: 1.64
  emc hits: 10
  avg. subtable lookups per megaflow hit: 3.93
"""


def flow(
    port: str = "v1", address: str = "10.128.0.3", state: str = "0", bits: str = "0xf", kind: str = "0x0800"
) -> str:
    """A megaflow as `dpctl/dump-flows -m` prints it."""
    return FLOW.format(port=port, address=address, state=state, hash=bits, type=kind)


def test_a_mask_has_the_bits_that_count_and_no_values() -> None:
    assert mask(flow().partition(", packets:")[0]) == (
        "dp_hash/0xf,eth.dst,eth_type,in_port,ipv4.dst/255.255.254.0,ipv4.frag,ipv4.tos/0x3,"
        "packet_type.id,packet_type.ns,recirc_id,tcp.dst"
    )


def test_a_tunnel_is_part_of_the_mask() -> None:
    assert mask(TUNNELLED) == (
        "eth_type,in_port,ipv4.dst,ipv4.frag,recirc_id,tunnel.dst,tunnel.flags,tunnel.src,tunnel.tun_id"
    )


def test_ipv6_addresses_have_masks_too() -> None:
    assert mask("eth_type(0x86dd),ipv6(src=fe80::1/::,dst=ff02::1/ffff::,frag=no)") == (
        "eth_type,ipv6.dst/ffff::,ipv6.frag"
    )


def test_megaflows_are_many_where_masks_are_few() -> None:
    dump = "\n".join(["flow-dump from the main thread:", *(flow(address=f"10.128.0.{last}") for last in range(9))])
    assert masks(dump, {"v1"}) == Masks(1, 1, 9)


def test_masks_count_by_port_and_together() -> None:
    dump = "\n".join([flow(), flow(bits="0x7f"), flow("v2"), flow("v2", state="0xa0"), flow("br-ex", bits="0x3f")])
    assert masks(dump, {"v1", "v2"}) == Masks(3, 2, 4)
    assert masks("", {"v1"}) == Masks(0, 0, 0)


def test_only_ipv4_counts() -> None:
    assert masks(flow(kind="0x0806"), {"v1"}).flows == 0


def test_what_went_through() -> None:
    assert passed(STATISTICS) == Passed(239, 1.64, 3.93)


def test_other_words_are_no_statistics() -> None:
    with pytest.raises(ValueError, match="packets received"):
        passed("pmd thread numa_id 0 core_id 1:\n")
