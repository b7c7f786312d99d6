import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq, curve_fit, minimize_scalar

from simulators.laser_fusion.model import (
    BOUNDS,
    CONDUCTIVITY,
    DIFFUSIVITY,
    OPTIMUM,
    UNSTABLE_KEYHOLE,
    absorptivity,
    build,
    evaluate,
    keyhole_aspect,
    keyhole_number,
    unmelted_fraction,
)

KEYHOLES = Path(__file__).with_name("keyholes.csv")
"""90 keyholes seen with X-rays, as published with Gan et al. (2021)."""

METALS = {
    "Ti-6Al-4V": {"density": 3920, "heat_capacity": 830, "diffusivity": 1.02656e-5, "rise": 1630},
    "SS316": {"density": 6881, "heat_capacity": 790, "diffusivity": 4.9485e-6, "rise": 1430},
    "Al6061": {"density": 2415, "heat_capacity": 1170, "diffusivity": 3.18522e-5, "rise": 622},
}

POROSITIES = [  # power (W), speed (m/s), measured porosity (%); hatch 100 um, layer 30 um
    (175.0, 0.199865, 3.23),
    (175.0, 0.300534, 1.62),
    (175.0, 0.398059, 0.644),
    (175.0, 0.597141, 0.232),
    (175.0, 0.698849, 0.365),
    (175.0, 0.797487, 0.614),
    (175.0, 0.899225, 0.780),
    (175.0, 0.998029, 1.21),
    (175.0, 1.09989, 1.51),
    (100.0, 0.6, 0.899365),
    (111.0, 0.6, 0.368415),
    (122.0, 0.6, 0.141263),
    (133.0, 0.6, 0.110314),
    (144.0, 0.6, 0.12369),
    (156.0, 0.6, 0.111749),
    (167.0, 0.6, 0.0997869),
    (177.0, 0.6, 0.138436),
    (189.0, 0.6, 0.145504),
    (200.0, 0.6, 0.380378),
]


@pytest.fixture(scope="module")
def keyholes():
    with KEYHOLES.open() as file:
        rows = list(csv.DictReader(file))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {key: col if key == "material" else col.astype(float) for key, col in columns.items()}


def points(count):
    unit = np.random.default_rng(7).random((count, len(BOUNDS)))
    unit[:16] = [[index >> bit & 1 for bit in range(4)] for index in range(16)]
    return {
        name: low + (high - low) * unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


def r_squared(measured, computed):
    return 1 - np.sum((measured - computed) ** 2) / np.sum((measured - measured.mean()) ** 2)


def test_published_keyhole_numbers_of_three_metals(keyholes):
    assert len(keyholes["material"]) == 90
    for material, constants in METALS.items():
        own = keyholes["material"] == material
        computed = keyhole_number(
            keyholes["absorbed"][own],
            keyholes["speed"][own],
            radius=keyholes["radius"][own],
            **constants,
        )
        np.testing.assert_allclose(computed, keyholes["keyhole_number"][own], rtol=2e-4)


def test_published_keyhole_depths(keyholes):
    computed = keyhole_aspect(keyholes["keyhole_number"])
    assert r_squared(keyholes["aspect"], computed) == pytest.approx(0.975, abs=0.001)
    assert np.sqrt(np.mean((keyholes["aspect"] - computed) ** 2)) == pytest.approx(0.443, abs=0.002)


def test_a_line_of_its_own_would_fit_the_depths_little_better(keyholes):
    slope, intercept = np.polyfit(keyholes["keyhole_number"], keyholes["aspect"], 1)
    assert (slope, intercept) == (pytest.approx(0.383, abs=5e-4), pytest.approx(-0.305, abs=5e-4))
    fitted = slope * keyholes["keyhole_number"] + intercept
    assert r_squared(keyholes["aspect"], fitted) == pytest.approx(0.978, abs=0.001)


def test_published_absorptivities(keyholes):
    own = keyholes["material"] == "Ti-6Al-4V"
    full = keyhole_number(
        keyholes["power"][own], keyholes["speed"][own], radius=keyholes["radius"][own]
    )
    error = absorptivity(full) - keyholes["absorptivity"][own]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(0.039, abs=0.001)


@pytest.mark.parametrize(
    ("speed", "porosity"),
    [(0.2, 3.233), (0.3, 1.625), (0.4, 0.704), (0.6, 0.311), (0.9, 0.34), (1.1, 0.84)],
)
def test_porosity_at_175_w(speed, porosity):
    made = build(power=175.0, speed=speed, hatch=100.0, layer=30.0)
    assert made["porosity"] == pytest.approx(porosity, abs=0.005)


def test_published_porosities():
    power, speed, measured = np.array(POROSITIES).T
    computed = build(power=power, speed=speed, hatch=100.0, layer=30.0)["porosity"]
    assert r_squared(measured, computed) == pytest.approx(0.84, abs=0.005)
    assert np.sqrt(np.mean((measured - computed) ** 2)) == pytest.approx(0.31, abs=0.005)


def test_porosity_is_the_least_squares_fit_to_the_published():
    """So the keyhole number of the first pores, about 6 after Gan et al., comes from them alone."""
    power, speed, measured = np.array(POROSITIES).T
    made = build(power=power, speed=speed, hatch=100.0, layer=30.0)
    hatch, layer = np.full_like(power, 100.0), np.full_like(power, 30.0)
    gaps = unmelted_fraction(hatch, layer, made["melt_width"], made["melt_depth"])

    def porosity(_, floor, of_gaps, of_keyholes, unstable):
        excess = np.maximum(made["keyhole_number"] - unstable, 0.0)
        return 100.0 * (floor + of_gaps * gaps + of_keyholes * excess)

    found, _ = curve_fit(porosity, power, measured, p0=[0.001, 0.1, 0.01, 5.0])
    assert found == pytest.approx([0.00311, 0.058, 0.0055, UNSTABLE_KEYHOLE], rel=0.01)


def test_lack_of_fusion_begins_where_it_was_measured():
    """The pools no longer overlap down to the layer below from 0.85 m/s on, by Tang's criterion."""

    def criterion(speed):
        made = build(power=175.0, speed=speed, hatch=100.0, layer=30.0)
        return (100.0 / made["melt_width"]) ** 2 + (30.0 / made["melt_depth"]) ** 2 - 1.0

    assert brentq(criterion, 0.5, 1.2) == pytest.approx(0.85, abs=0.04)


def test_pool_agrees_with_the_whole_solution_of_rosenthal():
    """Its width is the limit of a fast source, so the solution itself comes near at high power."""

    def half_width(along, absorbed, speed):
        def excess(across):
            distance = np.hypot(along, across)
            heat = absorbed / (2 * np.pi * CONDUCTIVITY * distance)
            return heat * np.exp(-speed * (along + distance) / (2 * DIFFUSIVITY)) - 1630.0

        return brentq(excess, 0.0, 1e-3) if excess(0.0) > 0 else 0.0

    made = build(power=370.0, speed=2.0, hatch=100.0, layer=30.0)
    length = made["balling_ratio"] * made["melt_width"] * 1e-6
    widest = minimize_scalar(
        lambda along: -half_width(along, made["absorbed_power"], 2.0),
        bounds=(-length, 0.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert made["melt_width"] == pytest.approx(-2e6 * widest.fun, rel=0.02)
    assert half_width(-0.999 * length, made["absorbed_power"], 2.0) > 0
    assert half_width(-1.001 * length, made["absorbed_power"], 2.0) == 0


def test_unmelted_fraction_of_a_pool_that_does_not_reach_its_neighbour():
    """Nothing is melted outside the pool; within it, all of a thin layer."""
    one = [np.asarray(value) for value in (200.0, 1e-3, 100.0, 50.0)]
    assert unmelted_fraction(*one) == pytest.approx(0.5)
    deep = [np.asarray(value) for value in (80.0, 10.0, 100.0, 50.0)]
    assert unmelted_fraction(*deep) == 0


def test_a_hot_plate_is_worth_power():
    cold = build(power=200.0, speed=1.0, hatch=100.0, layer=30.0)
    hot = build(power=200.0, speed=1.0, hatch=100.0, layer=30.0, plate_temperature=200.0)
    more = build(power=200.0 * 1630 / 1450, speed=1.0, hatch=100.0, layer=30.0)
    assert hot["melt_width"] > 1.05 * cold["melt_width"]
    assert hot["melt_width"] == pytest.approx(more["melt_width"], rel=1e-12)
    assert hot["porosity"] == pytest.approx(more["porosity"], rel=1e-12)


def test_what_grows_with_what():
    base = {"power": 250.0, "speed": 1.2, "hatch": 110.0, "layer": 40.0}
    grown = {
        name: evaluate(**{**base, name: np.linspace(*bounds, 50)})
        for name, bounds in BOUNDS.items()
    }
    assert np.all(np.diff(grown["power"]["melt_depth"]) > 0)
    assert np.all(np.diff(grown["speed"]["melt_width"]) < 0)
    assert np.all(np.diff(grown["hatch"]["porosity"]) >= 0)
    assert np.all(np.diff(grown["layer"]["porosity"]) >= 0)
    assert grown["speed"]["build_rate"] == pytest.approx(np.linspace(0.3, 2.0, 50) * 4.4 * 3.6)


def test_the_objective_is_the_build_rate_unless_a_limit_is_broken():
    grid = evaluate(**points(2000))
    allowed = (grid["porosity"] <= 0.5) & (grid["balling_ratio"] <= np.pi)
    np.testing.assert_array_equal(grid["objective"][allowed], grid["build_rate"][allowed])
    assert np.all(grid["objective"][~allowed] < grid["build_rate"][~allowed])
    assert all(np.all(np.isfinite(values)) for values in grid.values())


def test_a_usual_setting():
    usual = evaluate(power=280.0, speed=1.2, hatch=140.0, layer=30.0)
    assert usual["build_rate"] == pytest.approx(18.1, abs=0.05)
    assert usual["porosity"] == pytest.approx(0.60, abs=0.005)


def test_the_optimum_is_where_the_keyhole_is_just_stable():
    outcomes = evaluate(**OPTIMUM["parameters"])
    assert outcomes["objective"] == pytest.approx(38.205889, rel=1e-7)
    assert build(**OPTIMUM["parameters"])["keyhole_number"] == pytest.approx(
        UNSTABLE_KEYHOLE, rel=1e-8
    )
