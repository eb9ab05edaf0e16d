"""hostPorts by the plugin `portmap` behind ours in the chain, by real packets: who gets to the pod, who to the node."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.echo import ECHO_PORT
from lab.frames import ETH_P_IP, ethernet, send, udp_packet
from lab.laboratory import Lab
from lab.links import mac_address
from lab.node import PLUGINS, Node
from lab.pod import Pod
from lab.runtime import Runtime
from tests.lab.watching import overtake

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

DEBIANS = Path("/usr/lib/cni")
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
PORT = 8081


def chained(node: Node, folder: Path) -> Runtime:
    """Return a runtime whose configuration is the node's own, with portmap behind it."""
    conflist = json.loads(next((node.directory / "net.d").glob("*.conflist")).read_text())
    conflist["plugins"].append(PORTMAP)
    (folder / "10-chained.conflist").write_text(json.dumps(conflist))
    mappings = [{"hostPort": PORT, "containerPort": ECHO_PORT, "protocol": protocol} for protocol in ("tcp", "udp")]
    return Runtime(node.namespace, folder, PLUGINS, DEBIANS, capabilities={"portMappings": mappings})


@pytest.fixture(scope="module")
def served(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A pod of an isolated network, with a hostPort on n1."""
    node = lab.node("n1")
    own = node.runtime
    node.runtime = chained(node, tmp_path_factory.mktemp("chained"))
    try:
        yield lab.pod("red/served", on="n1")
        lab.remove_pod("red/served")
        assert not lab.outside.tcp(node, PORT)
        assert "red/served" not in node.run("iptables-save").stdout
    finally:
        node.runtime = own


@pytest.mark.parametrize("client", ["outside", "n1", "n2"])
def test_others_reach_the_pod_by_the_node(lab: Lab, served: Pod, client: str) -> None:
    """As do its own programs, at any of its addresses."""
    host = lab.outside if client == "outside" else lab.node(client)
    assert host.tcp(lab.node("n1"), PORT).by == served.name
    assert host.udp(lab.node("n1"), PORT).by == served.name


def test_the_node_reaches_it_by_its_loopback_address(lab: Lab, served: Pod) -> None:
    assert lab.node("n1").tcp("127.0.0.1", PORT).by == served.name


def test_a_pod_of_another_network_on_another_node_comes_as_anybody_from_outside(lab: Lab, served: Pod) -> None:
    client = lab.pods_by_name["blue/c"]
    assert client.tcp(lab.node("n1"), PORT).by == served.name
    assert not client.tcp(served)


def test_no_pod_reaches_what_listens_on_the_nodes_loopback_address(lab: Lab, served: Pod) -> None:
    """Though portmap opens it for the answers to the node's own connections."""
    node, pod = lab.node("n1"), lab.pods_by_name["red/a"]
    with node.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as private:
        private.bind(("127.0.0.1", 9009))
        private.setblocking(False)
        packet = udp_packet(str(pod.address), "127.0.0.1", (40000, 9009), b"private")
        gateway = mac_address(node.namespace, "tun0")
        send(pod.namespace, "eth0", ethernet(gateway, pod.mac, ETH_P_IP, packet))
        overtake(lab, pod)
        with pytest.raises(BlockingIOError):
            private.recv(100)
