"""Whether the tunnels to other nodes carry packets: probes through this node's switch and the peer's, and back.

A probe leaves by tun0, as a frame that names the peer's VTEP; flows send it there by the tunnel and back by it, so what
answers is the peer's switch. Only what becomes of tunnels is told: down when several probes in a row stay unanswered,
up when all have been answered for a while. One that flaps is held down for longer each time. No socket, no clock here.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

ETH_TYPE = 0x88B5  # for local use (IEEE 802)
ASKS, TELLS = b"\x0a\x5d", b"\x0a\x5e"  # how the destination MAC begins; the rest is the VTEP that is asked
INTERVAL = 0.25  # seconds between two probes of a tunnel
# Probes, however many nodes there are: with more than a hundred, each is asked less often. Suspects may double it.
MOST_A_SECOND = 400.0
MOST_SUSPECTS = 100  # tunnels of which one probe was lost, and that are asked again at once
LOST = 3  # probes in a row without an answer: the tunnel is down
PATIENCE = 5.0  # seconds for a tunnel that never carried anything: its other end may be being set up
HOLD, LONGEST_HOLD = 2.0, 120.0  # seconds without a loss until a tunnel that was down is up; doubled by each relapse
CALM = 10  # how many times as long as it was held down must it be up until it is trusted as at first
_BODY = struct.Struct("!8sQ")
_LEAST_FRAME = 60  # bytes without the checksum (IEEE 802.3)


@dataclass
class Way:
    """One tunnel: what was asked and answered. Seconds of a clock that does not go back."""

    due: float = 0.0  # when it is looked at next
    turn: float = 0.0  # when the next probe is to be sent, unless the last one was lost
    sent: float = 0.0
    asked: int = 0  # number of the last probe
    answered: int = 0
    began: float = 0.0
    is_up: bool | None = None  # None: nothing is known yet
    sound_since: float | None = None
    changed: float = 0.0
    hold: float = HOLD

    def is_suspect(self, now: float) -> bool:
        """Whether it is up, and the last probe was not answered in time."""
        return self.is_up is True and self.asked > self.answered and now - self.sent >= INTERVAL

    def miss(self, now: float) -> bool:
        """Look at the answers when the next probe is due; whether this makes the tunnel be down."""
        lost = self.asked - self.answered
        if lost == 0:
            return False
        self.sound_since = None
        if self.is_up is False or lost < LOST or (self.is_up is None and now - self.began < PATIENCE):
            return False
        # A relapse soon after it came up again is flapping; after a long time it begins as at first.
        if self.is_up is not None and self.changed:
            calm = now - self.changed >= CALM * self.hold
            self.hold = HOLD if calm else min(LONGEST_HOLD, self.hold * 2)
        self.is_up, self.changed = False, now
        return True

    def answer(self, number: int, now: float) -> bool:
        """Take in an answer; whether the tunnel is known to be up by this. One that comes twice is none."""
        if not self.answered < number <= self.asked:
            return False
        self.answered = number
        if self.sound_since is None:
            self.sound_since = now
        if self.is_up is None:
            self.is_up = True
            return True
        if self.is_up or now - self.sound_since < self.hold:
            return False
        self.is_up, self.changed = True, now
        return True


@dataclass
class Tunnels:
    """All tunnels of this node, by the peer's VTEP. `nonce` tells this process's probes from an earlier one's."""

    own: str
    nonce: bytes
    ways: dict[str, Way] = field(default_factory=dict)

    def heed(self, peers: Iterable[str], now: float) -> bool:
        """From now on, probe these VTEPs; whether one that was down is none of them any more."""
        wanted = dict.fromkeys(peers)
        gone = [address for address in self.ways if address not in wanted]
        forgot = any(self.ways.pop(address).is_up is False for address in gone)
        spread = _spacing(len(wanted))
        for address in wanted:
            if address not in self.ways:
                self.ways[address] = Way(began=now, due=now + random.random() * spread)
        return forgot

    def due(self, now: float) -> tuple[list[bytes], bool]:
        """The frames to be sent now, and whether a tunnel is down by what is known when they are sent."""
        frames, changed = [], False
        spacing = _spacing(len(self.ways))
        are_few = sum(way.is_suspect(now) for way in self.ways.values()) <= MOST_SUSPECTS
        for address, way in self.ways.items():
            if way.due > now:
                continue
            if now < way.turn and not (way.is_suspect(now) and are_few):
                way.due = way.turn
                continue
            changed |= way.miss(now)
            way.asked += 1
            way.sent = now
            way.turn = now + spacing * random.uniform(0.9, 1.1)
            # When an answer should have come is looked whether it has; if so, it waits for its turn.
            way.due = min(way.turn, now + INTERVAL) if way.is_up else way.turn
            frames.append(frame(self.own, address, self.nonce, way.asked))
        return frames, changed

    def next_due(self, now: float) -> float:
        """Seconds until a probe is due."""
        return max(0.0, min((way.due for way in self.ways.values()), default=now + 1.0) - now)

    def take(self, received: bytes, now: float) -> bool:
        """Take in a frame; whether a tunnel is up by it."""
        found = read(received, self.nonce)
        way = None if found is None else self.ways.get(found[0])
        return way is not None and found is not None and way.answer(found[1], now)

    def down(self) -> frozenset[str]:
        """The VTEPs to which tunnels are down."""
        return frozenset(address for address, way in self.ways.items() if way.is_up is False)

    def unknown(self) -> frozenset[str]:
        """The VTEPs from which nothing has come yet, and might."""
        return frozenset(address for address, way in self.ways.items() if way.is_up is None)


def _spacing(many: int) -> float:
    """Seconds between two probes of one of so many tunnels."""
    return max(INTERVAL, many / MOST_A_SECOND)


def frame(own: str, peer: str, nonce: bytes, number: int) -> bytes:
    """A probe from one VTEP to another."""
    head = ASKS + IPv4Address(peer).packed + ASKS + IPv4Address(own).packed + ETH_TYPE.to_bytes(2, "big")
    return (head + _BODY.pack(nonce, number)).ljust(_LEAST_FRAME, b"\0")


def read(received: bytes, nonce: bytes) -> tuple[str, int] | None:
    """The VTEP that was asked, and the number of the probe; None for what is no answer to one of this process's."""
    if len(received) < 14 + _BODY.size or received[:2] != TELLS or received[12:14] != ETH_TYPE.to_bytes(2, "big"):
        return None
    whose, number = _BODY.unpack_from(received, 14)
    return (str(IPv4Address(received[2:6])), number) if whose == nonce else None
