"""Blocks: which node has which addresses of a network with subnets. One flow each, on nodes that may send there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from topology import pipeline
from topology.features.section import (
    Section,
    SubjectKey,
    has_other_range,
    is_reaching,
    networks_within_reach,
    nodes_reaching,
)
from topology.flow import Flow, at, goto
from topology.matches import in_space, to_prefix
from topology.model import AddressBlock, Connection, Hosting, Network, Node
from topology.pipeline import Table
from topology.snapshot import Change, Snapshot
from topology.tunnelling import to_vtep

ID: Final = pipeline.FeatureId.BLOCKS


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The blocks of the networks that have ports on the node, and of those connected to them."""
    for name in networks_within_reach(node, snapshot):
        yield from _blocks(name, snapshot)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """On the block's own node to LOCAL, elsewhere to its VTEP."""
    name, text = map(str, subject)
    network, block = snapshot.networks.get(name), snapshot.blocks.get((name, ip_network(text)))
    if network is None or block is None or not is_reaching(node, name, snapshot):
        return
    terms = to_prefix(block.prefix, in_space(network.space))
    holder = snapshot.nodes.get(block.node)
    if block.node == node:
        yield at(pipeline.ROUTE_BLOCK, terms, (goto(Table.LOCAL),))
    elif holder is not None:
        yield at(pipeline.TUNNEL_BLOCK, terms, to_vtep(holder.underlay))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A block where it is reached from; all blocks of a network on a node that begins or ceases to reach it."""
    match change.subject:
        case AddressBlock() as block:
            yield from _of_block(block, snapshot)
        case Network(name=name) if has_other_range(change):
            yield from _on(nodes_reaching(name, snapshot), name, snapshot)
        case Connection(key=key):
            for name in key:
                nodes = nodes_reaching(name, snapshot) | set(snapshot.hosts.get(key.other(name), {}))
                yield from _on(nodes, name, snapshot)
        case Hosting(node=node, network=network):
            for name in (network, *snapshot.peers.get(network, {})):
                yield from _on((node,), name, snapshot)
        case Node(name=name):
            for place in snapshot.blocks_at.get(name, {}):
                yield from _of_block(snapshot.blocks[place], snapshot)
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _of_block(block: AddressBlock, snapshot: Snapshot) -> Iterator[Section]:
    for node in nodes_reaching(block.network, snapshot):
        yield Section(node, (block.network, str(block.prefix)))


def _on(nodes: Iterable[str], network: str, snapshot: Snapshot) -> Iterator[Section]:
    for subject in _blocks(network, snapshot):
        for node in nodes:
            yield Section(node, subject)


def _blocks(network: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    for prefix in snapshot.blocks_of.get(network, {}):
        yield (network, str(prefix))
