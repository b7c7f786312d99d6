"""Dysprosium and neodymium parted by D2EHPA in a counter-current cascade of eight ideal stages.

Distribution after the reaction package of PrOMMiS (U.S. Department of Energy), with a correction
for the loading of the extractant. Noiseless, at steady state. Units: mol/L, litres per litre of
feed, volume per cent. Arrays are points, stages, metals in this order of axes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.arrays import Array, Real

METALS = ("nd", "dy")
"""The order of the metals everywhere."""

MOLAR_MASS = np.array([144.242, 162.500])
"""g/mol."""

FEED_METAL = np.array([10.0, 0.5]) / MOLAR_MASS
"""mol/L in the feed, which flows at 1 L/min: 10 g/L neodymium, 0.5 g/L dysprosium."""

SLOPE = np.array([0.31183, 1.70783])
"""m0 of log10 D = (m0 + m1 x) pH + B0 + B1 log10 x, where x is the dosage in %."""

SLOPE_DOSAGE = np.array([0.03763, 0.06443])
"""m1."""

OFFSET = np.array([-1.62372, -2.42226])
"""B0."""

OFFSET_DOSAGE = np.array([-0.38096, -0.02538])
"""B1."""

EXTRACTANT_PER_PERCENT = 965.0 / 322.43 / 100.0
"""mol/L of D2EHPA per volume per cent: 965 g/L and 322.43 g/mol when pure."""

STAGES = 8
FEED_STAGE = 4
"""Stages 0 to 3 scrub; the feed enters stage 4. The organic flows from stage 7 to stage 0."""

WANTED_PURITY = 0.995
"""Mass fraction of dysprosium below which the score falls steeply."""

CONVERGED = 1e-9
"""Largest |log(in / out)| of a metal in a stage at which the state counts as steady."""

ITERATIONS = 200
"""Newton steps before the solver gives up; 11 are usual, and 2 in 49,395 points need over 40."""

BOUNDS: dict[str, tuple[float, float]] = {
    "ph_feed": (0.8, 2.5),
    "ph_scrub": (0.0, 2.0),
    "organic_ratio": (0.2, 3.0),
    "scrub_ratio": (0.05, 1.0),
    "dosage": (1.0, 10.0),
}

OPTIMUM: dict[str, Any] = {
    "parameters": {
        "ph_feed": 1.919351585,
        "ph_scrub": 1.193951039,
        "organic_ratio": 0.2,
        "scrub_ratio": 0.05,
        "dosage": 9.677871382,
    },
    "outcomes": {
        "recovery": 0.9981058628,
        "purity": 0.9950000001,
        "log_impurity": -2.301030006,
        "cost": 0.03619152939,
        "margin": 0.9619143334,
        "score": 0.9619143334,
        "steady": 1.0,
    },
    "objective": 0.9619143334,
    "goal": "maximize",
    "found_by": "differential evolution over the box, three seeds, then SLSQP with purity >= 0.995",
}
"""Both ratios lie on their lower bounds, and the purity on `WANTED_PURITY`."""


def distribution(ph: Real, dosage: Real) -> Array:
    """Distribution coefficients, organic to aqueous, of a lightly loaded extractant.

    Args:
        ph: of the aqueous phase.
        dosage: D2EHPA in the organic phase, volume %.

    Returns:
        One more axis than the arguments, with the two `METALS`.
    """
    acidity, x = np.asarray(ph)[..., None], np.asarray(dosage)[..., None]
    exponent = (SLOPE + SLOPE_DOSAGE * x) * acidity + OFFSET + OFFSET_DOSAGE * np.log10(x)
    return np.asarray(10.0**exponent)


def free_extractant(load: Real) -> Array:
    """Fraction f of the extractant that holds no metal: the root of f + load f^3 = 1.

    Args:
        load: 3 sum(D x) / total extractant, with D of the unloaded extractant; positive.
    """
    root = np.sqrt(3.0 * np.asarray(load))
    return np.asarray(2.0 / root * np.sinh(np.arcsinh(1.5 * root) / 3.0))


def cascade(
    *, ph_feed: Real, ph_scrub: Real, organic_ratio: Real, scrub_ratio: Real, dosage: Real
) -> dict[str, Array]:
    """Concentrations in all stages, in mol/L; arguments as in `evaluate`.

    Returns:
        `aqueous` and `organic`, of shape (points, `STAGES`, 2); `proton`, (points, `STAGES`);
        `mismatch`, (points,): the largest |log(in / out)| of a metal in a stage, at most
        `CONVERGED` where the state is steady. Elsewhere the numbers mean nothing.
    """
    plant = _plant(ph_feed, ph_scrub, organic_ratio, scrub_ratio, dosage)
    ratio, mismatch = _solve(plant)
    state = _state(plant, ratio)
    return {
        "aqueous": state.aqueous,
        "organic": state.organic,
        "proton": state.proton,
        "mismatch": mismatch,
    }


def evaluate(
    *, ph_feed: Real, ph_scrub: Real, organic_ratio: Real, scrub_ratio: Real, dosage: Real
) -> dict[str, Real]:
    """Noiseless outcomes at steady state.

    Args:
        ph_feed: of the feed.
        ph_scrub: of the scrub acid.
        organic_ratio: organic per feed, L/L, positive.
        scrub_ratio: scrub acid per feed, L/L, positive.
        dosage: D2EHPA in the organic phase, volume %, positive.

    Returns:
        `recovery`, fraction of the dysprosium that leaves with the organic; `purity`, mass of
        dysprosium per mass of both metals there; `log_impurity`, log10 of the mass of neodymium
        per mass of both; `cost` of extractant, acids and base, in units
        of the value of all the dysprosium; `margin`, recovery - cost; `score`, the margin times
        exp(-100 (0.995 - purity)+); `steady`, 1 where the steady state was found, else 0, and
        then `recovery`, `purity`, `log_impurity`, `margin` and `score` are 0 and say nothing;
        `objective`, equal to `score`, to be maximized. Floats for float arguments, else arrays of
        the same length.
    """
    stages = cascade(
        ph_feed=ph_feed,
        ph_scrub=ph_scrub,
        organic_ratio=organic_ratio,
        scrub_ratio=scrub_ratio,
        dosage=dosage,
    )
    steady = stages["mismatch"] <= CONVERGED
    product = stages["organic"][:, 0] * MOLAR_MASS
    organic = np.atleast_1d(np.asarray(organic_ratio, dtype=np.float64))
    share = organic * stages["organic"][:, 0, 1] / FEED_METAL[1]
    cost = running_cost(ph_feed, ph_scrub, organic_ratio, scrub_ratio, dosage)
    recovery = np.where(steady, share, 0.0)
    purity = np.where(steady, product[:, 1] / product.sum(axis=1), 0.0)
    impurity = np.where(steady, product[:, 0] / product.sum(axis=1), 1.0)
    worth = np.where(steady, score(recovery, purity, cost), 0.0)
    outcomes = {
        "recovery": recovery,
        "purity": purity,
        "log_impurity": np.log10(impurity),
        "cost": np.broadcast_to(cost, recovery.shape),
        "margin": np.where(steady, share - cost, 0.0),
        "score": worth,
        "steady": steady.astype(np.float64),
        "objective": worth,
    }
    given = (ph_feed, ph_scrub, organic_ratio, scrub_ratio, dosage)
    if all(np.ndim(value) == 0 for value in given):
        return {name: float(value[0]) for name, value in outcomes.items()}
    return {name: np.asarray(value) for name, value in outcomes.items()}


def running_cost(
    ph_feed: Real, ph_scrub: Real, organic_ratio: Real, scrub_ratio: Real, dosage: Real
) -> Array:
    """Cost of extractant, scrub, base and acid, in units of the value of all the dysprosium."""
    extractant = 0.04 * np.asarray(organic_ratio) * dosage / 5.0
    base = 0.02 * np.maximum(np.asarray(ph_feed) - 1.0, 0.0)
    scrub = np.asarray(scrub_ratio) * (0.04 + 0.1 * 10.0 ** -np.asarray(ph_scrub))
    return np.asarray(extractant + base + scrub)


def score(recovery: Real, purity: Real, cost: Real) -> Array:
    """What is to be maximized: recovery less cost, less for a purity below `WANTED_PURITY`."""
    lacking = np.maximum(WANTED_PURITY - np.asarray(purity), 0.0)
    return np.asarray((np.asarray(recovery) - cost) * np.exp(-100.0 * lacking))


@dataclass(frozen=True)
class _Plant:
    """What does not change while the state is sought.

    Attributes:
        flow: aqueous, out of each stage, in L/min; (points, stages).
        acid: H + 3 sum(x) in mol/L; (points, stages). Each stage keeps it: a metal ion that
            goes to the organic leaves three protons behind, and takes them along coming back.
        slope: of ln D over -ln H; (points, 1, metals).
        offset: ln D at pH 0; (points, 1, metals).
        extractant: in mol/L; (points, 1).
        organic: L/min; (points, 1, 1).
    """

    flow: Array
    acid: Array
    slope: Array
    offset: Array
    extractant: Array
    organic: Array

    def rows(self, wanted: npt.NDArray[np.intp]) -> "_Plant":
        """Some of the points."""
        return _Plant(
            self.flow[wanted],
            self.acid[wanted],
            self.slope[wanted],
            self.offset[wanted],
            self.extractant[wanted],
            self.organic[wanted],
        )


@dataclass(frozen=True)
class _State:
    """Concentrations, and the derivatives of their logarithms by the unknowns of the same stage.

    Attributes:
        proton: mol/L; (points, stages).
        aqueous, organic: mol/L; (points, stages, metals).
        aqueous_slope, organic_slope: (points, stages, metals, unknowns).
    """

    proton: Array
    aqueous: Array
    organic: Array
    aqueous_slope: Array
    organic_slope: Array


def _plant(
    ph_feed: Real, ph_scrub: Real, organic_ratio: Real, scrub_ratio: Real, dosage: Real
) -> _Plant:
    given = (ph_feed, ph_scrub, organic_ratio, scrub_ratio, dosage)
    ph_f, ph_s, organic, scrub, x = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in given)
    )
    extracts = np.arange(STAGES) >= FEED_STAGE
    scrub_acid = 10.0**-ph_s
    mixed = (scrub * scrub_acid + 10.0**-ph_f + 3.0 * FEED_METAL.sum()) / (scrub + 1.0)
    column = x[:, None, None]
    return _Plant(
        flow=scrub[:, None] + extracts,
        acid=np.where(extracts, mixed[:, None], scrub_acid[:, None]),
        slope=SLOPE + SLOPE_DOSAGE * column,
        offset=np.log(10.0) * (OFFSET + OFFSET_DOSAGE * np.log10(column)),
        extractant=EXTRACTANT_PER_PERCENT * x[:, None],
        organic=organic[:, None, None],
    )


def _state(plant: _Plant, ratio: Array) -> _State:
    """The state for the unknowns ln(3 x / H), which keep every concentration positive."""
    bound = np.exp(ratio)
    whole = 1.0 + bound.sum(axis=2)
    proton = plant.acid / whole
    aqueous = proton[..., None] * bound / 3.0
    unloaded = np.exp(plant.offset - plant.slope * np.log(proton)[..., None])
    loads = 3.0 * unloaded * aqueous / plant.extractant[..., None]
    load = loads.sum(axis=2)
    free = free_extractant(load)
    organic = unloaded * aqueous * (free**3)[..., None]

    share = (bound / whole[..., None])[..., None, :]  # - d ln H
    aqueous_slope = np.eye(2) - share
    unloaded_slope = np.eye(2) + (plant.slope - 1.0)[..., None] * share
    load_slope = (loads[..., None] * unloaded_slope).sum(axis=2)
    free_slope = -(free**2 / (1.0 + 3.0 * load * free**2))[..., None] * load_slope
    organic_slope = unloaded_slope + 3.0 * free_slope[..., None, :]
    return _State(proton, aqueous, organic, aqueous_slope, organic_slope)


def _balance(plant: _Plant, ratio: Array) -> tuple[Array, Array]:
    """ln(in / out) of each metal in each stage, and its derivatives: (points, 16 and 16 x 16)."""
    state = _state(plant, ratio)
    down = plant.flow[..., None] * state.aqueous
    up = plant.organic * state.organic
    entering = np.zeros_like(down)
    entering[:, 1:] += down[:, :-1]
    entering[:, :-1] += up[:, 1:]
    entering[:, FEED_STAGE] += FEED_METAL
    leaving = down + up

    down_slope = down[..., None] * state.aqueous_slope
    up_slope = up[..., None] * state.organic_slope
    points = len(ratio)
    slope = np.zeros((points, STAGES, 2, STAGES, 2))
    for n in range(STAGES):
        slope[:, n, :, n] = -(down_slope[:, n] + up_slope[:, n]) / leaving[:, n, :, None]
        if n > 0:
            slope[:, n, :, n - 1] = down_slope[:, n - 1] / entering[:, n, :, None]
        if n < STAGES - 1:
            slope[:, n, :, n + 1] = up_slope[:, n + 1] / entering[:, n, :, None]
    size = 2 * STAGES
    mismatch = np.log(entering) - np.log(leaving)
    return mismatch.reshape(points, size), slope.reshape(points, size, size)


def _solve(plant: _Plant) -> tuple[Array, Array]:
    """The unknowns of `_state` at steady state, and the largest mismatch of each point.

    Newton's method with a diagonal shift that fades near the solution, and steps of at most 2. A
    step may make the mismatch larger, up to tenfold in squares: to forbid it gets stuck.
    """
    points = len(plant.flow)
    ratio = np.broadcast_to(np.array([0.0, -3.0]), (points, STAGES, 2)).copy()
    mismatch, slope = _balance(plant, ratio)
    stretch = np.ones(points)
    for _ in range(ITERATIONS):
        open_ = np.flatnonzero(np.abs(mismatch).max(axis=1) > CONVERGED)
        if len(open_) == 0:
            break
        square = (mismatch[open_] ** 2).sum(axis=1)
        shift = np.where(square < 1e-4, 0.0, 0.3 * np.minimum(1.0, np.sqrt(square)))
        matrix = slope[open_] - shift[:, None, None] * np.eye(2 * STAGES)
        step = np.linalg.solve(matrix, -mismatch[open_][..., None])[..., 0]
        step *= (stretch[open_] * np.minimum(1.0, 2.0 / np.abs(step).max(axis=1)))[:, None]
        tried = ratio[open_] + step.reshape(-1, STAGES, 2)
        new_mismatch, new_slope = _balance(plant.rows(open_), tried)
        taken = (new_mismatch**2).sum(axis=1) <= 10.0 * square
        stretch[open_] = np.where(taken, 1.0, 0.5 * stretch[open_])
        rows = open_[taken]
        ratio[rows] = tried[taken]
        mismatch[rows], slope[rows] = new_mismatch[taken], new_slope[taken]
    return ratio, np.abs(mismatch).max(axis=1)
