"""What deploy/kubernetes says, as values: objects of a kustomization's files, settings, mounts. No tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.files import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
EXAMPLE = FOLDER / "overlays" / "example"

Object = dict[str, Any]


def kustomization(folder: Path) -> Object:
    """Return a folder's kustomization."""
    found: Object = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


def objects(folder: Path = BASE) -> Iterator[Object]:
    """Yield all objects of a kustomization's files, of those it builds upon too."""
    for name in kustomization(folder)["resources"]:
        path = folder / name
        if path.is_dir():
            yield from objects(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


def find(kind: str, name: str) -> Object:
    """Return an object of the base."""
    (found,) = (each for each in objects() if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def workloads() -> list[Object]:
    """Return what makes pods."""
    return [each for each in objects() if each["kind"] in ("Deployment", "DaemonSet")]


def pod(workload: Object) -> Object:
    """Return the spec of a workload's pods."""
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Object) -> list[Object]:
    """Return all containers of a workload's pods."""
    spec = pod(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def on_host(workload: Object, container: Object) -> dict[str, str]:
    """Return the folders of the host that a container sees: where it sees them, and what they are."""
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod(workload)["volumes"] if "hostPath" in volume}
    mounts = container["volumeMounts"]
    return {mount["mountPath"]: paths[mount["name"]] for mount in mounts if mount["name"] in paths}


def node_settings(folder: Path) -> Object:
    """Return heddle-node's settings file."""
    found: Object = json.loads((folder / "node.json").read_text())
    return found


def controller_settings(folder: Path) -> dict[str, str]:
    """Return the controller's settings file."""
    parser = ConfigParser()
    parser.read(folder / "controller.conf")
    assert parser.sections() == ["heddle"]
    return dict(parser["heddle"])
