"""The node's nftables: masquerading of pods' packets, and the guard rules that close its kernel to them.

`ruleset` is pure; `ensure` applies it in one transaction, and leaves it alone while the kernel still lists what it
listed after the last time. Only tables named `heddle` are touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cni_shim.controller import split_host_port
from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node.bridges import ICMP_PORT, TUN_PORT
from cni_shim.node.configuration import Configuration, write_by_rename
from cni_shim.node.system import run

TABLE = "heddle"
FILE_NAME = "nftables.sum"
POD_LINK_GROUP = 0x6864  # `cni_shim.add` makes the host's end of every pod's veth in this link group


def ruleset(configuration: Configuration, uplink: str | None) -> str:
    """The text for `nft -f`. `uplink`: the interface under br-ex, None when the kernel is the data path."""
    inet = [
        *_guard(uplink, "prerouting", -400),
        *_input_chain(configuration),
        *_forward_chain(configuration),
        *_nat_chain(configuration),
    ]
    text = f"table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n{_indent(inet)}}}\n"
    arp = _guard(uplink, "input", 0)
    return text + f"table arp {TABLE}\ndelete table arp {TABLE}\ntable arp {TABLE} {{\n{_indent(arp)}}}\n"


def ensure(configuration: Configuration, uplink: str | None, state_dir: Path) -> list[str]:
    """Load the rules unless they are there and untouched; what was changed, in words."""
    text = ruleset(configuration, uplink)
    record = state_dir / FILE_NAME
    if _sum(text) == (record.read_text() if record.exists() else ""):
        return []
    run("nft", "-f", "-", text=text)
    write_by_rename(record, _sum(text))
    return ["nftables rules"]


def remove(state_dir: Path) -> list[str]:
    """Take the tables away; what was changed, in words."""
    (state_dir / FILE_NAME).unlink(missing_ok=True)
    if not _listing():
        return []
    for family in ("inet", "arp"):
        run("nft", "-f", "-", text=f"table {family} {TABLE}\ndelete table {family} {TABLE}\n")
    return ["nftables rules removed"]


def _sum(text: str) -> str:
    """A digest of what should be there and what the kernel lists: it changes when either does."""
    return hashlib.sha256(f"{text}\0{_listing()}".encode()).hexdigest()


def _listing() -> str:
    found = []
    for family in ("inet", "arp"):
        try:
            found.append(run("nft", "--stateless", "list", "table", family, TABLE))
        except ShimError:
            continue  # no such table
    return "".join(found)


def _guard(uplink: str | None, hook: str, priority: int) -> list[str]:
    """What comes by icmp0 is for the translator of quotes, not for the kernel. And with a userspace data path it gets a
    copy of every frame from a pod or the wire: it must see none."""
    rules = [f'iifname "{ICMP_PORT}" counter drop']
    if uplink is not None:
        rules += [f"meta iifgroup {POD_LINK_GROUP} counter drop", f"iifname {_quoted(uplink)} counter drop"]
    start = f"type filter hook {hook} priority {priority}; policy accept;"
    return [f"chain {hook}_guard {{", *_deeper([start, *rules]), "}"]


def _input_chain(configuration: Configuration) -> list[str]:
    """Pods reach neither the tunnels nor the control ports of their node."""
    rules = [f'iifname "{TUN_PORT}" {words} counter drop' for words in _guarded_ports(configuration)]
    return ["chain input {", "  type filter hook input priority -10; policy accept;", *_deeper(rules), "}"]


def _forward_chain(configuration: Configuration) -> list[str]:
    """Pods reach no other node's tunnel by NAT (its packets would be taken for this node's). Others reach a pod only
    where this node translates the address (a hostPort): who routes a pod's own address through here reaches nothing."""
    remote = [target.partition(":")[2] for target in configuration.controllers if not target.startswith("unix:")]
    controllers = [split_host_port(target, 0)[0] for target in remote]
    closed = [*configuration.peers, configuration.underlay, *controllers]
    rules = [f'iifname "{TUN_PORT}" oifname "{TUN_PORT}" counter drop']
    for family in ("ip", "ip6"):
        members = _of_family(closed, family)
        if members:
            for words in _guarded_ports(configuration):
                rules.append(f'iifname "{TUN_PORT}" {family} daddr {{ {members} }} {words} counter drop')
    rules.append(f'oifname "{TUN_PORT}" ct state {{ established, related }} accept')
    rules.append(f'oifname "{TUN_PORT}" ct status dnat counter accept')
    rules.append(f'oifname "{TUN_PORT}" counter drop')
    return ["chain forward {", "  type filter hook forward priority -10; policy accept;", *_deeper(rules), "}"]


def _nat_chain(configuration: Configuration) -> list[str]:
    # br0 takes only the node's own addresses from tun0, so a hostPort's client goes by one of them.
    rules = [f'oifname "{TUN_PORT}" ct status dnat counter masquerade']
    for family in ("ip", "ip6"):
        members = _of_family(configuration.cluster_cidrs, family)
        if members:
            rules.append(f'oifname != "{TUN_PORT}" {family} saddr {{ {members} }} counter masquerade')
    return ["chain postrouting {", "  type nat hook postrouting priority srcnat; policy accept;", *_deeper(rules), "}"]


def _guarded_ports(configuration: Configuration) -> list[str]:
    tcp, udp = sorted(set(configuration.guarded_tcp_ports)), sorted(set(configuration.guarded_udp_ports))
    found = [("tcp", tcp), ("udp", udp)]
    return [f"{protocol} dport {{ {', '.join(map(str, ports))} }}" for protocol, ports in found if ports]


def _quoted(interface: str) -> str:
    """An interface's name for nft, which has no way to say every name that the kernel takes."""
    if not all(c.isalnum() or c in "._-@" for c in interface):
        raise ShimError(IO_FAILURE, f"the uplink's name {interface!r} cannot be used in rules", "rename the interface")
    return f'"{interface}"'


def _of_family(items: Iterable[str], family: str) -> str:
    """Those addresses or prefixes that are of `family`, in order, for an nftables set; "" when none is."""
    return ", ".join(sorted({item for item in items if (":" in item) == (family == "ip6")}))


def _deeper(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _indent(lines: Iterable[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)
