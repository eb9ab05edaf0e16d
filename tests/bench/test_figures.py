"""Statistics, ratios, and the order of measurements."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Contender, Distribution, Ratio, mean
from bench.interleave import Pace, interleave

values = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@given(values)
def test_the_median_is_pythons(found: list[float]) -> None:
    assert Distribution(tuple(found)).median == pytest.approx(statistics.median(found))


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_quantiles_are_those_of_the_inclusive_method(found: list[float]) -> None:
    distribution = Distribution(tuple(found))
    expected = statistics.quantiles(found, n=100, method="inclusive")
    assert [distribution.quantile(one / 100) for one in range(1, 100)] == pytest.approx(expected)


@given(values, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_and_stay_within_the_values(found: list[float], one: float, other: float) -> None:
    distribution = Distribution(tuple(found))
    low, high = sorted((one, other))
    assert distribution.quantile(low) <= distribution.quantile(high) * (1 + 1e-12)
    assert distribution.quantile(0) == distribution.minimum == min(found)
    assert distribution.quantile(1) == max(found)


def test_nothing_measured_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Distribution(())


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="a quantile of"):
        Distribution((1.0,)).quantile(share)


@pytest.mark.parametrize(
    ("ratio", "met"),
    [
        (Ratio("a", 2.5, 2.5), True),
        (Ratio("a", 2.6, 2.5), False),
        (Ratio("a", 0.8, 0.8, "at least"), True),
        (Ratio("a", 0.7, 0.8, "at least"), False),
        (Ratio("a", 0, 0, "exactly"), True),
        (Ratio("a", 1, 0, "exactly"), False),
        (Ratio("a", 1), None),
    ],
)
def test_a_goal_is_reached_or_not(ratio: Ratio, met: bool | None) -> None:
    assert ratio.met is met


def test_cpu_is_of_all_programs() -> None:
    contender = Contender("a", Distribution((1.0,)), {"one": 1.5, "other": 2.0}, {})
    assert contender.total_cpu_ms == 3.5


def test_the_mean() -> None:
    assert mean([1, 2, 6]) == 3


def test_contenders_take_turns_and_warm_ups_do_not_count() -> None:
    order: list[str] = []

    def contender(name: str) -> object:
        def measure(number: int) -> str:
            order.append(f"{name}{number}")
            return order[-1]

        return measure

    results = interleave([contender("a"), contender("b")], Pace(warm_ups=1, repeats=2))  # type: ignore[list-item]
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert results == [["a1", "a2"], ["b1", "b2"]]
