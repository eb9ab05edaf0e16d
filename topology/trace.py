"""Carries a packet through the flow tables of several nodes, from where it comes in to what becomes of it.

Decides nothing by itself: what is right is in `specification`, what one switch does in `switch`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from immutables import Map

from topology import fields
from topology.compiler import SectionKey, Tables
from topology.fields import TRANSPORT
from topology.flow import Entry
from topology.model import ICMP_OFPORT, NODE_PORTS, TUN_OFPORT, TUNNEL_OFPORTS, Address, Node, Port, mac_of
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import Ends, Packet, arriving, icmp, requoted, transport, tunnelled
from topology.pipeline import FeatureId, Table
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot
from topology.switch import Output, Passage, Switch
from topology.tracker import NOTHING_TRACKED, Tracker

_MOST_NODES: Final = 8  # that a packet passes; the pipeline needs two
_NO_TRACKERS: Final[Map[str, Tracker]] = Map()


class Step(NamedTuple):
    """One table on one node, with the flow that matched and the section that owns it."""

    node: str
    table: int
    entry: Entry | None
    owner: SectionKey | None

    @property
    def table_name(self) -> str:
        """The table's name in the pipeline."""
        return Table(self.table).name

    @property
    def feature(self) -> str | None:
        """The name of the feature that owns the flow."""
        return None if self.owner is None else FeatureId(self.owner.feature).name


class Trace(NamedTuple):
    """What became of a packet, how it looked at the end, the way there, and what the switches remember.

    `copies` became of those that mirrors took on the way.
    """

    outcome: Outcome
    packet: Packet
    steps: tuple[Step, ...]
    trackers: Map[str, Tracker]
    copies: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Fabric:
    """The switches of the network at one moment; each is prepared when the first packet comes to it."""

    snapshot: Snapshot
    tables: Tables
    _switches: dict[str, Switch] = field(default_factory=dict, repr=False, compare=False)

    def switch(self, node: str) -> Switch:
        """Return a node's switch. Raises KeyError when there is no such node."""
        if node not in self._switches:
            self._switches[node] = Switch.of(self.tables[node])
        return self._switches[node]

    def carry(self, node: str, packet: Packet, trackers: Map[str, Tracker] = _NO_TRACKERS) -> Trace:
        """Follow a packet that comes in at a node by its in_port. Raises KeyError when there is no such node."""
        steps: list[Step] = []
        copies: list[Outcome] = []
        for _ in range(_MOST_NODES):
            passage = self.switch(node).process(packet, trackers.get(node, NOTHING_TRACKED))
            trackers = trackers.set(node, passage.tracker)
            steps.extend(Step(node, *step) for step in passage.steps)
            copies.extend(self._copy(node, copy) for copy in passage.copies)
            output = _only_output(passage)
            if output is not None and output.port == ICMP_OFPORT:
                back = requoted(output.packet)
                if back is None:
                    lost = self._outcome(node, passage, None)
                    return Trace(lost, output.packet, tuple(steps), trackers, tuple(copies))
                packet = arriving(back, ICMP_OFPORT)
                continue
            peer = None if output is None else self._peer(output)
            if output is None or peer is None:
                outcome = self._outcome(node, passage, output)
                end = packet if output is None else output.packet
                return Trace(outcome, end, tuple(steps), trackers, tuple(copies))
            sender, vnid = self.snapshot.nodes[node], output.packet.get(fields.TUNNEL_ID) or 0
            packet = tunnelled(output.packet, vnid, sender.underlay, peer.underlay).set(fields.IN_PORT, output.port)
            node = peer.name
        raise RecursionError(f"a packet passed {_MOST_NODES} nodes")

    def _copy(self, node: str, copy: Output) -> Outcome:
        """Follow a copy: out by a port of the node, or on another node."""
        peer = self._peer(copy)
        if peer is None:
            port = self.snapshot.port_by_ofport.get((node, copy.port))
            return Dropped(node) if port is None else Delivered(node, port)
        vnid, sender = copy.packet.get(fields.TUNNEL_ID) or 0, self.snapshot.nodes[node]
        arrived = tunnelled(copy.packet, vnid, sender.underlay, peer.underlay).set(fields.IN_PORT, copy.port)
        passage = self.switch(peer.name).process(arrived)
        return self._outcome(peer.name, passage, _only_output(passage))

    def _peer(self, output: Output) -> Node | None:
        """Return the node that a tunnel packet goes to."""
        if output.port not in TUNNEL_OFPORTS.values():
            return None
        outer = (
            IPv4Address(output.packet.get(fields.TUN_IPV4_DST) or 0),
            IPv6Address(output.packet.get(fields.TUN_IPV6_DST) or 0),
        )
        names = (self.snapshot.node_by_underlay.get(address) for address in outer)
        return next((self.snapshot.nodes[name] for name in names if name is not None), None)

    def _outcome(self, node: str, passage: Passage, output: Output | None) -> Outcome:
        last = passage.steps[-1]
        if output is not None and output.port == TUN_OFPORT:
            where = destined(self.snapshot, self.snapshot.nodes[node], output.packet)
            source = IPv4Address(output.packet.get(fields.IPV4_SRC) or 0)
            return Sent(node, where, source if source in self.snapshot.egress_by_address else None)
        # A port or VTEP that is not in the snapshot is nobody: the packet is lost there.
        port = None if output is None else self.snapshot.port_by_ofport.get((node, output.port))
        return Dropped(node, last.table, last.owner) if port is None else Delivered(node, port)


def trace_pods(fabric: Fabric, source: Port, destination: Address, protocol: str = "ICMP", port: int = 80) -> Trace:
    """Follow a packet of a pod to an address, of protocol TCP, UDP, SCTP (to `port`) or ICMP (an echo request).

    The address is what the pod itself would dial; by which it reaches another pod is said by `reach.known_as`.
    Raises Refused when the pod's port is not on its switch yet, has no address of the family, or the protocol is
    unknown.
    """
    subject = f'pod "{source.project}/{source.pod}"'
    own = next((address for address in source.addresses if address.version == destination.version), None)
    if own is None:
        raise Refused(Reason.INVALID, subject, f"has no IPv{destination.version} address", "trace to another address")
    if source.ofport is None:
        raise Refused(Reason.UNKNOWN, subject, "is not on its switch yet", "wait until its port is Committed")
    # The frame goes to the gateway's MAC; to a neighbour's it would fare the same, for LOCAL writes the MAC anew.
    ends = Ends(own, destination, source.mac, _gateway_mac(fabric.snapshot, source, own))
    if protocol == "ICMP":
        packet = icmp(ends)
    elif protocol in TRANSPORT:
        packet = transport(protocol, ends, port)
    else:
        remedy = f"name one of {', '.join((*TRANSPORT, 'ICMP'))}"
        raise Refused(Reason.INVALID, f'protocol "{protocol}"', "is unknown", remedy)
    if destination in source.addresses:  # what a pod sends to itself does not leave it
        return Trace(Delivered(source.node, source.key), packet, (), _NO_TRACKERS)
    return fabric.carry(source.node, arriving(packet, source.ofport))


def _gateway_mac(snapshot: Snapshot, source: Port, own: Address) -> int:
    """Return the MAC of the gateway that a pod has for one of its addresses."""
    for subnet in snapshot.networks[source.network].subnets:
        if own in subnet.cidr:
            return mac_of(subnet.gateway)
    return snapshot.nodes[source.node].mac


def destined(snapshot: Snapshot, node: Node, packet: Packet) -> Where:
    """Tell for what a packet leaves by a node's tun0."""
    if packet.get(fields.ETH_TYPE) == fields.ETH_ARP or packet.get(fields.ICMPV6_TYPE) == fields.ND_ADVERTISEMENT:
        return Where.NODE
    address: Address | None = None
    for kind, make in ((fields.IPV4, IPv4Address), (fields.IPV6, IPv6Address)):
        value = packet.get(kind.destination)
        address = address if value is None else make(value)
    if address is None:
        return Where.OUTSIDE
    if address == node.underlay or address in node.gateways:
        return Where.NODE
    known = (*snapshot.cluster.service_cidrs, *NODE_PORTS.values())
    services = (cidr for cidr in known if cidr.version == address.version)
    return Where.SERVICE if any(address in cidr for cidr in services) else Where.OUTSIDE


def _only_output(passage: Passage) -> Output | None:
    """Return where a packet left a switch. Raises ValueError for a packet that was copied: no flow of ours does it."""
    if len(passage.outputs) > 1:
        raise ValueError(f"a packet left by several ports: {[output.port for output in passage.outputs]}")
    return passage.outputs[0] if passage.outputs else None
