"""Constraints on one parameter are ranges, and keep what they said to the last bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.optimizers.ax_ranges import narrowed
from orchestrator.domain.spec import CampaignSpec


def campaign(*rules: str) -> CampaignSpec:
    return CampaignSpec.model_validate(
        {
            "name": "c",
            "instrument": "soft",
            "plan": {"name": "p"},
            "parameters": {
                "a": {"device": "a", "range": [0, 1]},
                "b": {"device": "b", "range": [-1, 3]},
                "n": {"device": "n", "range": [1, 9], "type": "int"},
            },
            "objectives": {"height": {"goal": "maximize"}},
            "constraints": {"parameters": rules},
            "budget": {"trials": 50},
        },
        strict=False,
    )


@pytest.mark.parametrize(
    ("rules", "ranges", "left"),
    [
        (["a <= 0.5"], ((0.0, 0.5), (-1.0, 3.0)), ()),
        (["a <= 0.5", "2 * a >= 0.2", "a <= 0.25"], ((0.1, 0.25), (-1.0, 3.0)), ()),
        (["-2 * b <= 1"], ((0.0, 1.0), (-0.5, 3.0)), ()),
        (["a <= 7"], ((0.0, 1.0), (-1.0, 3.0)), ()),
        (["a + b <= 2", "b >= 0"], ((0.0, 1.0), (0.0, 3.0)), ("a + b <= 2",)),
        (["n <= 5"], ((0.0, 1.0), (-1.0, 3.0)), ("n <= 5",)),
        (["a >= 1"], ((0.0, 1.0), (-1.0, 3.0)), ("a >= 1",)),  # a point is no range
        (["a + 0 * b <= 0.5"], ((0.0, 0.5), (-1.0, 3.0)), ()),
    ],
)
def test_what_becomes_a_range(
    rules: list[str],
    ranges: tuple[tuple[float, float], tuple[float, float]],
    left: tuple[str, ...],
) -> None:
    spec = narrowed(campaign(*rules))
    assert (spec.parameters["a"].range, spec.parameters["b"].range) == ranges
    assert spec.parameters["n"].range == (1, 9)
    assert spec.constraints.parameters == left


@given(st.floats(0.01, 100), st.floats(0.001, 0.999), st.sampled_from(["<=", ">="]))
def test_the_edge_keeps_the_constraint(factor: float, share: float, comparison: str) -> None:
    spec = campaign(f"{factor!r} * a {comparison} {factor * share!r}")
    edges = narrowed(spec).parameters["a"].range
    assert edges is not None
    (rule,) = spec.parameter_constraints
    assert all(rule.holds({"a": edge}) for edge in edges)
