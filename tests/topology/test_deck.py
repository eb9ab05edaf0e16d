"""Every printed row of the slides' page with a packet: the verdict there beside ours, and why they differ."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.topology import deck
from topology.compiler import FlowTable, compile_node
from topology.switch import Switch
from topology.text import flow_text

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "deck-flows.md"
BEGIN, END = "<!-- table: made by tests/topology/test_deck.py -->\n", "<!-- end of table -->\n"


@pytest.fixture(scope="module")
def ours() -> FlowTable:
    return compile_node("here", deck.snapshot())


@pytest.fixture(scope="module")
def verdicts(ours: FlowTable) -> dict[str, tuple[str, str]]:
    """Return the page's verdict and ours, by name of the trial."""
    theirs, own = deck.switch(), Switch.of(ours)
    trials = deck.TRIALS | deck.MORE_TRIALS
    return {
        name: (deck.verdict(theirs, trial.packet), deck.verdict(own, trial.packet)) for name, trial in trials.items()
    }


def test_the_network_is_the_pages() -> None:
    snapshot = deck.snapshot()
    assert {port.addresses[0]: port.ofport for port in snapshot.ports.values()} == deck.OFPORTS
    assert {name: network.vnid for name, network in snapshot.networks.items()} == {
        "default": 0,
        "a": 10,
        "d": 13,
        "e": 14,
    }
    assert [str(snapshot.nodes[name].subnets[0]) for name in ("here", "there")] == ["10.1.0.0/24", "10.1.1.0/24"]


@pytest.mark.parametrize("row", deck.ROWS, ids=lambda row: row.text[:60])
def test_every_printed_row_is_met_by_its_packet(row: deck.Row) -> None:
    passage = deck.switch().process(deck.TRIALS[row.packet].packet)
    assert row.flow in [step.entry.flow for step in passage.steps if step.entry is not None]


def test_verdicts_differ_only_for_a_reason(verdicts: dict[str, tuple[str, str]]) -> None:
    trials = deck.TRIALS | deck.MORE_TRIALS
    assert {name for name, (theirs, own) in verdicts.items() if theirs != own} == {
        name for name, trial in trials.items() if trial.reason
    }


def test_the_decision_page_has_them_all(verdicts: dict[str, tuple[str, str]], request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, behind = rest.partition(END)
    wanted = f"{before}{BEGIN}{tables(verdicts)}{END}{behind}"
    if request.config.getoption("--golden-update"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, "if the change is meant: make golden"


def tables(verdicts: dict[str, tuple[str, str]]) -> str:
    """Return the page's tables."""
    head = "\n| row as printed | packet | verdict there | ours |\n|---|---|---|---|\n"
    rows = [(f"`{row.text}`", row.packet) for row in deck.ROWS]
    more = "\n| packet | verdict there | ours | reason |\n|---|---|---|---|\n"
    lines = [f"| {text} | {deck.TRIALS[name].words} | {' | '.join(verdicts[name])} |\n" for text, name in rows]
    others = [
        f"| {trial.words} | {' | '.join(verdicts[name])} | {trial.reason or 'no difference'} |\n"
        for name, trial in (deck.TRIALS | deck.MORE_TRIALS).items()
        if trial.reason or name in deck.MORE_TRIALS
    ]
    return f"{head}{''.join(lines)}{more}{''.join(others)}\n"


def test_golden_flows_of_the_node(ours: FlowTable, golden: Callable[[str, str], None]) -> None:
    """The node of the page in our flows, cookies included: a changed cookie rewrites flows on every switch."""
    flows = sorted((entry.flow.table, -entry.flow.priority, entry.flow.match, entry) for entry in ours.entries())
    lines = [flow_text(entry.flow, cookie=entry.cookie, names=True) for *_, entry in flows]
    assert all(re.match(r"cookie=0x[0-9a-f]+,table=", line) for line in lines)
    golden("flows/deck.txt", "\n".join(lines) + "\n")
