"""How good the fitted model is, and what a space-filling campaign would have reached by it.

Both are recorded with a proposal, so that a campaign can tell honestly whether its optimizer is
worth more than chance. Import it inside a function: it imports torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from ax.adapter.torch import TorchAdapter
from ax.adapter.transforms.standardize_y import StandardizeY
from ax.core.observation import ObservationFeatures
from ax.generators.torch.botorch_modular.generator import BoTorchGenerator
from ax.generators.torch.botorch_modular.surrogate import Surrogate
from botorch.cross_validation import loo_cv
from botorch.models import ModelListGP
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.sampling import manual_seed

from orchestrator.adapters.optimizers import thinning
from orchestrator.adapters.optimizers.ax_problem import AxProblem
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.domain.proposal import Knowledge
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import ParameterValue

DRAWS = 128
"""Functions that are drawn from the model for the reference."""
BLOCK = 256
"""Points that are drawn together. Blocks are independent: thousands at once would take minutes."""
MOST_OBJECTIVES = 2
"""The hypervolume of more takes seconds for as many draws."""
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
    feasible point of each counts; with two objectives the hypervolume beyond a
    ``reference_point``. Where a point of the sequence was measured, the measured outcomes count.
    ``low`` and ``high`` hold nine draws of ten. They and ``median`` are None where the draw in
    question has nothing feasible; ``best`` is what the campaign itself reached with these
    ``trials`` results. None with more than two objectives, with two and nothing feasible to
    refer to, and for nine of ten trials when there are more results than a model is fitted to.
    """
    told = known.told
    is_left_out = len(told) > thinning.MOST_FITTED and known.trial_id % RARELY > 0
    if len(known.spec.objectives) > MOST_OBJECTIVES or is_left_out:
        return None
    own = {
        name: np.array([[one.outcomes[name].mean for one in told if one.outcomes]])
        for name in known.spec.outcome_names
    }
    refer_to = _reference_point(known.spec, own)
    if refer_to is None:
        return None
    points = space_filling_points(known.spec, len(told))
    values = _drawn(adapter, problem, points, known.seed)
    measured = {_place(one.parameters): one.outcomes or {} for one in reversed(told)}
    for i, point in enumerate(points):
        for name, outcome in measured.get(_place(point), {}).items():
            if name in values:
                values[name][:, i] = outcome.mean
    reached = _reached(known.spec, values, refer_to)
    low, median, high = (float(one) for one in np.quantile(reached, BAND, method="nearest"))
    best = float(_reached(known.spec, own, refer_to)[0])
    band = {"low": low, "median": median, "high": high, "best": best}
    finite = {name: value if np.isfinite(value) else None for name, value in band.items()}
    found = {"trials": len(told), "draws": DRAWS, **finite}
    return {**found, "reference_point": refer_to} if refer_to else found


def _surrogate(adapter: TorchAdapter) -> Surrogate:
    return cast("BoTorchGenerator", adapter.generator).surrogate


def _place(point: Mapping[str, ParameterValue]) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(sorted(point.items()))


def _reached(
    spec: CampaignSpec, values: Mapping[str, np.ndarray], refer_to: Mapping[str, float]
) -> np.ndarray:
    """What the points along the last axis reach.

    The best feasible value of the only objective, infinite if none; of two the hypervolume of the
    feasible points beyond the reference point.
    """
    feasible = _feasible(spec, values)
    signs = _signs(spec)
    if not refer_to:
        ((name, sign),) = signs.items()
        return sign * np.where(feasible, sign * values[name], -np.inf).max(-1)
    lengths = [
        np.where(feasible, np.maximum(sign * (values[name] - refer_to[name]), 0.0), 0.0)
        for name, sign in signs.items()
    ]
    return _covered(*lengths)


def _covered(width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The area of all rectangles along the last axis, which share a corner."""
    order = np.argsort(-width, -1)
    width, height = (np.take_along_axis(one, order, -1) for one in (width, height))
    steps = width - np.concatenate([width[..., 1:], np.zeros_like(width[..., :1])], -1)
    return (steps * np.maximum.accumulate(height, -1)).sum(-1)


def _reference_point(spec: CampaignSpec, own: Mapping[str, np.ndarray]) -> dict[str, float] | None:
    """From where the hypervolume counts; empty with one objective, None with nothing to refer to.

    The bounds on the objectives where each has one on its good side, as for the model; else, of
    the feasible results, a tenth of their range beyond the worst. Of all of them, not of the
    undominated alone: where these lie close together, nothing that chance reaches would count.
    """
    signs = _signs(spec)
    if len(signs) == 1:
        return {}
    bounds = {name: _tightest(spec, name, sign) for name, sign in signs.items()}
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    if len(known) == len(signs):
        return known
    feasible = _feasible(spec, own)
    scores = torch.tensor(
        np.stack([sign * own[name][feasible] for name, sign in signs.items()], -1)
    )
    if not len(scores):
        return None
    start = infer_reference_point(scores).tolist()
    return {name: sign * one for (name, sign), one in zip(signs.items(), start, strict=True)}


def _tightest(spec: CampaignSpec, name: str, sign: int) -> float | None:
    """The bound of the constraints on the good side of an objective."""
    bounds = [
        rule.bound / rule.coefficients[name]
        for rule in spec.outcome_constraints
        if rule.coefficients.keys() == {name}
        and (rule.comparison == ">=") == (rule.coefficients[name] * sign > 0)
    ]
    return sign * max(sign * bound for bound in bounds) if bounds else None


def _feasible(spec: CampaignSpec, values: Mapping[str, np.ndarray]) -> np.ndarray:
    feasible = np.ones(next(iter(values.values())).shape, dtype=bool)
    for rule in spec.outcome_constraints:
        left = sum(factor * values[one] for one, factor in rule.coefficients.items())
        feasible &= left <= rule.bound if rule.comparison == "<=" else left >= rule.bound
    return feasible


def _signs(spec: CampaignSpec) -> dict[str, int]:
    """By objective, 1 where more is better, -1 where less is."""
    return {name: 1 if one.goal == "maximize" else -1 for name, one in spec.objectives.items()}


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
    return samples
