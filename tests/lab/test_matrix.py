"""The rules of tenancy as the matrix expects them, and what it makes of outcomes. No packets here."""

from __future__ import annotations

from io import StringIO
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from lab.hosts import Host
from lab.matrix import Cell, Matrix, Party, may
from lab.node import Node
from lab.pod import Pod
from lab.probes import Outcome, Verdict

YES = Verdict.ANSWERED
NO = Outcome(Verdict.SILENT)


def _node() -> Node:
    node = Node.__new__(Node)
    node.name, node.address, node.gateway = "n1", IPv4Address("192.0.2.11"), IPv4Address("10.128.0.1")
    return node


def _pod(name: str, address: str, tenant: str = "") -> Pod:
    pod = Pod.__new__(Pod)
    pod.name, pod.network, pod.node = name, name.partition("/")[0], _node()
    pod.address, pod.cluster_address = IPv4Address(tenant or address), IPv4Address(address)
    return pod


RED_A = Party(_pod("red/a", "10.128.0.2"), "red")
RED_B = Party(_pod("red/b", "10.128.0.3"), "red")
BLUE = Party(_pod("blue/a", "10.128.0.4"), "blue")
GREEN = Party(_pod("green/a", "10.128.0.5"), "green")
GLOBAL = Party(_pod("default/a", "10.128.0.6"), "default")
MINE = Party(_pod("own/a", "10.128.0.7", "10.0.0.2"), "own")
MATE = Party(_pod("own/b", "10.128.0.8", "10.0.0.3"), "own")
NODE = Party(_node())
OUTSIDE = Party(cast(Host, SimpleNamespace(name="outside", address=IPv4Address("192.0.2.200"))))

RED_BLUE = frozenset({"red", "blue"})
BLUE_GREEN = frozenset({"blue", "green"})


@pytest.mark.parametrize(
    ("source", "target", "joined", "allowed"),
    [
        (RED_A, RED_B, [], True),
        (RED_A, BLUE, [], False),
        (RED_A, BLUE, [RED_BLUE], True),
        (BLUE, RED_A, [RED_BLUE], True),
        (RED_A, GREEN, [RED_BLUE, BLUE_GREEN], False),
        (RED_A, BLUE, [("red", "blue")], True),
        (BLUE, RED_A, [("red", "blue")], False),
        (RED_A, GLOBAL, [], True),
        (GLOBAL, BLUE, [], True),
        (NODE, BLUE, [], True),
        (BLUE, OUTSIDE, [], True),
    ],
)
def test_rules(source: Party, target: Party, joined: list[frozenset[str]], allowed: bool) -> None:
    assert may(source, target, joined) is allowed


@pytest.mark.parametrize(
    ("source", "target", "icmp", "tcp", "seen"),
    [
        (RED_A, RED_B, Outcome(YES), Outcome(YES, "red/b", "10.128.0.2"), "yes"),
        (RED_A, RED_B, Outcome(YES), Outcome(YES, "blue/a", "10.128.0.2"), "wrong"),
        (RED_A, RED_B, Outcome(YES), Outcome(YES, "red/b", "10.128.0.1"), "wrong"),
        (RED_A, RED_B, Outcome(YES), NO, "icmp"),
        (RED_A, RED_B, NO, Outcome(YES, "red/b", "10.128.0.2"), "tcp"),
        (RED_A, RED_B, NO, NO, "no"),
        (RED_A, RED_B, NO, Outcome(Verdict.REFUSED), "refused"),
        (MINE, MATE, Outcome(YES), Outcome(YES, "own/b", "10.0.0.2"), "yes"),
        (MINE, MATE, Outcome(YES), Outcome(YES, "own/b", "10.128.0.7"), "wrong"),
        (MINE, RED_A, Outcome(YES), Outcome(YES, "red/a", "10.128.0.7"), "yes"),
        (MINE, RED_A, Outcome(YES), Outcome(YES, "red/a", "10.0.0.2"), "wrong"),
        (RED_A, MINE, Outcome(YES), Outcome(YES, "own/a", "10.128.0.2"), "yes"),
        (NODE, RED_A, Outcome(YES), Outcome(YES, "red/a", "10.128.0.1"), "yes"),
        (NODE, RED_A, Outcome(YES), Outcome(YES, "red/a", "10.128.0.9"), "wrong"),
        (RED_A, OUTSIDE, Outcome(YES), Outcome(YES, "outside", "192.0.2.11"), "yes"),
        (RED_A, OUTSIDE, Outcome(YES), Outcome(YES, "outside", "10.128.0.2"), "wrong"),
    ],
)
def test_what_is_seen(source: Party, target: Party, icmp: Outcome, tcp: Outcome, seen: str) -> None:
    for expected in (True, False):
        cell = Cell(source, target, expected, icmp, tcp)
        assert cell.seen == seen
        assert cell.agrees is (seen == {True: "yes", False: "no"}[expected])


def test_who_knows_whom_by_what() -> None:
    tenant, cluster = IPv4Address("10.0.0.3"), IPv4Address("10.128.0.8")
    assert MATE.host.known_to(MINE.host) == tenant
    assert [MATE.host.known_to(other.host) for other in (RED_A, NODE)] == [cluster, cluster]
    assert MATE.label == "own/b\non n1\n10.0.0.3"


def test_table_has_expected_beside_seen() -> None:
    right = Cell(RED_A, BLUE, False, NO, NO)
    leak = Cell(BLUE, RED_A, False, Outcome(YES), Outcome(YES, "red/a", "10.128.0.4"))
    matrix = Matrix((RED_A, BLUE), (RED_A, BLUE), (right, leak))
    assert matrix.wrong == [leak]
    output = StringIO()
    Console(width=80, file=output).print(matrix.table("Isolated"))
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert ["red/a", "on", "n1", "no", "no"] in rows
    assert ["blue/a", "on", "n1", "no", "yes"] in rows
