"""Bandwidths as text: quantities of bits a second as Kubernetes writes them, 10M or 1.5Gi."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from typing import Annotated, Final

from msgspec import Meta

from store.fields import END, Malformed
from topology.model import LEAST_BANDWIDTH, MOST_BANDWIDTH

# Kubernetes, apimachinery, resource.Quantity: a number without a sign, and a power of ten, or of 1024, as a suffix.
QUANTITY: Final = r"^\+?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?" + END

Bandwidth = Annotated[
    str,
    Meta(
        max_length=42,
        description="Bits a second, as in Kubernetes: 1k to 1P.",
        examples=["10M"],
        extra_json_schema={"pattern": QUANTITY},
    ),
]

_TEN: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def bandwidth(text: str, path: str) -> int:
    """Return the bits a second that a text at `path` stands for, rounded up as in Kubernetes. Raises Malformed."""
    found = re.match(QUANTITY, text)
    if found is None:
        raise Malformed(path, f'"{text[:64]}" is no quantity', "write bits a second as 10M or 500k")
    value = ceil(Fraction(found[1]) * _factor(found[3] or ""))
    if not LEAST_BANDWIDTH <= value <= MOST_BANDWIDTH:
        raise Malformed(path, f'"{text}" bits a second are out of range', "limit it to between 1k and 1P")
    return value


def bandwidth_text(bits: int | None) -> str | None:
    """Return the shortest text of so many bits a second, if there are any."""
    if bits is None:
        return None
    for suffix in ("P", "T", "G", "M", "k"):
        whole, rest = divmod(bits, 10 ** _TEN[suffix])
        if whole and not rest:
            return f"{whole}{suffix}"
    return str(bits)


def _factor(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return Fraction(2 ** _BINARY[suffix])
    exponent = _TEN[suffix] if suffix in _TEN else int(suffix[1:])
    return Fraction(10) ** exponent
