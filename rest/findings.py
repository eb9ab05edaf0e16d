"""Findings of the verifier as REST shows them: in words, with the witness."""

from __future__ import annotations

from collections.abc import Iterable

from rest.owners import owner_text
from rest.verification_shapes import FindingView, WitnessView
from topology.flow import Flow
from topology.snapshot import Snapshot
from topology.text import flow_text
from topology.verification import Finding, Witness
from topology.verification.words import finding_text, ingress_text, outcome_text, packet_text, witness_text


def finding_views(findings: Iterable[Finding], snapshot: Snapshot) -> tuple[FindingView, ...]:
    """Return findings as they are shown."""
    return tuple(_view(finding, snapshot) for finding in findings)


def _view(finding: Finding, snapshot: Snapshot) -> FindingView:
    flow = None
    if finding.key is not None:
        flow = flow_text(Flow(*finding.key, finding.actions or ()))
        flow = flow.partition(" actions=")[0] if finding.is_missing else flow
    return FindingView(
        kind=finding.kind.value,
        node=finding.node,
        flow=flow,
        missing=finding.is_missing,
        owner=None if finding.owner is None else owner_text(finding.owner, snapshot),
        text=finding_text(finding),
        witness=None if finding.witness is None else _witness(finding.witness),
    )


def _witness(witness: Witness) -> WitnessView:
    return WitnessView(
        packet=packet_text(witness.packet),
        ingress=ingress_text(witness.ingress),
        expected=outcome_text(witness.expected),
        seen="no end" if witness.seen is None else outcome_text(witness.seen),
        shows=witness.shows,
        text=witness_text(witness),
    )
