"""Who reaches whom: what is expected by the rules of tenancy, what real packets found, and a table of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lab.hosts import Host
from lab.node import Node
from lab.pod import Pod
from lab.probes import Outcome, together

GLOBAL_NETWORKS = frozenset({"default"})
"""The built-in network with VNID 0: it talks with all."""


@dataclass(frozen=True)
class Party:
    """A row or column: a host, and the network it is on; "" for a node and for the outside."""

    host: Host
    network: str = ""

    @classmethod
    def of(cls, pod: Pod) -> Party:
        """A pod, with the network that it is on."""
        return cls(pod, pod.network)

    @property
    def label(self) -> str:
        """What stands in the table: a pod with the node it is on, and its address if others may have the same."""
        if not isinstance(self.host, Pod):
            return self.host.name
        address = f"\n{self.host.address}" if self.host.address != self.host.cluster_address else ""
        return f"{self.host.name}\non {self.host.node.name}{address}"

    @property
    def is_pod(self) -> bool:
        """Whether it is a pod."""
        return isinstance(self.host, Pod)


@dataclass(frozen=True)
class Cell:
    """One pair: whether it should be reachable, and what ICMP and TCP found."""

    source: Party
    target: Party
    expected: bool
    icmp: Outcome
    tcp: Outcome

    @property
    def truthful(self) -> bool:
        """Whether the right one answered, and saw the address that the source has there: no NAT between pods."""
        if not self.tcp:
            return True
        right = (
            {str(self.source.host.known_to(self.target.host))} if self.target.is_pod and self.source.is_pod else None
        )
        if isinstance(self.source.host, Node):
            right = {str(self.source.host.address), str(self.source.host.gateway)}
        elif isinstance(self.source.host, Pod) and not self.target.is_pod:
            right = {str(self.source.host.node.address)}
        return self.tcp.by == self.target.host.name and (right is None or self.tcp.seen_as in right)

    @property
    def seen(self) -> str:
        """`yes` or `no`, or what is odd about it."""
        if not self.truthful:
            return "wrong"
        if bool(self.icmp) != bool(self.tcp):
            return "icmp" if self.icmp else "tcp"
        refused = self.tcp.arrived or self.icmp.arrived
        return "yes" if self.tcp else "refused" if refused else "no"

    @property
    def agrees(self) -> bool:
        """Whether both protocols found what was expected."""
        return self.seen == ("yes" if self.expected else "no")


@dataclass(frozen=True)
class Matrix:
    """All pairs of sources and targets, asked at the same time."""

    sources: tuple[Party, ...]
    targets: tuple[Party, ...]
    cells: tuple[Cell, ...]

    @property
    def wrong(self) -> list[Cell]:
        """The cells that are not as expected."""
        return [cell for cell in self.cells if not cell.agrees]

    def table(self, title: str) -> Table:
        """A table in which every cell says what is expected and, beside it, what was seen."""
        table = Table("from \\ to", title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for target in self.targets:
            table.add_column(target.label, justify="center")
        found = {(cell.source, cell.target): cell for cell in self.cells}
        for source in self.sources:
            row = [_rendered(found.get((source, target))) for target in self.targets]
            table.add_row(source.label.replace("\n", " "), *row)
        return table


Joined = Iterable[frozenset[str] | tuple[str, str]]
"""Connections: two networks that talk, or (from, to) where only the first may begin."""


def may(source: Party, target: Party, joined: Joined) -> bool:
    """The rules of tenancy: whether `source` should reach `target` while the networks in `joined` are connected."""
    if not (source.is_pod and target.is_pod):
        return True  # a node reaches pods, and pods reach the outside
    pair, connections = frozenset({source.network, target.network}), set(joined)
    within = len(pair) == 1 or bool(pair & GLOBAL_NETWORKS)
    return within or pair in connections or (source.network, target.network) in connections


def explore(sources: Sequence[Party], targets: Sequence[Party], joined: Joined = ()) -> Matrix:
    """Ask all pairs by ICMP and TCP, and put what should be beside what is.

    Within a network pods are asked by the addresses that they have there, else by their cluster addresses.
    """
    pairs = [(source, target) for source in sources for target in targets if source != target]
    pinged = [partial(source.host.ping, target.host) for source, target in pairs]
    connected = [partial(source.host.tcp, target.host) for source, target in pairs]
    outcomes = together([*pinged, *connected])
    rules = tuple(joined)
    cells = (
        Cell(source, target, may(source, target, rules), icmp, tcp)
        for (source, target), icmp, tcp in zip(pairs, outcomes[: len(pairs)], outcomes[len(pairs) :], strict=True)
    )
    return Matrix(tuple(sources), tuple(targets), tuple(cells))


def _rendered(cell: Cell | None) -> Text:
    if cell is None:
        return Text("")
    said = f"{'yes' if cell.expected else 'no'} {cell.seen}"
    return Text(said, style="bold red" if not cell.agrees else "green" if cell.expected else "dim")
