"""The common test set-up itself: a golden file that differs fails, and so does a run that skips."""

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


def test_a_run_that_skips_a_test_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import pytest_sessionfinish, pytest_terminal_summary")
    pytester.makepyfile("import pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('not today')\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: 1 skipped*", "*1 passed, 1 skipped*"])


def test_a_run_that_skips_nothing_passes(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import pytest_sessionfinish, pytest_terminal_summary")
    pytester.makepyfile("def test_one(): pass\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("ERROR: *")
