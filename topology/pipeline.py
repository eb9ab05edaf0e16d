"""All numbers of the pipeline: tables, stages (table and priority), registers, zones, feature ids.

`docs/pipeline.md` is generated from this file; nothing that computes belongs here.

The story of a packet
---------------------
DISPATCH sorts by where a packet came in: from the tunnel, from the node itself (tun0), from a pod.

A pod's packet is believed only if source MAC and address are the port's own (POD_INGRESS); it is then tagged with
the network's VNID (reg0) and address space (reg3), and with the sender's cluster address (reg5) if that space is one
of its own. ARP and neighbour solicitations are answered right there (ARP_RESPONDER, ND_ANSWERS); nothing else of the
discovery of neighbours and routers is taken from a pod. TRACKING commits what a network begins that may begin more
than it may be asked. CROSSING decides whose range the destination is in: the sender's own, a connected network's (or
a prefix that stands for it: then the network bits of both addresses become those that the receiver knows), or none of
them; then the packet goes on in the shared space, from the cluster address. An ICMP error whose addresses were changed
there quotes a packet in the old ones: LEAVING_ERRORS sends it through the node's translator of quotes and ICMP_INGRESS
takes it back. ARRIVING_ERRORS does so where LOCAL changed the destination. EGRESS_POLICY is the sender's policy,
ROUTING decides between this node's pods (LOCAL), other nodes' pods (TUNNEL_EGRESS), the nodes themselves (NODE_GUARD)
and everything outside (out by tun0).

Of a pod that may send or get so much a second only, a meter drops what is above that: in DISPATCH before anything else
is done for it, in OUTPUT when everything is decided.

Where a mirror says so, SENT copies what a pod sends as soon as it is believed, and RECEIVED what it gets. A copy has
the mirror's number for its destination MAC and goes straight to the target's port, or by the tunnel to the target's
node with the VNID of copies, by which it is accepted as a copy and as nothing else.

SERVICES asks conntrack about what goes to a service address: what belongs to a connection gets the endpoint's address
right there (SERVICE_CONNECTIONS). What begins one is a packet to the service's network until DELIVERY has decided the
pair; then BALANCING chooses an endpoint, commits, and the packet goes on to EGRESS_POLICY with its address. Where
clients stay with their endpoint, AFFINITY knows for some time which it was, and ENDPOINTS sends there. From then on
the packet carries the service's VNID (reg6, between nodes in the inner source MAC): where a connection is for services
only, the receiver's node lets it in by that. SERVICE_REPLIES gives answers the service's address again, on the client's
node, before anything else looks at them. Of a service without endpoints a packet leaves by tun0, where the node's
kernel refuses it at once. A pod that is its own endpoint, and a node that gets to one by tun0, is met from the hairpin
address instead of its own.

What others send to a node port, the node's kernel hands over by tun0: from the node itself, to an address that stands
for this node and, with the node port, for the service. To us it is the node that asks, so that whoever reaches a node
reaches its node ports, in whichever network; the answers are the kernel's to give back.

Where a service leads who comes from outside to endpoints on the node that he came to, the kernel hands him over by his
own address, to the service's. NODE_INGRESS marks him (reg8) and asks the node's conntrack zone, in which ROUTING asks
who it is that his endpoint answers; the rest is as for any service, among the node's own endpoints. Where there is none
he is dropped.

What pods send to the outside may have to leave by an address of their network's (an egress), which one of the nodes
holds. ROUTING says which address that is, by the pod (reg7), and EGRESS, where it is: on another node, to which the
packet goes by the tunnel, with the address in its inner source MAC; or here, where conntrack gives it that source, and
EGRESS_OUTPUT lets it out by tun0 only if it has it then. What comes back to the address, EGRESS_REPLIES knows by
conntrack, and it goes on from ROUTING with the VNID of the network that asked. While no node holds the address,
EGRESS drops.

An egress may lead by a pod instead, a gateway: reg7 is then that pod's cluster address, by which its node knows it in
the same way (GATEWAY_BY, GATEWAY_ARRIVES). There the packet is committed with its VNID and given to the pod as it is.
What the pod sends from other addresses than its own is believed only as the answer to that (GATEWAY_REPLIES).

What goes to another node leaves by the tunnel port that ENCAPSULATION names, so that one flow says whether a node sends
by VXLAN or by Geneve; a node takes both.

A tunnel packet is believed only from the address of a known node, and only if both inner MACs are such as a node
writes; its tunnel id is the sender's VNID, and its inner destination MAC tells the space of the destination. It goes to
LOCAL, where the destination's VNID (reg1) and port (reg2) are found among this node's pods, by space and address; a
cluster address becomes the pod's own there. INGRESS_POLICY is the receiver's policy, and DELIVERY decides the pair
(reg0, reg1): no flow for the pair, no delivery. Where a pair may not begin everything, DELIVERY asks conntrack in the
receiver's zone, and REPLIES lets pass what answers to something that the receiver began.

The node's packets (NODE_INGRESS) carry VNID 0. From tun0 only the node's own source addresses are accepted, and
what NODE_REPLIES recognises as the answer to a connection that a pod began (OUTPUT committed it to conntrack).

Every table ends in an explicit drop, so that drops are counted. `goto` only leads forward.

Rules of this file
------------------
Numbers are pinned and have gaps; a number once released is not given another meaning. Every (table, priority) is one
Stage, and every Stage belongs to one feature: two features cannot touch the same packet at the same priority.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from topology.fields import REG0, REG1, REG2, REG3, REG4, REG5, REG6, REG7, REG8, Field


class Table(IntEnum):
    """The tables, in the order in which packets meet them."""

    DISPATCH = 0
    TUNNEL_INGRESS = 10
    NODE_INGRESS = 20
    NODE_REPLIES = 25
    EGRESS_REPLIES = 26
    ICMP_INGRESS = 28
    POD_INGRESS = 30
    GATEWAY_REPLIES = 31
    SENT = 33
    ARP_RESPONDER = 35
    TRACKING = 36
    ND_ANSWERS = 37
    CROSSING = 38
    LEAVING_ERRORS = 39
    SERVICES = 40
    SERVICE_CONNECTIONS = 42
    EGRESS_POLICY = 50
    ROUTING = 60
    SERVICE_REPLIES = 65
    HAIRPIN = 67
    LOCAL = 70
    NODE_GUARD = 72
    ARRIVING_ERRORS = 74
    INGRESS_POLICY = 75
    DELIVERY = 80
    REPLIES = 85
    TUNNEL_EGRESS = 90
    EGRESS = 95
    EGRESS_OUTPUT = 97
    ENCAPSULATION = 98
    OUTPUT = 100
    RECEIVED = 102
    AFFINITY = 105
    BALANCING = 110
    ENDPOINTS = 112
    LEARNING = 114
    SENTINELS = 250


TABLE_PURPOSE: Final[dict[Table, str]] = {
    Table.DISPATCH: "Sorts packets by where they came in.",
    Table.TUNNEL_INGRESS: "Accepts tunnel packets from known nodes to this subnet; the tunnel id is the source VNID.",
    Table.NODE_INGRESS: "Accepts what the node itself sends by tun0.",
    Table.NODE_REPLIES: "Accepts from tun0 the replies to connections that pods began.",
    Table.EGRESS_REPLIES: "Accepts from tun0 the replies to what left by an address of its network's.",
    Table.ICMP_INGRESS: "Takes back ICMP errors from the translator of quotes (icmp0), and what was known of them.",
    Table.POD_INGRESS: "Anti-spoofing; tags a pod's packets with VNID and address space.",
    Table.GATEWAY_REPLIES: "Accepts from a gateway pod the replies to what it was given, for networks that it serves.",
    Table.SENT: "Copies what pods send, where a mirror says so.",
    Table.ARP_RESPONDER: "Answers ARP, per address space; makes advertisements of neighbour solicitations.",
    Table.TRACKING: "Commits what pods begin of networks that may begin more than they may be asked.",
    Table.ND_ANSWERS: "Writes the MAC into neighbour advertisements, and sends them back.",
    Table.CROSSING: "From one address space to another: a pod's own, a connected network's, the shared one.",
    Table.LEAVING_ERRORS: "Sends ICMP errors whose ends were translated to the translator of quotes.",
    Table.SERVICES: "Asks conntrack about what goes to service addresses.",
    Table.SERVICE_CONNECTIONS: "Lets pass what belongs to a connection; finds the network that another begins with.",
    Table.EGRESS_POLICY: "The sender's network policy.",
    Table.ROUTING: "Decides by destination: this node's pods, other nodes' pods, nodes, outside.",
    Table.SERVICE_REPLIES: "Gives answers of endpoints the service's address again.",
    Table.HAIRPIN: "Gives a pod that a service leads to itself another address to be met from.",
    Table.LOCAL: "Finds the destination's VNID, port and MAC among this node's pods.",
    Table.NODE_GUARD: "Keeps pods from the nodes' tunnel, OpenFlow, OVSDB and REST ports.",
    Table.ARRIVING_ERRORS: "Sends ICMP errors to a cluster address to the translator of quotes.",
    Table.INGRESS_POLICY: "The receiver's network policy.",
    Table.DELIVERY: "Decides whether the source VNID may talk to the destination VNID.",
    Table.REPLIES: "Lets the replies pass where the pair may not begin anything.",
    Table.TUNNEL_EGRESS: "Sends to the node that has the destination, with the source VNID as tunnel id.",
    Table.EGRESS: "Lets pods leave by an address of their network's: here, by the node that holds it, or not at all.",
    Table.EGRESS_OUTPUT: "Sends out by tun0 what has got that address as its source, and nothing else.",
    Table.ENCAPSULATION: "Sends to another node, by the tunnel port of this node's encapsulation.",
    Table.OUTPUT: "Sends out through the port that was decided; connections to the outside are committed.",
    Table.RECEIVED: "Sends out to a pod what is for it; copies it, where a mirror says so.",
    Table.AFFINITY: "Holds what a switch has learnt by itself: which endpoint a client of a service stays with.",
    Table.BALANCING: "Chooses an endpoint of a service for a connection that may begin, and commits it.",
    Table.ENDPOINTS: "Of services whose clients stay with an endpoint: the one that is known by now, or any.",
    Table.LEARNING: "Lets the switch learn which endpoint was chosen for a client.",
    Table.SENTINELS: "No packet comes here: holds the sum of the cookies per feature and shard.",
}

# Registers. All are zero when a packet comes in.
SOURCE_VNID: Final[Field] = REG0
DESTINATION_VNID: Final[Field] = REG1
OUTPUT_PORT: Final[Field] = REG2
SPACE: Final[Field] = REG3
SCRATCH: Final[Field] = REG4
CLUSTER_SOURCE: Final[Field] = REG5
BY_SERVICE: Final[Field] = REG6
EGRESS_ADDRESS: Final[Field] = REG7
OUTSIDE: Final[Field] = REG8

REGISTER_PURPOSE: Final[dict[Field, str]] = {
    SOURCE_VNID: "source VNID",
    DESTINATION_VNID: "destination VNID",
    OUTPUT_PORT: "ofport to send out by",
    SPACE: "address space of the destination",
    SCRATCH: "scratch inside one table; from CROSSING to LEAVING_ERRORS the sender's own address; the endpoint learnt; "
    "of an error that comes back by icmp0, VNID of the service that answers",
    CLUSTER_SOURCE: "cluster address of a sender whose address is in a space of its own",
    BY_SERVICE: "VNID of the service by whose address the destination was named",
    EGRESS_ADDRESS: "address by which the packet is to leave for the outside, or of the gateway pod",
    OUTSIDE: "1: to a service, from outside by the client's own address; what may be answers to such clients: 2 of the "
    "node, 3 of an endpoint",
}

# Conntrack zones: of the pipeline itself, and those that are allotted to networks.
NODE_ZONE: Final = 1
SERVICE_ZONE: Final = 2
HAIRPIN_ZONE: Final = 3
NODE_HAIRPIN_ZONE: Final = 4  # apart, or what one answers would be taken for the other's
EGRESS_ZONE: Final = 5
GATEWAY_ZONE: Final = 6
FIRST_NETWORK_ZONE: Final = 16
LAST_NETWORK_ZONE: Final = 0xFFFF

# A port has two meters, whose ids follow from its ofport: twice that for what it sends, one more for what it gets.
FROM_POD: Final = 0
TO_POD: Final = 1
METERS_OF_PORT: Final = 2
# Rates are in kilobits a second. What may come at once is a quarter of a second's, but at least two of the largest
# segments that a kernel hands over as one.
MOST_RATE: Final = 0xFFFF_FFFF
BURSTS_IN_SECOND: Final = 4
LEAST_BURST: Final = 1100

# Between nodes the inner destination MAC carries the address space: this prefix, and the number in the low 24 bits.
SPACE_MAC: Final = 0x0A59_0000_0000
SPACE_BITS: Final = 24
VNID_BITS: Final = 24
# The inner source MAC carries BY_SERVICE in the same way.
SERVICE_MAC: Final = 0x0A5A_0000_0000

# Or it carries EGRESS_ADDRESS: this prefix, and the address.
EGRESS_MAC: Final = 0x0A5B_0000_0000

# Copies of mirrors go between nodes with this VNID, which no network has; the inner destination MAC is then this prefix
# and the mirror's number. No pod has such a MAC, so no kernel takes a copy for its own.
MIRROR_VNID: Final = 1
MIRROR_MAC: Final = 0x0A5C_0000_0000

# In OUTPUT_PORT, no port: the load balancer. Ports have numbers up to 0xffffff00 (OpenFlow 1.5.1, 7.2.1).
BALANCER: Final = 0xFFFF_FF10

# In OUTSIDE.
FROM_OUTSIDE: Final = 1
ANSWERED_BY_NODE: Final = 2
ASKED: Final = 3

# What goes to the translator of quotes and comes back by icmp0 says in its MACs what the switch would forget:
# destination: ICMP_MAC, VNID of the sender (24 bits), high 16 bits of the sender's address before it was changed;
# source: one of the three others, space of the destination (24 bits), low 16 bits of that address.
# What arrives has its sender's address still. A service's VNID stands in its place, which is nobody's address
# (0.0.0.0/8): the one by which the destination was named, or the one whose endpoint sent what the error answers.
ICMP_MAC: Final = 0x0E
LEAVING_MAC: Final = 0x0E
ARRIVING_MAC: Final = 0x1E
ANSWERING_MAC: Final = 0x2E
ICMP_ERRORS: Final = (3, 11, 12)  # unreachable (fragmentation needed too), time exceeded, parameter problem (IANA)


class FeatureId(IntEnum):
    """The first byte of a cookie: which feature owns a flow."""

    BASE = 1
    NODE = 2
    GUARD = 3
    ARP = 4
    TUNNELS = 5
    PORTS = 6
    NETWORKS = 7
    CONNECTIONS = 8
    SERVICES = 9
    SPACES = 10
    BLOCKS = 11
    TRACKING = 12
    ND = 13
    ERRORS = 20
    EGRESS = 21
    GATEWAYS = 22
    LIMITS = 30
    MIRRORS = 31
    OUTSIDE = 40
    LEARNT = 254
    SENTINEL = 255


class Stage(NamedTuple):
    """One (table, priority), the feature that owns it, and what its flows do."""

    table: Table
    priority: int
    feature: FeatureId
    purpose: str


_BASE, _NODE, _GUARD, _ARP = FeatureId.BASE, FeatureId.NODE, FeatureId.GUARD, FeatureId.ARP
_TUNNELS, _PORTS, _NETWORKS = FeatureId.TUNNELS, FeatureId.PORTS, FeatureId.NETWORKS
_CONNECTIONS, _SERVICES = FeatureId.CONNECTIONS, FeatureId.SERVICES
_SPACES, _BLOCKS, _TRACKING = FeatureId.SPACES, FeatureId.BLOCKS, FeatureId.TRACKING
_ERRORS, _EGRESS, _OUTSIDE = FeatureId.ERRORS, FeatureId.EGRESS, FeatureId.OUTSIDE
_LIMITS, _MIRRORS, _GATEWAYS = FeatureId.LIMITS, FeatureId.MIRRORS, FeatureId.GATEWAYS
_ND = FeatureId.ND

DISPATCH_TUNNEL: Final = Stage(Table.DISPATCH, 110, _BASE, "from vxlan0 or geneve0: TUNNEL_INGRESS")
DISPATCH_ICMP: Final = Stage(Table.DISPATCH, 105, _ERRORS, "from icmp0: ICMP_INGRESS")
DISPATCH_NODE: Final = Stage(Table.DISPATCH, 100, _BASE, "from tun0: NODE_INGRESS")
DISPATCH_LIMITED: Final = Stage(Table.DISPATCH, 20, _LIMITS, "from a pod that may send so much only: metered, as any")
DISPATCH_POD: Final = Stage(Table.DISPATCH, 10, _BASE, "from any other port: POD_INGRESS")

TUNNEL_COPY: Final = Stage(
    Table.TUNNEL_INGRESS, 110, _MIRRORS, "a copy that a mirror's node sent, by the mirror's number: to its target"
)
TUNNEL_NO_COPY: Final = Stage(Table.TUNNEL_INGRESS, 105, _BASE, "any other copy: dropped")
TUNNEL_PEER: Final = Stage(
    Table.TUNNEL_INGRESS,
    100,
    _TUNNELS,
    "from a known node, in MACs of ours: VNID from the tunnel id, the rest from them",
)

NODE_ND: Final = Stage(Table.NODE_INGRESS, 115, _NODE, "neighbour solicitation of the node itself")
NODE_ARP: Final = Stage(Table.NODE_INGRESS, 110, _NODE, "ARP of the node itself")
NODE_HAIRPIN: Final = Stage(Table.NODE_INGRESS, 105, _NODE, "answers to the hairpin address: to the node again")
NODE_SOURCE: Final = Stage(Table.NODE_INGRESS, 100, _NODE, "the node's own source address, to a pod: VNID 0")
NODE_SERVICE: Final = Stage(
    Table.NODE_INGRESS, 90, _NODE, "the node's own source address, to a service or a node port: VNID 0"
)
NODE_TRACK: Final = Stage(Table.NODE_INGRESS, 50, _NODE, "any other source, to this node's subnet: conntrack decides")
NODE_INSIDE: Final = Stage(
    Table.NODE_INGRESS,
    45,
    _OUTSIDE,
    "from an address of pods, services or what stands for a node, to a service: dropped",
)
NODE_OUTSIDE: Final = Stage(
    Table.NODE_INGRESS, 40, _OUTSIDE, "from any other address, to a service: conntrack, and its endpoint if it has one"
)
EGRESS_BACK: Final = Stage(
    Table.NODE_INGRESS, 60, _EGRESS, "to an address that this node holds: conntrack, and the pod that left by it"
)
NODE_REPLY: Final = Stage(Table.NODE_REPLIES, 100, _NODE, "reply of a connection that a pod began")
NODE_RELATED: Final = Stage(Table.NODE_REPLIES, 90, _NODE, "ICMP error that belongs to such a connection")

EGRESS_REPLY: Final = Stage(
    Table.EGRESS_REPLIES, 100, _BASE, "reply of a connection that left by the address: VNID of who began it"
)
EGRESS_RELATED: Final = Stage(Table.EGRESS_REPLIES, 90, _BASE, "ICMP error that belongs to such a connection")

ICMP_BACK: Final = Stage(
    Table.ICMP_INGRESS, 100, _ERRORS, "an error with its quote translated: VNID, space and service from the MACs"
)

POD_ND: Final = Stage(
    Table.POD_INGRESS, 130, _PORTS, "neighbour solicitation with the port's own MAC and address, or link-local one"
)
POD_NO_ND: Final = Stage(
    Table.POD_INGRESS, 120, _ND, "any other discovery of neighbours and routers, or DHCPv6 to clients: dropped"
)
POD_ADDRESS: Final = Stage(Table.POD_INGRESS, 100, _PORTS, "the port's own MAC and address: tagged with VNID and space")
POD_ARP: Final = Stage(Table.POD_INGRESS, 90, _PORTS, "ARP request with the port's own MAC and address")
POD_GATEWAY: Final = Stage(
    Table.POD_INGRESS, 80, _GATEWAYS, "from a gateway pod, of any other address: conntrack tells what it answers"
)

GATEWAY_REPLY: Final = Stage(
    Table.GATEWAY_REPLIES, 100, _GATEWAYS, "reply to what the gateway was given of a network that it serves: its VNID"
)
GATEWAY_RELATED: Final = Stage(Table.GATEWAY_REPLIES, 90, _GATEWAYS, "ICMP error that belongs to such a connection")

SENT_COPIED: Final = Stage(Table.SENT, 100, _MIRRORS, "from a pod that is mirrored: copies to targets, and on")
SENT_NONE: Final = Stage(Table.SENT, 10, _BASE, "from any other: on to TRACKING")

ARP_ANSWER: Final = Stage(
    Table.ARP_RESPONDER, 100, _ARP, "a request for an address of the space: the MAC is derived from it"
)

ND_SOLICITED: Final = Stage(
    Table.ARP_RESPONDER, 90, _ND, "a solicitation of an address of the space: the advertisement of it, to who asked"
)
ND_ADVERTISED: Final = Stage(Table.ND_ANSWERS, 100, _ND, "an advertisement: the MAC derived from the address, and back")
ND_MISS: Final = Stage(Table.ND_ANSWERS, 0, _ND, "nothing matched: dropped")

TRACK: Final = Stage(Table.TRACKING, 100, _TRACKING, "from a network with one-way connections: committed in its zone")
NO_TRACK: Final = Stage(Table.TRACKING, 10, _BASE, "any other: on to CROSSING")

CROSS_NOT: Final = Stage(Table.CROSSING, 200, _SPACES, "within the sender's own range")
CROSS_SELF: Final = Stage(Table.CROSSING, 160, _PORTS, "to the pod's own cluster address: back to it")
CROSS_PEER: Final = Stage(Table.CROSSING, 150, _CONNECTIONS, "to the range of a connected network: its space")
CROSS_TRANSLATED: Final = Stage(
    Table.CROSSING, 140, _CONNECTIONS, "to a translated prefix of a connected network: both ends translated, its space"
)
CROSS_LEAVE: Final = Stage(Table.CROSSING, 100, _SPACES, "elsewhere: the shared space, by the cluster address")
CROSS_SHARED: Final = Stage(Table.CROSSING, 10, _BASE, "the sender is in the shared space")

LEAVING_ERROR: Final = Stage(Table.LEAVING_ERRORS, 100, _ERRORS, "an ICMP error: by icmp0 to the translator")
LEAVING_BACK: Final = Stage(Table.LEAVING_ERRORS, 50, _ERRORS, "to the pod that sent it: back by its port")
LEAVING_NONE: Final = Stage(Table.LEAVING_ERRORS, 10, _ERRORS, "anything else: on to SERVICES")

SERVICE_RANGE: Final = Stage(Table.SERVICES, 100, _BASE, "a service address: conntrack, and its endpoint if it has one")
SERVICE_NODE_PORT: Final = Stage(
    Table.SERVICES, 90, _BASE, "by tun0 to a node port of this node: conntrack, and its endpoint if it has one"
)
NO_SERVICE: Final = Stage(Table.SERVICES, 10, _BASE, "no service address: on to policy")

SERVICE_KNOWN: Final = Stage(
    Table.SERVICE_CONNECTIONS, 200, _BASE, "of a connection, or an error about one: VNID of the service, on to policy"
)
SERVICE_PORT: Final = Stage(
    Table.SERVICE_CONNECTIONS,
    100,
    _SERVICES,
    "to a service's address and port, or to its node port: DELIVERY decides, for its VNID",
)
OUTSIDE_NEAR: Final = Stage(
    Table.SERVICE_CONNECTIONS, 120, _OUTSIDE, "from outside, by an address that the service's network knows: dropped"
)
OUTSIDE_PORT: Final = Stage(
    Table.SERVICE_CONNECTIONS, 110, _OUTSIDE, "from outside, to a service with endpoints here: DELIVERY decides"
)
OUTSIDE_NONE: Final = Stage(Table.SERVICE_CONNECTIONS, 105, _OUTSIDE, "from outside, to any other service: dropped")
NODE_PORT_NONE: Final = Stage(Table.SERVICE_CONNECTIONS, 50, _BASE, "to a node port of no service: refused")

EGRESS_POLICY_NONE: Final = Stage(Table.EGRESS_POLICY, 10, _BASE, "no policy: on to ROUTING")

ROUTE_MULTICAST: Final = Stage(Table.ROUTING, 300, _BASE, "multicast, broadcast, and IPv6's link-local: dropped")
ROUTE_HAIRPIN: Final = Stage(Table.ROUTING, 250, _BASE, "answers to the hairpin address: to the pod that sent them")
ROUTE_GUARDED: Final = Stage(Table.ROUTING, 200, _GUARD, "a node's or a controller's address: NODE_GUARD")
ROUTE_LOCAL: Final = Stage(Table.ROUTING, 150, _NODE, "this node's subnet: SERVICE_REPLIES")
ROUTE_BLOCK: Final = Stage(Table.ROUTING, 140, _BLOCKS, "addresses of a network's own on this node: LOCAL")
ROUTE_CLUSTER: Final = Stage(Table.ROUTING, 100, _BASE, "the rest of the cluster CIDR: TUNNEL_EGRESS")
ROUTE_SPACE: Final = Stage(Table.ROUTING, 90, _SPACES, "the rest of a network's own range: TUNNEL_EGRESS")
ROUTE_ANSWER: Final = Stage(
    Table.ROUTING, 25, _OUTSIDE, "everything else, said by such an endpoint: from the service if it answers; again"
)
ROUTE_NODE_PORTS: Final = Stage(Table.ROUTING, 30, _BASE, "what stands for a node: out by tun0")
ROUTE_GATEWAY: Final = Stage(
    Table.ROUTING, 22, _GATEWAYS, "everything else, of a pod that leaves by a gateway pod: EGRESS"
)
ROUTE_EGRESS: Final = Stage(
    Table.ROUTING, 20, _EGRESS, "everything else, of a pod that leaves by an address of its network's: EGRESS"
)
ROUTE_OUTSIDE: Final = Stage(Table.ROUTING, 10, _BASE, "everything else: out by tun0")

GATEWAY_ARRIVES: Final = Stage(
    Table.SERVICE_REPLIES, 115, _GATEWAYS, "from another node, for a gateway pod on this one: EGRESS"
)
EGRESS_ARRIVES: Final = Stage(
    Table.SERVICE_REPLIES, 110, _EGRESS, "from another node, to leave by an address that this one holds: EGRESS"
)
SERVICE_REPLY: Final = Stage(
    Table.SERVICE_REPLIES, 100, _BASE, "in the shared space: conntrack, and the service's address if it is an answer"
)
SERVICE_REPLY_NONE: Final = Stage(Table.SERVICE_REPLIES, 10, _BASE, "any other: on to LOCAL")

HAIRPIN_SELF: Final = Stage(Table.HAIRPIN, 100, _PORTS, "from a pod to itself, by a service: from the hairpin address")
HAIRPIN_NONE: Final = Stage(Table.HAIRPIN, 10, _BASE, "any other: on to LOCAL")

LOCAL_GATEWAY: Final = Stage(Table.LOCAL, 200, _GUARD, "the gateway address of this node: NODE_GUARD")
LOCAL_POD: Final = Stage(Table.LOCAL, 100, _PORTS, "a pod's address: its VNID, port and MAC")

LOCAL_ITSELF: Final = Stage(Table.LOCAL, 60, _OUTSIDE, "the node's answer to nobody's question: dropped")
LOCAL_ANSWER: Final = Stage(
    Table.LOCAL, 50, _OUTSIDE, "the node's answer to who came from outside: from the service again, out by tun0"
)

GUARDED_PORT: Final = Stage(Table.NODE_GUARD, 100, _GUARD, "a guarded port: dropped")
GUARD_PASS: Final = Stage(Table.NODE_GUARD, 10, _GUARD, "any other port of a node: out by tun0")

ANSWERING_AGAIN: Final = Stage(
    Table.ARRIVING_ERRORS, 130, _ERRORS, "an answer by a service that came by icmp0: there again, with its mark"
)
ANSWERING_ERROR: Final = Stage(
    Table.ARRIVING_ERRORS, 120, _ERRORS, "an ICMP error that answers by a service: to the translator, with its mark"
)
ARRIVING_AGAIN: Final = Stage(Table.ARRIVING_ERRORS, 110, _ERRORS, "an ICMP error that came by icmp0: there again")
ARRIVING_ERROR: Final = Stage(Table.ARRIVING_ERRORS, 100, _ERRORS, "an ICMP error: by icmp0 to the translator")
ARRIVING_NONE: Final = Stage(Table.ARRIVING_ERRORS, 10, _ERRORS, "anything else: on to policy")

INGRESS_POLICY_NONE: Final = Stage(Table.INGRESS_POLICY, 10, _BASE, "no policy: on to DELIVERY")

DELIVER_WITHIN: Final = Stage(Table.DELIVERY, 100, _NETWORKS, "within one network")
DELIVER_ERROR: Final = Stage(
    Table.DELIVERY, 96, _CONNECTIONS, "an ICMP error that answers by a service, back from the translator"
)
DELIVER_PORT: Final = Stage(Table.DELIVERY, 95, _CONNECTIONS, "to a port that a connection names")
DELIVER_SERVICE: Final = Stage(Table.DELIVERY, 94, _CONNECTIONS, "by a service, where a connection is for services")
DELIVER_ANSWER: Final = Stage(
    Table.DELIVERY, 93, _CONNECTIONS, "an answer by a service, where a connection is for services"
)
DELIVER_REPLY: Final = Stage(Table.DELIVERY, 92, _CONNECTIONS, "where nothing else may begin: REPLIES decides")
DELIVER_CONNECTED: Final = Stage(Table.DELIVERY, 90, _CONNECTIONS, "between two connected networks")
DELIVER_FROM_GLOBAL: Final = Stage(Table.DELIVERY, 80, _NETWORKS, "from a global network to any")
DELIVER_TO_GLOBAL: Final = Stage(Table.DELIVERY, 70, _NETWORKS, "from any network to a global one")

REPLY_KNOWN: Final = Stage(Table.REPLIES, 100, _CONNECTIONS, "a reply to what the receiver began, and may begin")
REPLY_RELATED: Final = Stage(Table.REPLIES, 90, _BASE, "an ICMP error that belongs to a connection")

TUNNEL_ROUTE: Final = Stage(Table.TUNNEL_EGRESS, 100, _TUNNELS, "another node's subnet: its VTEP")

TUNNEL_BLOCK: Final = Stage(Table.TUNNEL_EGRESS, 90, _BLOCKS, "addresses of a network on another node: its VTEP")

EGRESS_BY: Final = Stage(
    Table.EGRESS, 100, _EGRESS, "by an address of the network's: translated here, or to the node that holds it"
)
GATEWAY_BY: Final = Stage(
    Table.EGRESS, 95, _GATEWAYS, "by a gateway pod: committed and given to it here, or to the node that it is on"
)
EGRESS_CLOSED: Final = Stage(Table.EGRESS, 90, _EGRESS, "by an address that no node holds: dropped")
EGRESS_LEAVES: Final = Stage(Table.EGRESS_OUTPUT, 100, _EGRESS, "with that address as its source: out by tun0")

ENCAPSULATE: Final = Stage(Table.ENCAPSULATION, 10, _NODE, "out by vxlan0, or by geneve0, as this node is to send")

OUTPUT_BALANCER: Final = Stage(Table.OUTPUT, 120, _BASE, "to the load balancer: BALANCING")
OUTPUT_HAIRPIN: Final = Stage(Table.OUTPUT, 115, _NODE, "by tun0 what came by it: from the hairpin address")
OUTPUT_OWN: Final = Stage(Table.OUTPUT, 110, _NODE, "by tun0 to the node itself")
OUTPUT_ANSWER: Final = Stage(Table.OUTPUT, 105, _OUTSIDE, "by tun0 from a service, to who came from outside")
OUTPUT_TUN: Final = Stage(Table.OUTPUT, 100, _NODE, "by tun0 to anywhere else: committed, so that replies are known")
OUTPUT_LIMITED: Final = Stage(Table.OUTPUT, 20, _LIMITS, "to a pod that may get so much only: metered")
OUTPUT_POD: Final = Stage(Table.OUTPUT, 10, _BASE, "to a pod: RECEIVED")

RECEIVED_COPIED: Final = Stage(Table.RECEIVED, 100, _MIRRORS, "to a pod that is mirrored: copies to targets, and out")
RECEIVED_NONE: Final = Stage(Table.RECEIVED, 10, _BASE, "to any other: out by its port")

BALANCE: Final = Stage(
    Table.BALANCING,
    100,
    _SERVICES,
    "to a service's address and port, or to its node port: one of its endpoints; without any, refused",
)

BALANCE_OUTSIDE: Final = Stage(
    Table.BALANCING, 110, _OUTSIDE, "from outside: one of the endpoints here; refused where there is none anywhere"
)

OUTSIDE_KNOWN: Final = Stage(Table.ENDPOINTS, 110, _OUTSIDE, "from outside, to the endpoint that the client stays with")
OUTSIDE_ANY: Final = Stage(Table.ENDPOINTS, 105, _OUTSIDE, "from outside, to any of the endpoints here, by LEARNING")
OUTSIDE_LEARNT: Final = Stage(Table.LEARNING, 110, _OUTSIDE, "from outside: the client stays with this endpoint")
ENDPOINT_KNOWN: Final = Stage(Table.ENDPOINTS, 100, _SERVICES, "to the endpoint that the client stays with")
ENDPOINT_ANY: Final = Stage(Table.ENDPOINTS, 50, _SERVICES, "to any of the endpoints, by LEARNING")
ENDPOINT_LEARNT: Final = Stage(Table.LEARNING, 100, _SERVICES, "the client stays with this endpoint from now on")

# In these tables stands what is compared with nothing: sums of cookies, and what a switch has learnt.
APART: Final = frozenset({Table.SENTINELS, Table.AFFINITY})
LEARNT_PRIORITY: Final = 100  # in AFFINITY

TABLE_MISS: Final[dict[Table, Stage]] = {
    table: Stage(table, 0, _BASE, "nothing matched: dropped")
    for table in Table
    if table not in APART and table is not Table.ND_ANSWERS  # which is empty where there is no IPv6
}

SENTINEL: Final = Stage(Table.SENTINELS, 1, FeatureId.SENTINEL, "sum of the cookies of one feature and shard")


def stages() -> tuple[Stage, ...]:
    """Return every stage, by table and falling priority."""
    named = [value for value in globals().values() if isinstance(value, Stage)]
    return tuple(sorted([*named, *TABLE_MISS.values()], key=lambda stage: (stage.table, -stage.priority)))
