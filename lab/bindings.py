"""A binding in few words, as the body of a request. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NAME = "kubernetes.io/metadata.name"


def binding(
    projects: str | Iterable[str] | Mapping[str, str] = (),
    pods: Mapping[str, str] | None = None,
    primary: str | Mapping[str, Any] | None = None,
    secondary: Iterable[str | Mapping[str, Any]] = (),
    optional: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the body of POST /v1/bindings, but the name.

    `projects`: names, or labels as a mapping, an empty one for all. `pods`: labels of pods, an empty mapping for all;
    None: it is for the projects. `primary` and `secondary`: networks as `name` or `name:interface`, or the API's own
    objects with `network`, `interface`, `addresses` and `mac`.
    """
    if isinstance(projects, Mapping):
        selector: dict[str, Any] = {"match_labels": dict(projects)}
    else:
        names = [projects] if isinstance(projects, str) else list(projects)
        selector = {"match_expressions": [{"key": NAME, "operator": "In", "values": names}]}
    return {
        "projects": selector,
        "pods": None if pods is None else {"match_labels": dict(pods)},
        "primary": None if primary is None else _attachment(primary),
        "secondary": [_attachment(each) for each in secondary],
        "optional": list(optional),
    }


def _attachment(given: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    network, _, interface = given.partition(":")
    return {"network": network, "interface": interface or None}
