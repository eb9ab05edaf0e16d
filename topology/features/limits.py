"""Limits: what a pod may send and get in a second, each port of it by itself. Meters drop what is above.

A meter belongs to one flow: that by which the port's packets come in, or go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.flow import Flow, Meter, at, goto, match, match_fields, metered
from topology.model import Node, Pod, PodKey, Port, PortKey
from topology.pipeline import OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.LIMITS


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The ports on the node."""
    return snapshot.ports_on.get(node, {})


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """The way in and out of a port with a limit; nothing until the switch has the port."""
    port = snapshot.ports.get(PortKey(*map(str, subject)))
    if port is None or port.node != node or port.ofport is None:
        return
    pod = snapshot.pods.get(PodKey(port.project, port.pod))
    if pod is None:
        return
    if pod.egress_bandwidth is not None:
        meter = _meter(port.ofport, pipeline.FROM_POD, pod.egress_bandwidth)
        onwards = (metered(meter.meter_id), goto(Table.POD_INGRESS))
        yield at(pipeline.DISPATCH_LIMITED, match(in_port=port.ofport), onwards, meters=(meter,))
    if pod.ingress_bandwidth is not None:
        meter = _meter(port.ofport, pipeline.TO_POD, pod.ingress_bandwidth)
        out = (metered(meter.meter_id), goto(Table.RECEIVED))
        yield at(pipeline.OUTPUT_LIMITED, match_fields((OUTPUT_PORT, port.ofport)), out, meters=(meter,))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A port itself; a pod's limits concern its ports, a node those on it."""
    match change.subject:
        case Port(key=key):
            yield Section(key.node, key)
        case Pod(key=pod):
            for key in snapshot.port_by_pod.get(pod, {}):
                yield Section(key.node, key)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _meter(ofport: int, way: int, bits: int) -> Meter:
    """Return the meter of one way of a port, for so many bits a second."""
    rate = min(max(bits // 1000, 1), pipeline.MOST_RATE)
    burst = max(rate // pipeline.BURSTS_IN_SECOND, pipeline.LEAST_BURST)
    return Meter(ofport * pipeline.METERS_OF_PORT + way, rate, burst)
