"""Tables and JSON of a row, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench import machine
from bench.__main__ import ROWS, application
from bench.cpu import Programs, average, cpu_seconds
from bench.figures import Contender, Distribution, Ratio, Row
from bench.report import as_json, as_markdown, show
from bench.rows.cni import program

ROW = Row(
    2,
    "a title",
    (Contender("ours", Distribution((0.002, 0.001, 0.003)), {"one": 2.0, "other": 3.5, "idle": 0.0}, {"flows": "4"}),),
    (Ratio("ours / theirs", 1.5, 1.0), Ratio("switches", 1, 1, "exactly"), Ratio("rate", 0.5, 0.4, "at least")),
    ("a note",),
)


def test_a_row_is_shown_with_times_cpu_and_goals() -> None:
    console = Console(record=True, width=150, file=open(os.devnull, "w"))  # noqa: SIM115  # ends with the test
    show(console, ROW)
    text = console.export_text()
    (line,) = (line for line in text.splitlines() if "ours " in line and "flows 4" in line)
    assert line.replace("│", " ").split() == [
        *("ours", "3", "1", "2", "2.98", "5.5", "other", "3.5,", "one", "2", "flows", "4")
    ]
    goals = [line for line in text.splitlines() if "≤ 1" in line or "= 1" in line or "≥ 0.4" in line]
    assert [line.rstrip("│ ").split()[-1] for line in goals] == ["no", "yes", "yes"]
    assert "a note" in text


def test_json_has_everything() -> None:
    found = json.loads(json.dumps(as_json([ROW], {"Python": "3"})))
    assert found["machine"] == {"Python": "3"}
    (row,) = found["rows"]
    (contender,) = row["contenders"]
    assert contender["seconds"] == [0.002, 0.001, 0.003]
    assert contender["p50"] == 0.002
    assert contender["cpu_ms"] == {"one": 2.0, "other": 3.5, "idle": 0.0}
    assert [one["met"] for one in row["ratios"]] == [False, True, True]


def test_the_table_for_the_documentation() -> None:
    lines = as_markdown([ROW], {"Python": "3", "cores": "2"}).splitlines()
    assert lines[0] == "Python 3; cores 2."
    assert lines[4:] == [
        "| 2 | ours / theirs | 1.5 | ≤ 1 | no |",
        "| 2 | switches | 1 | = 1 | yes |",
        "| 2 | rate | 0.5 | ≥ 0.4 | yes |",
    ]


def test_the_machine_is_described() -> None:
    described = machine.describe()
    assert {"Heddle", "Python", "ryu", "eventlet", "Open vSwitch", "kernel", "cores"} <= set(described)
    assert all(described.values())


def test_help_lists_the_rows() -> None:
    done = CliRunner().invoke(application, ["--help"])
    assert done.exit_code == 0
    assert sorted(ROWS) == [1, 2, 6, 7, 8, 10, 11, 13]
    assert "bulk: flows to an empty bridge" in " ".join(done.output.split())


@pytest.mark.parametrize("arguments", [["3"], ["x"], ["--json"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(application, arguments).exit_code == 2


def test_the_cpu_clock_of_a_process_is_its_own() -> None:
    programs = Programs({"us": (os.getpid(),)})
    before, known = programs.read(), time.process_time()
    while time.process_time() < known + 0.02:
        pass
    spent = programs.read().since(before)["us"]
    assert spent >= (time.process_time() - known) * 1000 * 0.5
    with pytest.raises(OSError, match=r".*"):
        cpu_seconds(2**22 + 1)


def test_cpu_is_averaged_over_units_by_name() -> None:
    assert average([{"a": 1.0, "b": 4.0}, {"a": 3.0}], 4) == {"a": 1.0, "b": 1.0}


def test_only_what_runs_all_the_time_is_a_program_of_the_laboratory() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as momentary:
        assert program(momentary.pid) is None
        momentary.kill()
    assert program(momentary.pid) is None
    with subprocess.Popen(["ovsdb-server", "60"], executable="/bin/sleep") as lasting:
        while not Path(f"/proc/{lasting.pid}/cmdline").read_bytes().startswith(b"ovsdb"):
            pass
        assert program(lasting.pid) == "ovsdb-server"
        lasting.kill()
