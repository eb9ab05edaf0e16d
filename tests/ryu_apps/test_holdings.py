"""What services have of the pool, by service and by address."""

from __future__ import annotations

from ipaddress import ip_address

from ryu_apps.cluster.holdings import Holdings
from topology.model import ServiceKey

A, B = ServiceKey("red", "a"), ServiceKey("red", "b")
ONE, OTHER = ip_address("203.0.113.9"), ip_address("203.0.113.10")


def test_what_is_put_is_there_and_what_is_not_put_again_is_free() -> None:
    held = Holdings()
    assert not held.put(A, (ONE, OTHER))
    assert held.of(A) == (ONE, OTHER)
    assert ONE in held.others(B)
    assert ONE not in held.others(A)
    assert held.put(A, (OTHER,))
    assert ONE not in held.others(B)
    assert held.put(A, ())
    assert A not in held
    assert OTHER not in held.others(B)


def test_two_that_have_one_address() -> None:
    held = Holdings()
    held.put(A, (ONE,))
    held.put(B, (ONE,))
    assert ONE in held.others(A)
    assert held.put(B, ())
    assert ONE not in held.others(A)
    held.clear()
    assert A not in held
