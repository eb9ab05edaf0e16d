"""The ledger of addresses: which are held or in quarantine, and proof that it is sound. Pure functions.

The proof trusts no index: it goes through the ports, and holds against them the indexes that addresses are given out
by, the ranges they must be in, and what switches have acknowledged.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar

from rest.control import Published
from rest.ledger_shapes import AddressHolder, Finding, LedgerCheck, LedgerEntry
from topology.admission.checks import inside
from topology.allocation import any_taken, pool, span
from topology.compiler import SectionKey
from topology.features.section import SubjectKey
from topology.fields import IPV4, IPV6
from topology.flow import Entry
from topology.model import SHARED_SPACE, Address, Port, PortKey, Quarantine
from topology.pipeline import SPACE, FeatureId, Table
from topology.snapshot import BLOCK_BITS, BLOCK_SIZE, Block, Snapshot, places

T = TypeVar("T")
Place: TypeAlias = tuple[int, Address]  # an address in its address space
Holders: TypeAlias = Mapping[Place, list[Port]]

_AT_ONCE: Final = 200  # ports that are looked at between two pauses
_PORTS: Final = int(FeatureId.PORTS)
_MAKE: Final[Mapping[int, Callable[[int], Address]]] = {4: IPv4Address, 6: IPv6Address}


def entries(published: Published) -> Iterator[LedgerEntry]:
    """Yield every address that a pod holds or that is in quarantine, in no order."""
    for port in published.snapshot.ports.values():
        yield from _of_port(published, port)
    for item in published.snapshot.quarantined.values():
        yield _waiting(published.snapshot, item)


def entry(published: Published, place: Place) -> LedgerEntry | None:
    """Return what an address is now, or None when it is free or no pod's."""
    snapshot = published.snapshot
    holder, item = snapshot.holder.get(place), snapshot.quarantined.get(place)
    if holder is not None:
        mine = _of_port(published, snapshot.ports[holder])
        return next(entry for entry in mine if (entry.space, entry.address) == (place[0], str(place[1])))
    return None if item is None else _waiting(snapshot, item)


def _of_port(published: Published, port: Port) -> Iterator[LedgerEntry]:
    holder = AddressHolder(
        project=port.project, pod=port.pod, container=port.key.container, interface=port.key.interface
    )
    is_bound = published.port_phase(port.key)[0] == "Committed"
    for space, address in places(port):
        yield LedgerEntry(
            address=str(address),
            space=space,
            network=port.network,
            state="bound" if is_bound else "allotted",
            port=holder,
            node=port.node,
        )


def _waiting(snapshot: Snapshot, item: Quarantine) -> LedgerEntry:
    network = None if item.space == SHARED_SPACE else snapshot.network_by_vnid.get(item.space)
    return LedgerEntry(
        address=str(item.address), space=item.space, network=network, state="quarantined", port=None, node=item.node
    )


def check(published: Published, pause: Callable[[], object] = lambda: None) -> LedgerCheck:
    """Go through everything, and tell what is wrong. `pause` is called every now and then: others may want to work."""
    snapshot = published.snapshot
    ports = partial(_paced, snapshot.ports.values(), pause)
    held: dict[Place, list[Port]] = defaultdict(list)
    for port in ports():
        for place in places(port):
            held[place].append(port)
    findings = (
        *_held_twice(held),
        *_wrong_index(snapshot, held),
        *_misplaced(snapshot, ports()),
        *_wrong_blocks(snapshot),
        *_quarantined(snapshot.quarantined.values(), held),
        *_not_on_switch(published, ports()),
        *_left_on_switch(published, held, pause),
    )
    return LedgerCheck(
        ok=not findings,
        ports=len(snapshot.ports),
        held=len(held),
        quarantined=len(snapshot.quarantined),
        findings=tuple(sorted(findings, key=lambda finding: (finding.kind, finding.subject, finding.cause))),
    )


def _paced(things: Iterable[T], pause: Callable[[], object]) -> Iterator[T]:
    for number, thing in enumerate(things, 1):
        if number % _AT_ONCE == 0:
            pause()
        yield thing


def _held_twice(held: Holders) -> Iterator[Finding]:
    for place, ports in held.items():
        if len(ports) > 1:
            cause = f"is held by {' and '.join(sorted(_named(port) for port in ports))}"
            yield Finding(kind="held-twice", subject=_at(place), cause=cause)


def _wrong_index(snapshot: Snapshot, held: Holders) -> Iterator[Finding]:
    """The index of holders has each address, with a port that has it; the map of taken ones has just those."""
    for place, key in snapshot.holder.items():
        if place in held:
            continue
        yield Finding(kind="wrong-index", subject=_at(place), cause=f"is kept for {_key(key)}, which does not have it")
    for place, ports in held.items():
        if snapshot.holder.get(place) not in {port.key for port in ports}:
            cause = f"is held by {_named(ports[0])}, and is not kept for it"
            yield Finding(kind="wrong-index", subject=_at(place), cause=cause)
    expected: dict[Block, int] = defaultdict(int)
    for space, address in (*held, *snapshot.quarantined):
        block = Block(space, address.version, int(address) >> BLOCK_BITS)
        expected[block] |= 1 << (int(address) & (BLOCK_SIZE - 1))
    for block in {*expected, *snapshot.taken}:
        marked, wanted = snapshot.taken.get(block, 0), expected.get(block, 0)
        for bits, cause in (
            (marked & ~wanted, "will never be given again, and nobody holds it"),
            (wanted & ~marked, "can be given to another pod, and is not free"),
        ):
            for address in _addresses(block, bits):
                yield Finding(kind="wrong-index", subject=_at((block.space, address)), cause=cause)


def _addresses(block: Block, bits: int) -> Iterator[Address]:
    while bits:
        lowest = bits & -bits
        yield _MAKE[block.version]((block.number << BLOCK_BITS) + lowest.bit_length() - 1)
        bits ^= lowest


def _misplaced(snapshot: Snapshot, ports: Iterable[Port]) -> Iterator[Finding]:
    """Every address of a port is one that a pod of that network may have on that node."""
    blocks = {place: sorted(map(span, prefixes)) for place, prefixes in snapshot.blocks_on.items()}
    for port in ports:
        for cause in (*_faults(snapshot, port), *_unblocked(port, blocks.get((port.network, port.node), []))):
            yield Finding(kind="misplaced", subject=_named(port), cause=cause)


def _faults(snapshot: Snapshot, port: Port) -> Iterator[str]:
    node, network = snapshot.nodes.get(port.node), snapshot.networks.get(port.network)
    if node is None or network is None:
        yield f"its {'node' if node is None else 'network'} does not exist"
        return
    if port.space != network.space:
        yield f"its addresses are in space {port.space}, its network's in space {network.space}"
    if len(port.cluster_addresses) != (len(port.addresses) if network.subnets else 0):
        yield f"it has {len(port.cluster_addresses)} cluster addresses for {len(port.addresses)} addresses"
    for address in port.cluster_addresses if network.subnets else port.addresses:
        ranges = (pool(subnet) for subnet in node.subnets if subnet.version == address.version)
        if not any(first <= int(address) <= last for first, last in ranges):
            yield f'{address} is none that pods of node "{node.name}" may have'
    for address in port.addresses if network.subnets else ():
        subnet = next((subnet for subnet in network.subnets if address in subnet.cidr), None)
        if subnet is None or address in (subnet.cidr[0], subnet.cidr[-1], subnet.gateway):
            yield f'{address} is none that pods of network "{network.name}" may have'


def _unblocked(port: Port, blocks: list[tuple[int, int, int]]) -> Iterator[str]:
    """Tell the addresses of a port that are in none of its network's blocks on its node."""
    for address in port.addresses if port.space != SHARED_SPACE else ():
        position = bisect(blocks, (address.version, int(address), 1 << 128))
        if position == 0 or not blocks[position - 1][1] <= int(address) <= blocks[position - 1][2]:
            yield f'{address} is in no block of network "{port.network}" on node "{port.node}"'


def _wrong_blocks(snapshot: Snapshot) -> Iterator[Finding]:
    """Every block lies in a subnet of its network, overlaps no other, and somebody has, or had, an address of it."""
    for block in snapshot.blocks.values():
        subject, network = f"block {block.prefix} of network {block.network}", snapshot.networks.get(block.network)
        cidrs = () if network is None else tuple(subnet.cidr for subnet in network.subnets)
        if not inside(block.prefix, cidrs):
            yield Finding(kind="wrong-block", subject=subject, cause="is in no subnet of its network")
        elif network is not None and not any_taken(snapshot, block.prefix, network.space):
            cause = f"is kept for node {block.node}, and nobody has an address of it"
            yield Finding(kind="wrong-block", subject=subject, cause=cause)
    for name, prefixes in snapshot.blocks_of.items():
        for one, other in pairwise(sorted(prefixes, key=span)):
            if one.overlaps(other):
                cause = f"overlaps {other}"
                yield Finding(kind="wrong-block", subject=f"block {one} of network {name}", cause=cause)


def _quarantined(items: Iterable[Quarantine], held: Holders) -> Iterator[Finding]:
    for item in items:
        for port in held.get((item.space, item.address), ()):
            cause = f"is in quarantine, and {_named(port)} holds it"
            yield Finding(kind="quarantined-and-held", subject=_at((item.space, item.address)), cause=cause)


def _not_on_switch(published: Published, ports: Iterable[Port]) -> Iterator[Finding]:
    """The switch of every port has acknowledged its flows, and they deliver just its addresses to it."""
    for port in ports:
        phase, reason = published.port_phase(port.key)
        if phase != "Committed":
            yield Finding(kind="not-on-switch", subject=_named(port), cause=f"is {phase}: {reason}")
            continue
        installed = published.committed[port.node].sections[SectionKey(_PORTS, tuple(port.key))]
        for place in sorted(set(places(port)) - set(_delivered(installed))):
            cause = f"its switch does not deliver {_at(place)} to it"
            yield Finding(kind="not-on-switch", subject=_named(port), cause=cause)


def _left_on_switch(published: Published, held: Holders, pause: Callable[[], object]) -> Iterator[Finding]:
    """An address that a switch delivers to a port is that port's, or in quarantine: nobody else may get it."""
    quarantined = published.snapshot.quarantined
    for node, table in published.committed.items():
        for section, installed in _paced(table.sections.items(), pause):
            if section.feature != _PORTS:
                continue
            for place in _delivered(installed):
                holders = {port.key for port in held.get(place, ())}
                if place not in quarantined and holders != {_of(section.subject)}:
                    owner = ", ".join(map(_key, sorted(holders))) or "nobody"
                    cause = f"is delivered to {_key(_of(section.subject))} by the switch of {node}, and is {owner}'s"
                    yield Finding(kind="left-on-switch", subject=_at(place), cause=cause)


def _delivered(flows: Iterable[Entry]) -> Iterator[Place]:
    """Yield the addresses that flows of a port look up at delivery."""
    for _, flow in flows:
        terms = {field: value for field, value, _ in flow.match}
        for kind in (IPV4, IPV6):
            if flow.table == Table.LOCAL and kind.destination in terms:
                yield terms.get(SPACE, SHARED_SPACE), _MAKE[kind.version](terms[kind.destination])


def _of(subject: SubjectKey) -> PortKey:
    return PortKey(*map(str, subject))


def _key(key: PortKey) -> str:
    return f"port {'/'.join(key)}"


def _named(port: Port) -> str:
    return f"port {port.project}/{port.pod} ({'/'.join(port.key)})"


def _at(place: Place) -> str:
    space, address = place
    return f"address {address}" if space == SHARED_SPACE else f"address {address} (space {space})"
