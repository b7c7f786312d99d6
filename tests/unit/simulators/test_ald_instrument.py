import statistics
from functools import partial

import pytest

from simulators.ald import instrument
from simulators.ald.instrument import CONDITIONING, CYCLES
from simulators.ald.model import BOUNDS, evaluate, growth_at_monitors, growth_rate
from tests.unit.simulators.rig import shipped

Lab = partial(shipped, "ald")
SETTINGS = {"dose_1": 1.1, "purge_1": 22.2, "dose_2": 3.3, "purge_2": 44.4}


def test_starts_with_the_published_safe_timing():
    lab = Lab()
    started = [lab.get(f"{lab.prefixes[name]}:RB") for name in BOUNDS]
    assert started == [7.0, 60.0, 6.0, 180.0]


def test_measurement_is_the_model_with_the_noise_of_five_cycles():
    lab = Lab()
    lab.set(SETTINGS)
    truth = evaluate(**SETTINGS)
    readings = [lab.measure() for _ in range(100)]
    for name in ("gpc_up", "gpc_down"):
        values = [reading[name] for reading in readings]
        assert statistics.fmean(values) == pytest.approx(truth[name], abs=2e-3)
        assert statistics.stdev(values) == pytest.approx(0.01 / 5**0.5, rel=0.25)
    one = readings[0]
    cycle = sum(SETTINGS.values())
    assert one["rate"] == pytest.approx(growth_rate(one["gpc_up"], one["gpc_down"], cycle))


def test_valves_jitter(monkeypatch):
    monkeypatch.setattr(instrument, "GPC_NOISE", 0.0)
    lab = Lab()
    lab.set(SETTINGS)
    jitter = statistics.stdev(lab.measure()["gpc_down"] for _ in range(30))
    assert 1e-5 < jitter < 1e-3
    monkeypatch.setattr(instrument, "VALVE_JITTER", 0.0)
    assert lab.measure()["gpc_down"] == evaluate(**SETTINGS)["gpc_down"]


def test_a_run_lasts_as_long_as_its_cycles():
    lab = Lab()
    lab.set(SETTINGS)
    lab.measure()
    assert lab.slept == [pytest.approx((CONDITIONING + CYCLES) * sum(SETTINGS.values()))]


def test_a_bubbler_can_be_made_to_lose_pressure_and_be_filled(monkeypatch):
    monkeypatch.setattr(instrument, "GPC_NOISE", 0.0)
    monkeypatch.setattr(instrument, "VALVE_JITTER", 0.0)
    lab = Lab()
    lab.set(SETTINGS)
    still = lab.measure()["gpc_up"]
    lab.put("ALD:BUBBLER:DRIFT", 5.0)
    growth = [lab.measure()["gpc_up"] for _ in range(11)]
    assert growth[0] == still
    cycles = 10 * (CONDITIONING + CYCLES)
    up, _ = growth_at_monitors(**SETTINGS, bubbler=0.95 ** (cycles / 100))
    assert growth[10] == pytest.approx(float(up), rel=1e-12)
    assert growth[10] < still
    lab.put("ALD:BUBBLER:DRIFT", 0.0)
    assert [lab.measure()["gpc_up"] for _ in range(3)] == [still] * 3
