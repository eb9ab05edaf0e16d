"""What a card can: asked of the kernel as ethtool(8) asks, and pairs that are known to be bad."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from cni_shim.node import offload
from cni_shim.node.offload import Card
from tests.cni_shim.machine import inside, run
from tests.cni_shim.site import Site

ALL_ON = dict.fromkeys(
    ("checksum", "segmentation", "tunnel_segmentation", "tunnel_ports", "receive_hashing", "hardware_flows"), True
)


def card(driver: str = "mlx5_core", ports_hashed: bool | None = True, **features: bool) -> Card:
    return Card("eth0", driver, {**ALL_ON, **features}, ports_hashed)


@pytest.mark.netns
def test_it_is_as_ethtool_says(namespace: Callable[[], str]) -> None:
    name = namespace()
    run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", "eth1", "netns", name)
    run("ip", "netns", "exec", name, "ethtool", "-K", "eth1", "tx", "off")
    shown = run("ip", "netns", "exec", name, "ethtool", "-k", "eth0")
    said = {key.strip(): value.startswith("on") for key, value in re.findall(r"^\s*([\w-]+): (\w+)", shown, re.M)}
    found = inside(name, lambda: offload._features("eth0"))
    known = found.keys() & said.keys()
    assert {"tx-checksum-ip-generic", "tx-tcp-segmentation", "hw-tc-offload"} <= known
    assert {key: found[key] for key in known} == {key: said[key] for key in known}
    one, other = (inside(name, lambda link=link: offload.look(link, 4)) for link in ("eth0", "eth1"))
    assert (one.driver, one.ports_hashed) == ("veth", None)
    assert one.features == {
        "checksum": True,
        "segmentation": True,
        "tunnel_segmentation": said["tx-udp_tnl-segmentation"],
        "tunnel_ports": False,
        "receive_hashing": False,
        "hardware_flows": False,
    }
    assert (other.features["checksum"], other.features["segmentation"]) == (False, False)


@pytest.mark.netns
def test_an_interface_that_is_not_there(namespace: Callable[[], str]) -> None:
    assert inside(namespace(), lambda: offload.look("eth9", 6)) == Card("eth9", "", {}, None)


BAD: list[tuple[Card, str, str]] = [
    (card("vmxnet3"), "6.1.0", "vmxnet3 card with tunnel offload on"),
    (card(), "5.4.0-150-generic", "kernel 5.4.0-150-generic may spoil checksums"),
    (card(), "4.19.0", "kubernetes#91519"),
    (card(ports_hashed=False), "6.1.0", "by one queue"),
]
GOOD = [
    (card(), "6.1.0-18-amd64"),
    (card(), "5.7.0"),
    (card(), "unknown"),
    (card("vmxnet3", tunnel_segmentation=False), "6.1.0"),
    (card(checksum=False), "5.4.0"),
    (card(ports_hashed=None), "6.1.0"),
    (card(ports_hashed=False, receive_hashing=False), "6.1.0"),
    (Card("eth0", "", {}, None), "4.19.0"),
]


@pytest.mark.parametrize(("found", "kernel", "said"), BAD)
def test_pairs_that_are_known_to_be_bad(found: Card, kernel: str, said: str) -> None:
    (warning,) = found.warnings(kernel, is_used=True)
    assert said in warning
    assert "eth0" in warning
    assert found.warnings(kernel, is_used=False) == ()


@pytest.mark.parametrize(("found", "kernel"), GOOD)
def test_others_are_not_warned_of(found: Card, kernel: str) -> None:
    assert found.warnings(kernel, is_used=True) == ()


@pytest.mark.netns
@pytest.mark.ovs
def test_status_shows_it(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.command("status")
    assert json.loads(capfd.readouterr().out)["offload"] is None
    assert site.command("setup") == 0
    capfd.readouterr()
    site.command("status")
    found: dict[str, Any] = json.loads(capfd.readouterr().out)["offload"]
    assert (found["interface"], found["driver"], found["used"]) == ("wire0", "veth", False)
    assert found["kernel"] == os.uname().release
    assert found["checksum"] is False  # a userspace data path reads frames whose checksum nobody would fill in
