"""heddle against the real REST application, served by wsgiref, with a controller in memory behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import msgspec
import pytest
from structlog.testing import capture_logs

from rest.app import make_app
from rest.options import Options
from rest.resources import ROUTES
from rest.routing import Table
from rest.verification_shapes import PlanView, StatementView
from tests.cli.answers import furnish
from tests.cli.conftest import Ended
from tests.cli.server import Fake
from tests.cli.test_proofs import FINDING, GLOBAL, JOIN, NOTHING, REFUSED, STATEMENT, UNSOUND
from tests.rest.conftest import ADMIN_TOKEN, CLOSED, OPEN
from tests.rest.control import MemoryControl
from topology.model import PortKey
from topology.requests import ForgetPort, PortSeen, Refused, ReportPort

Run = Callable[..., Ended]


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def control() -> MemoryControl:
    """Return the controller behind the API."""
    return MemoryControl()


@pytest.fixture(params=[OPEN], ids=["open"])
def options(request: pytest.FixtureRequest) -> Options:
    """Return the API's options."""
    found: Options = request.param
    return found


@pytest.fixture
def url(control: MemoryControl, options: Options, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the API and let heddle find it."""
    server = make_server("127.0.0.1", 0, make_app(control, options), handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HEDDLE_SERVER", url)
    with capture_logs():  # the application writes its log to standard output, which is heddle's here
        yield url
    server.shutdown()
    server.server_close()
    thread.join()


def add_pod(control: MemoryControl, node: str, project: str, pod: str) -> None:
    """Attach a pod as a node's plugin and switch would report it."""
    number = len(control.published.snapshot.ports) + 3
    control.submit(ReportPort(PortKey(node, f"c{number}", "eth0"), project, pod, f"v{number}"))
    control.submit(PortSeen(node, f"v{number}", number))


def done(ended: Ended) -> str:
    """Return the output of a run that went well."""
    assert (ended.status, ended.err) == (0, "")
    return ended.out


def test_the_whole_story(url: str, control: MemoryControl, heddle: Run) -> None:
    assert done(heddle("status")) == f"{url}: ready\n"
    assert done(heddle("replicas")) == "this controller is alone\n"
    for number in (1, 2):
        out = done(heddle("create-node", f"n{number}", "--underlay", f"192.0.2.1{number}"))
        assert f"token: token-{number}-of-n{number} (shown this once" in out
        control.connect(f"n{number}")
    assert done(heddle("create-network", "red", "--project", "red")) == 'network "red" created, VNID 10\n'
    assert done(heddle("create-network", "blue", "--vnid", "77")) == 'network "blue" created, VNID 77\n'
    assert done(heddle("create-network", "blue", "--vnid", "77")) == 'network "blue" is there already, VNID 77\n'
    done(heddle("create-project", "blue", "--network", "blue"))
    done(heddle("create-service", "red/web", "--address", "172.30.0.10", "--port", "80", "--port", "53/udp"))
    row = ["red", "web", "172.30.0.10", "80-tcp=80/tcp,", "53-udp=53/udp", *["-"] * 8]
    assert done(heddle("services")).splitlines()[1].split() == row
    where = ("--service", "web", "--port", "80-tcp=8080", "--endpoint", "10.128.0.2@n1", "--endpoint", "10.128.2.2")
    assert done(heddle("set-endpoints", "red/web-1", *where)) == 'service "red/web" has 2 endpoints in "red/web-1"\n'
    row = ["red", "web-1", "web", "80-tcp=8080/tcp", "10.128.0.2", "n1", "ready", "-"]
    assert done(heddle("endpoints")).splitlines()[1].split() == row
    add_pod(control, "n1", "red", "a")
    add_pod(control, "n2", "blue", "b")
    assert [line.split()[:4] for line in done(heddle("ports")).splitlines()[1:]] == [
        ["red", "a", "red", "n1"],
        ["blue", "b", "blue", "n2"],
    ]
    assert [line.split()[0] for line in done(heddle("ports", "--node", "n2")).splitlines()[1:]] == ["blue"]
    for table in ("networks", "projects", "nodes", "switches"):
        assert len(done(heddle(table)).splitlines()) > 2

    assert heddle("trace", "--from", "red/a", "--to", "blue/b").status == 5
    done(heddle("join-networks", "red", "blue"))
    topology = done(heddle("topology"))
    assert "joined with blue" in topology
    assert "tunnels up: n2" in topology
    delivered = done(heddle("trace", "--from", "red/a", "--to", "blue/b", "--protocol", "tcp", "--port", "80"))
    assert delivered.splitlines()[-1] == "delivered on n2, to pod blue/b, as 10.128.2.2"
    done(heddle("isolate-networks", "red", "blue"))
    assert heddle("trace", "--from", "red/a", "--to", "blue/b").status == 5
    done(heddle("make-global", "red"))
    assert heddle("trace", "--from", "red/a", "--to", "blue/b").status == 0
    done(heddle("isolate-networks", "red"))
    assert json.loads(done(heddle("topology", "-o", "json")))["connections"] == []

    done(heddle("delete-service", "red/web"))
    done(heddle("delete-endpoints", "red/web-1"))
    assert 'project "red"' in heddle("delete-project", "red").err
    assert heddle("delete-node", "n1").status == 1
    done(heddle("delete-node", "n1", "--drain"))
    done(heddle("delete-network", "red"))
    assert "red" not in done(heddle("networks"))


def test_networks_with_ranges_of_their_own(url: str, control: MemoryControl, heddle: Run) -> None:
    done(heddle("create-node", "n1", "--underlay", "192.0.2.11"))
    control.connect("n1")
    for name in ("east", "west"):
        out = done(heddle("create-network", name, "--project", name, "--subnet", "10.0.0.0/24", "--mtu", "1400"))
        assert out.endswith(", subnets 10.0.0.0/24\n")
        add_pod(control, "n1", name, "a")
    done(heddle("create-network", "north", "--subnet", "own=10.1.0.0/24,10.1.0.9", "--flat"))
    assert "10.1.0.0/24 (flat)" in done(heddle("networks"))
    assert [line.split()[4:6] for line in done(heddle("ports")).splitlines()[1:]] == [
        ["10.0.0.2/24", "10.128.0.2"],
        ["10.0.0.2/24", "10.128.0.3"],
    ]
    refused = heddle("join-networks", "east", "west").err
    assert "10.0.0.0/24" in refused
    assert "--translate" in refused
    out = done(heddle("join-networks", "north", "east", "--one-way", "--port", "80"))
    assert out == 'networks "north" and "east" joined; "east" may begin nothing; "north" may begin 80/tcp\n'
    assert done(heddle("connections")).splitlines()[1].split() == ["east", "north", "nothing", "80/tcp", "-"]
    assert "joined with east: may begin 80/tcp; east may begin nothing" in done(heddle("topology"))

    done(heddle("create-network", "deleted", "--project", "deleted"))
    add_pod(control, "n1", "deleted", "b")
    control.submit(ForgetPort(PortKey("n1", "c5", "eth0")))
    assert [line.split()[:4] for line in done(heddle("addresses")).splitlines()[1:]] == [
        ["10.128.0.2", "0", "east", "bound"],
        ["10.128.0.3", "0", "west", "bound"],
        ["10.128.0.4", "0", "-", "quarantined"],
        ["10.0.0.2", "10", "east", "bound"],
        ["10.0.0.2", "11", "west", "bound"],
    ]
    assert len(done(heddle("addresses", "--network", "east", "--node", "n1", "--state", "bound")).splitlines()) == 3
    assert done(heddle("addresses", "--check")) == "sound: 2 ports, 4 addresses held, 1 in quarantine\n"
    control.submit(ReportPort(PortKey("n1", "c9", "eth0"), "east", "late", "v9"))
    unsound = heddle("addresses", "--check")
    assert unsound.status == 1
    assert "not-on-switch  port east/late" in unsound.out


def test_bindings_and_a_pod_that_labels_itself_towards_another_tenant(
    url: str, control: MemoryControl, heddle: Run
) -> None:
    done(heddle("create-node", "n1", "--underlay", "192.0.2.11"))
    control.connect("n1")
    for name in ("red", "blue", "storage", "backup"):
        done(heddle("create-network", name, *(["--project", name] if name in ("red", "blue") else [])))
    done(heddle("label-project", "red", "team=a", "tier=x"))
    assert done(heddle("label-project", "red", "tier-")) == (
        'project "red" has labels team=a, and is on network "red"\n'
    )
    given = ("--projects", "team=a", "--secondary", "storage", "--optional", "backup")
    out = done(heddle("create-binding", "extra", *given))
    assert out == 'binding "extra" created, selects 1 project: red\n'
    out = done(heddle("create-binding", "dbs", "--projects", "", "--pods", "role=db", "--primary", "storage"))
    assert "selects 3 projects: blue, default, red" in out
    assert done(heddle("set-pod", "red/db", "-l", "role=db")) == 'pod "red/db" noted; it would be on storage\n'
    assert done(heddle("set-pod", "red/web", "-n", "backup")).endswith("on red, storage, backup\n")
    wanted = 'its project is not bound to it; have the administrator bind project "blue" to it'
    assert wanted in done(heddle("set-pod", "blue/db", "-l", "role=db"))
    with pytest.raises(Refused, match="is not bound to"):
        add_pod(control, "n1", "blue", "db")
    add_pod(control, "n1", "red", "web")
    assert [line.split()[2] for line in done(heddle("ports")).splitlines()[1:]] == ["red"]
    assert 'named by 2 bindings: "dbs", "extra"' in heddle("delete-network", "storage").err
    assert (
        '"dbs" and "other" give it different primary'
        in heddle("create-binding", "other", "-p", "red", "--pods", "role=db", "--primary", "red").err
    )
    for binding in ("dbs", "extra"):
        done(heddle("delete-binding", binding))
    done(heddle("forget-pod", "red/web"))
    assert done(heddle("pods")).count("\n") == 3
    assert done(heddle("bindings")).count("\n") == 1


def test_overlapping_networks_are_joined_with_translation(url: str, control: MemoryControl, heddle: Run) -> None:
    done(heddle("create-node", "n1", "--underlay", "192.0.2.11"))
    control.connect("n1")
    for name in ("east", "west"):
        done(heddle("create-network", name, "--project", name, "--subnet", "10.0.0.0/24"))
        add_pod(control, "n1", name, "a")
    ways = "10.0.0.0/24 of east is 100.64.0.0/24 in west", "10.0.0.0/24 of west is 100.64.1.0/24 in east"
    out = done(heddle("join-networks", "west", "east", "--translate"))
    assert out == f'networks "west" and "east" joined; {"; ".join(ways)}\n'
    assert ", ".join(ways) in done(heddle("connections", "-o", "table"))
    own = [line for line in done(heddle("addresses")).splitlines() if line.startswith("10.0.0.2 ")]
    assert [line.rpartition("  ")[2] for line in own] == ["100.64.0.2 in west", "100.64.1.2 in east"]
    walk = done(heddle("trace", "--from", "east/a", "--to", "west/a")).splitlines()
    assert walk[-1] == "delivered on n1, to pod west/a, as 100.64.1.2"
    done(heddle("isolate-networks", "east", "west"))
    assert heddle("trace", "--from", "east/a", "--to", "100.64.1.2").out.splitlines()[-1].startswith("sent on n1")


def test_flows_of_a_node(url: str, control: MemoryControl, heddle: Run) -> None:
    heddle("create-node", "n1", "--underlay", "192.0.2.11")
    control.connect("n1")
    everything = done(heddle("flows", "n1")).splitlines()
    delivery = done(heddle("flows", "n1", "--table", "delivery")).splitlines()
    assert 1 < len(delivery) < len(everything)
    assert all(" DELIVERY " in line for line in delivery[1:])


def test_refusals_are_the_controller_s_own_words(url: str, heddle: Run) -> None:
    ended = heddle("delete-network", "pink")
    assert ended.status == 1
    assert ended.err.startswith('heddle: network "pink": ')
    assert ended.err.count("\n") == 1
    assert "$.vnid" in heddle("create-network", "red", "--vnid", "1").err
    assert "$.name" in heddle("create-network", "Red!").err
    assert "192.0.2.999" in heddle("create-node", "n1", "--underlay", "192.0.2.999").err
    assert "timeout" not in heddle("delete-network", "pink", "--timeout", "60").err


def test_switches_that_are_late_are_named(url: str, control: MemoryControl, heddle: Run) -> None:
    for number in (1, 2):
        heddle("create-node", f"n{number}", "--underlay", f"192.0.2.1{number}")
    control.connect("n1", "n2")
    heddle("create-network", "red", "--project", "red")
    add_pod(control, "n1", "red", "a")
    add_pod(control, "n2", "red", "b")
    control.stuck.add("n2")
    ended = heddle("make-global", "red", "--timeout", "0")
    assert ended.status == 4
    assert ended.out == 'network "red" is global\n'
    assert ended.err.startswith("heddle: stored, but not yet in force on n2;")


def test_a_node_registered_twice_and_its_new_token(
    url: str, control: MemoryControl, heddle: Run, tmp_path: Path
) -> None:
    heddle("create-node", "n1", "--underlay", "192.0.2.11")
    assert "is there already" in done(heddle("create-node", "n1", "--underlay", "192.0.2.11"))
    done(heddle("renew-token", "n1", "--token-file", str(tmp_path / "t")))
    assert control.node_of_token((tmp_path / "t").read_text().strip()) == "n1"


@pytest.mark.parametrize("options", [CLOSED], indirect=True, ids=["closed"])
def test_an_api_with_a_token(url: str, heddle: Run) -> None:
    ended = heddle("networks")
    assert ended.status == 1
    assert "--token-file" in ended.err
    assert ended.err.count("give the administrator's token") == 1
    assert heddle("networks", "--token", "wrong").status == 1
    assert heddle("networks", "--token", ADMIN_TOKEN).status == 0


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        *((body, StatementView) for body in (STATEMENT, UNSOUND)),
        *((body, PlanView) for body in (NOTHING, JOIN, GLOBAL, REFUSED, {**NOTHING, "findings": [FINDING]})),
    ],
)
def test_canned_proofs_and_plans_are_in_the_api_s_shapes(body: Any, shape: type[Any]) -> None:
    assert json.loads(msgspec.json.encode(msgspec.convert(body, shape))) == body


def test_proofs_and_plans(url: str, control: MemoryControl, heddle: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        done(heddle("create-node", f"n{number}", "--underlay", f"192.0.2.1{number}"))
        control.connect(f"n{number}")
    for name in ("red", "blue"):
        done(heddle("create-network", name, "--project", name))
        add_pod(control, "n1", name, "a")
    said = done(heddle("plan", "join-networks", "red", "blue", "--one-way", "--port", "80"))
    assert said.splitlines()[-1].startswith("planned, not done: 1 switch touched, no connection would be cut")
    assert heddle("connections").out.splitlines()[1:] == []
    file = tmp_path / "statement.json"
    file.write_text(done(heddle("verify", "-o", "json")))
    assert done(heddle("verify", "--statement", str(file))).splitlines()[-1].startswith("proven ")
    done(heddle("join-networks", "red", "blue"))
    assert "differs: node n1 has other flows" in heddle("verify", "--statement", str(file)).out
    assert "blue red 1 > 1 nothing may be begun" in " ".join(done(heddle("plan", "isolate-networks", "red")).split())
    assert heddle("plan", "delete-node", "n1").status == 1
    assert done(heddle("plan", "delete-node", "n1", "--drain")).count("n1") >= 2
    done(heddle("isolate-networks", "red"))
    assert heddle("verify", "--statement", str(file)).status == 0


def _canned() -> list[tuple[str, str]]:
    fake = Fake()
    furnish(fake)
    return [*fake.answers]


@pytest.mark.parametrize(("method", "path"), _canned())
def test_the_fake_controller_answers_in_the_api_s_shapes(method: str, path: str) -> None:
    fake = Fake()
    furnish(fake)
    answer = fake.answers[method, path]
    found = Table(ROUTES).find(f"/v1{path}")
    assert found is not None
    shape = found.routes[method].answers[answer.status]
    if answer.status == HTTPStatus.NO_CONTENT:
        assert (shape, answer.body) == (None, None)
    else:
        assert json.loads(msgspec.json.encode(msgspec.convert(answer.body, shape))) == answer.body
