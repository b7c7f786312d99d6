import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from simulators.table.emulator import Emulator, Points, TooFew
from simulators.table.gaussian_process import GaussianProcess, _Search
from simulators.table.reach import Reach


def smooth(x):
    """A known function of two parameters on very different scales."""
    return np.sin(3.0 * x[:, 0]) + (x[:, 1] / 100.0) ** 2


def measured(rows=120, noise=0.05, repeats=1, seed=0):
    random = np.random.default_rng(seed)
    x = np.repeat(random.uniform([0, 0], [1, 100], (rows, 2)), repeats, axis=0)
    return x, (smooth(x) + random.normal(0.0, noise, len(x)))[:, None]


def fresh(count=400, seed=9):
    return np.random.default_rng(seed).uniform([0.05, 5], [0.95, 95], (count, 2))


def test_the_gradient_of_the_likelihood_is_that_of_differences():
    random = np.random.default_rng(1)
    x, count = random.uniform(size=(25, 3)), random.integers(1, 4, 25).astype(float)
    search = _Search(x, random.normal(size=25), count, 2.5)
    for logs in ([-1.0, 0.2, 1.0, 0.3, -3.0], [0.5, -2.0, 0.0, -1.0, -0.5]):
        numeric = approx_fprime(np.array(logs), lambda at: search.loss(at)[0], 1e-6)
        assert search.loss(np.array(logs))[1] == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_a_known_function_is_found_again():
    emulator = Emulator(*measured(noise=0.01))
    points = fresh()
    found = np.array([emulator.evaluate(point)[0] for point in points])
    assert np.max(np.abs(found - smooth(points))) < 0.05
    assert emulator.quality[0].r2 > 0.99
    assert emulator.quality[0].noise_from == "fit"
    assert emulator.quality[0].noise_sd == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_intervals_hold_what_they_promise(noise):
    covered, seen = [], []
    for seed in range(4):
        emulator = Emulator(*measured(noise=noise, seed=seed))
        seen.append(emulator.quality[0].coverage)
        for point in fresh(100, seed=100 + seed):
            deviation = emulator.deviation(point)[0]
            error = emulator.evaluate(point)[0] - float(smooth(point[None])[0])
            covered.append(abs(error) <= 1.96 * deviation)
    assert 0.88 <= np.mean(covered) <= 1.0
    assert 0.90 <= np.mean(seen) <= 0.99


def test_leave_one_out_is_what_leaving_one_out_gives():
    x, y = measured(rows=30)
    count, scatter = np.ones(30), np.zeros(30)
    unit = x / [1.0, 100.0]
    process = GaussianProcess(unit, y[:, 0], count, scatter)
    expected, deviation = process.leave_one_out()
    from simulators.table.gaussian_process import distance, matern

    noise = process.noise_sd**2
    centre, scale = np.mean(y), np.std(y)
    covariance = process.signal * scale**2 * matern(distance(unit, unit, process.lengths))
    for one in (0, 7, 29):
        others = np.arange(30) != one
        inner = covariance[np.ix_(others, others)] + noise * np.eye(29)
        weights = np.linalg.solve(inner, covariance[others, one])
        assert expected[one] == pytest.approx(
            centre + weights @ (y[others, 0] - centre), rel=1e-4, abs=1e-4
        )
        left = covariance[one, one] + noise - weights @ covariance[others, one]
        assert deviation[one] == pytest.approx(math.sqrt(left), rel=1e-4)


def test_replicates_give_the_noise():
    x, y = measured(rows=40, noise=0.1, repeats=3, seed=3)
    emulator = Emulator(x, y)
    assert emulator.points.repeats == 80
    assert len(emulator.points.x) == 40
    assert emulator.quality[0].noise_from == "replicates"
    groups = y.reshape(40, 3)
    assert emulator.quality[0].noise_sd == pytest.approx(
        math.sqrt(np.mean(groups.var(axis=1, ddof=1)))
    )
    assert emulator._processes[0].noise_sd == pytest.approx(0.1, rel=0.2)


def test_copies_of_rows_are_no_replicates():
    x, y = measured(rows=60, noise=0.05)
    twice = Emulator(np.repeat(x, 3, axis=0), np.repeat(y, 3, axis=0))
    once = Emulator(x, y)
    assert twice.quality[0].noise_from == "fit"
    assert twice.quality[0].noise_sd == pytest.approx(once.quality[0].noise_sd, rel=1e-6)


def test_nearest_gives_the_nearest_point_and_no_interval():
    x, y = measured(rows=50)
    emulator = Emulator(x, y, "nearest")
    assert emulator.evaluate(x[7] + [0.001, 0.1]) == pytest.approx(y[7])
    assert emulator.deviation(x[7]) is None
    assert (emulator.quality[0].coverage, emulator.quality[0].noise_sd) == (None, 0.0)


def test_an_outcome_that_does_not_depend_on_anything_is_called_so():
    random = np.random.default_rng(5)
    emulator = Emulator(random.uniform(size=(80, 2)), random.normal(size=(80, 1)))
    assert emulator.quality[0].r2 < 0.3
    assert emulator.quality[0].noise_sd == pytest.approx(1.0, rel=0.3)


def test_of_many_points_a_seeded_choice_is_used(monkeypatch):
    monkeypatch.setattr("simulators.table.emulator.MOST_POINTS", 60)
    monkeypatch.setattr("simulators.table.gaussian_process.MOST_FITTED", 40)
    x, y = measured(rows=200)
    one, same, other = (Emulator(x, y, seed=seed) for seed in (0, 0, 1))
    assert one.used == 60
    assert one.evaluate([0.5, 50]) == same.evaluate([0.5, 50])
    assert one.evaluate([0.5, 50]) != other.evaluate([0.5, 50])
    assert one.quality[0].r2 > 0.9


def test_four_points_are_too_few():
    with pytest.raises(TooFew, match="4 distinct points"):
        Points.of(np.repeat(np.arange(4.0)[:, None], 5, axis=0), np.arange(20.0)[:, None])


def grid(*levels):
    axes = [np.linspace(0.0, 1.0, count) for count in levels]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)


@pytest.mark.parametrize(
    "levels", [(2, 2, 2), (6, 6, 6), (2, 40), (3, 21), (5, 2, 2, 2, 2)], ids=str
)
def test_every_point_of_a_full_grid_is_within_reach(levels):
    reach = Reach(grid(*levels))
    points = np.random.default_rng(0).uniform(size=(300, len(levels)))
    assert max(reach.distance(point) for point in points) <= reach.limit


def test_a_hole_and_an_empty_corner_are_out_of_reach():
    x = grid(15, 15)
    hole = np.linalg.norm(x - 0.5, axis=1) > 0.3
    assert Reach(x[hole]).distance([0.5, 0.5]) > Reach(x[hole]).limit
    corner = Reach(x[x.sum(axis=1) <= 1.0])
    assert corner.distance([0.95, 0.95]) > corner.limit
    assert corner.distance([0.3, 0.3]) <= corner.limit


def test_a_stray_row_does_not_stretch_the_reach():
    x = np.vstack([np.random.default_rng(2).uniform(size=(80, 2)), [[10.0, 10.0]]])
    reach = Reach(x)
    assert reach.distance([5.0, 5.0]) > reach.limit
    assert reach.distance([0.5, 0.5]) <= reach.limit
