"""The rights of our programs are those that their code uses: the table, the calls, the manifest, a real API server."""

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

import kube
from cli import cluster
from kube import inputs, objects, permissions
from kube.client import Client, Resource
from kube.permissions import AT_HOME, EVERYWHERE, NAMESPACE, OF_ADMINISTRATORS, OF_NODES, OF_USERS, USER, Permission
from kube.resources import CUSTOM_RESOURCES
from tests.kube.cluster import Cluster

ROOT = Path(kube.__file__).parents[1]
VERBS = {
    "get": "get",
    "list": "list",
    "watch": "watch",
    "create": "create",
    "replace": "update",
    "patch": "patch",
    "patch_status": "patch",
    "delete": "delete",
}
Right = tuple[str, str, str]  # group, resource, verb


def rights(*tables: Iterable[Permission]) -> set[Right]:
    return {
        (permission.group, resource, verb)
        for table in tables
        for permission in table
        for resource in permission.resources
        for verb in permission.verbs
    }


def calls() -> Iterator[ast.Call]:
    """Every call of a client's method in the code of a replica."""
    for path in [*(ROOT / "kube").glob("*.py"), *(ROOT / "ryu_apps" / "cluster").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS:
                holder = node.func.value
                name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
                if name.endswith("client"):
                    yield node


def of_call(call: ast.Call) -> Iterator[Right]:
    assert isinstance(call.func, ast.Attribute)
    named = getattr(objects, call.args[0].id, None) if isinstance(call.args[0], ast.Name) else None
    below = next((keyword.value.value for keyword in call.keywords if keyword.arg == "subresource"), None)  # type: ignore[attr-defined]
    status = "/status" if below == "status" or call.func.attr == "patch_status" else ""
    verb = VERBS[call.func.attr]
    if isinstance(named, Resource):
        yield (named.group, named.plural + status, verb)
    elif verb not in ("list", "watch"):  # those of the reflectors, which are known by what is watched
        for resource in CUSTOM_RESOURCES:
            if not status or resource.decided is not None:
                yield (permissions.GROUP, resource.plural + status, verb)


def used() -> set[Right]:
    found = {right for call in calls() for right in of_call(call)}
    return found | {(each.group, each.plural, verb) for each in inputs.WATCHED for verb in ("list", "watch")}


def test_a_replica_may_do_what_it_does_and_no_more() -> None:
    reviews = {
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
    }
    assert used() <= rights(EVERYWHERE, AT_HOME)
    assert rights(EVERYWHERE, AT_HOME) - used() <= reviews


def test_rights_on_leases_are_for_one_namespace() -> None:
    assert {group for group, _, _ in rights(EVERYWHERE)} & {"coordination.k8s.io"} == set()
    assert {resource for _, resource, _ in rights(AT_HOME, OF_NODES)} == {"leases"}


def test_a_node_reads_only() -> None:
    assert {verb for _, _, verb in rights(OF_NODES)} == {"list"}


def test_who_calls_kubectl_heddle_reads_no_other_configmap_and_gets_no_other_token() -> None:
    named = {resource: permission.names for permission in OF_USERS for resource in permission.resources}
    assert named == {"leases": (), "configmaps": (cluster.AUTHORITIES,), "serviceaccounts/token": (cluster.ACCOUNT,)}
    made = [(document["kind"], document["metadata"]["name"]) for document in permissions.documents()]
    assert [kind for kind, name in made if name == USER] == ["Role"]  # bound to nobody


def test_nobody_has_everything() -> None:
    for table in (EVERYWHERE, AT_HOME, OF_NODES, OF_ADMINISTRATORS):
        assert not {"*", "escalate", "bind", "impersonate"} & {part for right in rights(table) for part in right}
        assert not {"secrets", "configmaps", "pods/exec", "nodes/proxy"} & {
            resource for _, resource, _ in rights(table)
        }


def test_the_manifest_is_what_the_table_says() -> None:
    assert permissions.FILE.read_text() == permissions.text(), "run `make manifests`"
    assert len(list(yaml.safe_load_all(permissions.text()))) == len(permissions.documents())


RBAC = "rbac.authorization.k8s.io"
RESOURCES = {
    "ServiceAccount": Resource("", "v1", "serviceaccounts", namespaced=True),
    "ClusterRole": Resource(RBAC, "v1", "clusterroles"),
    "ClusterRoleBinding": Resource(RBAC, "v1", "clusterrolebindings"),
    "Role": Resource(RBAC, "v1", "roles", namespaced=True),
    "RoleBinding": Resource(RBAC, "v1", "rolebindings", namespaced=True),
}
REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")


def may(client: Client, home: str, account: str, right: Right, namespace: str = "") -> bool:
    """Ask the API server whether a ServiceAccount of ours, in namespace `home`, may do something."""
    group, resource, verb = right
    plural, _, below = resource.partition("/")
    attributes = {"group": group, "resource": plural, "subresource": below, "verb": verb, "namespace": namespace}
    user = {
        "user": f"system:serviceaccount:{home}:{account}",
        "groups": ["system:serviceaccounts", "system:authenticated"],
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"resourceAttributes": attributes, **user},
    }
    return bool(json.loads(client.create(REVIEWS, body))["status"]["allowed"])


@pytest.mark.real
def test_an_api_server_grants_exactly_that(installed: Cluster) -> None:
    client = installed.client
    home = installed.namespace()
    for text in permissions.text().replace(f"namespace: {NAMESPACE}", f"namespace: {home}").split("---\n"):
        document = yaml.safe_load(text)
        resource = RESOURCES[document["kind"]]
        installed.make(resource, document, home if resource.namespaced else "")
    everywhere = (
        (permissions.CONTROLLER, EVERYWHERE),
        (permissions.ADMINISTRATOR, OF_ADMINISTRATORS),
    )
    for account, table in everywhere:
        assert [right for right in rights(table) if not may(client, home, account, right)] == []
    for account, table in ((permissions.CONTROLLER, AT_HOME), (permissions.NODE, OF_NODES)):
        assert [right for right in rights(table) if not may(client, home, account, right, home)] == []
        assert [right for right in rights(table) if may(client, home, account, right, "default")] == []
    for account in (permissions.CONTROLLER, permissions.NODE, permissions.ADMINISTRATOR):
        assert not may(client, home, account, ("", "secrets", "get"), home)
    assert not may(client, home, permissions.NODE, ("", "pods", "list"))
    assert not may(client, home, permissions.ADMINISTRATOR, (permissions.GROUP, "vteps", "update"))
