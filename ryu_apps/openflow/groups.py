"""Bytes of group-mods (OpenFlow 1.5.1, 7.3.4.3), each as a message of the bundle.

A group is added before the flows that use it and deleted after they are gone: deleting it deletes its users silently.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack
from typing import Final, NamedTuple, TypeAlias

from ryu_apps.openflow import wire
from ryu_apps.openflow.actions import Shape, layout_actions, split
from ryu_apps.openflow.messages import bundled
from ryu_apps.openflow.template import Template, fitting
from ryu_apps.openflow.wire import GroupCommand
from topology.flow import Actions, Group

Bucket: TypeAlias = tuple[int, int, Actions]


class GroupMessages(NamedTuple):
    """Group-mods of one bundle: those that precede its flows, and those that follow them."""

    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()


NO_GROUPS: Final = GroupMessages()


def add_group(group: Group) -> bytes:
    """Return the message that makes a select group. Raises ValueError when it does not fit one message."""
    return _group_mod(GroupCommand.ADD, group.group_id, wire.ALL_BUCKETS, group.buckets)


def modify_group(group: Group) -> bytes:
    """Return the message that replaces all buckets of a group. Raises ValueError when it does not fit one message."""
    return _group_mod(GroupCommand.MODIFY, group.group_id, wire.ALL_BUCKETS, group.buckets)


def delete_group(group_id: int) -> bytes:
    """Return the message that deletes a group and every flow that uses it; deleting what is not there is no error."""
    return _group_mod(GroupCommand.DELETE, group_id, wire.ALL_BUCKETS, ())


def insert_buckets(group_id: int, buckets: Iterable[Bucket], after: int = wire.LAST_BUCKET) -> bytes:
    """Return the message that inserts buckets into a group, after the bucket `after` (its id; else: at the end)."""
    return _group_mod(GroupCommand.INSERT_BUCKET, group_id, after, buckets)


def remove_bucket(group_id: int, bucket_id: int) -> bytes:
    """Return the message that removes one bucket of a group; a bucket that is not there is an error."""
    return _group_mod(GroupCommand.REMOVE_BUCKET, group_id, bucket_id, ())


def _group_mod(command: GroupCommand, group_id: int, bucket_id: int, buckets: Iterable[Bucket]) -> bytes:
    with fitting():
        packed = b"".join(map(_bucket, buckets))
    if len(packed) > wire.LONGEST:
        raise ValueError(f"buckets of {len(packed)} bytes, where a message has at most {wire.LONGEST}")
    head = pack(">HBxIH2xI", command, wire.SELECT, group_id, len(packed), bucket_id)
    return bundled(wire.MessageType.GROUP_MOD, wire.group_xid(group_id), head + packed)


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
