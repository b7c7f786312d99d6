"""Problems with known optima, as campaigns: what each asks, its truth, and seeded noise.

They are those of the literature on Bayesian optimization, and one with choices of our own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import ParameterValue

Point = Mapping[str, ParameterValue]
NOISE = 0.05
"""Standard deviation of the noise in the noisy problems, in widths."""


SIDES = {"minimize": "<=", "maximize": ">="}


@dataclass(frozen=True, slots=True)
class Problem:
    """A campaign whose best result is known."""

    name: str
    spec: CampaignSpec
    """Its budget is the problem's usual one."""
    truth: Callable[[Point], dict[str, float]]
    """The outcomes without noise."""
    optimum: float
    """Best feasible value of the objective; with two of them, the largest hypervolume."""
    width: float
    """From the objective's least value to its largest; what a regret is without any good trial."""
    noise: float = 0.0
    """Standard deviation of the noise on the objective, in widths; 0 for exact measurements."""
    reference: tuple[float, ...] | None = None
    """Corner of the hypervolume, for two objectives; None for one."""

    @property
    def spec_with_reference(self) -> CampaignSpec:
        """The spec with the reference as bounds on the objectives, for those who take it so."""
        if self.reference is None:
            return self.spec
        corner = zip(self.spec.objectives.items(), self.reference, strict=True)
        bounds = [f"{name} {SIDES[one.goal]} {bound}" for (name, one), bound in corner]
        rules = self.spec.constraints.model_copy(update={"outcomes": tuple(bounds)})
        return self.spec.model_copy(update={"constraints": rules})

    def measured(self, seed: int, number: int, point: Point) -> dict[str, float]:
        """Outcomes of the ``number``-th trial, with the same noise whoever has proposed it."""
        outcomes = self.truth(point)
        if self.noise:
            (name,) = self.spec.objectives
            normal = np.random.default_rng([seed, number]).standard_normal()
            outcomes[name] += float(normal) * self.noise * self.width
        return outcomes

    def regrets(self, truths: Sequence[Mapping[str, float]]) -> list[float]:
        """After each of these noise-free results, how far the best so far is from the optimum."""
        if self.reference is not None:
            front = [tuple(found[name] for name in self.spec.objectives) for found in truths]
            volumes = [hypervolume(front[: n + 1], self.reference) for n in range(len(front))]
            return [self.optimum - volume for volume in volumes]
        ((name, objective),) = self.spec.objectives.items()
        sign = 1.0 if objective.goal == "minimize" else -1.0
        best, trace = self.width, []
        for found in truths:
            if all(rule.holds(found) for rule in self.spec.outcome_constraints):
                best = min(best, sign * (found[name] - self.optimum))
            trace.append(best)
        return trace


def hypervolume(found: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Area between the results, both outcomes to be minimized, and the reference point."""
    volume, ceiling = 0.0, reference[1]
    for first, second in sorted(found):
        if first < reference[0] and second < ceiling:
            volume += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return volume


def branin(x: float, y: float) -> float:
    """Three equal minima, on [-5, 10] x [0, 15]."""
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def currin(x: float, y: float) -> float:
    """On the unit square."""
    fall = 1.0 - math.exp(-1 / (2 * y)) if y > 0 else 1.0
    above = 2300 * x**3 + 1900 * x**2 + 2092 * x + 60
    return fall * above / (100 * x**3 + 500 * x**2 + 4 * x + 20)


WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
SLOPES = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(x: np.ndarray) -> float:
    """Four wells, two of them deep, in the unit cube of six dimensions."""
    return -float(WEIGHTS @ np.exp(-np.sum(SLOPES * (x - CENTRES) ** 2, axis=1)))


def levy(x: np.ndarray) -> float:
    """Many ridges in a bowl; least, 0, where all are 1."""
    w = 1 + (x - 1) / 4
    inner = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(math.sin(math.pi * w[0]) ** 2 + inner.sum() + last)


def gramacy(x: float, y: float) -> dict[str, float]:
    """A plane on the unit square, where a wave and a circle leave little room."""
    wave = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x**2 - 2 * y))
    return {"value": x + y, "wave": wave, "circle": x**2 + y**2 - 1.5}


YIELDS = {
    "palladium": {"toluene": 0.55, "ethanol": 0.80, "water": 0.40},
    "nickel": {"toluene": 0.60, "ethanol": 0.45, "water": 0.65},
    "copper": {"toluene": 0.90, "ethanol": 0.70, "water": 0.35},
    "iron": {"toluene": 0.30, "ethanol": 1.00, "water": 0.75},
}
"""Best yield of each catalyst in each solvent."""
SWEET_SPOTS = {
    "palladium": (0.3, 0.7, 0.5),
    "nickel": (0.8, 0.4, 0.2),
    "copper": (0.6, 0.2, 0.7),
    "iron": (0.7, 0.8, 0.35),
}
"""Where it is reached, in the unit cube of temperature, time and loading."""


def mixed_yield(point: Point) -> float:
    """A hill for each catalyst, as high as its solvent lets it be."""
    catalyst, solvent = str(point["catalyst"]), str(point["solvent"])
    place = [float(point[name]) for name in ("temperature", "time", "loading")]
    distance = math.dist(place, SWEET_SPOTS[catalyst])
    return YIELDS[catalyst][solvent] * math.exp(-((distance / 0.5) ** 2))


def _spec(name: str, parameters: Mapping[str, Any], trials: int, **others: Any) -> CampaignSpec:
    content = {
        "name": name,
        "instrument": "soft",
        "plan": {"name": "steady_state_sample"},
        "parameters": {key: {"arg": key, **given} for key, given in parameters.items()},
        "objectives": {"value": {"goal": "minimize"}},
        "budget": {"trials": trials},
    }
    return CampaignSpec.from_data({**content, **others})


def _box(dimensions: int, lower: float, upper: float) -> dict[str, Any]:
    return {f"x{i}": {"range": [lower, upper]} for i in range(1, dimensions + 1)}


def _row(point: Point) -> np.ndarray:
    return np.array([float(point[f"x{i}"]) for i in range(1, len(point) + 1)])


def _two_objectives(point: Point) -> dict[str, float]:
    x, y = _row(point)
    return {"branin": branin(15 * x - 5, 15 * y), "currin": currin(x, y)}


BRANIN = Problem(
    "branin",
    _spec("branin", {"x1": {"range": [-5, 10]}, "x2": {"range": [0, 15]}}, 30),
    lambda point: {"value": branin(*_row(point))},
    optimum=0.39788735772973816,
    width=307.73,
)
HARTMANN6 = Problem(
    "hartmann6",
    _spec("hartmann6", _box(6, 0, 1), 60),
    lambda point: {"value": hartmann6(_row(point))},
    optimum=-3.32236801141551,
    width=3.3224,
)
LEVY8 = Problem(
    "levy8",
    _spec("levy8", _box(8, -10, 10), 60),
    lambda point: {"value": levy(_row(point))},
    optimum=0.0,
    width=574.0,
)
GRAMACY = Problem(
    "gramacy",
    _spec("gramacy", _box(2, 0, 1), 30, constraints={"outcomes": ["wave <= 0", "circle <= 0"]}),
    lambda point: gramacy(*_row(point)),
    optimum=0.59978805201,
    width=1.1323,
)
MIXED = Problem(
    "mixed",
    _spec(
        "mixed",
        {
            "catalyst": {"choices": list(YIELDS)},
            "solvent": {"choices": ["toluene", "ethanol", "water"]},
            **{name: {"range": [0, 1]} for name in ("temperature", "time", "loading")},
        },
        40,
        objectives={"yield_": {"goal": "maximize"}},
    ),
    lambda point: {"yield_": mixed_yield(point)},
    optimum=1.0,
    width=1.0,
)
BRANIN_CURRIN = Problem(
    "branin-currin",
    _spec(
        "branin-currin",
        _box(2, 0, 1),
        40,
        objectives={"branin": {"goal": "minimize"}, "currin": {"goal": "minimize"}},
    ),
    _two_objectives,
    optimum=59.36011874867746,
    width=59.36011874867746,
    reference=(18.0, 6.0),
)

PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        BRANIN,
        replace(BRANIN, name="branin-noisy", noise=NOISE),
        HARTMANN6,
        replace(HARTMANN6, name="hartmann6-noisy", noise=NOISE),
        LEVY8,
        GRAMACY,
        MIXED,
        BRANIN_CURRIN,
    )
}
