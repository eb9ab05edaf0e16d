"""What every test may use: the golden-file fixture and the Hypothesis profiles.

Fixtures that serve one package only stay in that package's folder.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# "ci" gives the same examples on every run; "explore" (HYPOTHESIS_PROFILE=explore) looks for new ones.
settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer --golden-update, which rewrites the files under tests/golden instead of comparing with them."""
    parser.addoption("--golden-update", action="store_true", help="rewrite tests/golden/* with what the tests produce")


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """Return the folder of the golden files."""
    return Path(__file__).parent / "golden"


@pytest.fixture
def golden(request: pytest.FixtureRequest, golden_root: Path) -> Callable[[str, str], None]:
    """Return check(name, text): text must equal the file tests/golden/<name>, which --golden-update rewrites."""

    def check(name: str, text: str) -> None:
        path = golden_root / name
        if not path.resolve().is_relative_to(golden_root.resolve()):
            raise ValueError(f"golden file {name!r} is outside tests/golden")
        if request.config.getoption("--golden-update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"{path} does not exist; write it with: make golden")
        expected = path.read_text(encoding="utf-8")
        assert text == expected, f"differs from {path}; if the change is meant: make golden"

    return check


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped: list[pytest.TestReport] = reporter.stats.get("skipped", []) if reporter else []
    return skipped


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a run fail in which a test was skipped: nobody would see what it no longer shows."""
    if session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why such a run fails."""
    skipped = _skipped(terminalreporter.config)
    if skipped:
        terminalreporter.write_line(f"ERROR: {len(skipped)} skipped; a test runs, or is deleted", red=True)
