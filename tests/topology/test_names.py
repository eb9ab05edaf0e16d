"""Which names are well-formed, and what is said of those that are not."""

from collections.abc import Callable

import pytest

from topology.names import container_fault, interface_fault, label_fault, subdomain_fault, uid_fault

GOOD = [
    (label_fault, ["a", "0", "red", "red-1", "x" * 63]),
    (subdomain_fault, ["n1", "ip-10-0-0-1.eu.example.org", "x" * 253, "a.b"]),
    (container_fault, ["8d5f0c", "a_b.c-D", "Z" * 253]),
    (interface_fault, ["eth0", "v0123456789abcd", "a.b@c", "-"]),
    (uid_fault, ["", "0f3c1c1e-8f5b-4f3a-9c54-000000000000", "a:b_c.d"]),
]
BAD = [
    (label_fault, ["", "Red", "-a", "a-", "a.b", "a_b", "ä", "a\n", "x" * 64]),
    (subdomain_fault, ["", "N1", ".a", "a.", "a..b", "-a.b", "a b", "a\n", "x" * 254]),
    (container_fault, ["", "-a", "a/b", "a b", "a\n", "Z" * 254]),
    (interface_fault, ["", ".", "..", "a b", "a/b", "a:b", "a\n", "ä", "x" * 16]),
    (uid_fault, [" ", "a b", "a\n", "a/b", "x" * 129]),
]


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, names in GOOD for name in names])
def test_good(fault: Callable[[str], str | None], name: str) -> None:
    assert fault(name) is None


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, names in BAD for name in names])
def test_bad(fault: Callable[[str], str | None], name: str) -> None:
    cause = fault(name)
    assert cause is not None
    assert cause.startswith("is ")
