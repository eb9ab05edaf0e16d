"""docs/operations.md is true: flags, fields, phases, metrics, messages and commands are those of the code."""

from __future__ import annotations

import json
import re
import shlex
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import pytest

from cli.failures import ExitStatus
from cli.main import main
from cni_shim.node import settings as node_settings
from rest.control import Published, SwitchPhase
from rest.phases import NetworkPhase, conditions
from ryu_apps import options
from tests.deploy import document, files
from topology.model import Network
from topology.pipeline import Table

SOURCES = ("cli", "cni_shim", "kube", "rest", "ryu_apps", "store", "topology")
UNITS = sorted((files.ROOT / "deploy" / "systemd").glob("*.service"))
FIELDS_OF_THE_PLUGIN = {"node", "controllers", "token_file", "ca_file", "ovsdb", "bridge"}
FIELDS_OF_THE_PLUGIN |= {"interface", "timeout", "dns"}


@cache
def source() -> str:
    """Return all of our code in one text, adjacent string literals joined, so that messages are found whole."""
    text = "\n".join(path.read_text() for name in SOURCES for path in sorted((files.ROOT / name).rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_flags_and_their_defaults_are_those_of_the_controller() -> None:
    table = document.rows(document.section("The controller's flags", 3))
    written = {cells[0].strip("`"): cells[1] for cells in table}
    declared = {options.flag(option.name): option.default for option in options.declared()}
    assert set(written) == set(declared)
    for flag, default in declared.items():
        values = default if isinstance(default, list) else [default]
        expected = [f"`{value}`" for value in values if value is not None]
        assert not expected or [written[flag]] == expected


def test_fields_of_heddle_nodes_file_are_those_that_it_reads() -> None:
    table = document.rows(document.section("heddle-node's file", 3))
    assert {cells[0].strip("`") for cells in table} == set(node_settings._READERS)
    assert {cells[0].strip("`") for cells in table if cells[1] == "needed"} == set(node_settings._REQUIRED)


def test_fields_of_the_plugin_are_told() -> None:
    table = document.rows(document.section("The CNI configuration", 3))
    assert {name for cells in table for name in document.quoted(cells[0])} == FIELDS_OF_THE_PLUGIN


def test_the_example_of_heddle_nodes_file_is_one() -> None:
    (example,) = document.blocks("json")
    chosen = node_settings.parse(json.loads(example))
    assert (chosen.node, chosen.datapath) == ("n1", "system")


def test_the_example_of_the_controllers_file_has_known_keys() -> None:
    (example,) = document.blocks("ini")
    parser = ConfigParser()
    parser.read_string(example)
    assert parser.sections() == ["heddle"]
    assert set(parser["heddle"]) <= {option.dest for option in options.declared()}


def test_all_phases_are_told() -> None:
    table = document.rows(document.section("What phases mean", 3))
    assert [cells[0].strip("`") for cells in table] == [phase.value for phase in SwitchPhase]


def test_all_phases_and_conditions_of_networks_are_told() -> None:
    rows = document.rows(document.section("What phases of networks mean", 3))
    named = [cells[0].strip("`") for cells in rows if cells[0].startswith("`")]
    kinds = [condition.kind for condition in conditions(Published(), Network("red", 10))]
    assert named[: len(NetworkPhase)] == ["Terminating", "Failed", "Initializing", "Pending", "Active"]
    assert {phase.value for phase in NetworkPhase} == set(named[: len(NetworkPhase)])
    assert named[len(NetworkPhase) :] == kinds


def test_tables_of_the_pipeline_are_named_as_they_are() -> None:
    table = document.rows(document.section("A pod cannot reach X", 3))
    named = [name for cells in table for name in document.quoted(cells[0])]
    assert named == sorted(named, key=lambda name: Table[name])


def test_metrics_are_those_that_there_are() -> None:
    named = set(re.findall(r"heddle_[a-z_]+", document.section("Metrics", 2)))
    assert named
    text = (files.ROOT / "rest" / "metrics.py").read_text()
    assert {name for name in named if f'"{name.removesuffix("_total")}"' not in text} == set()


@pytest.mark.parametrize("said", [cells[0] for cells in document.rows(document.section("Common errors", 3))])
def test_errors_are_those_that_are_said(said: str) -> None:
    for quotation in document.quoted(said):
        for piece in re.split(
            r"…|\"x\"|process N|0\.0\.0\.0:8080|n1|192\.0\.2\.11|br-ex|net\.ipv4\.ip_forward", quotation
        ):
            assert piece.strip(" ()") in source(), f"nothing says {piece!r}"


@pytest.mark.parametrize("line", document.commands())
def test_command_lines_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEDDLE_TOKEN", "HEDDLE_TOKEN_FILE", "HEDDLE_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEDDLE_SERVER", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(shlex.split(line)[1:])
    assert end.value.code == ExitStatus.AWAY  # it got as far as asking


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_start_what_the_document_installs(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    program, *arguments = line.split()
    installed = document.section("By hand", 2)
    # The controller's program is put there by pip.
    assert program in installed or f"{program.rpartition('/')[0]}/pip" in installed
    (configuration,) = [argument for argument in arguments if argument.startswith("/")]
    assert f"`{configuration}`:" in installed
