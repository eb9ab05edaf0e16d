"""All claims, by the stage they are about. A new stage of the pipeline needs one here: a test asks for it."""

from __future__ import annotations

from typing import Final

from topology.pipeline import SENTINEL
from topology.verification import (
    crossing,
    delivery,
    egress,
    errors,
    gateways,
    ingress,
    limits,
    mirrors,
    neighbours,
    outside,
    routing,
    services,
)
from topology.verification.claim import About, Claim, Kind

# Sentinels are no part of a table's sections: nothing may stand there, and what they say is checked as sums.
_SENTINEL: Final = Claim(SENTINEL, Kind.UNEXPLAINED, About.NODE, lambda view, match, actions: False, lambda view: ())

CLAIMS: Final[tuple[Claim, ...]] = (
    *ingress.CLAIMS,
    *neighbours.CLAIMS,
    *crossing.CLAIMS,
    *errors.CLAIMS,
    *services.CLAIMS,
    *outside.CLAIMS,
    *routing.CLAIMS,
    *delivery.CLAIMS,
    *egress.CLAIMS,
    *gateways.CLAIMS,
    *limits.CLAIMS,
    *mirrors.CLAIMS,
    _SENTINEL,
)
BY_PLACE: Final[dict[tuple[int, int], Claim]] = {(int(each.stage.table), each.stage.priority): each for each in CLAIMS}
