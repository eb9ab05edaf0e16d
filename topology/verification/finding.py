"""What the verifier found wrong: a finding per flow that should not be there, is not as it should be, or is missing."""

from __future__ import annotations

from dataclasses import dataclass

from topology.compiler import SectionKey
from topology.flow import Actions, FlowKey
from topology.outcome import Outcome
from topology.packet import Packet
from topology.specification import Ingress
from topology.verification.claim import Kind


@dataclass(frozen=True, slots=True)
class Witness:
    """A packet that shows a finding: where it comes in, what should become of it, and what does.

    `shows` is False when no packet was found that fares otherwise than it should. `said`: packets sent before it.
    """

    ingress: Ingress
    packet: Packet
    expected: Outcome
    seen: Outcome | None  # None: it did not come to an end, or the flows contradict each other
    shows: bool
    said: tuple[Packet, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault on one node. `key` is that of the flow; `actions` are None when it is missing."""

    kind: Kind
    node: str
    said: str
    key: FlowKey | None = None
    actions: Actions | None = None
    owner: SectionKey | None = None
    witness: Witness | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a flow is not there that must be."""
        return self.key is not None and self.actions is None
