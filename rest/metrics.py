"""Metrics for Prometheus: the state is read from what is published when somebody asks; only requests are counted here.

Each application has a registry of its own; nothing is global.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rest.control import Control, Published, SwitchPhase
from rest.reports import Report, usual_mtu, warnings
from rest.routing import Access, Answer, Call, Empty, Route, Text
from rest.views import switch_status
from topology.allocation import free_addresses
from topology.compiler import FlowTable, SectionKey
from topology.flow import Entry
from topology.layered import Layered
from topology.model import SHARED_SPACE, Port
from topology.pipeline import FeatureId

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
# Long polls take up to a minute.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_NO_POD_S: Final = 3  # addresses of a subnet: its own, the gateway's, the last one


class Meter:
    """Counts an application's requests, and shows them with the state of the network."""

    def __init__(self, control: Control) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_State(control))
        self._requests = Counter(
            "heddle_rest_requests", "Requests to the API.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "heddle_rest_request_seconds", "How long they took.", ("route",), buckets=_BUCKETS, registry=self._registry
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is the path's template: there are few."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def metrics_route(meter: Meter) -> Route:
    """Return the route that shows a meter."""

    def show(call: Call[Empty, Empty]) -> Answer:
        return Answer(200, Text(MEDIA_TYPE, meter.render()))

    return Route("GET", "/metrics", "Metrics for Prometheus", show, Access.ADMINISTRATION, answers={200: Text})


class _State(Collector):
    """The state of the network as gauges."""

    def __init__(self, control: Control) -> None:
        self._control = control
        # A table is a value: while a node's is the same object, so is what was counted in it.
        self._counted: dict[str, tuple[FlowTable, Tally[int]]] = {}
        self._common: tuple[FlowTable, Tally[int]] = (FlowTable(), Tally())  # so is what nodes have in common

    def collect(self) -> Iterator[Metric]:
        """Return the gauges of what is published now."""
        published = self._control.published
        snapshot = published.snapshot
        yield GaugeMetricFamily("heddle_revision", "Revision of what is published.", published.revision)
        yield GaugeMetricFamily("heddle_networks", "Networks.", len(snapshot.networks))
        yield GaugeMetricFamily("heddle_connections", "Connections of networks.", len(snapshot.connections))
        yield from _switches(published)
        yield from _tunnels(published)
        yield from _reports(published, self._control.reports)
        yield from _pods(published)
        yield from _own_ranges(published)
        yield self._flows(published)

    def _flows(self, published: Published) -> Metric:
        gauge = _gauge("heddle_switch_flows", "Flows that a switch must have.", "node", "feature")
        counted: dict[str, tuple[FlowTable, Tally[int]]] = {}
        for node, table in sorted(published.tables.items()):
            known = self._counted.get(node)
            tally = known[1] if known is not None and known[0] is table else self._count(table)
            counted[node] = (table, tally)
            for feature, number in sorted(tally.items()):
                gauge.add_metric((node, FeatureId(feature).name.lower()), number)
        self._counted = counted
        return gauge

    def _count(self, table: FlowTable) -> Tally[int]:
        common, sections = table.common, table.sections
        if common is None or not isinstance(sections, Layered):
            return _count(sections.items())
        if self._common[0].sections is not common.sections:
            self._common = (common, _count(common.sections.items()))
        absent = ((key, common.sections.get(key, ())) for key in sections.absent)
        return self._common[1] + _count(sections.own.items()) - _count(absent)


def _count(sections: Iterable[tuple[SectionKey, tuple[Entry, ...]]]) -> Tally[int]:
    tally: Tally[int] = Tally()
    for key, flows in sections:
        tally[key.feature] += len(flows)
    return tally


def _tunnels(published: Published) -> Iterator[Metric]:
    severed = _gauge("heddle_tunnel_down", "1 for a tunnel that an end says is down.", "first", "second")
    for tunnel, each in sorted(published.snapshot.severed.items()):
        if each.said_by:
            severed.add_metric(tunnel, 1.0)
    relayed = _gauge("heddle_node_relayed", "Other nodes that a node reaches over relays.", "node")
    passed = _gauge("heddle_node_relays", "Ways between other nodes that pass by a node first.", "node")
    first: Tally[str] = Tally()
    routes = published.snapshot.relaying.routes
    for name in sorted(published.snapshot.nodes):
        hops = [hop for hop in routes.get(name, {}).values() if hop is not None]
        relayed.add_metric((name,), len(hops))
        first.update(hop.relay for hop in hops)
    for name in sorted(published.snapshot.nodes):
        passed.add_metric((name,), first[name])
    yield from (severed, relayed, passed)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=labels)


def _switches(published: Published) -> Iterator[Metric]:
    connected = _gauge("heddle_switch_connected", "Whether a node's switch is connected.", "node")
    phases = _gauge("heddle_switch_phase", "1 for the phase that a switch is in.", "node", "phase")
    committed = _gauge("heddle_switch_committed_revision", "Last revision a switch acknowledged.", "node")
    desired = _gauge("heddle_switch_desired_revision", "Last revision that changed a switch's flows.", "node")
    conflicts = _gauge("heddle_switch_conflicts", "Subjects left out, for others have their flows.", "node")
    faults = _gauge("heddle_switch_faults", "Flows left out or missing, for they are not sound.", "node")
    for name, node in sorted(published.snapshot.nodes.items()):
        status = switch_status(published, node)
        connected.add_metric((name,), float(status.phase is not SwitchPhase.AWAY))
        for phase in SwitchPhase:
            phases.add_metric((name, phase.value), float(phase is status.phase))
        committed.add_metric((name,), status.committed_revision)
        desired.add_metric((name,), status.desired_revision)
        conflicts.add_metric((name,), len(published.tables.get(name, FlowTable()).conflicts))
        faults.add_metric((name,), len(published.tables.get(name, FlowTable()).faults))
    yield from (connected, phases, committed, desired, conflicts, faults)


def _reports(published: Published, reports: Mapping[str, Report]) -> Iterator[Metric]:
    mtus = _gauge("heddle_node_mtu", "Bytes that a packet of a node's pods may have.", "node")
    warned = _gauge("heddle_node_warnings", "What a node warns of; GET /v1/nodes has the words.", "node")
    usual = usual_mtu(reports)
    for name in sorted(reports.keys() & published.snapshot.nodes.keys()):
        mtus.add_metric((name,), reports[name].mtu)
        warned.add_metric((name,), len(warnings(name, reports, usual)))
    yield from (mtus, warned)


def _pods(published: Published) -> Iterator[Metric]:
    snapshot = published.snapshot
    ports = _gauge("heddle_ports", "Ports of pods.", "node")
    free = _gauge("heddle_addresses_free", "Addresses that pods of a node can still get.", "node")
    held = _gauge("heddle_addresses_held", "Addresses of a node's subnets that pods hold.", "node")
    kept_back = _gauge("heddle_addresses_quarantined", "Addresses of a node's subnets not to be given yet.", "node")
    waiting = Tally(item.node for item in snapshot.quarantined.values() if item.space == SHARED_SPACE)
    for name in sorted(snapshot.nodes):
        keys = snapshot.ports_on.get(name, ())
        ports.add_metric((name,), len(keys))
        free.add_metric((name,), free_addresses(snapshot, name))
        held.add_metric((name,), sum(_shared(snapshot.ports[key]) for key in keys))
        kept_back.add_metric((name,), waiting[name])
    yield from (ports, free, held, kept_back)


def _shared(port: Port) -> int:
    """Return how many addresses of its node's subnets a port has."""
    return len(port.addresses if port.space == SHARED_SPACE else port.cluster_addresses)


def _own_ranges(published: Published) -> Iterator[Metric]:
    """Yield the addresses of networks with subnets of their own; all other networks share the nodes' subnets."""
    snapshot = published.snapshot
    held = _gauge("heddle_network_addresses_held", "Addresses of a network's own subnets that pods hold.", "network")
    kept_back = _gauge("heddle_network_addresses_quarantined", "Addresses of them not to be given yet.", "network")
    free = _gauge("heddle_network_addresses_free", "Addresses of them that nobody has.", "network")
    taken = Tally(space for space, _ in snapshot.holder)
    waiting = Tally(space for space, _ in snapshot.quarantined)
    for name, network in sorted(snapshot.networks.items()):
        if network.subnets:
            used = taken[network.space], waiting[network.space]
            pods = sum(subnet.cidr.num_addresses - _NO_POD_S for subnet in network.subnets)
            held.add_metric((name,), used[0])
            kept_back.add_metric((name,), used[1])
            free.add_metric((name,), pods - sum(used))
    yield from (held, kept_back, free)
