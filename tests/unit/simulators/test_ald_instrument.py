import asyncio
import statistics
from pathlib import Path

import pytest

import simulators.ald
from orchestrator.adapters.spec_files import read_campaign, read_instrument
from orchestrator.domain.together import disagreements
from simulators.ald import instrument
from simulators.ald.instrument import CONDITIONING, CYCLES, Ald
from simulators.ald.model import BOUNDS, OPTIMUM, evaluate, growth_rate
from simulators.pv import PutRefused

FOLDER = Path(simulators.ald.__file__).parent
PREFIXES = dict(
    zip(BOUNDS, ("ALD:V1:OPEN", "ALD:V1:PURGE", "ALD:V2:OPEN", "ALD:V2:PURGE"), strict=True)
)
SETTINGS = {"dose_1": 1.1, "purge_1": 22.2, "dose_2": 3.3, "purge_2": 44.4}
OUTCOMES = ("rate", "gpc_up", "gpc_down")


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed: int = 0) -> None:
        self.slept: list[float] = []
        self.twin = Ald(seed, self._sleep)
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
        self.put("ALD:QCM:TRIGGER", 1)
        return {name: float(self.pvs[f"ALD:QCM:{name.upper()}"].value) for name in OUTCOMES}


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


def test_starts_with_the_published_safe_timing():
    lab = Lab()
    started = [lab.pvs[f"{prefix}:RB"].value for prefix in PREFIXES.values()]
    assert started == [7.0, 60.0, 6.0, 180.0]


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.1)
    fast.set({**SETTINGS, "dose_1": 20.0}, step=5.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=5.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("ALD:V1:OPEN:SP", SETTINGS["dose_1"])  # also the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


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


def test_carrier_gas_can_be_made_to_fall():
    lab = Lab()
    lab.put("ALD:N2:FAULT", -60.0)
    assert lab.pvs["ALD:N2:FLOW"].value == 40.0


def test_instrument_file_agrees_with_what_is_served():
    spec, _ = read_instrument(FOLDER / "instrument.yaml")
    pvs = Lab().pvs
    assert set(spec.devices) == {*BOUNDS, "qcm"}
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
