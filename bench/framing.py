"""Cutting a stream of bytes into OpenFlow messages. What is in them is not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ryu_apps.openflow.wire import HEADER, VERSION, WireError

_LAST_TYPE: Final = 35  # OFPT_CONTROLLER_STATUS


def begins_message(data: bytes) -> bool:
    """Whether messages follow each other from the first byte on, the last one perhaps not whole."""
    start = 0
    while len(data) - start >= HEADER.size:
        version, kind, length, _ = HEADER.unpack_from(data, start)
        if version != VERSION or kind > _LAST_TYPE or length < HEADER.size:
            return False
        start += length
    return start > 0


def whole_messages(held: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take the whole messages off the front of `held`: type, xid, bytes. WireError for what is no OpenFlow message."""
    start, end = 0, len(held)
    try:
        while end - start >= HEADER.size:
            version, kind, length, xid = HEADER.unpack_from(held, start)
            if length < HEADER.size or not 1 <= version <= VERSION:
                raise WireError(f"no OpenFlow message: version {version}, {length} bytes")
            if end - start < length:
                return
            raw = bytes(held[start : start + length])
            start += length
            yield kind, xid, raw
    finally:
        del held[:start]
