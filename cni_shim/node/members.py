"""Who has joined which groups on this node: kept by what ports report, forgotten when they do not answer. Pure.

Whoever wants a group only from some sources is a member like any other: it gets all, and its kernel filters. But its
sources are counted, for when it wants none any more it says so by these alone. A port is one pod's: it leaves at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from cni_shim.node.igmp import MOST_SOURCES, Kind, Record

MOST_GROUPS = 64  # of a port; those above are not taken
SOON = 1.0  # seconds for the answers to the first queries
STARTUP_QUERIES = (0.5, 1.5, 5.0)  # seconds after a port appeared, or the program: reports may have been lost


@dataclass(frozen=True)
class Timers:
    """RFC 3376, section 8: seconds between queries, seconds for the answer, and how many of these may be lost."""

    interval: float = 125.0
    response: float = 10.0
    robustness: int = 2

    @property
    def membership(self) -> float:
        """Seconds after which a member that was not heard is none (8.4)."""
        return self.robustness * self.interval + self.response


@dataclass
class _Member:
    """A port in a group. `sources` None: it wants all but some."""

    until: float
    sources: frozenset[IPv4Address] | None = None


@dataclass
class _Port:
    """A port by its number: its groups, and when it is asked again."""

    ofport: int
    due: list[float]
    hurries: bool = True  # whether it is asked for the first times, and to answer soon
    groups: dict[IPv4Address, _Member] = field(default_factory=dict)
    refused: bool = False


class Members:
    """The ports that may join groups, by the names of their interfaces. Times are of a clock that never goes back."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._ports: dict[str, _Port] = {}

    def attend(self, ofports: dict[str, int], now: float) -> None:
        """From now on these interfaces are listened to, by their numbers; what others had joined is forgotten."""
        for name in self._ports.keys() - ofports.keys():
            del self._ports[name]
        for name, ofport in ofports.items():
            port = self._ports.setdefault(name, _Port(ofport, []))
            if not port.due or port.ofport != ofport:  # it is new, or Open vSwitch was restarted
                port.ofport, port.due = ofport, [now + seconds for seconds in STARTUP_QUERIES]
                port.hurries = True

    def hear(self, ofport: int, said: Iterable[Record], now: float) -> str | None:
        """Take what a port says; the name of its interface if it has joined more than it may, for the first time."""
        for name, port in self._ports.items():
            if port.ofport == ofport:
                is_full = [self._take(port, record, now) for record in said]
                if any(is_full) and not port.refused:
                    port.refused = True
                    return name
        return None

    def _take(self, port: _Port, record: Record, now: float) -> bool:
        """Take one record; whether there was no room for it."""
        member = port.groups.get(record.group)
        wanted, leaves = _wants(member, record)
        if leaves:
            port.groups.pop(record.group, None)
            return False
        if member is None and len(port.groups) >= MOST_GROUPS:
            return True
        port.groups[record.group] = _Member(now + self._timers.membership, wanted)
        return False

    def due(self, now: float) -> list[tuple[int, float]]:
        """The ports that are to be asked now, and seconds for their answers; they are asked again later."""
        found = []
        for port in self._ports.values():
            if port.due and port.due[0] <= now:
                found.append((port.ofport, min(SOON, self._timers.response) if port.hurries else self._timers.response))
                port.due = [each for each in port.due if each > now]
                if not port.due:
                    port.due, port.hurries = [now + self._timers.interval], False
        return found

    def next_due(self, now: float) -> float:
        """Seconds until a port is to be asked, or a member is forgotten."""
        times = [port.due[0] for port in self._ports.values() if port.due]
        times += [member.until for port in self._ports.values() for member in port.groups.values()]
        return max(0.0, min(times, default=now + self._timers.interval) - now)

    def expire(self, now: float) -> None:
        """Forget members that have not answered."""
        for port in self._ports.values():
            for group in [group for group, member in port.groups.items() if member.until <= now]:
                del port.groups[group]

    def joined(self) -> dict[str, tuple[str, ...]]:
        """The groups of each interface that has joined any, in order."""
        return {name: tuple(map(str, sorted(port.groups))) for name, port in sorted(self._ports.items()) if port.groups}

    @property
    def ports(self) -> Collection[str]:
        """The interfaces that are listened to."""
        return self._ports.keys()


def _wants(member: _Member | None, record: Record) -> tuple[frozenset[IPv4Address] | None, bool]:
    """Which sources a port wants after a record (None: all but some), and whether it wants nothing (RFC 3376, 6.4)."""
    had: frozenset[IPv4Address] | None = frozenset() if member is None else member.sources
    match record.kind:
        case Kind.MODE_IS_EXCLUDE | Kind.CHANGE_TO_EXCLUDE:
            return None, False
        case Kind.MODE_IS_INCLUDE | Kind.CHANGE_TO_INCLUDE:
            wanted: frozenset[IPv4Address] | None = record.sources
        case Kind.ALLOW_NEW_SOURCES:
            wanted = None if had is None else had | record.sources
        case _:
            wanted = None if had is None else had - record.sources
    if wanted is not None and len(wanted) > MOST_SOURCES:
        wanted = None
    return wanted, wanted is not None and not wanted
