"""Lists as tables (meta/v1, Table), as kubectl asks for them: with the columns that a definition says."""

from __future__ import annotations

import re
from email.message import Message
from typing import Any, Final

import msgspec

from lab.apiserver.kinds import Kind

_STEP: Final = re.compile(r"\.?([A-Za-z0-9_-]+)|\[\?\(@\.(\w+)==\"(\w+)\"\)\]|\[(\d+|\*)\]")


def wants_table(headers: Message) -> bool:
    """Whether a client asks for tables."""
    return "as=Table" in headers.get("Accept", "")


def table(kind: Kind, items: list[bytes], revision: str) -> dict[str, Any]:
    """Return objects as a table."""
    columns = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    columns += [
        {"name": one["name"], "type": one["type"], "format": "", "description": "", "priority": one.get("priority", 0)}
        for one in kind.columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": columns,
        "rows": [_row(kind, msgspec.json.decode(item)) for item in items],
    }


def _row(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    cells = [body["metadata"]["name"], *(_cell(body, column["jsonPath"]) for column in kind.columns)]
    shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": body["metadata"]}
    return {"cells": cells, "object": shown}


def _cell(body: Any, path: str) -> Any:
    """Return what a JSONPath leads to, as far as columns of custom resources need it; None for nothing."""
    found = [body]
    for name, key, value, index in _STEP.findall(path):
        found = [more for each in found for more in _next(each, name, key, value, index)]
    return found[0] if len(found) == 1 else ",".join(map(str, found)) or None


def _next(each: Any, name: str, key: str, value: str, index: str) -> list[Any]:
    if name and isinstance(each, dict) and name in each:
        return [each[name]]
    if key and isinstance(each, list):
        return [item for item in each if item.get(key) == value]
    if index and isinstance(each, list):
        return each if index == "*" else each[int(index) : int(index) + 1]
    return []
