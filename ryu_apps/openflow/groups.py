"""Bytes of group-mods (OpenFlow 1.5.1, 7.3.4.3), each as a message of the bundle.

A group is added before the flows that use it and deleted after they are gone: deleting it deletes its users silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack

from ryu_apps.openflow import wire
from ryu_apps.openflow.actions import Shape, layout_actions, split
from ryu_apps.openflow.messages import bundled
from ryu_apps.openflow.selection import selection_property
from ryu_apps.openflow.template import Template, fitting
from ryu_apps.openflow.wire import GroupCommand
from topology.flow import Actions, Bucket, Group
from topology.groups import GroupChanges


def before_flows(changes: GroupChanges) -> Iterator[bytes]:
    """Yield the messages that precede the flows of a bundle: of groups that are made, replaced, or change in part.

    Raises ValueError when a group, or what comes to one, does not fit one message.
    """
    yield from map(put_group, changes.puts)
    for change in changes.buckets:
        for bucket_id in change.removed:
            yield remove_bucket(change.group_id, bucket_id)
        if change.inserted:
            yield insert_buckets(change.group_id, change.inserted)


def after_flows(changes: GroupChanges) -> Iterator[bytes]:
    """Yield the messages that follow the flows of a bundle: of groups that nothing uses any more."""
    return map(delete_group, changes.gone)


def put_group(group: Group) -> bytes:
    """Return the message that makes a select group, or replaces all buckets of the one with its id.

    Raises ValueError when it does not fit one message.
    """
    chosen = selection_property(group)
    return _group_mod(GroupCommand.ADD_OR_MODIFY, group.group_id, wire.ALL_BUCKETS, group.buckets, chosen)


def delete_group(group_id: int) -> bytes:
    """Return the message that deletes a group and every flow that uses it; deleting what is not there is no error."""
    return _group_mod(GroupCommand.DELETE, group_id, wire.ALL_BUCKETS, ())


def insert_buckets(group_id: int, buckets: Iterable[Bucket], after: int = wire.LAST_BUCKET) -> bytes:
    """Return the message that inserts buckets into a group, after the bucket `after` (its id; else: at the end).

    How the group chooses stays as it was, and is not to be said again (Open vSwitch refuses it).
    """
    return _group_mod(GroupCommand.INSERT_BUCKET, group_id, after, buckets)


def remove_bucket(group_id: int, bucket_id: int) -> bytes:
    """Return the message that removes one bucket of a group; a bucket that is not there is an error."""
    return _group_mod(GroupCommand.REMOVE_BUCKET, group_id, bucket_id, ())


def _group_mod(
    command: GroupCommand, group_id: int, bucket_id: int, buckets: Iterable[Bucket], properties: bytes = b""
) -> bytes:
    with fitting():
        packed = b"".join(map(_bucket, buckets))
    if len(packed) + len(properties) > wire.LONGEST:
        raise ValueError(f"buckets of {len(packed)} bytes, where a message has at most {wire.LONGEST}")
    head = pack(">HBxIH2xI", command, wire.SELECT, group_id, len(packed), bucket_id)
    return bundled(wire.MessageType.GROUP_MOD, wire.group_xid(group_id), head + packed + properties)


def _bucket(bucket: Bucket) -> bytes:
    number, weight, actions = bucket
    packed = encode_actions(actions)
    properties = pack(">HHH2x", wire.BUCKET_WEIGHT, 8, weight)
    return pack(">HHI", 8 + len(packed) + len(properties), len(packed), number) + packed + properties


def encode_actions(actions: Actions) -> bytes:
    """Return a list of actions as bytes. Raises ValueError for a jump to a table: it is no action on the wire."""
    shape: list[Shape] = []
    values: list[int] = []
    split(actions, shape, values)
    return Template(layout_actions(shape)).fill(values)
