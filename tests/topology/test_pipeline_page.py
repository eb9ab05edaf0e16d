"""docs/pipeline.md is what topology/pipeline.py says."""

from tools.pipeline_page import PAGE, page
from topology.pipeline import Table, stages


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs"


def test_the_page_names_every_stage_and_an_entry_to_every_table() -> None:
    text = page()
    assert all(f"| {stage.priority} | {stage.feature.name.lower()} | {stage.purpose} |" in text for stage in stages())
    entered = {line.split(" --> ")[1] for line in text.splitlines() if " --> " in line}
    assert entered == {table.name for table in Table} - {"DISPATCH", "SENTINELS"}
