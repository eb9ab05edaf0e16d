"""ICMP errors whose addresses are translated: their quotes are in the old addresses, and no flow can reach them.

By icmp0 they go through a program on the node that rewrites the quote, and come back. What the switch knows of them,
and would forget, stands in their MACs meanwhile, with the address that the sender had before: all that the program
needs, which therefore keeps nothing. Where that address has not changed, the service stands there by which they come.
The same few flows on every node; errors that are not translated never come here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from topology import pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey
from topology.fields import (
    CT_MARK,
    CT_STATE,
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    ICMP_TYPE,
    IN_PORT,
    IP_PROTO,
    IPV4,
    IS_ANSWER,
    PROTO_ICMP,
    Field,
)
from topology.flow import IN_PORT_NUMBER, Actions, Flow, at, copy, goto, load, match_fields, output
from topology.model import ICMP_OFPORT
from topology.pipeline import (
    ANSWERING_MAC,
    ARRIVING_MAC,
    BY_SERVICE,
    ICMP_ERRORS,
    ICMP_MAC,
    LEAVING_MAC,
    OUTPUT_PORT,
    SCRATCH,
    SOURCE_VNID,
    SPACE,
    SPACE_BITS,
    VNID_BITS,
    Table,
)
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.ERRORS

_HALF: Final = 16  # bits of an address that each MAC carries
_FIRST: Final = 40  # the bit at which a MAC's first octet begins
_FIRST_OCTET: Final = 0xFF << _FIRST
_Terms: TypeAlias = tuple[tuple[Field, int], ...]


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """None: what it has is common to all nodes."""
    return ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """To the translator, and back from it."""
    if node in snapshot.nodes:
        yield from common_flows(subject, snapshot)


def common_subjects(snapshot: Snapshot) -> Iterable[SubjectKey]:
    """One: any node."""
    return (WHOLE_NODE,)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What stands on each node."""
    yield at(pipeline.DISPATCH_ICMP, match_fields((IN_PORT, ICMP_OFPORT)), (goto(Table.ICMP_INGRESS),))
    for kind in ICMP_ERRORS:
        terms = ((ETH_TYPE, IPV4.eth_type), (IP_PROTO, PROTO_ICMP), (ICMP_TYPE, kind))
        yield _back(LEAVING_MAC, terms, (goto(Table.SERVICES),))
        yield _back(ARRIVING_MAC, terms, (*_half_by_half(BY_SERVICE), goto(Table.LOCAL)))
        yield _back(ANSWERING_MAC, terms, (*_half_by_half(SCRATCH), goto(Table.LOCAL)))
        leaves = (*_labelled(LEAVING_MAC, SCRATCH), output(ICMP_OFPORT))
        yield at(pipeline.LEAVING_ERROR, match_fields(*terms), leaves)
        yield from _arrives(terms)
    yield at(pipeline.LEAVING_BACK, match_fields((OUTPUT_PORT, IN_PORT_NUMBER)), (output(IN_PORT_NUMBER),))
    yield at(pipeline.LEAVING_NONE, (), (goto(Table.SERVICES),))
    yield at(pipeline.ARRIVING_NONE, (), (goto(Table.INGRESS_POLICY),))


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """Nothing of a single node."""
    return ()


def common_touched(change: Change, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """Nothing alters it."""
    return ()


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _arrives(error: _Terms) -> Iterator[Flow]:
    """To the translator, by whichever port it came: with the service that it is by, or that it answers by."""
    there, again = output(ICMP_OFPORT), output(IN_PORT_NUMBER)
    from_there, answers = (IN_PORT, ICMP_OFPORT), (CT_STATE, (IS_ANSWER, IS_ANSWER))
    arrives, answering = _labelled(ARRIVING_MAC, BY_SERVICE), _labelled(ANSWERING_MAC, CT_MARK)
    yield at(pipeline.ARRIVING_ERROR, match_fields(*error), (*arrives, there))
    yield at(pipeline.ARRIVING_AGAIN, match_fields(from_there, *error), (*arrives, again))
    yield at(pipeline.ANSWERING_ERROR, match_fields(answers, *error), (*answering, there))
    yield at(pipeline.ANSWERING_AGAIN, match_fields(from_there, answers, *error), (*answering, again))


def _labelled(way: int, kept: Field) -> Actions:
    """Write both MACs: where the packet is on its way, what is known of it, and 32 bits more that are `kept`."""
    return (
        load(ETH_DST, ICMP_MAC << _FIRST),
        copy(SOURCE_VNID, ETH_DST, VNID_BITS, to_bit=_HALF),
        copy(kept, ETH_DST, _HALF, from_bit=_HALF),
        load(ETH_SRC, way << _FIRST),
        copy(SPACE, ETH_SRC, SPACE_BITS, to_bit=_HALF),
        copy(kept, ETH_SRC, _HALF),
    )


def _half_by_half(kept: Field) -> Actions:
    """Take back the 32 bits that both MACs share."""
    return (copy(ETH_DST, kept, _HALF, to_bit=_HALF), copy(ETH_SRC, kept, _HALF))


def _back(way: int, error: _Terms, onwards: Actions) -> Flow:
    """Take back what the MACs of an error say; the program has changed nothing but the quote."""
    macs = ((ETH_DST, (ICMP_MAC << _FIRST, _FIRST_OCTET)), (ETH_SRC, (way << _FIRST, _FIRST_OCTET)))
    known = (
        copy(ETH_DST, SOURCE_VNID, VNID_BITS, from_bit=_HALF),
        copy(ETH_SRC, SPACE, SPACE_BITS, from_bit=_HALF),
    )
    return at(pipeline.ICMP_BACK, match_fields(*macs, *error), (*known, *onwards))
