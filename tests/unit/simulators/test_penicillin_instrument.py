import asyncio
import statistics
from pathlib import Path

import pytest

import simulators.penicillin
from orchestrator.adapters.spec_files import read_campaign, read_instrument
from orchestrator.domain.together import disagreements
from simulators.penicillin import instrument
from simulators.penicillin.instrument import Penicillin
from simulators.penicillin.model import BOUNDS, OPTIMUM, ferment
from simulators.pv import PutRefused

FOLDER = Path(simulators.penicillin.__file__).parent
PREFIXES = {
    "feed_1": "PEN:FEED1",
    "switch_1": "PEN:TIME1",
    "feed_2": "PEN:FEED2",
    "switch_2": "PEN:TIME2",
    "feed_3": "PEN:FEED3",
    "duration": "PEN:HARVEST",
}
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


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed: int = 0) -> None:
        self.slept: list[float] = []
        self.twin = Penicillin(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def put(self, name: str, value: float) -> None:
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings: dict[str, float], step: float = 0.7) -> None:
        for parameter, value in settings.items():
            self.put(f"{PREFIXES[parameter]}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self) -> dict[str, float]:
        self.put("PEN:BATCH:TRIGGER", 1)
        return {name: float(self.pvs[f"PEN:BATCH:{name.upper()}"].value) for name in CHANNELS}


@pytest.mark.parametrize("parameter", BOUNDS)
def test_settles_exactly_on_the_setpoint_and_refuses_what_is_outside(parameter):
    lab = Lab()
    lab.set({parameter: SETTINGS[parameter]})
    prefix, (low, high) = PREFIXES[parameter], BOUNDS[parameter]
    assert lab.pvs[f"{prefix}:RB"].value == SETTINGS[parameter]
    for value in (low - 0.01, high + 0.01, float("nan")):
        with pytest.raises(PutRefused):
            lab.put(f"{prefix}:SP", value)
    assert lab.pvs[f"{prefix}:SP"].value == SETTINGS[parameter]


def test_starts_with_a_constant_feed():
    lab = Lab()
    started = [lab.pvs[f"{prefix}:RB"].value for prefix in PREFIXES.values()]
    assert started == [10.0, 60.0, 10.0, 30.0, 10.0, 126.0]


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.1)
    fast.set({**SETTINGS, "feed_1": 20.0}, step=5.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=5.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("PEN:FEED1:SP", SETTINGS["feed_1"])  # also the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


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


def test_the_stirrer_can_be_made_to_fail():
    lab = Lab()
    lab.put("PEN:STIR:FAULT", -300.0)
    assert lab.pvs["PEN:STIR:SPEED"].value == 100.0


def test_instrument_file_agrees_with_what_is_served():
    spec, _ = read_instrument(FOLDER / "instrument.yaml")
    pvs = Lab().pvs
    assert set(spec.devices) == {*BOUNDS, "batch"}
    for name, entry in spec.devices.items():
        if name in BOUNDS:
            setpoint = pvs[f"{entry.prefix}:SP"]
            assert entry.limits == setpoint.limits == BOUNDS[name]
            assert entry.unit == setpoint.unit
        else:
            assert f"{entry.prefix}:TRIGGER" in pvs
    assert all(condition.signal in pvs for condition in spec.conditions)


def test_campaign_file_asks_what_the_optimum_answers():
    campaign, _ = read_campaign(FOLDER / "campaign.yaml")
    spec, _ = read_instrument(FOLDER / "instrument.yaml")
    assert disagreements(campaign, spec) == []
    assert {name: parameter.range for name, parameter in campaign.parameters.items()} == BOUNDS
    assert set(campaign.outcome_names) == set(OPTIMUM["outcomes"])
