"""Writes docs/pipeline.md from topology/pipeline.py: `make docs`. No fact about the pipeline stands here.

Which table leads to which is read off the compiled flows of a small network that has one of everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from topology import pipeline, requests
from topology.admission import admit
from topology.compiler import compile_node
from topology.fields import spec
from topology.flow import NO_TABLE, Flow, Op
from topology.model import (
    Cluster,
    Egress,
    Endpoint,
    EndpointSlice,
    Mirror,
    NamedPort,
    Pod,
    PodKey,
    PortKey,
    Service,
    ServiceKey,
    SliceKey,
    Subnet,
)
from topology.pipeline import FeatureId, Stage, Table
from topology.snapshot import Snapshot, apply_all, empty

PAGE: Final = Path(__file__).parents[1] / "docs" / "pipeline.md"

_HEAD: Final = """# The pipeline

<!-- Made from topology/pipeline.py by `make docs`; do not edit. -->

This page goes with `ovs-ofctl dump-flows br0` of a node, or `heddle flows NODE`: every flow there is in one of the
tables below, at one of its priorities.
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    leads = _leads(_flows())
    parts = [_HEAD, _story(), _picture(leads), _overview(leads), *(_table(table) for table in Table), _numbers()]
    return "\n".join(part.strip() + "\n" for part in parts)


def _story() -> str:
    _, _, text = (pipeline.__doc__ or "").partition("The story of a packet\n---------------------\n")
    story, _, rules = text.partition("Rules of this file\n------------------\n")
    return f"## The story of a packet\n\n{story.strip()}\n\n## Rules\n\n{rules.strip()}\n"


def _picture(leads: dict[Table, list[Table]]) -> str:
    arrows = [f"  {table.name} --> {target.name}" for table in Table for target in leads[table]]
    return "## From table to table\n\n```mermaid\nflowchart TD\n" + "\n".join(arrows) + "\n```\n"


def _overview(leads: dict[Table, list[Table]]) -> str:
    lines = [
        f"| {table.value} | {table.name} | {pipeline.TABLE_PURPOSE[table]} "
        f"| {', '.join(target.name for target in leads[table]) or '-'} |"
        for table in Table
    ]
    return "\n".join(["## Tables", "", "| table | name | what it does | leads to |", "|---|---|---|---|", *lines])


def _table(table: Table) -> str:
    stages = [stage for stage in pipeline.stages() if stage.table is table]
    head = [f"### {table.value} {table.name}", "", pipeline.TABLE_PURPOSE[table], ""]
    return "\n".join([*head, "| priority | feature | flows |", "|---|---|---|", *map(_stage, stages)])


def _stage(stage: Stage) -> str:
    return f"| {stage.priority} | {stage.feature.name.lower()} | {stage.purpose} |"


def _numbers() -> str:
    registers = [f"| {spec(field).ovs} | {purpose} |" for field, purpose in pipeline.REGISTER_PURPOSE.items()]
    features = [f"| {feature.value:#04x} | {feature.name.lower()} |" for feature in FeatureId]
    return "\n".join(
        [
            *(
                "## Registers",
                "",
                "All are 0 when a packet comes in.",
                "",
                "| register | holds |",
                "|---|---|",
                *registers,
            ),
            *("", "## Meters", "", "A port with ofport n has, as far as it has limits,"),
            f"meter {pipeline.METERS_OF_PORT}·n + {pipeline.FROM_POD} for what the pod sends,",
            f"and {pipeline.METERS_OF_PORT}·n + {pipeline.TO_POD} for what it gets.",
            *("", "## Conntrack zones", "", f"Zone {pipeline.NODE_ZONE} has what pods began through tun0,"),
            f"{pipeline.SERVICE_ZONE} what services led to endpoints,",
            f"{pipeline.HAIRPIN_ZONE} what they led from a pod to itself,",
            f"{pipeline.NODE_HAIRPIN_ZONE} and from a node out by the tun0 that it came by,",
            f"{pipeline.EGRESS_ZONE} what left by an address of its network's,",
            f"{pipeline.GATEWAY_ZONE} what was given to a gateway pod.",
            f"Those from {pipeline.FIRST_NETWORK_ZONE} on belong to networks that are asked less than they may ask.",
            *(
                "",
                "## Cookies",
                "",
                "The first byte of a cookie is the feature that owns the flow; then come 8 bits of",
            ),
            "shard and 48 bits of digest of the flow.",
            *("", "| byte | feature |", "|---|---|", *features),
        ]
    )


def _leads(flows: list[Flow]) -> dict[Table, list[Table]]:
    found: dict[Table, set[Table]] = {table: set() for table in Table}
    for flow in flows:
        found[Table(flow.table)].update(_targets(flow))
    return {table: sorted(targets) for table, targets in found.items()}


def _targets(flow: Flow) -> Iterator[Table]:
    in_buckets = (action for group in flow.groups for _, _, actions in group.buckets for action in actions)
    for action in (*flow.actions, *in_buckets):
        match action:
            case (Op.GOTO | Op.RESUBMIT, int(table)):
                yield Table(table)
            case (Op.CT, _, _, int(table), _) if table != NO_TABLE:
                yield Table(table)


def _flows() -> list[Flow]:
    return [entry.flow for entry in compile_node("n1", _sample()).entries()]


def _sample() -> Snapshot:
    """Return two nodes, a network with a range of its own that may ask another, and one of all else."""
    key = PortKey("n1", "c1", "eth0")
    own = Subnet("default", IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.1"))
    offer = Service(ServiceKey("red", "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80),))
    kept = Service(ServiceKey("red", "api"), IPv4Address("172.30.0.11"), (NamedPort("TCP", 80),), affinity=60)
    endpoints = (
        EndpointSlice(SliceKey("red", each), each, (NamedPort("TCP", 80),), (Endpoint(IPv4Address("10.128.0.2")),))
        for each in ("web", "api")
    )
    both = Cluster(cluster_cidrs=(IPv4Network("10.128.0.0/14"), IPv6Network("fd00:10::/48")))
    asked: tuple[requests.Request, ...] = (
        requests.SetCluster(both),
        requests.CreateNode("n1", IPv4Address("192.0.2.11")),
        requests.CreateNode("n2", IPv4Address("192.0.2.12")),
        requests.CreateNetwork("red", projects=("red",), subnets=(own,)),
        requests.CreateNetwork("blue"),
        requests.JoinNetworks("red", "blue", backward=None),
        requests.CreateService(offer),
        requests.CreateService(kept),
        *map(requests.PutEndpoints, endpoints),
        requests.CreateEgress(Egress("red", "red", (IPv4Address("203.0.113.5"),), nodes=("n1",))),
        requests.CreateEgress(Egress("blue", "blue", via=PodKey("red", "a"))),
        requests.ReportPort(key, "red", "a", "v1"),
        requests.PortSeen("n1", "v1", 3),
        requests.CreateMirror(Mirror("all", 0, PodKey("red", "b"), "red")),
        requests.SetPod(Pod(PodKey("red", "a"), ingress_bandwidth=10**6, egress_bandwidth=10**6)),
    )
    snapshot = empty()
    for request in asked:
        snapshot, _ = apply_all(snapshot, admit(snapshot, request))
    return snapshot


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
