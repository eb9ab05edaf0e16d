"""The CustomResourceDefinitions of our resources, made from `resources`: structural schemas, rules, printer columns.

    python -m kube.schema        writes deploy/kubernetes/crds/

What JSON Schema says and a structural schema cannot (apiextensions/v1, JSONSchemaProps) is written otherwise or left
out: references are put in place, tuples become arrays of a length, look-aheads go (RE2 has none), and so do defaults,
which the controller knows. Rules are CEL, in the words that API servers have had since 1.27.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from kube.resources import (
    BINDINGS,
    CATEGORY,
    CONNECTIONS,
    CUSTOM_RESOURCES,
    EXTERNAL_VTEPS,
    GROUP,
    MIRRORS,
    NETWORKS,
    PROJECT_NETWORKS,
    VERSION,
    CustomResource,
    Status,
)
from store.fields import END

FOLDER: Final = Path("deploy/kubernetes/crds")
_LOOK_AHEAD: Final = re.compile(r"\(\?!(?:[^()]|\\.)*\)")
_KEPT: Final = frozenset(
    ("type", "description", "pattern", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
)


class Rule(NamedTuple):
    """A condition on an object, in CEL, and what is said when it does not hold."""

    rule: str
    message: str


_LABEL: Final = "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63"
_NAMED: Final = Rule(_LABEL, "the name has to be a DNS label: at most 63 letters, digits and hyphens, no dots")


def _kept(field: str) -> Rule:
    held = f"self.spec.{field} == oldSelf.spec.{field}"
    rule = f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && (!has(self.spec.{field}) || {held})"
    return Rule(rule, f"spec.{field} cannot be changed; delete the network, and make it anew")


# By the plural of the kind; `self` is the whole object.
RULES: Final = {
    NETWORKS.plural: (
        _NAMED,
        Rule("self.metadata.name != 'default'", 'network "default" is built in'),
        *map(_kept, ("vnid", "subnets", "flat", "mtu")),
    ),
    CONNECTIONS.plural: (
        Rule("self.spec.networks[0] < self.spec.networks[1]", "spec.networks are two names, in order"),
        Rule(
            "self.metadata.name == self.spec.networks[0] + '.' + self.spec.networks[1]",
            "the name has to be FIRST.SECOND, the networks that it connects",
        ),
    ),
    BINDINGS.plural: (_NAMED,),
    MIRRORS.plural: (
        _NAMED,
        Rule("has(self.spec.network) != has(self.spec.pod)", "give spec.network or spec.pod, and not both"),
        Rule(
            "!has(self.spec.pod) || self.spec.pod.project != self.spec.target.project"
            " || self.spec.pod.pod != self.spec.target.pod",
            "a pod is no mirror of itself",
        ),
    ),
    EXTERNAL_VTEPS.plural: (
        _NAMED,
        Rule("has(self.spec.network) != has(self.spec.vnid)", "give spec.network or spec.vnid, and not both"),
    ),
    PROJECT_NETWORKS.plural: (_NAMED,),
}


def definition(resource: CustomResource) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a resource."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _of_object(resource)},
        "additionalPrinterColumns": [_column(column._asdict()) for column in resource.columns],
    }
    if resource.decided is not None:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.full_name, "labels": {"app.kubernetes.io/name": "heddle"}},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": [resource.short],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _column(column: dict[str, Any]) -> dict[str, Any]:
    column["jsonPath"] = column.pop("path")
    return {name: value for name, value in column.items() if value != 0}


def _of_object(resource: CustomResource) -> dict[str, Any]:
    spec = structural(resource.spec)
    for name in resource.omitted:
        spec["properties"].pop(name, None)
    spec["required"] = [name for name in spec.get("required", ()) if name not in resource.omitted]
    if not spec["required"]:
        del spec["required"]
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    told: dict[str, Any] = {"type": "object", "description": spec["description"], "properties": properties}
    properties["spec"] = spec
    if resource.decided is not None:
        properties["status"] = structural(Status[resource.decided])  # type: ignore[name-defined]
    told["required"] = ["spec"]
    rules = RULES.get(resource.plural, ())
    if rules:
        told["x-kubernetes-validations"] = [rule._asdict() for rule in rules]
    return told


def structural(shape: type[Any]) -> dict[str, Any]:
    """Return the structural schema of a shape."""
    (top,), parts = msgspec.json.schema_components((shape,), ref_template="{name}")
    return _structural(top, parts)


def _structural(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        told = _structural(parts[schema["$ref"]], parts)
        return {**told, **({"description": schema["description"]} if "description" in schema else {})}
    choices = schema.get("anyOf", ())
    if any(choice.get("type") == "null" for choice in choices):
        (choice,) = (choice for choice in choices if choice.get("type") != "null")
        return _nullable(_structural({**schema, **choice, "anyOf": ()}, parts))
    told = {name: value for name, value in schema.items() if name in _KEPT}
    if "description" in told:
        told["description"] = inspect.cleandoc(told["description"])
    return told | _inside(schema, told, parts)


def _nullable(told: dict[str, Any]) -> dict[str, Any]:
    """Admit null too. Of an enumeration an API server refuses it, also where null is one of the values."""
    if "enum" in told:
        told = {**told, "pattern": f"^({'|'.join(map(re.escape, told['enum']))})$"}
        del told["enum"]
    return {**told, "nullable": True}


def _inside(schema: dict[str, Any], told: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if "enum" in schema:
        more["type"] = "string"
    if "pattern" in schema:
        more["pattern"] = _LOOK_AHEAD.sub("", schema["pattern"].replace(END, "$"))
    if told.get("type") == "integer":
        more["format"] = "int64"
    if "prefixItems" in schema:
        more["items"] = _structural(schema["prefixItems"][0], parts)
    elif isinstance(schema.get("items"), dict):
        more["items"] = _structural(schema["items"], parts)
    if "properties" in schema:
        more["properties"] = {name: _structural(each, parts) for name, each in schema["properties"].items()}
        if schema.get("required"):
            more["required"] = list(schema["required"])
    if isinstance(schema.get("additionalProperties"), dict):
        more["additionalProperties"] = _structural(schema["additionalProperties"], parts)
    if schema.get("format") == "date-time":
        more["format"] = "date-time"
    return more


def documents() -> dict[str, str]:
    """Return the files of all definitions, by name."""
    told = {f"{resource.plural}.yaml": _yaml(definition(resource)) for resource in CUSTOM_RESOURCES}
    names = sorted(told)
    told["kustomization.yaml"] = _yaml(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
    )
    return told


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, width=120)
    return f"# Made by `make manifests` from kube/resources.py; do not edit.\n{text}"


def main() -> int:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
