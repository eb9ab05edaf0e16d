"""The shapes of REST's answers about proofs and plans: findings, statements, what a change would do. No behaviour."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from rest.shapes import Counter
from store.connections import Scope
from store.fields import Label, Object, Subdomain

FindingKind = Literal["leak", "spoof", "loop", "black hole", "unexplained"]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="Hexadecimal; equal for what is equal.")]

NetworkOrOthers = Annotated[
    str, Meta(pattern=r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$", max_length=63, description="A network, or `*`.")
]


class WitnessView(Object, frozen=True):
    """A packet that shows a finding: what should become of it, and what does. `shows`: these two differ."""

    packet: str
    ingress: str
    expected: str
    seen: str
    shows: bool
    text: str


class FindingView(Object, frozen=True):
    """A flow that should not be there, is not as it should be, or is missing; `flow` is null where it is no flow."""

    kind: FindingKind
    node: Subdomain
    flow: str | None
    missing: bool
    owner: str | None
    text: str
    witness: WitnessView | None


# --- statements ----------------------------------------------------------------------------------


class ClaimView(Object, frozen=True):
    """How many flows of one stage were proven, on all nodes, and what the stage is for."""

    table: Counter
    table_name: str
    priority: Counter
    purpose: str
    flows: Counter


class NodeStatementView(Object, frozen=True):
    """One node's flows, and whether its switch has acknowledged exactly these. `left_out`: what did not pass."""

    node: Subdomain
    digest: Digest
    flows: Counter
    installed: bool
    findings: Counter
    left_out: tuple[str, ...]


class StatementView(Object, frozen=True):
    """What was proven of the network at a revision. Statements with equal digests are about one network.

    At most 1000 findings are shown; `nodes` say how many there are.
    """

    proven: bool
    revision: Counter
    digest: Digest
    milliseconds: float
    flows: Counter
    nodes: tuple[NodeStatementView, ...]
    claims: tuple[ClaimView, ...]
    findings: tuple[FindingView, ...]


# --- plans ---------------------------------------------------------------------------------------


class RefusalView(Object, frozen=True):
    """Why a change would be refused."""

    reason: str
    subject: str
    cause: str
    remedy: str


class ObjectChangeView(Object, frozen=True):
    """An object that would be made, changed or removed."""

    kind: str
    name: str
    what: Literal["made", "changed", "removed"]


class ReachChangeView(Object, frozen=True, rename={"source": "from", "destination": "to"}):
    """What pods of one network may begin towards another's, now and then; null: nothing.

    A network named `*` stands for all others but those in `besides`.
    """

    source: NetworkOrOthers
    destination: NetworkOrOthers
    before: Scope | None
    after: Scope | None
    source_pods: Counter
    destination_pods: Counter
    besides: tuple[Label, ...]


class PodChangeView(Object, frozen=True, rename={"source": "from", "destination": "to"}):
    """How many pods would go from one network to another (null: they are new, or gone), some with another address."""

    source: Label | None
    destination: Label | None
    pods: Counter
    readdressed: Counter


class FlowChangeView(Object, frozen=True):
    """How many flows a node's switch would get and lose."""

    node: Subdomain
    added: Counter
    removed: Counter


class CutView(Object, frozen=True, rename={"source": "from", "destination": "to"}):
    """Connections that pods of one network began towards another's, and that would not go on."""

    source: NetworkOrOthers
    destination: NetworkOrOthers
    why: str
    source_pods: Counter
    destination_pods: Counter


class PlanView(Object, frozen=True):
    """What a change would do; nothing was done. `tracking`: networks whose connections begin or cease to be tracked."""

    revision: Counter
    refused: RefusalView | None
    objects: tuple[ObjectChangeView, ...]
    reach: tuple[ReachChangeView, ...]
    pods: tuple[PodChangeView, ...]
    flows: tuple[FlowChangeView, ...]
    cut: tuple[CutView, ...]
    tracking: tuple[Label, ...]
    findings: tuple[FindingView, ...]
