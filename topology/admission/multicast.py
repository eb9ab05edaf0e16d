"""Requests about multicast: a network's switch for it, and what nodes say of who has joined which group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address

from topology.admission.checks import built_in, check_provider, known_network
from topology.model import (
    DEFAULT_NETWORK,
    GROUPS,
    LOCAL_GROUPS,
    MOST_NETWORK_GROUPS,
    MOST_PORT_GROUPS,
    Membership,
    Port,
    in_order,
    is_group,
)
from topology.requests import GroupsHeard, Reason, Refused, SetMulticast
from topology.snapshot import Event, Put, Remove, Snapshot


def set_multicast(snapshot: Snapshot, request: SetMulticast) -> tuple[Event, ...]:
    """Let a network's pods send to groups, or no longer."""
    network = known_network(snapshot, request.name)
    check_provider(network, request.provider, "changes")
    if network.multicast == request.multicast:
        return ()
    if network.name == DEFAULT_NETWORK:
        raise built_in(network.name, "given multicast")
    return (Put(replace(network, multicast=request.multicast)),)


def groups_heard(snapshot: Snapshot, request: GroupsHeard) -> tuple[Event, ...]:
    """Take over which groups a node's ports have joined, in place of what it said last.

    What is not its own to say is passed over, for it may only be late: interfaces of no port there, or of networks
    without multicast. So is a group more than a network may have.
    """
    _check(request)
    wanted = _wanted(snapshot, request)
    events: list[Event] = []
    groups = Counter[str]()
    for key in sorted(snapshot.ports_on.get(request.node, {})):
        port, old = snapshot.ports[key], snapshot.memberships.get(key)
        asked = _room(snapshot, port, wanted.get(port.host_interface, ()), groups)
        if asked and (old is None or old.groups != asked):
            events.append(Put(Membership(key, asked)))
        elif old is not None and not asked:
            events.append(Remove(old))
    return tuple(events)


def _wanted(snapshot: Snapshot, request: GroupsHeard) -> dict[str, tuple[IPv4Address, ...]]:
    found: dict[str, tuple[IPv4Address, ...]] = {}
    for interface, groups in request.members:
        key = snapshot.port_by_interface.get((request.node, interface))
        if key is not None and snapshot.networks[snapshot.ports[key].network].multicast:
            found[interface] = groups
    return found


def _room(
    snapshot: Snapshot, port: Port, groups: tuple[IPv4Address, ...], new: Counter[str]
) -> tuple[IPv4Address, ...]:
    """Return the groups in order, without those for which the network has no room; `new` counts those that it gets."""
    known: Collection[IPv4Address] = snapshot.groups_of.get(port.network, {})
    taken: list[IPv4Address] = []
    for group in in_order({*groups}):
        assert isinstance(group, IPv4Address)
        if group not in known:
            if len(known) + new[port.network] >= MOST_NETWORK_GROUPS:
                continue
            new[port.network] += 1
        taken.append(group)
    return tuple(taken)


def _check(request: GroupsHeard) -> None:
    for interface, groups in request.members:
        subject = f'groups of interface "{interface}" on node "{request.node}"'
        if len(groups) > MOST_PORT_GROUPS:
            cause, remedy = f"are {len(groups)}", f"a port joins {MOST_PORT_GROUPS} at most"
            raise Refused(Reason.INVALID, subject, cause, remedy)
        for group in groups:
            if not is_group(group):
                cause = f"hold {group}, to which nobody listens: it is no group, or reserved"
                remedy = f"name addresses in {GROUPS}, and not in {LOCAL_GROUPS} (RFC 5771)"
                raise Refused(Reason.INVALID, subject, cause, remedy)
