"""Frames made by hand, sent and caught on an interface: for what an honest kernel would never send.

Formats: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443),
VXLAN (RFC 7348).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from threading import Thread

from lab.namespaces import Namespace
from lab.probes import checksum, icmp_echo

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
ARP_REQUEST, ARP_REPLY = 1, 2
BROADCAST = "ff:ff:ff:ff:ff:ff"
PACKET_OUTGOING = 4  # linux/if_packet.h
RECEIVE_BUFFER = 1 << 22
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def ethernet(destination: str, source: str, kind: int, payload: bytes) -> bytes:
    """An Ethernet II frame; MAC addresses with colons, `kind` the EtherType."""
    return _mac(destination) + _mac(source) + struct.pack("!H", kind) + payload


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet with TTL 64."""
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source: str, destination: str, protocol: int, payload: bytes, hops: int = 255) -> bytes:
    """An IPv6 packet; with 255 hops left, as neighbour discovery wants it."""
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + ends + payload


def with_checksum(source: str, destination: str, protocol: int, payload: bytes, at: int) -> bytes:
    """What is inside an IPv6 packet, with the checksum at byte `at` over the pseudo-header too (RFC 8200, 8.1)."""
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    total = checksum(ends + struct.pack("!II", len(payload), protocol) + payload)
    return payload[:at] + struct.pack("!H", total) + payload[at + 2 :]


def icmpv6(source: str, destination: str, kind: int, body: bytes) -> bytes:
    """An IPv6 packet with an ICMPv6 message of a type; `body` is what follows the checksum."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    return ipv6(source, destination, socket.IPPROTO_ICMPV6, with_checksum(source, destination, 58, message, 2))


def link_address(kind: int, mac: str) -> bytes:
    """The option of neighbour discovery with a MAC address: 1 of the source, 2 of the target (RFC 4861, 4.6.1)."""
    return struct.pack("!BB", kind, 1) + _mac(mac)


def udp6_packet(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """An IPv6 packet with a UDP datagram, from `ports[0]` to `ports[1]`."""
    datagram = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    return ipv6(source, destination, socket.IPPROTO_UDP, with_checksum(source, destination, 17, datagram, 6), 64)


def ping_packet(source: str, destination: str, payload: bytes = b"spoofed!") -> bytes:
    """An IPv4 packet with an ICMP echo request."""
    return ipv4(source, destination, socket.IPPROTO_ICMP, icmp_echo(0x5EAF, 1, payload))


def udp_packet(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram without checksum, from `ports[0]` to `ports[1]`."""
    header = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    return ipv4(source, destination, socket.IPPROTO_UDP, header + payload)


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """An ARP packet; `sender` and `target` are (MAC, IPv4) pairs."""
    head = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, operation)
    return head + b"".join(_mac(mac) + IPv4Address(address).packed for mac, address in (sender, target))


def vxlan(vnid: int, frame: bytes) -> bytes:
    """The payload of a VXLAN datagram: header with a valid `vnid`, and the inner frame."""
    return struct.pack("!II", 0x08000000, vnid << 8) + frame


def geneve(vnid: int, frame: bytes) -> bytes:
    """The payload of a Geneve datagram without options (RFC 8926): header with `vnid`, and the inner frame."""
    return struct.pack("!BBHI", 0, 0, 0x6558, vnid << 8) + frame


def send(namespace: Namespace, interface: str, *frames: bytes) -> None:
    """Send frames as they are out of `interface`. OSError when there is none of that name."""
    with namespace.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for frame in frames:
            sock.send(frame)


@dataclass(frozen=True)
class Frame:
    """A frame that came in."""

    octets: bytes

    @property
    def kind(self) -> int:
        """The EtherType."""
        return int.from_bytes(self.octets[12:14])

    @property
    def source_mac(self) -> str:
        """The sender's MAC address."""
        return self.octets[6:12].hex(":")

    @property
    def destination_mac(self) -> str:
        """The receiver's MAC address."""
        return self.octets[:6].hex(":")

    @property
    def source(self) -> str:
        """The IPv4 source address, or ARP's sender; "" for other kinds."""
        return self._address({ETH_P_IP: 26, ETH_P_ARP: 28})

    @property
    def destination(self) -> str:
        """The IPv4 destination address, or ARP's target; "" for other kinds."""
        return self._address({ETH_P_IP: 30, ETH_P_ARP: 38})

    def _address(self, offsets: dict[int, int]) -> str:
        offset = offsets.get(self.kind, 0)
        return str(IPv4Address(self.octets[offset : offset + 4])) if offset and len(self.octets) >= offset + 4 else ""


class Sniffer:
    """Everything that comes in on an interface while the context is open. Own transmissions are left out."""

    def __init__(self, namespace: Namespace, interface: str = "eth0") -> None:
        self.frames: list[Frame] = []
        self._namespace = namespace
        self._interface = interface

    def __enter__(self) -> Sniffer:
        protocol = socket.htons(ETH_P_ALL)
        self._socket = self._namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.bind((self._interface, ETH_P_ALL))
        self._stop, self._stopped = socket.socketpair()
        self._thread = Thread(target=self._catch, name=f"sniffer in {self._namespace.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        self._stopped.close()
        self._socket.close()

    def caught(self, wanted: Callable[[Frame], bool], patience: float = 1.0) -> bool:
        """Wait until a frame came in that is `wanted`; False when there is none after `patience` seconds."""
        deadline = time.monotonic() + patience
        while not any(wanted(frame) for frame in list(self.frames)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _catch(self) -> None:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(self._stopped, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if self._socket.fileno() in ready:
                octets, address = self._socket.recvfrom(65536)
                if address[2] != PACKET_OUTGOING:
                    self.frames.append(Frame(octets))
            elif ready:
                return


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
