"""Two APIs on sockets of their own, each a replica: calls go from one to the other, and no further."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trustme
from immutables import Map

from rest.app import make_app
from rest.control import Forwarded, Replica, Replicas, Reply
from rest.options import Options
from ryu_apps.cluster.peers import Peers
from store.base import Mark
from tests.cli.server import Answer as Canned
from tests.cli.server import serving
from tests.rest.control import MemoryControl
from topology.requests import CreateNode

TOKEN = "of-both-replicas"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
OPTIONS = Options(admin_sha256=sha256(TOKEN.encode()).hexdigest())


class Networked(MemoryControl):
    """A controller whose calls to others go over the network."""

    def __init__(self) -> None:
        super().__init__()
        self.peers = Peers(None, f"Bearer {TOKEN}")

    def forward(self, replica: Replica, call: Forwarded) -> Reply:
        return self.peers.call(replica, call)

    def believe(self, living: tuple[Replica, ...], me: str, decides: str | None, masters: dict[str, str]) -> None:
        replicas = Replicas(me, living, decides, Map(masters))
        self.publish(replace(self.published, replicas=replicas))


class Served(NamedTuple):
    control: Networked
    replica: Replica


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(name: str) -> Iterator[Served]:
    control = Networked()
    server = make_server("127.0.0.1", 0, make_app(control, OPTIONS), handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Served(control, Replica(name, f"http://127.0.0.1:{server.server_address[1]}", "tcp:127.0.0.1:6653"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pair() -> Iterator[tuple[Served, Served]]:
    """Replicas one and two: two decides, and answers for node n2."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(served(name)) for name in ("one", "two"))
        for each in (one, two):
            each.control.believe((one.replica, two.replica), each.replica.name, "two", {"n1": "one", "n2": "two"})
        yield one, two


def ask(there: Served, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(there.replica.api).netloc, timeout=30)
    content = None if body is None else json.dumps(body)
    sent = {**ADMIN, **({"Content-Type": "application/json"} if body is not None else {}), **headers}
    connection.request(method, path, content, sent)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), json.loads(text) if text else None


def test_a_change_is_made_by_who_decides(pair: tuple[Served, Served]) -> None:
    one, two = pair
    status, headers, body = ask(one, "POST", "/v1/networks", {"name": "green", "projects": ["shop"]})
    assert (status, headers["Location"], body["name"]) == (201, f"{one.replica.api}/v1/networks/green", "green")
    assert "green" in two.control.published.snapshot.networks
    assert "green" not in one.control.published.snapshot.networks
    status, headers, body = ask(one, "POST", "/v1/networks", {"name": "green", "vnid": 1})
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert ask(one, "DELETE", "/v1/projects/shop")[0] == 204
    assert ask(one, "PATCH", "/v1/networks/none", {"global": True})[0] == 404


def test_the_caller_is_checked_in_both_places(pair: tuple[Served, Served]) -> None:
    one, two = pair
    two.control.submit(CreateNode("n2", IPv4Address("192.0.2.12")))
    made = two.control.create_node_token("n2")
    report = {"project": "red", "pod": "a", "host_interface": "v1"}
    path = "/v1/nodes/n2/ports/c1/eth0"
    # Replica one does not know the token, so nothing goes on; then it does, and two has it no more.
    assert ask(one, "PUT", path, report, Authorization=f"Bearer {made}")[0] == 401
    one.control.tokens = dict(two.control.tokens)
    one.control.submit(CreateNode("n2", IPv4Address("192.0.2.12")))
    one.control.tokens = dict(two.control.tokens)
    one.control.believe((one.replica, two.replica), "one", "two", {"n2": "two"})
    status, _, body = ask(one, "PUT", path, report, Authorization=f"Bearer {made}")
    assert (status, body["cause"]) == (404, "does not exist")  # two knows no project red: it was two that answered
    two.control.tokens = {}
    assert ask(one, "PUT", path, report, Authorization=f"Bearer {made}")[0] == 401


def test_two_that_take_each_other_for_it_end_soon(pair: tuple[Served, Served]) -> None:
    one, two = pair
    two.control.believe((one.replica, two.replica), "two", "one", {})
    status, headers, body = ask(one, "POST", "/v1/networks", {"name": "green"})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert "one has passed this on to two, which knows of one" in body["cause"]


def test_one_that_is_dead(pair: tuple[Served, Served]) -> None:
    one, two = pair
    dead = two.replica._replace(api="http://127.0.0.1:9")
    one.control.believe((one.replica, dead), "one", "two", {})
    status, _, body = ask(one, "POST", "/v1/networks", {"name": "green"})
    assert (status, body["type"]) == (503, "/v1/problems#no-replica")
    assert "replica two at http://127.0.0.1:9" in body["cause"]
    assert ask(one, "GET", "/v1/networks")[0] == 200


# --- the calls themselves --------------------------------------------------------------------------------------------


def test_certificates_of_replicas_are_checked(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    call = Forwarded("GET", "/v1/networks", (), b"", 5.0)
    with serving(tls=context) as fake:
        fake.on("GET", "/networks", {"networks": []})
        there = Replica("two", fake.url, "")
        assert Peers(tmp_path / "ca.pem", None, encrypted=True).call(there, call).status == 200
        with pytest.raises(ConnectionError, match="certificate verify failed"):
            Peers(tmp_path / "stranger.pem", None, encrypted=True).call(there, call)


def test_tokens_are_not_sent_unencrypted_by_one_that_is_encrypted() -> None:
    with serving() as fake:
        peers = Peers(None, "Bearer own", encrypted=True)
        with pytest.raises(ConnectionError, match="tokens are not sent unencrypted"):
            peers.call(Replica("two", fake.url, ""), Forwarded("GET", "/v1/networks", (), b"", 5.0))
        assert peers.late(Replica("two", fake.url, ""), (), frozenset(), 1.0) is None
        assert fake.asked == []


def test_redirects_are_not_followed() -> None:
    with serving() as fake:
        fake.on("GET", "/networks", Canned(b"", 302))
        reply = Peers(None, None).call(Replica("two", fake.url, ""), Forwarded("GET", "/v1/networks", (), b"", 5.0))
        assert reply.status == 302


def test_many_marks_are_asked_about_in_pieces_that_fit() -> None:
    marks = tuple(Mark("connections", f"{'a' * 60}.{'b' * 60}-{number}", number) for number in range(300))
    with serving() as fake:
        fake.on("GET", "/in-force", {"late": ["n1"]})
        found = Peers(None, "Bearer own").late(Replica("two", fake.url, ""), marks, frozenset({"n1", "n2"}), 2.0)
        assert found == ("n1",)
        targets = [asked.target for asked in fake.asked]
        assert all(len(target) < 8192 - len("GET  HTTP/1.1") for target in targets)
        assert sum(target.count("@") for target in targets) == 300
        assert all(target.endswith("&nodes=n1,n2") for target in targets)
        assert {asked.headers["Authorization"] for asked in fake.asked} == {"Bearer own"}
        everywhere = frozenset(f"node-{number}.example.org" for number in range(1000))
        Peers(None, None).late(Replica("two", fake.url, ""), (), everywhere, 2.0)
        assert "nodes" not in fake.asked[-1].target


def test_one_that_refuses_has_not_answered() -> None:
    with serving() as fake:
        fake.on("GET", "/in-force", Canned({"late": []}, 503))
        assert Peers(None, None).late(Replica("two", fake.url, ""), (), frozenset(), 0.1) is None
