"""Labels and selectors as words: the way kubectl takes them, and back. What else they may be, the server decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import typer

from cli.render import Item, items

_SET = re.compile(r"(\S+)\s+(in|notin)\s*\((.*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)")
_KEY = re.compile(r"(!?)\s*([^=!\s()]+)")
_NAME = "kubernetes.io/metadata.name"


def label(text: str) -> tuple[str, str]:
    """Return key and value of KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def labels_text(labels: Any) -> list[str]:
    """Return the API's object of labels as KEY=VALUE each."""
    return [f"{key}={value}" for key, value in labels.items()] if isinstance(labels, Mapping) else []


def selector(text: str) -> dict[str, Any]:
    """Return the API's object for a selector such as `team=red,tier in (a, b),!gpu`; of an empty one, for all."""
    expressions = [_expression(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return {"match_expressions": expressions}


def named(names: list[str]) -> dict[str, Any]:
    """Return the API's condition on the names of projects."""
    return {"key": _NAME, "operator": "In", "values": names}


def selector_text(found: Any) -> str:
    """Return the API's object for a selector as it is written; "all" for the one that selects everything."""
    if not isinstance(found, Mapping):
        return ""
    given = found.get("match_labels")
    parts = [*labels_text(given), *(_text(each) for each in items(found, "match_expressions"))]
    return ", ".join(parts) or "all"


def _expression(text: str) -> dict[str, Any]:
    found = _SET.fullmatch(text)
    if found is not None:
        values = [value.strip() for value in found[3].split(",")]
        return {"key": found[1], "operator": {"in": "In", "notin": "NotIn"}[found[2]], "values": values}
    found = _EQUAL.fullmatch(text)
    if found is not None:
        return {"key": found[1], "operator": "NotIn" if found[2] == "!=" else "In", "values": [found[3]]}
    found = _KEY.fullmatch(text)
    if found is not None:
        return {"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"}
    ways = "key=value, key!=value, key in (a, b), key notin (a, b), key or !key"
    raise typer.BadParameter(f"{text!r} is no condition on a label; write it as {ways}")


def _text(expression: Item) -> str:
    key, operator = expression.get("key"), expression.get("operator")
    values = [str(value) for value in expression.get("values") or ()]
    if operator in ("In", "NotIn"):
        if len(values) == 1:
            return f"{key}{'=' if operator == 'In' else '!='}{values[0]}"
        return f"{key} {str(operator).lower()} ({', '.join(values)})"
    return f"{'!' if operator == 'DoesNotExist' else ''}{key}"
