"""Names of OpenFlow errors (OpenFlow 1.5.1, 7.5.4), for people. Nothing decides by them."""

from __future__ import annotations

from typing import Final

# The names of the codes, in order from 0, of the errors that our messages can cause.
_CODES: Final[dict[int, tuple[str, str]]] = {
    1: (
        "BAD_REQUEST",
        (
            "BAD_VERSION BAD_TYPE BAD_MULTIPART BAD_EXPERIMENTER BAD_EXP_TYPE EPERM BAD_LEN BUFFER_EMPTY "
            "BUFFER_UNKNOWN BAD_TABLE_ID IS_SLAVE BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW "
            "MULTIPART_REQUEST_TIMEOUT MULTIPART_REPLY_TIMEOUT MULTIPART_BAD_SCHED PIPELINE_FIELDS_ONLY UNKNOWN"
        ),
    ),
    2: (
        "BAD_ACTION",
        (
            "BAD_TYPE BAD_LEN BAD_EXPERIMENTER BAD_EXP_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY BAD_QUEUE "
            "BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN BAD_SET_ARGUMENT "
            "BAD_SET_MASK BAD_METER"
        ),
    ),
    3: (
        "BAD_INSTRUCTION",
        (
            "UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER BAD_EXP_TYPE "
            "BAD_LEN EPERM DUP_INST"
        ),
    ),
    4: (
        "BAD_MATCH",
        (
            "BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE BAD_MASK "
            "BAD_PREREQ DUP_FIELD EPERM"
        ),
    ),
    5: (
        "FLOW_MOD_FAILED",
        (
            "UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS CANT_SYNC BAD_PRIORITY "
            "IS_SYNC"
        ),
    ),
    6: (
        "GROUP_MOD_FAILED",
        (
            "GROUP_EXISTS INVALID_GROUP WEIGHT_UNSUPPORTED OUT_OF_GROUPS OUT_OF_BUCKETS CHAINING_UNSUPPORTED "
            "WATCH_UNSUPPORTED LOOP UNKNOWN_GROUP CHAINED_GROUP BAD_TYPE BAD_COMMAND BAD_BUCKET BAD_WATCH EPERM "
            "UNKNOWN_BUCKET BUCKET_EXISTS"
        ),
    ),
    11: ("ROLE_REQUEST_FAILED", "STALE UNSUP BAD_ROLE ID_UNSUP ID_IN_USE"),
    14: (
        "BAD_PROPERTY",
        "BAD_TYPE BAD_LEN BAD_VALUE TOO_MANY DUP_TYPE BAD_EXPERIMENTER BAD_EXP_TYPE BAD_EXP_VALUE EPERM",
    ),
    17: (
        "BUNDLE_FAILED",
        (
            "UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN MSG_BAD_XID "
            "MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS SCHED_NOT_SUPPORTED "
            "SCHED_FUTURE SCHED_PAST"
        ),
    ),
}


def name(kind: int, code: int, experimenter: int | None = None) -> str:
    """Return an error's name, for instance "BAD_ACTION/BAD_OUT_GROUP"; numbers where there is none."""
    if experimenter is not None:
        return f"experimenter {experimenter:#x}, error {code}"
    known, codes = _CODES.get(kind, (f"error {kind}", ""))
    words = codes.split()
    return f"{known}/{words[code] if code < len(words) else code}"
