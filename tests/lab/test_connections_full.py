"""A node whose conntrack is full: what runs goes on, what begins and needs an entry there fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.laboratory import Lab
from lab.node import Node
from lab.services import PORT, Service

pytestmark = [pytest.mark.netns, pytest.mark.ovs]


@contextmanager
def full(node: Node) -> Iterator[None]:
    """Let the node's conntrack take no connection more."""
    before = node.ovs_appctl("dpctl/ct-get-maxconns").strip()
    node.ovs_appctl("dpctl/ct-set-maxconns", "0")
    try:
        yield
    finally:
        node.ovs_appctl("dpctl/ct-set-maxconns", before)


@pytest.fixture
def service(lab: Lab) -> Iterator[Service]:
    made = Service(lab.api, "red", "full", "172.30.0.90").make([lab.pods_by_name["red/c"]])
    yield made
    made.remove()


def test_what_runs_goes_on_and_what_begins_fails(lab: Lab, service: Service) -> None:
    client = lab.pods_by_name["red/a"]
    with client.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as running:
        running.settimeout(5)
        running.connect((service.address, PORT))
        running.send(b"before")
        assert running.recv(2048).split()[0] == b"red/c"
        with full(client.node):
            running.send(b"meanwhile")
            assert running.recv(2048).split()[2] == b"meanwhile"
            assert not client.tcp(service.address, PORT)
            assert not client.tcp(lab.outside)
            assert client.tcp(lab.pods_by_name["red/c"])  # needs no connection
            assert client.tcp(lab.pods_by_name["red/b"])
    assert client.tcp(service.address, PORT).by == "red/c"
    assert client.tcp(lab.outside)


def test_nobody_is_let_in_for_lack_of_room(lab: Lab, service: Service) -> None:
    """Where only answers may pass, a connection that was not committed has none."""
    red, blue = lab.pods_by_name["red/a"], lab.pods_by_name["blue/a"]
    lab.join("red", "blue", one_way=True)
    try:
        assert red.tcp(blue)
        with full(red.node):
            assert not red.tcp(blue)
            assert not blue.tcp(red)
    finally:
        lab.isolate("red", "blue")
