"""What single fields of the network's objects look like outside the program: names, numbers, addresses as text.

`store.objects` and REST's bodies are put together from these. A field knows nothing of the object that it stands in.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from topology.model import FIRST_VNID, LAST_VNID, MOST_DSCP, Address, Prefix

# In Python `$` also matches before a last newline, in JSON Schema (ECMA-262) it does not; `(?!\n)` makes them equal.
END: Final = r"$(?!\n)"
LABEL: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?" + END  # RFC 1123, section 2.1; Kubernetes: "DNS label"
PORT_NAME: Final = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?" + END  # a label, or none
SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*" + END
NODE_NAME: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?" + END  # as above, or none
CONTAINER: Final = r"^[a-zA-Z0-9][a-zA-Z0-9_.\-]*" + END  # CNI 1.1.0, "Parameters": CNI_CONTAINERID
INTERFACE: Final = r"^(?!\.{1,2}$)[!-.0-9;-~]{1,15}" + END  # what Linux takes as a name, and OVS in ASCII
DPID: Final = "^[0-9a-f]{16}" + END
PREFIX: Final = "^[0-9a-fA-F.:]+/[0-9]{1,3}" + END
PROTOCOL: Final = "^(TCP|UDP|SCTP)" + END
UID: Final = "^[a-zA-Z0-9_.:-]*" + END
LABEL_KEY: Final = (  # Kubernetes: a name, and before it, if anything, a DNS name and a slash
    r"^(([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?" + END
)
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?" + END
ZONE_NAME: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?" + END  # the same, and never empty
MAC: Final = "^([0-9a-f]{2}:){5}[0-9a-f]{2}" + END

Label = Annotated[str, Meta(pattern=LABEL, max_length=63, examples=["red"])]
Subdomain = Annotated[str, Meta(pattern=SUBDOMAIN, max_length=253, examples=["node-1"])]
ContainerId = Annotated[str, Meta(pattern=CONTAINER, max_length=253, examples=["8d5f0c"])]
InterfaceName = Annotated[str, Meta(pattern=INTERFACE, max_length=15, examples=["eth0"])]
PodUid = Annotated[str, Meta(pattern=UID, max_length=128)]
AddressText = Annotated[
    str,
    Meta(max_length=45, examples=["192.0.2.11"], extra_json_schema={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
]
PrefixText = Annotated[str, Meta(pattern=PREFIX, max_length=49, examples=["10.128.0.0/23"])]
LabelKey = Annotated[str, Meta(pattern=LABEL_KEY, max_length=317, examples=["team"])]
LabelValue = Annotated[str, Meta(pattern=LABEL_VALUE, max_length=63, examples=["red"])]
DatapathId = Annotated[
    str, Meta(pattern=DPID, description="Datapath id, 16 hexadecimal digits.", examples=[f"{1:016x}"])
]
MacAddress = Annotated[str, Meta(pattern=MAC, examples=["0a:58:0a:80:00:05"])]
Vnid = Annotated[int, Meta(ge=0, le=LAST_VNID, description="VXLAN network identifier (RFC 7348).")]
OwnVnid = Annotated[int, Meta(ge=FIRST_VNID, le=LAST_VNID, description="VXLAN network identifier (RFC 7348).")]
Space = Annotated[int, Meta(ge=0, le=(1 << 32) - 1, description="Address space; 0 is the shared one.")]
# At least what every host of IPv4 must accept (RFC 791, section 3.1); at most what its length field can say.
Mtu = Annotated[int, Meta(ge=576, le=65535, description="Most bytes of an IP packet.")]
Dscp = Annotated[int, Meta(ge=0, le=MOST_DSCP, description="Differentiated services code point (RFC 2474).")]
Zone = Annotated[int, Meta(ge=1, le=65535, description="Conntrack zone; 16 bits.")]
PortName = Annotated[str, Meta(pattern=PORT_NAME, max_length=63, examples=["web"])]
NodeName = Annotated[str, Meta(pattern=NODE_NAME, max_length=253, examples=["node-1"])]
# The value of Kubernetes' label topology.kubernetes.io/zone.
ZoneName = Annotated[str, Meta(pattern=ZONE_NAME, max_length=63, examples=["europe-west4-a"])]
NodeZone = Annotated[
    str,
    Meta(pattern=LABEL_VALUE, max_length=63, description="Where it stands; empty: not known.", examples=["zone-a"]),
]
L4Port = Annotated[int, Meta(ge=1, le=65535)]
Protocol = Annotated[str, Meta(pattern=PROTOCOL, examples=["TCP"])]


class Malformed(ValueError):
    """A value that no object of its kind can have: where it stands (`$.underlay`), what is wrong, what is right."""

    def __init__(self, path: str, cause: str, remedy: str) -> None:
        super().__init__(f"{path}: {cause}; {remedy}")
        self.path, self.cause, self.remedy = path, cause, remedy


class Object(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all shapes have in common: frozen, and a field that is not declared is an error."""


def address(text: str, path: str) -> Address:
    """Return the IPv4 or IPv6 address that a text at `path` stands for. Raises Malformed."""
    try:
        value = ip_address(text)
    except ValueError:
        raise Malformed(path, f'"{text}" is no IP address', "write it as 192.0.2.11 or 2001:db8::11") from None
    if "%" in text:
        raise Malformed(path, f'"{text}" names an interface', "leave out the part from % on")
    return value


def prefix(text: str, path: str) -> Prefix:
    """Return the IPv4 or IPv6 subnet that a text at `path` stands for. Raises Malformed."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        wider = ip_network(text, strict=False)
    except ValueError:
        raise Malformed(path, f'"{text}" is no CIDR', "write it as 10.128.0.0/23 or 2001:db8::/64") from None
    example = f"write {wider}, or the prefix length that you meant"
    family = 32 if isinstance(wider, IPv4Network) else 128
    raise Malformed(path, f'"{text}" has bits set in its last {family - wider.prefixlen}', example)


def addresses(texts: tuple[str, ...], path: str) -> tuple[Address, ...]:
    """Return the addresses of an array at `path`. Raises Malformed."""
    return tuple(address(text, f"{path}[{position}]") for position, text in enumerate(texts))


def prefixes(texts: tuple[str, ...], path: str) -> tuple[Prefix, ...]:
    """Return the subnets of an array at `path`. Raises Malformed."""
    return tuple(prefix(text, f"{path}[{position}]") for position, text in enumerate(texts))
