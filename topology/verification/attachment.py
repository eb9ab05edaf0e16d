"""What a pod's port must have on its switch: who it is believed to be, and how it is found. Derived once per port."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final, NamedTuple, TypeAlias

from topology import fields
from topology.fields import ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Actions, Match, Op
from topology.model import Network, Port, mac_of
from topology.pipeline import CLUSTER_SOURCE, DESTINATION_VNID, OUTPUT_PORT, SOURCE_VNID, SPACE, Table
from topology.verification.shape import ADDRESS_MASK, IS_ARP, IS_IP, SHARED, W16, W32, W48, family_of, goto
from topology.verification.world import View

Pairs: TypeAlias = tuple[tuple[Match, Actions], ...]

_ASKS: Final = (fields.ARP_OP, 1, W16)
_TO_TRACKING: Final = goto(Table.TRACKING)
_TO_ARP: Final = goto(Table.ARP_RESPONDER)
_TO_INGRESS_POLICY: Final = goto(Table.INGRESS_POLICY)
_BACK: Final = (Op.OUTPUT, 0xFFFF_FFF8)


class Attachment(NamedTuple):
    """Matches and actions of one port, by what they are for."""

    ingress: Pairs = ()
    arp: Pairs = ()
    look_up: Pairs = ()
    himself: Pairs = ()


_NONE: Final = Attachment()


def attachment(view: View, ofport: int) -> Attachment:
    """Return what the port with this number must have; nothing if there is none."""
    known = view.attachments.get(ofport)
    if known is not None:
        return known
    key = view.snapshot.port_by_ofport.get((view.node, ofport))
    port = None if key is None else view.snapshot.ports.get(key)
    network = None if port is None else view.snapshot.networks.get(port.network)
    made = _NONE
    if port is not None and network is not None and port.ofport == ofport and port.node == view.node:
        made = _attach(port, ofport, network)
    view.attachments[ofport] = made
    return made


def _attach(port: Port, ofport: int, network: Network) -> Attachment:
    comes_by, mac = (IN_PORT, ofport, W32), (ETH_SRC, port.mac, W48)
    ingress: list[tuple[Match, Actions]] = []
    arp: list[tuple[Match, Actions]] = []
    look_up: list[tuple[Match, Actions]] = []
    tag = (Op.SET, SOURCE_VNID, network.vnid, W32)
    enter: Actions = ((Op.SET, SPACE, port.space, W32),) if port.space else ()
    named = port.cluster_addresses
    lead = (
        (Op.SET, DESTINATION_VNID, network.vnid, W32),
        (Op.SET, OUTPUT_PORT, ofport, W32),
        (Op.SET, ETH_DST, port.mac, W48),
    )
    himself: Pairs = ()
    for position, address in enumerate(port.addresses):
        version, value = address.version, int(address)
        kind, width = family_of(version), ADDRESS_MASK[version]
        source = (kind.source, value, width)
        space = (SPACE, port.space, W32)
        own = (comes_by, mac, IS_IP[version], source)
        if named:
            known_as = int(named[position])
            ingress.append((own, (tag, *enter, (Op.SET, CLUSTER_SOURCE, known_as, W32), _TO_TRACKING)))
            inside = (Op.SET, kind.destination, value, width)
            shared = (SHARED, IS_IP[version], (kind.destination, known_as, width))
            look_up.append((shared, (*lead, inside, _TO_INGRESS_POLICY)))
            himself += (_himself(port, known_as, inside),)
        else:
            ingress.append((own, (tag, *enter, _TO_TRACKING)))
        look_up.append(((space, IS_IP[version], (kind.destination, value, width)), (*lead, _TO_INGRESS_POLICY)))
        if version == 4:
            says = ((fields.ARP_SPA, value, W32), (fields.ARP_SHA, port.mac, W48))
            arp.append(((comes_by, mac, IS_ARP, _ASKS, *says), (*enter, _TO_ARP)))
    return Attachment(tuple(ingress), tuple(arp), tuple(look_up), himself)


def _himself(port: Port, known_as: int, inside: tuple[int, ...]) -> tuple[Match, Actions]:
    to = (fields.IPV4_DST, known_as, W32)
    match = ((SPACE, port.space, W32), (CLUSTER_SOURCE, known_as, W32), IS_IP[4], to)
    back = (
        (Op.SET, fields.IPV4_SRC, known_as, W32),
        inside,
        (Op.SET, ETH_SRC, mac_of(IPv4Address(known_as)), W48),
        (Op.SET, ETH_DST, port.mac, W48),
        _BACK,
    )
    return match, back


def at_address(view: View, match: Match, actions: Actions) -> bool:
    """A port's packets carry its own MAC and address, and are tagged as its network's."""
    ofport = match[0][1]
    known = view.attachments.get(ofport) or attachment(view, ofport)
    return (match, actions) in known.ingress


def at_arp(view: View, match: Match, actions: Actions) -> bool:
    """A port asks in its own name."""
    ofport = match[0][1]
    known = view.attachments.get(ofport) or attachment(view, ofport)
    return (match, actions) in known.arp


def found(view: View, match: Match, actions: Actions) -> bool:
    """An address leads to the port that has it."""
    ofport = actions[1][2]
    known = view.attachments.get(ofport) or attachment(view, ofport)  # type: ignore[arg-type]
    return (match, actions) in known.look_up


def at_himself(view: View, match: Match, actions: Actions) -> bool:
    """By its own cluster address a port reaches itself."""
    holder = view.snapshot.holder.get((0, IPv4Address(match[1][1])))
    port = None if holder is None else view.snapshot.ports.get(holder)
    if port is None or port.node != view.node or port.ofport is None:
        return False
    return (match, actions) in attachment(view, port.ofport).himself


def owed(view: View, part: int) -> Iterator[Match]:
    """Yield the matches of the ports in focus: 0 of ingress, 1 of ARP, 2 of look-ups, 3 of themselves."""
    for known in _attached(view):
        for match, _ in known[part]:
            yield match


def _attached(view: View) -> tuple[Attachment, ...]:
    """Return what the ports in focus that are on their switch must have."""
    if view.attached is None:
        ports = (view.snapshot.ports.get(key) for key in view.ports())
        here = (port.ofport for port in ports if port is not None and port.node == view.node)
        view.attached = tuple(attachment(view, ofport) for ofport in here if ofport is not None)
    return view.attached
