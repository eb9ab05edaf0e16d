"""`heddle verify` and `heddle plan`: what they ask, what they print, how they end; transcripts in tests/golden/cli."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.commands import plan as plan_commands
from cli.main import build
from tests.cli.conftest import Ended
from tests.cli.server import Answer, Fake, problem

EVERYTHING = {"services_only": False, "ports": []}
STATEMENT: dict[str, Any] = {
    "proven": True,
    "revision": 12,
    "digest": "0123456789abcdef0123456789abcdef",
    "milliseconds": 1.25,
    "flows": 91,
    "nodes": [
        {"node": "n1", "digest": "a" * 32, "flows": 46, "installed": True, "findings": 0, "left_out": []},
        {"node": "n2", "digest": "b" * 32, "flows": 45, "installed": False, "findings": 0, "left_out": []},
    ],
    "claims": [{"table": 80, "table_name": "DELIVERY", "priority": 100, "purpose": "within one network", "flows": 2}],
    "findings": [],
}
FINDING = {
    "kind": "leak",
    "node": "n2",
    "flow": "table=80,priority=100,reg0=0xa actions=goto_table:100",
    "missing": False,
    "owner": "network red",
    "text": "leak on node n2: flow table=80(DELIVERY),priority=100,reg0=0xa is not one that the network asks for",
    "witness": {
        "packet": "TCP 10.128.0.2:40000 > 10.128.2.2:443 (0a:58:0a:80:00:02)",
        "ingress": "from port 3 of node n1",
        "expected": "dropped on n2",
        "seen": "delivered to container b (eth0) on n2",
        "shows": True,
        "text": "TCP 10.128.0.2:40000 > 10.128.2.2:443, from port 3 of node n1: should be dropped on n2, is delivered",
    },
}
UNSOUND = {
    **STATEMENT,
    "proven": False,
    "nodes": [STATEMENT["nodes"][0], {**STATEMENT["nodes"][1], "findings": 1, "left_out": ["spoof on node n2: …"]}],
    "findings": [FINDING],
}
NOTHING: dict[str, Any] = {
    "revision": 12,
    "refused": None,
    **{key: [] for key in ("objects", "reach", "pods", "flows", "cut", "tracking", "findings")},
}
JOIN = {
    **NOTHING,
    "objects": [{"kind": "connection", "name": "blue/red", "what": "made"}],
    "reach": [
        {
            "from": "red",
            "to": "blue",
            "before": None,
            "after": EVERYTHING,
            "source_pods": 2,
            "destination_pods": 1,
            "besides": [],
        },
        {
            "from": "blue",
            "to": "red",
            "before": EVERYTHING,
            "after": {"services_only": False, "ports": [{"protocol": "TCP", "port": 80}]},
            "source_pods": 1,
            "destination_pods": 2,
            "besides": [],
        },
    ],
    "flows": [{"node": "n1", "added": 2, "removed": 0}, {"node": "n2", "added": 2, "removed": 1}],
    "cut": [
        {
            "from": "blue",
            "to": "red",
            "why": "less may be begun than before",
            "source_pods": 1,
            "destination_pods": 2,
        }
    ],
    "tracking": ["red"],
}
GLOBAL = {
    **NOTHING,
    "reach": [
        {
            "from": "red",
            "to": "*",
            "before": None,
            "after": EVERYTHING,
            "source_pods": 2,
            "destination_pods": 9,
            "besides": ["blue", "default"],
        },
        {
            "from": "*",
            "to": "red",
            "before": {"services_only": True, "ports": []},
            "after": None,
            "source_pods": 9,
            "destination_pods": 2,
            "besides": [],
        },
    ],
    "pods": [{"from": "red", "to": None, "pods": 2, "readdressed": 0}],
    "flows": [{"node": "n1", "added": 2, "removed": 0}],
}
REFUSED = {
    **NOTHING,
    "refused": {
        "reason": "unknown",
        "subject": 'network "blue"',
        "cause": "does not exist",
        "remedy": "create the network first, or correct the name",
    },
}


@pytest.mark.parametrize(("name", "answer"), [("proven", STATEMENT), ("unsound", UNSOUND)])
def test_verify(
    name: str, answer: Any, fake: Fake, transcript: Callable[[str], str], golden: Callable[[str, str], None]
) -> None:
    fake.on("GET", "/verification", answer)
    golden(f"cli/verify-{name}.txt", "\n".join(transcript(line) for line in ("verify", "verify -o json")))


def test_a_statement_is_checked_again(fake: Fake, heddle: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "statement.json"
    fake.on("GET", "/verification", STATEMENT)
    file.write_text(heddle("verify", "-o", "json").out)
    same = heddle("verify", "--statement", str(file))
    assert (same.status, same.out.splitlines()[-1].split("; ")[1]) == (0, "the network of the statement")
    other = {**STATEMENT, "revision": 13, "digest": "f" * 32}
    other["nodes"] = [{**STATEMENT["nodes"][0], "digest": "c" * 32}, {**STATEMENT["nodes"][1], "node": "n3"}]
    fake.on("GET", "/verification", other)
    changed = heddle("verify", "--statement", str(file))
    assert changed.status == 1
    assert [line for line in changed.out.splitlines() if line.startswith("differs")] == [
        "differs: the network has changed since revision 12 of the statement",
        "differs: node n1 has other flows",
        "differs: node n2 is gone",
        "differs: node n3 is new",
    ]
    machine = json.loads(heddle("verify", "--statement", str(file), "-o", "json").out)
    assert (machine["same"], len(machine["differences"])) == (False, 4)


def test_a_statement_of_an_unsound_network_proves_nothing(
    fake: Fake, heddle: Callable[..., Ended], tmp_path: Path
) -> None:
    file = tmp_path / "statement.json"
    file.write_text(json.dumps({**STATEMENT, "proven": False}))
    fake.on("GET", "/verification", STATEMENT)
    ended = heddle("verify", "--statement", str(file))
    assert ended.status == 1
    assert "differs: the statement says itself that the network was not sound" in ended.out


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"digest": "f", "nodes": 3}', '{"digest": 3, "nodes": []}'])
def test_a_file_that_is_no_statement(
    content: str | None, fake: Fake, heddle: Callable[..., Ended], tmp_path: Path
) -> None:
    file = tmp_path / "statement.json"
    if content is not None:
        file.write_text(content)
    ended = heddle("verify", "--statement", str(file))
    assert ended.status == 2
    assert str(file) in ended.err
    assert fake.asked == []


def test_plans(fake: Fake, transcript: Callable[[str], str], golden: Callable[[str, str], None]) -> None:
    fake.on("POST", "/connections", JOIN)
    fake.on("PATCH", "/networks/red", GLOBAL)
    fake.on("DELETE", "/networks/red", NOTHING)
    fake.on("POST", "/projects", {**NOTHING, "findings": [FINDING]})
    lines = (
        "plan join-networks red blue --one-way --port 80",
        "plan make-global red",
        "plan delete-network red",
        "plan create-project shop --network red",
        "plan join-networks red blue -o json",
    )
    golden("cli/plan.txt", "\n".join(transcript(line) for line in lines))


def test_a_plan_that_is_refused(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/connections", REFUSED)
    ended = heddle("plan", "join-networks", "red", "blue")
    said = 'refused: network "blue" does not exist; create the network first, or correct the name\n'
    assert (ended.status, ended.out) == (1, said)


def test_a_plan_that_cannot_be_made(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/connections", problem(400, "query, $.plan: no such field is known"))
    ended = heddle("plan", "join-networks", "red", "blue")
    assert (ended.status, ended.out) == (1, "")


def test_every_command_that_changes_the_network_can_be_planned() -> None:
    """Those that ask for a change, but for a new token: that is no change of the network."""
    planned = {function.__name__.replace("_", "-") for function in plan_commands._COMMANDS}
    words = ("create-", "delete-", "join-", "isolate-", "make-", "move-", "set-", "label-", "forget-")
    every = {str(each.name) for each in build().registered_commands}
    assert planned == {name for name in every if name.startswith(words)}


def test_nothing_is_asked_but_the_plan(fake: Fake, heddle: Callable[..., Ended]) -> None:
    fake.on("POST", "/nodes", Answer(NOTHING, 200))
    ended = heddle("plan", "create-node", "n1", "--underlay", "192.0.2.11")
    assert (ended.status, ended.out) == (0, "nothing would change\n")
    assert [request.target for request in fake.asked] == ["/v1/nodes?plan=true"]
