"""What is answered about external VTEPs, from the snapshot. Pure."""

from __future__ import annotations

import msgspec

from rest.shapes import ExternalVtepView, LateNodes
from store.externals import ExternalVtep
from store.fields import Object
from topology import model
from topology.snapshot import Snapshot


class ExternalVtepMade(ExternalVtepView, frozen=True, kw_only=True):
    """An external VTEP that was made or replaced."""

    late: LateNodes = ()


class ExternalVteps(Object, frozen=True):
    """All external VTEPs."""

    external_vteps: tuple[ExternalVtepView, ...]


def external_view(snapshot: Snapshot, external: model.ExternalVtep) -> ExternalVtepView:
    """Return an external VTEP as it is shown."""
    shape = msgspec.structs.asdict(ExternalVtep.of(external))
    return ExternalVtepView(**shape, vnid=snapshot.networks[external.network].vnid)


def external_views(snapshot: Snapshot) -> tuple[ExternalVtepView, ...]:
    """Return all of them, by name."""
    return tuple(external_view(snapshot, external) for _, external in sorted(snapshot.externals.items()))
