import statistics
from functools import partial

import pytest

from simulators.penicillin import instrument
from simulators.penicillin.model import BOUNDS, ferment
from tests.unit.simulators.rig import shipped

Lab = partial(shipped, "penicillin")
SETTINGS = {
    "feed_1": 9.9,
    "switch_1": 18.8,
    "feed_2": 33.3,
    "switch_2": 11.1,
    "feed_3": 8.8,
    "duration": 77.7,
}
SCATTER = ("GROWTH_SCATTER", "INOCULUM_SCATTER", "PUMP_SCATTER")
NOISE = ("HPLC_NOISE", "DRY_WEIGHT_NOISE", "SUBSTRATE_NOISE")
CHANNELS = ("mass", "max_biomass", "max_substrate", "titre", "volume")


def test_starts_with_a_constant_feed():
    lab = Lab()
    started = [lab.get(f"{lab.prefixes[name]}:RB") for name in BOUNDS]
    assert started == [10.0, 60.0, 10.0, 30.0, 10.0, 126.0]


def test_a_batch_is_the_model_when_nothing_scatters(monkeypatch):
    for name in (*SCATTER, *NOISE, "LOAD_CELL_NOISE"):
        monkeypatch.setattr(instrument, name, 0.0)
    lab = Lab()
    lab.set(SETTINGS)
    assert lab.measure() == pytest.approx({name: ferment(**SETTINGS)[name] for name in CHANNELS})


def test_readings_have_the_noise_of_their_instruments(monkeypatch):
    truth = ferment(**SETTINGS)
    monkeypatch.setattr(instrument, "ferment", lambda **_: truth)
    lab = Lab()
    lab.set(SETTINGS)
    readings = [lab.measure() for _ in range(200)]
    relative = {"mass": 0.04, "max_biomass": 0.05, "max_substrate": 0.05, "titre": 0.04}
    for name, sigma in {**relative, "volume": 0.02 / truth["volume"]}.items():
        ratios = [reading[name] / truth[name] for reading in readings]
        assert statistics.fmean(ratios) == pytest.approx(1.0, abs=4 * sigma / 200**0.5)
        assert statistics.stdev(ratios) == pytest.approx(sigma, rel=0.2)
    assert all(one["mass"] == pytest.approx(one["titre"] * one["volume"]) for one in readings)


def test_strain_inoculum_and_pump_scatter_from_batch_to_batch(monkeypatch):
    batches: list[dict[str, float]] = []
    truth = ferment(**SETTINGS)
    monkeypatch.setattr(instrument, "ferment", lambda **batch: batches.append(batch) or truth)
    lab = Lab()
    lab.set(SETTINGS)
    for _ in range(200):
        lab.measure()
    for name, mean, sigma in (
        ("growth", 0.11, 0.025),
        ("inoculum", 1.5, 0.05),
        ("feed_2", SETTINGS["feed_2"], 0.01),
    ):
        ratios = [batch[name] / mean for batch in batches]
        assert statistics.stdev(ratios) == pytest.approx(sigma, rel=0.2)
    assert all(batch["duration"] == SETTINGS["duration"] for batch in batches)


def test_a_batch_lasts_until_the_harvest():
    lab = Lab()
    lab.set(SETTINGS)
    lab.measure()
    assert lab.slept == [pytest.approx(77.7 * 3600)]
