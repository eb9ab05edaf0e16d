"""Flows in words, in the syntax of `ovs-ofctl add-flow` (ovs-fields(7), ovs-actions(7)). Nothing is read here.

With `names`, tables are followed by their names; that is for people, and ovs-ofctl does not take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from topology import fields
from topology.fields import FULL_MASK, Field
from topology.flow import NO_TABLE, Action, Actions, Flow, Group, Match, MatchTerm, Meter, Op
from topology.model import format_mac
from topology.pipeline import LEARNT_PRIORITY, Table

# (eth_type, ip_proto) in one word.
_PROTOCOLS: Final[dict[tuple[int, int | None], str]] = {
    (fields.ETH_ARP, None): "arp",
    (fields.ETH_IPV4, None): "ip",
    (fields.ETH_IPV4, fields.PROTO_ICMP): "icmp",
    (fields.ETH_IPV4, fields.PROTO_TCP): "tcp",
    (fields.ETH_IPV4, fields.PROTO_UDP): "udp",
    (fields.ETH_IPV4, fields.PROTO_SCTP): "sctp",
    (fields.ETH_IPV6, None): "ipv6",
    (fields.ETH_IPV6, fields.PROTO_ICMPV6): "icmp6",
    (fields.ETH_IPV6, fields.PROTO_TCP): "tcp6",
    (fields.ETH_IPV6, fields.PROTO_UDP): "udp6",
    (fields.ETH_IPV6, fields.PROTO_SCTP): "sctp6",
}
_CT_STATES: Final = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_PORTS: Final[dict[int, str]] = {
    0xFFFFFFF8: "IN_PORT",
    0xFFFFFFFA: "NORMAL",
    0xFFFFFFFB: "FLOOD",
    0xFFFFFFFD: "CONTROLLER",
    0xFFFFFFFE: "LOCAL",
}
_IPV4_NAMES: Final = frozenset({"tun_src", "tun_dst", "nw_src", "nw_dst", "arp_spa", "arp_tpa"})
_IPV6_NAMES: Final = frozenset({"tun_ipv6_src", "tun_ipv6_dst", "ipv6_src", "ipv6_dst", "nd_target"})
_DECIMAL_NAMES: Final = frozenset(
    {
        "ct_zone",
        "nw_proto",
        "arp_op",
        "tp_src",
        "tp_dst",
        "icmp_type",
        "icmp_code",
        "icmpv6_type",
        "icmpv6_code",
        "ip_dscp",
        "nd_options_type",
    }
)


def flow_text(flow: Flow, *, cookie: int | None = None, names: bool = False) -> str:
    """Return a flow in one line, with its cookie if one is given."""
    head = [] if cookie is None else [f"cookie={cookie:#x}"]
    head += [f"table={table_text(flow.table, names=names)}", f"priority={flow.priority}"]
    terms = match_text(flow.match)
    return f"{','.join([*head, terms] if terms else head)} actions={actions_text(flow.actions, names=names)}"


def group_text(group: Group, *, names: bool = False) -> str:
    """Return a group in one line, in the syntax of `ovs-ofctl add-group`."""
    buckets = (
        f"bucket=bucket_id:{number},weight:{weight},actions={actions_text(actions, names=names)}"
        for number, weight, actions in group.buckets
    )
    method, by = ("hash", ("fields(ip_src,ipv6_src,tcp_src,udp_src,sctp_src)",)) if group.is_lower else ("dp_hash", ())
    chosen = (f"selection_method={method}", f"selection_method_param={group.group_id}", *by)
    return ",".join((f"group_id={group.group_id}", "type=select", *chosen, *buckets))


def meter_text(meter: Meter) -> str:
    """Return a meter in one line, in the syntax of `ovs-ofctl add-meter`."""
    return f"meter={meter.meter_id},kbps,burst,band=type=drop,rate={meter.rate},burst_size={meter.burst}"


def match_text(match: Match) -> str:
    """Return a match; nothing when it takes all packets."""
    exact = {field: value for field, value, mask in match if mask == FULL_MASK[field]}
    eth_type, proto = exact.get(fields.ETH_TYPE, -1), exact.get(fields.IP_PROTO)
    words, said = [], {fields.ETH_TYPE}
    if (eth_type, proto) in _PROTOCOLS:
        words, said = [_PROTOCOLS[eth_type, proto]], {fields.ETH_TYPE, fields.IP_PROTO}
    elif (eth_type, None) in _PROTOCOLS:
        words = [_PROTOCOLS[eth_type, None]]
    else:
        said = set()
    return ",".join([*words, *(_term_text(term) for term in match if term[2] and term[0] not in said)])


def actions_text(actions: Iterable[Action], *, names: bool = False) -> str:
    """Return actions; "drop" when there is none. Raises KeyError for an operation that does not exist."""
    return ",".join(_action_text(action, names) for action in actions) or "drop"


def table_text(table: int, *, names: bool = False) -> str:
    """Return a table's number, and its name if that is wanted and it has one."""
    known = names and table in Table.__members__.values()
    return f"{table}({Table(table).name})" if known else str(table)


# --- terms of matches --------------------------------------------------------------------------------


def _term_text(term: MatchTerm) -> str:
    field, value, mask = term
    name = fields.spec(field).ovs
    if field == fields.IN_PORT:
        return f"in_port={_PORTS.get(value, value)}"
    if field == fields.CT_STATE and not mask >> len(_CT_STATES):
        return f"ct_state={_flags(value, mask)}"
    return f"{name}={_value(field, value, mask)}"


def _flags(value: int, mask: int) -> str:
    bits = ((1 << place, name) for place, name in enumerate(_CT_STATES))
    return "".join(f"{'+' if value & bit else '-'}{name}" for bit, name in bits if mask & bit)


def _value(field: Field, value: int, mask: int) -> str:
    """Return a value, and the mask behind it if it is not all of the field."""
    whole = mask == FULL_MASK[field]
    spec = fields.spec(field)
    if spec.ovs in _IPV4_NAMES or spec.ovs in _IPV6_NAMES:
        return _address(value, mask, spec.width)
    if spec.width == 48:
        return format_mac(value) if whole else f"{format_mac(value)}/{format_mac(mask)}"
    if spec.ovs in _DECIMAL_NAMES and whole:
        return str(value)
    return f"{value:#x}" if whole else f"{value:#x}/{mask:#x}"


def _address(value: int, mask: int, width: int) -> str:
    make = IPv4Address if width == 32 else IPv6Address
    full = (1 << width) - 1
    if mask == full:
        return str(make(value))
    zeros = (full ^ mask).bit_length()
    prefix = mask == full >> zeros << zeros
    return f"{make(value)}/{width - zeros if prefix else make(mask)}"


# --- actions -----------------------------------------------------------------------------------------


def _action_text(action: Action, names: bool) -> str:
    return _ACTIONS[action[0]](action, names)  # type: ignore[index]


def _name(field: Field) -> str:
    # "tp_dst" is a port of TCP, UDP or SCTP in a match, by its protocol; an action has to say which.
    spec = fields.spec(field)
    return spec.name if spec.ovs.startswith("tp_") else spec.ovs


def _part(field: Field, first: int, bits: int) -> str:
    if bits == fields.spec(field).width:
        return f"{_name(field)}[]"
    return f"{_name(field)}[{first}]" if bits == 1 else f"{_name(field)}[{first}..{first + bits - 1}]"


def _set(action: Any, names: bool) -> str:
    _, field, value, mask = action
    return f"set_field:{_value(field, value, mask)}->{_name(field)}"


def _copy(action: Any, names: bool) -> str:
    _, source, from_bit, destination, to_bit, bits = action
    return f"move:{_part(source, from_bit, bits)}->{_part(destination, to_bit, bits)}"


def _output(action: Any, names: bool) -> str:
    port = _PORTS.get(action[1])
    return f"output:{action[1]}" if port is None else port


def _output_field(action: Any, names: bool) -> str:
    return f"output:{_name(action[1])}[]"


def _goto(action: Any, names: bool) -> str:
    return f"goto_table:{table_text(action[1], names=names)}"


def _ct(action: Any, names: bool) -> str:
    _, commit, zone, table, nested = action
    words = ["commit"] if commit else []
    words += [f"zone={zone}"] if zone else []
    words += [f"table={table_text(table, names=names)}"] if table != NO_TABLE else []
    # Only a translation that comes first stands outside of exec().
    outside = nested[:1] if nested and nested[0][0] == Op.NAT else ()
    inside: Actions = nested[len(outside) :]
    words += [_action_text(each, names) for each in outside]
    words += [f"exec({actions_text(inside, names=names)})"] if inside else []
    return f"ct({','.join(words)})" if words else "ct"


def _nat(action: Any, names: bool) -> str:
    _, side, version, first, last, port, last_port = action
    if side == 2:
        return "nat"
    way = ("src", "dst")[side]
    if not version:
        return f"nat({way})"
    shown = _range(str(IPv4Address(first)), str(IPv4Address(last))) if version == 4 else _range6(first, last)
    ports = f":{_range(str(port), str(last_port))}" if port else ""
    return f"nat({way}={shown}{ports})"


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first}-{last}"


def _range6(first: int, last: int) -> str:
    return _range(f"[{IPv6Address(first)}]", f"[{IPv6Address(last)}]")


def _learn(action: Any, names: bool) -> str:
    _, table, idle, cookie, same, exact, kept = action
    words = [f"table={table_text(table, names=names)}", f"idle_timeout={idle}", f"priority={LEARNT_PRIORITY}"]
    words.append(f"cookie={cookie:#x}")
    words += [f"{_name(field)}={_value(field, value, FULL_MASK[field])}" for field, value in exact]
    words += [_part(field, 0, fields.spec(field).width) for (field,) in same]
    parts = (_part(field, 0, fields.spec(field).width) for (field,) in kept)
    return f"learn({','.join((*words, *(f'load:{part}->{part}' for part in parts)))})"


def _conjunction(action: Any, names: bool) -> str:
    _, number, clause, clauses = action
    return f"conjunction({number},{clause + 1}/{clauses})"


_ACTIONS: Final[dict[int, Callable[[Any, bool], str]]] = {
    Op.SET: _set,
    Op.COPY: _copy,
    Op.OUTPUT: _output,
    Op.OUTPUT_FIELD: _output_field,
    Op.GOTO: _goto,
    Op.CT: _ct,
    Op.NAT: _nat,
    Op.RESUBMIT: lambda action, names: f"resubmit(,{action[1]})",
    Op.DEC_TTL: lambda action, names: "dec_ttl",
    Op.GROUP: lambda action, names: f"group:{action[1]}",
    Op.METER: lambda action, names: f"meter:{action[1]}",
    Op.CLONE: lambda action, names: f"clone({actions_text(action[1], names=names)})",
    Op.CONJUNCTION: _conjunction,
    Op.CT_CLEAR: lambda action, names: "ct_clear",
    Op.LEARN: _learn,
    Op.NO_IN_PORT: lambda action, names: "set_field:0->in_port",
}
