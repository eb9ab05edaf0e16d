"""The flows of each feature in named states, word for word. A difference in review is the explanation of a change."""

from collections.abc import Callable

import pytest

from tests.topology.states import STEPS, states
from topology.compiler import compile_node
from topology.flow import Flow
from topology.pipeline import FeatureId
from topology.snapshot import Snapshot
from topology.text import flow_text, group_text, meter_text

# The flows of the others are made elsewhere: of sums, and by the switch itself.
FEATURES = [feature for feature in FeatureId if feature not in (FeatureId.SENTINEL, FeatureId.LEARNT)]


@pytest.fixture(scope="module")
def named() -> dict[str, Snapshot]:
    return states()


def flows_of(feature: FeatureId, snapshot: Snapshot) -> list[str]:
    """Return what a feature puts on node n1, in words, by table and falling priority."""
    table = compile_node("n1", snapshot)
    assert table.conflicts == ()
    flows = [entry.flow for key, section in table.sections.items() if key.feature == feature for entry in section]
    flows.sort(key=lambda flow: (flow.table, -flow.priority, flow))
    return [line for flow in flows for line in lines_of(flow)]


def lines_of(flow: Flow) -> list[str]:
    """Return a flow in words, and what its groups and meters do."""
    uses = (*(group_text(group, names=True) for group in flow.groups), *map(meter_text, flow.meters))
    return [flow_text(flow, names=True), *(f"  {each}" for each in uses)]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name.lower())
def test_golden_flows(feature: FeatureId, named: dict[str, Snapshot], golden: Callable[[str, str], None]) -> None:
    """States in which a feature has the same flows as in the state they start from are left out."""
    parts: list[str] = []
    for name, start, _ in STEPS:
        flows = flows_of(feature, named[name])
        if start is None or flows != flows_of(feature, named[start]):
            parts.append(f"# {name}\n" + "".join(f"{flow}\n" for flow in flows or ["(none)"]))
    golden(f"flows/{feature.name.lower()}.txt", "\n".join(parts))


def test_every_step_was_granted(named: dict[str, Snapshot]) -> None:
    """Nothing in the golden states was refused: each step changed what it was meant to change."""
    assert all(start is None or named[name] != named[start] for name, start, _ in STEPS)
    assert sorted(named["services of two networks"].services) == [("blue", "api"), ("red", "api")]
    assert sorted(key.container for key in named["joined networks"].ports) == ["a", "b"]
    assert list(named["joined elsewhere"].connections) == [("blue", "red")]
    assert len({port.addresses for port in named["pods with equal addresses"].ports.values()}) == 1
    assert sorted(block.node for block in named["a flat network"].blocks.values()) == ["n1", "n2"]
