"""What a demonstration expects is found in what it saw as whole words and numbers only."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lab.story import Story


@pytest.mark.parametrize(
    ("expected", "seen", "agrees"),
    [
        ("0 of", "0 of 685", True),
        ("0 of", "10 of 685", False),
        ("192.0.2.1", "192.0.2.12", False),
        ("192.0.2.1", "192.0.2.12, 192.0.2.1", True),
        ('"vault"', 'network "vault": refused', True),
        ("refused", "nobody", False),
    ],
)
def test_what_is_expected(expected: str, seen: str, agrees: bool) -> None:
    story = Story(Console(file=io.StringIO()))
    story.expect("it", expected, seen)
    assert story.agreed is agrees
