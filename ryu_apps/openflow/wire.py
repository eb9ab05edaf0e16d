"""Numbers of OpenFlow 1.5.1 (protocol version 6) and of Open vSwitch's extensions, as far as we speak them.

Sources: OpenFlow Switch Specification 1.5.1, section 7; Open vSwitch 3.1, include/openflow/*.h and
lib/ofp-actions.c for Nicira's actions, include/openvswitch/meta-flow.h for Nicira's match fields.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final


class WireError(ValueError):
    """A message that does not hold what its lengths and types say."""


VERSION: Final = 6
HEADER: Final = Struct(">BBHI")  # version, type, length, xid
LONGEST: Final = 0xFFFF  # bytes of one message: its length field has 16 bits


class MessageType(IntEnum):
    """OFPT_*: types of messages."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    EXPERIMENTER = 4
    FEATURES_REPLY = 6
    PORT_STATUS = 12
    FLOW_MOD = 14
    GROUP_MOD = 15
    MULTIPART_REQUEST = 18
    MULTIPART_REPLY = 19
    BARRIER_REQUEST = 20
    BARRIER_REPLY = 21
    ROLE_REQUEST = 24
    ROLE_REPLY = 25
    METER_MOD = 29
    ROLE_STATUS = 30
    BUNDLE_CONTROL = 33
    BUNDLE_ADD = 34


class MultipartType(IntEnum):
    """OFPMP_*: what a multipart message asks for or tells."""

    FLOW_DESC = 1
    TABLE_STATS = 3
    GROUP_DESC = 7
    METER_DESC = 10
    PORT_DESC = 13


MULTIPART_MORE: Final = 1  # OFPMPF_REPLY_MORE: another part follows

# Bundles: 7.3.9. One bundle per connection at a time, so one id is enough.
BUNDLE_ID: Final = 1
BUNDLE_FLAGS: Final = 3  # OFPBF_ATOMIC | OFPBF_ORDERED


class BundleControl(IntEnum):
    """OFPBCT_*: what is done to a bundle."""

    OPEN_REQUEST = 0
    OPEN_REPLY = 1
    COMMIT_REQUEST = 4
    COMMIT_REPLY = 5
    DISCARD_REQUEST = 6
    DISCARD_REPLY = 7


# The two highest bits of an xid tell what an error is about: a flow (low bits of its cookie), a group (its id), or
# another request; of those, from METER_XID on, a meter (its id). Below that the numbers are free for whoever asks.
FLOW_XID: Final = 0x80000000
GROUP_XID: Final = 0x40000000
METER_XID: Final = 0x20000000
OPEN_XID: Final = 0x3FFF0001
BARRIER_XID: Final = 0x3FFF0002
COMMIT_XID: Final = 0x3FFF0003
DISCARD_XID: Final = 0x3FFF0004
BEAT_XID: Final = 0x3FFF0005

# Flow-mods: 7.3.4.2.
FLOW_ADD: Final = 0
FLOW_DELETE: Final = 3
ALL_TABLES: Final = 0xFF
NO_BUFFER: Final = 0xFFFFFFFF
ANY_PORT: Final = 0xFFFFFFFF
ANY_GROUP: Final = 0xFFFFFFFF
CONTROLLER_PORT: Final = 0xFFFFFFFD
EVERY_BIT: Final = 0xFFFFFFFF_FFFFFFFF
MATCH_OXM: Final = 1

# Instructions: 7.2.6.
GOTO_TABLE: Final = 1
APPLY_ACTIONS: Final = 4

# Group-mods: 7.3.4.3.
SELECT: Final = 1
ALL_GROUPS: Final = 0xFFFFFFFC
LAST_BUCKET: Final = 0xFFFFFFFE
ALL_BUCKETS: Final = 0xFFFFFFFF
BUCKET_WEIGHT: Final = 0  # a bucket's property
GROUP_EXPERIMENTER: Final = 0xFFFF  # a group's property
NETRONOME: Final = 0x0000154D
SELECTION_METHOD: Final = 1  # NTRT_SELECTION_METHOD
# NXT_CT_FLUSH of Open vSwitch 3.1 (nicira-ext.h): what entries of a conntrack zone must look like that are to go.
NX_CT_FLUSH: Final = 32
CT_FLUSH_ORIGINAL: Final = 0
CT_FLUSH_REPLY: Final = 1
CT_FLUSH_ZONE: Final = 2
CT_FLUSH_SOURCE: Final = 0
CT_FLUSH_DESTINATION: Final = 1
CT_FLUSH_SOURCE_PORT: Final = 2
ERROR_EXPERIMENTER: Final = 0xFFFF  # OFPET_EXPERIMENTER: 7.5.4.18


class GroupCommand(IntEnum):
    """OFPGC_*: what is done to a group; ADD_OR_MODIFY is Open vSwitch's own."""

    DELETE = 2
    INSERT_BUCKET = 3
    REMOVE_BUCKET = 5
    ADD_OR_MODIFY = 0x8000


# Meter-mods: 7.3.4.4.
ALL_METERS: Final = 0xFFFFFFFF
LAST_METER: Final = 0xFFFF0000  # OFPM_MAX
METER_KBPS: Final = 1  # OFPMF_KBPS: rates are in kilobits a second
METER_BURST: Final = 4  # OFPMF_BURST: bands say how much may come at once
METER_STATS: Final = 8  # OFPMF_STATS: it counts
METER_DROP: Final = 1  # OFPMBT_DROP


class MeterCommand(IntEnum):
    """OFPMC_*: what is done to a meter."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


# Actions: 7.2.8.
ACTION_OUTPUT: Final = 0
ACTION_GROUP: Final = 22
ACTION_DEC_TTL: Final = 24
ACTION_SET_FIELD: Final = 25
ACTION_COPY_FIELD: Final = 28
ACTION_METER: Final = 29
ACTION_EXPERIMENTER: Final = 0xFFFF

# As a match field in_port has 32 bits and is not to be set; Open vSwitch's older one of 16 bits is (NXM_OF_IN_PORT).
IN_PORT_16: Final = 0x00000002

# Nicira's actions.
NICIRA: Final = 0x00002320
NX_RESUBMIT_TABLE: Final = 14
NX_OUTPUT_REG: Final = 15
NX_LEARN: Final = 16
NX_CONJUNCTION: Final = 34
NX_CT: Final = 35
NX_NAT: Final = 36
NX_CLONE: Final = 42
NX_CT_CLEAR: Final = 43

CT_COMMIT: Final = 1
# What a learnt flow is made of (nicira-ext.h, NX_LEARN_*): where a value comes from, what is done with it.
LEARN_IMMEDIATE: Final = 1 << 13
LEARN_LOAD: Final = 1 << 11
NAT_SOURCE: Final = 1
NAT_DESTINATION: Final = 2
NAT_IPV4_FIRST: Final = 1
NAT_IPV4_LAST: Final = 2
NAT_IPV6_FIRST: Final = 4
NAT_IPV6_LAST: Final = 8
NAT_PORT_FIRST: Final = 16
NAT_PORT_LAST: Final = 32
SAME_PORT: Final = 0xFFF8  # OFPP_IN_PORT with 16 bits: resubmit with the input port as it is

# OXM and OXS classes: 7.2.3.2, 7.2.4.
OXM_BASIC: Final = 0x8000
OXM_REGISTERS: Final = 0x8001
NXM_0: Final = 0x0000
NXM_1: Final = 0x0001
ERICSSON: Final = 0x1000
OXS_BASIC: Final = 0x8002
OXS_PACKETS: Final = 4
OXS_BYTES: Final = 5


def flow_xid(cookie: int) -> int:
    """Return the xid of the messages that add or delete the flow with `cookie`."""
    return FLOW_XID | (cookie & 0x7FFFFFFF)


def meter_xid(meter_id: int) -> int:
    """Return the xid of the messages that change a meter."""
    return METER_XID | (meter_id & 0x0FFFFFFF)


def group_xid(group_id: int) -> int:
    """Return the xid of the messages that change a group."""
    return GROUP_XID | (group_id & (GROUP_XID - 1))
