"""Which of thousands of results a model is fitted to, so that a fit stays bounded.

The time of a fit grows with the cube of their number. Half of those kept are the results nearest
to the best, where a model has to be exact; the other half is spread over all the rest, so that it
still knows what is nowhere good. Nothing is drawn by chance.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.domain.proposal import Observation
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    import numpy as np

MOST_FITTED = 400
"""Results that a model is fitted to at most."""


def thinned(spec: CampaignSpec, usable: Sequence[Observation]) -> list[Observation]:
    """The observations worth telling the model, in their order.

    All of them, when at most ``MOST_FITTED`` have outcomes. Otherwise those that are kept and
    all pending ones.
    """
    told = [one for one in usable if one.outcomes is not None]
    if len(told) <= MOST_FITTED:
        return list(usable)
    points = _coordinates(spec, told)
    best = _best(spec, told)
    if len(best) > MOST_FITTED // 2:
        best = best[_spread(points[best], [0], MOST_FITTED // 2)]
    near = _nearest(points, best, MOST_FITTED // 2)
    kept = {told[row].trial_id for row in _spread(points, near, MOST_FITTED)}
    return [one for one in usable if one.pending or one.trial_id in kept]


def _nearest(points: "np.ndarray", best: "np.ndarray", count: int) -> list[int]:
    """Rows of the points nearest to any of the rows ``best``, these included."""
    import numpy as np

    distances = np.full(len(points), np.inf)
    for row in best:
        distances = np.minimum(distances, _distances(points, points[row]))
    return np.argsort(distances, kind="stable")[:count].tolist()


def _spread(points: "np.ndarray", rows: Sequence[int], count: int) -> list[int]:
    """These rows, and one by one the row that lies farthest from all before it."""
    import numpy as np

    chosen = list(rows)
    distances = np.full(len(points), np.inf)
    for row in chosen:
        distances = np.minimum(distances, _distances(points, points[row]))
    while len(chosen) < count:
        distances[chosen] = -1.0  # so that a point measured twice does not take its double's place
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, _distances(points, points[chosen[-1]]))
    return chosen


def _distances(points: "np.ndarray", place: "np.ndarray") -> "np.ndarray":
    """Squares of the distances of all points to one place."""
    return ((points - place) ** 2).sum(1)


def _coordinates(spec: CampaignSpec, told: Sequence[Observation]) -> "np.ndarray":
    """The points in the unit cube; two different labels lie 1 apart."""
    import numpy as np

    columns: list[list[float]] = []
    for name, parameter in sorted(spec.parameters.items()):
        values = [one.parameters[name] for one in told]
        if parameter.choices is None:
            columns.append([_unit(parameter, float(value)) for value in values])
            continue
        codes = [_code(parameter.choices, value) for value in values]
        if parameter.ordered:
            columns.append([code / (len(parameter.choices) - 1) for code in codes])
        else:
            for choice in range(len(parameter.choices)):
                columns.append([math.sqrt(0.5) * (code == choice) for code in codes])
    return np.array(columns).T


def _unit(parameter: ParameterSpec, value: float) -> float:
    lower, upper = parameter.range or (0.0, 1.0)
    if parameter.scale == "log":
        lower, upper, value = math.log(lower), math.log(upper), math.log(value)
    return (value - lower) / (upper - lower)


def _code(choices: Sequence[ParameterValue], value: ParameterValue) -> int:
    """Place of the value among the choices, where 1 is not True."""
    return [type(one) is type(value) and one == value for one in choices].index(True)


def _best(spec: CampaignSpec, told: Sequence[Observation]) -> "np.ndarray":
    """Rows of the best feasible results, all undominated ones with several objectives.

    When none is feasible, the row that oversteps the constraints least, in spreads of their
    left sides.
    """
    import numpy as np

    means = [{name: one.mean for name, one in (result.outcomes or {}).items()} for result in told]
    breach = np.zeros(len(told))
    for rule in spec.outcome_constraints:
        left = np.array([rule.left(values) for values in means])
        excess = left - rule.bound if rule.comparison == "<=" else rule.bound - left
        breach += np.maximum(excess, 0) / (left.std() or 1.0)
    if breach.min() > 0:
        return np.array([breach.argmin()])
    feasible = np.flatnonzero(breach == 0)
    signs = {name: 1 if one.goal == "maximize" else -1 for name, one in spec.objectives.items()}
    scores = np.array([[sign * means[i][name] for name, sign in signs.items()] for i in feasible])
    if len(signs) == 1:
        return feasible[[scores[:, 0].argmax()]]
    beaten = [((scores >= own).all(1) & (scores > own).any(1)).any() for own in scores]
    return feasible[~np.array(beaten)]
