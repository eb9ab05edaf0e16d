"""Nodes are lost after a while without a sign of life, and not for a restart, a busy controller, or one cut off."""

from __future__ import annotations

from ryu_apps.pulse import FIRST_BEATS, FOUND_BEATS, LOST_BEATS, Pulse, Verdict

NODES = ("n1", "n2")


def started() -> Pulse:
    pulse = Pulse()
    for _ in range(FIRST_BEATS):
        assert pulse.beat(NODES, NODES, ()) == Verdict()
    return pulse


def test_a_silent_node_is_lost_and_stays_so() -> None:
    pulse = started()
    for _ in range(LOST_BEATS - 1):
        assert pulse.beat(NODES, ("n2",), ("n2",)).lost == ()
    for _ in range(2):
        assert pulse.beat(NODES, ("n2",), ("n2",)).lost == ("n1",)


def test_a_word_in_between_is_enough() -> None:
    pulse = started()
    for number in range(4 * LOST_BEATS):
        heard = NODES if number % (LOST_BEATS - 1) == 0 else ("n2",)
        assert pulse.beat(NODES, heard, ()).lost == ()


def test_nobody_is_lost_before_the_switches_had_the_time_to_connect() -> None:
    pulse = Pulse()
    for _ in range(FIRST_BEATS):
        assert pulse.beat(NODES, ("n2",), ("n2",)).lost == ()
    assert pulse.beat(NODES, ("n2",), ("n2",)).lost == ("n1",)


def test_a_controller_that_hears_nobody_is_the_one_that_is_cut_off() -> None:
    pulse = started()
    for _ in range(4 * LOST_BEATS):
        assert pulse.beat(NODES, (), ()).lost == ()
    assert pulse.beat(NODES, ("n2",), ("n2",)).lost == ()


def test_a_node_is_found_when_it_was_sound_for_a_while() -> None:
    pulse = started()
    for _ in range(FOUND_BEATS - 1):
        assert pulse.beat(NODES, NODES, ("n1",)).found == ()
    assert pulse.beat(NODES, NODES, ("n1",)).found == ("n1",)
    assert pulse.beat(NODES, ("n2",), ("n1",)).found == ()


def test_a_node_that_is_forgotten_is_not_counted() -> None:
    pulse = started()
    for _ in range(2 * LOST_BEATS):
        assert pulse.beat(("n2",), ("n2",), ("n2",)).lost == ()
