"""JSON for a process that lives for 20 milliseconds: the C parts of `json` without the package around them.

`import json` pulls in `re` and `enum` (7 ms); its scanner and encoder alone cost nothing. They are the same objects
in CPython 3.11 to 3.13; anywhere else the package itself is used. No schema, no files here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = Any


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


class _Context:
    """What the scanner in C asks of its decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)


def _functions() -> tuple[Callable[[str, int], tuple[Json, int]], Callable[[Json], str]]:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        scan = make_scanner(_Context())  # type: ignore[arg-type]
        encode = make_encoder(None, _no_default, encode_basestring_ascii, None, ": ", ", ", False, False, False)
        return scan, lambda value: "".join(encode(value, 0))
    except (ImportError, TypeError):
        import json

        return json.JSONDecoder(parse_constant=_no_constant).raw_decode, json.dumps


def _no_default(value: object) -> Json:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_SCAN, _ENCODE = _functions()


def loads(text: str) -> Json:
    """The value that `text` says; ValueError says where it is not JSON (RFC 8259)."""
    value, rest = first(text)
    if rest:
        raise ValueError(f"text after the value: {rest[:20]!r}")
    return value


def first(text: str) -> tuple[Json, str]:
    """The first value in `text`, and the text behind it; ValueError as for `loads`."""
    stripped = text.strip(" \t\r\n")
    try:
        value, end = _SCAN(stripped, 0)
    except StopIteration:
        raise ValueError("no JSON value" if stripped else "empty") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, stripped[end:]


def dumps(value: Json) -> str:
    """`value` (dict, list, str, int, float, bool, None) as ASCII JSON text on one line."""
    return _ENCODE(value)
