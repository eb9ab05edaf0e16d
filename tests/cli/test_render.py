"""Tables on terminals of any width: nothing is lost, and only what may fold does."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.options import Output
from cli.render import Column, Tree, cell, show, table

COLUMNS = (Column("NAME", "name"), Column("PORTS", "ports", right=True), Column("REASON", "reason", folds=True))
WORDS = st.text(st.sampled_from("abcdef-,:[]/"), min_size=1, max_size=12)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS, "ports": st.integers(0, 9999), "reason": st.lists(WORDS, max_size=8).map(" ".join)}
    ),
    max_size=5,
)


class Terminal:
    """Standard output that says it is a terminal, and keeps what it is given."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        """Say yes."""
        return True

    def write(self, text: str) -> int:
        """Keep a text."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


def shown(columns: int, items: list[dict[str, object]]) -> list[str]:
    """Return the lines of a table of these items on a terminal with this number of columns."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        patch.setenv("TERM", "xterm")
        show(Output.TABLE, items, lambda body: table(COLUMNS, body))
    return re.sub("\x1b[^m]*m", "", terminal.text).splitlines()


@given(columns=st.integers(1, 120), items=ITEMS)
def test_every_width_shows_every_word(columns: int, items: list[dict[str, object]]) -> None:
    lines = shown(columns, items)
    words = [word for line in lines[1:] for word in line.split()]
    for item in items:
        assert item["name"] in words
        assert str(item["ports"]) in words
        assert all(word in words for word in cell(item["reason"]).split())


@given(items=ITEMS)
def test_a_wide_terminal_has_one_line_per_item(items: list[dict[str, object]]) -> None:
    assert len(shown(200, items)) == 1 + len(items)


def test_long_words_are_broken_where_they_must() -> None:
    lines = shown(60, [{"name": "a", "ports": 1, "reason": "x" * 100}])
    assert max(map(len, lines)) <= 60
    assert "".join(line.rpartition(" ")[2] for line in lines[1:]) == "x" * 100


def test_cells() -> None:
    assert [cell(value) for value in (None, "", False, [], ())] == ["-"] * 5
    assert [cell(value) for value in (0, True, 1.5, ["a", None], "a\nb")] == ["0", "yes", "1.5", "a, -", "a b"]


def test_a_tree_in_a_pipe_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output.TABLE, {}, lambda _: Tree("root", (Tree("word " * 60), Tree("[b]:x:"))))
    assert capsys.readouterr().out == f"root\n├── {'word ' * 59}word\n└── [b]:x:\n"
