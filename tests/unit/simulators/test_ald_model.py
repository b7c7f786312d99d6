import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from simulators.ald.model import (
    BOUNDS,
    CYCLES,
    GPC_TOLERANCE,
    OPTIMUM,
    PROCESSES,
    THICKNESS_PER_CYCLE,
    TWIN_PROCESS,
    evaluate,
    growth_per_cycle,
)

DOWNSTREAM = {"pressure_factor": 0.5, "purge_time_factor": 1.5}


def points(count: int) -> dict[str, np.ndarray]:
    unit = np.random.default_rng(7).random((count, len(BOUNDS)))
    unit[:16] = [[index >> bit & 1 for bit in range(4)] for index in range(16)]
    return {
        name: low * (high / low) ** unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


def at(*values: float) -> dict[str, float]:
    return dict(zip(BOUNDS, values, strict=True))


@pytest.mark.parametrize(
    ("process", "first", "second"),
    [
        ("Al2O3 200 degC", 85.677, 17.135),
        ("Al2O3 100 degC", 10.763, 2.1526),
        ("TiO2 200 degC", 0.5608, 89.104),
        ("W 200 degC", 337.47, 738.62),
    ],
)
def test_rates_on_a_free_site(process, first, second):
    chemistry = PROCESSES[process]
    assert chemistry.rate(chemistry.first) == pytest.approx(first, rel=5e-5)
    assert chemistry.rate(chemistry.second) == pytest.approx(second, rel=5e-5)


@pytest.mark.parametrize(
    ("process", "times", "of_their_code", "exact"),
    [
        ("Al2O3 200 degC", (0.1, 1, 0.5, 1), 1.03648, 1.03765),
        ("Al2O3 100 degC", (0.2, 4, 1, 3), 0.73018, 0.73092),
        ("Al2O3 100 degC", (0.1, 1, 0.5, 1), 0.22712, 0.22712),
        ("TiO2 200 degC", (1, 5, 1, 5), 0.42724, 0.42924),
    ],
)
def test_agrees_with_the_published_code(process, times, of_their_code, exact):
    growth = growth_per_cycle(PROCESSES[process], **at(*times))
    assert growth == pytest.approx(of_their_code, rel=5e-3)  # what their coarse steps cost
    assert growth == pytest.approx(exact, abs=2e-5)


def test_agrees_with_the_published_code_where_its_steps_are_coarse():
    growth = growth_per_cycle(PROCESSES["Al2O3 200 degC"], **at(0.05, 0.3, 0.3, 0.3))
    assert growth == pytest.approx(1.4951, rel=2e-2)
    assert growth == pytest.approx(1.5154, abs=5e-5)


@pytest.mark.parametrize(
    ("process", "times"),
    [
        ("Al2O3 200 degC", (0.2, 4, 1, 3)),
        ("Al2O3 100 degC", (7, 60, 6, 180)),
        ("TiO2 200 degC", (24, 2, 0.2, 3)),
        ("W 200 degC", (0.04, 4, 0.02, 4)),
    ],
)
def test_published_timings_saturate(process, times):
    assert growth_per_cycle(PROCESSES[process], **at(*times)) == pytest.approx(1.0, abs=1e-5)


def test_safe_timing_is_slow_and_uniform():
    outcomes = evaluate(**at(7.0, 60.0, 6.0, 180.0))
    assert outcomes["rate"] == pytest.approx(1.592, abs=1e-3)
    assert outcomes["gpc_up"] == pytest.approx(1.0, abs=1e-5)
    assert outcomes["gpc_down"] == pytest.approx(0.99844, abs=3e-5)
    assert outcomes["objective"] == outcomes["rate"]


def test_thickness_per_cycle_follows_from_the_site_and_the_density():
    density, molar_mass, avogadro = 3.0e6, 101.96, 6.02214076e23  # g/m3, g/mol, 1/mol
    nanometres = 1e9 * molar_mass / (2 * density * avogadro) / PROCESSES[TWIN_PROCESS].site_area
    assert nanometres == pytest.approx(THICKNESS_PER_CYCLE, abs=5e-4)


def test_agrees_with_a_general_solver():
    grid = points(24)
    for factors in ({}, DOWNSTREAM):
        mine = np.asarray(growth_per_cycle(PROCESSES[TWIN_PROCESS], **grid, **factors))
        general = [
            by_solver([float(grid[name][index]) for name in BOUNDS], **factors)
            for index in range(24)
        ]
        np.testing.assert_allclose(mine, general, rtol=3e-4)


def by_solver(
    times: list[float], pressure_factor: float = 1.0, purge_time_factor: float = 1.0
) -> float:
    """Growth in the last cycle, by LSODA, one phase after another."""
    process = PROCESSES[TWIN_PROCESS]
    decay = [1 / (p.purge_time * purge_time_factor) for p in (process.first, process.second)]
    dosed = [
        process.rate(precursor) * pressure_factor * time / (time + 1 / decay[index])
        for index, (precursor, time) in enumerate(
            ((process.first, times[0]), (process.second, times[2]))
        )
    ]
    left, coverage, growth = [0.0, 0.0], 0.0, 0.0
    for _ in range(CYCLES):
        growth = 0.0
        for phase, duration in enumerate(times):
            falls = list(decay)
            if phase in (0, 2):
                left[phase // 2], falls[phase // 2] = dosed[phase // 2], 0.0

            def slope(t, y, left=tuple(left), falls=tuple(falls)):
                a1, a2 = (a * math.exp(-fall * t) for a, fall in zip(left, falls, strict=True))
                return [a1 * (1 - y[0]) - a2 * y[0], a1 * (1 - y[0])]

            end = solve_ivp(
                slope, (0, duration), [coverage, 0.0], method="LSODA", rtol=1e-8, atol=1e-10
            )
            coverage, growth = end.y[0, -1], growth + end.y[1, -1]
            left = [a * math.exp(-f * duration) for a, f in zip(left, falls, strict=True)]
    return growth


def test_a_perfect_purge_never_grows_more_than_one_layer():
    grid = {**points(100), "purge_1": np.full(100, 1e4), "purge_2": np.full(100, 1e4)}
    growth = np.asarray(growth_per_cycle(PROCESSES[TWIN_PROCESS], **grid))
    assert np.all(growth <= 1 + 1e-9)
    longer = {**grid, "dose_1": 2 * grid["dose_1"]}
    assert np.all(np.asarray(growth_per_cycle(PROCESSES[TWIN_PROCESS], **longer)) >= growth - 1e-9)


def test_a_short_purge_adds_growth():
    purges = np.geomspace(2, 120, 20)
    outcomes = evaluate(dose_1=7.0, purge_1=purges, dose_2=6.0, purge_2=180.0)
    for monitor in ("gpc_up", "gpc_down"):
        assert np.all(np.diff(np.asarray(outcomes[monitor])) < 1e-9)
        assert outcomes[monitor][0] > 2


def test_the_optimum_keeps_the_tolerance_at_both_crystals():
    outcomes = evaluate(**OPTIMUM["parameters"])
    assert OPTIMUM["objective"] == pytest.approx(5.6314, abs=1e-4)
    assert outcomes["gpc_up"] <= 1 + GPC_TOLERANCE
    assert outcomes["gpc_down"] >= 1 - GPC_TOLERANCE
