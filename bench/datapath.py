"""What Open vSwitch's userspace datapath says of itself: masks of its megaflows, and what packets went through.

A megaflow's mask says which bits of a packet it looks at. A packet is looked up once for each mask that flows of its
port have, until one fits: masks cost, flows do not. Nothing here asks; the texts are those of `ovs-appctl`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

_IPV4: Final = "eth_type(0x0800)"
_NOTHING: Final = re.compile(r"(0x)?[0:.]+")  # a mask of zeros, as number, MAC, IPv4 or IPv6 address


class Masks(NamedTuple):
    """How many masks megaflows have: all together, and most on one port; and how many megaflows there are."""

    distinct: int
    on_one_port: int
    flows: int


def masks(dump: str, ports: Collection[str]) -> Masks:
    """Count those of IPv4 packets that came by `ports`, in what `dpctl/dump-flows -m` prints."""
    found: dict[str, set[str]] = {}
    flows = 0
    for line in dump.splitlines():
        key = line.partition(", packets:")[0]
        port = re.search(r"in_port\(([^)]*)\)", key)
        if port is not None and port[1] in ports and _IPV4 in key:
            flows += 1
            found.setdefault(port[1], set()).add(mask(key))
    together = set().union(*found.values())
    return Masks(len(together), max(map(len, found.values()), default=0), flows)


def mask(key: str) -> str:
    """Return which bits of which fields a megaflow looks at, given its key as `dpctl/dump-flows -m` prints it."""
    return ",".join(sorted(_fields(key)))


class Passed(NamedTuple):
    """What went through a datapath since its counters were set back."""

    packets: int
    passes: float  # through the datapath, for one packet: one more than it is recirculated
    subtables: float  # masks tried for one hit


def passed(statistics: str) -> Passed:
    """Read what `dpif-netdev/pmd-stats-show` prints, where one thread carries all packets."""
    return Passed(
        int(_number(statistics, "packets received")),
        _number(statistics, "avg. datapath passes per packet"),
        _number(statistics, "avg. subtable lookups per megaflow hit"),
    )


def _number(text: str, name: str) -> float:
    found = re.search(rf"^\s*{re.escape(name)}: ([0-9.]+)", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name!r} in {text!r}")
    return float(found[1])


def _fields(text: str, inside: str = "") -> Iterator[str]:
    """Yield each field with the bits that count; a field may be made of fields."""
    for part in _parts(text):
        name, value = _halves(part)
        if name == "ufid" or not name:
            continue
        named = f"{inside}{name}"
        if "=" in value or "(" in value:
            yield from _fields(value, f"{named}.")
        else:
            _, slash, bits = value.partition("/")
            if not slash:
                yield named
            elif not _NOTHING.fullmatch(bits):
                yield f"{named}/{bits}"


def _parts(text: str) -> Iterator[str]:
    """Split at commas that are not within brackets."""
    depth, start = 0, 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()


def _halves(part: str) -> tuple[str, str]:
    """`name(value)`, `name=value` or `name:value`, whichever sign comes first."""
    found = re.match(r"([a-z_0-9]+)([(=:])", part)
    if found is None:
        return "", ""
    value = part[found.end() :]
    return found[1], value.removesuffix(")") if found[2] == "(" else value
