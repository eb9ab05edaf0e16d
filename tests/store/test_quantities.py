"""Bandwidths as text: what Kubernetes takes for a quantity, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.bindings import Pod
from store.fields import Malformed
from store.quantities import bandwidth, bandwidth_text
from topology import model


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1k", 1000),
        ("1000", 1000),
        ("10M", 10**7),
        ("+10M", 10**7),
        ("1.5G", 1_500_000_000),
        (".5M", 500_000),
        ("2.M", 2_000_000),
        ("1Ki", 1024),
        ("0.001Gi", 1_073_742),  # rounded up
        ("1e3", 1000),
        ("1E6", 10**6),
        ("10000e-1", 1000),
        ("1000000m", 1000),
        ("1P", 10**15),
        ("0.001E", 10**15),
    ],
)
def test_what_a_quantity_means(text: str, bits: int) -> None:
    assert bandwidth(text, "$") == bits


@pytest.mark.parametrize(
    "text",
    [
        *("", "fast", "10 M", "10MB", "10mb", "M", ".", "-10M", "1e", "0x10", "10M\n", "1_000", "\u0661M", "1e999"),
        *("0", "999", "998999m", "1000001G", "2P", "1E", "9" * 40),
    ],
)
def test_what_is_none_or_out_of_range(text: str) -> None:
    with pytest.raises(Malformed, match=r"\$\.x: .*(10M|1P)"):
        bandwidth(text, "$.x")


@given(st.integers(model.LEAST_BANDWIDTH, model.MOST_BANDWIDTH))
def test_the_text_of_a_bandwidth_means_it(bits: int) -> None:
    text = bandwidth_text(bits)
    assert text is not None
    assert bandwidth(text, "$") == bits
    pod = model.Pod(model.PodKey("red", "a"), ingress_bandwidth=bits)
    assert Pod.of(pod).value() == pod


def test_the_shortest_text_is_told() -> None:
    assert [bandwidth_text(bits) for bits in (None, 1000, 1_500_000, 10**7, 1001)] == [
        None,
        "1k",
        "1500k",
        "10M",
        "1001",
    ]
