"""How results look: tables, trees and sentences for people, JSON and YAML for programs.

Knows no command and no server. rich and yaml are imported when something is printed with them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cli.failures import one_line
from cli.options import Output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.tree import Tree

Item = Mapping[str, Any]

# Not a terminal: nothing is folded, a line stays a line for grep.
_UNFOLDED = 10_000
NOTHING = "-"


class Column(NamedTuple):
    """One column of a table: its title, and what it shows of an item (a field's name, or a function)."""

    title: str
    value: str | Callable[[Item], object]
    right: bool = False
    folds: bool = False  # between words, when the terminal is too narrow


def show(output: Output, body: Any, view: Callable[[Any], RenderableType]) -> None:
    """Print an answer of the API: as it is (json, yaml), or as `view` of it. Nothing is printed for an empty answer."""
    if output is Output.TABLE:
        _print(view(body))
    elif body is None:
        return
    elif output is Output.JSON:
        sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    else:
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        yaml.dump(body, sys.stdout, Dumper=dumper, sort_keys=False, allow_unicode=True)


def table(columns: Iterable[Column], items: Iterable[Item]) -> Table:
    """Return a table with one row per item."""
    from rich.table import Table

    columns = tuple(columns)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        drawn.add_column(column.title, justify=justify, no_wrap=not column.folds, overflow="fold")
    for item in items:
        drawn.add_row(*(cell(_value(column, item)) for column in columns))
    return drawn


def tree(label: str) -> Tree:
    """Return a tree of which only the root is there."""
    from rich.tree import Tree

    return Tree(label, guide_style="dim")


def lines(*parts: RenderableType) -> RenderableType:
    """Return things below each other."""
    from rich.console import Group

    return Group(*parts)


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


def items(body: Any, key: str) -> list[Item]:
    """Return the list of an answer: the answer itself, or what it has under `key`."""
    found = body.get(key) if isinstance(body, Mapping) else body
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _value(column: Column, item: Item) -> object:
    return item.get(column.value) if isinstance(column.value, str) else column.value(item)


def _print(drawn: RenderableType) -> None:
    if isinstance(drawn, str):
        sys.stdout.write(f"{drawn}\n" if drawn else "")
        return
    if sys.stdout.isatty():
        console = _console(None)
        # Wider than the terminal when it must be: a line that the terminal breaks is whole when it is copied.
        console.width = max(console.width, _console(_UNFOLDED).measure(drawn).minimum)
        console.print(drawn)
        return
    console = _console(_UNFOLDED)
    with console.capture() as capture:
        console.print(drawn)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _console(width: int | None) -> Console:
    from rich.console import Console

    # What the server sends is text: no markup, no emoji names, no colours by pattern.
    return Console(width=width, markup=False, emoji=False, highlight=False)
