"""Byte templates: a message of one shape is laid out once; afterwards only the numbers that differ are packed.

A layout is a sequence of pieces: constant bytes, or the size in bytes of a number to be filled in. What
the pieces mean is said in `actions` and `encode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias

Piece: TypeAlias = bytes | int
Layout: TypeAlias = tuple[Piece, ...]

# Sizes that struct has a number for; others (MAC and IPv6 addresses) are filled in as bytes.
_CODES: Final[dict[int, str]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


def size(layout: Iterable[Piece]) -> int:
    """Return how many bytes a layout takes."""
    return sum(piece if isinstance(piece, int) else len(piece) for piece in layout)


def padded(layout: Layout, multiple: int = 8) -> Layout:
    """Return the layout with zeros after it, up to a multiple of `multiple` bytes."""
    return (*layout, bytes(-size(layout) % multiple))


@contextmanager
def fitting() -> Iterator[None]:
    """Turn what struct says of a number that does not fit its field, a length for instance, into ValueError."""
    try:
        yield
    except (StructError, OverflowError) as error:
        raise ValueError(f"a number does not fit its field: {error}") from error


class Template:
    """A layout ready to be filled in."""

    __slots__ = ("_arguments", "_pack", "_wide")

    def __init__(self, layout: Layout) -> None:
        constants: list[bytes] = [b""]
        codes: list[int] = []
        for piece in layout:
            if isinstance(piece, int):
                codes.append(piece)
                constants.append(b"")
            else:
                constants[-1] += piece
        kinds = [_CODES.get(width, f"{width}s") for width in codes]
        parts = [f"{len(constants[0])}s"]
        for kind, constant in zip(kinds, constants[1:], strict=True):
            parts += [kind, f"{len(constant)}s"]
        self._pack = Struct(">" + "".join(parts)).pack
        # Constants at even places, numbers at odd ones.
        self._arguments: list[Any] = [constants[0]]
        for constant in constants[1:]:
            self._arguments += [0, constant]
        self._wide = tuple((place, width) for place, width in enumerate(codes) if width not in _CODES)

    def fill(self, values: list[Any]) -> bytes:
        """Return the message with the numbers `values` in its open places, in order; `values` is used up.

        Raises ValueError when a number does not fit its place, or there are more or fewer than places.
        """
        arguments = self._arguments.copy()
        try:
            for place, width in self._wide:
                values[place] = values[place].to_bytes(width, "big")
            arguments[1::2] = values
            return self._pack(*arguments)
        except (StructError, OverflowError, IndexError) as error:
            raise ValueError(f"a number does not fit its field: {error}") from error
