"""Annotations of pods about bandwidth: what they limit, and what is told of one that says nothing that can be."""

from __future__ import annotations

import pytest

from kube.objects import EGRESS_BANDWIDTH, INGRESS_BANDWIDTH, Metadata, Pod
from kube.reading import limit_faults, pod_version
from topology import model


def pod(**annotations: str) -> Pod:
    names = {"ingress": INGRESS_BANDWIDTH, "egress": EGRESS_BANDWIDTH}
    given = {names[way]: text for way, text in annotations.items()}
    return Pod(metadata=Metadata(name="a", namespace="red", resource_version="7", annotations=given))


def limits(found: Pod) -> tuple[int | None, int | None]:
    (value,) = pod_version(found).values
    assert isinstance(value, model.Pod)
    return value.ingress_bandwidth, value.egress_bandwidth


def test_annotations_limit_a_pod() -> None:
    assert limits(pod()) == (None, None)
    assert limits(pod(ingress="10M")) == (10**7, None)
    assert limits(pod(ingress="1Gi", egress="1k")) == (2**30, 1000)


@pytest.mark.parametrize("text", ["", "fast", "999", "2P", "-1M", "10 M"])
def test_what_cannot_be_is_no_limit_and_is_told(text: str) -> None:
    found = pod(ingress=text, egress="1M")
    assert limits(found) == (None, 10**6)
    (fault,) = limit_faults(found)
    assert fault.startswith(f'{INGRESS_BANDWIDTH}: "{text}"')
    assert len(limit_faults(pod(ingress=text, egress=text))) == 2
    assert limit_faults(pod(ingress="1M")) == ()
