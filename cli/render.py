"""How results look: tables, trees and sentences for people, JSON and YAML for programs.

Knows no command and no server. rich is imported for terminals and trees only, yaml for YAML only.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from cli.failures import Failure, Unheard, one_line
from cli.options import Output

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.tree import Tree as RichTree

Item: TypeAlias = Mapping[str, Any]

NOTHING = "-"
_GAP = "  "
# Where nothing is folded: a line stays a line for grep.
_UNFOLDED = 10_000
# Words up to this length are not broken when a column folds.
_WORD = 30
_PIECE = 1 << 14


class Column(NamedTuple):
    """One column of a table: its title, and what it shows of an item (a field's name, or a function)."""

    title: str
    value: str | Callable[[Item], object]
    right: bool = False
    folds: bool = False  # between words, when the terminal is too narrow


class Table(NamedTuple):
    """Columns, and what stands in them, row by row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


class Tree(NamedTuple):
    """A label, and what is below it."""

    label: str
    branches: tuple[Tree, ...] = ()


Part: TypeAlias = Table | Tree | str


def show(output: Output, body: Any, view: Callable[[Any], Part | tuple[Part, ...]]) -> None:
    """Print an answer of the API: as it is (json, yaml), or as `view` of it, one part below the other.

    Nothing is printed for an empty answer. Raises Unheard and Failure when standard output takes no more.
    """
    if output is Output.TABLE:
        seen = view(body)
        parts: tuple[Part, ...] = (seen,) if isinstance(seen, (Table, Tree, str)) else seen
        # rich takes every dumb terminal for one of 80 columns; such a one is treated as a file.
        terminal = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        _write("".join(_folded(part) if terminal else _plain(part) for part in parts))
    elif body is None:
        return
    elif output is Output.JSON:
        _write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    else:
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        _write(yaml.dump(body, Dumper=dumper, sort_keys=False, allow_unicode=True))


def table(columns: tuple[Column, ...], items: Iterable[Item]) -> Table:
    """Return a table with one row per item."""
    return Table(columns, tuple(tuple(cell(_value(column, item)) for column in columns) for item in items))


def cell(value: object) -> str:
    """Return a value as a person reads it: on one line, a dash for nothing, a list with commas."""
    if value is None or value == "" or value is False:
        return NOTHING
    if value is True:
        return "yes"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(part) for part in value) or NOTHING
    return one_line(str(value)) or NOTHING


def match(flow: Item) -> str:
    """Return the match of a flow or of a step; the one that every packet fits is empty."""
    return cell(flow.get("match") or "any")


def items(body: Any, key: str | None = None) -> list[Item]:
    """Return the objects of an answer: those under `key`, or its own when it is a list."""
    found = body if key is None else body.get(key) if isinstance(body, Mapping) else None
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _value(column: Column, item: Item) -> object:
    return item.get(column.value) if isinstance(column.value, str) else column.value(item)


def _plain(part: Part) -> str:
    """Return a part as lines that are as long as they must be."""
    if isinstance(part, str):
        return f"{part}\n"
    if isinstance(part, Tree):
        return _drawn(_branch(part), width=_UNFOLDED, terminal=False)
    widths = _widths(part, _UNFOLDED)
    lines = (
        _GAP.join(
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, part.columns, strict=True)
        )
        for row in _rows(part)
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _folded(part: Part) -> str:
    """Return a part for the terminal: in its width, or wider where only breaking words would help."""
    if isinstance(part, str):
        return f"{part}\n"
    columns = shutil.get_terminal_size().columns
    if isinstance(part, Tree):
        return _drawn(_branch(part), width=columns, terminal=True)
    import rich.table

    drawn = rich.table.Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for column, width in zip(part.columns, _widths(part, columns), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        drawn.add_column(column.title, justify=justify, no_wrap=not column.folds, overflow="fold", width=width)
    for row in part.rows:
        drawn.add_row(*row)
    return _drawn(drawn, width=_UNFOLDED, terminal=True)


def _rows(part: Table) -> tuple[tuple[str, ...], ...]:
    return (tuple(column.title for column in part.columns), *part.rows)


def _widths(part: Table, available: int) -> list[int]:
    """Return the widths of a table's columns: what they need, less for those that fold where that is not available."""
    by_column = [*zip(*_rows(part), strict=True)]
    widths = [max(map(len, texts)) for texts in by_column]
    words = (max(len(word) for text in texts for word in text.split()) for texts in by_column)
    spare = [
        max(0, width - min(_WORD, word)) if column.folds else 0
        for width, word, column in zip(widths, words, part.columns, strict=True)
    ]
    missing = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    while missing > 0 and max(spare) > 0:
        widest = spare.index(max(spare))
        widths[widest] -= 1
        spare[widest] -= 1
        missing -= 1
    return widths


def _branch(tree: Tree) -> RichTree:
    """Return a tree as rich has it."""
    import rich.tree

    drawn = rich.tree.Tree(tree.label, guide_style="dim")
    drawn.children = [_branch(branch) for branch in tree.branches]
    return drawn


def _drawn(drawable: RenderableType, *, width: int, terminal: bool) -> str:
    """Return what rich makes of something, within a width in columns, with or without a terminal's colours."""
    from rich.console import Console

    class Page(io.StringIO):
        """Text for standard output; rich draws trees in what its encoding has."""

        encoding = sys.stdout.encoding

    page = Page()
    # What the server sends is text: no markup, no emoji names, no colours by pattern.
    console = Console(
        file=page, width=width, height=25, force_terminal=terminal, markup=False, emoji=False, highlight=False
    )
    console.print(drawable)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def _write(text: str) -> None:
    """Write to standard output; what its encoding does not have is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        # In pieces: with PYTHONUNBUFFERED, Python does not notice that a pipe took only a part of a long text.
        for start in range(0, len(text), _PIECE):
            sys.stdout.write(text[start : start + _PIECE])
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered goes nowhere, or Python complains about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise Unheard from error
        raise Failure(f"standard output: {error.strerror}; the command itself was carried out") from error
