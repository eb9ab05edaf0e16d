"""`python -m bench [ROW…] [--quick] [--json FILE]`: measures the rows of docs/benchmarks.md beside their limits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import machine
from bench.commands import CommandError
from bench.controller import ControllerError
from bench.figures import Row
from bench.pods import WrongEndError
from bench.report import as_json, as_markdown, show
from bench.rewriting import RewritingError
from bench.rows import bulk, changes, cni, dataplane, endpoints, pod_add, restart, verification
from bench.setting import Setting
from bench.switch_connection import RefusedError
from bench.tap import TapError
from bench.traffic import OverflowedError
from lab.errors import LabError
from lab.signals import end_in_order

_MODULES = (bulk, pod_add, restart, changes, endpoints, cni, dataplane, verification)
ROWS: dict[int, Callable[[Setting], Row]] = {module.NUMBER: module.run for module in _MODULES}
_TITLES = {module.NUMBER: module.TITLE for module in _MODULES}

_FAILURES = (
    *(LabError, ControllerError, CommandError, TapError, WrongEndError, RefusedError, RewritingError, OverflowedError),
    TimeoutError,
)
_WIDTH = 150  # columns, where there is no terminal to ask

application = typer.Typer(add_completion=False, rich_markup_mode=None)


def _list() -> str:
    return "; ".join(f"{number}: {title}" for number, title in sorted(_TITLES.items()))


@application.command(help=f"Measure rows of docs/benchmarks.md, all without a ROW. Rows: {_list()}. Needs root.")
def main(
    rows: Annotated[list[int] | None, typer.Argument(metavar="[ROW]…", help="which rows")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer switches and repeats, two minutes at most")] = False,
    file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write everything measured there")] = None,
    table: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="write the ratios there")] = None,
) -> None:
    """Measure, print, write."""
    progress = Console(stderr=True)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    chosen = sorted(set(rows or ROWS))
    if unknown := [number for number in chosen if number not in ROWS]:
        raise typer.BadParameter(f"there is no row {unknown[0]}; there are {', '.join(map(str, sorted(ROWS)))}")
    if os.geteuid() != 0:
        progress.print("bench: it makes network namespaces: it needs root")
        raise typer.Exit(2)
    end_in_order()
    described = machine.describe()
    console.print("; ".join(f"{name} {value}" for name, value in described.items()), highlight=False)
    setting = Setting(quick, lambda text: progress.print(f"[dim]{text}[/]", highlight=False))
    done: list[Row] = []
    try:
        for number in chosen:
            done.append(ROWS[number](setting))
            show(console, done[-1])
    except _FAILURES as error:
        progress.print(f"bench: {error}", markup=False)
        raise typer.Exit(1) from None
    if file is not None:
        file.write_text(json.dumps(as_json(done, described), indent=1) + "\n")
    if table is not None:
        table.write_text(as_markdown(done, described))


if __name__ == "__main__":
    application()
