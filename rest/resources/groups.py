"""Multicast groups: nodes say who has joined which; administrators see where a network's multicast goes."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from rest.group_shapes import Groups, GroupsReport, groups
from rest.lookup import known
from rest.problems import INVALID, Problem
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from store.fields import address
from topology.requests import GroupsHeard


def show(call: Call[Empty, Empty]) -> Answer:
    """Where what a network's pods send to groups goes."""
    snapshot = call.control.published.snapshot
    return Answer(200, groups(snapshot, known(snapshot.networks, "network", call.where["network"]).name))


def report(call: Call[Empty, GroupsReport]) -> Answer:
    """Take who has joined which groups on a node, in place of what it said last."""
    name = known(call.control.published.snapshot.nodes, "node", call.where["node"]).name
    members = tuple((each.interface, tuple(map(_group, each.groups))) for each in call.body.members)
    if len({interface for interface, _ in members}) < len(members):
        raise Problem(INVALID, f'groups on node "{name}"', "name an interface twice", "name each once").at("$.members")
    call.control.submit(GroupsHeard(name, members))
    return Answer(204)


def _group(text: str) -> IPv4Address:
    found = address(text, "$.members")
    if not isinstance(found, IPv4Address):
        remedy = "leave it out: groups of IPv6 (MLD) are not forwarded by this version"
        raise Problem(INVALID, f'group "{text}"', "is of IPv6", remedy).at("$.members")
    return found


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/networks/{network}/groups",
        "Where what a network's pods send to multicast groups goes: which groups have members, and who these are",
        show,
        Access.ADMINISTRATION,
        answers={200: Groups},
        refusals=frozenset({404}),
    ),
    Route(
        "PUT",
        "/v1/nodes/{node}/groups",
        "Which multicast groups a node's ports have joined: all that it knows of; for this replica, and not stored",
        report,
        Access.NODE,
        answers={204: None},
        refusals=frozenset({404, 422}),
        by=Answerer.ANY,
    ),
)
