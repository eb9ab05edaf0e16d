"""Claims about limits: which ports are metered, by which meters, and at what rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from topology import pipeline
from topology.fields import IN_PORT, Field
from topology.flow import Actions, Match, Op
from topology.model import GENEVE_OFPORT, ICMP_OFPORT, IGMP_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Pod, PodKey, Port
from topology.pipeline import OUTPUT_PORT, Stage, Table
from topology.verification.claim import About, Claim, Kind
from topology.verification.shape import W32, goto
from topology.verification.world import View

_NO_PODS: Final = frozenset((VXLAN_OFPORT, GENEVE_OFPORT, TUN_OFPORT, ICMP_OFPORT, IGMP_OFPORT))


class _Way(NamedTuple):
    """In or out of a port: by which field its packets are told, which of its meters is asked, and what follows."""

    field: Field
    meter: int
    limit: Callable[[Pod], int | None]
    then: Actions


_IN: Final = _Way(IN_PORT, 0, lambda pod: pod.egress_bandwidth, (goto(Table.POD_INGRESS),))
_OUT: Final = _Way(OUTPUT_PORT, 1, lambda pod: pod.ingress_bandwidth, (goto(Table.RECEIVED),))


def _limit(view: View, port: Port | None, way: _Way) -> tuple[int, int] | None:
    """Return the number of a port on the node, and its limit in bits a second; None if it has none."""
    if port is None or port.node != view.node or port.ofport is None or port.ofport in _NO_PODS:
        return None
    pod = view.snapshot.pods.get(PodKey(port.project, port.pod))
    bits = None if pod is None else way.limit(pod)
    return None if bits is None else (port.ofport, bits)


def _meter(number: int, bits: int) -> tuple[int, int, int]:
    """Thousands of bits in a second, whole ones and at least one; at once those of 250 ms, 1.1 million at least."""
    rate = min(bits // 1000 or 1, 2**32 - 1)
    return number, rate, rate // 4 if rate >= 4400 else 1100


def _claim(stage: Stage, kind: Kind, way: _Way) -> Claim:
    def holds(view: View, match: Match, actions: Actions) -> bool:
        ((name, ofport, mask),) = match
        key = view.snapshot.port_by_ofport.get((view.node, ofport))
        found = _limit(view, None if key is None else view.snapshot.ports.get(key), way)
        if found is None or found[0] != ofport or (name, mask) != (way.field, W32):
            return False
        number = 2 * ofport + way.meter
        return actions == ((Op.METER, number), *way.then, _meter(number, found[1]))

    def owed(view: View) -> Iterator[Match]:
        for key in view.ports():
            found = _limit(view, view.snapshot.ports.get(key), way)
            if found is not None:
                yield ((way.field, found[0], W32),)

    return Claim(stage, kind, About.PORTS, holds, owed)


CLAIMS: Final[tuple[Claim, ...]] = (
    _claim(pipeline.DISPATCH_LIMITED, Kind.SPOOF, _IN),
    _claim(pipeline.OUTPUT_LIMITED, Kind.LEAK, _OUT),
)
