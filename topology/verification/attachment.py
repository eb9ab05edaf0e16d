"""What a pod's port must have on its switch: who it is believed to be, and how it is found. Derived once per port."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final, NamedTuple, TypeAlias

from topology import fields
from topology.fields import ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Actions, Match, MatchTerm, Op
from topology.model import GENEVE_OFPORT, HAIRPIN, ICMP_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Network, Port, mac_of
from topology.pipeline import (
    CLUSTER_SOURCE,
    DESTINATION_VNID,
    HAIRPIN_ZONE,
    OUTPUT_PORT,
    SCRATCH,
    SOURCE_VNID,
    SPACE,
    Stage,
    Table,
)
from topology.verification.claim import About, Claim, Holds, Kind
from topology.verification.shape import (
    ADDRESS_MASK,
    IS_ARP,
    IS_IP,
    NO_IN_PORT,
    SHARED,
    TO_LEAVING_ERRORS,
    W6,
    W16,
    W32,
    W48,
    begun_from,
    family_of,
    goto,
    solicits,
)
from topology.verification.world import View

Pairs: TypeAlias = tuple[tuple[Match, Actions], ...]

_ASKS: Final = (fields.ARP_OP, 1, W16)
_TO_SENT: Final = goto(Table.SENT)
_TO_ARP: Final = goto(Table.ARP_RESPONDER)
_TO_INGRESS_POLICY: Final = goto(Table.INGRESS_POLICY)
_TO_ARRIVING_ERRORS: Final = goto(Table.ARRIVING_ERRORS)
_BACK: Final = (Op.SET, OUTPUT_PORT, 0xFFFF_FFF8, W32)
# Doors of the node: whoever had one of these numbers as a pod would take what is not its own.
_NO_PODS: Final = frozenset((VXLAN_OFPORT, GENEVE_OFPORT, TUN_OFPORT, ICMP_OFPORT))
_IPV4: Final = IS_IP[4]
_FORMS: Final = {
    version: (IS_IP[version], family_of(version).source, family_of(version).destination, ADDRESS_MASK[version])
    for version in (4, 6)
}


class Attachment(NamedTuple):
    """Matches and actions of one port, by what they are for."""

    ingress: Pairs = ()
    arp: Pairs = ()
    look_up: Pairs = ()
    himself: Pairs = ()
    hairpin: Pairs = ()
    discovery: Pairs = ()


_NONE: Final = Attachment()


def attachment(view: View, ofport: int) -> Attachment:
    """Return what the port with this number must have; nothing if there is none."""
    if view.focus.whole and view.attached is None:
        _attached(view)  # all at once: each port is looked up a single time
    known = view.attachments.get(ofport)
    if known is not None:
        return known
    key = view.snapshot.port_by_ofport.get((view.node, ofport))
    port = None if key is None or view.focus.whole else view.snapshot.ports.get(key)
    return _NONE if port is None or port.ofport != ofport else _remember(view, port, ofport)


def _remember(view: View, port: Port, ofport: int) -> Attachment:
    network = view.snapshot.networks.get(port.network)
    is_pod = network is not None and port.node == view.node and ofport not in _NO_PODS
    made = _attach(port, ofport, network) if network is not None and is_pod else _NONE
    view.attachments[ofport] = made
    return made


def _attach(port: Port, ofport: int, network: Network) -> Attachment:
    mac, place, vnid = port.mac, port.space, network.vnid
    comes_by, own_mac = (IN_PORT, ofport, W32), (ETH_SRC, mac, W48)
    tag, space = (Op.SET, SOURCE_VNID, vnid, W32), (SPACE, place, W32)
    into = (Op.SET, SPACE, place, W32)
    enter: Actions = (into,) if place else ()
    written: Actions = () if network.dscp is None else ((Op.SET, fields.IP_DSCP, network.dscp, W6),)
    lead = ((Op.SET, DESTINATION_VNID, vnid, W32), (Op.SET, OUTPUT_PORT, ofport, W32), (Op.SET, ETH_DST, mac, W48))
    ingress: Pairs = ()
    arp: Pairs = ()
    look_up: Pairs = ()
    himself: Pairs = ()
    hairpin: Pairs = ()
    discovery: Pairs = ()
    for position, address in enumerate(port.addresses):
        kind, source, destination, width = _FORMS[address.version]
        value = int(address)
        name: Actions = ()
        if port.cluster_addresses:
            known_as = int(port.cluster_addresses[position])
            name = ((Op.SET, CLUSTER_SOURCE, known_as, W32),)
            inside = (Op.SET, destination, value, width)
            # It goes on in the pod's own space: a translated error that comes back is found there, and not again here.
            arrive = (*lead, inside, into, _TO_ARRIVING_ERRORS)
            look_up += (((SHARED, kind, (destination, known_as, width)), arrive),)
            himself += (_himself(port, value, known_as, inside),)
            hairpin += (_hairpin(comes_by, address.version, known_as),)
        elif not place:
            hairpin += (_hairpin(comes_by, address.version, value),)
        own = (comes_by, own_mac, kind, (source, value, width))
        ingress += ((own, (tag, *enter, *name, *written, _TO_SENT)),)
        look_up += (((space, kind, (destination, value, width)), (*lead, _TO_INGRESS_POLICY)),)
        if kind is _IPV4:
            says = (comes_by, own_mac, IS_ARP, _ASKS, (fields.ARP_SPA, value, W32), (fields.ARP_SHA, mac, W48))
            arp += ((says, (*enter, _TO_ARP)),)
        else:
            discovery += tuple(
                ((comes_by, own_mac, *solicits(source, by, mac)), (*enter, _TO_ARP)) for by in (value, _on_link(mac))
            )
    return Attachment(ingress, arp, look_up, himself, hairpin, discovery)


def _on_link(mac: int) -> int:
    """The link-local address that a pod makes of its MAC: its second bit turned, ff:fe in the middle (RFC 4291, A)."""
    first, last = divmod(mac, 1 << 24)
    return 0xFE80_0000_0000_0000 << 64 | (first ^ 0x020000) << 40 | 0xFFFE << 24 | last


def _hairpin(comes_by: MatchTerm, version: int, shared: int) -> tuple[Match, Actions]:
    """By its own port and to its own address, which only a service leads to: it is met from the hairpin address."""
    kind, source, destination, width = _FORMS[version]
    match = (comes_by, SHARED, kind, (source, shared, width), (destination, shared, width))
    return match, (NO_IN_PORT, begun_from(HAIRPIN[version], HAIRPIN_ZONE, Table.LOCAL))


def _himself(port: Port, own: int, known_as: int, inside: tuple[int, ...]) -> tuple[Match, Actions]:
    to = (fields.IPV4_DST, known_as, W32)
    match = ((SPACE, port.space, W32), (CLUSTER_SOURCE, known_as, W32), IS_IP[4], to)
    back = (
        (Op.SET, SCRATCH, own, W32),
        (Op.SET, fields.IPV4_SRC, known_as, W32),
        inside,
        (Op.SET, ETH_SRC, mac_of(IPv4Address(known_as)), W48),
        (Op.SET, ETH_DST, port.mac, W48),
        _BACK,
        TO_LEAVING_ERRORS,
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


def at_discovery(view: View, match: Match, actions: Actions) -> bool:
    """A port solicits neighbours in its own name."""
    ofport = match[0][1]
    known = view.attachments.get(ofport) or attachment(view, ofport)
    return (match, actions) in known.discovery


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


def at_hairpin(view: View, match: Match, actions: Actions) -> bool:
    """A port that a service leads to itself, and nobody else, is met from the hairpin address."""
    ofport = match[0][1]
    known = view.attachments.get(ofport) or attachment(view, ofport)
    return (match, actions) in known.hairpin


def claim(stage: Stage, kind: Kind, part: int, holds: Holds) -> Claim:
    """Return the claim of a stage that has the flows of ports.

    Parts are 0 ingress, 1 ARP, 2 look-ups, 3 by its own cluster address, 4 by a service that leads it to itself,
    5 solicitations of neighbours.
    """

    def owed(view: View) -> Iterator[Match]:
        for known in _attached(view):
            for match, _ in known[part]:
                yield match

    return Claim(stage, kind, About.PORTS, holds, owed, lambda view: sum(len(known[part]) for known in _attached(view)))


def _attached(view: View) -> tuple[Attachment, ...]:
    """Return what the ports in focus that are on their switch must have."""
    if view.attached is None:
        ports = view.snapshot.ports
        here = (ports.get(key) for key in view.ports())
        view.attached = tuple(
            view.attachments.get(port.ofport) or _remember(view, port, port.ofport)
            for port in here
            if port is not None and port.ofport is not None
        )
    return view.attached
