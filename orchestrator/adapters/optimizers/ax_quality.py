"""How good the fitted model is, and what a space-filling campaign would have reached by it.

Both are recorded with a proposal, so that a campaign can tell honestly whether its optimizer is
worth more than chance. Import it inside a function: it imports torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from ax.adapter.torch import TorchAdapter
from ax.adapter.transforms.bilog_y import BilogY, inv_bilog_transform
from ax.adapter.transforms.standardize_y import StandardizeY
from ax.core.observation import ObservationFeatures
from ax.generators.torch.botorch_modular.generator import BoTorchGenerator
from ax.generators.torch.botorch_modular.surrogate import Surrogate
from botorch.cross_validation import loo_cv
from botorch.models import ModelListGP
from botorch.utils.sampling import manual_seed

from orchestrator.adapters.optimizers import thinning
from orchestrator.adapters.optimizers.ax_problem import AxProblem
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.domain.proposal import Knowledge
from orchestrator.domain.trial import ParameterValue

DRAWS = 128
"""Functions that are drawn from the model for the reference."""
BLOCK = 256
"""Points that are drawn together. Blocks are independent: thousands at once would take minutes."""
RARELY = 10
"""With more results than a model is fitted to, every so many trials have a reference: drawing at
thousands of points would be a third of the work."""
BAND = (0.05, 0.5, 0.95)
"""Shares of the draws below the low end, the median and the high end of the reference."""


def cross_validation(adapter: TorchAdapter, problem: AxProblem) -> dict[str, dict[str, float]]:
    """For each outcome, how well the model foretells each result from all others.

    In closed form, with the lengths and the noise that were fitted to all: ``r2`` is 1 less the
    mean square error in units of the outcomes' variance, at most 1, and 0 or less for a model no
    better than their mean; ``inside_95`` is the share of results within the 95 % interval.
    """
    surrogate = _surrogate(adapter)
    model = surrogate.model
    models: Any = model.models if isinstance(model, ModelListGP) else [model]
    means, spreads, seen = [], [], []
    with torch.no_grad():
        for one in models:
            left_out: Any = loo_cv(one)
            means.append(left_out.posterior.mean[:, 0])
            spreads.append(left_out.posterior.variance[:, 0].sqrt())
            seen.append(left_out.observed_Y[:, 0])
    quality: dict[str, dict[str, float]] = {}
    columns = zip(*(torch.cat(parts, -1).T for parts in (means, spreads, seen)), strict=True)
    for key, (mean, spread, value) in zip(surrogate.outcomes, columns, strict=True):
        error = value - mean
        variance = (value - value.mean()).square().mean()
        quality[problem.name_of(key)] = {
            "r2": float(1 - error.square().mean() / variance) if variance > 0 else 0.0,
            "inside_95": float((error.abs() <= 1.96 * spread).double().mean()),
        }
    return quality


def space_filling_reference(
    adapter: TorchAdapter, problem: AxProblem, known: Knowledge
) -> dict[str, object] | None:
    """What as many points of the campaign's own Sobol sequence would have reached by the model.

    Its functions are drawn with the proposal's seed, measurement noise included, and the best
    feasible point of each counts. Where a point of the sequence was measured, the measured
    outcomes count. ``low`` and ``high`` hold nine draws of ten. They and ``median`` are None
    where the draw in question has nothing feasible; ``best`` is what the campaign itself
    reached with these ``trials`` results. None with several objectives, and for nine of ten
    trials when there are more results than a model is fitted to.
    """
    told = known.told
    is_left_out = len(told) > thinning.MOST_FITTED and known.trial_id % RARELY > 0
    if len(known.spec.objectives) > 1 or is_left_out:
        return None
    points = space_filling_points(known.spec, len(told))
    values = _drawn(adapter, problem, points, known.seed)
    measured = {_place(one.parameters): one.outcomes or {} for one in reversed(told)}
    for i, point in enumerate(points):
        for name, outcome in measured.get(_place(point), {}).items():
            if name in values:
                values[name][:, i] = outcome.mean
    reached = _best(known, values)
    low, median, high = (float(one) for one in np.quantile(reached, BAND, method="nearest"))
    own = {
        name: np.array([[one.outcomes[name].mean for one in told if one.outcomes]])
        for name in values
    }
    band = {"low": low, "median": median, "high": high, "best": float(_best(known, own)[0])}
    finite = {name: value if np.isfinite(value) else None for name, value in band.items()}
    return {"trials": len(told), "draws": DRAWS, **finite}


def _surrogate(adapter: TorchAdapter) -> Surrogate:
    return cast("BoTorchGenerator", adapter.generator).surrogate


def _place(point: Mapping[str, ParameterValue]) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(sorted(point.items()))


def _best(known: Knowledge, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The best feasible value of the only objective along the last axis; infinite if none."""
    ((name, objective),) = known.spec.objectives.items()
    sign = 1 if objective.goal == "maximize" else -1
    feasible = np.ones(values[name].shape, dtype=bool)
    for rule in known.spec.outcome_constraints:
        left = sum(factor * values[one] for one, factor in rule.coefficients.items())
        feasible &= left <= rule.bound if rule.comparison == "<=" else left >= rule.bound
    return sign * np.where(feasible, sign * values[name], -np.inf).max(-1)


def _drawn(
    adapter: TorchAdapter,
    problem: AxProblem,
    points: Sequence[Mapping[str, ParameterValue]],
    seed: int,
) -> dict[str, np.ndarray]:
    """By outcome, measurements at the points: one row for each function that is drawn."""
    features = [ObservationFeatures(parameters=problem.arm(point)) for point in points]
    for transform in adapter.transforms.values():
        features = transform.transform_observation_features(features)
    rows = [[one.parameters[name] for name in adapter.parameters] for one in features]
    places = torch.tensor(rows, dtype=torch.double)
    surrogate = _surrogate(adapter)
    with torch.no_grad(), manual_seed(seed):
        blocks = [
            surrogate.model.posterior(block, observation_noise=True).rsample(torch.Size([DRAWS]))
            for block in places.split(BLOCK)
        ]
    samples = torch.cat(blocks, 1).numpy()
    keys = {problem.name_of(key): i for i, key in enumerate(surrogate.outcomes)}
    return {
        name: _measured(adapter, surrogate.outcomes[i], samples[..., i])
        * problem.sign_of(surrogate.outcomes[i])
        for name, i in keys.items()
    }


def _measured(adapter: TorchAdapter, key: str, samples: Any) -> np.ndarray:
    """The model's values in the outcome's own unit."""
    for transform in reversed(list(adapter.transforms.values())):
        if isinstance(transform, StandardizeY):
            samples = samples * transform.Ystd[key] + transform.Ymean[key]
        elif isinstance(transform, BilogY) and key in transform.metric_to_bound:
            samples = inv_bilog_transform(samples, transform.metric_to_bound[key])
    return samples
