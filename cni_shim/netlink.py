"""rtnetlink by hand: messages for links, addresses and routes, and what the kernel answers (rtnetlink(7)).

A socket belongs to the network namespace that it was made in. No policy: callers say what to make and to look up.
"""

from __future__ import annotations

import _socket
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from _struct import pack, unpack_from
from posix import strerror

from cni_shim.errors import IO_FAILURE, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE = 20, 22, 24, 26
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC = 1, 3, 4, 18, 20, 26
IFLA_NEW_IFINDEX = 49
IFLA_GROUP, IFLA_NET_NS_FD, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 27, 28, 1, 2, 1
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
IFF_UP = 0x1
RT_TABLE_UNSPEC, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 0, 254, 4, 0, 253, 1
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NLM_F_ACK_TLVS, NLMSGERR_ATTR_MSG = 270, 10, 11, 0x200, 1
_NESTED = 0x8000
RTNH_F_ONLINK = 4
_ROUTE_KEPT = (RTA_DST, RTA_OIF, RTA_GATEWAY, 6, 7, 8, RTA_TABLE)  # priority, preferred source, metrics


class NetlinkError(ShimError):
    """The kernel refused. `errno`: its reason as a number."""

    def __init__(self, errno: int, what: str, reason: str) -> None:
        super().__init__(IO_FAILURE, f"the kernel refused to {what}", reason)
        self.errno: Final = errno


class Message:
    """One request. `what`: what it does, in words for an error."""

    __slots__ = ("body", "flags", "kind", "what")

    def __init__(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self.kind: Final = kind
        self.flags: Final = flags
        self.body: Final = body
        self.what: Final = what


class Netlink:
    """A NETLINK_ROUTE socket in the caller's network namespace."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def do(self, *messages: Message, ignore: int = 0) -> list[Message]:
        """Have the kernel carry out `messages` in order; NetlinkError for the first that it refuses.

        It goes on with the others then. `ignore`: an errno that is no refusal; returns what the kernel answered so.
        """
        if not messages:
            return []  # the kernel has no answer to nothing
        first = self._sequence + 1
        buffer = b"".join(self._framed(message, NLM_F_ACK) for message in messages)
        self._socket.sendall(buffer)
        refused, ignored = None, []
        answered = 0
        while answered < len(messages):
            for kind, flags, sequence, payload in _split(self._socket.recv(65536)):
                if kind != NLMSG_ERROR or sequence < first:
                    continue
                answered += 1
                error = -unpack_from("=i", payload)[0]
                if error and error == ignore:
                    ignored.append(messages[sequence - first])
                elif error and refused is None:
                    what = messages[sequence - first].what
                    refused = NetlinkError(error, what, _reason(error, flags, payload))
        if refused is not None:
            raise refused
        return ignored

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The payloads of the answers to a dump request."""
        self._socket.sendall(self._framed(Message(kind, NLM_F_DUMP, body, "list"), 0))
        found: list[bytes] = []
        while True:
            for answer, _, sequence, payload in _split(self._socket.recv(65536)):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return found
                if answer == NLMSG_ERROR:
                    error = -unpack_from("=i", payload)[0]
                    raise NetlinkError(error, "list links, addresses, routes or rules", _reason(error, 0, payload))
                found.append(payload)

    def _framed(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        body = message.body
        size = 16 + len(body)
        return pack("=IHHII", size, message.kind, NLM_F_REQUEST | message.flags | flags, self._sequence, 0) + body


def _split(buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, sequence number and payload of each message in `buffer`."""
    position = 0
    while position + 16 <= len(buffer):
        size, kind, flags, sequence, _ = unpack_from("=IHHII", buffer, position)
        yield kind, flags, sequence, buffer[position + 16 : position + size]
        position += (size + 3) & ~3


def _reason(error: int, flags: int, payload: bytes) -> str:
    """The kernel's words for an error: its extended acknowledgement when there is one."""
    said = strerror(error)
    if flags & NLM_F_ACK_TLVS and NLMSGERR_ATTR_MSG in (attributes := parse(payload, 20)):
        said += " ({})".format(attributes[NLMSGERR_ATTR_MSG].rstrip(b"\0").decode())
    return said


def attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return pack("=HH", size, kind) + value + b"\0" * (-size % 4)


def parse(buffer: bytes, position: int) -> dict[int, bytes]:
    """The attributes of a message from `position` on, by their number."""
    found = {}
    while position + 4 <= len(buffer):
        size, kind = unpack_from("=HH", buffer, position)
        if size < 4:
            break
        found[kind & 0x3FFF] = buffer[position + 4 : position + size]
        position += (size + 3) & ~3
    return found


# -- links ------------------------------------------------------------------------------------------------------------


def _link(flags: int = 0, change: int = 0, index: int = 0) -> bytes:
    return pack("=BxHiII", 0, 0, index, flags, change)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def new_veth(host: str, host_mac: bytes, group: int, mtu: int, peer: tuple[str, int]) -> Message:
    """Make a veth: `host` here, in link group `group`; its other end `peer`: (name, file descriptor of a netns).

    `mtu`: bytes, of both ends.
    """
    name, namespace = peer
    other = _link() + attribute(IFLA_IFNAME, _text(name)) + attribute(IFLA_MTU, pack("=I", mtu))
    other += attribute(IFLA_NET_NS_FD, pack("=I", namespace))
    kind = attribute(IFLA_INFO_KIND, b"veth") + attribute(
        IFLA_INFO_DATA | _NESTED, attribute(VETH_INFO_PEER | _NESTED, other)
    )
    body = _link() + attribute(IFLA_IFNAME, _text(host)) + attribute(IFLA_ADDRESS, host_mac)
    body += attribute(IFLA_MTU, pack("=I", mtu)) + attribute(IFLA_GROUP, pack("=I", group))
    body += attribute(IFLA_LINKINFO | _NESTED, kind)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the veth {host} with {name}")


def host_end_up(name: str, alias: str) -> Message:
    """Bring link `name` up, without an IPv6 address of its own; `alias`: a note for operators and GC."""
    no_address = attribute(IFLA_INET6_ADDR_GEN_MODE, pack("=B", IN6_ADDR_GEN_MODE_NONE))
    body = _link(IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, _text(name)) + attribute(IFLA_IFALIAS, alias.encode())
    body += attribute(IFLA_AF_SPEC | _NESTED, attribute(AF_INET6 | _NESTED, no_address))
    return Message(RTM_SETLINK, 0, body, f"bring {name} up")


def move(link: int, namespace: int, name: str, index: int = 0) -> Message:
    """Move the link with index `link` into the namespace with this descriptor, as `name`; `index`: its one there."""
    body = _link(index=link) + attribute(IFLA_IFNAME, _text(name)) + attribute(IFLA_NET_NS_FD, pack("=I", namespace))
    if index:
        body += attribute(IFLA_NEW_IFINDEX, pack("=i", index))
    return Message(RTM_SETLINK, 0, body, f"move a link into the pod as {name}")


def set_mtu(name: str, mtu: int) -> Message:
    body = _link() + attribute(IFLA_IFNAME, _text(name)) + attribute(IFLA_MTU, pack("=I", mtu))
    return Message(RTM_SETLINK, 0, body, f"give {name} an MTU of {mtu} bytes")


def link_up(name: str, mac: bytes) -> Message:
    body = _link(IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, _text(name)) + attribute(IFLA_ADDRESS, mac)
    return Message(RTM_SETLINK, 0, body, f"bring {name} up with its MAC address")


def delete_link(name: str) -> Message:
    return Message(RTM_DELLINK, 0, _link() + attribute(IFLA_IFNAME, _text(name)), f"delete {name}")


class Link:
    """A link as the kernel tells it. `peer`: index of a veth's other end, 0 when there is none."""

    __slots__ = ("alias", "group", "index", "mac", "mtu", "name", "peer", "up")

    def __init__(self, payload: bytes) -> None:
        attributes = parse(payload, 16)
        _, self.index, flags = unpack_from("=HiI", payload, 2)
        self.up: Final = bool(flags & IFF_UP)
        self.name: Final = attributes[IFLA_IFNAME].rstrip(b"\0").decode()
        self.mac: Final = ":".join(f"{octet:02x}" for octet in attributes.get(IFLA_ADDRESS, b""))
        self.mtu: Final = int(unpack_from("=I", attributes[IFLA_MTU])[0])
        self.group: Final = int(unpack_from("=I", attributes[IFLA_GROUP])[0])
        self.alias: Final = attributes.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace")
        self.peer: Final = int(unpack_from("=I", attributes.get(5, bytes(4)))[0])  # IFLA_LINK


def links(netlink: Netlink) -> dict[str, Link]:
    """Every link of the socket's namespace, by name."""
    found = [Link(payload) for payload in netlink.dump(RTM_GETLINK, _link())]
    return {link.name: link for link in found}


# -- addresses and routes ---------------------------------------------------------------------------------------------


def packed(address: str) -> tuple[int, bytes]:
    """Address family and bytes of an IP address in text; ValueError when it is none."""
    family = AF_INET6 if ":" in address else AF_INET
    try:
        return family, inet_pton(family, address)
    except OSError:
        raise ValueError(f"{address!r} is not an IP address") from None


def prefix(text: str) -> tuple[int, bytes, int]:
    """Address family, bytes and length of `ADDRESS/LENGTH`; ValueError when it is malformed."""
    address, slash, length = text.partition("/")
    family, content = packed(address)
    if not slash or not length.isdigit() or int(length) > len(content) * 8:
        raise ValueError(f"{text!r} is not ADDRESS/LENGTH")
    return family, content, int(length)


def new_address(index: int, address: str) -> Message:
    """Give link `index` the address `ADDRESS/LENGTH`, at once usable (no duplicate address detection)."""
    family, content, length = prefix(address)
    body = pack("=BBBBi", family, length, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, content) + attribute(IFA_ADDRESS, content)
    if family == AF_INET and length < 31:
        number = int.from_bytes(content, "big") | ((1 << (32 - length)) - 1)
        body += attribute(IFA_BROADCAST, number.to_bytes(4, "big"))
    elif family == AF_INET6:
        body += attribute(IFA_FLAGS, pack("=I", IFA_F_NODAD))
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add the address {address}")


def new_route(index: int, destination: str, gateway: str, table: int = RT_TABLE_MAIN) -> Message:
    """Route `destination` (CIDR) over link `index`, by `gateway` ("" for on-link), in routing table `table`."""
    family, content, length = prefix(destination)
    scope = RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK
    small = table if table < 256 else RT_TABLE_UNSPEC
    body = pack("=BBBBBBBBI", family, length, 0, 0, small, RTPROT_STATIC, scope, RTN_UNICAST, 0)
    if length:
        body += attribute(RTA_DST, content)
    if gateway:
        body += attribute(RTA_GATEWAY, packed(gateway)[1])
    if not small:
        body += attribute(RTA_TABLE, pack("=I", table))
    body += attribute(RTA_OIF, pack("=i", index))
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"add the route {destination} by {gateway or 'link'}")


def addresses(netlink: Netlink, index: int) -> set[str]:
    """`ADDRESS/LENGTH` of every address of link `index`."""
    found = set()
    for payload in netlink.dump(RTM_GETADDR, pack("=BBBBi", 0, 0, 0, 0, 0)):
        family, length, _, _, owner = unpack_from("=BBBBi", payload)
        attributes = parse(payload, 8)
        content = attributes.get(IFA_LOCAL, attributes.get(IFA_ADDRESS))
        if owner == index and content is not None:
            found.add(f"{inet_ntop(family, content)}/{length}")
    return found


def routes(netlink: Netlink, index: int, table: int = RT_TABLE_MAIN) -> set[tuple[str, str]]:
    """Destination (CIDR) and gateway ("" for on-link) of every route in routing table `table` over link `index`."""
    found = set()
    for payload in netlink.dump(RTM_GETROUTE, pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _, _, small = unpack_from("=BBBBB", payload)
        attributes = parse(payload, 12)
        holder = unpack_from("=I", attributes[RTA_TABLE])[0] if RTA_TABLE in attributes else small
        if holder != table or unpack_from("=i", attributes.get(RTA_OIF, bytes(4)))[0] != index:
            continue
        size = 16 if family == AF_INET6 else 4
        destination = f"{inet_ntop(family, attributes.get(RTA_DST, bytes(size)))}/{length}"
        gateway = inet_ntop(family, attributes[RTA_GATEWAY]) if RTA_GATEWAY in attributes else ""
        found.add((destination, gateway))
    return found


def dump_routes(netlink: Netlink) -> list[bytes]:
    """Every route of the socket's namespace, of all tables, as the kernel tells it."""
    return netlink.dump(RTM_GETROUTE, pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0))


def route_link(payload: bytes) -> int:
    """Index of the link that a route from `dump_routes` goes over; 0 when it goes over none, or several."""
    return int(unpack_from("=i", parse(payload, 12).get(RTA_OIF, bytes(4)))[0])


def same_route_again(payload: bytes) -> Message:
    """Make a route that `dump_routes` told."""
    attributes = parse(payload, 12)
    kept = b"".join(attribute(kind, attributes[kind]) for kind in _ROUTE_KEPT if kind in attributes)
    flags = pack("=I", unpack_from("=I", payload, 8)[0] & RTNH_F_ONLINK)
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload[:8] + flags + kept, "make a route again")


def same_route(destination: str, gateway: str) -> tuple[str, str]:
    """A route in the form of `routes`."""
    family, content, length = prefix(destination)
    via = packed(gateway) if gateway else None
    return f"{inet_ntop(family, content)}/{length}", inet_ntop(via[0], via[1]) if via else ""
