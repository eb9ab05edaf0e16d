"""rtnetlink's policy rules (linux/fib_rules.h): messages that make and delete them, and a list of ours.

Only what pods with several interfaces need; which rules these are is `several.py`'s matter.
"""

from __future__ import annotations

from _socket import AF_INET, inet_ntop
from _struct import pack, unpack_from

from cni_shim.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RT_TABLE_UNSPEC,
    Message,
    Netlink,
    attribute,
    parse,
    prefix,
)

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
FRA_SRC, FRA_PRIORITY, FRA_TABLE, FRA_OIFNAME, FRA_PROTOCOL = 2, 6, 15, 17, 21
FR_ACT_TO_TBL = 1
PROTOCOL = 104  # who made a rule (as RTPROT_*): a number that nobody has registered, by which ours are known
PRIORITY = 30000  # before the main table's rule (32766), behind what a pod's own software puts in by number

# Address family, source (CIDR, "" for any), interface that a socket is bound to ("" for any), routing table.
Rule = tuple[int, str, str, int]


def new_rule(rule: Rule) -> Message:
    return Message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _body(rule), f"add the rule {words(rule)}")


def delete_rule(rule: Rule) -> Message:
    return Message(RTM_DELRULE, 0, _body(rule), f"delete the rule {words(rule)}")


def rules(netlink: Netlink) -> set[Rule]:
    """Every rule of ours in the socket's namespace."""
    found: set[Rule] = set()
    for payload in netlink.dump(RTM_GETRULE, _header(0, 0)):
        family, _, length = unpack_from("=BBB", payload)
        attributes = parse(payload, 12)
        if attributes.get(FRA_PROTOCOL) != pack("=B", PROTOCOL):
            continue
        source = f"{inet_ntop(family, attributes[FRA_SRC])}/{length}" if FRA_SRC in attributes else ""
        device = attributes.get(FRA_OIFNAME, b"").rstrip(b"\0").decode()
        found.add((family, source, device, unpack_from("=I", attributes[FRA_TABLE])[0]))
    return found


def _header(family: int, length: int) -> bytes:
    return pack("=BBBBBBBBI", family, 0, length, 0, RT_TABLE_UNSPEC, 0, 0, FR_ACT_TO_TBL, 0)


def _body(rule: Rule) -> bytes:
    family, source, device, table = rule
    _, content, length = prefix(source) if source else (family, b"", 0)
    body = _header(family, length) + attribute(FRA_TABLE, pack("=I", table))
    body += attribute(FRA_PRIORITY, pack("=I", PRIORITY)) + attribute(FRA_PROTOCOL, pack("=B", PROTOCOL))
    if source:
        body += attribute(FRA_SRC, content)
    if device:
        body += attribute(FRA_OIFNAME, device.encode() + b"\0")
    return body


def words(rule: Rule) -> str:
    """A rule as ip-rule(8) would tell it, nearly."""
    family, source, device, table = rule
    selector = f"from {source}" if source else f"oif {device}"
    return f"{selector} lookup {table}" + ("" if family == AF_INET else " (IPv6)")
