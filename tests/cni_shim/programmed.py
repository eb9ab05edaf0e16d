"""br0 as a controller would program it, compiled here, on a node of the tests, and who knocks at services there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator

import pytest

from tests.cni_shim.machine import inside, run, until
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site
from tests.topology.asking import endpoints, ip, node, report
from tests.topology.strategies import after
from topology import requests
from topology.compiler import FlowTable, compile_node
from topology.flow import Group
from topology.groups import by_id
from topology.model import NamedPort, Service, ServiceKey, SliceKey
from topology.requests import Request
from topology.snapshot import empty
from topology.text import actions_text, flow_text

POD, GATEWAY = "10.128.0.2", "10.128.0.1"
PORT, TARGET = 443, 6443  # of each service, of its endpoints


def programmed(site: Site, name: str, *services: Iterable[Request], second: str = OUTSIDE) -> Plugin:
    """A pod of red in namespace `name`, on a node whose br0 has its flows, and those of services (see `offered`)."""
    assert site.command("setup") == 0
    pod = attached(site, name)
    ofport = int(site.machine.vsctl("get", "Interface", pod.host, "ofport"))
    asked = (
        node("n1", UNDERLAY),
        node("n2", second),
        requests.CreateNetwork("red", projects=("red",)),
        report("c1", host_interface=pod.host),
        requests.PortSeen("n1", pod.host, ofport),
        *(each for service in services for each in service),
    )
    snapshot = after(empty(), *asked)
    assert len(snapshot.services) == len(services)
    program(site, compile_node("n1", snapshot))
    return pod


def attached(site: Site, name: str) -> Plugin:
    """The pod that the fake controller gives its first address."""
    pod = Plugin(site.machine, site.controller.url, str(site.folder / "token"), name)
    assert pod.add()["ips"][0]["address"].startswith(f"{POD}/")
    until("the pod's port", site.machine.all_open)
    return pod


def offered(
    name: str, address: str, *behind: str, node_port: int = 0, target: int = TARGET, local_to: str = ""
) -> Iterator[Request]:
    """A service of project red, for TCP and UDP, with what is behind it.

    `local_to`: the node that this is on, of a service for who comes from outside by his own address.
    """
    ports = tuple(NamedPort(protocol, PORT, protocol.lower(), node_port) for protocol in ("TCP", "UDP"))
    yield requests.CreateService(Service(ServiceKey("red", name), ip(address), ports, external_local=bool(local_to)))
    own = tuple(NamedPort(protocol, target, protocol.lower()) for protocol in ("TCP", "UDP"))
    if behind:
        yield endpoints(*behind, key=SliceKey("red", name), service=name, ports=own, node=local_to)


def program(site: Site, table: FlowTable) -> None:
    """Give br0 the groups and flows of a table."""
    entries = tuple(table.entries())
    for group in by_id(entries).values():
        run("ovs-ofctl", "-O", "OpenFlow15", "add-group", site.management, group_text(group))
    file = site.folder / "flows"
    file.write_text("\n".join(flow_text(entry.flow) for entry in entries))
    run("ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", site.management, str(file))


def group_text(group: Group) -> str:
    buckets = (
        f"bucket=bucket_id={number},weight={weight},actions={actions_text(actions)}"
        for number, weight, actions in group.buckets
    )
    return f"group_id={group.group_id},type=select,{','.join(buckets)}"


def seconds_to_refusal(name: str, address: str, kind: int, port: int = PORT, source: str = "") -> float:
    """How long somebody in namespace `name` waits until the first packet to `address` is refused."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(name, lambda: socket.socket(family, kind)) as knocking:
        knocking.settimeout(5)
        if source:
            knocking.bind((source, 0))
        begun = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            knock(knocking, (address, port))
        return time.monotonic() - begun


def knock(knocking: socket.socket, where: tuple[str, int]) -> None:
    """Hear of a refusal, which of UDP comes after the first datagram."""
    knocking.connect(where)
    knocking.send(b"anybody there?")
    knocking.recv(100)
