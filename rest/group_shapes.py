"""What is answered about multicast groups, from the snapshot: who listens, and who is heard. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated

from msgspec import Meta

from store.fields import AddressText, InterfaceName, Label, Object, Subdomain
from topology.model import MOST_PORT_GROUPS
from topology.multicast import audible, audience, heard
from topology.snapshot import Snapshot


class MembersReport(Object, frozen=True):
    """The groups that have been joined by the pod behind an interface of the node."""

    interface: InterfaceName
    groups: Annotated[tuple[AddressText, ...], Meta(max_length=MOST_PORT_GROUPS)]


class GroupsReport(Object, frozen=True):
    """Who has joined which groups on a node: all that it knows of, in place of what it said last."""

    members: Annotated[tuple[MembersReport, ...], Meta(max_length=4096)]


class MemberView(Object, frozen=True):
    """A pod that has joined a group."""

    pod: str
    network: Label
    node: Subdomain
    interface: str


class GroupView(Object, frozen=True):
    """A group that somebody hears of what a network's pods send, and who gets it."""

    group: AddressText
    members: tuple[MemberView, ...]


class Groups(Object, frozen=True):
    """Where a network's multicast goes: the networks whose members get it, and the groups that have any."""

    network: Label
    multicast: bool
    heard_in: tuple[Label, ...]
    groups: tuple[GroupView, ...]


def groups(snapshot: Snapshot, network: str) -> Groups:
    """Return where what a network's pods send to groups goes."""
    return Groups(
        network=network,
        multicast=snapshot.networks[network].multicast,
        heard_in=audible(network, snapshot),
        groups=tuple(_group(snapshot, network, group) for group in sorted(heard(network, snapshot))),
    )


def _group(snapshot: Snapshot, network: str, group: IPv4Address) -> GroupView:
    members = (
        MemberView(pod=f"{port.project}/{port.pod}", network=port.network, node=port.node, interface=port.key.interface)
        for port in audience(network, group, snapshot)
    )
    return GroupView(group=str(group), members=tuple(members))
