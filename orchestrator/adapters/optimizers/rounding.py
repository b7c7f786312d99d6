"""Points that an optimizer put outside the ranges or constraints by rounding, and no more."""

import math
from collections.abc import Mapping

from orchestrator.adapters.optimizers.sobol_optimizer import satisfies
from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.expressions import Inequality
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import ParameterValue

ROUNDING = 1e-6
"""Breach of a range or constraint that is put down to rounding, in widths of the range."""
REPAIRS = 20
"""Rounds over all parameter constraints in which such breaches are mended."""


def inside(spec: CampaignSpec, point: Mapping[str, ParameterValue]) -> Mapping[str, ParameterValue]:
    """The point itself, or, when Ax overstepped an edge by rounding, one just inside.

    Raises:
        OptimizerError: it lies outside by more than rounding explains.
    """
    inside = {name: _clipped(one, point[name]) for name, one in spec.parameters.items()}
    for rule in spec.parameter_constraints * REPAIRS:
        inside |= _pushed(spec, rule, inside)
    is_near = all(
        isinstance(value, str) or abs(value - float(point[name])) <= _rounding(spec, name)
        for name, value in inside.items()
    )
    if is_near and satisfies(spec, inside):
        return inside
    raise OptimizerError(f"Ax proposed a point outside the ranges or constraints: {dict(point)}")


def _rounding(spec: CampaignSpec, name: str) -> float:
    edges = spec.parameters[name].range
    return ROUNDING * (edges[1] - edges[0]) if edges else 0.0


def _clipped(parameter: ParameterSpec, value: ParameterValue) -> ParameterValue:
    if parameter.range is None or isinstance(value, str):
        return value
    lower, upper = parameter.range
    return value if lower <= value <= upper else type(value)(min(max(value, lower), upper))


def _pushed(
    spec: CampaignSpec, rule: Inequality, point: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """New values that bring the point across a broken constraint, the nearest in widths.

    Only floats move; empty when the constraint holds or has none.
    """
    numbers = {name: float(point[name]) for name in rule.coefficients}
    weights = {
        name: factor * _rounding(spec, name) ** 2
        for name, factor in rule.coefficients.items()
        if spec.parameters[name].type == "float"
    }
    norm = sum(rule.coefficients[name] * weight for name, weight in weights.items())
    if rule.holds(numbers) or norm == 0:
        return {}
    size = sum(abs(factor * numbers[name]) for name, factor in rule.coefficients.items())
    excess = rule.left(numbers) - rule.bound
    # A little too far, so that the sum's own rounding does not leave it outside again.
    push = 2 * excess + math.copysign(1e-15 * (size + abs(rule.bound)), excess)
    return {
        name: _clipped(spec.parameters[name], numbers[name] - push * weight / norm)
        for name, weight in weights.items()
    }
