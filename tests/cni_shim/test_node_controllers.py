"""heddle-node finds controllers and is believed by them: Leases, living replicas, tokens that are renewed."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cni_shim.errors import RefusedError, ShimError
from cni_shim.node import apiserver, configuration, conflist, settings
from cni_shim.node.configuration import Configuration
from cni_shim.node.controllers import Controllers, rotated
from cni_shim.node.identity import REST, Identity
from cni_shim.node.settings import ApiServer, Settings
from tests.cni_shim.fake_apiserver import ACCOUNT, FakeApiServer
from tests.cni_shim.fake_controller import TOKEN, FakeController
from tests.cni_shim.fake_controller import configuration as answer

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def fake() -> Iterator[FakeController]:
    controller = FakeController(account=ACCOUNT)
    controller.url = controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeApiServer]:
    double = FakeApiServer(tmp_path)
    yield double
    double.stop()


def chosen(tmp_path: Path, **changes: Any) -> Settings:
    (tmp_path / "token").write_text(TOKEN)
    content = {
        "node": "n1",
        "token_file": str(tmp_path / "token"),
        "ovs_rundir": "/nonexistent",
        "datapath": "netdev",
        "state_dir": str(tmp_path / "state"),
        **changes,
    }
    return settings.parse(content)


def last(*api: str) -> Configuration:
    return configuration.parse(answer(api=list(api)), "n1")


# --- where they are --------------------------------------------------------------------------------


def test_leases_tell_where_controllers_are(server: FakeApiServer) -> None:
    told = server.settings(server.start())
    server.leases = {
        "a": ("https://192.0.2.1:8443", "2030-01-01T00:00:01.000000Z"),
        "b": ("https://192.0.2.2:8443", "2030-01-01T00:00:02.000000Z"),
        "c": (None, "2030-01-01T00:00:03.000000Z"),
        "d": ("ftp://192.0.2.3", "2030-01-01T00:00:04.000000Z"),
    }
    assert apiserver.controllers(ApiServer(**told)) == ("https://192.0.2.2:8443", "https://192.0.2.1:8443")
    ((path, by),) = server.requests
    assert (
        path == "/apis/coordination.k8s.io/v1/namespaces/heddle-system/leases?labelSelector=heddle.sdn/lease%3Dreplica"
    )
    assert by == f"Bearer {ACCOUNT}"


def test_a_client_certificate_does_as_well(server: FakeApiServer, tmp_path: Path) -> None:
    url = server.start()
    told = server.settings(url, certificate=str(tmp_path / "client.pem"), key=str(tmp_path / "client-key.pem"))
    del told["token_file"]
    server.leases = {"a": ("https://192.0.2.1:8443", "")}
    assert apiserver.controllers(ApiServer(**told)) == ("https://192.0.2.1:8443",)
    assert server.requests[0][1] == "certificate"


def test_a_refusal_names_verb_and_resource(server: FakeApiServer) -> None:
    told = ApiServer(**server.settings(server.start()))
    server.allowed = False
    with pytest.raises(ShimError, match=r"list leases\.coordination\.k8s\.io in namespace heddle-system.*Role"):
        apiserver.controllers(told)


@pytest.mark.parametrize("strange", [[], {"items": {}}, {"items": [None, {}, {"metadata": {"annotations": []}}]}])
def test_a_strange_answer_tells_nothing(server: FakeApiServer, strange: Any) -> None:
    told = ApiServer(**server.settings(server.start()))
    server.answer = strange
    assert apiserver.controllers(told) == ()


def test_an_api_server_that_is_not_the_one_meant_is_not_asked(server: FakeApiServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    FakeApiServer(other)
    told = server.settings(server.start(), ca_file=str(other / "api-ca.pem"))
    with pytest.raises(ShimError, match="does not answer"):
        apiserver.controllers(ApiServer(**told))
    assert server.requests == []


def test_the_first_controller_is_found_by_leases(server: FakeApiServer, fake: FakeController, tmp_path: Path) -> None:
    server.leases = {"dead": (DEAD, "2"), "living": (fake.url, "1")}
    controllers = Controllers(chosen(tmp_path, apiserver=server.settings(server.start())), None)
    assert controllers.urls == ()
    assert controllers.configuration().api == (fake.url,)  # a controller that is alone tells of none
    controllers.close()


def test_controllers_that_all_moved_are_found_again(
    server: FakeApiServer, fake: FakeController, tmp_path: Path
) -> None:
    server.leases = {"new": (fake.url, "1")}
    controllers = Controllers(chosen(tmp_path, apiserver=server.settings(server.start())), last(DEAD))
    assert controllers.configuration().revision == 1
    controllers.close()


def test_what_living_controllers_say_comes_first_and_the_settings_stay(fake: FakeController, tmp_path: Path) -> None:
    living = ["https://192.0.2.1:8443", "https://192.0.2.2:8443"]
    controllers = Controllers(chosen(tmp_path, controllers=[fake.url]), None)
    fake.configure(api=living)
    assert controllers.configuration().api == tuple(living)
    assert controllers.urls == (*rotated(tuple(living), "n1"), fake.url)
    controllers.close()


@pytest.mark.parametrize("bad", ["x", ["x"], ["http://"], ["https://192.0.2.1:0"], [7], {"a": 1}])
def test_a_bad_list_takes_nothing_away(fake: FakeController, tmp_path: Path, bad: Any) -> None:
    controllers = Controllers(chosen(tmp_path, controllers=[fake.url]), last(fake.url))
    fake.configure(api=bad)
    with pytest.raises(ShimError, match="api"):
        controllers.configuration()
    assert controllers.urls == (fake.url,)
    controllers.close()


@pytest.mark.parametrize("nothing", [[], None])
def test_without_a_list_the_settings_count(fake: FakeController, tmp_path: Path, nothing: Any) -> None:
    controllers = Controllers(chosen(tmp_path, controllers=[fake.url, DEAD]), last(fake.url))
    fake.configure(api=nothing)
    assert controllers.configuration().api == (fake.url, DEAD)
    controllers.close()


def test_the_last_list_is_kept_on_disk(tmp_path: Path) -> None:
    configuration.save(last("https://192.0.2.7:8443"), tmp_path)
    kept = configuration.last_good(tmp_path, "n1")
    assert kept is not None
    assert Controllers(chosen(tmp_path, controllers=[DEAD]), kept).urls == ("https://192.0.2.7:8443", DEAD)


def test_nodes_do_not_all_ask_the_same_one() -> None:
    urls = ("a", "b", "c")
    assert {rotated(urls, f"n{number}")[0] for number in range(30)} == set(urls)
    assert rotated((), "n1") == ()


def test_the_plugin_is_told_the_living_ones(tmp_path: Path) -> None:
    told = chosen(tmp_path, controllers=[DEAD], cni_conf_dir=str(tmp_path / "net.d"))
    living = ("https://192.0.2.1:8443", "https://192.0.2.2:8443")
    conflist.present(last(*living), told)
    (plugin,) = json.loads((tmp_path / "net.d/10-heddle.conflist").read_text())["plugins"]
    assert tuple(plugin["controllers"]) == rotated(living, "n1")


def test_the_plugin_has_a_copy_of_the_authority(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("one")
    told = chosen(
        tmp_path,
        controllers=[DEAD],
        cni_conf_dir=str(tmp_path / "net.d"),
        ca_file=str(tmp_path / "ca.crt"),
        cni_ca_file=str(tmp_path / "state/ca.pem"),
    )
    for content in ("one", "two"):
        (tmp_path / "ca.crt").write_text(content)
        conflist.present(last(), told)
        (plugin,) = json.loads((tmp_path / "net.d/10-heddle.conflist").read_text())["plugins"]
        assert Path(plugin["ca_file"]).read_text() == content
    assert plugin["ca_file"] == str(tmp_path / "state/ca.pem")


# --- who this node is ------------------------------------------------------------------------------


def in_cluster(tmp_path: Path, server: FakeApiServer, fake: FakeController) -> Settings:
    (tmp_path / "account").write_text(ACCOUNT)
    return chosen(tmp_path, controllers=[fake.url], apiserver=server.settings(server.start()))


def test_a_node_without_a_token_gets_one(server: FakeApiServer, fake: FakeController, tmp_path: Path) -> None:
    told = in_cluster(tmp_path, server, fake)
    token = Path(told.token_file)
    token.unlink()
    controllers = Controllers(told, None)
    assert controllers.configuration().node == "n1"
    assert token.read_text() == "issued-1\n"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert controllers.configuration().node == "n1"
    assert fake.issued == 1
    controllers.close()


def test_a_token_that_is_void_is_renewed(server: FakeApiServer, fake: FakeController, tmp_path: Path) -> None:
    told = in_cluster(tmp_path, server, fake)
    controllers = Controllers(told, None)
    controllers.configuration()
    assert fake.issued == 0
    fake.token = "somebody-else-renewed-it"
    assert controllers.configuration().node == "n1"
    assert Path(told.token_file).read_text() == "issued-1\n"
    controllers.close()


def test_a_controller_that_does_not_know_the_new_token_yet_gets_time(
    server: FakeApiServer, fake: FakeController, tmp_path: Path
) -> None:
    now = [0.0]
    identity = Identity(in_cluster(tmp_path, server, fake), lambda: now[0])
    assert identity.renew([fake.url], TOKEN) == "issued-1"
    assert identity.renew([fake.url], "issued-1") is None
    now[0] += REST
    assert identity.renew([fake.url], "issued-1") == "issued-2"


def test_a_token_that_an_administrator_put_there_is_taken(fake: FakeController, tmp_path: Path) -> None:
    told = chosen(tmp_path, controllers=[fake.url])
    controllers = Controllers(told, None)
    fake.token = "from-renew-token"
    with pytest.raises(RefusedError):
        controllers.configuration()
    Path(told.token_file).write_text("from-renew-token")
    assert controllers.configuration().node == "n1"
    assert fake.issued == 0
    controllers.close()


def test_an_account_that_is_not_this_nodes_is_refused(
    server: FakeApiServer, fake: FakeController, tmp_path: Path
) -> None:
    told = in_cluster(tmp_path, server, fake)
    fake.account = "another"
    fake.token = "unknown"
    controllers = Controllers(told, None)
    with pytest.raises(RefusedError, match="not that of heddle-node"):
        controllers.configuration()
    assert Path(told.token_file).read_text() == TOKEN
    controllers.close()


# --- the settings ----------------------------------------------------------------------------------


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    content = {
        "token_file": "/t",
        "ovs_rundir": "/r",
        "datapath": "system",
        "state_dir": "/s",
        "apiserver": {"url": "https://a:6443", "namespace": "sdn"},
    }
    file.write_text(json.dumps(content))
    found = settings.load(file, {"node": "n9", "apiserver": {"url": "https://b:6443"}})
    assert found.node == "n9"
    assert found.apiserver == ApiServer(
        url="https://b:6443",
        namespace="sdn",
        token_file="/var/run/secrets/kubernetes.io/serviceaccount/token",
        ca_file="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"controllers": ["x"]}, "controllers"),
        ({"apiserver": {}}, "apiserver"),
        ({"apiserver": {"url": "http://a"}}, "https://"),
        ({"apiserver": {"url": "https://a", "key": "/k"}}, "together"),
        ({"apiserver": {"url": "https://a", "ca_file": "x"}}, "absolute"),
        ({"apiserver": {"url": "https://a", "color": "x"}}, "apiserver"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ShimError, match=named):
        chosen(tmp_path, **changes)


@pytest.mark.parametrize("changes", [{}, {"controllers": []}])
def test_somebody_has_to_be_asked(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ShimError, match="'controllers' is missing"):
        Controllers(chosen(tmp_path, **changes), None)


def test_a_configuration_without_the_list_is_one_too() -> None:
    assert configuration.parse(answer(), "n1") == replace(last(), api=())
