"""Many objects at once, as a large cluster has them: POST /_seed {"pods": 1000, "namespaces": 100, "nodes": 10}."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from lab.apiserver.kinds import BUILT_IN
from lab.apiserver.objects import Body, Objects

_KINDS = {kind.plural: kind for kind in BUILT_IN}


def seed(objects: Objects, wanted: dict[str, int]) -> dict[str, Any]:
    """Make them; return how many."""
    namespaces, nodes, pods = (wanted.get(name, 0) for name in ("namespaces", "nodes", "pods"))
    objects.seed(_KINDS["namespaces"], _namespaces(namespaces))
    objects.seed(_KINDS["nodes"], _nodes(nodes))
    objects.seed(_KINDS["pods"], _pods(pods, namespaces, nodes))
    return {"pods": pods, "namespaces": namespaces, "nodes": nodes}


def _namespaces(count: int) -> Iterator[Body]:
    for number in range(count):
        yield {"metadata": {"name": f"ns-{number}", "labels": {"team": f"team-{number % 100}"}}}


def _nodes(count: int) -> Iterator[Body]:
    for number in range(count):
        address = f"192.168.{number // 250}.{number % 250 + 1}"
        addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": f"node-{number}"}]
        labels = {"kubernetes.io/hostname": f"node-{number}", "kubernetes.io/os": "linux"}
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        status = {"addresses": addresses, "conditions": conditions, "capacity": {"cpu": "8", "memory": "32Gi"}}
        yield {"metadata": {"name": f"node-{number}", "labels": labels}, "spec": {}, "status": status}


def _pods(count: int, namespaces: int, nodes: int) -> Iterator[Body]:
    """Pods as deployments make them: a few kilobytes each, of which a network needs little."""
    for number in range(count):
        labels = {"app": f"app-{number % 5000}", "pod-template-hash": hashlib.md5(b"%d" % number).hexdigest()[:10]}
        container = {
            "name": "main",
            "image": f"registry.example/app-{number % 5000}:1.0",
            "env": [{"name": f"SETTING_{index}", "value": "x" * 40} for index in range(10)],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets", "readOnly": True}],
        }
        metadata = {
            "name": f"app-{number % 5000}-{number}",
            "namespace": f"ns-{number % namespaces}",
            "labels": labels,
            "annotations": {"kubernetes.io/config.seen": "2026-01-01T00:00:00Z"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"app-{number % 5000}"}],
        }
        yield {"metadata": metadata, "spec": {"nodeName": f"node-{number % nodes}", "containers": [container]}}
