"""Every way to fail: one line on standard error that names object, cause and remedy, and its exit status."""

from __future__ import annotations

import gc
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

import cli.client
from tests.cli.answers import NETWORKS, NODES, furnish
from tests.cli.conftest import Ended
from tests.cli.server import Answer, Fake, problem, serving

Run = Callable[..., Ended]


def failed(ended: Ended, status: int) -> str:
    """Return the one line on standard error of a run that printed nothing else."""
    assert (ended.status, ended.out) == (status, "")
    assert ended.err.startswith("heddle: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("heddle: ").rstrip("\n")


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 507])
def test_a_problem_is_one_line_and_status_1(status: int, fake: Fake, heddle: Run) -> None:
    fake.on("DELETE", "/networks/red", problem(status, 'network "red": has 2 ports;\n delete their pods first\x07'))
    assert failed(heddle("delete-network", "red"), 1) == 'network "red": has 2 ports; delete their pods first\\x07'


def test_a_problem_without_detail_shows_its_title(fake: Fake, heddle: Run) -> None:
    fake.on("GET", "/networks", Answer({"title": "Busy"}, 503, "application/problem+json"))
    assert failed(heddle("networks"), 1) == "Busy (503 Service Unavailable)"


def test_401_says_how_to_give_a_token(fake: Fake, heddle: Run) -> None:
    fake.on("GET", "/networks", problem(401, "a token is needed"))
    said = failed(heddle("networks"), 1)
    assert said == "a token is needed; give the administrator's token with --token-file or HEDDLE_TOKEN"


def test_late_switches_are_named_and_status_is_4(fake: Fake, heddle: Run) -> None:
    fake.on("POST", "/networks", Answer({**NETWORKS[2], "late": ["n2", "n3"]}, 202))
    ended = heddle("create-network", "red", "--timeout", "0.5")
    assert ended.status == 4
    assert ended.out == 'network "red" created, VNID 10\n'
    assert ended.err.startswith("heddle: stored, but not yet in force on n2, n3; it will be")
    assert fake.asked[0].target == "/v1/networks?timeout=0.5"


def test_late_switches_of_a_change_that_returns_nothing_else(fake: Fake, heddle: Run) -> None:
    fake.on("DELETE", "/connections/red", Answer({"late": ["n2"]}, 202))
    ended = heddle("isolate-networks", "red", "-o", "json")
    assert ended.status == 4
    assert json.loads(ended.out) == {"late": ["n2"]}
    assert "not yet in force on n2;" in ended.err


def test_nobody_listens(heddle: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    said = failed(heddle("networks", "--server", url), 3)
    assert said.startswith(f"cannot connect to {url} ([Errno 111] Connection refused); start the controller there")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # httpcore leaves the socket that could not connect
def test_no_socket(heddle: Run, tmp_path: Path) -> None:
    said = failed(heddle("networks", "--server", f"unix:{tmp_path}/none"), 3)
    gc.collect()
    assert said.startswith(f"cannot connect to unix:{tmp_path}/none ([Errno 2] No such file or directory)")


def test_unix_socket(heddle: Run, tmp_path: Path) -> None:
    with serving(socket_path=tmp_path / "api") as fake:
        furnish(fake)
        assert heddle("--server", fake.url, "networks").out.startswith("NAME")
        assert heddle("--server", f"unix://{tmp_path}/api", "networks").status == 0


def test_the_server_breaks_off(fake: Fake, heddle: Run) -> None:
    fake.on("GET", "/networks", Answer(broken=True))
    fake.on("DELETE", "/networks/red", Answer(broken=True))
    said = failed(heddle("networks"), 3)
    assert said.startswith(f"{fake.url} broke off without an answer (Server disconnected")
    assert "may have been made" not in said
    assert "the change may have been made all the same" in failed(heddle("delete-network", "red"), 3)


def test_the_server_does_not_answer_in_time(fake: Fake, heddle: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.client, "MARGIN_SECONDS", 0.05)
    over = threading.Event()
    fake.on("DELETE", "/networks/red", Answer(status=204, hold=over))
    said = failed(heddle("delete-network", "red", "--timeout", "0.1"), 3)
    over.set()
    assert said.startswith(f"{fake.url} gave no answer within 0.15 s;")
    assert "the change may have been made all the same" in said


@pytest.mark.parametrize(
    "answer",
    [Answer(b"<html>Bad Gateway</html>", 502, "text/html"), Answer({"x": 1}, 404), Answer(b"", 301), Answer([], 500)],
    ids=["proxy", "stranger", "redirect", "list"],
)
def test_something_else_answers(answer: Answer, fake: Fake, heddle: Run) -> None:
    fake.on("GET", "/networks", answer)
    said = failed(heddle("networks"), 3)
    assert said.startswith(f"{fake.url} answered {answer.status} ")
    assert "not as a Heddle controller does" in said


def test_an_answer_that_is_not_json(fake: Fake, heddle: Run) -> None:
    fake.on("GET", "/networks", Answer(b"hello", 200, "text/plain"))
    assert "with something that is not JSON" in failed(heddle("networks"), 3)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """Return a certificate authority and the file with its certificate."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return ca, tmp_path / "ca.pem"


def _context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_tls_with_a_known_authority(
    authority: tuple[trustme.CA, Path], heddle: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tls=_context(authority[0])) as fake:
        furnish(fake)
        assert heddle("--server", fake.url, "--ca-file", str(authority[1]), "networks").status == 0
        monkeypatch.setenv("HEDDLE_CA_FILE", str(authority[1]))
        assert heddle("--server", fake.url, "networks").status == 0


def test_tls_with_an_unknown_authority(authority: tuple[trustme.CA, Path], heddle: Run) -> None:
    with serving(tls=_context(authority[0])) as fake:
        furnish(fake)
        said = failed(heddle("networks", "--server", fake.url), 3)
    assert said.startswith(f"the certificate of {fake.url} is not trusted (")
    assert said.endswith("name the authority that signed it with --ca-file")
    assert fake.asked == []


def test_http_spoken_to_https(authority: tuple[trustme.CA, Path], heddle: Run) -> None:
    with serving(tls=_context(authority[0])) as fake:
        said = failed(heddle("networks", "--server", fake.url.replace("https", "http")), 3)
    assert "check whether it is http or https" in said


def test_https_spoken_to_http(fake: Fake, heddle: Run) -> None:
    assert "check whether it is http or https" in failed(heddle("networks", "-s", fake.url.replace("http", "https")), 3)


def test_ca_files_that_are_none(tmp_path: Path, heddle: Run) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("empty", "missing"):
        said = failed(heddle("networks", "-s", "https://127.0.0.1:1", "--ca-file", str(tmp_path / name)), 2)
        assert said.startswith(f"CA file {tmp_path / name}: ")


# --- what is asked of the command line --------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["ftp://x", "localhost:8080", "http://", "http://h:99999", "http://h?x", "unix:"])
def test_servers_that_are_no_url(server: str, heddle: Run) -> None:
    assert failed(heddle("networks", "--server", server), 2).startswith(f"server {server!r} ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "No such command"),
        ("networks --outptu json", "No such option"),
        ("networks -o xml", "xml"),
        ("networks --timeout -1", "greater than or equal to 0"),
        ("networks --timeout nan", "'--timeout'"),
        ("create-network", "Missing argument"),
        ("create-network red --vnid ten", "'--vnid'"),
        ("create-project shop --label team", "'team' is not of the form KEY=VALUE"),
        ("label-project shop", "Missing argument"),
        ("create-binding storage --secondary storage", "--projects"),
        ("create-binding storage --projects a=b=c", "'a=b=c' is no condition on a label"),
        ("create-binding storage --projects a --secondary :s0", "':s0' is no attachment"),
        ("create-external-vtep f5 -a 192.0.2.50 --subnet 198.18.7.0/24", "give --network NETWORK or --vnid NUMBER"),
        ("create-mirror m --to red/a", "give --network NETWORK or --pod PROJECT/POD"),
        ("create-mirror m --to a -n red", "'a' is not of the form PROJECT/NAME"),
        ("set-dscp red high", "'high' is no DSCP; write a number from 0 to 63, or none"),
        ("set-pod db --label a=b", "'db' is not of the form PROJECT/NAME"),
        ("create-service web --address 172.30.0.1 --port 80", "'web' is not of the form PROJECT/NAME"),
        ("create-service red/web --address 172.30.0.1 --port http", "'http' is no port"),
        ("create-service red/web --address 172.30.0.1", "--port"),
        ("create-service red/web --address 172.30.0.1 --port =80", "'=80' is no port; write it as 80/tcp or web=80"),
        ("create-service red/web --address 172.30.0.1 --port 80 --affinity long", "--affinity"),
        ("set-endpoints web-1 --service web --port 80", "'web-1' is not of the form PROJECT/NAME"),
        ("set-endpoints red/web-1 --port 80", "--service"),
        ("set-endpoints red/web-1 --service web", "--port"),
        ("set-endpoints red/web-1 --service web --port 80 --endpoint 10.128.0.5@", "'10.128.0.5@' is no endpoint"),
        ("set-endpoints red/web-1 --service web --port 80 --endpoint @n1", "'@n1' is no endpoint"),
        ("set-endpoints red/web-1 --service web --port 80 --endpoint 10.128.0.5=", "'10.128.0.5=' is no endpoint"),
        ("set-endpoints red/web-1 --service web --port 80 --endpoint 10.128.0.5=a,,b", "is no endpoint"),
        ("set-node n1", "give --encapsulation, --zone or --neighbours, one at a time"),
        ("set-node n1 --zone a --encapsulation geneve", "give --encapsulation, --zone or --neighbours, one at a time"),
        ("delete-endpoints web-1", "'web-1' is not of the form PROJECT/NAME"),
        ("create-node n1", "--underlay"),
        ("create-node n1 --underlay 192.0.2.11 --dpid zz", "'zz' is no datapath id"),
        ("create-node n1 --underlay 192.0.2.11 --dpid 0", "'0' is no datapath id"),
        ("trace --from red --to blue/b", "'red' is not of the form PROJECT/NAME"),
        ("trace --from red/a --to blue/b/c", "'blue/b/c' is not of the form PROJECT/NAME"),
        ("trace --from red/a --to blue/b --port 70000", "less than or equal to 65535"),
        ("flows n1 --table nonsense", "it has flows in DISPATCH, DELIVERY"),
    ],
)
def test_wrong_usage_is_status_2_and_asks_for_no_change(line: str, said: str, fake: Fake, heddle: Run) -> None:
    furnish(fake)
    ended = heddle(*line.split())
    assert (ended.status, ended.out) == (2, "")
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert all(asked.method == "GET" for asked in fake.asked)


# --- tokens ----------------------------------------------------------------------------------------------------------


def _sent(fake: Fake) -> str | None:
    return fake.asked[-1].headers.get("Authorization")


def test_where_the_token_comes_from(fake: Fake, heddle: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(fake)
    (tmp_path / "token").write_text("from-file\n")
    heddle("networks")
    assert _sent(fake) is None
    monkeypatch.setenv("HEDDLE_TOKEN_FILE", str(tmp_path / "token"))
    heddle("networks")
    assert _sent(fake) == "Bearer from-file"
    heddle("--token", "before", "networks")
    assert _sent(fake) == "Bearer before"
    heddle("--token", "before", "networks", "--token-file", str(tmp_path / "token"))
    assert _sent(fake) == "Bearer from-file"
    monkeypatch.delenv("HEDDLE_TOKEN_FILE")
    monkeypatch.setenv("HEDDLE_TOKEN", "from-environment")
    heddle("networks")
    assert _sent(fake) == "Bearer from-environment"


def test_tokens_that_are_none(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("empty", "binary", "missing", "."):
        assert failed(heddle("networks", "--token-file", str(tmp_path / name)), 2).startswith("token file ")
    assert failed(heddle("networks", "--token", "two words"), 2).startswith("the token given ")
    assert "both given" in failed(heddle("--token", "t", "--token-file", str(tmp_path / "empty"), "networks"), 2)
    assert fake.asked == []


def test_create_node_writes_the_token_where_only_the_owner_reads_it(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    furnish(fake)
    file = tmp_path / "n1.token"
    ended = heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(file))
    assert ended.status == 0
    assert file.read_text() == "hdl-0123456789\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hdl-" not in ended.out + ended.err
    assert ended.out.splitlines()[1] == f"its token is in {file}"


def test_create_node_never_overwrites_a_file(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    furnish(fake)
    file = tmp_path / "admin.token"
    file.write_text("admin")
    said = failed(heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(file)), 2)
    assert "heddle --token-file FILE create-node" in said
    assert (file.read_text(), fake.asked) == ("admin", [])
    missing = tmp_path / "no" / "n1.token"
    failed(heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(missing)), 2)
    assert fake.asked == []


def test_a_node_that_is_there_already_has_no_token_to_show(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    fake.on("POST", "/nodes", Answer({**NODES[0], "token": None, "late": []}, 200))
    lines = heddle("create-node", "n1", "--underlay", "192.0.2.11").out.splitlines()
    assert lines[0].startswith('node "n1" is there already')
    assert "heddle renew-token makes another one" in lines[1]
    said = failed(heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(tmp_path / "t")), 1)
    assert said.startswith('node "n1": is registered already')
    assert not (tmp_path / "t").exists()


def test_renew_token_writes_a_file_too(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    furnish(fake)
    ended = heddle("renew-token", "n1", "--token-file", str(tmp_path / "t"))
    assert ended == (0, f'the new token of node "n1" is in {tmp_path}/t\n', "")
    assert (tmp_path / "t").read_text() == "hdl-9876543210\n"


def test_a_refused_create_node_leaves_no_file(fake: Fake, heddle: Run, tmp_path: Path) -> None:
    fake.on("POST", "/nodes", problem(409, 'node "n1": exists already; choose another name'))
    file = tmp_path / "n1.token"
    failed(heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(file)), 1)
    assert not file.exists()


def test_a_token_that_the_disk_does_not_take_is_printed(
    fake: Fake, heddle: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(fake)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.tokenfile.os.write", full)
    ended = heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(tmp_path / "t"))
    assert "keep this token: hdl-0123456789" in ended.err
    assert not (tmp_path / "t").exists()
