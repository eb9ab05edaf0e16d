"""Label selectors mean what Kubernetes' mean, and an index by their handles finds all that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topology.strategies import labels, selectors
from topology.labels import ANYTHING, Handle, Labels, Operator, Requirement, Selector, handles_of, labels_of
from topology.names import label_key_fault, label_value_fault

IN, NOT_IN, EXISTS, ABSENT = Operator.IN, Operator.NOT_IN, Operator.EXISTS, Operator.DOES_NOT_EXIST
NOTHING: Labels = ()
A: Labels = (("team", "a"),)
B: Labels = (("team", "b"), ("tier", ""))

# Requirement, labels, and whether Kubernetes selects them (apimachinery's labels.Requirement.Matches says so too).
MEANINGS: list[tuple[Requirement, Labels, bool]] = [
    (Requirement("team", IN, ("a", "b")), A, True),
    (Requirement("team", IN, ("b",)), A, False),
    (Requirement("team", IN, ("a",)), NOTHING, False),
    (Requirement("tier", IN, ("",)), B, True),
    (Requirement("tier", IN, ("",)), A, False),
    (Requirement("team", NOT_IN, ("a",)), A, False),
    (Requirement("team", NOT_IN, ("b",)), A, True),
    (Requirement("team", NOT_IN, ("b",)), NOTHING, True),
    (Requirement("tier", EXISTS), B, True),
    (Requirement("tier", EXISTS), A, False),
    (Requirement("tier", ABSENT), B, False),
    (Requirement("tier", ABSENT), A, True),
    (Requirement("tier", ABSENT), NOTHING, True),
]


@pytest.mark.parametrize(("requirement", "given_labels", "holds"), MEANINGS)
def test_one_requirement(requirement: Requirement, given_labels: Labels, holds: bool) -> None:
    assert Selector((requirement,)).selects(given_labels) is holds


def test_all_requirements_have_to_hold_and_none_selects_everything() -> None:
    both = Selector((Requirement("team", IN, ("b",)), Requirement("tier", EXISTS)))
    assert both.selects(B)
    assert not both.selects((("team", "b"),))
    assert not both.selects((("tier", ""),))
    assert Selector().selects(NOTHING)
    assert Selector().selects(B)


@given(selectors, labels)
def test_what_is_selected_shares_exactly_one_handle(selector: Selector, some: Labels) -> None:
    shared = set(selector.handles()) & {ANYTHING, *handles_of(some)}
    assert len(shared) <= 1
    if selector.selects(some):
        assert len(shared) == 1


@given(selectors, labels, st.randoms(use_true_random=False))
def test_the_normal_form_selects_the_same_whatever_the_order(selector: Selector, some: Labels, chance: object) -> None:
    mixed = [each._replace(values=each.values * 2) for each in selector.requirements * 2]
    chance.shuffle(mixed)  # type: ignore[attr-defined]  # Hypothesis' own kind of random.Random
    other = Selector(tuple(mixed))
    assert other.normal() == selector.normal() == selector.normal().normal()
    assert other.selects(some) == selector.selects(some) == selector.normal().selects(some)


def test_handles() -> None:
    assert handles_of(A) == (Handle("team", "a"), Handle("team", None))
    assert Selector((Requirement("x", EXISTS), Requirement("y", IN, ("1", "2", "1")))).handles() == (
        Handle("y", "1"),
        Handle("y", "2"),
    )
    assert Selector((Requirement("x", EXISTS), Requirement("y", NOT_IN, ("1",)))).handles() == (Handle("x", None),)
    assert Selector((Requirement("y", NOT_IN, ("1",)),)).handles() == (ANYTHING,)
    assert labels_of({"b": "1", "a": "2"}) == (("a", "2"), ("b", "1"))


@pytest.mark.parametrize(
    "key", ["team", "a.b_c-D9", "x" * 63, "example.com/team", f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}/x"]
)
def test_good_keys(key: str) -> None:
    assert label_key_fault(key) is None


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/a", "-a", "a-", "a b", "x" * 64, "Example.com/team", "a/b/c", f"{'a.' * 127}/x", "a\n", "é"],
)
def test_bad_keys(key: str) -> None:
    assert label_key_fault(key)


@pytest.mark.parametrize("value", ["", "a", "A.b_c-9", "x" * 63])
def test_good_values(value: str) -> None:
    assert label_value_fault(value) is None


@pytest.mark.parametrize("value", ["-", "a-", ".a", "a b", "x" * 64, "a/b", "a\n"])
def test_bad_values(value: str) -> None:
    assert label_value_fault(value)
