"""What labels and selectors must look like: as Kubernetes wants them. What they select is not looked at."""

from __future__ import annotations

from collections.abc import Iterable

from topology import names
from topology.labels import Labels, Operator, Selector, labels_of
from topology.model import NAME_LABEL
from topology.requests import Reason, Refused

_MOST_LABELS = 1000


def checked_labels(subject: str, labels: Labels) -> Labels:
    """Return labels in order. Raises Refused."""
    if len(dict(labels)) != len(labels):
        raise Refused(Reason.INVALID, subject, "a label is given twice", "give each key once")
    if len(labels) > _MOST_LABELS:
        raise Refused(Reason.INVALID, subject, f"it has {len(labels)} labels", f"give at most {_MOST_LABELS}")
    for key, value in labels:
        _check_key(subject, key)
        _check_values(subject, (value,))
    return labels_of(dict(labels))


def checked_project_labels(name: str, labels: Labels) -> Labels:
    """Return a project's labels in order, without the one that every project has. Raises Refused."""
    subject = f'project "{name}"'
    checked = dict(checked_labels(subject, labels))
    if checked.pop(NAME_LABEL, name) != name:
        raise Refused(Reason.INVALID, subject, f"label {NAME_LABEL} is always its name", "leave that label out")
    return labels_of(checked)


def checked_selector(subject: str, selector: Selector) -> Selector:
    """Return a selector in its normal form. Raises Refused."""
    for requirement in selector.requirements:
        _check_key(subject, requirement.key)
        _check_values(subject, requirement.values)
        wants_values = requirement.operator in (Operator.IN, Operator.NOT_IN)
        if wants_values != bool(requirement.values):
            cause = f'requirement "{requirement.key} {requirement.operator}"'
            cause += " has no values" if wants_values else " has values"
            raise Refused(Reason.INVALID, subject, cause, "give values with In and NotIn, and only with those")
    return selector.normal()


def _check_key(subject: str, key: str) -> None:
    fault = names.label_key_fault(key)
    if fault is not None:
        raise Refused(Reason.INVALID, subject, f'label key "{key}" {fault}', "correct the key")


def _check_values(subject: str, values: Iterable[str]) -> None:
    for value in values:
        fault = names.label_value_fault(value)
        if fault is not None:
            raise Refused(Reason.INVALID, subject, f'label value "{value}" {fault}', "correct the value")
