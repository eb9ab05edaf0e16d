"""The statement: what was proven of which network, so that it can be checked again later, and by somebody else.

Digests stand for the model and for each node's flows; two statements with equal digests are about the same. How long
it took is for whoever has a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from topology.compiler import FlowTable, Tables
from topology.model import PodKey
from topology.snapshot import Snapshot
from topology.verification.finding import Finding
from topology.verification.proof import NodeProof, proofs
from topology.verification.witness import with_witness

_BYTES: Final = 16
_PIECE: Final = 500  # objects that are digested in one go
_MOST_SHOWN: Final = 20  # findings that get a witness


class Claimed(NamedTuple):
    """How many flows of one stage were proven, on all nodes."""

    table: int
    priority: int
    flows: int


class NodeStatement(NamedTuple):
    """One node: its flows, their digest, and whether its switch has acknowledged exactly these."""

    node: str
    flows: int
    digest: str
    installed: bool
    findings: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What was proven. `digest` is of the model: two statements are about one network if all digests are equal."""

    revision: int
    digest: str
    nodes: tuple[NodeStatement, ...]
    claims: tuple[Claimed, ...]
    findings: tuple[Finding, ...]

    @property
    def is_proven(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Scene:
    """What a statement is about: a revision of the network, its tables, and what switches acknowledged."""

    revision: int
    snapshot: Snapshot
    tables: Tables
    committed: Tables


def state(scene: Scene, pause: Callable[[], None]) -> Statement:
    """Prove a network and return the statement. `pause` is called between pieces of work of a few milliseconds."""
    nodes: list[NodeStatement] = []
    counts: Counter[tuple[int, int]] = Counter()
    findings: list[Finding] = []
    for proof in proofs(scene.snapshot, scene.tables):
        nodes.append(_node(proof, scene))
        counts.update(proof.counts)
        findings.extend(proof.findings)
        pause()
    digest = snapshot_digest(scene.snapshot, pause)
    for position, finding in enumerate(findings[:_MOST_SHOWN]):
        findings[position] = with_witness(finding, scene.snapshot, scene.tables)
        pause()
    claims = tuple(Claimed(*place, flows) for place, flows in sorted(counts.items()))
    return Statement(scene.revision, digest, tuple(sorted(nodes)), claims, tuple(findings))


def _node(proof: NodeProof, scene: Scene) -> NodeStatement:
    table, has = scene.tables.get(proof.node, FlowTable()), scene.committed.get(proof.node)
    digest = table_digest(table)
    installed = has is not None and (has is table or table_digest(has) == digest)
    return NodeStatement(proof.node, table.size, digest, installed, len(proof.findings))


def table_digest(table: FlowTable) -> str:
    """Return a digest (hexadecimal) of a table's flows: of the sums that its sentinels carry."""
    text = ",".join(f"{owner:x}:{total:x}" for owner, total in sorted(table.sums.items()))
    return blake2b(text.encode(), digest_size=_BYTES).hexdigest()


def snapshot_digest(snapshot: Snapshot, pause: Callable[[], None]) -> str:
    """Return a digest (hexadecimal) of all objects that flows are made of, whatever order they came in."""
    whole = blake2b(digest_size=_BYTES)
    for position, text in enumerate(_objects(snapshot)):
        whole.update(text.encode())
        if position % _PIECE == _PIECE - 1:
            pause()
    return whole.hexdigest()


def _limited(snapshot: Snapshot) -> dict[PodKey, object]:
    """Return what pods may send and get: of what is said of them, only that is in flows."""
    limits = ((key, pod.ingress_bandwidth, pod.egress_bandwidth) for key, pod in snapshot.pods.items())
    return {key: (key, *both) for key, *both in limits if any(each is not None for each in both)}


def _objects(snapshot: Snapshot) -> Iterator[str]:
    yield repr(snapshot.cluster)
    parts: tuple[Iterable[object], ...] = (
        (value for _, value in sorted(snapshot.nodes.items())),
        (value for _, value in sorted(snapshot.networks.items())),
        (value for _, value in sorted(snapshot.projects.items())),
        (value for _, value in sorted(snapshot.moves.items())),
        (value for _, value in sorted(snapshot.connections.items())),
        (value for _, value in sorted(snapshot.blocks.items(), key=lambda item: (item[0][0], str(item[0][1])))),
        (value for _, value in sorted(snapshot.services.items())),
        (value for _, value in sorted(snapshot.slices.items())),
        (value for _, value in sorted(snapshot.egresses.items())),
        (value for _, value in sorted(snapshot.outages.items())),
        (value for _, value in sorted(snapshot.ports.items())),
        (value for _, value in sorted(_limited(snapshot).items())),
        (value for _, value in sorted(snapshot.mirrors.items())),
        (value for _, value in sorted(snapshot.memberships.items())),
    )
    for values in parts:
        for value in values:
            yield repr(value)
