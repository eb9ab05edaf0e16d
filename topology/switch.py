"""The software switch: takes one packet through one flow table, as OpenFlow 1.5.1 and ovs-actions(7) say.

Pure: what a switch remembers (connections) is an argument and part of the result. Several switches are `trace`.
Stricter than a real switch in one point: flows that match one packet at one priority with different actions are an
error here, while a real switch picks one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from topology import fields
from topology.compiler import FlowTable, SectionKey
from topology.fields import FULL_MASK, Field
from topology.flow import IN_PORT_NUMBER, NO_TABLE, Action, Actions, Entry, Group, Op
from topology.packet import Packet
from topology.pipeline import Table
from topology.tracker import NOTHING_TRACKED, Nat, Tracker, talk_of

Shape: TypeAlias = tuple[tuple[Field, int], ...]  # the fields that a match looks at, with masks
Bucket: TypeAlias = dict[tuple[int, ...], list[Entry]]

_SOURCE, _AS_COMMITTED = 0, 2  # what a NAT action is about, see `Op.NAT`
_MOST_TABLES: Final = 64  # that one packet passes: OVS gives up on resubmits as well (4096 there)


class AmbiguousError(Exception):
    """Two flows of equal priority want different things of one packet."""


class Output(NamedTuple):
    """A packet as it left the switch."""

    port: int
    packet: Packet


class Step(NamedTuple):
    """One table that a packet passed, and the flow that matched; None where no flow did."""

    table: int
    entry: Entry | None
    owner: SectionKey | None


class Passage(NamedTuple):
    """What became of a packet: no output means that it was dropped at the last step. Copies leave besides."""

    outputs: tuple[Output, ...]
    steps: tuple[Step, ...]
    tracker: Tracker
    copies: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Switch:
    """A flow table, prepared for look-ups: per table, falling priorities, and per priority a dictionary per shape."""

    table: FlowTable
    index: dict[int, tuple[tuple[int, dict[Shape, Bucket]], ...]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, table: FlowTable) -> Switch:
        """Prepare a table."""
        index: dict[int, dict[int, dict[Shape, Bucket]]] = {}
        for entry in table.entries():
            flow = entry.flow
            shape = tuple((term[0], term[2]) for term in flow.match)
            values = tuple(term[1] for term in flow.match)
            level = index.setdefault(flow.table, {}).setdefault(flow.priority, {})
            level.setdefault(shape, {}).setdefault(values, []).append(entry)
        falling = {number: tuple(sorted(levels.items(), reverse=True)) for number, levels in index.items()}
        return cls(table, falling)

    def lookup(self, table: int, packet: Packet) -> Entry | None:
        """Return the flow that a packet matches in one table. Raises AmbiguousError."""
        for priority, shapes in self.index.get(table, ()):
            found = [entry for shape, bucket in shapes.items() for entry in _matching(shape, bucket, packet)]
            if len(found) > 1 and len({entry.flow.actions for entry in found}) > 1:
                raise AmbiguousError(f"table {table}, priority {priority}: {[entry.flow for entry in found]}")
            if found:
                return found[0]
        return None

    def process(self, packet: Packet, tracker: Tracker = NOTHING_TRACKED) -> Passage:
        """Take a packet that came in by its in_port through the tables. Raises AmbiguousError.

        Raises ValueError for an action that no feature uses yet.
        """
        return _Walk(self, tracker).run(packet)


def _matching(shape: Shape, bucket: Bucket, packet: Packet) -> Iterable[Entry]:
    values: list[int] = []
    for name, mask in shape:
        value = packet.get(name)
        if value is None:
            return ()
        values.append(value & mask)
    return bucket.get(tuple(values), ())


class _Nested(NamedTuple):
    """What is nested in a ct action: whether it translates, how a new connection is, and the mark that it gets."""

    translates: bool
    nat: Nat | None
    mark: int

    @classmethod
    def of(cls, actions: Actions) -> _Nested:
        translates, nat, mark = False, None, 0
        for action in actions:
            match action:
                case (Op.NAT, int(side), _, int(address), _, int(port), _):
                    translates = True
                    nat = None if side == _AS_COMMITTED else Nat(side == _SOURCE, address, port)
                case (Op.SET, fields.CT_MARK, int(value), _):
                    mark = value
                case _:
                    raise ValueError(f"the software switch does not know action {action} inside ct")
        return cls(translates, nat, mark)


class _Walk:
    """One packet on its way: what was sent and seen so far. It lives as long as one call of `process`."""

    def __init__(self, switch: Switch, tracker: Tracker) -> None:
        self._switch, self._tracker = switch, tracker
        self._outputs: list[Output] = []
        self._copies: list[Output] = []
        self._steps: list[Step] = []
        self._groups: dict[int, Group] = {}  # of the flows that it met

    def run(self, packet: Packet) -> Passage:
        self._visit(int(Table.DISPATCH), packet)
        return Passage(tuple(self._outputs), tuple(self._steps), self._tracker, tuple(self._copies))

    def _visit(self, table: int, packet: Packet) -> Packet:
        if len(self._steps) >= _MOST_TABLES:
            raise RecursionError(f"a packet passed {_MOST_TABLES} tables")
        entry = self._switch.lookup(table, packet)
        owner = None if entry is None else self._switch.table.owners.get(entry.flow.key)
        self._groups.update((group.group_id, group) for group in (() if entry is None else entry.flow.groups))
        self._steps.append(Step(table, entry, owner))
        for action in () if entry is None else entry.flow.actions:
            packet = self._act(action, packet)
        return packet

    def _act(self, action: Action, packet: Packet) -> Packet:
        match action:
            case (Op.SET, int(field), int(value), int(mask)):
                return _set(packet, Field(field), value, mask)
            case (Op.COPY, int(source), int(from_bit), int(to), int(to_bit), int(bits)):
                mask = (1 << bits) - 1
                value = (packet.get(Field(source)) or 0) >> from_bit & mask
                return _set(packet, Field(to), value << to_bit, mask << to_bit)
            case (Op.OUTPUT, int(port)):
                self._send(port, packet)
            case (Op.OUTPUT_FIELD, int(field)):
                self._send(packet.get(Field(field)) or 0, packet)
            case (Op.GOTO | Op.RESUBMIT, int(table)):
                return self._visit(table, packet)
            case (Op.CT, commit, int(zone), int(table), tuple(nested)):
                return self._track(packet, zone, table, commit=bool(commit), nested=_Nested.of(nested))
            case (Op.GROUP, int(number)) if number in self._groups:
                self._choose(self._groups[number], packet)
            case (Op.LEARN, *_) | (Op.METER, _) | (Op.DEC_TTL,):
                return packet  # the first two are about later packets, here each is the first; none is old either
            case (Op.CLONE, tuple(nested)):
                self._copy(nested, packet)
            case (Op.NO_IN_PORT,):
                return packet.set(fields.IN_PORT, 0)
            case (Op.CT_CLEAR,):
                return packet.set(fields.CT_STATE, 0)
            case _:
                raise ValueError(f"the software switch does not know action {action}")
        return packet

    def _send(self, port: int, packet: Packet) -> None:
        came_by = packet.get(fields.IN_PORT) or 0
        if port == IN_PORT_NUMBER:
            self._outputs.append(Output(came_by, packet))
        elif port not in (0, came_by):  # a switch sends nothing back unless told by IN_PORT (OpenFlow 1.5.1, 7.2.1)
            self._outputs.append(Output(port, packet))

    def _copy(self, actions: Actions, packet: Packet) -> None:
        """Let a copy of the packet leave, by whichever way it does."""
        outputs, self._outputs = self._outputs, []
        for action in actions:
            packet = self._act(action, packet)
        self._copies += self._outputs
        self._outputs = outputs

    def _track(self, packet: Packet, zone: int, table: int, *, commit: bool, nested: _Nested) -> Packet:
        look, self._tracker = self._tracker.look_up(packet, zone)
        if commit and look.state & fields.CT_NEW:
            self._tracker = self._tracker.commit(packet, zone, nested.nat, nested.mark)
            look = self._tracker.look_up(packet, zone)[0]
        if nested.translates:
            packet = look.translated
        if table != NO_TABLE:  # a copy goes on there; what follows this action does not see its state
            beside = {fields.CT_STATE: look.state, fields.CT_ZONE: zone, fields.CT_MARK: look.mark}
            self._visit(table, Packet(packet.values.update(beside), packet.quoted))
        return packet

    def _choose(self, group: Group, packet: Packet) -> None:
        """Let a bucket have a copy of the packet."""
        for action in _bucket(group, packet):
            packet = self._act(action, packet)


def _bucket(group: Group, packet: Packet) -> Actions:
    """Return what is done in one bucket: always the same one for packets of the same ends."""
    whole = sum(weight for _, weight, _ in group.buckets)
    if not whole:
        return ()
    place = crc32(repr((group.group_id, talk_of(packet, 0))).encode()) % whole
    shares = accumulate(weight for _, weight, _ in group.buckets)
    return next(bucket[2] for bucket, share in zip(group.buckets, shares, strict=True) if place < share)


def _set(packet: Packet, name: Field, value: int, mask: int) -> Packet:
    rest = FULL_MASK[name] & ~mask
    return packet.set(name, (packet.get(name) or 0) & rest | value & mask)
