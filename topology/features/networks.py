"""Networks: pods of one network may talk to each other, and a global network with all.

One flow per network and node that hosts it, however many pods it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, on_every_node
from topology.flow import Actions, Flow, at, goto, match
from topology.model import Hosting, Network, Node
from topology.pipeline import Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.NETWORKS

_DELIVER: Final[Actions] = (goto(Table.OUTPUT),)


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The networks with ports on the node, and the global ones."""
    if node in snapshot.nodes:
        for name in {*snapshot.hosting.get(node, {}), *snapshot.global_networks}:
            yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """The pair (N, N) where N has ports; (N, any) and (any, N) everywhere if N is global."""
    network = snapshot.networks.get(str(subject[0]))
    if network is None or node not in snapshot.nodes:
        return
    if (node, network.name) in snapshot.hosted:
        yield at(pipeline.DELIVER_WITHIN, match(reg0=network.vnid, reg1=network.vnid), _DELIVER)
    if network.is_global:
        yield at(pipeline.DELIVER_FROM_GLOBAL, match(reg0=network.vnid), _DELIVER)
        yield at(pipeline.DELIVER_TO_GLOBAL, match(reg1=network.vnid), _DELIVER)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A network where it has ports, or everywhere if it is or was global; the first and last port of it on a node."""
    match change.subject:
        case Hosting(node=node, network=network):
            yield Section(node, (network,))
        case Network(name=name):
            if any(isinstance(side, Network) and side.is_global for side in (change.before, change.after)):
                yield from on_every_node((name,), snapshot)
            else:
                for node in snapshot.hosts.get(name, {}):
                    yield Section(node, (name,))
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)
