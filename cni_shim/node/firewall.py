"""The node's nftables: masquerading of pods' packets, node ports, refusal of what goes to services without endpoints,
and the guard rules that close its kernel to pods.

`ruleset` is pure; `ensure` applies it in one transaction, and leaves it alone while the kernel still lists what it
listed after the last time. Only tables named `heddle` are touched.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cni_shim.controller import split_host_port
from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node.bridges import ICMP_PORT, IGMP_PORT, TUN_PORT
from cni_shim.node.configuration import Configuration, write_by_rename
from cni_shim.node.system import run

TABLE = "heddle"
FILE_NAME = "nftables.sum"
TRANSPORTS = "tcp, udp, sctp"
_UNGUARDED = "32768-60999"  # br0 takes an answer to a guarded port for a question; none is among these
# portmap lets the kernel take packets to loopback addresses from tun0, for the node's own connections to hostPorts by
# them. Pods' stop before conntrack, which makes such packets of the answers.
_LOOPBACK = (f'iifname "{TUN_PORT}" ip daddr 127.0.0.0/8 counter drop',)
POD_LINK_GROUP = 0x6864  # `cni_shim.add` makes the host's end of every pod's veth in this link group


def ruleset(configuration: Configuration, uplink: str | None) -> str:
    """The text for `nft -f`. `uplink`: the interface under br-ex ("" while that leads nowhere), None when the kernel is
    the data path."""
    inet = [
        *_guard(uplink, "prerouting", -400, _LOOPBACK),
        *_refusal_chain(configuration),
        *_from_hairpin_chain(configuration),
        *_entrance_chains(configuration),
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


def _guard(uplink: str | None, hook: str, priority: int, more: Iterable[str] = ()) -> list[str]:
    """What comes by icmp0 is for the translator of quotes, by igmp0 for the querier, and not for the kernel. And with a
    userspace data path it gets a copy of every frame from a pod or the wire: it must see none."""
    rules = [f'iifname "{ICMP_PORT}" counter drop', f'iifname "{IGMP_PORT}" counter drop', *more]
    if uplink is not None:
        rules.append(f"meta iifgroup {POD_LINK_GROUP} counter drop")
    if uplink:
        rules.append(f"iifname {_quoted(uplink)} counter drop")
    start = f"type filter hook {hook} priority {priority}; policy accept;"
    return [f"chain {hook}_guard {{", *_deeper([start, *rules]), "}"]


def _input_chain(configuration: Configuration) -> list[str]:
    """Pods reach neither the tunnels nor the control ports of their node."""
    rules = [f'iifname "{TUN_PORT}" {words} counter drop' for words in _guarded_ports(configuration)]
    return ["chain input {", "  type filter hook input priority -10; policy accept;", *_deeper(rules), "}"]


def _refusal_chain(configuration: Configuration) -> list[str]:
    """What br0 lets out to a service's address found no endpoint there: it is refused at once, whoever sent it, after
    conntrack has seen it, so that the refusal is of a connection, and before a proxy that stands beside us (dstnat)."""
    rules = []
    for family in ("ip", "ip6"):
        members = _of_family((*configuration.service_cidrs, *_this_node(configuration)), family)
        if configuration.hairpin and members:
            services = f'iifname "{TUN_PORT}" {family} daddr {{ {members} }}'
            rules.append(f"{services} meta l4proto tcp counter reject with tcp reset")
            rules.append(f"{services} counter reject with icmpx type port-unreachable")
    start = "type filter hook prerouting priority mangle; policy accept;"
    return ["chain refusal {", *_deeper([start, *rules]), "}"] if rules else []


def _from_hairpin_chain(configuration: Configuration) -> list[str]:
    """The kernel's ICMP comes from tun0's address. When it refuses what the node itself sent, br0 brings that back to
    tun0's address, and the kernel takes nothing that is from its own: so it is from the hairpin address instead."""
    rules = []
    for address in configuration.hairpin:
        family, protocol = ("ip6", "icmpv6") if ":" in address else ("ip", "icmp")
        refusal = f'oifname "{TUN_PORT}" {family} daddr {address} {protocol} type destination-unreachable'
        rules.append(f"{refusal} counter {family} saddr set {address}")
    start = "type filter hook output priority -10; policy accept;"
    return ["chain from_hairpin {", *_deeper([start, *rules]), "}"] if rules else []


def _entrance_chains(configuration: Configuration) -> list[str]:
    """What comes from others to services goes to br0. A hostPort comes before (dstnat), and what comes from the hairpin
    address was in br0 already: its endpoint is this node."""
    others = "type nat hook prerouting priority dstnat + 10; policy accept;"
    own = "type nat hook output priority -90; policy accept;"
    chains = (("entrance", others, True), ("own_entrance", own, False))
    return [
        line
        for name, start, by_outside in chains
        for line in _entrance(name, start, configuration, by_outside=by_outside)
    ]


def _entrance(name: str, start: str, configuration: Configuration, *, by_outside: bool) -> list[str]:
    """What comes from outside, or what the node begins itself: one of the chains, behind those that it jumps to."""
    rules: list[str] = []
    doors: list[str] = []
    for family, loopback in (("ip", "127.0.0.0/8"), ("ip6", "::1")):
        hairpin = _of_family(configuration.hairpin, family)
        if hairpin:
            other = f"{family} saddr != {hairpin}"
            external = _external(configuration, family, by_outside=by_outside)
            if external:  # one look for what goes elsewhere, however many there are
                addresses = _of_family((door.address for door in configuration.external), family)
                rules.append(f"{other} {family} daddr {{ {addresses} }} jump {name}_{family}")
                doors += _chain(f"{name}_{family}", *external)
            here = f"{family} daddr != {loopback} fib daddr type local"
            local = _local_node_ports(configuration, family) if by_outside else []
            words_here = [*_health_ports(configuration), *local, *_node_ports(configuration, family)]
            rules += [f"{other} {here} {words}" for words in words_here]
    return [*doors, *_chain(name, start, *rules)] if rules else []


def _chain(name: str, *lines: str) -> list[str]:
    return [f"chain {name} {{", *_deeper(lines), "}"]


def _node_ports(configuration: Configuration, family: str) -> list[str]:
    """They go to an address that stands for this node in br0: to which one, the client's address says, so that clients
    stay apart."""
    offered, here = configuration.node_ports, _of_family(_this_node(configuration), family)
    if offered is None or not here:
        return []
    ports = f"meta l4proto {{ {TRANSPORTS} }} th dport {offered.first}-{offered.last}"
    return [f"{ports} counter dnat {family} to {_from_to(here)} persistent"]


def _health_ports(configuration: Configuration) -> list[str]:
    """They are among the node ports, and answered here."""
    ports = ", ".join(str(health.port) for health in configuration.health)
    return [f"tcp dport {{ {ports} }} counter accept"] if ports and configuration.node_ports is not None else []


def _local_node_ports(configuration: Configuration, family: str) -> list[str]:
    """Who comes from outside to such a port goes on by his own address, to the service's, where br0 knows him by it."""
    outside = _outside(configuration, family)
    rules = []
    for port in configuration.local:
        if port.node_port and (":" in port.service) == (family == "ip6"):
            asked = f"{port.protocol.lower()} dport {port.node_port} {outside}"
            rules.append(f"{asked} counter dnat {family} to {_at(port.service, port.port)}")
    return rules


def _outside(configuration: Configuration, family: str) -> str:
    """No node, no controller, and nobody by an address that only pods, services and what stands for nodes have."""
    nodes = (*configuration.peers, configuration.underlay, *configuration.control_plane)
    inside = (*configuration.cluster_cidrs, *configuration.service_cidrs, *configuration.hairpin, *nodes)
    members = _of_family((*inside, *_this_node(configuration)), family)
    return f"{family} saddr != {{ {members} }} fib saddr type != local"


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _external(configuration: Configuration, family: str, *, by_outside: bool) -> list[str]:
    """External addresses go the same way, by the service's node port; without one, to the service's own address."""
    local = {(port.service, port.protocol, port.port) for port in configuration.local} if by_outside else set()
    here = _of_family(_this_node(configuration), family)
    rules = []
    for door in configuration.external:
        if (":" in door.address) == (family == "ip6"):
            asked = f"{family} daddr {door.address} {door.protocol.lower()} dport {door.port}"
            by_node_port = f"{_from_to(here, door.node_port)} persistent" if here and door.node_port else ""
            if door.sources is not None:  # a nat chain sees what begins a connection; what goes on is let alone
                allowed = _of_family(door.sources, family)
                others = f" {family} saddr != {{ {allowed} }}" if allowed else ""
                rules.append(f"{asked}{others} counter drop")
            if (door.service, door.protocol, door.port) in local:
                rules.append(f"{asked} {_outside(configuration, family)} counter dnat {family} to {door.service}")
            rules.append(f"{asked} counter dnat {family} to {by_node_port or door.service}")
    return rules


def _forward_chain(configuration: Configuration) -> list[str]:
    """Pods reach no other node's tunnel by NAT (its packets would be taken for this node's), and no pod through here.
    Others reach a pod only where this node translates the address (a hostPort): who routes a pod's own address through
    here reaches nothing."""
    remote = [target.partition(":")[2] for target in configuration.controllers if not target.startswith("unix:")]
    controllers = [split_host_port(target, 0)[0] for target in remote]
    closed = [*configuration.peers, configuration.underlay, *controllers]
    rules = [*_by_proxy(configuration), *_by_entrance(configuration)]
    rules.append(f'iifname "{TUN_PORT}" oifname "{TUN_PORT}" counter drop')
    for family in ("ip", "ip6"):
        members = _of_family(closed, family)
        if members:
            for words in _guarded_ports(configuration):
                rules.append(f'iifname "{TUN_PORT}" {family} daddr {{ {members} }} {words} counter drop')
    rules.append(f'oifname "{TUN_PORT}" ct state {{ established, related }} accept')
    rules.append(f'oifname "{TUN_PORT}" ct status dnat counter accept')
    rules.append(f'oifname "{TUN_PORT}" counter drop')
    return ["chain forward {", "  type filter hook forward priority -10; policy accept;", *_deeper(rules), "}"]


def _by_proxy(configuration: Configuration) -> list[str]:
    """Under an older controller pods reach services, and so each other, by a proxy on the node."""
    rules = []
    for family in ("ip", "ip6"):
        members = _of_family(configuration.service_cidrs, family)
        if members and not configuration.hairpin:
            by_service = f"ct status dnat ct original {family} daddr {{ {members} }}"
            rules.append(f'iifname "{TUN_PORT}" oifname "{TUN_PORT}" {by_service} counter accept')
    return rules


def _by_entrance(configuration: Configuration) -> list[str]:
    """A pod reaches node ports of its own node as those of another, and external addresses."""
    rules = []
    for family in ("ip", "ip6"):
        services = configuration.service_cidrs if configuration.external else ()
        members = _of_family((*_this_node(configuration), *services), family)
        if members:
            by_service = f"ct status dnat ct reply {family} saddr {{ {members} }}"
            rules.append(f'iifname "{TUN_PORT}" oifname "{TUN_PORT}" {by_service} counter accept')
    return rules


def _nat_chain(configuration: Configuration) -> list[str]:
    # br0 takes only the node's own addresses from tun0, so the client of a hostPort or a node port goes by one of them;
    # but where services are for clients from outside by addresses of their own.
    rules = [words for family in ("ip", "ip6") for words in _as_they_are(configuration, family)]
    for family in ("ip", "ip6"):
        members = _of_family(_this_node(configuration), family)
        if members:
            asked = (
                f'oifname "{TUN_PORT}" {family} daddr {{ {members} }} ct status dnat meta l4proto {{ {TRANSPORTS} }}'
            )
            rules.append(f"{asked} counter masquerade to :{_UNGUARDED}")
    rules.append(f'oifname "{TUN_PORT}" ct status dnat counter masquerade')
    for family in ("ip", "ip6"):
        members = _of_family((*configuration.cluster_cidrs, *configuration.hairpin), family)
        if members:
            rules.append(f'oifname != "{TUN_PORT}" {family} saddr {{ {members} }} counter masquerade')
    return ["chain postrouting {", "  type nat hook postrouting priority srcnat; policy accept;", *_deeper(rules), "}"]


def _as_they_are(configuration: Configuration, family: str) -> list[str]:
    ports = (port for port in configuration.local if (":" in port.service) == (family == "ip6"))
    members = ", ".join(f"{port.service} . {port.protocol.lower()} . {port.port}" for port in ports)
    if not members:
        return []
    asked = f'oifname "{TUN_PORT}" ct status dnat {family} daddr . meta l4proto . th dport {{ {members} }}'
    return [f"{asked} {_outside(configuration, family)} counter accept"]


def _this_node(configuration: Configuration) -> tuple[str, ...]:
    """The prefixes that stand for this node in br0."""
    return () if configuration.node_ports is None else configuration.node_ports.prefixes


def _from_to(prefix: str, port: int = 0) -> str:
    """A prefix as nft's range of addresses, with a port behind it unless that is 0."""
    network = ipaddress.ip_network(prefix)
    form = "[{}]-[{}]:{}" if port and network.version == 6 else "{}-{}:{}" if port else "{}-{}"
    return form.format(network[0], network[-1], port)


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
