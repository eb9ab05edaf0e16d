"""Probes, frames and continuous pings, over a plain tunnel between two nodes: what they say must be the truth."""

from __future__ import annotations

import time

import pytest

from lab import frames
from lab.echo import ECHO_PORT
from lab.frames import ETH_P_ARP, ETH_P_IP, Sniffer
from lab.links import mac_address
from lab.pings import Path, Pings
from lab.probes import Verdict, together
from tests.lab.conftest import Plain

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

NOBODY = "10.0.0.99"
MARK = b"a frame of this test"


def test_every_protocol_across_the_tunnel(plain: Plain) -> None:
    pinged = plain.first.ping(plain.second)
    assert pinged
    assert pinged.by == "10.0.0.2"
    for outcome in (plain.first.tcp(plain.second), plain.first.udp(plain.second)):
        assert outcome
        assert (outcome.by, outcome.seen_as) == ("h2", "10.0.0.1")


def test_silence_is_noticed(plain: Plain) -> None:
    plain.first.namespace.ip([f"neighbour replace {NOBODY} lladdr 0a:00:00:00:00:99 dev eth0"])
    host = plain.first
    outcomes = together([lambda: host.ping(NOBODY), lambda: host.tcp(NOBODY), lambda: host.udp(NOBODY)])
    assert [outcome.verdict for outcome in outcomes] == [Verdict.SILENT] * 3


def test_refusal_is_no_silence(plain: Plain) -> None:
    for outcome in (plain.first.tcp(plain.second, 9), plain.first.udp(plain.second, 9)):
        assert outcome.verdict is Verdict.REFUSED
        assert outcome.arrived
        assert not outcome


def test_no_way_is_told(plain: Plain) -> None:
    assert plain.first.ping("203.0.113.1").verdict is Verdict.UNREACHABLE
    assert plain.first.tcp("203.0.113.1").verdict is Verdict.UNREACHABLE


def test_one_more_port(plain: Plain) -> None:
    assert not plain.first.tcp(plain.second, 5353)
    plain.second.listen(5353)
    assert plain.first.tcp(plain.second, 5353)
    with pytest.raises(OSError, match="in use"):
        plain.second.listen(ECHO_PORT)


def test_many_at_once(plain: Plain) -> None:
    ends = (plain.first, plain.second)
    questions = [lambda a=a, b=b: a.tcp(b) for a in ends for b in ends for _ in range(25)]
    answers = together(questions)
    assert [answer.by for answer in answers] == [b.name for _ in ends for b in ends for _ in range(25)]


def test_frames_by_hand_arrive_and_are_caught(plain: Plain) -> None:
    ours, theirs = (mac_address(host.namespace, "eth0") for host in (plain.first, plain.second))
    packets = [
        frames.ethernet(theirs, ours, ETH_P_IP, frames.udp_packet("10.0.0.77", "10.0.0.2", (1, 4789), MARK)),
        frames.ethernet(theirs, ours, ETH_P_IP, frames.ping_packet("10.0.0.78", "10.0.0.2", MARK)),
        frames.ethernet(frames.BROADCAST, ours, ETH_P_ARP, frames.arp(1, (ours, "10.0.0.79"), (ours, "10.0.0.2"))),
    ]
    with Sniffer(plain.second.namespace) as sniffer:
        frames.send(plain.first.namespace, "eth0", *packets)
        for source in ("10.0.0.77", "10.0.0.78", "10.0.0.79"):
            assert sniffer.caught(lambda frame, pair=(source, "10.0.0.2"): (frame.source, frame.destination) == pair)
        assert not sniffer.caught(lambda frame: frame.source == "10.0.0.80", patience=0.0)
    assert {ours} == {frame.source_mac for frame in sniffer.frames if frame.source.startswith("10.0.0.7")}


def test_own_frames_are_not_caught(plain: Plain) -> None:
    with Sniffer(plain.first.namespace) as sniffer:
        assert plain.first.ping(plain.second)
        assert sniffer.caught(lambda frame: frame.source == "10.0.0.2" and frame.kind == ETH_P_IP)
    assert "10.0.0.1" not in {frame.source for frame in sniffer.frames if frame.kind == ETH_P_IP}


def test_pings_count_what_is_lost(plain: Plain) -> None:
    good = Path("good", plain.first.namespace, "10.0.0.2")
    bad = Path("bad", plain.first.namespace, NOBODY)
    plain.first.namespace.ip([f"neighbour replace {NOBODY} lladdr 0a:00:00:00:00:99 dev eth0"])
    with Pings([good, bad], interval=0.01, patience=0.5) as pings:
        while len(pings.tallies["good"].answered) < 20:
            time.sleep(0.01)
    assert set(pings.lost) == {"bad"}
    assert pings.lost["bad"] == sorted(pings.tallies["bad"].sent)
    assert len(pings.tallies["good"].sent) >= 20
