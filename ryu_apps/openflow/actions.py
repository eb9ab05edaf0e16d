"""Actions and instructions on the wire, as shapes and numbers: a shape is all of an action but the numbers that vary.

`split` takes the numbers out of actions, `layout_instructions` and `layout_actions` lay a shape out. Both walk in the
same order. Copying, jumping and the like have no number that varies: such an action is its own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import pack
from typing import Any, Final, TypeAlias

from ryu_apps.openflow import wire
from ryu_apps.openflow.oxm import BY_FIELD, is_exact
from ryu_apps.openflow.template import Layout, padded, size
from topology import fields
from topology.fields import Field
from topology.flow import Action, Op
from topology.pipeline import LEARNT_PRIORITY

Shape: TypeAlias = tuple[Any, ...]
# What is the second part of a NAT action: which side of a packet is rewritten.
_NAT_FLAGS: Final = (wire.NAT_SOURCE, wire.NAT_DESTINATION, 0)


def split(actions: Iterable[Any], shape: list[Shape], values: list[int]) -> None:
    """Append the shape of each action to `shape`, and the numbers left open in it to `values`."""
    for action in actions:
        op = action[0]
        if op == _SET:
            _, field, value, mask = action
            shape.append((_SET, field, mask))
            values.append(value)
        elif op not in _WITH_NUMBERS:
            shape.append(action)
        elif op == Op.CT:
            nested: list[Shape] = []
            values.append(action[2])
            split(action[4], nested, values)
            shape.append((op, action[1], action[3], tuple(nested)))
        elif op == Op.NAT:
            shape.append(_split_nat(action, values))
        elif op == Op.CLONE:
            copied: list[Shape] = []
            split(action[1], copied, values)
            shape.append((op, tuple(copied)))
        else:
            shape.append((op,))
            values.append(action[1])


# Names of this module are found faster than attributes of another: this is done for every action of every flow.
_SET: Final = Op.SET
_WITH_NUMBERS: Final = frozenset({Op.OUTPUT, Op.GROUP, Op.METER, Op.CT, Op.NAT, Op.CLONE})


def _split_nat(action: Action, values: list[int]) -> Shape:
    _, side, version, *limits = action
    first, last, first_port, last_port = (int(limit) for limit in limits)  # type: ignore[arg-type]
    given = (
        bool(version),
        bool(version) and last != first,
        bool(first_port),
        bool(first_port) and last_port != first_port,
    )
    values.extend(value for value, present in zip((first, last, first_port, last_port), given, strict=True) if present)
    return (Op.NAT, side, version, *given)


def layout_instructions(shapes: tuple[Shape, ...]) -> Layout:
    """Return the layout of instructions: apply the actions, then go to a table if the last action says so.

    Raises ValueError for a jump that is not last, and for an operation that does not exist.
    """
    jumps = bool(shapes) and shapes[-1][0] == Op.GOTO
    actions = layout_actions(shapes[:-1] if jumps else shapes)
    apply = (pack(">HH4x", wire.APPLY_ACTIONS, 8 + size(actions)), *actions) if actions else ()
    jump = (pack(">HHB3x", wire.GOTO_TABLE, 8, shapes[-1][1]),) if jumps else ()
    return (*apply, *jump)


def layout_actions(shapes: Iterable[Shape]) -> Layout:
    """Return the layout of a list of actions. Raises ValueError for what is no action."""
    pieces: list[Any] = []
    for shape in shapes:
        lay_out = _LAYOUTS.get(shape[0])
        if lay_out is None:
            raise ValueError(f"no action, or not here: {shape}")
        pieces += lay_out(shape)
    return tuple(pieces)


def layout_match_field(field: Field, mask: int) -> Layout:
    """Return the layout of one match field: its value is open, its mask (if not all of it) is not."""
    oxm = BY_FIELD[field]
    if is_exact(field, mask):
        return (oxm.header.to_bytes(4, "big"), oxm.size)
    return (oxm.header_masked.to_bytes(4, "big"), oxm.size, mask.to_bytes(oxm.size, "big"))


def _standard(kind: int, body: Layout) -> Layout:
    whole = padded((bytes(4), *body))
    return (pack(">HH", kind, size(whole)), *whole[1:])


def _nicira(subtype: int, body: Layout) -> Layout:
    return _standard(wire.ACTION_EXPERIMENTER, (pack(">IH", wire.NICIRA, subtype), *body))


def _set(shape: Shape) -> Layout:
    return _standard(wire.ACTION_SET_FIELD, layout_match_field(shape[1], shape[2]))


def _copy(shape: Shape) -> Layout:
    _, source, from_bit, destination, to_bit, bits = shape
    headers = pack(">II", BY_FIELD[source].header, BY_FIELD[destination].header)
    return _standard(wire.ACTION_COPY_FIELD, (pack(">HHH2x", bits, from_bit, to_bit), headers))


def _output(_shape: Shape) -> Layout:
    return _standard(wire.ACTION_OUTPUT, (4, bytes(8)))


def _output_field(shape: Shape) -> Layout:
    # The number of bits, less one, stands below the first bit (NXAST_OUTPUT_REG).
    bits = fields.spec(shape[1]).width - 1
    return _nicira(wire.NX_OUTPUT_REG, (pack(">HIH6x", bits, BY_FIELD[shape[1]].header, 0xFFFF),))


def _ct(shape: Shape) -> Layout:
    _, commit, table, nested = shape
    flags = wire.CT_COMMIT if commit else 0
    return _nicira(wire.NX_CT, (pack(">HI", flags, 0), 2, pack(">B3xH", table, 0), *layout_actions(nested)))


def _nat(shape: Shape) -> Layout:
    _, side, version, *given = shape
    address = 4 if version == 4 else 16
    bits = wire.NAT_IPV4_FIRST if version == 4 else wire.NAT_IPV6_FIRST
    kinds = ((bits, address), (bits << 1, address), (wire.NAT_PORT_FIRST, 2), (wire.NAT_PORT_LAST, 2))
    present = [kind for kind, here in zip(kinds, given, strict=True) if here]
    flags = pack(">2xHH", _NAT_FLAGS[side], sum(bit for bit, _ in present))
    return _nicira(wire.NX_NAT, (flags, *(length for _, length in present)))


def _resubmit(shape: Shape) -> Layout:
    return _nicira(wire.NX_RESUBMIT_TABLE, (pack(">HB3x", wire.SAME_PORT, shape[1]),))


def _conjunction(shape: Shape) -> Layout:
    _, number, clause, clauses = shape
    return _nicira(wire.NX_CONJUNCTION, (pack(">BBI", clause, clauses, number),))


def _learn(shape: Shape) -> Layout:
    """NXAST_LEARN: what the learnt flow matches, as the packet has it or as is said here, and what it loads."""
    _, table, idle, cookie, same, exact, kept = shape
    head = pack(">HHHQHBxHH", idle, 0, LEARNT_PRIORITY, cookie, 0, table, 0, 0)
    # Fields need their prerequisites before them.
    fixed = b"".join(_learnt_value(field, value) for field, value in exact)
    taken = b"".join(_learnt_field(0, field) for (field,) in same)
    loaded = b"".join(_learnt_field(wire.LEARN_LOAD, field) for (field,) in kept)
    return _nicira(wire.NX_LEARN, (head + fixed + taken + loaded,))


def _learnt_value(field: Field, value: int) -> bytes:
    bits = fields.spec(field).width
    number = value.to_bytes(2 * -(-bits // 16), "big")
    return pack(">H", wire.LEARN_IMMEDIATE | bits) + number + pack(">IH", BY_FIELD[field].header, 0)


def _learnt_field(use: int, field: Field) -> bytes:
    place = (BY_FIELD[field].header, 0)
    return pack(">HIHIH", use | fields.spec(field).width, *place, *place)


_LAYOUTS: Final[dict[int, Callable[[Shape], Layout]]] = {
    Op.SET: _set,
    Op.COPY: _copy,
    Op.OUTPUT: _output,
    Op.OUTPUT_FIELD: _output_field,
    Op.CT: _ct,
    Op.NAT: _nat,
    Op.RESUBMIT: _resubmit,
    Op.DEC_TTL: lambda shape: _standard(wire.ACTION_DEC_TTL, (bytes(4),)),
    Op.GROUP: lambda shape: _standard(wire.ACTION_GROUP, (4,)),
    Op.CLONE: lambda shape: _nicira(wire.NX_CLONE, (bytes(6), *layout_actions(shape[1]))),
    Op.METER: lambda shape: _standard(wire.ACTION_METER, (4,)),
    Op.CONJUNCTION: _conjunction,
    Op.CT_CLEAR: lambda shape: _nicira(wire.NX_CT_CLEAR, (bytes(6),)),
    Op.LEARN: _learn,
    Op.NO_IN_PORT: lambda shape: _standard(wire.ACTION_SET_FIELD, (pack(">IH", wire.IN_PORT_16, 0),)),
}
