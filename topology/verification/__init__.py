"""The verifier: says independently of the features what tables must hold, and proves that they do.

`prove` proves all tables against a snapshot, `check` one change; `gate` stands between compiler and switches. It reads
compiled flows and the model; it must not import `topology.features`, whose mistakes it is there to find.
"""

from topology.verification.claim import Kind
from topology.verification.finding import Finding, Witness
from topology.verification.gate import Unsafe, passed, provable
from topology.verification.proof import NodeProof, Step, check, proofs, prove
from topology.verification.witness import with_witness

__all__ = [
    "Finding",
    "Kind",
    "NodeProof",
    "Step",
    "Unsafe",
    "Witness",
    "check",
    "passed",
    "proofs",
    "provable",
    "prove",
    "with_witness",
]
