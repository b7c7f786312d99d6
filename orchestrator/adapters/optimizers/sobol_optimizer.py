"""Space-filling proposals: the middle, then a scrambled Sobol sequence, without Ax and torch.

People set ranges around what they expect, so their middle deserves the first trial. The sequence
belongs to the campaign's seed, and trial k gets its k-th point, whatever was measured before. So
these points are known from the first second and need no model.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    import numpy as np
    from scipy.stats import qmc

BLOCK = 1024
"""Points drawn at a time while searching for feasible ones."""
RAREST = 10_000
"""The search ends when fewer than one point in so many is feasible."""
PATIENCE = 4 * RAREST
"""Points drawn before the search may end without success."""


class SobolOptimizer:
    """Spreads trials evenly: over the logarithm for ``scale: log``, over the list for choices."""

    def suggest(self, known: Knowledge) -> Suggestion:
        """The point of the campaign's sequence that has the trial's number.

        The first is in the middle of all ranges and ordered choices. With parameter constraints,
        the points that break one are left out of the count.
        ``source`` is initial for the trials that start a campaign and for all trials of a
        campaign whose method is sobol, else fallback.

        Raises:
            OptimizerError: fewer than 1 in 10,000 points satisfy the parameter constraints.
        """
        spec = known.spec
        if spec.parameter_constraints:
            parameters = _point(spec, next(islice(_feasible(spec), known.trial_id - 1, None)))
        else:
            parameters = _nth_point(spec, known.trial_id)
        is_initial = known.trial_id <= spec.initial_trials or spec.optimizer.method == "sobol"
        return Suggestion(parameters, "initial" if is_initial else "fallback", _details())


def space_filling_points(spec: CampaignSpec, count: int) -> list[dict[str, ParameterValue]]:
    """The first ``count`` points of the campaign's sequence: those of trials 1 to ``count``.

    Raises:
        OptimizerError: as SobolOptimizer.suggest.
    """
    every = (row for block in _blocks(spec) for row in block)
    rows = _feasible(spec) if spec.parameter_constraints else every
    return [_point(spec, row) for row in islice(rows, count)]


def _nth_point(spec: CampaignSpec, number: int) -> dict[str, ParameterValue]:
    """The ``number``-th point, from 1."""
    sequence = _sequence(spec)
    if number > 1:
        sequence.fast_forward(number - 1)
    (row,) = sequence.random(1)
    return _point(spec, row if number > 1 else _middle(spec, row))


def _feasible(spec: CampaignSpec) -> Iterator["np.ndarray"]:
    """The rows that satisfy the parameter constraints, in their order, without end."""
    found = drawn = 0
    for block in _blocks(spec):
        rows = block[_feasible_rows(spec, block)]
        yield from rows
        found += len(rows)
        drawn += len(block)
        if drawn >= PATIENCE and found * RAREST < drawn:
            break
    texts = "; ".join(rule.text for rule in spec.parameter_constraints)
    raise OptimizerError(
        f"the parameter constraints leave almost nothing of the ranges: {found} of {drawn} points"
        f" satisfy them ({texts}); widen the constraints or narrow the ranges around them"
    )


def satisfies(spec: CampaignSpec, point: Mapping[str, ParameterValue]) -> bool:
    """True when the point satisfies every parameter constraint of the spec."""
    numbers = {name: value for name, value in point.items() if not isinstance(value, str)}
    return all(rule.holds(numbers) for rule in spec.parameter_constraints)


def _feasible_rows(spec: CampaignSpec, block: "np.ndarray") -> list[int]:
    """Which rows satisfy the constraints: looked at one by one only where rounding decides."""
    import numpy as np

    columns = dict(zip(sorted(spec.parameters), block.T, strict=True))
    possible = certain = np.ones(len(block), dtype=bool)
    for rule in spec.parameter_constraints:
        left, slack = np.zeros(len(block)), abs(rule.bound)
        for name, factor in rule.coefficients.items():
            values = _spread(spec.parameters[name], columns[name])
            left += factor * values
            slack += abs(factor) * np.abs(values)
        excess = left - rule.bound if rule.comparison == "<=" else rule.bound - left
        possible = possible & (excess <= 1e-9 * slack)
        certain = certain & (excess <= -1e-9 * slack)
    rows: list[int] = np.flatnonzero(possible).tolist()
    return [row for row in rows if certain[row] or satisfies(spec, _point(spec, block[row]))]


def _spread(parameter: ParameterSpec, unit: "np.ndarray") -> "np.ndarray":
    """Values of a parameter on a linear range, as ``_value`` gives them, up to rounding."""
    import numpy as np

    lower, upper = _edges(parameter)
    if parameter.type == "int":
        return np.minimum(np.floor(lower + unit * (upper - lower + 1)), upper)
    return lower * (1 - unit) + upper * unit


def _blocks(spec: CampaignSpec) -> Iterator["np.ndarray"]:
    sequence = _sequence(spec)
    first = sequence.random(BLOCK)
    first[0] = _middle(spec, first[0])
    yield first
    while True:
        yield sequence.random(BLOCK)


def _middle(spec: CampaignSpec, row: "np.ndarray") -> list[float]:
    """The row with 0.5 for each parameter that has a middle: choices without order have none."""
    columns = zip(sorted(spec.parameters), row.tolist(), strict=True)
    choices = {name for name, one in spec.parameters.items() if one.choices and not one.ordered}
    return [unit if name in choices else 0.5 for name, unit in columns]


def _sequence(spec: CampaignSpec) -> "qmc.Sobol":
    from scipy.stats import qmc

    return qmc.Sobol(len(spec.parameters), rng=spec.optimizer.seed)


def _point(spec: CampaignSpec, row: Iterable[float]) -> dict[str, ParameterValue]:
    """The values at a point of the unit cube, whose axes are the names in alphabetical order."""
    units = dict(zip(sorted(spec.parameters), map(float, row), strict=True))
    return {name: _value(one, units[name]) for name, one in spec.parameters.items()}


def _value(parameter: ParameterSpec, unit: float) -> ParameterValue:
    """The value at ``unit``, from 0 up to but not including 1."""
    if parameter.choices is not None:
        return parameter.choices[int(unit * len(parameter.choices))]
    lower, upper = _edges(parameter)
    if parameter.type == "int":
        return _whole(lower, upper, unit, is_log=parameter.scale == "log")
    if parameter.scale == "log":
        value = math.exp(math.log(lower) * (1 - unit) + math.log(upper) * unit)
    else:
        value = lower * (1 - unit) + upper * unit
    return min(max(value, lower), upper)


def _edges(parameter: ParameterSpec) -> tuple[float, float]:
    assert parameter.range is not None  # noqa: S101  a parameter without choices has a range
    return parameter.range


def _whole(lower: float, upper: float, unit: float, *, is_log: bool) -> int:
    if is_log:
        low, high = math.log(lower - 0.5), math.log(upper + 0.5)
        value = math.floor(math.exp(low * (1 - unit) + high * unit) + 0.5)
    else:
        value = math.floor(lower + unit * (upper - lower + 1))
    return int(min(max(value, lower), upper))


def _details() -> dict[str, object]:
    import numpy as np
    import scipy

    return {"method": "sobol", "scipy": scipy.__version__, "numpy": np.__version__}
