import numpy as np
import pytest

from simulators.tokamak import model
from simulators.tokamak.model import (
    BOUNDS,
    COLLAPSED,
    DISRUPTED,
    HIGH,
    LOW,
    OPTIMUM,
    argon_cooling,
    confinement_time,
    discharge,
    evaluate,
    h_mode_threshold,
    reactivity,
    safety_factor,
    synchrotron,
)

GREENWALD = 15.0 / (np.pi * 4.0)
ITER = {
    "plasma_current": 15.0,
    "field": 5.3,
    "greenwald_fraction": 1.01 / GREENWALD,
    "heating_power": 50.0,
    "tritium_fraction": 0.5,
    "argon_fraction": 0.12,
}
"""The inductive reference scenario of ITER, to produce 500 MW with a gain of 10."""


def points(count: int, seed: int = 7) -> dict[str, np.ndarray]:
    unit = np.random.default_rng(seed).random((count, len(BOUNDS)))
    return {
        name: low + (high - low) * unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


@pytest.fixture(scope="module")
def box() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Points all over the box, and their outcomes."""
    grid = points(768)
    return grid, evaluate(**grid)


def test_reactivity_is_the_table_of_bosch_and_hale():
    published = [6.857e-21, 2.977e-19, 1.366e-17, 1.136e-16, 4.330e-16]
    rates = reactivity(np.array([1.0, 2.0, 5.0, 10.0, 20.0]))
    np.testing.assert_allclose(rates, published, rtol=3e-4)
    computed = [6.8569e-21, 2.9774e-19, 1.3658e-17, 1.1362e-16, 4.3302e-16]
    np.testing.assert_allclose(rates, computed, rtol=5e-5)


def test_safety_factor_and_greenwald_density_of_iter():
    assert float(safety_factor(15.0, 5.3)) == pytest.approx(2.996, abs=5e-4)
    assert pytest.approx(1.194, abs=5e-4) == GREENWALD


def test_confinement_time_of_iter():
    tau = float(confinement_time(87.0, 15.0, 5.3, 1.01, 0.5))
    assert tau == pytest.approx(3.606, abs=5e-4)
    assert tau == pytest.approx(3.7, rel=0.03)  # what ITER's designers quote


def test_iter_makes_500_mw_with_a_gain_of_ten():
    """Nothing is tuned to that."""
    outcomes = evaluate(**ITER)
    assert outcomes["fusion_power"] == pytest.approx(504.5, abs=0.2)
    assert outcomes["gain"] == pytest.approx(10.09, abs=0.005)
    assert outcomes["fusion_power"] == pytest.approx(500.0, rel=0.02)
    assert outcomes["regime"] == HIGH


@pytest.fixture
def finer_grid(monkeypatch):
    """Midpoints of a grid of 40 radii, with as fine a scan of temperatures."""
    radii = (np.arange(40) + 0.5) / 40.0
    monkeypatch.setattr(model, "WEIGHTS", 2.0 * radii / 40.0)
    monkeypatch.setattr(model, "DENSITY_SHAPE", 1.1 * (1.0 - radii**2) ** 0.1)
    monkeypatch.setattr(model, "TEMPERATURE_SHAPE", 2.0 * (1.0 - radii**2))
    monkeypatch.setattr(model, "SCAN", np.linspace(0.5, 40.0, 160))
    return radii


def test_a_peaked_temperature_makes_more_power(finer_grid, monkeypatch):
    monkeypatch.setattr(model, "TEMPERATURE_SHAPE", 2.5 * (1.0 - finer_grid**2) ** 1.5)
    assert evaluate(**ITER)["fusion_power"] == pytest.approx(617.0, rel=0.01)


@pytest.mark.usefixtures("finer_grid")
def test_a_finer_grid_changes_iter_little():
    outcomes = evaluate(**ITER)
    assert outcomes["fusion_power"] == pytest.approx(502.8, abs=0.2)
    assert outcomes["gain"] == pytest.approx(10.06, abs=0.005)


def test_a_worse_mirror_radiates_more(monkeypatch):
    monkeypatch.setattr(model, "WALL_REFLECTION", 0.6)
    outcomes = evaluate(**ITER)
    assert outcomes["fusion_power"] == pytest.approx(494.0, abs=2.0)
    assert outcomes["gain"] == pytest.approx(9.88, abs=0.04)


@pytest.mark.parametrize(("power", "beta"), [(40.0, 1.67), (50.0, 1.77)])
def test_thermal_beta_of_iter(power, beta):
    outcomes = evaluate(**{**ITER, "heating_power": power})
    assert outcomes["beta_n"] == pytest.approx(beta, abs=0.01)


def test_argon_cools_as_the_published_pieces_join():
    for joint in (0.6, 3.0):
        below, above = argon_cooling(np.array([joint - 1e-9, joint]))
        assert above == pytest.approx(below, rel=0.05)
    assert float(argon_cooling(0.01)) == float(argon_cooling(0.1))


def test_power_balance_is_closed_by_the_scaling_law():
    """From the state alone: what heats, less what it radiates in the core, is W / tau."""
    settings = {**ITER, "argon_fraction": 0.0}
    state = {name: float(value[0]) for name, value in discharge(**settings).items()}
    heating = 0.2001 * state["fusion_power"] + 1.0 + 50.0
    lost = heating - state["radiated_power"]
    tau = float(confinement_time(lost, 15.0, 5.3, 1.01, 0.5))
    assert state["stored_energy"] == pytest.approx(tau * lost, rel=1e-6)
    assert state["separatrix_power"] == pytest.approx(lost, rel=1e-12)


def test_ash_is_what_the_burn_leaves_in_five_confinement_times():
    state = {name: float(value[0]) for name, value in discharge(**ITER).items()}
    argon = state["radiated_power"] - float(
        discharge(**{**ITER, "argon_fraction": 0.0})["radiated_power"][0]
    )
    assert 0 < argon < state["radiated_power"]
    fusions = state["fusion_power"] * 1e6 / model.FUSION_ENERGY / model.VOLUME / 1e20
    tau = 5.0 * state["stored_energy"] / (state["separatrix_power"] + 2.0 / 3.0 * argon)
    assert state["helium"] == pytest.approx(tau * fusions / 1.01, rel=0.03)


def test_synchrotron_radiation_grows_with_field_and_temperature():
    assert 3.0 < float(synchrotron(1.11, 18.3, 5.3)) < 10.0
    assert float(synchrotron(1.11, 18.3, 5.3)) > float(synchrotron(1.11, 18.3, 4.0))
    assert float(synchrotron(1.11, 30.0, 5.3)) > 2 * float(synchrotron(1.11, 18.3, 5.3))


def test_regimes_follow_their_definitions(box):
    grid, outcomes = box
    regime = outcomes["regime"]
    density = grid["greenwald_fraction"] * grid["plasma_current"] / (np.pi * 4.0)
    threshold = h_mode_threshold(density, grid["field"], grid["tritium_fraction"])
    assert set(np.unique(regime)) == {COLLAPSED, LOW, HIGH}
    assert np.all(outcomes["separatrix_power"][regime == HIGH] >= threshold[regime == HIGH])
    assert 0.15 < np.mean(regime == COLLAPSED) < 0.25
    for name in ("fusion_power", "gain", "separatrix_power", "beta_n", "objective"):
        assert np.all(outcomes[name][regime == COLLAPSED] == 0)
    assert np.all(outcomes["fusion_power"][regime >= LOW] > 0)
    assert all(np.all(np.isfinite(values)) for values in outcomes.values())


@pytest.mark.parametrize(
    "broken", [{"plasma_current": 17.0, "field": 4.0}, {"greenwald_fraction": 1.21}]
)
def test_disruptions_leave_nothing_but_the_safety_factor(broken):
    outcomes = evaluate(**{**ITER, **broken})
    assert outcomes.pop("regime") == DISRUPTED
    assert outcomes.pop("q95") > 0
    assert set(outcomes.values()) == {0.0}


def test_a_weak_plasma_falls_back_to_l_mode():
    strong = evaluate(**{**ITER, "heating_power": 40.0})
    weak = evaluate(**{**ITER, "heating_power": 30.0})
    assert strong["regime"] == HIGH
    assert weak["regime"] == LOW
    assert weak["fusion_power"] < 0.1 * strong["fusion_power"]


def test_objective_is_penalized_for_each_broken_constraint(box):
    grid, outcomes = box
    penalty = sum(
        np.maximum(violation, 0.0)
        for violation in (
            1 - outcomes["q95"] / 3,
            grid["greenwald_fraction"] - 1,
            1 - outcomes["gain"] / 10,
            outcomes["separatrix_power"] / 100 - 1,
            outcomes["beta_n"] / 2.8 - 1,
            outcomes["fusion_power"] / 700 - 1,
        )
    )
    expected = outcomes["fusion_power"] * np.exp(-10 * penalty)
    np.testing.assert_allclose(outcomes["objective"], expected, rtol=1e-12)


def test_the_optimum_breaks_no_constraint():
    outcomes = evaluate(**OPTIMUM["parameters"])
    assert outcomes["objective"] == pytest.approx(outcomes["fusion_power"], rel=1e-6)
    assert outcomes["objective"] == pytest.approx(580.0, rel=1e-3)


def test_one_array_among_floats_makes_all_outcomes_arrays():
    mixed = evaluate(**{**ITER, "field": np.full(3, 5.3)})
    assert all(len(values) == 3 for values in mixed.values())


@pytest.mark.parametrize("at_once", [1, 5])
def test_how_many_halvings_are_computed_together_changes_no_bit(monkeypatch, box, at_once):
    given = {name: values[:64] for name, values in box[0].items()}
    together = discharge(**given)
    monkeypatch.setattr(model, "AT_ONCE", at_once)
    for name, value in discharge(**given).items():
        assert np.array_equal(value, together[name]), name
