"""What a name may look like: one function per kind of name. Whether a name is taken is a question to `admission`.

Each function returns None for a good name, and otherwise what is wrong with it, to be read after the name.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_INTERFACE: Final = re.compile(r"[!-.0-9;-~]+")  # what Linux takes, and OVS in ASCII
_UID: Final = re.compile(r"[A-Za-z0-9_.:\-]*")
_LABEL_WORD: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")  # of a Kubernetes label

LABEL_LENGTH: Final = 63  # RFC 1123, 2.1, and RFC 1035, 2.3.4
SUBDOMAIN_LENGTH: Final = 253
CONTAINER_LENGTH: Final = 253
INTERFACE_LENGTH: Final = 15  # IFNAMSIZ of Linux is 16 with the final zero
UID_LENGTH: Final = 128
LABEL_WORD_LENGTH: Final = 63

_LABEL_RULE: Final = "is no DNS label: lower-case letters, digits and inner hyphens only"


def label_fault(name: str) -> str | None:
    """Check the name of a network, project or service: a DNS label (RFC 1123)."""
    if not name:
        return "is empty"
    if len(name) > LABEL_LENGTH:
        return f"is longer than {LABEL_LENGTH} characters"
    return None if _LABEL.fullmatch(name) else _LABEL_RULE


def subdomain_fault(name: str) -> str | None:
    """Check the name of a node or pod: labels of any length with dots between, as Kubernetes wants it."""
    if not name:
        return "is empty"
    if len(name) > SUBDOMAIN_LENGTH:
        return f"is longer than {SUBDOMAIN_LENGTH} characters"
    rule = "is no DNS name: labels of lower-case letters, digits and inner hyphens, with dots between"
    return None if _SUBDOMAIN.fullmatch(name) else rule


def container_fault(name: str) -> str | None:
    """Check a container id (CNI specification, CNI_CONTAINERID)."""
    if len(name) > CONTAINER_LENGTH:
        return f"is longer than {CONTAINER_LENGTH} characters"
    rule = "is no container id: a letter or digit, then letters, digits, '_', '.' and '-' only"
    return None if _CONTAINER.fullmatch(name) else rule


def interface_fault(name: str) -> str | None:
    """Check the name of a network interface, as Linux accepts it."""
    if len(name) > INTERFACE_LENGTH:
        return f"is longer than {INTERFACE_LENGTH} characters"
    if name in {".", ".."} or not _INTERFACE.fullmatch(name):
        return "is no interface name: not empty, ASCII, without spaces, '/' and ':'"
    return None


def uid_fault(uid: str) -> str | None:
    """Check a pod's uid; the empty one says that it is not known."""
    if len(uid) > UID_LENGTH:
        return f"is longer than {UID_LENGTH} characters"
    return None if _UID.fullmatch(uid) else "is no uid: letters, digits, '_', '.', ':' and '-' only"


def label_key_fault(key: str) -> str | None:
    """Check the key of a Kubernetes label: a name, and before it, if anything, a DNS name and a slash."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        fault = subdomain_fault(prefix)
        if fault is not None:
            return f"has a prefix that {fault}"
    if not name:
        return "is empty" if not slash else "has nothing behind its prefix"
    if len(name) > LABEL_WORD_LENGTH:
        return f"is longer than {LABEL_WORD_LENGTH} characters{' behind its prefix' if slash else ''}"
    rule = "is no label's key: letters and digits, with '-', '_' and '.' inside, after a DNS name and '/' if any"
    return None if _LABEL_WORD.fullmatch(name) else rule


def zone_fault(name: str) -> str | None:
    """Check the name of a zone: a value of Kubernetes' label topology.kubernetes.io/zone that is not empty."""
    return label_value_fault(name) if name else "is empty"


def label_value_fault(value: str) -> str | None:
    """Check the value of a Kubernetes label; it may be empty."""
    if len(value) > LABEL_WORD_LENGTH:
        return f"is longer than {LABEL_WORD_LENGTH} characters"
    rule = "is no label's value: letters and digits, with '-', '_' and '.' inside"
    return None if not value or _LABEL_WORD.fullmatch(value) else rule
