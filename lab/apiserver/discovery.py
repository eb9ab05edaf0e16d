"""Which groups and kinds there are, as kubectl asks for it: /api, /apis and below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from lab.apiserver.kinds import Kind

_VERBS: Final = ("create", "delete", "get", "list", "patch", "update", "watch")


def discovery(parts: list[str], kinds: Iterable[Kind]) -> dict[str, Any] | None:
    """Return the document at a path, or None where there is no such document."""
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = sorted({(kind.group, kind.version) for kind in kinds if kind.group})
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*group) for group in groups]}
        case ["api", "v1"]:
            return _resources("", "v1", kinds)
        case ["apis", group, version] if any(kind.group == group for kind in kinds):
            return _resources(group, version, kinds)
    return None


def _group(group: str, version: str) -> dict[str, Any]:
    told = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [told], "preferredVersion": told}


def _resources(group: str, version: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    name = f"{group}/{version}" if group else version
    found = [_resource(kind) for kind in kinds if (kind.group, kind.version) == (group, version)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}


def _resource(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
        "shortNames": kind.short,
        "categories": kind.categories,
    }
