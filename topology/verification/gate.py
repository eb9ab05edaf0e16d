"""Between the compiler and the switches: tables pass if the change that made them is proven, and not otherwise.

A change that somebody asked for is refused. What a switch says has happened and cannot be refused: there the sections
at fault are left out, so that they fail closed, and the node's table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from topology.compiler import Fault, FlowTable, Tables, leave_out
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot
from topology.verification.claim import Kind
from topology.verification.finding import Finding
from topology.verification.proof import Step, check, prove
from topology.verification.witness import with_witness
from topology.verification.words import finding_text, witness_text

_MOST_SHOWN: Final = 5  # findings that get a witness: one fault may show on every node


@dataclass(eq=False)
class Unsafe(Refused):
    """A change whose flows would not do what the network allows; the first of `findings` have a witness."""

    findings: tuple[Finding, ...] = ()


def passed(step: Step, *, may_refuse: bool) -> Tables:
    """Return the tables that may be installed: those of the step, where it is proven.

    Raises Unsafe if it is not and `may_refuse`; otherwise sections at fault are left out.
    """
    findings = check(step)
    if not findings:
        return step.new
    new = [finding for finding in findings if not _was_so(finding, step)]
    if may_refuse and new:
        raise _refusal(new, step.after, step.new)
    return _without(step.new, findings)


def provable(snapshot: Snapshot, tables: Tables, pause: Callable[[], object] = lambda: None) -> Tables:
    """Return tables that were compiled in full, without the sections at fault; so it begins.

    `pause` is called between nodes.
    """
    findings: list[Finding] = []
    for proof in prove(snapshot, tables):
        findings += proof.findings
        pause()
    return _without(tables, findings)


def _was_so(finding: Finding, step: Step) -> bool:
    """Whether the node was at fault before, or has lost subjects to others: both are told there, and refuse nothing."""
    old, new = step.old.get(finding.node, FlowTable()), step.new.get(finding.node, FlowTable())
    if finding.kind is Kind.BLACK_HOLE and finding.is_missing:
        return bool(old.faults or new.conflicts)
    return any(fault.left_out == finding.owner and finding.owner is not None for fault in old.faults)


def _without(tables: Tables, findings: Iterable[Finding]) -> Tables:
    by_node: dict[str, list[Fault]] = {}
    for finding in findings:
        section = None if finding.is_missing else finding.owner
        # Two subjects that want one flow are told as conflicts already.
        if section is not None or not tables[finding.node].conflicts:
            by_node.setdefault(finding.node, []).append(Fault(section, finding_text(finding)))
    for node, found in by_node.items():
        tables = tables.set(node, leave_out(tables[node], tuple(dict.fromkeys(found))))
    return tables


def _refusal(findings: list[Finding], snapshot: Snapshot, tables: Tables) -> Unsafe:
    shown = [with_witness(finding, snapshot, tables) for finding in findings[:_MOST_SHOWN]]
    shown.sort(key=lambda finding: finding.witness is None or not finding.witness.shows)
    first = shown[0]
    cause = f"it would make the flows unsafe: {finding_text(first)}"
    if first.witness is not None:
        cause = f"{cause}; witness: {witness_text(first.witness)}"
    remedy = "nothing was changed; this is a fault of the controller, report it with this text"
    return Unsafe(Reason.UNSAFE, "change", cause, remedy, (*shown, *findings[_MOST_SHOWN:]))
