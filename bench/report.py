"""Rows as tables for people and as JSON for programs. No measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Contender, Ratio, Row

_SHOWN_CPU_MS = 0.01
_REACHED = {True: "yes", False: "no", None: ""}


def show(console: Console, row: Row) -> None:
    """Print a row's contenders and its ratios."""
    console.print(_contenders(row))
    console.print(_ratios(row))
    for note in row.notes:
        console.print(f"[dim]{note}[/]", highlight=False)
    console.print()


def as_json(rows: Sequence[Row], machine: Mapping[str, str]) -> dict[str, Any]:
    """Everything that was measured, single values included; times in seconds, CPU in milliseconds."""
    return {"machine": dict(machine), "rows": [_row(row) for row in rows]}


def as_markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """The ratios as a table for docs/benchmarks.md, under a line that names versions and machine."""
    lines = ["; ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    lines += ["| row | what | ratio | goal | reached |", "|---|---|---:|---:|---|"]
    for row in rows:
        for one in row.ratios:
            lines.append(f"| {row.number} | {one.what} | {one.value:.3g} | {_goal(one)} | {_REACHED[one.met]} |")
    return "\n".join(lines) + "\n"


def _contenders(row: Row) -> Table:
    table = Table(title=f"row {row.number}: {row.title}", title_justify="left")
    table.add_column("contender")
    for heading in ("n", "min ms", "p50 ms", "p99 ms", "CPU ms"):
        table.add_column(heading, justify="right")
    table.add_column("of which", overflow="fold")
    table.add_column("seen", overflow="fold")
    for one in row.contenders:
        times = [f"{value * 1000:.3g}" for value in _times(one)]
        cpu = ", ".join(f"{name} {spent:.3g}" for name, spent in _largest_first(one.cpu_ms))
        facts = ", ".join(f"{name} {value}" for name, value in one.facts.items())
        table.add_row(one.name, str(len(one.seconds.values)), *times, f"{one.total_cpu_ms:.3g}", cpu, facts)
    return table


def _ratios(row: Row) -> Table:
    table = Table(title="ratios", title_justify="left")
    table.add_column("what")
    table.add_column("ratio", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("reached")
    for one in row.ratios:
        table.add_row(one.what, f"{one.value:.3g}", _goal(one), _REACHED[one.met])
    return table


def _largest_first(cpu_ms: Mapping[str, float]) -> list[tuple[str, float]]:
    used = [(name, spent) for name, spent in cpu_ms.items() if spent >= _SHOWN_CPU_MS]
    return sorted(used, key=lambda item: -item[1])


def _goal(ratio: Ratio) -> str:
    if ratio.goal is None:
        return ""
    signs = {"at most": "≤ ", "at least": "≥ ", "exactly": "= "}
    return f"{signs[ratio.sense]}{ratio.goal:.3g}"


def _times(contender: Contender) -> tuple[float, float, float]:
    seconds = contender.seconds
    return seconds.minimum, seconds.median, seconds.quantile(0.99)


def _row(row: Row) -> dict[str, Any]:
    return {
        "row": row.number,
        "title": row.title,
        "contenders": [_contender(one) for one in row.contenders],
        "ratios": [
            {"what": one.what, "value": one.value, "goal": one.goal, "sense": one.sense, "met": one.met}
            for one in row.ratios
        ],
        "notes": list(row.notes),
    }


def _contender(one: Contender) -> dict[str, Any]:
    minimum, median, late = _times(one)
    return {
        "name": one.name,
        "seconds": list(one.seconds.values),
        "minimum": minimum,
        "p50": median,
        "p99": late,
        "cpu_ms": dict(one.cpu_ms),
        "facts": dict(one.facts),
    }
