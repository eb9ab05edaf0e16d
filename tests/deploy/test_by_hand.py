"""docs/operations.md, "By hand" and "TLS and tokens", done: its example files, its certificates, TLS everywhere."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.description import NodeSpec, Topology
from lab.namespaces import Namespace
from lab.ovs import OpenVSwitch
from lab.underlay import Underlay
from store.sqlite import SqliteStore
from tests.deploy import document, files
from tests.deploy.conftest import VENV, Done, claimed, eventually
from topology.model import Network, Node

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

CERTIFICATES = files.ROOT / "deploy" / "certificates"
TOKEN = "an-administrator-of-the-tests"


@dataclass
class Site:
    """One controller and one node; `folder` stands for /etc/heddle and all other folders that the document names."""

    folder: Path
    controller: Namespace
    node: Namespace
    ovs: OpenVSwitch
    undo: ExitStack

    def write(self, name: str, example: str) -> Path:
        """Write an example of the document, with this site's folders in place of the system's."""
        replaced = {
            '"datapath": "system"': '"datapath": "netdev"',  # there need be no kernel module
            "/run/openvswitch": str(self.ovs.directory),
            "/var/lib/heddle-node": str(self.folder / "node"),
            "/var/lib/heddle": str(self.folder),
            "/etc/heddle": str(self.folder),
            "/etc/cni/net.d": str(self.folder / "net.d"),
        }
        pattern = "|".join(re.escape(ours) for ours in replaced)
        path = self.folder / name
        path.write_text(re.sub(pattern, lambda found: replaced[found[0]], example))
        return path

    def start(self, namespace: Namespace, log: str, *command: str) -> None:
        """Start a program that stays until the end."""
        with (self.folder / log).open("ab") as output:
            words = [str(VENV / command[0]), *command[1:]]
            self.undo.callback(namespace.start(words, stdout=output, stderr=output, stdin=subprocess.DEVNULL).wait)

    def heddle(self, *arguments: str) -> Done:
        """Run the command line with the environment that the document exports."""
        (line,) = [line for line in document.TEXT.splitlines() if line.startswith("export HEDDLE_SERVER=")]
        pairs = (word.split("=", 1) for word in line.replace("/etc/heddle", str(self.folder)).split()[1:])
        return self.controller.run([str(VENV / "heddle"), *arguments], dict(pairs))


def certificates(folder: Path, *named: str) -> Done:
    """Run deploy/certificates."""
    command = [str(CERTIFICATES), str(folder), *named]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Return controller and node, both running, the node registered."""
    with claimed("h") as (state, ended):
        hosts = Underlay(state, Topology((NodeSpec("n1", IPv4Address("192.0.2.11")),))).hosts
        ovs = OpenVSwitch(hosts["n1"], state.folder("ovs"))
        made = Site(state.folder("etc"), hosts["controller"], hosts["n1"], ovs, ended)
        _install(made)
        yield made


def _install(site: Site) -> None:
    assert certificates(site.folder, "controller=192.0.2.1", "n1=192.0.2.11").returncode == 0
    (site.folder / "admin.token").write_text(TOKEN)
    (configuration,) = document.blocks("ini")
    path = site.write("controller.conf", configuration)
    site.start(site.controller, "controller.log", "heddle-controller", "--config-file", str(path))
    log = site.folder / "controller.log"
    eventually(lambda: site.heddle("status").returncode == 0, "the controller does not answer", log)
    done = site.heddle("create-node", "n1", "--underlay", "192.0.2.11", "--token-file", str(site.folder / "token"))
    assert done.returncode == 0, done.stderr
    site.ovs.start()
    (node,) = document.blocks("json")
    path = site.write("node.json", node)
    site.start(site.node, "node.log", "heddle-node", "--config", str(path), "run")
    conflist = site.folder / "net.d" / "10-heddle.conflist"
    (site.folder / "net.d").mkdir(exist_ok=True)
    eventually(conflist.exists, "the node is not ready", site.folder / "node.log")


def test_the_switch_is_programmed_over_tls(site: Site) -> None:
    switches = json.loads(site.heddle("--output", "json", "switches").stdout)["switches"]
    assert [(switch["node"], switch["phase"]) for switch in switches] == [("n1", "InSync")]
    assert site.ovs.vsctl("get-controller", "br0").strip() == "ssl:192.0.2.1:6653"


def test_the_node_says_that_it_is_ready(site: Site) -> None:
    done = site.node.run([str(VENV / "heddle-node"), "--config", str(site.folder / "node.json"), "status"])
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, [])


def test_a_certificate_that_is_exchanged_counts_without_a_restart(site: Site, tmp_path: Path) -> None:
    def phase() -> str:
        (switch,) = json.loads(site.heddle("--output", "json", "switches").stdout)["switches"]
        return str(switch["phase"])

    log = site.folder / "controller.log"
    assert certificates(tmp_path, "n1=192.0.2.11").returncode == 0  # by another authority: believed nowhere
    installed = [site.folder / name for name in ("n1-key.pem", "n1.pem")]
    for path in installed:
        shutil.copyfile(tmp_path / path.name, path)
    _touch(installed)
    site.ovs.appctl("bridge/reconnect", "br0")
    eventually(lambda: phase() == "Away", "the switch is still let in", log)
    assert certificates(site.folder, "n1=192.0.2.11").returncode == 0
    _touch(installed)
    eventually(lambda: phase() == "InSync", "the switch is not let in again", log)


def _touch(paths: list[Path]) -> None:
    """As the document says: Open vSwitch loads key and certificate when it finds both newer at once."""
    assert "touch /etc/heddle/n1-key.pem /etc/heddle/n1.pem" in document.TEXT
    subprocess.run(["touch", *map(str, paths)], check=True)


def test_a_client_that_says_nothing_holds_up_nobody(site: Site) -> None:
    with site.controller.socket(socket.AF_INET, socket.SOCK_STREAM) as silent:
        silent.connect(("192.0.2.1", 8080))
        assert site.heddle("status").returncode == 0


def test_a_backup_of_the_running_controller_holds_what_there_is(site: Site) -> None:
    (block,) = [block for block in document.blocks("sh") if ".backup(" in block]
    script = block.replace("/var/lib/heddle", str(site.folder)).replace("/var/backups", str(site.folder / "node"))
    assert site.heddle("create-network", "kept").returncode == 0
    done = site.controller.run(["sh", "-c", script])
    assert done.returncode == 0, done.stderr
    backup = site.folder / "node" / "heddle.sqlite"
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(SqliteStore(backup)) as store:
        names = {event.value.name for event in store.load() if isinstance(event.value, Node | Network)}
    assert {"n1", "kept"} <= names


def test_without_the_token_nothing_is_told(site: Site) -> None:
    done = site.heddle("--token", "of-somebody-else-altogether", "nodes")
    assert done.returncode == 1
    assert "token" in done.stderr


def test_certificates_keep_their_authority(tmp_path: Path) -> None:
    assert certificates(tmp_path, "a=192.0.2.1").returncode == 0
    authority = (tmp_path / "ca.pem").read_bytes()
    assert certificates(tmp_path, "b=192.0.2.2").returncode == 0
    assert (tmp_path / "ca.pem").read_bytes() == authority
    verified = [shutil.which("openssl") or "openssl", "verify", "-CAfile", "ca.pem", "a.pem", "b.pem"]
    assert subprocess.run(verified, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*-key.pem")} == {
        "ca-key.pem": 0o600,
        "a-key.pem": 0o600,
        "b-key.pem": 0o600,
    }


def test_certificates_say_what_is_wrong(tmp_path: Path) -> None:
    assert certificates(tmp_path).returncode == 2
    done = certificates(tmp_path, "a=192.0.2.300")
    assert done.returncode == 1
    assert "192.0.2.300" in done.stderr
