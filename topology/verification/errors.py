"""Claims about ICMP errors on their way through the node's translator of quotes (icmp0), and back.

The same on every node, written out in full. They say that icmp0 is believed for nothing but errors that bear the marks
of one of two places, and there of one of two kinds; that what is known of an error (VNID, space, its sender's own
address or the service's VNID, which is that of an answer only as conntrack says so) comes back bit for bit as it was
written; and that an error goes there at most once from each place: what left comes back behind LEAVING_ERRORS,
what arrived to LOCAL in the pod's own space, whose look-ups lead past ARRIVING_ERRORS (`attachment`).
"""

from __future__ import annotations

from typing import Final

from topology import fields, pipeline
from topology.fields import CT_MARK, ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Action, Actions, Match, MatchTerm, Op
from topology.pipeline import BY_SERVICE, OUTPUT_PORT, SCRATCH, SOURCE_VNID, SPACE, Table
from topology.verification.claim import Claim, Kind, always, of_cluster
from topology.verification.shape import IS_IP, TO_LOCAL, W8, W32, W48, Facts, goto
from topology.verification.world import World

_DOOR: Final = 65000  # icmp0
_FROM_DOOR: Final[MatchTerm] = (IN_PORT, _DOOR, W32)
_INTO_DOOR: Final[Action] = (Op.OUTPUT, _DOOR)
_BY_SAME_PORT: Final[Action] = (Op.OUTPUT, 0xFFFF_FFF8)
_TO_SERVICES: Final[Actions] = (goto(Table.SERVICES),)

# Of a MAC the first octet is the mark; then 24 bits of a number, and 16 bits of an address.
_MARK: Final = 0xFF00_0000_0000
_OURS: Final = 0x0E00_0000_0000  # in every destination
_LEFT: Final = 0x0E00_0000_0000  # in the source: from LEAVING_ERRORS
_ARRIVED: Final = 0x1E00_0000_0000  # in the source: from ARRIVING_ERRORS
_ANSWERS: Final = 0x2E00_0000_0000  # in the source: from there, against the direction of what a service led here
_IS_ANSWER: Final[MatchTerm] = (fields.CT_STATE, 0x28, 0x28)  # tracked, of the reply direction

# Unreachable, time exceeded, parameter problem (RFC 792), of IPv4.
_ERRORS: Final[tuple[Match, ...]] = tuple(
    (IS_IP[4], (fields.IP_PROTO, 1, W8), (fields.ICMP_TYPE, kind, W8)) for kind in (3, 11, 12)
)


def _marked(mark: int, kept: fields.Field) -> Actions:
    """What is written into both MACs: all of them is ours, and nothing of what a pod wrote is left."""
    return (
        (Op.SET, ETH_DST, _OURS, W48),
        (Op.COPY, SOURCE_VNID, 0, ETH_DST, 16, 24),
        (Op.COPY, kept, 16, ETH_DST, 0, 16),
        (Op.SET, ETH_SRC, mark, W48),
        (Op.COPY, SPACE, 0, ETH_SRC, 16, 24),
        (Op.COPY, kept, 0, ETH_SRC, 0, 16),
    )


def _unmarked(kept: fields.Field) -> Actions:
    return ((Op.COPY, ETH_DST, 0, kept, 16, 16), (Op.COPY, ETH_SRC, 0, kept, 0, 16), *TO_LOCAL)


def _back(world: World) -> Facts:
    read: Actions = ((Op.COPY, ETH_DST, 16, SOURCE_VNID, 0, 24), (Op.COPY, ETH_SRC, 16, SPACE, 0, 24))
    ways = ((_LEFT, _TO_SERVICES), (_ARRIVED, _unmarked(BY_SERVICE)), (_ANSWERS, _unmarked(SCRATCH)))
    return {
        ((ETH_DST, _OURS, _MARK), (ETH_SRC, mark, _MARK), *error): (*read, *onwards)
        for mark, onwards in ways
        for error in _ERRORS
    }


def _leaving(world: World) -> Facts:
    return {error: (*_marked(_LEFT, SCRATCH), _INTO_DOOR) for error in _ERRORS}


def _arriving(world: World) -> Facts:
    return {error: (*_marked(_ARRIVED, BY_SERVICE), _INTO_DOOR) for error in _ERRORS}


def _answering(world: World) -> Facts:
    return {(_IS_ANSWER, *error): (*_marked(_ANSWERS, CT_MARK), _INTO_DOOR) for error in _ERRORS}


def _again(world: World) -> Facts:
    # A switch sends nothing back by the port it came by unless told so by that name.
    return {(_FROM_DOOR, *error): (*_marked(_ARRIVED, BY_SERVICE), _BY_SAME_PORT) for error in _ERRORS}


def _answering_again(world: World) -> Facts:
    return {(_FROM_DOOR, _IS_ANSWER, *error): (*_marked(_ANSWERS, CT_MARK), _BY_SAME_PORT) for error in _ERRORS}


CLAIMS: Final[tuple[Claim, ...]] = (
    always(pipeline.DISPATCH_ICMP, Kind.SPOOF, (goto(Table.ICMP_INGRESS),), (_FROM_DOOR,)),
    of_cluster(pipeline.ICMP_BACK, Kind.SPOOF, _back),
    of_cluster(pipeline.LEAVING_ERROR, Kind.LEAK, _leaving),
    always(pipeline.LEAVING_BACK, Kind.LEAK, (_BY_SAME_PORT,), ((OUTPUT_PORT, 0xFFFF_FFF8, W32),)),
    always(pipeline.LEAVING_NONE, Kind.LEAK, _TO_SERVICES),
    of_cluster(pipeline.ANSWERING_AGAIN, Kind.LEAK, _answering_again),
    of_cluster(pipeline.ANSWERING_ERROR, Kind.LEAK, _answering),
    of_cluster(pipeline.ARRIVING_AGAIN, Kind.LEAK, _again),
    of_cluster(pipeline.ARRIVING_ERROR, Kind.LEAK, _arriving),
    always(pipeline.ARRIVING_NONE, Kind.LEAK, (goto(Table.INGRESS_POLICY),)),
)
