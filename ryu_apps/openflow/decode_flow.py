"""Matches and actions from their bytes: the inverse of `actions` and `oxm`.

Read is what we write, in any order that OpenFlow allows; anything else raises WireError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import pack, unpack_from
from typing import Final

from ryu_apps.openflow import wire
from ryu_apps.openflow.oxm import BY_HEADER, BY_LEARNT_HEADER
from ryu_apps.openflow.wire import WireError
from topology import fields
from topology.fields import BY_NAME, FULL_MASK, Field
from topology.flow import Action, Actions, Match, MatchTerm, Op
from topology.pipeline import LEARNT_PRIORITY


def decode_match(data: bytes) -> Match:
    """Return a match from OXM fields without padding, its terms in canonical order."""
    terms: list[MatchTerm] = []
    position = 0
    while position < len(data):
        if data[position : position + 2] == _REGISTER_PAIRS:
            pair, position = _register_pair(data, position)
            terms += pair
        else:
            term, position = _term(data, position)
            terms.append(term)
    terms.sort()
    return tuple(terms)


def decode_instructions(data: bytes) -> Actions:
    """Return actions from instructions: applied actions, then a jump to a table."""
    applied: Actions = ()
    jump: Actions = ()
    for kind, body in _records(data, 8):
        if kind == wire.APPLY_ACTIONS and not applied and not jump:
            applied = decode_actions(body[8:])
        elif kind == wire.GOTO_TABLE and not jump:
            jump = ((Op.GOTO, body[4]),)
        else:
            raise WireError(f"instruction {kind} is not one of ours")
    return (*applied, *jump)


def decode_actions(data: bytes) -> Actions:
    """Return a list of actions."""
    return tuple(_action(kind, body) for kind, body in _records(data, 8))


def _records(data: bytes, smallest: int) -> Iterator[tuple[int, bytes]]:
    """Cut instructions or actions: type, length, padded to 8 bytes. The record includes both."""
    position = 0
    while position < len(data):
        if len(data) - position < smallest:
            raise WireError(f"{len(data) - position} bytes left where an action begins")
        kind, length = unpack_from(">HH", data, position)
        if length < smallest or length % 8 or position + length > len(data):
            raise WireError(f"an action of {length} bytes where {len(data) - position} are left")
        yield kind, data[position : position + length]
        position += length


def _term(data: bytes, position: int) -> tuple[MatchTerm, int]:
    header = int.from_bytes(data[position : position + 4], "big")
    known = BY_HEADER.get(header)
    if known is None:
        raise WireError(f"match field {header:#010x} is not one of ours")
    field, size, masked = known
    middle = position + 4 + size
    end = middle + size if masked else middle
    if end > len(data):
        raise WireError(f"match field {fields.spec(field).name} is cut off")
    value = int.from_bytes(data[position + 4 : middle], "big")
    mask = int.from_bytes(data[middle:end], "big") if masked else FULL_MASK[field]
    return (field, value, mask), end


def _register_pair(data: bytes, position: int) -> tuple[list[MatchTerm], int]:
    """Read a register of 64 bits, as Open vSwitch tells of two of ours that are matched, the first one above."""
    field, length = data[position + 2 : position + 3], data[position + 3 : position + 4]
    number, masked = (field[0] >> 1, field[0] & 1) if length else (len(_PAIRS), 0)
    middle, end = position + 12, position + 12 + 8 * masked
    if number >= len(_PAIRS) or end > len(data) or length[0] != end - position - 4:
        raise WireError("a pair of registers that is cut off, or not one of ours")
    value = int.from_bytes(data[position + 4 : middle], "big")
    mask = int.from_bytes(data[middle:end], "big") if masked else wire.EVERY_BIT
    first, second = _PAIRS[number]
    halves = ((first, value >> 32, mask >> 32), (second, value & _LOW, mask & _LOW))
    return [half for half in halves if half[2]], end


_LOW: Final = 0xFFFFFFFF
_REGISTER_PAIRS: Final = wire.OXM_REGISTERS.to_bytes(2, "big")
_PAIRS: Final = tuple((BY_NAME[f"reg{number}"], BY_NAME[f"reg{number + 1}"]) for number in range(0, 10, 2))


def _action(kind: int, data: bytes) -> Action:
    read = _ACTIONS.get(kind)
    if read is None:
        raise WireError(f"action {kind} is not one of ours")
    return read(data)


_NO_IN_PORT: Final = pack(">IH", wire.IN_PORT_16, 0)


def _set(data: bytes) -> Action:
    if data[4:10] == _NO_IN_PORT:
        return (Op.NO_IN_PORT,)
    (field, value, mask), end = _term(data, 4)
    if len(data) - end >= 8:
        raise WireError("a set-field with more than one field")
    return (Op.SET, field, value, mask)


def _copy(data: bytes) -> Action:
    _long_enough(data, 20)
    bits, from_bit, to_bit, source, destination = unpack_from(">HHH2xII", data, 4)
    return (Op.COPY, _field(source), from_bit, _field(destination), to_bit, bits)


def _number(op: int) -> Callable[[bytes], Action]:
    return lambda data: (op, int.from_bytes(data[4:8], "big"))


def _output(data: bytes) -> Action:
    _long_enough(data, 16)
    return (Op.OUTPUT, int.from_bytes(data[4:8], "big"))


def _nicira(data: bytes) -> Action:
    _long_enough(data, 16)
    vendor, subtype = unpack_from(">IH", data, 4)
    read = _NICIRA.get(subtype) if vendor == wire.NICIRA else None
    if read is None:
        raise WireError(f"action {subtype} of experimenter {vendor:#x} is not one of ours")
    return read(data)


def _resubmit(data: bytes) -> Action:
    return (Op.RESUBMIT, data[12])


def _output_field(data: bytes) -> Action:
    _long_enough(data, 24)
    bits, header = unpack_from(">HI", data, 10)
    field = _field(header)
    if bits != fields.spec(field).width - 1:
        raise WireError("output to a part of a field is not one of ours")
    return (Op.OUTPUT_FIELD, field)


def _conjunction(data: bytes) -> Action:
    clause, clauses, number = unpack_from(">BBI", data, 10)
    return (Op.CONJUNCTION, number, clause, clauses)


def _learn(data: bytes) -> Action:
    _long_enough(data, 32)
    idle, hard, priority, cookie, flags, table, *rest = unpack_from(">HHHQHBxHH", data, 10)
    if hard or flags or any(rest) or priority != LEARNT_PRIORITY:
        raise WireError("a learn action with time-outs, flags or a priority that are not of ours")
    same: list[tuple[int]] = []
    exact: list[tuple[int, int]] = []
    kept: list[tuple[int]] = []
    position = 32
    while len(data) - position >= 2 and (head := unpack_from(">H", data, position)[0]):
        position += 2
        if head & wire.LEARN_IMMEDIATE:
            end = position + 2 * -(-(head & 0x3FF) // 16)
            _long_enough(data, end + 6)
            found = (_learnt_field(data, end), int.from_bytes(data[position:end], "big"))
            exact.append(found)
            position = end + 6
        else:
            _long_enough(data, position + 12)
            (kept if head & wire.LEARN_LOAD else same).append((_learnt_field(data, position),))
            position += 12
    return (Op.LEARN, table, idle, cookie, tuple(same), tuple(exact), tuple(kept))


def _learnt_field(data: bytes, position: int) -> int:
    header = int.from_bytes(data[position : position + 4], "big")
    known = BY_LEARNT_HEADER.get(header)
    if known is None:
        raise WireError(f"field {header:#010x} is not one of ours")
    return int(known)


def _ct(data: bytes) -> Action:
    _long_enough(data, 24)
    flags, zone_source, zone, table, algorithm = unpack_from(">HIHB3xH", data, 10)
    if flags & ~wire.CT_COMMIT or zone_source or algorithm:
        raise WireError("a ct action with a flag, a zone field or an algorithm that is not one of ours")
    return (Op.CT, flags, zone, table, decode_actions(data[24:]))


def _nat(data: bytes) -> Action:
    flags, present = unpack_from(">HH", data, 12)
    side = _NAT_SIDES.get(flags)
    if side is None or present & 0xFF00:
        raise WireError(f"a nat action with flags {flags:#x}")
    found: dict[int, int] = {}
    position = 16
    for bit, size in _NAT_PARTS:
        if present & bit:
            _long_enough(data, position + size)
            found[bit] = int.from_bytes(data[position : position + size], "big")
            position += size
    version = 4 if present & _NAT_IPV4 else 6 if present & _NAT_IPV6 else 0
    first_bit = wire.NAT_IPV4_FIRST if version == 4 else wire.NAT_IPV6_FIRST
    first, port = found.get(first_bit, 0), found.get(wire.NAT_PORT_FIRST, 0)
    last, last_port = found.get(first_bit << 1, first), found.get(wire.NAT_PORT_LAST, port)
    return (Op.NAT, side, version, first, last, port, last_port)


_NAT_SIDES: Final = {wire.NAT_SOURCE: 0, wire.NAT_DESTINATION: 1, 0: 2}
_NAT_IPV4: Final = wire.NAT_IPV4_FIRST | wire.NAT_IPV4_LAST
_NAT_IPV6: Final = wire.NAT_IPV6_FIRST | wire.NAT_IPV6_LAST
_NAT_PARTS: Final = (
    (wire.NAT_IPV4_FIRST, 4),
    (wire.NAT_IPV4_LAST, 4),
    (wire.NAT_IPV6_FIRST, 16),
    (wire.NAT_IPV6_LAST, 16),
    (wire.NAT_PORT_FIRST, 2),
    (wire.NAT_PORT_LAST, 2),
)


def _field(header: int) -> Field:
    known = BY_HEADER.get(header)
    if known is None or known[2]:
        raise WireError(f"field {header:#010x} is not one of ours")
    return known[0]


def _long_enough(data: bytes, size: int) -> None:
    if len(data) < size:
        raise WireError(f"an action of {len(data)} bytes where {size} are needed")


_ACTIONS: Final[dict[int, Callable[[bytes], Action]]] = {
    wire.ACTION_OUTPUT: _output,
    wire.ACTION_GROUP: _number(Op.GROUP),
    wire.ACTION_METER: _number(Op.METER),
    wire.ACTION_DEC_TTL: lambda _data: (Op.DEC_TTL,),
    wire.ACTION_SET_FIELD: _set,
    wire.ACTION_COPY_FIELD: _copy,
    wire.ACTION_EXPERIMENTER: _nicira,
}
_NICIRA: Final[dict[int, Callable[[bytes], Action]]] = {
    wire.NX_RESUBMIT_TABLE: _resubmit,
    wire.NX_OUTPUT_REG: _output_field,
    wire.NX_CONJUNCTION: _conjunction,
    wire.NX_LEARN: _learn,
    wire.NX_CT: _ct,
    wire.NX_NAT: _nat,
    wire.NX_CLONE: lambda data: (Op.CLONE, decode_actions(data[16:])),
    wire.NX_CT_CLEAR: lambda _data: (Op.CT_CLEAR,),
}
