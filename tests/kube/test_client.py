"""Calls to the API server: what they return, and that what goes wrong is told with verb, object and remedy."""

import json
from pathlib import Path

import pytest

from kube.client import ApiServer, Client, Resource
from kube.errors import ApiError, Busy, Conflict, Forbidden, Gone, NotFound, Unreachable
from tests.kube.cluster import CONFIG_MAPS, Cluster


def test_an_object_is_made_read_changed_and_removed(cluster: Cluster) -> None:
    space, client = cluster.namespace(), cluster.client
    made = json.loads(client.create(CONFIG_MAPS, {"metadata": {"name": "one"}, "data": {"a": "1"}}, space))
    assert json.loads(client.get(CONFIG_MAPS, "one", space)) == made
    made["data"]["a"] = "2"
    changed = json.loads(client.replace(CONFIG_MAPS, "one", made, space))
    assert changed["data"] == {"a": "2"}
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    patched = json.loads(client.patch(CONFIG_MAPS, "one", {"data": {"a": None, "b": "3"}}, space))
    assert patched["data"] == {"b": "3"}
    client.delete(CONFIG_MAPS, "one", space)
    with pytest.raises(NotFound, match=rf'configmaps "{space}/one": cannot get: .*not found'):
        client.get(CONFIG_MAPS, "one", space)


def test_an_old_version_is_refused(cluster: Cluster) -> None:
    space, client = cluster.namespace(), cluster.client
    made = json.loads(client.create(CONFIG_MAPS, {"metadata": {"name": "one"}}, space))
    client.patch(CONFIG_MAPS, "one", {"data": {"a": "1"}}, space)
    with pytest.raises(Conflict):
        client.replace(CONFIG_MAPS, "one", made, space)
    with pytest.raises(Conflict):
        client.delete(CONFIG_MAPS, "one", space, made["metadata"]["resourceVersion"])
    with pytest.raises(Conflict):
        client.create(CONFIG_MAPS, {"metadata": {"name": "one"}}, space)


def test_what_changes_nothing_makes_no_version(cluster: Cluster) -> None:
    space, client = cluster.namespace(), cluster.client
    made = json.loads(client.create(CONFIG_MAPS, {"metadata": {"name": "one"}, "data": {"a": "1"}}, space))
    again = json.loads(client.patch(CONFIG_MAPS, "one", {"data": {"a": "1"}}, space))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_finalizer_holds_an_object(cluster: Cluster) -> None:
    space, client = cluster.namespace(), cluster.client
    client.create(CONFIG_MAPS, {"metadata": {"name": "one", "finalizers": ["heddle.sdn/test"]}}, space)
    client.delete(CONFIG_MAPS, "one", space)
    assert json.loads(client.get(CONFIG_MAPS, "one", space))["metadata"]["deletionTimestamp"]
    client.patch(CONFIG_MAPS, "one", {"metadata": {"finalizers": None}}, space)
    with pytest.raises(NotFound):
        client.get(CONFIG_MAPS, "one", space)


def test_a_list_comes_in_pages(cluster: Cluster) -> None:
    space, client = cluster.namespace(), cluster.client
    for number in range(5):
        client.create(CONFIG_MAPS, {"metadata": {"name": f"c{number}"}}, space)
    first = json.loads(client.list(CONFIG_MAPS, {"limit": 2}, space))
    client.create(CONFIG_MAPS, {"metadata": {"name": "c9"}}, space)
    names, page = [item["metadata"]["name"] for item in first["items"]], first
    while page["metadata"].get("continue"):
        page = json.loads(client.list(CONFIG_MAPS, {"limit": 2, "continue": page["metadata"]["continue"]}, space))
        names += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert [name for name in names if name.startswith("c")] == ["c0", "c1", "c2", "c3", "c4"]


def test_a_kind_that_is_not_installed_is_told(cluster: Cluster) -> None:
    with pytest.raises(NotFound, match=r"wrong.heddle.sdn: cannot list: .*apply the manifests"):
        cluster.client.list(Resource("heddle.sdn", "v1alpha1", "wrong"), {})


def test_a_lacking_right_is_told(breakable: Cluster) -> None:
    breakable.fault(refuse={"verb": "list", "plural": "namespaces", "status": 403, "reason": "Forbidden"})
    with pytest.raises(Forbidden, match=r"namespaces: cannot list: .*let this ServiceAccount list namespaces"):
        breakable.client.list(Resource("", "v1", "namespaces"), {})


@pytest.mark.parametrize(("status", "error"), [(429, Busy), (500, Busy), (503, Busy), (410, Gone)])
def test_what_passes_is_told_apart(breakable: Cluster, status: int, error: type[ApiError]) -> None:
    breakable.fault(refuse={"verb": "list", "status": status, "times": 1})
    with pytest.raises(error) as caught:
        breakable.client.list(Resource("", "v1", "namespaces"), {})
    assert (caught.value.retry_after == 1.0) is (status == 429)


def test_no_answer_is_no_other_error(breakable: Cluster) -> None:
    breakable.fault(away=30)
    with pytest.raises(Unreachable, match="does not answer"):
        breakable.client.list(Resource("", "v1", "namespaces"), {})


def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("kind: Nothing\n")
    for wrong in (tmp_path / "config", tmp_path / "missing"):
        with pytest.raises(ApiError, match=r"kubeconfig .*cannot be used.*--heddle-kubeconfig"):
            Client(ApiServer(wrong))
