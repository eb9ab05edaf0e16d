"""Packets that are too large are answered: what the answer is, for whom there is none, and that kernels heed it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from cni_shim.node import answering
from cni_shim.node.answering import Answering, Limits
from cni_shim.node.oversize import answer
from cni_shim.node.settings import Settings
from tests.cni_shim.machine import inside, run, until

A, B = ip_address("10.128.0.2"), ip_address("10.128.2.3")
A6, B6 = ip_address("fd00::2"), ip_address("fd00::3")
MACS = b"\x0a\x58\x0a\x80\x00\x01" + b"\x0a\x58\x0a\x80\x00\x02"  # to the gateway, from the pod


def ipv4(protocol: int = 17, fragment: int = 0x4000, source: str = str(A), target: str = str(B)) -> bytes:
    """A frame with a packet of 1,400 bytes: UDP, or an ICMP message of type 3."""
    ends = ip_address(source).packed + ip_address(target).packed
    head = (
        b"\x45\0" + (1400).to_bytes(2, "big") + b"\0\1" + fragment.to_bytes(2, "big") + bytes((64, protocol)) + b"\0\0"
    )
    return MACS + b"\x08\0" + head + ends + b"\3" * 1380


def ipv6(following: int = 17, source: str = str(A6), target: str = str(B6)) -> bytes:
    ends = ip_address(source).packed + ip_address(target).packed
    return MACS + b"\x86\xdd" + b"\x60\0\0\0" + (1360).to_bytes(2, "big") + bytes((following, 64)) + ends + b"\2" * 1360


def total(content: bytes) -> int:
    """The ones' complement sum: all ones where a checksum is right (RFC 1071)."""
    found = sum(int.from_bytes(content[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(content), 2))
    return found % 0xFFFF or 0xFFFF


def test_fragmentation_needed() -> None:
    frame = ipv4()
    back = answer(frame, 1300)
    assert back is not None
    assert (back[:6], back[6:12], back[12:14]) == (frame[6:12], frame[:6], b"\x08\0")
    head, body = back[14:34], back[34:]
    assert (head[12:16], head[16:20], head[9]) == (B.packed, A.packed, 1)
    assert int.from_bytes(head[2:4], "big") == len(back) - 14 == 576
    assert (body[:2], int.from_bytes(body[6:8], "big")) == (b"\3\4", 1300)
    assert body[8:] == frame[14 : 14 + len(body) - 8]
    assert (total(head), total(body)) == (0xFFFF, 0xFFFF)


def test_packet_too_big() -> None:
    frame = ipv6()
    back = answer(frame, 1300)
    assert back is not None
    head, body = back[14:54], back[54:]
    assert (head[8:24], head[24:40], head[6]) == (B6.packed, A6.packed, 58)
    assert int.from_bytes(head[4:6], "big") == len(body) == 1240
    assert (body[:2], int.from_bytes(body[4:8], "big")) == (b"\2\0", 1300)
    assert body[8:] == frame[14 : 14 + len(body) - 8]
    assert total(head[8:40] + len(body).to_bytes(4, "big") + b"\0\0\0\x3a" + body) == 0xFFFF


UNANSWERED = {
    "an ICMP error": ipv4(protocol=1),
    "a fragment that is not the first": ipv4(fragment=0x2001),
    "to several": ipv4(target="224.0.0.5"),
    "to all": ipv4(target="255.255.255.255"),
    "from nobody": ipv4(source="0.0.0.0"),
    "half a header": ipv4()[:30],
    "an ICMPv6 error": ipv6(following=58),
    "to several of IPv6": ipv6(target="ff02::1"),
    "from nobody in IPv6": ipv6(source="::"),
    "no IP": MACS + b"\x08\x06" + bytes(1400),
    "another version than it says": MACS + b"\x08\0" + b"\x60" + bytes(1400),
    "nothing": b"",
}


@pytest.mark.parametrize("frame", UNANSWERED.values(), ids=UNANSWERED)
def test_no_answer(frame: bytes) -> None:
    assert answer(frame, 1300) is None


@pytest.mark.netns
@pytest.mark.parametrize(("source", "target"), [("192.0.2.1/24", "192.0.2.2"), ("fd00::1/64", "fd00::2")])
def test_a_pod_learns_what_it_may_send(namespace: Callable[[], str], tmp_path: Path, source: str, target: str) -> None:
    """Real packets, and the kernel's own path MTU discovery; of both families."""
    node, pod = namespace(), namespace()
    run("ip", "link", "add", "v1", "netns", node, "type", "veth", "peer", "name", "eth0", "netns", pod)
    run("ip", "-n", node, "link", "set", "v1", "up")
    run("ip", "-n", pod, "link", "set", "eth0", "up")
    family = "-6" if ":" in source else "-4"
    run("ip", family, "-n", pod, "address", "add", source, "dev", "eth0", *(["nodad"] if family == "-6" else []))
    run("ip", family, "-n", pod, "neighbour", "add", target, "lladdr", "0a:58:00:00:00:01", "dev", "eth0")
    answers = Answering(Settings("n1", "", tmp_path, "netdev", tmp_path))
    inside(node, lambda: answers.listen({"v1": Limits(1, 1, 1300, 0)}))
    send = ("ip", "netns", "exec", pod, "ping", family, "-c1", "-W0.5", "-Mdo", "-s1400", target)

    def learnt() -> bool:
        with subprocess.Popen(send, stdout=subprocess.DEVNULL):  # who is not there any more learns nothing
            answers.answer(0.3)
        return re.search(r"mtu 1300\b", run("ip", family, "-n", pod, "route", "get", target)) is not None

    until("what it learnt", learnt)
    answers.listen({})


def test_answers_are_bounded() -> None:
    bucket = answering.Bucket(tokens=answering.BURST, since=0.0, rate=answering.RATE, burst=answering.BURST)
    assert sum(bucket.take(0.0) for _ in range(int(answering.BURST))) == 0
    assert bucket.take(0.0) == pytest.approx(1 / answering.RATE)
