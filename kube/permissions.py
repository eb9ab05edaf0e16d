"""What our programs may do in the API, and no more: one table, out of which the RBAC manifest is made.

    python -m kube.permissions        writes deploy/kubernetes/base/rbac.yaml

Tests hold the table against the calls in the code. Everything that a replica, a node or an administrator needs has its
reason here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from kube.resources import (
    BINDINGS,
    CONNECTIONS,
    CUSTOM_RESOURCES,
    EGRESSES,
    EXTERNAL_VTEPS,
    GROUP,
    MIRRORS,
    NETWORKS,
    PROJECT_NETWORKS,
)

FILE: Final = Path("deploy/kubernetes/base/rbac.yaml")
NAMESPACE: Final = "heddle-system"
CONTROLLER: Final = "heddle-controller"
NODE: Final = "heddle-node"
ADMINISTRATOR: Final = "heddle-admin"
USER: Final = "heddle-user"
AUTHORITIES: Final = "heddle-ca"
_RBAC: Final = "rbac.authorization.k8s.io"
_LABELS: Final = {"app.kubernetes.io/name": "heddle"}


class Permission(NamedTuple):
    """Verbs on resources of one group; with `names`, on these objects only."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


_PLURALS: Final = tuple(resource.plural for resource in CUSTOM_RESOURCES)
_WITH_STATUS: Final = tuple(resource.plural for resource in CUSTOM_RESOURCES if resource.decided is not None)
_ASKED: Final = tuple(
    resource.plural
    for resource in (NETWORKS, CONNECTIONS, BINDINGS, EGRESSES, MIRRORS, EXTERNAL_VTEPS, PROJECT_NETWORKS)
)

# A replica, in the whole cluster.
EVERYWHERE: Final = (
    Permission("", ("namespaces", "nodes", "services"), ("list", "watch")),
    # A report of a pod that the watch does not know yet is looked up; its networks are written into its annotation.
    Permission("", ("pods",), ("get", "list", "watch", "patch")),
    Permission("", ("nodes/status",), ("patch",)),  # NetworkUnavailable
    Permission("", ("services/status",), ("patch",)),  # which address of the load balancers' pool one has
    Permission("", ("events",), ("create",)),
    Permission("discovery.k8s.io", ("endpointslices",), ("list", "watch")),
    Permission("networking.k8s.io", ("networkpolicies",), ("list", "watch")),
    Permission(GROUP, _PLURALS, ("get", "list", "watch", "create", "update", "patch", "delete")),
    Permission(GROUP, tuple(f"{plural}/status" for plural in _WITH_STATUS), ("update",)),
    # Who calls its API, and whether they may.
    Permission("authentication.k8s.io", ("tokenreviews",), ("create",)),
    Permission("authorization.k8s.io", ("subjectaccessreviews",), ("create",)),
)
# A replica, in our own namespace: its sign of life, and who has which share.
AT_HOME: Final = (Permission("coordination.k8s.io", ("leases",), ("get", "list", "create", "update", "delete")),)
# heddle-node, in our own namespace: where the controllers are.
OF_NODES: Final = (Permission("coordination.k8s.io", ("leases",), ("list",)),)
# Who says what networks there are. What only the controller writes can be read.
OF_ADMINISTRATORS: Final = (
    Permission(GROUP, _ASKED, ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")),
    Permission(GROUP, tuple(plural for plural in _PLURALS if plural not in _ASKED), ("get", "list", "watch")),
)
# Who calls `kubectl heddle`, in our own namespace: where the controllers are, who signs for them, a token for them. The
# role is bound to nobody: the cluster's administrator says who has it.
OF_USERS: Final = (
    Permission("coordination.k8s.io", ("leases",), ("list",)),
    Permission("", ("configmaps",), ("get",), (AUTHORITIES,)),
    Permission("", ("serviceaccounts/token",), ("create",), (ADMINISTRATOR,)),
)


def documents() -> tuple[dict[str, Any], ...]:
    """Return the ServiceAccounts, the roles, and who has them."""
    return (
        *(_account(name) for name in (CONTROLLER, NODE, ADMINISTRATOR)),
        _role("ClusterRole", CONTROLLER, EVERYWHERE),
        _binding("ClusterRoleBinding", CONTROLLER, "ClusterRole"),
        _role("Role", CONTROLLER, AT_HOME),
        _binding("RoleBinding", CONTROLLER, "Role"),
        _role("Role", NODE, OF_NODES),
        _binding("RoleBinding", NODE, "Role"),
        _role("ClusterRole", ADMINISTRATOR, OF_ADMINISTRATORS),
        _binding("ClusterRoleBinding", ADMINISTRATOR, "ClusterRole"),
        _role("Role", USER, OF_USERS),
    )


def text() -> str:
    """Return the file."""
    head = "# Made by `make manifests` from kube/permissions.py; do not edit.\n"
    return head + yaml.safe_dump_all(documents(), sort_keys=False, width=120)


def _account(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": _LABELS.copy()}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _metadata(kind: str, name: str) -> dict[str, Any]:
    space = {} if kind.startswith("Cluster") else {"namespace": NAMESPACE}
    return {"name": name, **space, "labels": _LABELS.copy()}


def _role(kind: str, name: str, permissions: tuple[Permission, ...]) -> dict[str, Any]:
    rules = [_rule(permission) for permission in permissions]
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": _metadata(kind, name), "rules": rules}


def _rule(permission: Permission) -> dict[str, Any]:
    group, resources, verbs, names = permission
    named = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs), **named}


def _binding(kind: str, name: str, role: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": kind,
        "metadata": _metadata(kind, name),
        "roleRef": {"apiGroup": _RBAC, "kind": role, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }


def main() -> int:
    """Write the file."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
