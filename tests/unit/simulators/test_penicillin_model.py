import numpy as np
import pytest
from scipy.integrate import solve_ivp

from simulators.penicillin.model import (
    BOUNDS,
    FULL_VOLUME,
    OPTIMUM,
    START_VOLUME,
    _slope,
    evaluate,
    ferment,
)

CONSTANT_FEED = (10.0, 60.0, 10.0, 30.0, 10.0, 126.0)


def points(count: int) -> dict[str, np.ndarray]:
    unit = np.random.default_rng(7).random((count, len(BOUNDS)))
    corners = min(count // 2, 64)
    unit[:corners] = [[index >> bit & 1 for bit in range(6)] for index in range(corners)]
    return {
        name: low + (high - low) * unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


def at(*values: float) -> dict[str, float]:
    return dict(zip(BOUNDS, values, strict=True))


def test_constant_feed():
    batch = ferment(**at(*CONSTANT_FEED))
    assert batch["biomass"] == pytest.approx(27.7443, rel=1e-4)
    assert batch["titre"] == pytest.approx(7.37042, rel=1e-4)
    assert batch["substrate"] == pytest.approx(3.8503e-3, rel=1e-4)
    assert batch["volume"] == pytest.approx(9.52, rel=1e-12)
    assert batch["mass"] == pytest.approx(70.166, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "mass", "max_substrate", "objective"),
    [
        ((5.0, 19.1696, 42.2772, 10.1452, 9.1542, 135.8505), 87.8365, 24.79, 87.8365),
        ((9.263, 18.491, 38.481, 10.031, 9.165, 131.38), 87.777, 8.57, 87.777),
        ((19.47, 28.37, 3.58, 9.83, 9.05, 139.0), 87.715, 25.33, 81.89),
    ],
)
def test_three_good_recipes(recipe, mass, max_substrate, objective):
    outcomes = evaluate(**at(*recipe))
    assert outcomes["mass"] == pytest.approx(mass, rel=1e-4)
    assert outcomes["max_substrate"] == pytest.approx(max_substrate, abs=0.01)
    assert outcomes["objective"] == pytest.approx(objective, rel=2e-4)


def test_comes_near_the_published_optimum_of_a_free_feed():
    assert 0.998 < OPTIMUM["objective"] / 87.99 < 1.0


def test_agrees_with_a_general_solver():
    grid = points(24)
    mine = evaluate(**grid)
    for index in range(9, 21):
        recipe = [float(grid[name][index]) for name in BOUNDS]
        mass, biomass, substrate = by_solver(recipe)
        assert mine["mass"][index] == pytest.approx(mass, abs=3e-4)
        assert mine["max_biomass"][index] == pytest.approx(biomass, rel=1e-4)
        assert mine["max_substrate"][index] == pytest.approx(substrate, rel=2e-4)


def by_solver(recipe: list[float]) -> tuple[float, float, float]:
    """Product and largest concentrations by LSODA, in concentrations as published."""
    feed_1, switch_1, feed_2, switch_2, feed_3, duration = recipe
    state, start, largest = np.array([1.5, 0.0, 0.0, 7.0]), 0.0, [1.5, 0.0]
    levels = ((feed_1, switch_1), (feed_2, switch_1 + switch_2), (feed_3, duration))
    for feed, end in levels:
        end = min(end, duration)
        full = start + (10.0 - state[3]) * 500.0 / feed if feed else end
        for u, stop in ((feed, min(full, end)), (0.0, end)):
            if stop - start < 1e-9:
                continue

            def slope(_, y, u=u):
                x, p, s, v = y
                s = max(s, 0.0)
                mu = 0.11 * s / (0.006 * x + s)
                rho = 0.0055 * s / (0.0001 + s * (1 + 10 * s))
                used = mu * x / 0.47 + rho * x / 1.2 + 0.029 * x * s / (0.0001 + s)
                return [
                    mu * x - u * x / (500 * v),
                    rho * x - 0.01 * p - u * p / (500 * v),
                    -used + u / v * (1 - s / 500),
                    u / 500,
                ]

            looks = np.linspace(start, stop, 500)
            run = solve_ivp(slope, (start, stop), state, "LSODA", looks, rtol=1e-9, atol=1e-11)
            largest = [max(largest[0], run.y[0].max()), max(largest[1], run.y[2].max())]
            state, start = run.y[:, -1], stop
    return state[1] * state[3], largest[0], largest[1]


def test_the_feed_ends_when_the_vessel_is_full():
    batch = ferment(**points(32))
    volume = np.asarray(batch["volume"])
    assert np.all(volume <= FULL_VOLUME * (1 + 1e-12))
    assert np.all(volume >= START_VOLUME)
    slow = ferment(**at(5.0, 60.0, 5.0, 60.0, 5.0, 150.0))
    assert slow["volume"] == pytest.approx(7.0 + 5.0 * 150.0 / 500.0, rel=1e-12)


def test_what_follows_the_harvest_is_cut():
    short = evaluate(**at(10.0, 60.0, 0.0, 60.0, 0.0, 60.0))
    assert evaluate(**at(10.0, 60.0, 50.0, 0.0, 20.0, 60.0)) == pytest.approx(short)
    level = evaluate(**at(10.0, 20.0, 10.0, 5.0, 10.0, 60.0))
    assert level == pytest.approx(short, rel=1e-5)


def test_substrate_that_is_missing_was_used():
    """Fed sugar is in the broth, in biomass, in product, or spent; nothing comes from nowhere."""
    grid = points(32)
    batch = ferment(**grid)
    fed = 500.0 * (np.asarray(batch["volume"]) - 7.0)
    left = np.asarray(batch["substrate"]) * np.asarray(batch["volume"])
    grown = np.asarray(batch["biomass"]) * np.asarray(batch["volume"]) - 1.5 * 7.0
    assert np.all(left > -1e-6)
    assert np.all(grown / 0.47 + np.asarray(batch["mass"]) / 1.2 <= fed - left + 1e-3)


def test_too_much_sugar_or_biomass_is_penalised_to_zero():
    outcomes = evaluate(**points(200))
    feasible = (outcomes["max_biomass"] <= 40) & (outcomes["max_substrate"] <= 25)
    assert np.all(outcomes["objective"][feasible] == outcomes["mass"][feasible])
    assert np.all(outcomes["objective"][~feasible] < outcomes["mass"][~feasible])
    assert 0.5 < np.mean(outcomes["objective"] == 0) < 0.9
    assert np.all(np.isfinite(outcomes["objective"]))


def test_a_faster_strain_leaves_less_sugar_in_between():
    peaks = [ferment(*CONSTANT_FEED, growth=mu)["max_substrate"] for mu in (0.1, 0.11, 0.12)]
    assert peaks == sorted(peaks, reverse=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_recipe_that_is_no_recipe_is_refused(value):
    with pytest.raises(ValueError, match="feed_2"):
        evaluate(**{**at(*CONSTANT_FEED), "feed_2": value})


def test_the_optimum_keeps_both_limits():
    outcomes = evaluate(**OPTIMUM["parameters"])
    assert OPTIMUM["objective"] >= 87.8365
    assert outcomes["max_biomass"] <= 40
    assert outcomes["max_substrate"] <= 25


def test_rates_of_one_point_are_the_same_as_numbers_and_as_arrays():
    random = np.random.default_rng(1)
    states = np.array([[40.0], [5.0], [30.0], [10.0]]) * random.uniform(size=(4, 500))
    feeds = 50.0 * random.uniform(size=500)
    for point in range(500):
        array = _slope(states[:, [point]], feeds[[point]], 0.11)
        assert np.array_equal(_slope(states[:, point], feeds[point], 0.11), array[:, 0])
