"""Flows as frozen values: match, actions, cookie.

What they mean is said in `pipeline`, how they look on the wire in `ryu_apps.openflow`.

A flow holds nothing but (nested tuples of) integers. It is identified on a switch by its key (table, priority, match),
and its cookie tells owner and content, so that "what is installed" is a set of numbers.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

from topology import fields
from topology.fields import FULL_MASK, Field
from topology.model import Address
from topology.pipeline import SENTINEL, FeatureId, Stage, Table

# (field, value, mask) in canonical field order; the mask is the field's full mask for an exact match.
MatchTerm: TypeAlias = tuple[Field, int, int]
Match: TypeAlias = tuple[MatchTerm, ...]
# Operation code first, then integers or nested actions. No action at all is a drop.
Action: TypeAlias = "tuple[int | tuple[Action, ...], ...]"
Actions: TypeAlias = tuple[Action, ...]
FlowKey: TypeAlias = tuple[int, int, Match]
Bucket: TypeAlias = tuple[int, int, Actions]  # id, weight (above 0), actions

DROP: Final[Actions] = ()
IN_PORT_NUMBER: Final = 0xFFFFFFF8  # OFPP_IN_PORT: back through the port it came by (OpenFlow 1.5.1, 7.2.1)


class Op:
    """Operation codes of actions. For each: what follows the code in the tuple."""

    SET: Final = 1  # field, value, mask
    COPY: Final = 2  # source field, its first bit, destination field, its first bit, number of bits
    OUTPUT: Final = 3  # port number
    OUTPUT_FIELD: Final = 4  # field that holds the port number (all its bits)
    GOTO: Final = 5  # table; always the last action
    CT: Final = 6  # commit (0 or 1), zone, table to continue in or NO_TABLE, nested actions
    # Only inside CT: source (0) or destination (1) or "as committed" (2), IP version, address range, port range.
    NAT: Final = 7
    RESUBMIT: Final = 8  # table
    DEC_TTL: Final = 9
    GROUP: Final = 10  # group id
    METER: Final = 11  # meter id
    CONJUNCTION: Final = 12  # conjunction id, clause (from 0), number of clauses
    CT_CLEAR: Final = 13
    # Table, seconds of idleness, cookie; then what the learnt flow matches as this packet has it, (field,), what it
    # matches besides, (field, value), and what it loads as this packet has it, (field,).
    LEARN: Final = 15
    NO_IN_PORT: Final = 14  # from now on it came by no port, so that it may leave by any
    CLONE: Final = 16  # nested actions: done to a copy


NO_TABLE: Final = 255


class Group(NamedTuple):
    """A select group: for each packet one bucket is chosen, by weight; an existing connection is not asked again."""

    group_id: int
    buckets: tuple[Bucket, ...]  # in order of their ids
    is_lower: bool = False  # another group leads here, so that this one must not choose by the same hash


class Meter(NamedTuple):
    """What passes it is bounded: what is above `rate` (kilobits a second) is dropped, but for `burst` (kilobits)."""

    meter_id: int
    rate: int
    burst: int


class Flow(NamedTuple):
    """One flow: the value of its key (table, priority, match) is its actions, and the groups and meters for it alone.

    A group comes before those whose buckets lead to it are made, so `groups` are in the order in which they are made.
    """

    table: int
    priority: int
    match: Match
    actions: Actions
    groups: tuple[Group, ...] = ()
    meters: tuple[Meter, ...] = ()

    @property
    def key(self) -> FlowKey:
        """What a switch identifies a flow by."""
        return (self.table, self.priority, self.match)

    @property
    def content(self) -> tuple[object, ...]:
        """What it does: its actions, and behind them its groups and meters."""
        return self.actions + self.groups + self.meters

    @property
    def numbers(self) -> tuple[int, ...]:
        """The ids of its groups, and those of its meters as numbers below 0: in an index, they are not to be mixed."""
        if not (self.groups or self.meters):
            return ()
        return (*(group.group_id for group in self.groups), *(-meter.meter_id for meter in self.meters))


class Entry(NamedTuple):
    """A flow with the cookie that names its owner and content."""

    cookie: int
    flow: Flow


def match(**terms: int | tuple[int, int]) -> Match:
    """Build a match from OpenFlow field names; a value is exact, a pair is (value, mask). Integers are in host order.

    Raises KeyError for a field that does not exist.
    """
    named = ((fields.BY_NAME[name], term) for name, term in terms.items())
    return match_fields(*named)


def match_fields(*terms: tuple[Field, int | tuple[int, int]]) -> Match:
    """Build a match from (field, value or (value, mask)) pairs, for features that take the field from a `Family`."""
    full = (
        (field, term[0] & term[1], term[1]) if isinstance(term, tuple) else (field, term, FULL_MASK[field])
        for field, term in terms
    )
    return tuple(sorted(full))


def at(
    stage: Stage, terms: Match, actions: Actions, groups: tuple[Group, ...] = (), meters: tuple[Meter, ...] = ()
) -> Flow:
    """Return the flow with `terms`, `actions`, and the groups and meters that it uses, in a stage of the pipeline."""
    return Flow(int(stage.table), stage.priority, terms, actions, groups, meters)


def load(field: Field, value: int, mask: int | None = None) -> Action:
    """Set `field` (or the bits of it that `mask` has) to `value`."""
    return (Op.SET, field, value, FULL_MASK[field] if mask is None else mask)


def copy(source: Field, destination: Field, bits: int, *, from_bit: int = 0, to_bit: int = 0) -> Action:
    """Copy `bits` bits of `source` to `destination`."""
    return (Op.COPY, source, from_bit, destination, to_bit, bits)


def output(port: int) -> Action:
    """Send out through a port number (host order); to the input port only as IN_PORT_NUMBER."""
    return (Op.OUTPUT, port)


def output_field(field: Field) -> Action:
    """Send out through the port whose number stands in `field`."""
    return (Op.OUTPUT_FIELD, field)


def goto(table: Table) -> Action:
    """Continue in a table with a higher number."""
    return (Op.GOTO, int(table))


def conntrack(zone: int, *, commit: bool = False, table: Table | None = None, nested: Actions = ()) -> Action:
    """Send through connection tracking in `zone`; with `table`, a copy with ct_state set continues there.

    `nested`: one translation (`known_nat`, `nat_to`, `nat_from`), and what is to be kept with a connection (ct_mark).
    """
    return (Op.CT, int(commit), zone, NO_TABLE if table is None else int(table), nested)


def learn(table: Table, idle: int, same: Iterable[Field], exact: Match, kept: Iterable[Field]) -> Action:
    """Let the switch itself add a flow to `table`, for `idle` seconds after its last packet.

    It matches packets that are as this one in the fields `same` and as `exact` says, and loads the fields `kept` as
    this one has them. Not inside a bucket: Open vSwitch passes over it there.
    """
    fields_of = tuple((int(field),) for field in same), tuple((int(field),) for field in kept)
    matched = tuple((int(field), value) for field, value, _ in exact)
    return (Op.LEARN, int(table), idle, FeatureId.LEARNT << 56, fields_of[0], matched, fields_of[1])


def no_in_port() -> Action:
    """Forget the port that the packet came by: a switch sends nothing back by it otherwise."""
    return (Op.NO_IN_PORT,)


def resubmit(table: Table) -> Action:
    """Look up in a table too, and come back; its number may be lower, so whoever uses it sees that nothing circles."""
    return (Op.RESUBMIT, int(table))


def known_nat() -> Action:
    """Inside `conntrack`: translate as it was committed, in either direction."""
    return (Op.NAT, 2, 0, 0, 0, 0, 0)


def nat_to(address: Address, port: int) -> Action:
    """Inside `conntrack` that commits: send to `address` and `port`."""
    return (Op.NAT, 1, address.version, int(address), int(address), port, port)


def nat_from(address: Address) -> Action:
    """Inside `conntrack` that commits: send from `address`, by whichever port is free there."""
    return (Op.NAT, 0, address.version, int(address), int(address), 0, 0)


def select(group_id: int) -> Action:
    """Let a select group choose a bucket."""
    return (Op.GROUP, group_id)


def decremented() -> Action:
    """Count a hop: the TTL becomes one less, and a packet that has none left ends here."""
    return (Op.DEC_TTL,)


def cloned(*actions: Action) -> Action:
    """Do something to a copy of the packet, which goes on as it is."""
    return (Op.CLONE, actions)


def metered(meter_id: int) -> Action:
    """Drop what is above the rate of a meter."""
    return (Op.METER, meter_id)


# The cookie: 8 bits feature, 8 bits shard, 48 bits digest.
DIGEST_MASK: Final = (1 << 48) - 1
SHARDS: Final = 16


def cookie(feature: int, shard: int, flow: Flow) -> int:
    """Return the cookie (64 bits) of `flow`, which `feature` (0..255) owns in `shard` (0..SHARDS-1).

    The digest is blake2b over the marshalled tuple, with the groups and meters where there are any: these have no
    cookies of their own. Marshal's version 2 has no back references, so equal flows give equal bytes.
    """
    content = flow[:4]
    if flow.meters:
        body = marshal.dumps((*content, tuple(map(tuple, flow.groups)), tuple(map(tuple, flow.meters))), 2)
    else:
        body = marshal.dumps((*content, tuple(map(tuple, flow.groups))) if flow.groups else content, 2)
    digest = int.from_bytes(blake2b(body, digest_size=6).digest(), "big")
    return (feature << 56) | (shard << 48) | digest


def owner_class(cookie_value: int) -> int:
    """Return feature and shard (16 bits) of a cookie."""
    return cookie_value >> 48


def entries(feature: int, shard: int, flows: Iterable[Flow]) -> tuple[Entry, ...]:
    """Give each flow its cookie."""
    return tuple(Entry(cookie(feature, shard, flow), flow) for flow in flows)


def sentinel(owner: int, total: int) -> Entry:
    """Return the sentinel of a feature and shard (16 bits): its cookie carries the sum of their cookies' digests."""
    return Entry((FeatureId.SENTINEL << 56) | (total & DIGEST_MASK), at(SENTINEL, match(reg0=owner), DROP))
