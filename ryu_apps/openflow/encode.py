"""Bytes of flow-mods and of the bundles that carry them, from templates.

The bytes of an ADD depend on the flow and its cookie alone (one bundle id, an xid taken from the cookie), so they are
the same for every switch, and an error names its flow. Requests without a flow are in `messages`, groups in `groups`.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack
from typing import Final

from ryu_apps.openflow import messages, wire
from ryu_apps.openflow.actions import Shape, layout_instructions, layout_match_field, split
from ryu_apps.openflow.groups import after_flows, before_flows, delete_group
from ryu_apps.openflow.meters import before_bundle, delete_meters
from ryu_apps.openflow.template import Layout, Template, fitting, padded, size
from ryu_apps.openflow.wire import BUNDLE_ID, COMMIT_XID, FLOW_XID, OPEN_XID, flow_xid
from topology.compiler import Delta
from topology.flow import Entry, Flow, Match

__all__ = ["BUNDLE_ID", "COMMIT_XID", "OPEN_XID", "Encoder", "flow_xid"]

_LOW_BITS: Final = FLOW_XID - 1
# A bundle is cut into parts of at least so many flows. Few parts: Ryu's queue of a connection holds 16.
_PART: Final = 2000
MOST_PARTS: Final = 8
# Shapes are few: stages times kinds of matches. Prefix lengths make them more; the bound is against surprises.
_TEMPLATES: Final = 4096
_PIECE: Final = 2048  # flows: some milliseconds of work for a switch
_MOST_PIECES: Final = 8  # a connection's queue has room for twice as many


class Encoder:
    """Encodes flows; owns its templates, and the bytes of the entries encoded last.

    `remembered` bounds the second: at most twice as many entries are kept.
    """

    def __init__(self, remembered: int = 16384) -> None:
        self._templates: dict[tuple[object, ...], Template] = {}
        # Two generations: when the young one is full it becomes the old one, and what is asked for again moves back.
        self._young: dict[int, tuple[Flow, bytes]] = {}
        self._old: dict[int, tuple[Flow, bytes]] = {}
        self._remembered = remembered

    def add(self, entry: Entry) -> bytes:
        """Return the bundle message that adds a flow, in place of one with its key.

        Raises ValueError when a number does not fit its field, or an action does not exist.
        """
        cookie, flow = entry
        known = self._young.get(cookie) or self._old.get(cookie)
        # Two flows of different switches may have one cookie; the bytes are those of the flow.
        if known is None or (known[0] is not flow and known[0] != flow):
            known = (flow, self._encode(cookie, flow))
        if len(self._young) >= self._remembered:
            self._old, self._young = self._young, {}
        self._young[cookie] = known
        return known[1]

    def bundle(self, delta: Delta, *, barrier: bool = False) -> bytes:
        """Return one bundle, from open to commit: groups, flows, deletions, groups that go; before it, meters.

        Meters that go are not in it: their flows must be known to be gone (`meters.delete_meters`).

        With `barrier`, a barrier request precedes the commit: its reply comes after the errors of all messages before.
        """
        return b"".join(self.parts(delta, barrier=barrier))

    def parts(self, delta: Delta, *, barrier: bool = False) -> Iterator[bytes]:
        """Return a bundle in at most MOST_PARTS parts to send one after the other, each made when it is asked for.

        A switch reads the first part of a large bundle while the next one is made. A small bundle is one part.
        """
        step = max(_PART, -(-len(delta.adds) // MOST_PARTS))
        head = [*before_bundle(delta.meters), messages.bundle_open(), *before_flows(delta.groups)]
        tail = [*map(delete, delta.deletes), *after_flows(delta.groups)]
        tail += [messages.barrier(wire.BARRIER_XID)] if barrier else []
        tail.append(messages.bundle_commit())
        last = max(0, (len(delta.adds) - 1) // step * step)
        # More than is remembered would only push everything else out.
        add = self.add if len(delta.adds) <= self._remembered else self._add_once
        for start in range(0, last, step):
            yield b"".join([*head, *map(add, delta.adds[start : start + step])])
            head = []
        yield b"".join([*head, *map(add, delta.adds[last:]), *tail])

    def prepared(self, delta: Delta) -> bytes:
        """Return a bundle without its commit, and a barrier: the commit may follow when no error preceded the reply."""
        return self.bundle(delta, barrier=True).removesuffix(messages.bundle_commit())

    def _add_once(self, entry: Entry) -> bytes:
        return self._encode(*entry)

    def _encode(self, cookie: int, flow: Flow) -> bytes:
        table, priority, match, actions, _, _ = flow
        xid = FLOW_XID | (cookie & _LOW_BITS)
        values = [xid, xid, cookie]
        shape: list[Shape] = []
        terms: tuple[tuple[int, ...], ...] = ()
        if match:
            names, numbers, masks = zip(*match)  # noqa: B905  # a third faster without the check of equal lengths
            values += numbers
            terms = (names, masks)
        split(actions, shape, values)
        key = (table, priority, terms, *shape)
        template = self._templates.get(key)
        if template is None:
            template = self._new_template(key, flow, tuple(shape))
        return template.fill(values)

    def _new_template(self, key: tuple[object, ...], flow: Flow, shape: tuple[Shape, ...]) -> Template:
        if len(self._templates) >= _TEMPLATES:
            self._templates.clear()
        with fitting():
            template = self._templates[key] = Template(_layout_add(flow, shape))
        return template


def delete(cookie: int) -> bytes:
    """Return the bundle message that deletes all flows with exactly this cookie, whatever their table."""
    target = (wire.ALL_TABLES, wire.FLOW_DELETE, *_ANYWHERE)
    body = pack(">QQBB6xIIIHHHH4x", cookie, wire.EVERY_BIT, *target, 0, 0, wire.MATCH_OXM, 4)
    return messages.bundled(wire.MessageType.FLOW_MOD, flow_xid(cookie), body)


def delete_everything() -> bytes:
    """Return a bundle that deletes all flows and all groups, whoever made them, and after it all meters' deletion."""
    target = (wire.ALL_TABLES, wire.FLOW_DELETE, *_ANYWHERE)
    body = pack(">QQBB6xIIIHHHH4x", 0, 0, *target, 0, 0, wire.MATCH_OXM, 4)
    flows = messages.bundled(wire.MessageType.FLOW_MOD, flow_xid(0), body)
    bundle = (messages.bundle_open(), flows, delete_group(wire.ALL_GROUPS), messages.bundle_commit())
    return b"".join((*bundle, delete_meters((wire.ALL_METERS,))))


def layout_match(match: Match) -> Layout:
    """Lay out OFPMT_OXM (7.2.3.1): the length leaves out the padding that follows."""
    terms = [piece for field, _, mask in match for piece in layout_match_field(field, mask)]
    return padded((pack(">HH", wire.MATCH_OXM, 4 + size(terms)), *terms))


_ANYWHERE: Final = (wire.NO_BUFFER, wire.ANY_PORT, wire.ANY_GROUP)


def _layout_add(flow: Flow, shape: tuple[Shape, ...]) -> Layout:
    """Lay out OFPT_BUNDLE_ADD_MESSAGE (7.3.9.6) with an OFPT_FLOW_MOD (7.3.4.2), both xids and the cookie open."""
    fixed = pack(">QBBHHHIIIHH", 0, flow.table, wire.FLOW_ADD, 0, 0, flow.priority, *_ANYWHERE, 0, 0)
    body = (8, fixed, *layout_match(flow.match), *layout_instructions(shape))
    inner = wire.HEADER.size + size(body)
    outer = messages.BUNDLED_SIZE + inner
    if outer > wire.LONGEST:
        raise ValueError(f"a flow of {outer} bytes, where a message has at most {wire.LONGEST}")
    return (
        pack(">BBH", wire.VERSION, wire.MessageType.BUNDLE_ADD, outer),
        4,
        pack(">I2xH", BUNDLE_ID, wire.BUNDLE_FLAGS),
        pack(">BBH", wire.VERSION, wire.MessageType.FLOW_MOD, inner),
        4,
        *body,
    )
