import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from simulators.transmon.model import (
    ANHARMONICITY,
    BOUNDS,
    MHZ,
    OPTIMUM,
    REPEATS,
    benchmark,
    coherent_error,
    decoherence_error,
    evaluate,
    gate,
    leakage_of,
    propagator,
)


def points(count):
    unit = np.random.default_rng(7).random((count, len(BOUNDS)))
    unit[:16] = [[index >> bit & 1 for bit in range(4)] for index in range(16)]
    return {
        name: low + (high - low) * unit[:, column]
        for column, (name, (low, high)) in enumerate(BOUNDS.items())
    }


def gaussian(duration, drag, amplitude=1.0, steps=200):
    """A pulse of another shape: Gaussian on no pedestal, on a qubit of -400 MHz."""
    sigma = duration / 4
    late = (np.arange(steps) + 0.5) * duration / steps - duration / 2
    bell = np.exp(-(late**2) / 2 / sigma**2)
    x = bell - np.exp(-2.0)
    scale = amplitude * np.pi / (x.sum() * duration / steps)
    y = drag * scale * bell * late / sigma**2 / (-400.0 * MHZ)
    return propagator(
        scale * x,
        y,
        step=np.asarray(duration / steps),
        detuning=0.0,
        anharmonicity=-400.0,
    )


def test_a_qubit_of_two_levels_is_turned_exactly():
    angle = 2 * np.pi * (np.arange(100) + 0.5) / 100
    x = np.pi / 20 * (1 - np.cos(angle))
    alone = propagator(x, 0 * x, step=np.asarray(0.2), detuning=0.0, coupling=0.0)
    assert abs(coherent_error(alone)) < 1e-13
    assert leakage_of(alone) == 0


def test_a_pulse_of_20_ns():
    unitary = gate(amplitude=1.0, drag=0.5, detuning=0.0, duration=20.0)
    assert coherent_error(unitary) == pytest.approx(8.553e-6, rel=2e-4)
    assert leakage_of(unitary) == pytest.approx(7.12e-7, rel=1e-3)


def test_the_number_of_steps_does_not_matter():
    pulse = {"amplitude": 1.0, "drag": 0.5, "detuning": 0.0, "duration": 20.0}
    errors = [coherent_error(gate(**pulse, steps=steps)) for steps in (100, 400, 1600)]
    assert np.ptp(errors) < 2e-4 * errors[-1]
    best = OPTIMUM["parameters"]
    finer = coherent_error(gate(**best, steps=1600)) + decoherence_error(best["duration"])
    assert OPTIMUM["outcomes"]["gate_error"] == pytest.approx(finer, rel=1e-4)


def test_decoherence_of_20_ns():
    assert decoherence_error(20.0) == pytest.approx(2.3328e-4, rel=2e-5)
    to_first_order = 0.020 / 6 * (1 / 50 + 2 / 40)
    assert to_first_order == pytest.approx(2.3333e-4, rel=2e-5)
    assert decoherence_error(20.0) == pytest.approx(to_first_order, rel=5e-4)


def test_decoherence_is_the_average_over_states():
    """Amplitude and phase damping of the six states on the axes, which average like all states."""
    duration = 8.0
    relaxed, coherent = np.exp(-duration / 50e3), np.exp(-duration / 40e3)
    infidelity = []
    for state in ([1, 0], [0, 1], [1, 1], [1, -1], [1, 1j], [1, -1j]):
        vector = np.array(state) / np.linalg.norm(state)
        before = np.outer(vector, vector.conj())
        after = before * np.array([[1.0, coherent], [coherent, relaxed]])
        after[0, 0] += before[1, 1] * (1 - relaxed)
        infidelity.append(1 - (vector.conj() @ after @ vector).real)
    assert decoherence_error(duration) == pytest.approx(np.mean(infidelity), rel=1e-9)


def test_a_gaussian_pulse_without_and_with_derivative():
    plain, derived = gaussian(20.0, 0.0), gaussian(20.0, 1.0)
    assert coherent_error(plain) == pytest.approx(1.69e-3, rel=3e-3)
    assert leakage_of(plain) == pytest.approx(4.17e-6, rel=3e-3)
    assert coherent_error(derived) == pytest.approx(1.71e-3, rel=3e-3)
    assert leakage_of(derived) == pytest.approx(1.9e-10, rel=0.02)


@pytest.mark.parametrize(
    ("duration", "drag", "error"),
    [
        (6.0, 0.4835, 1.05e-4),
        (10.0, 0.4948, 1.75e-5),
        (20.0, 0.4987, 1.05e-6),
        (30.0, 0.4995, 1.99e-7),
    ],
)
def test_on_resonance_half_the_derivative_is_best(duration, drag, error):
    """The known result of Lucero et al. (2010) and Chow et al. (2010), for long pulses."""
    best = minimize(
        lambda point: np.log10(coherent_error(gaussian(duration, *point))),
        [0.49, 1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-5},
    )
    assert best.x[0] == pytest.approx(drag, abs=2e-4)
    assert 10**best.fun == pytest.approx(error, rel=0.02)


def test_agrees_with_a_general_solver():
    """The Schroedinger equation of the continuous pulse, by an adaptive method."""
    amplitude, drag, detuning, duration = 0.97, 0.8, 12.0, 9.0
    lower = np.diag([1.0, np.sqrt(2.0)], 1)
    still = np.diag([0.0, detuning, 2 * detuning + ANHARMONICITY]) * MHZ

    def slope(t, state):
        phase = 2 * np.pi * t / duration
        x = amplitude * np.pi / duration * (1 - np.cos(phase))
        rise = 2 * np.pi**2 * amplitude / duration**2 * np.sin(phase)
        half = (x + 1j * drag * rise / (ANHARMONICITY * MHZ)) / 2 * lower
        return (-1j * (still + half + half.conj().T) @ state.reshape(3, 3)).ravel()

    start = np.eye(3, dtype=complex).ravel()
    end = solve_ivp(slope, (0, duration), start, method="DOP853", rtol=1e-11, atol=1e-13)
    pulse = gate(amplitude=amplitude, drag=drag, detuning=detuning, duration=duration, steps=1600)
    np.testing.assert_allclose(pulse, end.y[:, -1].reshape(3, 3), atol=3e-6)


def test_no_population_is_lost():
    unitary = gate(**points(100))
    gram = unitary.conj().swapaxes(-1, -2) @ unitary
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-12)


def test_a_train_of_gates_ends_in_the_second_level():
    best = benchmark(**OPTIMUM["parameters"])
    assert REPEATS % 2 == 1
    assert best["excited"] == pytest.approx(1.0, abs=1e-3)
    weak = benchmark(**{**OPTIMUM["parameters"], "amplitude": 0.9})
    assert weak["excited"] < 0.7


def test_short_relaxation_time_is_worse():
    best = OPTIMUM["parameters"]
    assert benchmark(**best, relaxation_time=30.0)["gate_error"] > evaluate(**best)["gate_error"]


def test_outcomes_belong_together():
    grid = evaluate(**points(256))
    assert all(np.all(np.isfinite(values)) for values in grid.values())
    np.testing.assert_allclose(10 ** grid["log_error"], grid["gate_error"])
    np.testing.assert_allclose(10 ** grid["log_leakage"], np.maximum(grid["leakage"], 1e-6))
    excess = np.maximum(np.log10(grid["leakage"] / 1e-5), 0)
    np.testing.assert_allclose(grid["objective"], grid["log_error"] + excess)
    assert np.all(grid["gate_error"] >= 0)
    assert np.all(grid["gate_error"] <= 1)
    assert np.all(grid["leakage"] <= 1)


def test_the_gate_error_at_the_optimum():
    outcomes = evaluate(**OPTIMUM["parameters"])
    assert outcomes["gate_error"] == pytest.approx(9.684e-5, rel=2e-4)
