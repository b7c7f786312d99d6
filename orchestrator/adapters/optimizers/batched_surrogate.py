"""Proposals for many campaigns at once: an approximation of AxOptimizer that rehearsals can afford.

The same kernel and priors as ``ax_models``, for each outcome of each campaign one model, all fitted
as one batch; analytic log expected improvement (Ament et al., NeurIPS 2023) and the probability of
being feasible, sought among random points and ever nearer to the best of them. Import it inside a
function: it imports torch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orchestrator.domain.errors import Unusable
from orchestrator.domain.proposal import Knowledge, Observation
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import Outcome, ParameterValue

FIT_STEPS, FIT_RATE = 40, 0.1
"""Steps of Adam on the logarithms of lengths and noise."""
CANDIDATES = 512
SEARCHES = (0.1, 0.03, 0.01, 0.003)
"""Distances, in widths, at which points around the best ones are tried, one after another."""
BEST, AROUND = 4, 32
"""How many of the best are gone on with, and points tried around each."""
EXACT = 1e-6
"""Variance of the noise of outcomes that are known exactly, in units of their own variance."""
ABSENT = 1e6
"""The same for a place in the batch where a campaign has no result."""


def refuse_unsuitable(spec: CampaignSpec) -> None:
    """Pass when the approximation knows this kind of campaign.

    Raises:
        Unusable: it does not.
    """
    is_continuous = all(one.range and one.type == "float" for one in spec.parameters.values())
    if not is_continuous or len(spec.objectives) != 1:
        raise Unusable(
            "--fast knows one objective and floats alone; leave it out, and the campaign's own"
            " optimizer proposes"
        )


@dataclass(frozen=True, slots=True)
class BatchedSurrogate:
    """Proposes for all campaigns of one file; keeps nothing between two proposals."""

    spec: CampaignSpec
    seed: int

    def suggest(self, known: Sequence[Knowledge]) -> list[dict[str, ParameterValue]]:
        """A point for each campaign; each has at least two results."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # for small matrices several mostly wait for each other
        try:
            return self._suggested(known)
        finally:
            torch.set_num_threads(threads)

    def _suggested(self, known: Sequence[Knowledge]) -> list[dict[str, ParameterValue]]:
        generator = torch.Generator().manual_seed(self.seed + known[0].trial_id)
        places, values, is_there = self._data([one.told for one in known])
        middle, spread = _standard(values, is_there)
        scaled = (values - middle) / spread * is_there
        results = [told for one in known for told in one.told]
        is_exact = all(outcome.sem == 0 for one in results for outcome in _of(self.spec, one))
        model = self._fitted(places, scaled, is_there, is_exact=is_exact)
        incumbent = _incumbent(self.spec, model, places, is_there, middle, spread)

        def worth(points: Tensor) -> Tensor:
            means, variances = model.foretell(points)
            return _worth(self.spec, means, variances, middle, spread, incumbent)

        best = self._searched(worth, len(known), generator)
        names = list(self.spec.parameters)
        return [
            {
                name: _value(self.spec.parameters[name], unit)
                for name, unit in zip(names, row, strict=True)
            }
            for row in best.tolist()
        ]

    def _data(self, told: Sequence[Sequence[Observation]]) -> tuple[Tensor, Tensor, Tensor]:
        """Points, outcomes, and where there are any, as 1 and 0.

        Shapes: campaigns x results x parameters, campaigns x outcomes x results, and campaigns x 1
        x results. Campaigns with fewer results than others have 0 in the places left.
        """
        most = max(map(len, told))
        outcomes, parameters = len(self.spec.outcome_names), len(self.spec.parameters)
        places = torch.zeros(len(told), most, parameters, dtype=torch.double)
        values = torch.zeros(len(told), outcomes, most, dtype=torch.double)
        is_there = torch.zeros(len(told), 1, most, dtype=torch.double)
        for row, observations in enumerate(told):
            for column, one in enumerate(observations):
                places[row, column] = torch.tensor(
                    [_unit(known, one.parameters[name]) for name, known in self._parameters()]
                )
                values[row, :, column] = torch.tensor([found.mean for found in _of(self.spec, one)])
                is_there[row, 0, column] = 1.0
        return places, values, is_there

    def _parameters(self) -> list[tuple[str, ParameterSpec]]:
        return list(self.spec.parameters.items())

    def _fitted(
        self, places: Tensor, scaled: Tensor, is_there: Tensor, *, is_exact: bool
    ) -> "_Model":
        """The models at the most probable lengths and noise, nearly."""
        shape, dimension = scaled.shape[:2], places.shape[-1]
        mode = math.exp(math.sqrt(2) - 3) * math.sqrt(dimension)
        start = EXACT if is_exact else math.exp(-5)
        lengths = torch.full((*shape, dimension), math.log(mode), dtype=torch.double)
        noise = torch.full(shape, math.log(start), dtype=torch.double)
        lengths.requires_grad_()
        noise.requires_grad_(not is_exact)
        adam = torch.optim.Adam([lengths] if is_exact else [lengths, noise], lr=FIT_RATE)
        for _ in range(FIT_STEPS):
            adam.zero_grad()
            model = _Model(places, scaled, is_there, lengths.exp(), noise.exp())
            # The priors of ax_models: Gamma(3, 2 / mode) on lengths, LogNormal(-4, 3) on the noise.
            prior = (2 * lengths - 2 / mode * lengths.exp()).sum()
            if not is_exact:
                prior = prior - ((noise + 4).square() / 18 + noise).sum()
            (-model.log_likelihood().sum() - prior).backward()
            adam.step()
            with torch.no_grad():
                lengths.clamp_(min=math.log(2.5e-2), max=math.log(20.0))
                noise.clamp_(min=math.log(1e-6))
        with torch.no_grad():
            return _Model(places, scaled, is_there, lengths.exp(), noise.exp())

    def _searched(
        self, worth: Callable[[Tensor], Tensor], campaigns: int, generator: torch.Generator
    ) -> Tensor:
        """The point of most worth for each campaign, as far as it was found."""
        dimension = len(self.spec.parameters)
        points = torch.rand(
            campaigns, CANDIDATES, dimension, generator=generator, dtype=torch.double
        )
        with torch.no_grad():
            points, worths = self._best(points, worth(points))
            for distance in SEARCHES:
                steps = torch.randn(
                    campaigns, BEST, AROUND, dimension, generator=generator, dtype=torch.double
                )
                around = (points.unsqueeze(2) + distance * steps).clamp(0.0, 1.0)
                around = around.reshape(campaigns, BEST * AROUND, dimension)
                points = torch.cat([points, around], 1)
                points, worths = self._best(points, torch.cat([worths, worth(around)], 1))
        return points[:, 0]

    def _best(self, points: Tensor, worths: Tensor) -> tuple[Tensor, Tensor]:
        worths = torch.where(self._is_allowed(points), worths, -torch.inf)
        worths, places = worths.topk(BEST, dim=1)
        return points.gather(1, places.unsqueeze(-1).expand(-1, -1, points.shape[-1])), worths

    def _is_allowed(self, points: Tensor) -> Tensor:
        """Where the parameter constraints hold."""
        allowed = torch.ones(points.shape[:-1], dtype=torch.bool)
        columns = {
            name: _spread_out(known, points[..., column])
            for column, (name, known) in enumerate(self._parameters())
        }
        for rule in self.spec.parameter_constraints:
            left = sum(factor * columns[name] for name, factor in rule.coefficients.items())
            excess = left - rule.bound if rule.comparison == "<=" else rule.bound - left
            allowed &= torch.as_tensor(excess) <= 0
        return allowed


class _Model:
    """Gaussian processes with a Matern-5/2 kernel of scale 1, for all campaigns and outcomes."""

    def __init__(
        self, places: Tensor, values: Tensor, is_there: Tensor, lengths: Tensor, noise: Tensor
    ) -> None:
        self._places, self._lengths = places, lengths
        both = is_there.unsqueeze(-1) * is_there.unsqueeze(-2)
        variance = torch.where(is_there > 0, noise.unsqueeze(-1), ABSENT)
        kernel = self._kernel(places, places) * both + torch.diag_embed(variance + 1e-8)
        self._root = torch.linalg.cholesky(kernel)
        self._values, self._is_there = values, is_there
        self._weights = torch.cholesky_solve(values.unsqueeze(-1), self._root).squeeze(-1)

    def log_likelihood(self) -> Tensor:
        """For each campaign and outcome, up to a constant."""
        fit = -0.5 * (self._values * self._weights).sum(-1)
        size = self._root.diagonal(dim1=-2, dim2=-1).log() * self._is_there
        return fit - size.sum(-1)

    def foretell(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances (campaigns x outcomes x points)."""
        cross = self._kernel(points, self._places) * self._is_there.unsqueeze(-2)
        means = (cross @ self._weights.unsqueeze(-1)).squeeze(-1)
        solved = torch.linalg.solve_triangular(self._root, cross.mT, upper=False)
        return means, (1.0 - solved.square().sum(-2)).clamp_min(1e-10)

    def _kernel(self, one: Tensor, other: Tensor) -> Tensor:
        # Differences of each parameter by itself: twice as fast as a product for a few of them.
        lengths = self._lengths.unsqueeze(-2)
        left, right = one.unsqueeze(1) / lengths, other.unsqueeze(1) / lengths
        squared = (left.unsqueeze(-2) - right.unsqueeze(-3)).square().sum(-1)
        far = (5 * squared + 1e-12).sqrt()
        return (1 + far + far.square() / 3) * torch.exp(-far)


def _standard(values: Tensor, is_there: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each outcome (campaigns x outcomes x 1)."""
    count = is_there.sum(-1, keepdim=True)
    middle = (values * is_there).sum(-1, keepdim=True) / count
    squares = ((values - middle).square() * is_there).sum(-1, keepdim=True)
    spread = (squares / (count - 1)).sqrt()
    return middle, torch.where(spread > 0, spread, 1.0)


def _incumbent(
    spec: CampaignSpec,
    model: _Model,
    places: Tensor,
    is_there: Tensor,
    middle: Tensor,
    spread: Tensor,
) -> Tensor:
    """The best objective, as the model has it, of the feasible results (campaigns x 1).

    Not finite where there is none.
    """
    with torch.no_grad():
        means, _ = model.foretell(places)
    score = _sign(spec) * means[:, 0]
    is_good = is_there[:, 0] > 0
    for left, bound, direction, _ in _rules(spec, means, means * 0, middle, spread):
        is_good &= direction * (bound - left) >= 0
    return torch.where(is_good, score, -torch.inf).amax(-1, keepdim=True)


def _worth(
    spec: CampaignSpec,
    means: Tensor,
    variances: Tensor,
    middle: Tensor,
    spread: Tensor,
    incumbent: Tensor,
) -> Tensor:
    """Log expected improvement and log probability to be feasible, added up."""
    deviation = variances[:, 0].sqrt()
    z = (_sign(spec) * means[:, 0] - incumbent) / deviation
    improvement = _log_h(z) + deviation.log()
    worth = torch.where(torch.isfinite(incumbent), improvement, 0.0)
    for left, bound, direction, variance in _rules(spec, means, variances, middle, spread):
        worth = worth + torch.special.log_ndtr(direction * (bound - left) / variance.sqrt())
    return worth


def _rules(
    spec: CampaignSpec, means: Tensor, variances: Tensor, middle: Tensor, spread: Tensor
) -> list[tuple[Tensor, float, int, Tensor]]:
    """Of each outcome constraint its left side, bound, 1 for <= and -1 for >=, and the variance."""
    column = {name: place for place, name in enumerate(spec.outcome_names)}
    found: list[tuple[Tensor, float, int, Tensor]] = []
    for rule in spec.outcome_constraints:
        left, variance = torch.zeros_like(means[:, 0]), torch.zeros_like(means[:, 0])
        for name, factor in rule.coefficients.items():
            place = column[name]
            left = left + factor * (means[:, place] * spread[:, place] + middle[:, place])
            variance = variance + variances[:, place] * (factor * spread[:, place]).square()
        found.append((left, rule.bound, 1 if rule.comparison == "<=" else -1, variance))
    return found


def _log_h(z: Tensor) -> Tensor:
    """Log of phi(z) + z Phi(z), also where that underflows: Ament et al. (2023), equation 9."""
    near = z.clamp_min(-1.0)
    density = torch.exp(-0.5 * near.square()) / math.sqrt(2 * math.pi)
    plain = (density + near * torch.special.ndtr(near)).log()
    far = z.clamp_max(-1.0)
    ratio = math.sqrt(math.pi / 2) * torch.special.erfcx(-far / math.sqrt(2))
    inner = torch.where(far > -1e3, (1 + far * ratio).clamp_min(1e-12), far.pow(-2))
    tail = -0.5 * far.square() - 0.5 * math.log(2 * math.pi) + inner.log()
    return torch.where(z > -1.0, plain, tail)


def _sign(spec: CampaignSpec) -> int:
    (objective,) = spec.objectives.values()
    return 1 if objective.goal == "maximize" else -1


def _of(spec: CampaignSpec, told: Observation) -> list[Outcome]:
    outcomes = told.outcomes or {}
    return [outcomes[name] for name in spec.outcome_names]


def _edges(parameter: ParameterSpec) -> tuple[float, float]:
    assert parameter.range is not None  # noqa: S101  see refuse_unsuitable
    return parameter.range


def _unit(parameter: ParameterSpec, value: ParameterValue) -> float:
    """The value's place in its range, from 0 to 1."""
    lower, upper = _edges(parameter)
    if parameter.scale == "log":
        return math.log(float(value) / lower) / math.log(upper / lower)
    return (float(value) - lower) / (upper - lower)


def _spread_out(parameter: ParameterSpec, unit: Tensor) -> Tensor:
    lower, upper = _edges(parameter)
    if parameter.scale == "log":
        return lower * (upper / lower) ** unit
    return lower + (upper - lower) * unit


def _value(parameter: ParameterSpec, unit: float) -> float:
    lower, upper = _edges(parameter)
    value = float(_spread_out(parameter, torch.tensor(unit, dtype=torch.double)))
    return min(max(value, lower), upper)
