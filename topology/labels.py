"""Labels, and what selects by them: Kubernetes' label selectors, with exactly their meaning. Values only.

Who has which labels is in `model`; whether a key or a value may look like it does is in `names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]  # in the order of their keys, each key once


def labels_of(given: Mapping[str, str]) -> Labels:
    """Return labels in their order."""
    return tuple(sorted(given.items()))


class Operator(StrEnum):
    """What a requirement asks of the label with its key."""

    IN = "In"  # it is there, with one of the values
    NOT_IN = "NotIn"  # it has none of the values, or is not there
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(NamedTuple):
    """One condition on labels. `values` are for In and NotIn."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels, by key, meet it. Without the key, NotIn holds as DoesNotExist does."""
        match self.operator:
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values


class Handle(NamedTuple):
    """By what an index finds selectors and labels that may fit: a label, or a key whatever its value (None)."""

    key: str
    value: str | None


# Where selectors stand that ask for no label; no key is empty.
ANYTHING: Final = Handle("", None)


class Selector(NamedTuple):
    """Conditions that all have to hold; without any, it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, labels: Labels) -> bool:
        """Whether something with these labels is selected."""
        known = dict(labels)
        return all(requirement.holds(known) for requirement in self.requirements)

    def normal(self) -> Selector:
        """Return the selector of the same meaning with requirements and values in order, each once."""
        ordered = {each._replace(values=tuple(sorted(set(each.values)))) for each in self.requirements}
        return Selector(tuple(sorted(ordered)))

    def handles(self) -> tuple[Handle, ...]:
        """Return under what it is to be found: whatever it selects has exactly one of these among its own.

        The shortest list of values that a label must be of, else a key that must be there, else ANYTHING.
        """
        lists = [each for each in self.requirements if each.operator is Operator.IN]
        if lists:
            least = min(lists, key=lambda each: len(set(each.values)))
            return tuple(Handle(least.key, value) for value in dict.fromkeys(least.values))
        keys = (Handle(each.key, None) for each in self.requirements if each.operator is Operator.EXISTS)
        return (next(keys, ANYTHING),)


def handles_of(labels: Labels) -> tuple[Handle, ...]:
    """Return the handles of labels: of each, with and without its value."""
    return tuple(handle for key, value in labels for handle in (Handle(key, value), Handle(key, None)))
