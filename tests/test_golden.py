"""The golden fixture itself: without a failure on difference every golden test would be worthless."""

from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from pathlib import Path
import pytest
from tests.conftest import golden, pytest_addoption

@pytest.fixture(scope="session")
def golden_root():
    return Path({root!r})
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Return run(text, *options): run a one-test suite that compares text with the golden file 'a/b.txt'."""
    root = pytester.mkdir("golden")

    def run_suite(text: str, *options: str) -> pytest.RunResult:
        pytester.makeconftest(CONFTEST.format(root=str(root)))
        pytester.makepyfile(f"def test_it(golden):\n    golden('a/b.txt', {text!r})\n")
        return pytester.runpytest_inprocess(*options)

    return run_suite


def test_missing_file_fails_and_names_the_remedy(run: Callable[..., pytest.RunResult]) -> None:
    result = run("one\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*does not exist; write it with: make golden*"])


def test_update_writes_then_equal_passes_and_different_fails(run: Callable[..., pytest.RunResult]) -> None:
    run("one\n", "--golden-update").assert_outcomes(passed=1)
    run("one\n").assert_outcomes(passed=1)
    result = run("two\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*make golden*"])
