"""Faults that are put into compiled tables, kind by kind, as a mistake of a feature or of the compiler could make them.

A fault takes a flow (or two tables' worth of numbers) and returns flows to have in its place. Tables are put together
again with owners and sums as the compiler keeps them, so that nothing but the flows tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from immutables import Map

from topology.compiler import FlowTable, SectionKey, Tables
from topology.fields import (
    CT_MARK,
    CT_STATE,
    ETH_DST,
    ETH_SRC,
    FULL_MASK,
    ICMP_TYPE,
    IN_PORT,
    IP_DSCP,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    IS_ANSWER,
    TUN_IPV4_DST,
    Field,
)
from topology.flow import (
    DIGEST_MASK,
    DROP,
    Action,
    Actions,
    Bucket,
    Entry,
    Flow,
    FlowKey,
    Group,
    Meter,
    Op,
    cookie,
    goto,
    owner_class,
    select,
)
from topology.model import ICMP_OFPORT
from topology.pipeline import (
    BY_SERVICE,
    CROSS_TRANSLATED,
    DELIVER_ANSWER,
    DELIVER_ERROR,
    DELIVER_SERVICE,
    DESTINATION_VNID,
    EGRESS_ADDRESS,
    EGRESS_MAC,
    HAIRPIN_SELF,
    OUTPUT_PORT,
    OUTSIDE,
    SCRATCH,
    SOURCE_VNID,
    SPACE,
    Table,
    stages,
)

ADDRESSES = (IPV4_SRC, IPV4_DST, IPV6_SRC, IPV6_DST)
TABLES = tuple(table for table in Table if table is not Table.SENTINELS)
PRIORITIES = sorted({stage.priority for stage in stages()})


@dataclass(frozen=True)
class Numbers:
    """Numbers that occur in the network: a wrong one is most often somebody else's."""

    vnids: tuple[int, ...]
    ofports: tuple[int, ...]
    underlays: tuple[int, ...]
    addresses: tuple[int, ...] = ()  # of pods, in the shared space
    services: tuple[int, ...] = ()  # addresses of services, and of none


@dataclass(frozen=True)
class Fault:
    """One fault: which kind, where, and the tables that have it; `places` are the tables on the node it is in."""

    kind: str
    node: str
    section: SectionKey
    before: Flow
    after: tuple[Flow, ...]
    tables: Tables

    @property
    def places(self) -> frozenset[tuple[str, int]]:
        """Where packets may fare otherwise because of it."""
        return frozenset((self.node, flow.table) for flow in (self.before, *self.after))


Place = tuple[str, SectionKey, Entry]  # a flow, on which node it is and whose
Make = Callable[[Flow, Numbers, Random], tuple[Flow, ...] | None]


def other(chance: Random, values: tuple[int, ...], but: int) -> int | None:
    rest = sorted({*values} - {but})
    return chance.choice(rest) if rest else None


def with_set(flow: Flow, field: Field, values: tuple[int, ...], chance: Random) -> tuple[Flow, ...] | None:
    """Let one SET of a field have another of the values."""
    for position, action in enumerate(flow.actions):
        if action[0] == Op.SET and action[1] == field:
            assert isinstance(action[2], int)
            value = other(chance, values, action[2])
            return None if value is None else (with_action(flow, position, (*action[:2], value, action[3])),)
    return None


def with_action(flow: Flow, position: int, action: Action) -> Flow:
    return flow._replace(actions=(*flow.actions[:position], action, *flow.actions[position + 1 :]))


def delete(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return ()


def add_pair(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    if flow.table != Table.DELIVERY or len(numbers.vnids) < 2:
        return None
    pair = chance.sample(numbers.vnids, 2)
    match = ((SOURCE_VNID, pair[0], FULL_MASK[SOURCE_VNID]), (DESTINATION_VNID, pair[1], FULL_MASK[DESTINATION_VNID]))
    return flow, Flow(int(Table.DELIVERY), chance.choice((90, 100)), match, (goto(Table.OUTPUT),))


def retag(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_set(flow, SOURCE_VNID, numbers.vnids, chance)


def relabel(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_set(flow, DESTINATION_VNID, numbers.vnids, chance)


def swap_port(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_set(flow, OUTPUT_PORT, numbers.ofports, chance)


def swap_vtep(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_set(flow, TUN_IPV4_DST, numbers.underlays, chance)


def change_space(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    changed = with_set(flow, SPACE, numbers.vnids, chance)
    for position, (field, value, mask) in enumerate(flow.match):
        if changed is None and field == SPACE:
            new = other(chance, (0, *numbers.vnids), value)
            changed = None if new is None else (with_term(flow, position, (field, new, mask)),)
    return changed


def with_term(flow: Flow, position: int, term: tuple[Field, int, int] | None) -> Flow:
    middle = () if term is None else (term,)
    return flow._replace(match=(*flow.match[:position], *middle, *flow.match[position + 1 :]))


def drop_term(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (with_term(flow, chance.randrange(len(flow.match)), None),) if flow.match else None


def change_term(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    if not flow.match:
        return None
    position = chance.randrange(len(flow.match))
    field, value, mask = flow.match[position]
    return (with_term(flow, position, (field, value ^ (mask & -mask), mask)),)


def change_mask(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A prefix that is wider or narrower by some bits."""
    for position, (field, value, mask) in enumerate(flow.match):
        if field in ADDRESSES:
            bits = FULL_MASK[field].bit_length()
            length = chance.choice([n for n in range(bits - 12, bits + 1) if n != mask.bit_count()])
            new = FULL_MASK[field] >> (bits - length) << (bits - length)
            return (with_term(flow, position, (field, value & new, new)),)
    return None


def change_goto(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    for position, action in enumerate(flow.actions):
        if action[0] == Op.GOTO:
            target = chance.choice([table for table in TABLES if table != action[1]])
            return (with_action(flow, position, (Op.GOTO, int(target))),)
    return None


def move_priority(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(priority=chance.choice([each for each in PRIORITIES if each != flow.priority])),)


def move_table(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(table=int(chance.choice([table for table in TABLES if table != flow.table]))),)


def drop_to_delivery(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    if flow.actions != DROP or flow.table >= Table.OUTPUT:
        return None
    found: Actions = ((Op.SET, OUTPUT_PORT, chance.choice(numbers.ofports), FULL_MASK[OUTPUT_PORT]),)
    return (flow._replace(actions=(*found, goto(Table.OUTPUT))),)


def delivery_to_drop(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(actions=DROP),) if flow.actions != DROP else None


def lose_action(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    if not flow.actions:
        return None
    position = chance.randrange(len(flow.actions))
    return (flow._replace(actions=(*flow.actions[:position], *flow.actions[position + 1 :])),)


def change_zone(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    for position, action in enumerate(flow.actions):
        if action[0] == Op.CT:
            zone = chance.choice([zone for zone in (7, 16, 17, 18) if zone != action[2]])
            return (with_action(flow, position, (*action[:2], zone, *action[3:])),)
    return None


def commit_or_not(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    for position, action in enumerate(flow.actions):
        if action[0] == Op.CT:
            return (with_action(flow, position, (Op.CT, 1 - int(bool(action[1])), *action[2:])),)
    return None


def change_mac(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_set(flow, ETH_DST, (0x0A58_0A80_0063, 0x0200_0000_0001), chance)


# --- translation, and errors by icmp0 ------------------------------------------------------------

ICMP_TABLES = (Table.DISPATCH, Table.ICMP_INGRESS, Table.LEAVING_ERRORS, Table.ARRIVING_ERRORS)


def _ends(flow: Flow) -> list[int]:
    """Where a flow sets the network bits of an address."""
    if (flow.table, flow.priority) != CROSS_TRANSLATED[:2]:
        return []
    return [place for place, action in enumerate(flow.actions) if action[0] == Op.SET and action[1] in ADDRESSES]


def translate_amiss(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A prefix that is the next one, or a mask with a bit more or less."""
    places = _ends(flow)
    if not places:
        return None
    position = chance.choice(places)
    _, field, value, mask = flow.actions[position]
    assert isinstance(value, int)
    assert isinstance(mask, int)
    lowest = mask & -mask
    made = chance.choice(((value ^ lowest, mask), (value & ~lowest, mask ^ lowest), (value, mask | lowest >> 1)))
    return (with_action(flow, position, (Op.SET, field, *made)),)


def translate_crosswise(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """The sender gets the receiver's prefix and the receiver the sender's; or a match takes one for the other."""
    places = _ends(flow)
    if len(places) < 2:
        return None
    one, other = (flow.actions[place] for place in places[:2])
    if chance.random() < 0.5 and one[2:] != other[2:]:
        changed = with_action(flow, places[0], (*one[:2], *other[2:]))
        return (with_action(changed, places[1], (*other[:2], *one[2:])),)
    terms = {field: (value, mask) for field, value, mask in flow.match}
    source, destination = terms[IPV4_SRC], terms[IPV4_DST]
    if source == destination:
        return None
    terms |= {IPV4_SRC: destination, IPV4_DST: source}
    return (flow._replace(match=tuple((field, *terms[field]) for field, _, _ in flow.match)),)


def translate_elsewhere(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Into a space that is not the receiver's: another tenant's, the sender's own, everybody's."""
    return with_set(flow, SPACE, (0, *numbers.vnids), chance) if _ends(flow) else None


def widen_icmp(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """What is more than errors comes by icmp0, or goes there: a term too few."""
    is_of_errors = flow.table in ICMP_TABLES and any(term[0] in (IN_PORT, ICMP_TYPE) for term in flow.match)
    return drop_term(flow, numbers, chance) if is_of_errors else None


def open_icmp(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Another port is believed as icmp0 is, or what goes to icmp0 goes there."""
    for position, (field, value, mask) in enumerate(flow.match):
        if field == IN_PORT and value == ICMP_OFPORT:
            new = other(chance, numbers.ofports, value)
            return None if new is None else (with_term(flow, position, (field, new, mask)),)
    for position, action in enumerate(flow.actions):
        if action == (Op.OUTPUT, ICMP_OFPORT):
            new = other(chance, numbers.ofports, ICMP_OFPORT)
            return None if new is None else (with_action(flow, position, (Op.OUTPUT, new)),)
    return None


def mark_amiss(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Something that is carried along is read or written some bits off."""
    places = [place for place, action in enumerate(flow.actions) if action[0] == Op.COPY]
    if not places:
        return None
    position = chance.choice(places)
    code, source, first, target, to, many = flow.actions[position]
    assert isinstance(first, int)
    assert isinstance(to, int)
    assert isinstance(many, int)
    made = chance.choice(((first ^ 16, to, many), (first, to ^ 16, many), (first, to, many - 8)))
    fits = max(made[0], made[1]) + made[2] <= 32
    start, onto, bits = made if fits else (first, to, many - 8)
    return (with_action(flow, position, (code, source, start, target, onto, bits)),)


# --- services: buckets, groups, and what else leads to endpoints and back ------------------------

_GROUPS_OF_ONE = 1 << 15  # ids that belong to one service address of a /16


def with_bucket(flow: Flow, chance: Random, change: Callable[[Bucket], Bucket | None]) -> tuple[Flow, ...] | None:
    """Let one bucket be as it is changed; None: no bucket can be, or none is left to choose from."""
    places = [(group, place) for group in flow.groups for place in range(len(group.buckets))]
    if not places:
        return None
    group, place = chance.choice(places)
    changed = change(group.buckets[place])
    if changed is None:
        return None
    return (with_buckets(flow, group, (*group.buckets[:place], changed, *group.buckets[place + 1 :])),)


def with_buckets(flow: Flow, group: Group, buckets: tuple[Bucket, ...]) -> Flow:
    there = group._replace(buckets=buckets)
    return flow._replace(groups=tuple(there if each == group else each for each in flow.groups))


def with_tracking(actions: Actions, change: Callable[[Action], Action | None]) -> Actions | None:
    """Change the first ct action."""
    for position, action in enumerate(actions):
        if action[0] == Op.CT:
            changed = change(action)
            return None if changed is None else (*actions[:position], changed, *actions[position + 1 :])
    return None


def with_nested(flow: Flow, chance: Random, change: Callable[[Action], Action | None]) -> tuple[Flow, ...] | None:
    """Change one of what is nested in a ct action, of a bucket or of the flow itself."""

    def of(action: Action) -> Action | None:
        nested = action[4]
        assert isinstance(nested, tuple)
        for position, each in enumerate(nested):
            changed = change(each)
            if changed is not None:
                return (*action[:4], (*nested[:position], changed, *nested[position + 1 :]))
        return None

    if flow.groups:
        return with_bucket(flow, chance, lambda bucket: _of_bucket(bucket, with_tracking(bucket[2], of)))
    actions = with_tracking(flow.actions, of)
    return None if actions is None else (flow._replace(actions=actions),)


def _of_bucket(bucket: Bucket, actions: Actions | None) -> Bucket | None:
    return None if actions is None else (*bucket[:2], actions)


def endpoint_elsewhere(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """To another pod, or from another address."""

    def change(action: Action) -> Action | None:
        if action[0] != Op.NAT or not action[3]:
            return None
        assert isinstance(action[3], int)
        address = other(chance, numbers.addresses, action[3])
        return None if address is None else (*action[:3], address, address, *action[5:])

    return with_nested(flow, chance, change)


def endpoint_port(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    def change(action: Action) -> Action | None:
        if action[0] != Op.NAT or not action[5]:
            return None
        assert isinstance(action[5], int)
        return (*action[:5], action[5] ^ 1, action[5] ^ 1)

    return with_nested(flow, chance, change)


def other_end(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Not the destination is translated but the source, or the other way round; or something new where it is known."""

    def change(action: Action) -> Action | None:
        if action[0] != Op.NAT:
            return None
        assert isinstance(action[1], int)
        if action[1] < 2:
            return (Op.NAT, 1 - action[1], *action[2:])
        address = chance.choice(numbers.addresses)
        return (Op.NAT, 1, 4, address, address, 0, 0)

    return with_nested(flow, chance, change) if numbers.addresses else None


def mark_of_another(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A connection is remembered, or asked for, as one of another network's services."""
    for position, (field, value, mask) in enumerate(flow.match):
        if field in (CT_MARK, BY_SERVICE) or (field == SCRATCH and flow.table == Table.DELIVERY):
            vnid = other(chance, numbers.vnids, value)
            return None if vnid is None else (with_term(flow, position, (field, vnid, mask)),)

    def change(action: Action) -> Action | None:
        if action[:2] != (Op.SET, CT_MARK):
            return None
        assert isinstance(action[2], int)
        vnid = other(chance, numbers.vnids, action[2])
        return None if vnid is None else (*action[:2], vnid, action[3])

    return with_nested(flow, chance, change) or with_set(flow, BY_SERVICE, numbers.vnids, chance)


def untranslated(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """What is nested in a ct action is lost: the translation, and the mark."""

    def change(action: Action) -> Action | None:
        return (*action[:4], ()) if action[4] else None

    if flow.groups:
        return with_bucket(flow, chance, lambda bucket: _of_bucket(bucket, with_tracking(bucket[2], change)))
    actions = with_tracking(flow.actions, change)
    return None if actions is None else (flow._replace(actions=actions),)


def bucket_astray(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """What is chosen goes on in another zone, or elsewhere than where it is decided."""

    def change(action: Action) -> Action | None:
        zone, table = action[2], action[3]
        if chance.random() < 0.5:
            zone = chance.choice([each for each in (1, 3, 4, 16) if each != zone])
        else:
            table = int(chance.choice([each for each in TABLES if each not in (table, Table.SENT, Table.RECEIVED)]))
        return (*action[:2], zone, table, action[4])

    return with_bucket(flow, chance, lambda bucket: _of_bucket(bucket, with_tracking(bucket[2], change)))


def lose_bucket(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    if not flow.groups:
        return None
    group = chance.choice(flow.groups)
    place = chance.randrange(len(group.buckets))
    return (with_buckets(flow, group, (*group.buckets[:place], *group.buckets[place + 1 :])),)


def more_buckets(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """An endpoint twice, by another bucket; or somebody who is none."""
    if not flow.groups:
        return None
    group = chance.choice(flow.groups)
    _, weight, actions = chance.choice(group.buckets)
    whose = with_tracking(actions, lambda action: _to_another(action, numbers, chance))
    more = actions if whose is None or chance.random() < 0.5 else whose
    last = max(bucket[0] for bucket in group.buckets)
    return (with_buckets(flow, group, (*group.buckets, (last + 1, weight, more))),)


def _to_another(action: Action, numbers: Numbers, chance: Random) -> Action | None:
    (nat, *rest) = action[4]  # type: ignore[misc]
    address = other(chance, numbers.addresses, nat[3])
    return None if address is None else (*action[:4], ((*nat[:3], address, address, *nat[5:]), *rest))


def weigh_bucket(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return with_bucket(flow, chance, lambda bucket: (bucket[0], bucket[1] + chance.choice((1, 7)), bucket[2]))


def choose_alike(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A group chooses by the hash by which it was chosen itself, or by the slow one without need."""
    if not flow.groups:
        return None
    group = chance.choice(flow.groups)
    changed = group._replace(is_lower=not group.is_lower)
    return (flow._replace(groups=tuple(changed if each == group else each for each in flow.groups)),)


def same_bucket(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Two buckets of one id: a change of one is a change of the other."""
    for group in flow.groups:
        if len(group.buckets) > 1:
            first, (_, *rest), *others = group.buckets
            return (with_buckets(flow, group, (first, (first[0], *rest), *others)),)  # type: ignore[arg-type]
    return None


def group_of_another(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """An id that belongs to the address next to the service's, or to another of its ports."""
    if not flow.groups:
        return None
    (*lower, asked), step = flow.groups, chance.choice((_GROUPS_OF_ONE, -_GROUPS_OF_ONE))
    group = asked._replace(group_id=asked.group_id + step)
    actions = tuple(select(group.group_id) if action[0] == Op.GROUP else action for action in flow.actions)
    return (flow._replace(actions=actions, groups=(*lower, group)),)


def ask_another_group(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    for position, action in enumerate(flow.actions):
        if action[0] == Op.GROUP:
            assert isinstance(action[1], int)
            step = chance.choice((1, -1, _GROUPS_OF_ONE, -_GROUPS_OF_ONE))
            return (with_action(flow, position, select(action[1] + step)),)
    return None


def lose_groups(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(groups=flow.groups[:-1]),) if flow.groups else None


def stray_group(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A group that nothing leads to: it stands on the switch, and somebody else's may be meant to have its id."""
    held = flow.groups[-1].group_id if flow.groups else 0
    stray = Group(held + 7, ((1, 1, ((Op.OUTPUT, chance.choice(numbers.ofports)),)),))
    return (flow._replace(groups=(*flow.groups, stray)),)


def other_service(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """What is done for one service is done for what goes to another one, or to none."""
    for position, (field, value, mask) in enumerate(flow.match):
        if field == IPV4_DST and value in numbers.services and mask == FULL_MASK[field]:
            address = other(chance, numbers.services, value)
            return None if address is None else (with_term(flow, position, (field, address, mask)),)
    return None


def open_services(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A pair for which services, or their answers, are let through though no connection says so."""
    if flow.table != Table.DELIVERY or len(numbers.vnids) < 2:
        return None
    one, another = chance.sample(numbers.vnids, 2)
    pair = ((SOURCE_VNID, one, FULL_MASK[SOURCE_VNID]), (DESTINATION_VNID, another, FULL_MASK[DESTINATION_VNID]))
    stage, more = chance.choice(
        (
            (DELIVER_SERVICE, ((BY_SERVICE, chance.choice(numbers.vnids), FULL_MASK[BY_SERVICE]),)),
            (DELIVER_ANSWER, ((CT_STATE, IS_ANSWER, IS_ANSWER), (CT_MARK, one, FULL_MASK[CT_MARK]))),
            (DELIVER_ANSWER, ((CT_STATE, IS_ANSWER, IS_ANSWER),)),
            (DELIVER_ERROR, ((IN_PORT, ICMP_OFPORT, FULL_MASK[IN_PORT]), (SCRATCH, one, FULL_MASK[SCRATCH]))),
        )
    )
    match = tuple(sorted((*pair, *more)))
    return flow, Flow(int(Table.DELIVERY), stage.priority, match, (goto(Table.OUTPUT),))


def hairpin_of_another(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Another's address, or another's port, is met as one's own."""
    if flow[:2] != HAIRPIN_SELF[:2]:
        return None
    places = [place for place, term in enumerate(flow.match) if term[0] in (IN_PORT, IPV4_SRC, IPV4_DST)]
    position = chance.choice(places)
    field, value, mask = flow.match[position]
    new = other(chance, numbers.ofports if field == IN_PORT else numbers.addresses, value)
    return None if new is None else (with_term(flow, position, (field, new, mask)),)


def learn_amiss(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """What a switch learns is of another client, in another table, for longer, or another thing."""
    for position, action in enumerate(flow.actions):
        if action[0] == Op.LEARN:
            _, table, idle, owner, same, exact, kept = action
            assert isinstance(idle, int)
            assert isinstance(same, tuple)
            made: tuple[Action, ...] = (
                (Op.LEARN, int(Table.DELIVERY), idle, owner, same, exact, kept),
                (Op.LEARN, table, idle + 1, owner, same, exact, kept),
                (Op.LEARN, table, idle, owner, same[1:], exact, kept),
                (Op.LEARN, table, idle, owner, same, (), kept),
                (Op.LEARN, table, idle, owner, same, exact, ((int(DESTINATION_VNID),),)),
            )
            return (with_action(flow, position, chance.choice(made)),)
    return None


def from_elsewhere(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """Who comes from outside is taken for a pod or a node, or an answer for a question."""
    return with_set(flow, OUTSIDE, (0, 1, 2), chance)


def egress_of_another(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """By the next address, which may be another network's: as a pod chooses it, or as another node is told."""
    for position, action in enumerate(flow.actions):
        if action[0] == Op.SET and (action[1] == EGRESS_ADDRESS or (action[1] == ETH_SRC and action[2] in _TOLD)):
            assert isinstance(action[2], int)
            return (with_action(flow, position, (*action[:2], action[2] ^ 3, action[3])),)
    return None


_TOLD = range(EGRESS_MAC, EGRESS_MAC + (1 << 32))


# --- DSCP ----------------------------------------------------------------------------------------


def remark(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A packet gets another DSCP than its network's, or keeps its own."""
    place = next((n for n, each in enumerate(flow.actions) if each[:2] == (Op.SET, IP_DSCP)), None)
    if place is None:
        return None
    if chance.random() < 0.5:
        return (flow._replace(actions=(*flow.actions[:place], *flow.actions[place + 1 :])),)
    return with_set(flow, IP_DSCP, (0, 10, 46), chance)


# --- mirrors -------------------------------------------------------------------------------------


def copy_astray(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A copy goes to another port or node, by another number, as no copy, or not at all; or there is one more."""
    place = next((n for n, each in enumerate(flow.actions) if each[0] == Op.CLONE), None)
    if place is None:
        return None
    nested = flow.actions[place][1]
    assert isinstance(nested, tuple)
    worse: list[tuple[Action, ...]] = [(), (flow.actions[place],) * 2]
    for number, action in enumerate(nested):
        for value in (numbers.ofports[0], numbers.ofports[-1]) if action[0] == Op.OUTPUT else ():
            worse.append(((Op.CLONE, (*nested[:number], (Op.OUTPUT, value), *nested[number + 1 :])),))
        if action[0] == Op.SET:
            assert isinstance(action[2], int)
            other_value = (action[0], action[1], action[2] ^ 2, action[3])
            worse.append(((Op.CLONE, (*nested[:number], other_value, *nested[number + 1 :])),))
    made = [each for each in worse if each != (flow.actions[place],)]
    return (flow._replace(actions=(*flow.actions[:place], *chance.choice(made), *flow.actions[place + 1 :])),)


def stray_copy(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A packet is copied that no mirror names."""
    if flow.table not in (Table.SENT, Table.RECEIVED, Table.DELIVERY):
        return None
    return (flow._replace(actions=((Op.CLONE, ((Op.OUTPUT, chance.choice(numbers.ofports)),)), *flow.actions)),)


# --- limits --------------------------------------------------------------------------------------


def other_rate(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A meter lets more pass, or less, or at once."""
    if not flow.meters:
        return None
    (meter,) = flow.meters
    worse = (meter._replace(rate=meter.rate + 1), meter._replace(rate=1), meter._replace(burst=meter.burst * 2))
    return (flow._replace(meters=(chance.choice([each for each in worse if each != meter]),)),)


def other_meter(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    """A flow asks the meter of the other way, or of the next port, and may or may not have that."""
    if not flow.meters:
        return None
    (meter,) = flow.meters
    number = meter.meter_id + chance.choice((1, 2, 101))
    actions = ((Op.METER, number), *flow.actions[1:])
    meters = chance.choice((flow.meters, (meter._replace(meter_id=number),)))
    return (flow._replace(actions=actions, meters=meters),)


def lose_meter(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(meters=()),) if flow.meters else None


def stray_meter(flow: Flow, numbers: Numbers, chance: Random) -> tuple[Flow, ...] | None:
    return (flow._replace(meters=(*flow.meters, Meter(4711, 1000, 1100))),)


FAULTS: dict[str, Make] = {
    make.__name__: make
    for make in (
        *(delete, add_pair, retag, relabel, swap_port, swap_vtep, change_space, drop_term, change_term, change_mask),
        *(change_goto, move_priority, move_table, drop_to_delivery, delivery_to_drop, lose_action, change_zone),
        *(commit_or_not, change_mac),
        *(translate_amiss, translate_crosswise, translate_elsewhere, widen_icmp, open_icmp, mark_amiss),
        *(endpoint_elsewhere, endpoint_port, other_end, mark_of_another, untranslated, bucket_astray),
        *(lose_bucket, more_buckets, weigh_bucket, same_bucket, group_of_another, ask_another_group),
        *(lose_groups, stray_group, other_service, open_services, hairpin_of_another, learn_amiss, choose_alike),
        from_elsewhere,
        egress_of_another,
        *(other_rate, other_meter, lose_meter, stray_meter, remark, copy_astray, stray_copy),
    )
}


# These change which endpoint is chosen, and any is right, or how much passes: mostly no single packet fares wrong.
OF_RATE = frozenset({"other_rate", "other_meter", "lose_meter", "stray_meter"})
OF_CHOICE = frozenset({"lose_bucket", "weigh_bucket", "group_of_another", "choose_alike"}) | OF_RATE


def inject(tables: Tables, numbers: Numbers, kind: str, chance: Random) -> Fault | None:
    """Return one fault of a kind somewhere in the tables; None when no flow there can have it."""
    places = [
        (node, section, entry)
        for node in sorted(tables)
        for section in sorted(tables[node].sections)
        for entry in tables[node].sections[section]
    ]
    by_table: dict[int, list[Place]] = {}
    for place in places:
        if FAULTS[kind](place[2].flow, numbers, Random(0)) is not None:
            by_table.setdefault(place[2].flow.table, []).append(place)
    if not by_table:
        return None
    return inject_at(tables, chance.choice(by_table[chance.choice(sorted(by_table))]), kind, numbers, chance)


def inject_at(tables: Tables, place: Place, kind: str, numbers: Numbers, chance: Random) -> Fault | None:
    """Return one fault of a kind in a flow; None when it can have none."""
    node, section, entry = place
    flows = FAULTS[kind](entry.flow, numbers, chance)
    assert flows != (entry.flow,), kind
    if flows is None or _makes_no_table(tables[node], entry, flows):
        return None
    keep_cookie = chance.random() < 0.3 and len(flows) == 1
    put = [Entry(entry.cookie if keep_cookie else _cookie(entry, flow), flow) for flow in flows]
    changed = with_entries(tables[node], section, entry, put)
    return Fault(kind, node, section, entry.flow, flows, tables.set(node, changed))


def _makes_no_table(table: FlowTable, entry: Entry, flows: tuple[Flow, ...]) -> bool:
    """Whether the fault is none, or two flows would have one key: the compiler's conflicts are another matter."""
    twice = len({flow.key for flow in flows}) < len(flows)
    return twice or any((flow.key in table.owners and flow.key != entry.flow.key) for flow in flows)


def _cookie(entry: Entry, flow: Flow) -> int:
    return cookie(entry.cookie >> 56, entry.cookie >> 48 & 0xFF, flow)


def with_entries(table: FlowTable, section: SectionKey, gone: Entry, put: list[Entry]) -> FlowTable:
    """Return a table in which entries stand in place of one."""
    rest = [entry for entry in table.sections[section] if entry != gone]
    return table_of(table.sections.set(section, (*rest, *put)) if rest or put else table.sections.delete(section))


def table_of(sections: Map[SectionKey, tuple[Entry, ...]]) -> FlowTable:
    """Return the table of some sections, with owners and sums as the compiler keeps them."""
    owners: dict[FlowKey | int, SectionKey] = {}
    sums: dict[int, int] = {}
    for key, entries in sections.items():
        for entry in entries:
            owners[entry.flow.key] = owners[entry.cookie] = key
            owners.update((number, key) for number in entry.flow.numbers)
            owner = owner_class(entry.cookie)
            sums[owner] = (sums.get(owner, 0) + (entry.cookie & DIGEST_MASK)) & DIGEST_MASK
    return FlowTable(sections, Map(owners), Map({owner: total for owner, total in sums.items() if total}))
