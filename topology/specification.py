"""What should happen to a packet, said of the network itself: who may send what, and who may talk to whom.

Knows nothing of flows, tables and registers, and uses none of the indexes that features use; tests hold the compiled
flows against it. When this file and the flows disagree, one of them is wrong: find out which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple, TypeAlias

from topology import fields
from topology.holding import holder, spread
from topology.model import (
    DEFAULT_NETWORK,
    HAIRPIN,
    NODE_PORTS,
    SHARED_SPACE,
    Address,
    Egress,
    Mirror,
    Network,
    Node,
    PodKey,
    Port,
    PortKey,
    Prefix,
    Scope,
    Service,
    link_local_of,
)
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import DHCPV6_CLIENT, Packet, is_discovery, is_solicitation
from topology.snapshot import Snapshot
from topology.targets import Target, any_place, targets, targets_on
from topology.tracker import begins, talk_of


class FromPort(NamedTuple):
    """A packet comes in by a port of a pod, or by one that nobody knows."""

    node: str
    ofport: int


class FromNode(NamedTuple):
    """The node's kernel sends a packet by tun0; `is_answer`: to a connection that a pod began through this tun0."""

    node: str
    is_answer: bool = False


class FromTunnel(NamedTuple):
    """A VXLAN packet arrives, from an address that says it is a VTEP; `space` is that of the destination."""

    node: str
    vtep: Address
    vnid: int
    space: int = SHARED_SPACE


class Said(NamedTuple):
    """What a pod sent earlier, as it sent it, and where a service led it to."""

    port: PortKey
    packet: Packet
    endpoint: Target | None = None


Choice: TypeAlias = Callable[[tuple[Target, ...]], Target]


Ingress: TypeAlias = FromPort | FromNode | FromTunnel


@dataclass(frozen=True, slots=True)
class _Message:
    """A packet under way: its sender's network (None: the VNID is unknown), its sender if that is on the node where
    it arrives, the address space that its destination is in, and the network of the service that it was named by.
    """

    packet: Packet
    network: str | None
    port: Port | None = None
    is_node: bool = False
    space: int = SHARED_SPACE
    service: str | None = None


def may(
    snapshot: Snapshot, packet: Packet, ingress: Ingress, said: Iterable[Said] = (), choose: Choice = min
) -> Outcome:
    """Return what should become of a packet, given what pods said before; a drop names the node where it ends.

    `choose` says which endpoint of a service gets it: any of them is right.
    """
    node = snapshot.nodes[ingress.node]
    world = _World(snapshot, tuple(said), choose)
    match ingress:
        case FromPort(ofport=ofport):
            port = next((p for p in snapshot.ports.values() if (p.node, p.ofport) == (node.name, ofport)), None)
            if port is None:
                return Dropped(node.name)
            own = _is_own(port, packet)
            return world.from_pod(node, port, packet) if own else world.forwarded(node, port, packet)
        case FromNode(is_answer=is_answer):
            return world.from_node(node, packet, is_answer=is_answer)
        case FromTunnel(vnid=vnid) if vnid == COPIES:
            return Dropped(node.name)
        case FromTunnel(vtep=vtep, vnid=vnid, space=space):
            known = any(peer.underlay == vtep for peer in snapshot.nodes.values() if peer.name != node.name)
            network = next((network.name for network in snapshot.networks.values() if network.vnid == vnid), None)
            message = _Message(packet, network, space=space)
            return world.arrive(node, message) if known else Dropped(node.name)


COPIES: Final = 1  # the VNID of what mirrors send between nodes, which is never taken for a packet itself


def copies(snapshot: Snapshot, packet: Packet, ingress: Ingress, outcome: Outcome) -> tuple[PortKey, ...]:
    """Return who gets a copy of a packet, given what becomes of it: as it is sent by a pod, and as it gets to one.

    ARP and neighbour solicitations are nobody's to copy, and so is what a pod sends to its own cluster address, which
    comes straight back. An error does not, for it has to be translated. What a pod of a network with a range of its own
    sends to its own address there comes as far as its port, where it is copied, and is not let out by it.
    """
    if _ends(packet)[0] is None or (is_discovery(packet) and not isinstance(ingress, FromTunnel)):
        return ()
    found: list[Port | None] = []
    sender = None
    if isinstance(ingress, FromPort):
        place = (ingress.node, ingress.ofport)
        sender = next((port for port in snapshot.ports.values() if (port.node, port.ofport) == place), None)
    if sender is not None and is_believed(sender, packet):
        found += [_target(snapshot, mirror) for mirror in _mirrors(snapshot, sender) if mirror.sent]
        if sender.cluster_addresses and _ends(packet)[1] in sender.addresses:
            found += [_target(snapshot, mirror) for mirror in _mirrors(snapshot, sender) if mirror.received]
    if isinstance(outcome, Delivered):
        receiver = snapshot.ports[outcome.port]
        is_back = receiver == sender and _ends(packet)[1] in receiver.cluster_addresses
        if not is_back or _is_error(packet):
            found += [_target(snapshot, mirror) for mirror in _mirrors(snapshot, receiver) if mirror.received]
    return tuple(sorted(port.key for port in found if port is not None))


def _mirrors(snapshot: Snapshot, port: Port) -> list[Mirror]:
    pod = PodKey(port.project, port.pod)
    every = (mirror for mirror in snapshot.mirrors.values() if mirror.target != pod)
    return [mirror for mirror in every if pod == mirror.pod or port.network == mirror.network]


def _target(snapshot: Snapshot, mirror: Mirror) -> Port | None:
    """The target's primary port, once it is on its switch."""
    ports = [port for port in snapshot.ports.values() if PodKey(port.project, port.pod) == mirror.target]
    there = [port for port in ports if port.ofport is not None and not port.is_secondary]
    return min(there, key=lambda port: port.key, default=None)


def dscp(snapshot: Snapshot, packet: Packet, ingress: Ingress) -> int | None:
    """Return the DSCP that a packet arrives with, if it arrives: its network's, if a pod sent it; else its own."""
    own = packet.get(fields.IP_DSCP)
    if not isinstance(ingress, FromPort) or _ends(packet)[0] is None:
        return own
    place = (ingress.node, ingress.ofport)
    port = next((port for port in snapshot.ports.values() if (port.node, port.ofport) == place), None)
    given = None if port is None or not is_believed(port, packet) else snapshot.networks[port.network].dscp
    return own if given is None else given


def is_believed(port: Port, packet: Packet) -> bool:
    """Whether a pod sends an IP packet with its own MAC and address, and none that is a router's or server's."""
    is_hosts = packet.get(fields.ETH_TYPE) != fields.ETH_ARP and not is_discovery(packet) and not _is_to_dhcp(packet)
    return is_hosts and _is_own(port, packet)


def _is_own(port: Port, packet: Packet) -> bool:
    """A pod may use its own MAC and addresses only; of ARP and neighbour discovery, it may ask; it configures nobody.

    For neighbours it asks also by the link-local address that it has made itself, if it has an address of IPv6.
    """
    own = port.addresses
    if packet.get(fields.ETH_TYPE) == fields.ETH_ARP:
        honest = packet.get(fields.ARP_SHA) == port.mac and packet.get(fields.ARP_OP) == 1
        source: Address | None = IPv4Address(packet.get(fields.ARP_SPA) or 0)
    elif is_discovery(packet):
        honest, source = is_solicitation(packet) and packet.get(fields.ND_SLL) == port.mac, _ends(packet)[0]
        own = (*own, *(link_local_of(port.mac) for address in own if address.version == 6))
    else:
        honest, source = not _is_to_dhcp(packet), _ends(packet)[0]
    return honest and packet.get(fields.ETH_SRC) == port.mac and source in own


@dataclass(frozen=True, slots=True)
class _World:
    """The network, and what pods said in it."""

    snapshot: Snapshot
    said: tuple[Said, ...]
    choose: Choice

    def from_pod(self, node: Node, port: Port, packet: Packet) -> Outcome:
        """By whose range the destination is in: that of its own or a connected network, or everybody's."""
        near = self._networks_near(port)
        if packet.get(fields.ETH_TYPE) == fields.ETH_ARP or is_discovery(packet):
            own = tuple(subnet.cidr for subnet in near[0].subnets) if near else self.snapshot.cluster.cluster_cidrs
            return Delivered(node.name, port.key) if _is_asked(packet, own) else Dropped(node.name)
        destination = _ends(packet)[1]
        message = _Message(packet, port.network, port)
        for network in near:
            for subnet in network.subnets:
                if _within(destination, (self._known(subnet.cidr, network, port.network),)):
                    seen = _quoting(packet, self._translated(packet, subnet.cidr, network, port))
                    here = replace(message, packet=seen or packet, space=network.space)
                    return self._to_range(node, network, here) if seen else Dropped(node.name)
        known = _quoting(packet, _known_to_all(port, packet))
        if known is None:
            return Dropped(node.name)
        if destination in port.cluster_addresses:
            return Delivered(node.name, port.key)
        message = replace(message, packet=known)
        if _within(destination, self.snapshot.cluster.service_cidrs):
            return self._to_service(node, message)
        return self._route(node, message)

    def from_node(self, node: Node, packet: Packet, *, is_answer: bool) -> Outcome:
        """The node speaks for itself, to all pods; for others only if it carries answers to pods of its own."""
        own = tuple(each for each in (node.underlay, *node.gateways) if _has(node, each.version))
        if packet.get(fields.ETH_TYPE) == fields.ETH_ARP or (is_solicitation(packet) and _has(node, 6)):
            asked = _is_asked(packet, self.snapshot.cluster.cluster_cidrs)
            return Sent(node.name, Where.NODE) if asked else Dropped(node.name)
        source, destination = _ends(packet)
        message = _Message(packet, DEFAULT_NETWORK, is_node=True)
        if source in own and _within(destination, self.snapshot.cluster.cluster_cidrs):
            return self._route(node, message)
        if source in own and _within(destination, self.snapshot.cluster.service_cidrs):
            return self._to_service(node, message)
        if source in own and _within(destination, NODE_PORTS.values()):
            return self._to_node_port(node, message)
        if is_answer and _within(destination, node.subnets):
            return self.arrive(node, message)
        if _within(destination, self.snapshot.cluster.service_cidrs):
            return self._from_outside(node, message)
        if any(destination in egress.addresses for egress in self.snapshot.egresses.values()):
            return self._come_back(node, message)
        return Dropped(node.name)

    def arrive(self, node: Node, message: _Message) -> Outcome:
        """On the destination's node: the node itself, or a pod that the sender may talk to; none gets its own."""
        message, is_answer = self._named_again(message)
        destination = _ends(message.packet)[1]
        if message.space == SHARED_SPACE and destination in node.gateways:
            return Dropped(node.name) if self._is_guarded(message.packet) else Sent(node.name, Where.NODE)
        for port in self.snapshot.ports.values():
            addresses = port.addresses if message.space == port.space else ()
            if message.space == SHARED_SPACE:
                addresses = port.cluster_addresses or port.addresses
            if port.node == node.name and port.ofport is not None and destination in addresses:
                got = _quoting(message.packet, _addressed(message.packet, port))
                seen = replace(message, packet=got or message.packet)
                # Within a network's own space nothing comes back to who sent it.
                barred = got is None or (port == message.port and message.space != SHARED_SPACE)
                allowed = not barred and (is_answer or self._may_deliver(seen, port))
                return Delivered(node.name, port.key) if allowed else Dropped(node.name)
        return Dropped(node.name)

    def _networks_near(self, port: Port) -> list[Network]:
        """The networks that a pod knows by their own addresses: none, if its own network has no range of its own."""
        networks = self.snapshot.networks
        home = networks[port.network]
        keys = (key for key in self.snapshot.connections if home.name in key)
        return [home, *(networks[key.other(home.name)] for key in keys)] if home.subnets else []

    def _known(self, cidr: Prefix, of: Network, to: str) -> Prefix:
        """By which prefix one network knows a subnet of another: another one, if their connection is translated."""
        for connection in self.snapshot.connections.values():
            if set(connection.key) == {of.name, to}:
                for item in connection.translations:
                    if item.network == of.name and item.cidr == cidr:
                        return item.seen_as
        return cidr

    def _translated(self, packet: Packet, cidr: Prefix, to: Network, port: Port) -> Packet:
        """The receiver gets a packet at its own address, and knows the sender as its network does."""
        kind, (source, destination) = fields.family(cidr.version), _ends(packet)
        assert source is not None
        assert destination is not None
        home = self.snapshot.networks[port.network]
        own = next(subnet.cidr for subnet in home.subnets if source in subnet.cidr)
        known = _moved(source, own, own if to == home else self._known(own, home, to.name))
        reached = _moved(destination, self._known(cidr, to, home.name), cidr)
        return packet.set(kind.source, int(known)).set(kind.destination, int(reached))

    def _to_range(self, node: Node, network: Network, message: _Message) -> Outcome:
        """To the node that has this part of the range."""
        destination = _ends(message.packet)[1]
        for block in self.snapshot.blocks.values():
            if block.network == network.name and destination in block.prefix and block.node in self.snapshot.nodes:
                return self._go(node, self.snapshot.nodes[block.node], message)
        return Dropped(node.name)

    def _to_service(self, node: Node, message: _Message) -> Outcome:
        """A service is there for whoever may use services of its network; an error, for who got its answer."""
        destination = _ends(message.packet)[1]
        if message.packet.quoted is not None:
            return self._to_answerer(node, message)
        for service in self.snapshot.services.values():
            for port in service.ports if service.address == destination else ():
                if _is_to(message.packet, port.protocol, port.port):
                    return self._to_port(node, message, service, targets(service, port, self.snapshot, node.name))
        return Dropped(node.name)

    def _to_node_port(self, node: Node, message: _Message) -> Outcome:
        """For others, who reach it at the node's own address: to the service that has it, of whichever network."""
        for service in self.snapshot.services.values():
            for port in service.ports:
                if port.node_port and _is_to(message.packet, port.protocol, port.node_port):
                    found = targets(service, port, self.snapshot, node.name, from_outside=True)
                    return self._to_port(node, message, service, found)
        return Sent(node.name, Where.SERVICE) if begins(message.packet) else Dropped(node.name)

    def _from_outside(self, node: Node, message: _Message) -> Outcome:
        """Others, by addresses of their own: to endpoints on this node, of services that are offered in this way."""
        source, destination = _ends(message.packet)
        cluster = self.snapshot.cluster
        if _within(source, (*cluster.cluster_cidrs, *cluster.service_cidrs, *NODE_PORTS.values())):
            return Dropped(node.name)
        if source in HAIRPIN.values() or not begins(message.packet):
            return Dropped(node.name)
        for service in self.snapshot.services.values():
            for port in service.ports if service.address == destination and service.external_local else ():
                network = self.snapshot.networks[self.snapshot.projects[service.key.project].network]
                if _is_to(message.packet, port.protocol, port.port):
                    here = targets_on(node.name, service, port, self.snapshot)
                    if not here and any_place(service, port, self.snapshot):
                        return Dropped(node.name)
                    is_near = bool(here) and _within(source, self._ranges_of(network))
                    return Dropped(node.name) if is_near else self._to_port(node, message, service, here)
        return Dropped(node.name)

    def _ranges_of(self, home: Network) -> list[Prefix]:
        """By which prefixes pods of a network know it and connected networks."""
        if not home.subnets:
            return []
        peers = (self.snapshot.networks[key.other(home.name)] for key in self.snapshot.connections if home.name in key)
        others = [self._known(each.cidr, peer, home.name) for peer in peers for each in peer.subnets]
        return [*(subnet.cidr for subnet in home.subnets), *others]

    def _to_port(self, node: Node, message: _Message, service: Service, options: tuple[Target, ...]) -> Outcome:
        """One of the endpoints gets it as its own; without any, the node's kernel refuses it."""
        network = self.snapshot.projects[service.key.project].network
        if not self._may_begin(message, network, by_service=True):
            return Dropped(node.name)
        if not options:
            return Sent(node.name, Where.SERVICE)
        served = replace(message, packet=_sent_to(message.packet, self.choose(options)), service=network)
        return self._route(node, served)

    def _to_answerer(self, node: Node, message: _Message) -> Outcome:
        quoted = message.packet.quoted
        about = None if quoted is None else talk_of(quoted, 0)
        for each in self.said:
            port = self.snapshot.ports.get(each.port)
            if port is None or each.endpoint is None or about is None:
                continue
            if about.reverse() == talk_of(_known_to_all(port, each.packet), 0):
                served = replace(message, service=self._known_service(_ends(each.packet)[1]))
                kind = fields.family(each.endpoint.address.version)
                packet = message.packet.set(kind.destination, int(each.endpoint.address))
                return self._route(node, replace(served, packet=packet))
        return Dropped(node.name)

    def _route(self, node: Node, message: _Message) -> Outcome:
        """By destination: nobody, a node or controller, a pod on some node, outside."""
        destination = _ends(message.packet)[1]
        assert destination is not None
        if destination.is_multicast or destination == IPv4Address("255.255.255.255") or _is_on_link(destination):
            return Dropped(node.name)
        if destination == HAIRPIN[destination.version]:
            return self._to_itself(node, message)
        underlays = [peer.underlay for peer in self.snapshot.nodes.values()]
        if destination in (*underlays, *self.snapshot.cluster.control_plane):
            where = Where.NODE if destination == node.underlay else Where.OUTSIDE
            return Dropped(node.name) if self._is_guarded(message.packet) else Sent(node.name, where)
        if _within(destination, NODE_PORTS.values()):
            return Sent(node.name, Where.SERVICE)
        if not _within(destination, self.snapshot.cluster.cluster_cidrs):
            return self._leave(node, message)
        for place in self.snapshot.nodes.values():
            if _within(destination, place.subnets):
                return self._go(node, place, message)
        return Dropped(node.name)

    def _leave(self, node: Node, message: _Message) -> Outcome:
        """To the outside: by the pod's own node, or by an address of its network's, from the node that holds that."""
        destination = _ends(message.packet)[1]
        assert destination is not None
        egress = None if message.port is None else self._egress(message.port)
        if egress is not None and egress.via is not None:
            gateway = self._gateway(egress.via)
            own = () if gateway is None else gateway.cluster_addresses or gateway.addresses
            if gateway is not None and any(address.version == 4 for address in own):
                if destination.version != 4:  # a gateway is one in IPv4, and there is no other way then
                    return Dropped(node.name)
                return Delivered(gateway.node, gateway.key)
            return Sent(node.name, Where.OUTSIDE) if egress.fail_open else Dropped(node.name)
        source = None if message.port is None else self._source(message.port)
        if source is None:
            return Sent(node.name, Where.OUTSIDE)
        if source.version != destination.version:
            return Dropped(node.name)
        holder = self._holder(source)
        # What cannot be the first of a connection is nobody's unless it is of one: then it has no such source.
        if holder is None or not (begins(message.packet) or self._is_under_way(message)):
            return Dropped(node.name if holder is None else holder)
        return Sent(holder, Where.OUTSIDE, source)

    def forwarded(self, node: Node, port: Port, packet: Packet) -> Outcome:
        """A gateway pod sends by another address than its own: as the answer to what it was given, and only so."""
        if packet.get(fields.ETH_SRC) != port.mac or _ends(packet)[0] is None:
            return Dropped(node.name)
        for each in self.said:
            client, asked = self.snapshot.ports.get(each.port), self._as_asked(each)
            if client is None or asked is None or not _answers(packet, asked):
                continue
            egress = self._egress(client)
            if egress is not None and egress.via == (port.project, port.pod) and self._was_given(each, client, port):
                return self._route(node, _Message(packet, client.network))
        return Dropped(node.name)

    def _was_given(self, said: Said, client: Port, gateway: Port) -> bool:
        """Whether what a pod said went to a gateway, and not to where the gateway is a pod as any other."""
        world = replace(self, said=(), choose=lambda options: said.endpoint or min(options))
        asked = self._as_asked(said)
        there = world.from_pod(self.snapshot.nodes[client.node], client, said.packet)
        own = gateway.cluster_addresses or gateway.addresses
        is_for_it = asked is not None and _ends(asked)[1] in (*own, *gateway.addresses)
        return there == Delivered(gateway.node, gateway.key) and not is_for_it and begins(said.packet)

    def _gateway(self, pod: PodKey) -> Port | None:
        """The port by which a pod is a gateway, once it is on its switch."""
        ports = [port for port in self.snapshot.ports.values() if PodKey(port.project, port.pod) == pod]
        there = [port for port in ports if port.ofport is not None and not port.is_secondary]
        return min(there, key=lambda port: port.key, default=None)

    def _source(self, port: Port) -> Address | None:
        """By which address a pod leaves, if by one of its network's."""
        egress = self._egress(port)
        if egress is None or egress.via is not None:
            return None
        address = spread(egress.addresses, f"{port.project}/{port.pod}")
        return None if egress.fail_open and self._holder(address) is None else address

    def _egress(self, port: Port) -> Egress | None:
        """The first egress that selects a pod, or that of its whole network; gateways leave by no other gateway."""
        networks, moves = self.snapshot.networks, self.snapshot.moves
        transit = networks[port.network].transit_for
        move = None if transit is None else moves.get(transit)
        home = port.network if move is None or move.transit != port.network else move.source
        found = sorted((each for each in self.snapshot.egresses.values() if each.network == home), key=lambda e: e.name)
        if any(each.via == (port.project, port.pod) for each in self.snapshot.egresses.values()):
            found = [each for each in found if each.via is None]
        pod = next((each for each in self.snapshot.pods.values() if each.key == (port.project, port.pod)), None)
        labels = () if pod is None else pod.labels
        chosen = [each for each in found if each.pods is not None and each.pods.selects(labels)]
        return next(iter((*chosen, *(each for each in found if each.pods is None))), None)

    def _holder(self, address: Address) -> str | None:
        """Of the nodes that live and may hold an address, the one that does."""
        egress = next((each for each in self.snapshot.egresses.values() if address in each.addresses), None)
        if egress is None:
            return None
        living = {name for name in self.snapshot.nodes if name not in self.snapshot.outages}
        return holder(address, living.intersection(egress.nodes) if egress.nodes else living)

    def _is_under_way(self, message: _Message) -> bool:
        """Whether a packet that begins nothing belongs to what its pod began."""
        port = message.port
        own = [each for each in self.said if port is not None and each.port == port.key]
        known = [_known_to_all(port, each.packet) for each in own if port is not None]
        return any(_belongs(message.packet, asked) for asked in (*known, *map(self._as_asked, own)))

    def _as_asked(self, said: Said) -> Packet | None:
        """What a pod said, as it went on: from its cluster address, to an endpoint if it was for a service."""
        port = self.snapshot.ports.get(said.port)
        known = None if port is None else _known_to_all(port, said.packet)
        return known if known is None or said.endpoint is None else _sent_to(known, said.endpoint)

    def _come_back(self, node: Node, message: _Message) -> Outcome:
        """What answers to an address that the node holds goes to the pod that left by it, and nothing else does."""
        address = _ends(message.packet)[1]
        for each in self.said:
            port, asked = self.snapshot.ports.get(each.port), self._as_asked(each)
            if port is None or asked is None or address is None or self._source(port) != address:
                continue
            if self._holder(address) != node.name or not _answers(message.packet, _from(asked, address)):
                continue
            known_as = _ends(asked)[0]
            assert known_as is not None
            back = _back_to(message.packet, known_as)
            return self._route(node, _Message(back, port.network))
        return Dropped(node.name)

    def _named_again(self, message: _Message) -> tuple[_Message, bool]:
        """What an endpoint answers is from the service again; if that is of its own network, it may answer."""
        for each in self.said if message.space == SHARED_SPACE else ():
            asked = None if each.endpoint is None else self._as_served(each)
            if asked is not None and _answers(message.packet, asked):
                known = self._known_service(_ends(each.packet)[1])
                allowed = known in self._used_at(self.snapshot.ports[each.port].network, message.network)
                return replace(message, packet=_from_service(message.packet, each.packet)), allowed
        return message, False

    def _as_served(self, said: Said) -> Packet | None:
        """What a pod said to a service, as it went to the endpoint."""
        port, endpoint = self.snapshot.ports.get(said.port), said.endpoint
        return None if port is None or endpoint is None else _sent_to(_known_to_all(port, said.packet), endpoint)

    def _known_service(self, address: Address | None) -> str:
        """The network of the service of an address."""
        key = next(service.key for service in self.snapshot.services.values() if service.address == address)
        return self.snapshot.projects[key.project].network

    def _to_itself(self, node: Node, message: _Message) -> Outcome:
        """A pod that a service led to itself has met itself from the hairpin address, and answers there."""
        for each in self.said:
            asked = self._as_served(each) if message.port is not None and each.port == message.port.key else None
            ends = (None, None) if asked is None else _ends(asked)
            if asked is None or ends[0] is None or ends[0] != ends[1]:
                continue
            kind = fields.family(ends[0].version)
            met = asked.set(kind.source, int(HAIRPIN[ends[0].version]))
            if _answers(message.packet, met):
                back = message.packet.set(kind.destination, int(ends[0]))
                return self.arrive(node, replace(message, packet=back))
        return Dropped(node.name)

    def _go(self, here: Node, there: Node, message: _Message) -> Outcome:
        """Another node knows the sender's network, not the sender."""
        return self.arrive(there, message if here == there else replace(message, port=None, is_node=False))

    def _may_deliver(self, message: _Message, port: Port) -> bool:
        by_service = message.service in self._used_at(message.network, port.network)
        return self._may_begin(message, port.network, by_service=by_service) or self._may_reply(message, port)

    def _may_begin(self, message: _Message, to: str, *, by_service: bool = False) -> bool:
        """Within a network, from and to global ones, and as far as a connection goes."""
        if message.network is None:
            return self.snapshot.networks[to].is_global
        if message.network == to or any(self.snapshot.networks[name].is_global for name in (message.network, to)):
            return True
        scope = self._scope(message.network, to)
        if scope is None or scope.is_everything or (scope.services_only and by_service):
            return scope is not None
        return any(_is_to(message.packet, port.protocol, port.port) for port in scope.ports)

    def _may_reply(self, message: _Message, port: Port) -> bool:
        """To a pod that may begin: what answers something it said, as it sees both."""
        begun = None if message.network is None else self._scope(port.network, message.network)
        answer = message.packet
        if begun is None or (begun.services_only and not begun.ports):
            return False
        if answer.quoted is None and begun.ports and not any(_is_from(answer, *each) for each in begun.ports):
            return False
        known = {talk_of(each.packet, 0) for each in self.said if each.port == port.key and begins(each.packet)}
        about = talk_of(answer if answer.quoted is None else answer.quoted, 0)
        ways = () if about is None else (about.reverse(),) if answer.quoted is None else (about, about.reverse())
        return any(way in known for way in ways)

    def _used_at(self, source: str | None, destination: str | None) -> set[str]:
        """The networks by whose services a network gets to pods of another, where it may do so: that other one.

        Pods that are between two networks are reached by the services of either, as far as these may be used.
        """
        if source is None or destination is None or not self._may_use(source, destination):
            return set()
        ways = zip(self._ends_of(source), self._ends_of(destination), strict=True)
        return {there for here, there in ways if self._may_use(here, there)}

    def _may_use(self, source: str, destination: str) -> bool:
        scope = self._scope(source, destination)
        return scope is not None and scope.services_only

    def _ends_of(self, network: str) -> tuple[str, str]:
        """Where pods of a network came from and where they go, if it is one on the way."""
        for move in self.snapshot.moves.values():
            if move.transit == network:
                return move.source, move.target
        return network, network

    def _scope(self, source: str, destination: str) -> Scope | None:
        for connection in self.snapshot.connections.values():
            if set(connection.key) == {source, destination} and source != destination:
                return connection.scope(source)
        return None

    def _is_guarded(self, packet: Packet) -> bool:
        cluster = self.snapshot.cluster
        tcp = any(_is_to(packet, "TCP", port) for port in cluster.guarded_tcp_ports)
        return tcp or any(_is_to(packet, "UDP", port) for port in cluster.guarded_udp_ports)


# --- packets -------------------------------------------------------------------------------------


def _has(node: Node, version: int) -> bool:
    """Whether pods of a node have addresses of an IP version, so that it talks with them by that."""
    return any(subnet.version == version for subnet in node.subnets)


def _known_to_all(port: Port, packet: Packet) -> Packet:
    """A pod with an address of its own network's goes by its cluster address elsewhere."""
    for address in port.cluster_addresses:
        packet = packet.set(fields.family(address.version).source, int(address))
    return packet


def _sent_to(packet: Packet, endpoint: Target) -> Packet:
    """An endpoint of a service gets what is for it at its own address and port."""
    _, _, field = next(each for each in fields.TRANSPORT.values() if each[0] == packet.get(fields.IP_PROTO))
    kind = fields.family(endpoint.address.version)
    return packet.set(kind.destination, int(endpoint.address)).set(field, endpoint.port)


def _answers(packet: Packet, asked: Packet) -> bool:
    """An answer goes from where something was asked to where it came from; an error quotes it."""
    about, talk = talk_of(packet if packet.quoted is None else packet.quoted, 0), talk_of(asked, 0)
    return about is not None and talk is not None and about == (talk.reverse() if packet.quoted is None else talk)


def _from_service(answer: Packet, said: Packet) -> Packet:
    """Who asked a service gets the answer from it, or an error about what it sent there itself."""
    address = _ends(said)[1]
    assert address is not None
    kind = fields.family(address.version)
    _, source, destination = next(each for each in fields.TRANSPORT.values() if each[0] == said.get(fields.IP_PROTO))
    port = said.get(destination) or 0
    if answer.quoted is None:
        return answer.set(kind.source, int(address)).set(source, port)
    quoted = answer.quoted.set(kind.destination, int(address)).set(destination, port)
    return Packet(answer.set(kind.source, int(address)).values, quoted)


def _from(packet: Packet, address: Address) -> Packet:
    """The same packet from an address."""
    return packet.set(fields.family(address.version).source, int(address))


def _back_to(answer: Packet, pod: Address) -> Packet:
    """An answer goes to who asked, and an error about what it sent quotes that as it sent it."""
    back = answer.set(fields.family(pod.version).destination, int(pod))
    return back if answer.quoted is None else Packet(back.values, _from(answer.quoted, pod))


def _belongs(packet: Packet, asked: Packet | None) -> bool:
    """Whether a packet goes on with what was asked, or is an error about an answer to that."""
    about = talk_of(packet if packet.quoted is None else packet.quoted, 0)
    known = None if asked is None else talk_of(asked, 0)
    return about is not None and known is not None and about == (known if packet.quoted is None else known.reverse())


def _addressed(packet: Packet, port: Port) -> Packet:
    """A pod gets every packet at the address that it has itself."""
    for address in port.addresses if port.cluster_addresses else ():
        packet = packet.set(fields.family(address.version).destination, int(address))
    return packet


def _quoting(before: Packet, after: Packet) -> Packet | None:
    """An error about a packet quotes it as who sent it knows both ends, however the error's own ends were translated.

    None: it is an error without a quote, of which nobody can make sense.
    """
    if _ends(before) == _ends(after) or not _is_error(before):
        return after
    quoted, (source, destination) = before.quoted, _ends(after)
    if quoted is None or source is None or destination is None:
        return None
    asked = source if _ends(quoted)[1] == _ends(before)[0] else _ends(quoted)[1]
    assert asked is not None
    ends = {fields.IPV4.source: int(destination), fields.IPV4.destination: int(asked)}
    return replace(after, quoted=Packet(quoted.values.update(ends), quoted.quoted))


def _is_error(packet: Packet) -> bool:
    """Unreachable, time exceeded, parameter problem: errors about a packet that they quote."""
    return packet.get(fields.IP_PROTO) == fields.PROTO_ICMP and packet.get(fields.ICMP_TYPE) in (3, 11, 12)


def _moved(address: Address, old: Prefix, new: Prefix) -> Address:
    """The address that stands in one prefix where another stands in a prefix of equal length."""
    return new[int(address) - int(old[0])]


def _is_to(packet: Packet, protocol: str, port: int) -> bool:
    number, _, destination = fields.TRANSPORT[protocol]
    return packet.get(fields.IP_PROTO) == number and packet.get(destination) == port


def _is_from(packet: Packet, protocol: str, port: int) -> bool:
    number, source, _ = fields.TRANSPORT[protocol]
    return packet.get(fields.IP_PROTO) == number and packet.get(source) == port


def _is_asked(packet: Packet, ranges: Iterable[Prefix]) -> bool:
    """ARP requests and neighbour solicitations for any address that a pod or gateway could have."""
    if is_solicitation(packet):
        return _within(IPv6Address(packet.get(fields.ND_TARGET) or 0), ranges)
    return packet.get(fields.ARP_OP) == 1 and _within(IPv4Address(packet.get(fields.ARP_TPA) or 0), ranges)


def _is_to_dhcp(packet: Packet) -> bool:
    """What a DHCPv6 server says to its clients."""
    return packet.get(fields.ETH_TYPE) == fields.ETH_IPV6 and _is_to(packet, "UDP", DHCPV6_CLIENT)


def _is_on_link(address: Address) -> bool:
    """An address of IPv6 that holds on one link only, which is no other pod's."""
    return address.version == 6 and address.is_link_local


def _ends(packet: Packet) -> tuple[Address | None, Address | None]:
    """Return source and destination of an IP packet."""
    for kind, make in ((fields.IPV4, IPv4Address), (fields.IPV6, IPv6Address)):
        source, destination = packet.get(kind.source), packet.get(kind.destination)
        if source is not None and destination is not None:
            return make(source), make(destination)
    return None, None


def _within(address: Address | None, ranges: Iterable[Prefix]) -> bool:
    return address is not None and any(address.version == cidr.version and address in cidr for cidr in ranges)
