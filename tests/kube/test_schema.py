"""The definitions of custom resources: the files are what the code says, and an API server takes them."""

import json
import re
from typing import Any

import pytest
import yaml

from kube.client import Resource
from kube.errors import Invalid
from kube.resources import CUSTOM_RESOURCES, GROUP, NETWORKS, VERSION
from kube.schema import FOLDER, definition, documents
from kube.writing import document
from tests.kube.cluster import Cluster


def test_the_files_are_what_the_code_says() -> None:
    found = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert found == documents(), "run `make manifests`"


def walk(schema: Any) -> Any:
    yield schema
    for child in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(child, dict):
            yield from walk(child)


@pytest.mark.parametrize("resource", CUSTOM_RESOURCES, ids=lambda resource: resource.plural)
def test_a_schema_is_structural(resource: Any) -> None:
    version = definition(resource)["spec"]["versions"][0]
    for part in walk(version["schema"]["openAPIV3Schema"]):
        assert part["type"] in ("object", "array", "string", "integer", "boolean")
        assert not {"$ref", "anyOf", "prefixItems", "const", "default", "examples"} & set(part)
        assert "(?" not in part.get("pattern", "")
        re.compile(part.get("pattern", ""))
        assert not {"nullable", "enum"} <= set(part)  # an API server would refuse null


def test_columns_are_as_kubectl_shows_them(installed: Cluster) -> None:
    resource = Resource(GROUP, VERSION, NETWORKS.plural)
    made = installed.make(
        resource, {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Network", "metadata": {"name": "c1"}, "spec": {}}
    )
    made["status"] = {"decided": {"name": "c1", "vnid": 10}, "phase": "Active"}
    changed = json.loads(installed.client.replace(resource, "c1", made, subresource="status"))
    assert changed["status"]["decided"]["vnid"] == 10


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "name", "spec", "why"),
    [
        ("Network", "a.b", {}, "DNS label"),
        ("Network", "default", {}, "built in"),
        ("Network", "low", {"vnid": 3}, "greater than or equal to 10"),
        ("Network", "wrong", {"mtu": 100}, "576"),
        ("Mirror", "m", {"target": {"project": "ops", "pod": "p"}}, "spec.network or spec.pod"),
        ("Mirror", "m", {"target": {"project": "a", "pod": "p"}, "pod": {"project": "a", "pod": "p"}}, "of itself"),
        ("Mirror", "m", {"target": {"project": "a", "pod": "p"}, "network": "a", "direction": "up"}, "both"),
        ("ExternalVtep", "f", {"address": "192.0.2.5", "subnets": ["198.18.0.0/24"]}, "spec.network or spec.vnid"),
        ("ExternalVtep", "f", {"address": "192.0.2.5", "subnets": [], "network": "a"}, "subnets"),
        ("ExternalVtep", "f", {"address": "192.0.2.5", "subnets": ["x"], "network": "a"}, "subnets"),
        ("Connection", "x", {"networks": ["a", "b"]}, "FIRST.SECOND"),
        ("Connection", "b.a", {"networks": ["b", "a"]}, "in order"),
        ("Connection", "a.b", {"networks": ["a"]}, "networks"),
    ],
)
def test_what_can_never_be_is_refused_at_the_door(
    installed: Cluster, kind: str, name: str, spec: dict[str, Any], why: str
) -> None:
    plural = next(each.plural for each in CUSTOM_RESOURCES if each.kind == kind)
    body = document(next(each for each in CUSTOM_RESOURCES if each.kind == kind), name, {}, spec)
    with pytest.raises(Invalid, match=why):
        installed.client.create(Resource(GROUP, VERSION, plural), body)


@pytest.mark.real
def test_a_networks_number_cannot_be_changed(installed: Cluster) -> None:
    resource = Resource(GROUP, VERSION, NETWORKS.plural)
    installed.make(resource, document(NETWORKS, "fixed", {}, {"vnid": 77}))
    with pytest.raises(Invalid, match=r"spec\.vnid cannot be changed"):
        installed.client.patch(resource, "fixed", {"spec": {"vnid": 78}})


def test_yaml_reads_back() -> None:
    for name, text in documents().items():
        assert yaml.safe_load(text)["kind"] in ("CustomResourceDefinition", "Kustomization"), name
