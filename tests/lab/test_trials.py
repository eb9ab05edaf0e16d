"""What single questions of a demonstration make of their outcomes, and how a demonstration ends. No packets here."""

from __future__ import annotations

import sys
from io import StringIO
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from lab.errors import LabError
from lab.hosts import Host
from lab.probes import Outcome, Verdict
from lab.story import Story, tell
from lab.trials import NOBODY, Trial, carry_out

YES, NO = Verdict.ANSWERED, Outcome(Verdict.SILENT)


def _asker(outcome: Outcome) -> Host:
    """A host whose every question comes to `outcome`."""
    return cast(Host, SimpleNamespace(name="red/a", **dict.fromkeys(("tcp", "udp", "ping"), lambda *_: outcome)))


@pytest.mark.parametrize(
    ("protocol", "outcome", "by", "seen_as", "right"),
    [
        ("tcp", Outcome(YES, "red/b", "10.0.0.2"), "red/b", "10.0.0.2", True),
        ("tcp", Outcome(YES, "red/b", "10.0.0.2"), "red/b", "", True),
        ("tcp", Outcome(YES, "red/b", "10.128.0.2"), "red/b", "10.0.0.2", False),
        ("udp", Outcome(YES, "blue/b", "10.0.0.2"), "red/b", "10.0.0.2", False),
        ("tcp", NO, "red/b", "", False),
        ("tcp", NO, NOBODY, "", True),
        ("tcp", Outcome(Verdict.REFUSED), NOBODY, "", False),
        ("tcp", Outcome(YES, "red/b"), NOBODY, "", False),
        ("icmp", Outcome(YES, "10.0.0.3"), "red/b", "", True),
        ("icmp", Outcome(YES, "10.0.0.9"), "red/b", "", False),
        ("icmp", Outcome(YES, "10.0.0.3"), NOBODY, "", False),
        ("icmp", NO, NOBODY, "", True),
    ],
)
def test_agreement(protocol: str, outcome: Outcome, by: str, seen_as: str, right: bool) -> None:
    trial = Trial(_asker(outcome), "10.0.0.3", by, protocol, seen_as=seen_as)
    table, wrong = carry_out("A title", [trial])
    assert wrong == (0 if right else 1)
    assert table.row_count == 1


def test_expected_stands_beside_seen() -> None:
    trials = [Trial(_asker(NO), "10.0.0.3", "red/b", "tcp", 80), Trial(_asker(NO), "10.0.0.4", NOBODY, "icmp")]
    output = StringIO()
    story = Story(Console(width=100, file=output))
    story.try_out("A title", trials)
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert ["red/a", "10.0.0.3", "tcp", "80", "red/b", "nobody"] in rows
    assert ["red/a", "10.0.0.4", "icmp", "nobody", "nobody"] in rows
    assert not story.agreed


@pytest.mark.parametrize(("seen", "agreed"), [("409: another range", True), ("joined", False)])
def test_what_is_no_packet(seen: str, agreed: bool) -> None:
    story = Story(Console(file=StringIO()))
    story.expect("a connection", "another range", seen)
    assert story.agreed is agreed


def _differ(_: str, story: Story) -> None:
    story.expect("something", "this", "that")


def _break(_: str, __: Story) -> None:
    raise LabError("no Open vSwitch")


def _leave(_: str, __: Story) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("demonstrate", "status", "said"),
    [
        (lambda _, story: story.say("hello"), 0, "all is well"),
        (_differ, 1, "not all is well"),
        (_break, 2, "no Open vSwitch"),
        (_leave, 130, "interrupted"),
    ],
)
def test_how_a_demonstration_ends(
    demonstrate: object, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lab.demo"])
    monkeypatch.setattr("lab.story.end_in_order", lambda: None)  # the test run's signals stay as they are
    assert tell("lab.demo", "A demonstration.", demonstrate, "all is well") == status  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
