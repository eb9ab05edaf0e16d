"""The launcher, Ryu as repaired, and real Open vSwitch: OpenFlow 1.5 over TLS with client certificates."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.ryu_apps.openflow_switch import DummySwitch
from tests.ryu_apps.processes import LAUNCHER, Recording

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def write(directory: Path, ca: trustme.CA, name: str) -> tuple[str, str, str]:
    """Write a key, its certificate by `ca`, and the certificate of `ca`; return the three files' names."""
    certificate = ca.issue_cert(name)
    files = [directory / f"{name}-{what}.pem" for what in ("key", "cert", "ca")]
    certificate.private_key_pem.write_to_path(files[0])
    certificate.cert_chain_pems[0].write_to_path(files[1])
    ca.cert_pem.write_to_path(files[2])
    key, cert, authority = map(str, files)
    return key, cert, authority


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, ca: trustme.CA) -> Iterator[tuple[str, Recording]]:
    """A controller with the test application, listening with TLS: the target for switches, and what it tells."""
    directory = tmp_path_factory.mktemp("controller")
    key, cert, authority = write(directory, ca, "controller")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    tls = (f"--heddle-tls-key={key}", f"--heddle-tls-certificate={cert}", f"--heddle-tls-ca={authority}")
    recording = Recording(LAUNCHER, directory, "tests.ryu_apps.recorder", f"--heddle-openflow-listen={address}", *tls)
    with contextlib.closing(recording):
        recording.wait_for("start")
        yield f"ssl:{address}", recording


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[DummySwitch]:
    running = DummySwitch(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def connect(switch: DummySwitch, bridge: str, dpid: int, target: str) -> None:
    """Give a bridge its datapath id and its controller, which it asks again every second."""
    switch.run("ovs-vsctl", "set", "bridge", bridge, f"other-config:datapath-id={dpid:016x}")
    switch.run("ovs-vsctl", "set-controller", bridge, target, "--", "set", "controller", bridge, "max_backoff=1000")


def test_two_switches_with_certificates_are_served_at_once(
    switch: DummySwitch, target: tuple[str, Recording], ca: trustme.CA, tmp_path: Path
) -> None:
    to, told = target
    switch.run("ovs-vsctl", "set-ssl", *write(tmp_path, ca, "switch"))
    with switch.bridge("br1"), switch.bridge("br2"):
        for dpid, bridge in enumerate(("br1", "br2"), start=1):
            connect(switch, bridge, dpid, to)
            told.wait_for("state", lambda line, dpid=dpid: (line["state"], line["dpid"]) == ("main", dpid))
            groups = told.wait_for("groups")
            assert groups["groups"] == {str(number): [[1, 1, [10]], [2, 2, [20]]] for number in (1, 2)}
            (match,) = told.wait_for("flows")["matches"]
            assert match["nd_options_type"] == 2
            assert match["nd_reserved"] == 1


def test_a_second_switch_with_a_datapath_id_waits_until_the_first_is_gone(
    switch: DummySwitch, target: tuple[str, Recording], ca: trustme.CA, tmp_path: Path
) -> None:
    to, told = target
    switch.run("ovs-vsctl", "set-ssl", *write(tmp_path, ca, "switch"))
    with switch.bridge("br1"), switch.bridge("br2"):
        connect(switch, "br1", 7, to)
        told.wait_for("state", lambda line: (line["state"], line["dpid"]) == ("main", 7))
        told.wait_for("flows")
        connect(switch, "br2", 7, to)
        told.wait_for("state", lambda line: (line["state"], line["dpid"]) == ("dead", None))
        assert "switch 0000000000000007 from 127.0.0.1 refused: it is connected already" in told.errors
        assert switch.ofctl("dump-flows", "br2").count("priority") == 0  # nothing was sent to it
        switch.run("ovs-vsctl", "del-controller", "br1")
        told.wait_for("state", lambda line: (line["state"], line["dpid"]) == ("dead", 7))
        told.wait_for("state", lambda line: (line["state"], line["dpid"]) == ("main", 7))


def test_a_switch_that_the_application_refuses_gets_nothing(
    switch: DummySwitch, target: tuple[str, Recording], ca: trustme.CA, tmp_path: Path
) -> None:
    to, told = target
    switch.run("ovs-vsctl", "set-ssl", *write(tmp_path, ca, "switch"))
    with switch.bridge("br1"):
        connect(switch, "br1", 0x100, to)
        told.wait_for("state", lambda line: (line["state"], line["dpid"]) == ("dead", None))
        assert "switch 0000000000000100 from 127.0.0.1 refused: 127.0.0.1 is a stranger" in told.errors
        assert switch.ofctl("dump-flows", "br1").count("priority") == 0


def test_a_certificate_of_another_authority_is_refused(
    switch: DummySwitch, target: tuple[str, Recording], ca: trustme.CA, tmp_path: Path
) -> None:
    to, told = target
    key, cert, _ = write(tmp_path, trustme.CA(), "stranger")
    authority = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(authority)
    switch.run("ovs-vsctl", "set-ssl", key, cert, str(authority))
    with switch.bridge("br1"):
        connect(switch, "br1", 9, to)
        told.wait_for_error("TLS handshake with", "certificate verify failed")
