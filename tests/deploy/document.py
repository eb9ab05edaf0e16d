"""docs/operations.md taken apart: its fenced blocks, tables and names, so that tests can hold it against the code."""

from __future__ import annotations

import re

from tests.deploy.files import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()


def blocks(language: str, text: str = TEXT) -> list[str]:
    """Return the contents of the fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(title: str, level: int) -> str:
    """Return what stands below one heading of that level, up to the next one of the same or a higher level."""
    marks = "#" * level
    (found,) = re.findall(rf"^{marks} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(text: str) -> list[list[str]]:
    """Return the cells of a text's only table, without its two lines of head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    """Return what stands between backquotes."""
    return re.findall(r"`([^`\n]+)`", text)


def commands(text: str = TEXT) -> list[str]:
    """Return every command line of `heddle` in the console and shell blocks, without what it is piped into."""
    found = [*blocks("console", text), *blocks("sh", text)]
    lines = [line.removeprefix("$ ") for block in found for line in block.splitlines()]
    found = [re.sub(r"^docker-compose exec (-T )?controller ", "", line) for line in lines]
    return [re.split(r" +[|#] ?", line)[0].strip() for line in found if line.startswith("heddle ")]
