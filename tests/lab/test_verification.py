"""Proofs and plans beside what real switches hold and real packets show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.laboratory import Lab
from lab.probes import Verdict
from tests.lab.watching import eventually, forwarding, in_sync

pytestmark = [pytest.mark.netns, pytest.mark.ovs]


def heddle(lab: Lab, *arguments: str) -> tuple[int, str]:
    """Run the command line against the laboratory's controller; return its exit status and what it printed."""
    program = Path(sys.executable).parent / "heddle"
    command = [str(program), "--server", lab.api.url, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


def counts(lab: Lab) -> dict[str, int]:
    return {name: len(forwarding(node)) for name, node in lab.nodes.items()}


def planned(lab: Lab, *command: str) -> Any:
    status, said = heddle(lab, "plan", *command, "-o", "json")
    assert status == 0, said
    return json.loads(said)


def test_the_network_is_proven_and_is_what_the_switches_hold(lab: Lab) -> None:
    assert eventually(lambda: in_sync(lab))
    statement = lab.api.get("/v1/verification")
    assert statement["proven"]
    assert all(node["installed"] for node in statement["nodes"])
    assert {node["node"]: node["flows"] for node in statement["nodes"]} == counts(lab)


def test_a_statement_holds_until_something_changes_and_again_when_it_is_put_back(lab: Lab, tmp_path: Path) -> None:
    status, said = heddle(lab, "verify", "-o", "json")
    assert status == 0
    file = tmp_path / "statement.json"
    file.write_text(said)
    assert heddle(lab, "verify", "--statement", str(file))[0] == 0
    lab.join("red", "blue")
    try:
        status, said = heddle(lab, "verify", "--statement", str(file))
        assert status == 1
        assert "differs: the network has changed" in said
    finally:
        lab.isolate("red", "blue")
    assert heddle(lab, "verify", "--statement", str(file))[0] == 0


def test_what_a_plan_tells_comes_true(lab: Lab) -> None:
    red, blue = lab.pods_by_name["red/a"], lab.pods_by_name["blue/b"]
    before = counts(lab)
    plan = planned(lab, "join-networks", "red", "blue")
    assert counts(lab) == before
    assert red.tcp(blue).verdict is Verdict.SILENT
    lab.join("red", "blue")
    try:
        added = {flows["node"]: flows["added"] - flows["removed"] for flows in plan["flows"]}
        assert eventually(lambda: counts(lab) == {name: many + added.get(name, 0) for name, many in before.items()})
        assert red.tcp(blue).by == "blue/b"
        end = planned(lab, "isolate-networks", "red", "blue")
        assert {(cut["from"], cut["to"]) for cut in end["cut"]} == {("red", "blue"), ("blue", "red")}
        assert red.tcp(blue).by == "blue/b"
    finally:
        lab.isolate("red", "blue")
