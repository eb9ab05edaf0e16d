"""The pipeline's numbers are sound, and every compiled flow keeps to them."""

from collections import Counter
from collections.abc import Callable, Iterator

from hypothesis import given, settings

from tests.topology.strategies import snapshots
from topology import fields, pipeline
from topology.compiler import compile_all
from topology.fields import BY_NAME, FULL_MASK, IN_PORT, Field
from topology.flow import DROP, NO_TABLE, Action, Flow, Match, Op, goto, load
from topology.model import TUN_OFPORT
from topology.pipeline import BALANCER, OUTPUT_PORT, OUTSIDE, SCRATCH, TABLE_MISS, FeatureId, Table
from topology.snapshot import Snapshot

STAGES = {(stage.table, stage.priority): stage for stage in pipeline.stages()}

# What a packet must be known to be before a field of it can be matched (OpenFlow 1.5.1, 7.2.3.8).
IP_PREFIXES = {"ipv4_": fields.ETH_IPV4, "ipv6_": fields.ETH_IPV6, "arp_": fields.ETH_ARP}
PORT_PREFIXES = {"tcp_": fields.PROTO_TCP, "udp_": fields.PROTO_UDP, "sctp_": fields.PROTO_SCTP}


def test_stages_are_unique_and_named() -> None:
    counted = Counter((stage.table, stage.priority) for stage in pipeline.stages())
    assert set(counted.values()) == {1}
    assert all(stage.purpose for stage in pipeline.stages())
    assert {stage.table for stage in pipeline.stages()} == set(Table) - {Table.AFFINITY}


def test_zones_are_apart() -> None:
    zones = (pipeline.NODE_ZONE, pipeline.SERVICE_ZONE, pipeline.HAIRPIN_ZONE, pipeline.NODE_HAIRPIN_ZONE)
    assert len({*zones}) == len(zones)
    assert 0 < min(zones) <= max(zones) < pipeline.FIRST_NETWORK_ZONE


def test_every_table_and_register_is_explained() -> None:
    assert list(pipeline.TABLE_PURPOSE) == list(Table) == sorted(Table)
    assert all(pipeline.TABLE_PURPOSE.values())
    registers = [
        pipeline.SOURCE_VNID,
        pipeline.DESTINATION_VNID,
        pipeline.OUTPUT_PORT,
        pipeline.SPACE,
        pipeline.SCRATCH,
        pipeline.CLUSTER_SOURCE,
        pipeline.BY_SERVICE,
        pipeline.EGRESS_ADDRESS,
        pipeline.OUTSIDE,
    ]
    assert list(pipeline.REGISTER_PURPOSE) == registers
    assert len(set(registers)) == len(registers)


def test_every_table_for_packets_ends_in_a_drop_of_its_own() -> None:
    """But for the table of what a switch learns: where nothing was, a packet goes on as it is.

    That of neighbour advertisements has its drop where it has anything at all.
    """
    assert set(TABLE_MISS) == set(Table) - pipeline.APART - {Table.ND_ANSWERS}
    assert all(stage.priority == 0 and stage.feature is FeatureId.BASE for stage in TABLE_MISS.values())
    assert pipeline.ND_MISS[:3] == (Table.ND_ANSWERS, 0, FeatureId.ND)


# Where a flow leads back, and why no packet takes the same way again: by what the flow does or asks for.
W32 = 0xFFFF_FFFF
WAYS_BACK: dict[tuple[Table, Table], Callable[[Flow], bool]] = {
    # Who has asked is told by a register from who has not.
    (Table.ROUTING, Table.ROUTING): lambda flow: (OUTSIDE, 0, W32) in flow.match and load(OUTSIDE, 3) in flow.actions,
    # What came by tun0 leaves by it, and came by no port then.
    (Table.OUTPUT, Table.OUTPUT): lambda flow: flow.match[0][0] == IN_PORT and flow.actions[0] == (Op.NO_IN_PORT,),
    # Of OUTPUT_PORT, only SERVICE_PORT makes the load balancer, before EGRESS_POLICY.
    (Table.BALANCING, Table.OUTPUT): lambda flow: flow.actions[0] == load(OUTPUT_PORT, TUN_OFPORT),
    (Table.BALANCING, Table.EGRESS_POLICY): lambda flow: load(OUTPUT_PORT, 0) in flow.actions,
    (Table.ENDPOINTS, Table.EGRESS_POLICY): lambda flow: True,  # from BALANCING, which has made it 0
    # What stands in AFFINITY loads a number and ends there.
    (Table.BALANCING, Table.AFFINITY): lambda flow: flow.actions[-1] == goto(Table.ENDPOINTS),
    # With a number, a packet does not come to LEARNING again: ENDPOINT_KNOWN has all that buckets load.
    (Table.LEARNING, Table.ENDPOINTS): lambda flow: flow.actions[-1] == (Op.RESUBMIT, int(Table.ENDPOINTS)),
}


@given(snapshots())
@settings(max_examples=60)
def test_flows_keep_to_their_features_stages_and_lead_forward(snapshot: Snapshot) -> None:
    for table in compile_all(snapshot).values():
        misses = set()
        for key, section in table.sections.items():
            for entry in section:
                flow = entry.flow
                stage = STAGES[Table(flow.table), flow.priority]
                assert stage.feature == key.feature, flow
                for target in targets(flow):
                    why = WAYS_BACK.get((Table(flow.table), Table(target)))
                    assert why(flow) if why is not None else flow.table < target, flow
                assert set(targets(flow)) <= set(Table) - {Table.SENTINELS}
                is_balancer = any(each[:3] == (Op.SET, OUTPUT_PORT, BALANCER) for each in flow.actions)
                assert not is_balancer or stage in (pipeline.SERVICE_PORT, pipeline.OUTSIDE_PORT)
                check_match(flow.match)
                if flow.priority == 0:
                    assert (flow.match, flow.actions) == ((), DROP)
                    misses.add(flow.table)
        has_six = any(cidr.version == 6 for cidr in snapshot.cluster.cluster_cidrs)
        assert misses == set(TABLE_MISS) | ({Table.ND_ANSWERS} if has_six else set())


@given(snapshots())
@settings(max_examples=60)
def test_what_buckets_load_is_known(snapshot: Snapshot) -> None:
    """So that whoever was sent to LEARNING by a bucket does not come there again."""
    for table in compile_all(snapshot).values():
        flows = [entry.flow for entry in table.entries()]
        known = {(flow.match[1:], flow.match[0][1]) for flow in flows if flow[:2] == pipeline.ENDPOINT_KNOWN[:2]}
        loaded = {(flow.match, number) for flow in flows for number in _loaded(flow)}
        assert loaded == known


def _loaded(flow: Flow) -> Iterator[object]:
    for group in flow.groups:
        for _, _, actions in group.buckets:
            yield from (action[2] for action in actions if action[:2] == (Op.SET, SCRATCH))


def targets(flow: Flow) -> Iterator[int]:
    """Yield the tables that a flow leads to; it goes to another one as its last action only."""
    for position, action in enumerate(flow.actions):
        if action[0] == Op.GOTO:
            assert position == len(flow.actions) - 1, flow
        yield from _target(action)
    for group in flow.groups:
        for _, _, actions in group.buckets:
            for action in actions:
                yield from _target(action)


def _target(action: Action) -> Iterator[int]:
    number = {Op.GOTO: 1, Op.RESUBMIT: 1, Op.CT: 3}.get(int(action[0]))  # type: ignore[arg-type]
    if number is not None and action[number] != NO_TABLE:
        yield int(action[number])  # type: ignore[arg-type]


def check_match(match: Match) -> None:
    """Every field once, in order, its value within its mask, and after what it presupposes."""
    known: dict[Field, int] = {}
    assert list(match) == sorted(match)
    for field, value, mask in match:
        name = fields.spec(field).name
        assert field not in known
        assert 0 < mask <= FULL_MASK[field]
        assert value & ~mask == 0
        for prefix, eth_type in IP_PREFIXES.items():
            assert not name.startswith(prefix) or known[fields.ETH_TYPE] == eth_type
        for prefix, protocol in PORT_PREFIXES.items():
            assert not name.startswith(prefix) or known[fields.IP_PROTO] == protocol
        assert name != "ip_proto" or known[fields.ETH_TYPE] in (fields.ETH_IPV4, fields.ETH_IPV6)
        known[field] = value


def test_fields_stand_after_what_they_presuppose() -> None:
    first = BY_NAME["eth_type"]
    assert all(first < field for name, field in BY_NAME.items() if name.startswith(tuple(IP_PREFIXES)))
    proto = BY_NAME["ip_proto"]
    assert first < proto < min(field for name, field in BY_NAME.items() if name.startswith(tuple(PORT_PREFIXES)))
