import numpy as np
import pytest
from scipy.optimize import root

from simulators.rare_earths import model
from simulators.rare_earths.model import (
    BOUNDS,
    EXTRACTANT_PER_PERCENT,
    FEED_METAL,
    FEED_STAGE,
    MOLAR_MASS,
    OPTIMUM,
    STAGES,
    WANTED_PURITY,
    cascade,
    distribution,
    evaluate,
    free_extractant,
)

MIDDLE = {name: (low + high) / 2 for name, (low, high) in BOUNDS.items()}


def points(count: int, seed: int = 7) -> dict[str, np.ndarray]:
    """All corners of the box, then random points, of which some lie on a face."""
    generator = np.random.default_rng(seed)
    unit = generator.random((count, len(BOUNDS)))
    on_a_face = generator.random(unit.shape) < 0.1
    unit[on_a_face] = np.round(unit[on_a_face])
    unit[:32] = [[index >> bit & 1 for bit in range(5)] for index in range(32)]
    return {
        name: low + (high - low) * unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


@pytest.mark.parametrize(
    ("ph", "nd", "dy"), [(1.0, 0.0407, 0.389), (1.5, 0.0724, 4.027), (2.0, 0.1288, 41.68)]
)
def test_distribution_at_five_per_cent(ph, nd, dy):
    np.testing.assert_allclose(distribution(ph, 5.0), [nd, dy], rtol=2e-3)


def test_distribution_slopes_and_selectivity():
    low, middle, high = distribution(np.array([1.0, 1.5, 2.0]), 5.0)
    np.testing.assert_allclose(np.log10(high / low), [0.5, 2.03], atol=2e-3)
    assert middle[1] / middle[0] == pytest.approx(55.6, abs=0.05)


def test_free_extractant_solves_its_equation():
    load = np.logspace(-8, 8, 60)
    free = free_extractant(load)
    np.testing.assert_allclose(free + load * free**3, 1.0, rtol=1e-9)


@pytest.mark.parametrize(("factor", "expected"), [(0.5, 0.49206), (1.5, 0.95188), (3.0, 0.99725)])
def test_constant_distribution_is_kremser(factor, expected, monkeypatch):
    """Five stages, no scrub, so little metal that it changes neither acid nor extractant."""
    monkeypatch.setattr(model, "STAGES", 5)
    monkeypatch.setattr(model, "FEED_STAGE", 0)
    monkeypatch.setattr(model, "FEED_METAL", np.array([1e-12, 1e-12]))
    coefficient = float(distribution(1.0, 5.0)[1])
    stages = cascade(
        ph_feed=1.0, ph_scrub=1.0, organic_ratio=factor / coefficient, scrub_ratio=1e-12, dosage=5.0
    )
    extracted = 1.0 - stages["aqueous"][0, -1, 1] / 1e-12
    kremser = (factor**6 - factor) / (factor**6 - 1.0)
    assert extracted == pytest.approx(kremser, abs=1e-9)
    assert kremser == pytest.approx(expected, abs=5e-6)


def test_no_metal_and_no_proton_is_lost():
    grid = points(300)
    stages = cascade(**grid)
    organic, scrub = grid["organic_ratio"], grid["scrub_ratio"]
    product, raffinate = stages["organic"][:, 0], stages["aqueous"][:, -1]
    leaving = organic[:, None] * product + (scrub + 1)[:, None] * raffinate
    np.testing.assert_allclose(leaving / FEED_METAL, 1.0, atol=1e-6)
    acid_in = scrub * 10 ** -grid["ph_scrub"] + 10 ** -grid["ph_feed"]
    exchanged = 3 * organic * product.sum(axis=1)
    acid_out = (scrub + 1) * stages["proton"][:, -1]
    np.testing.assert_allclose(acid_out, acid_in + exchanged, rtol=1e-6)
    assert all(np.all(stages[name] > 0) for name in ("aqueous", "organic", "proton"))


def unbalance(logs, ph_feed, ph_scrub, organic_ratio, scrub_ratio, dosage) -> np.ndarray:
    """What is wrong with 8 stages of two metals and a proton, each balance written out."""
    state = np.exp(logs.reshape(STAGES, 3))
    x, proton = state[:, :2], state[:, 2]
    flow = scrub_ratio + (np.arange(STAGES) >= FEED_STAGE)
    unloaded = distribution(-np.log10(proton), dosage) * x
    load = 3 * unloaded.sum(axis=1) / (EXTRACTANT_PER_PERCENT * dosage)
    y = unloaded * free_extractant(load)[:, None] ** 3
    x_in = np.vstack([np.zeros(2), flow[:-1, None] * x[:-1]])
    x_in[FEED_STAGE] += FEED_METAL
    y_in = organic_ratio * np.vstack([y[1:], np.zeros(2)])
    proton_in = np.append(scrub_ratio * 10.0**-ph_scrub, (flow * proton)[:-1])
    proton_in[FEED_STAGE] += 10.0**-ph_feed
    extracted = x_in - flow[:, None] * x
    metal = np.log(x_in + y_in) - np.log(flow[:, None] * x + organic_ratio * y)
    acid = (proton_in + 3 * extracted.sum(axis=1)) / (flow * proton) - 1
    return np.column_stack([metal, acid]).ravel()


def test_agrees_with_a_general_solver():
    grid = points(48)
    stages = cascade(**grid)
    for row in (0, 5, 17, 31, 33, 36, 40, 44):
        point = [grid[name][row] for name in BOUNDS]
        found = np.log(np.column_stack([stages["aqueous"][row], stages["proton"][row]])).ravel()
        start = found + 0.05 * np.random.default_rng(row).standard_normal(3 * STAGES)
        solution = root(unbalance, start, args=tuple(point), tol=1e-12)
        assert np.max(np.abs(unbalance(solution.x, *point))) < 1e-9
        np.testing.assert_allclose(solution.x, found, atol=1e-6)


def test_the_whole_box_has_a_steady_state():
    outcomes = evaluate(**points(1536))
    assert np.all(outcomes["steady"] == 1)
    assert np.all((outcomes["recovery"] > 0) & (outcomes["recovery"] <= 1 + 1e-9))
    assert np.all((outcomes["purity"] > 0) & (outcomes["purity"] < 1))
    assert all(np.all(np.isfinite(values)) for values in outcomes.values())


def test_what_did_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(model, "ITERATIONS", 3)
    outcomes = evaluate(**MIDDLE)
    assert outcomes["cost"] > 0
    for name in ("steady", "recovery", "purity", "score", "objective"):
        assert outcomes[name] == 0


def test_purity_is_by_mass_and_recovery_per_feed():
    stages, outcomes = cascade(**MIDDLE), evaluate(**MIDDLE)
    grams = stages["organic"][0, 0] * MOLAR_MASS
    assert outcomes["purity"] == pytest.approx(grams[1] / grams.sum())
    assert outcomes["recovery"] == pytest.approx(MIDDLE["organic_ratio"] * grams[1] / 0.5)


def test_more_extractant_recovers_more_and_less_pure():
    dosage = np.linspace(*BOUNDS["dosage"], 20)
    outcomes = evaluate(**{**OPTIMUM["parameters"], "dosage": dosage})
    assert np.all(np.diff(outcomes["recovery"]) > 0)
    assert np.all(np.diff(outcomes["purity"][10:]) < 0)
    assert np.all(np.diff(outcomes["cost"]) > 0)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((1.91935, 1.19395, 0.2, 0.05, 9.67787), 0.961914),
        ((2.39339, 1.19408, 0.97724, 0.06696, 1.0), 0.957459),
    ],
)
def test_the_two_best_basins(point, expected):
    outcomes = evaluate(**dict(zip(BOUNDS, point, strict=True)))
    assert outcomes["objective"] == pytest.approx(expected, abs=2e-6)
    assert outcomes["purity"] == pytest.approx(WANTED_PURITY, abs=1e-6)


def test_one_array_among_floats_makes_all_outcomes_arrays():
    mixed = evaluate(**{**MIDDLE, "ph_feed": np.full(64, 1.5)})
    assert all(len(values) == 64 for values in mixed.values())
