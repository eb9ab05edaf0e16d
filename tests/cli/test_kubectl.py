"""kubectl heddle: the controllers are found by kubectl, with a token for them alone; everything else is as ever."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trustme
from structlog.testing import capture_logs

from cli.failures import Misused
from cli.options import Cluster, resolve
from rest.app import make_app
from rest.options import Options
from tests.cli.server import Answer, Fake, serving
from tests.rest.control import MemoryControl

Call = Callable[..., subprocess.CompletedProcess[str]]
FORBIDDEN = 'Error from server (Forbidden): {0} is forbidden: User "ann" cannot {1} resource "{0}" in the namespace'
DEAD = "http://127.0.0.1:9"
NO_REPLICA = {"type": "/v1/problems#no-replica", "title": "No replica answers", "status": 503, "detail": "nobody now"}
KUBECTL = """#!{python} -S
import sys
from pathlib import Path
here = Path({here!r})
with (here / "calls").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + chr(10))
name = next((name for name in ("leases", "token", "configmap", "api-resources", "config") if any(
    word == name or word.startswith(name + ".") for word in sys.argv[1:4])), "other")
answer, failure = here / name, here / (name + ".fails")
if not answer.exists():
    text = failure.read_text() if failure.exists() else f"Error from server (NotFound): {{name}} not found"
    sys.exit("W1126 a warning before it" + chr(10) + text)
sys.stdout.write(answer.read_text())
"""


def lease(url: str, renewed: str = "2026-01-01T00:00:01Z") -> dict[str, Any]:
    return {"metadata": {"annotations": {"heddle.sdn/api": url}}, "spec": {"renewTime": renewed}}


class FakeCluster:
    """What kubectl answers: a file for each thing that it is asked for; without one, it is not found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leases(self, *urls: str) -> None:
        """Have replicas, that which was heard of last first."""
        items = [lease(url, f"2026-01-01T00:00:{59 - place}Z") for place, url in enumerate(urls)]
        self.answers("leases", json.dumps({"items": sorted(items, key=lambda item: str(item))}))

    def answers(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def fails(self, name: str, text: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / f"{name}.fails").write_text(text)

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return sorted(file.read_text().splitlines()) if file.exists() else []


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    cluster = FakeCluster(tmp_path)
    cluster.answers("token", "short-lived\n")
    cluster.answers("config", json.dumps({"users": [{"user": {"client-certificate-data": "eA=="}}]}))
    return cluster


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Call the plug-in with a kubectl that answers from files and notes how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("kubectl", "oc"):
        script = folder / name
        script.write_text(KUBECTL.format(python=sys.executable, here=str(tmp_path)))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def run(*arguments: str, plugin: str = "kubectl-heddle", **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEDDLE_")}
        env = {**kept, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", **environment}
        command = [str(Path(sys.executable).parent / plugin), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    return run


def answering(server: Fake) -> Fake:
    server.on("GET", "/networks", {"networks": []})
    server.on("DELETE", "/networks/red", Answer(status=204))
    return server


def failed(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Return the one line that a call ended with."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert done.stderr.startswith("kubectl heddle: ")
    return done.stderr


# --- found and asked -------------------------------------------------------------------------------------------------


def test_the_replica_that_lives_is_asked_with_a_token(call: Call, cluster: FakeCluster) -> None:
    with serving() as server:
        answering(server)
        cluster.leases(DEAD, server.url)
        done = call("networks", "-o", "json", "--context=test", "--kubeconfig", "/k")
        assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, "", {"networks": []})
        assert server.asked[-1].headers["Authorization"] == "Bearer short-lived"
        assert call("delete-network", "red").stdout == 'network "red" deleted\n'  # nothing was sent to the dead one
    which = "--namespace=heddle-system --request-timeout=10s"
    assert [line for line in cluster.calls if "--context" in line] == [
        f"create token heddle-admin --duration=10m --audience=heddle {which} --kubeconfig=/k --context=test",
        f"get configmap heddle-ca --output=json {which} --kubeconfig=/k --context=test",
        (
            f"get leases.coordination.k8s.io --selector heddle.sdn/lease=replica --output=json {which}"
            " --kubeconfig=/k --context=test"
        ),
    ]


def test_oc_is_asked_when_it_is_oc_s(call: Call, cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "bin" / "kubectl").unlink()
    with serving() as server:
        answering(server)
        cluster.leases(server.url)
        assert call("networks", plugin="oc-heddle").returncode == 0
    assert "oc heddle [OPTIONS]" in call("--help", plugin="oc-heddle").stdout


@pytest.mark.parametrize("arguments", [("--namespace", "mine", "networks"), ("networks", "--namespace", "mine")])
def test_options_count_before_and_after_the_command(
    call: Call, cluster: FakeCluster, arguments: tuple[str, ...]
) -> None:
    with serving() as server:
        answering(server)
        cluster.leases(server.url)
        assert call(*arguments).returncode == 0
    assert all("--namespace=mine" in line for line in cluster.calls)


def test_options_of_commands_are_not_the_plug_in_s(call: Call, cluster: FakeCluster) -> None:
    with serving() as server:
        server.on("POST", "/projects", Answer({"name": "shop", "network": "red"}, 201))
        cluster.leases(server.url)
        assert call("create-project", "shop", "-n", "red").returncode == 0
        assert server.asked[-1].body == {"name": "shop", "network": "red"}
    assert all("--namespace=heddle-system" in line for line in cluster.calls)


def test_what_is_given_counts(call: Call, cluster: FakeCluster) -> None:
    with serving() as server:
        answering(server)
        assert call("networks", HEDDLE_SERVER=server.url, HEDDLE_TOKEN="mine").returncode == 0
        assert server.asked[-1].headers["Authorization"] == "Bearer mine"
        assert call("networks", "--server", server.url).returncode == 0
        assert "Authorization" not in server.asked[-1].headers  # the cluster's tokens are for its own replicas
        assert cluster.calls == []
        cluster.leases(server.url)
        assert call("networks", HEDDLE_TOKEN="mine").returncode == 0
        assert server.asked[-1].headers["Authorization"] == "Bearer mine"
    assert not any("create token" in line for line in cluster.calls)


def test_heddle_itself_asks_kubectl_when_it_is_told_to(call: Call, cluster: FakeCluster) -> None:
    with serving() as server:
        answering(server)
        cluster.leases(server.url)
        assert call("networks", "--context", "test", plugin="heddle", HEDDLE_SERVER=DEAD).returncode == 0
        assert server.asked[-1].headers["Authorization"] == "Bearer short-lived"


def test_one_that_is_stopped_is_passed_over(call: Call, cluster: FakeCluster) -> None:
    """It takes connections, and never answers."""
    with serving() as server, socket.create_server(("127.0.0.1", 0)) as stopped:
        answering(server)
        cluster.leases(f"http://127.0.0.1:{stopped.getsockname()[1]}", server.url)
        assert call("delete-network", "red").stdout == 'network "red" deleted\n'


def test_a_replica_that_is_being_replaced_is_waited_for(call: Call, cluster: FakeCluster) -> None:
    with serving() as server:
        answering(server)
        server.on("DELETE", "/networks/red", Answer(NO_REPLICA, 503, "application/problem+json"))
        cluster.leases(server.url)
        assert "nobody now" in failed(call("delete-network", "red", "--timeout", "1.5"), 1)
        assert len(server.asked) == 2


def test_certificates_are_checked_by_the_cluster_s_authorities(call: Call, cluster: FakeCluster) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(tls=context) as server:
        answering(server)
        cluster.leases(server.url)
        cluster.answers("configmap", json.dumps({"data": {"ca.crt": authority.cert_pem.bytes().decode()}}))
        assert call("networks").returncode == 0
        cluster.answers("configmap", json.dumps({"data": {"ca.crt": stranger.cert_pem.bytes().decode()}}))
        asked = len(server.asked)
        assert "is not trusted" in failed(call("networks"), 3)
        cluster.answers("configmap", json.dumps({"data": {}}))
        assert "configmap heddle-system/heddle-ca has no key ca.crt" in failed(call("networks"), 1)
        cluster.answers("configmap", json.dumps({"data": {"ca.crt": "none"}}))
        assert "must hold certificates in PEM" in failed(call("networks"), 2)
        (cluster.folder / "configmap").unlink()
        assert "is not trusted" in failed(call("networks"), 3)  # the system's authorities do not know it
        assert len(server.asked) == asked


# --- a real controller -----------------------------------------------------------------------------------------------


class Person:
    username, node = "system:serviceaccount:heddle-system:heddle-admin", None


class Reviewer:
    """Knows the token that kubectl makes."""

    def review(self, token: str) -> Person | None:
        return Person() if token == "short-lived" else None

    def may(self, person: Person, verb: str) -> bool:
        return True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """A real API that knows people by a reviewer's word alone."""
    app = make_app(MemoryControl(), Options(reviewer=Reviewer()))
    server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with capture_logs():
        yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_words_of_openshift(url: str, call: Call, cluster: FakeCluster) -> None:
    cluster.leases(DEAD, url)
    for name in ("red", "blue"):
        assert call("create-network", name).returncode == 0
    assert call("join-networks", "red", "blue").stdout == 'networks "red" and "blue" joined\n'
    assert "nothing would change" not in call("plan", "make-global", "red").stdout
    assert call("make-global", "red").returncode == 0
    assert call("isolate-networks", "red").returncode == 0
    assert call("verify").returncode == 0
    assert [line.split()[0] for line in call("networks").stdout.splitlines()[1:]] == ["blue", "default", "red"]
    cluster.answers("token", "of somebody else".replace(" ", "-"))
    assert "is not one that is known" in failed(call("networks"), 1)


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_rights_that_are_lacking_are_named(call: Call, cluster: FakeCluster) -> None:
    cluster.fails("leases", FORBIDDEN.format("leases.coordination.k8s.io", "list"))
    said = failed(call("networks"), 1)
    assert 'User "ann" cannot list resource "leases.coordination.k8s.io"' in said
    assert "ask for the right to list leases.coordination.k8s.io in namespace heddle-system" in said
    cluster.leases("https://127.0.0.1:9")
    cluster.fails("configmap", FORBIDDEN.format("configmaps", "get"))
    said = failed(call("networks"), 1)
    assert "ask for the right to get configmaps in namespace heddle-system" in said
    assert "--ca-file" in said
    cluster.fails("token", FORBIDDEN.format("serviceaccounts/token", "create"))
    said = failed(call("networks"), 1)
    assert "ask for the right to create serviceaccounts/token in namespace heddle-system" in said


def test_who_may_make_no_token_gives_their_own(call: Call, cluster: FakeCluster, tmp_path: Path) -> None:
    with serving() as server:
        answering(server)
        cluster.leases(server.url)
        cluster.fails("token", FORBIDDEN.format("serviceaccounts/token", "create"))
        cluster.answers("config", json.dumps({"users": [{"user": {"token": "of-ann"}}]}))
        assert call("networks").returncode == 0
        assert server.asked[-1].headers["Authorization"] == "Bearer of-ann"
        (tmp_path / "own").write_text("in-a-file\n")
        cluster.answers("config", json.dumps({"users": [{"user": {"tokenFile": str(tmp_path / "own")}}]}))
        assert call("networks").returncode == 0
        assert server.asked[-1].headers["Authorization"] == "Bearer in-a-file"


def test_a_token_of_the_cluster_is_not_sent_in_plain_text(call: Call, cluster: FakeCluster) -> None:
    cluster.leases("http://192.0.2.1:8080")
    said = failed(call("networks"), 1)
    assert "http://192.0.2.1:8080: no token of the cluster is sent there unencrypted" in said


def test_nothing_is_there(call: Call, cluster: FakeCluster) -> None:
    cluster.answers("leases", json.dumps({"items": []}))
    cluster.answers("api-resources", "")
    assert "the cluster does not know heddle.sdn objects; install Heddle" in failed(call("networks"), 3)
    cluster.answers("api-resources", "networks.heddle.sdn\n")
    said = failed(call("networks"), 3)
    assert "no controller has a Lease in namespace heddle-system" in said
    assert "kubectl get pods --namespace heddle-system" in said
    cluster.leases(DEAD)
    cluster.fails("token", 'error: failed to create token: serviceaccounts "heddle-admin" not found')
    assert 'serviceaccounts "heddle-admin" not found; install Heddle' in failed(call("networks"), 3)


def test_no_replica_answers(call: Call, cluster: FakeCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        other = f"http://127.0.0.1:{closed.getsockname()[1]}"
    cluster.leases(DEAD, other)
    said = failed(call("networks"), 3)
    assert DEAD in said
    assert other in said


def test_kubectl_has_troubles_of_its_own(call: Call, cluster: FakeCluster) -> None:
    cluster.fails("leases", "The connection to the server localhost:8080 was refused")
    said = failed(call("networks"), 3)
    assert "kubectl says: The connection to the server localhost:8080 was refused; check --kubeconfig" in said
    cluster.answers("leases", "hello")
    assert "printed no JSON object" in failed(call("networks"), 3)
    assert "kubectl: is not on PATH" in failed(call("networks", PATH="/nonexistent"), 2)


def test_help_is_that_of_the_plug_in_and_needs_no_cluster(call: Call, cluster: FakeCluster) -> None:
    done = call("--help")
    assert done.returncode == 0
    assert "kubectl heddle [OPTIONS]" in done.stdout
    assert "kubectl heddle create-project" in call("create-project", "--help").stdout
    assert call("networks", "--unheard-of").returncode == 2
    assert cluster.calls == []


# --- which of several options counts ---------------------------------------------------------------------------------

PLUGIN = {"program": "kubectl"}


@pytest.mark.parametrize(
    ("near", "far", "environment", "wanted"),
    [
        ({}, {}, {}, None),
        ({}, PLUGIN, {}, Cluster()),
        ({"namespace": "a"}, {"namespace": "b", "context": "c"}, {}, Cluster(namespace="a", context="c")),
        ({"server": "http://x"}, {**PLUGIN, "context": "c"}, {}, None),
        ({"context": "c"}, {"server": "http://x"}, {}, Cluster(context="c")),
        ({"context": "c"}, PLUGIN, {"HEDDLE_SERVER": "http://x"}, Cluster(context="c")),
        ({}, PLUGIN, {"HEDDLE_SERVER": "http://x"}, None),
    ],
)
def test_the_nearest_of_server_and_cluster_counts(
    near: dict[str, Any], far: dict[str, Any], environment: dict[str, str], wanted: Cluster | None
) -> None:
    assert resolve((near, far), environment)[1].cluster == wanted


def test_both_at_once_is_wrong_usage() -> None:
    with pytest.raises(Misused, match="--server and --context are both given"):
        resolve(({"server": "http://x", "context": "c"}, {}), {})
