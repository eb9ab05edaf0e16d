"""Bytes of meter-mods (OpenFlow 1.5.1, 7.3.4.4). No bundle takes them, so they go before it, or after it.

A meter is made before the flows that use it and deleted after they are gone: deleting it deletes its users silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack

from ryu_apps.openflow import wire
from ryu_apps.openflow.messages import message
from ryu_apps.openflow.template import fitting
from ryu_apps.openflow.wire import MeterCommand
from topology.flow import Meter
from topology.meters import MeterChanges

_FLAGS = wire.METER_KBPS | wire.METER_BURST


def before_bundle(changes: MeterChanges) -> Iterator[bytes]:
    """Yield the messages that precede a bundle: of meters that are made or change.

    Raises ValueError when a number does not fit its field.
    """
    for meter in changes.made:
        yield _meter_mod(MeterCommand.ADD, meter)
    for meter in changes.changed:
        yield _meter_mod(MeterCommand.MODIFY, meter)


def delete_meters(meters: Iterable[int]) -> bytes:
    """Return the messages that delete meters, and every flow that uses them; what is not there is no error."""
    head = (MeterCommand.DELETE, 0)
    return b"".join(
        message(wire.MessageType.METER_MOD, wire.meter_xid(each), pack(">HHI", *head, each)) for each in meters
    )


def _meter_mod(command: MeterCommand, meter: Meter) -> bytes:
    with fitting():
        head = pack(">HHI", command, _FLAGS, meter.meter_id)
        band = pack(">HHII4x", wire.METER_DROP, 16, meter.rate, meter.burst)
    return message(wire.MessageType.METER_MOD, wire.meter_xid(meter.meter_id), head + band)
