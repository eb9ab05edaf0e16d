"""The scripts of the containers, executed: entry, healthy, register, pod; with real Open vSwitch and real packets."""

from __future__ import annotations

import json
import re
import shlex
import stat
from collections.abc import Iterator

import pytest

from tests.deploy import document, files
from tests.deploy.conftest import Deployment, eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PODS = {"red/a": "n1", "red/b": "n2", "blue/a": "n3"}


def _ping(deployment: Deployment, source: str, address: str) -> bool:
    done = deployment.nodes[PODS[source]].run("pod", source, "ping", "-c", "2", "-i", "0.3", "-W", "1", address)
    return done.returncode == 0


@pytest.fixture(scope="module")
def pods(deployment: Deployment) -> Iterator[dict[str, str]]:
    """Return the addresses that `pod` printed, by the pods' names."""
    for network in ("red", "blue"):
        made = deployment.heddle("create-network", network, "--project", network)
        assert made.returncode == 0, made.stderr
    addresses = {}
    for name, node in PODS.items():
        done = deployment.nodes[node].run("pod", name)
        assert done.returncode == 0, done.stderr
        addresses[name] = done.stdout.strip()
    yield addresses
    for name, node in PODS.items():
        deployment.nodes[node].run("pod", "--remove", name)


def test_all_switches_are_in_sync(deployment: Deployment) -> None:
    switches = json.loads(deployment.heddle("--output", "json", "switches").stdout)["switches"]
    assert {switch["node"]: switch["phase"] for switch in switches} == dict.fromkeys(files.nodes(), "InSync")


def test_tokens_are_for_root_only(deployment: Deployment) -> None:
    tokens = [deployment.folder / "controller/admin.token", *(deployment.folder / n / "token" for n in files.nodes())]
    assert [stat.S_IMODE(token.stat().st_mode) for token in tokens] == [0o600] * len(tokens)
    assert len({token.read_text() for token in tokens}) == len(tokens)


def test_pods_of_a_network_meet_across_nodes(deployment: Deployment, pods: dict[str, str]) -> None:
    assert _ping(deployment, "red/a", pods["red/b"])


def test_pods_of_two_networks_meet_while_they_are_joined(deployment: Deployment, pods: dict[str, str]) -> None:
    assert not _ping(deployment, "red/a", pods["blue/a"])
    assert deployment.heddle("join-networks", "red", "blue").returncode == 0
    assert _ping(deployment, "red/a", pods["blue/a"])
    assert deployment.heddle("isolate-networks", "red", "blue").returncode == 0
    assert not _ping(deployment, "red/a", pods["blue/a"])


def test_a_pod_that_is_there_is_not_made_again(deployment: Deployment, pods: dict[str, str]) -> None:
    assert deployment.nodes["n1"].run("pod", "red/a").stdout.strip() == pods["red/a"]


def test_list_tells_this_nodes_pods(deployment: Deployment, pods: dict[str, str]) -> None:
    assert deployment.nodes["n1"].run("pod", "--list").stdout == f"red/a {pods['red/a']}\n"


def test_a_commands_status_is_that_of_pod(deployment: Deployment, pods: dict[str, str]) -> None:
    assert pods
    assert deployment.nodes["n1"].run("pod", "red/a", "sh", "-c", "exit 7").returncode == 7


def test_the_receive_buffer_of_a_pod_fits_the_datapath(deployment: Deployment, pods: dict[str, str]) -> None:
    assert pods
    done = deployment.nodes["n1"].run("pod", "red/a", "cat", "/proc/sys/net/ipv4/tcp_rmem")
    assert done.stdout.split() == ["4096", "65536", "131072"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["green/a"], 'project "green": does not exist'),
        (["red"], "write project/pod"),
        (["red/x", "true"], "there is no pod red/x on this node"),
        (["--remove", "red/x"], "there is no pod red/x on this node"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    deployment: Deployment, pods: dict[str, str], arguments: list[str], said: str
) -> None:
    done = deployment.nodes["n1"].run("pod", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert deployment.nodes["n1"].run("pod", "--list").stdout == f"red/a {pods['red/a']}\n"


def test_a_removed_pod_is_gone_for_the_controller_too(deployment: Deployment, pods: dict[str, str]) -> None:
    assert pods
    node = deployment.nodes["n3"]
    assert node.run("pod", "blue/gone").returncode == 0
    assert node.run("pod", "--remove", "blue/gone").returncode == 0

    def ports() -> list[str]:
        content = json.loads(deployment.heddle("--output", "json", "ports", "--node", "n3").stdout)
        return [port["pod"] for port in content["ports"]]

    eventually(lambda: ports() == ["a"], "the controller still has the port", node.log)
    assert node.run("pod", "blue/gone", "true").returncode == 1


def test_trace_tells_what_the_document_promises(deployment: Deployment, pods: dict[str, str]) -> None:
    assert pods
    told = document.section("A pod cannot reach X", 3)
    lines = [line for line in document.commands(told) if line.startswith("heddle trace")]
    ends = [deployment.heddle(*shlex.split(line)[1:]) for line in lines]
    assert [(end.returncode, end.stdout.splitlines()[-1].split()[0]) for end in ends] == [(5, "dropped"), (0, "sent")]


def test_drops_are_counted_where_the_document_looks(deployment: Deployment, pods: dict[str, str]) -> None:
    def dropped() -> int:
        content = json.loads(deployment.heddle("--output", "json", "flows", "n3", "--table", "DELIVERY").stdout)
        flows = content["flows"] if isinstance(content, dict) else content
        (drop,) = [flow for flow in flows if flow["actions"] == "drop"]
        return int(drop["packets"])

    before = dropped()
    assert not _ping(deployment, "red/a", pods["blue/a"])
    eventually(lambda: dropped() == before + 2, "the drops are not counted", deployment.controller.log)
    assert any(line.split()[-1] == "drop" for line in deployment.heddle("flows", "n3").stdout.splitlines())
    assert "port blue/a" in deployment.heddle("flows", "n3", "--owner", "blue/a").stdout


def test_what_the_document_runs_on_a_node_works_there(deployment: Deployment, pods: dict[str, str]) -> None:
    assert pods["red/a"] == "10.128.0.2"  # which the document has as its example
    blocks = re.findall(r"```sh\n(.*?)```", document.section("A pod cannot reach X", 3), re.DOTALL)
    lines = [line.partition(" #")[0] for block in blocks for line in block.splitlines()]
    for line in lines:
        if not line.startswith("tcpdump"):  # it would wait for packets
            done = deployment.nodes["n1"].run(*shlex.split(line))
            assert done.returncode == 0, (line, done.stderr)
            assert done.stdout
    assert any(line.startswith("ovs-appctl ofproto/trace") for line in lines)


def test_registering_again_keeps_the_tokens(deployment: Deployment) -> None:
    before = {name: (deployment.folder / name / "token").read_text() for name in files.nodes()}
    again = deployment.register.run(*files.services()["register"]["entrypoint"])
    assert (again.returncode, again.stderr) == (0, "")
    assert {name: (deployment.folder / name / "token").read_text() for name in files.nodes()} == before


def test_a_lost_token_is_renewed(deployment: Deployment) -> None:
    made = deployment.register.run("register", "n9=192.0.2.19")
    assert made.returncode == 0, made.stderr
    token = deployment.folder / "n9" / "token"
    lost = token.read_text()
    token.unlink()
    assert deployment.register.run("register", "n9=192.0.2.19").returncode == 0
    assert token.read_text() != lost
    assert deployment.controller.run("heddle", "--token-file", str(token), "flows", "n9").returncode == 0
    assert deployment.heddle("delete-node", "n9").returncode == 0


def test_a_node_that_cannot_be_registered_ends_it(deployment: Deployment) -> None:
    done = deployment.register.run("register", "n9=192.0.2.11")
    assert done.returncode == 1
    assert "192.0.2.11" in done.stderr
    assert not (deployment.folder / "n9" / "token").exists()


def test_register_wants_nodes(deployment: Deployment) -> None:
    done = deployment.register.run("register")
    assert (done.returncode, done.stderr) == (2, "usage: register NAME=ADDRESS...\n")


def test_nobody_is_healthy_where_no_controller_listens(deployment: Deployment) -> None:
    done = deployment.controller.run("healthy", "1")
    assert done.returncode == 1
    assert "not ready" in done.stderr


@pytest.mark.parametrize("name", ["HEDDLE_NODE", "HEDDLE_CONTROLLERS"])
def test_a_node_says_what_it_was_not_told(deployment: Deployment, name: str) -> None:
    done = deployment.nodes["n1"].run("env", "-u", name, "entry")
    assert done.returncode != 0
    assert name in done.stderr
