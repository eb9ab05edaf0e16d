"""The same flow-mods by Ryu's own message objects, as a Ryu application would write them. A peer, not used elsewhere.

Only for what a pod's flows consist of: exact and masked matches, set-field, goto-table. Values are turned into what
Ryu's classes take (addresses as text) beforehand, so that only Ryu's work is measured.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from ryu_apps.openflow import messages, wire
from topology import fields
from topology.fields import FULL_MASK, Field
from topology.flow import Entry, Op
from topology.model import format_mac

Term = tuple[str, Any]


class Prepared(NamedTuple):
    """A flow in the values that Ryu takes."""

    cookie: int
    table: int
    priority: int
    match: dict[str, Any]
    sets: tuple[dict[str, Any], ...]
    goto: int


def prepare(entries: Sequence[Entry]) -> list[Prepared]:
    """Those of `entries` that consist of what is known here."""
    return [prepared for entry in entries if (prepared := _prepared(entry)) is not None]


def bundle_builder() -> Callable[[Sequence[Prepared]], bytes]:
    """A function that builds one bundle by Ryu's objects. Ryu is imported by this call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ryu_apps import compat  # noqa: F401, I001  # repairs Ryu, so it comes before it
        from ryu.ofproto import ofproto_v1_5 as ofp
        from ryu.ofproto import ofproto_v1_5_parser as parser
        from ryu.ofproto.ofproto_protocol import ProtocolDesc
    datapath = ProtocolDesc(version=ofp.OFP_VERSION)

    def add(flow: Prepared) -> bytes:
        actions = [parser.OFPActionSetField(**one) for one in flow.sets]
        apply = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)] if actions else []
        message = parser.OFPFlowMod(
            datapath,
            cookie=flow.cookie,
            table_id=flow.table,
            priority=flow.priority,
            out_port=ofp.OFPP_ANY,
            out_group=ofp.OFPG_ANY,
            match=parser.OFPMatch(**flow.match),
            instructions=[*apply, parser.OFPInstructionGotoTable(flow.goto)],
        )
        bundled = parser.OFPBundleAddMsg(datapath, wire.BUNDLE_ID, wire.BUNDLE_FLAGS, message, [])
        bundled.set_xid(wire.flow_xid(flow.cookie))
        bundled.serialize()
        return bytes(bundled.buf)

    def build(flows: Sequence[Prepared]) -> bytes:
        return b"".join((messages.bundle_open(), *map(add, flows), messages.bundle_commit()))

    return build


def _prepared(entry: Entry) -> Prepared | None:
    cookie, flow = entry
    *applied, last = flow.actions or ((Op.OUTPUT,),)
    if last[0] != Op.GOTO or any(action[0] != Op.SET for action in applied):
        return None
    sets = tuple(dict([_term(*action[1:])]) for action in applied)  # type: ignore[arg-type]
    match = dict(_term(*term) for term in flow.match)
    return Prepared(cookie, flow.table, flow.priority, match, sets, int(last[1]))  # type: ignore[arg-type]


def _term(field: Field, value: int, mask: int) -> Term:
    shown = _value(field, value) if mask == FULL_MASK[field] else (_value(field, value), _value(field, mask))
    return fields.spec(field).name, shown


def _value(field: Field, value: int) -> Any:
    name = fields.spec(field).name
    if name in ("tun_ipv4_src", "tun_ipv4_dst", "ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"):
        return str(IPv4Address(value))
    return format_mac(value) if fields.spec(field).width == 48 else value
