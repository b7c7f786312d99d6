from functools import partial

import numpy as np
import pytest

from simulators.transmon import instrument
from simulators.transmon.instrument import RUN_TIME
from simulators.transmon.model import benchmark
from tests.unit.simulators.rig import shipped

Lab = partial(shipped, "transmon")
SETTINGS = {"amplitude": 0.97, "drag": 0.91, "detuning": 14.7, "duration": 8.5}

BEST = {"amplitude": 0.974242, "drag": 0.975549, "detuning": 15.252681, "duration": 8.5}
"""The best pulse of 8.5 ns, where hardly anything but decoherence is left."""


def truth(**changes):
    return benchmark(**{**SETTINGS, **changes})


def test_the_local_oscillator_needs_a_millisecond():
    lab = Lab()
    lab.put("LO:FREQ:SP", 20.0)
    assert lab.twin.step(1e-3)
    assert lab.pvs["LO:FREQ:RB"].value == pytest.approx(20 - 20 / np.e)


def test_the_length_of_a_pulse_is_a_multiple_of_half_a_nanosecond():
    lab = Lab()
    lab.set({"duration": 8.241})
    assert lab.pvs["AWG:LEN:SP"].value == 8.241
    assert lab.pvs["AWG:LEN:RB"].value == 8.0


def test_measurement_is_the_model_with_the_stated_noise():
    lab = Lab()
    lab.set({**SETTINGS, "drag": 0.0})
    readings = [lab.measure() for _ in range(200)]
    true = truth(drag=0.0)

    def read(name):
        return np.array([reading[name] for reading in readings])

    assert read("log_error").mean() == pytest.approx(true["log_error"], abs=0.012)
    assert read("log_error").std() == pytest.approx(0.05, rel=0.15)
    shot_noise = np.sqrt(true["leakage"] * (1 - true["leakage"]) / 1e6)
    assert read("leakage").mean() == pytest.approx(true["leakage"], abs=0.25 * shot_noise)
    assert read("leakage").std() == pytest.approx(shot_noise, rel=0.15)
    right = 0.02 + 0.96 * true["excited"]
    assert read("excited").mean() == pytest.approx(right, abs=0.003)
    assert read("excited").std() == pytest.approx(np.sqrt(right * (1 - right) / 2000), rel=0.15)
    np.testing.assert_allclose(10 ** read("log_error"), read("gate_error"))
    np.testing.assert_allclose(10 ** read("log_leakage"), read("leakage"))
    assert set(lab.slept) == {RUN_TIME}


def test_leakage_below_what_can_be_seen_is_given_as_the_least_that_can():
    lab = Lab()
    lab.set({"drag": 1.0, "duration": 40.0})
    assert lab.measure()["leakage"] == 1e-6
    assert lab.measure()["log_leakage"] == pytest.approx(-6.0)


def test_the_qubit_can_be_made_to_drift_and_to_come_back():
    lab = Lab()
    lab.set(BEST)
    still = [lab.measure()["gate_error"] for _ in range(200)]
    lab.put("QUBIT:DRIFT", 1)
    lab.set(BEST)
    drifting = [lab.measure()["gate_error"] for _ in range(200)]
    ratio = np.array(drifting) / still  # the same noise in both, so only the drift is left
    nominal = benchmark(**BEST)["gate_error"]
    short, long = (
        benchmark(**BEST, relaxation_time=t1)["gate_error"] / nominal for t1 in (30.0, 70.0)
    )
    near = [np.minimum(abs(one - short), abs(one - long)) for one in ratio]
    assert max(near) < 0.01
    assert ratio.max() - ratio.min() > 0.9 * (short - long)
    lab.put("QUBIT:DRIFT", 0)
    lab.set(BEST)
    assert [lab.measure()["gate_error"] for _ in range(3)] == still[:3]


def test_a_drifting_amplitude_loses_a_thousandth_in_a_day(monkeypatch):
    monkeypatch.setattr(instrument, "DRIFT", 0.0)
    monkeypatch.setattr(instrument, "DRIFTING_RELAXATION_TIMES", (50.0, 50.0))
    monkeypatch.setattr(instrument, "RUN_TIME", 86400.0)
    lab = Lab()
    lab.set(BEST)
    still = [lab.measure()["gate_error"] for _ in range(10)]
    lab.put("QUBIT:DRIFT", 1)
    lab.set(BEST)
    drifting = [lab.measure()["gate_error"] for _ in range(10)]
    weaker = {**BEST, "amplitude": BEST["amplitude"] * (1.0 - 10 * 1e-3)}
    expected = benchmark(**weaker)["gate_error"] / benchmark(**BEST)["gate_error"]
    assert drifting[-1] / still[-1] == pytest.approx(expected, rel=1e-9)
    assert expected > 1.5
