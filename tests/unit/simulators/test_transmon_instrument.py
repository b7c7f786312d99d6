import asyncio
from pathlib import Path

import numpy as np
import pytest
import yaml

import simulators.transmon
from orchestrator.adapters.spec_files import read_campaign
from simulators.pv import PutRefused
from simulators.transmon.instrument import CHANNELS, RUN_TIME, Transmon
from simulators.transmon.model import BOUNDS, benchmark

FOLDER = Path(simulators.transmon.__file__).parent
SETTINGS = {"AWG:AMP": 0.97, "AWG:DRAG": 0.91, "LO:FREQ": 14.7, "AWG:LEN": 8.5}

BEST = {"AWG:AMP": 0.974242, "AWG:DRAG": 0.975549, "LO:FREQ": 15.252681, "AWG:LEN": 8.5}
"""The best pulse of 8.5 ns, where hardly anything but decoherence is left."""


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed=0):
        self.slept = []
        self.twin = Transmon(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds):
        self.slept.append(seconds)

    def put(self, name, value):
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings, step=7.0):
        for prefix, value in settings.items():
            self.put(f"{prefix}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self):
        self.put("QUBIT:BENCH:TRIGGER", 1)
        names = str(self.pvs["QUBIT:BENCH:CHANNELS"].value).split(",")
        return {name.lower(): float(self.pvs[f"QUBIT:BENCH:{name}"].value) for name in names}


def truth(**changes):
    return benchmark(**{**dict(zip(BOUNDS, SETTINGS.values(), strict=True)), **changes})


@pytest.mark.parametrize("prefix", SETTINGS)
def test_settling_ends_exactly_on_the_setpoint(prefix):
    lab = Lab()
    lab.set({prefix: SETTINGS[prefix]}, step=2e-4)
    assert lab.pvs[f"{prefix}:RB"].value == SETTINGS[prefix]


def test_the_local_oscillator_needs_a_millisecond():
    lab = Lab()
    lab.put("LO:FREQ:SP", 20.0)
    assert lab.twin.step(1e-3)
    assert lab.pvs["LO:FREQ:RB"].value == pytest.approx(20 - 20 / np.e)


def test_the_length_of_a_pulse_is_a_multiple_of_half_a_nanosecond():
    lab = Lab()
    lab.set({"AWG:LEN": 8.241})
    assert lab.pvs["AWG:LEN:SP"].value == 8.241
    assert lab.pvs["AWG:LEN:RB"].value == 8.0


@pytest.mark.parametrize(
    ("prefix", "value"),
    [("AWG:AMP", 0.79), ("AWG:DRAG", 2.1), ("LO:FREQ", float("nan")), ("AWG:LEN", 5.9)],
)
def test_out_of_limit_put_is_refused_and_changes_nothing(prefix, value):
    lab = Lab()
    before = lab.pvs[f"{prefix}:SP"].value
    with pytest.raises(PutRefused):
        lab.put(f"{prefix}:SP", value)
    assert lab.pvs[f"{prefix}:SP"].value == before


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=3e-4)
    fast.set({**SETTINGS, "AWG:AMP": 1.1}, step=50.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=50.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("AWG:DRAG:SP", SETTINGS["AWG:DRAG"])  # the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


def test_measurement_is_the_model_with_the_stated_noise():
    lab = Lab()
    lab.set({**SETTINGS, "AWG:DRAG": 0.0})
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
    lab.set({"AWG:DRAG": 1.0, "AWG:LEN": 40.0})
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
    settings = dict(zip(BOUNDS, BEST.values(), strict=True))
    nominal = benchmark(**settings)["gate_error"]
    short, long = (
        benchmark(**settings, relaxation_time=t1)["gate_error"] / nominal for t1 in (30.0, 70.0)
    )
    near = [np.minimum(abs(one - short), abs(one - long)) for one in ratio]
    assert max(near) < 0.01
    assert ratio.max() - ratio.min() > 0.9 * (short - long)
    lab.put("QUBIT:DRIFT", 0)
    lab.set(BEST)
    assert [lab.measure()["gate_error"] for _ in range(3)] == still[:3]


def test_the_fridge_can_be_made_to_fail():
    lab = Lab()
    assert lab.pvs["FRIDGE:TEMP:RB"].value == 12.0
    lab.put("FRIDGE:TEMP:FAULT", 80.0)
    assert lab.pvs["FRIDGE:TEMP:RB"].value == 92.0


def test_instrument_file_agrees_with_what_is_served():
    entries = yaml.safe_load((FOLDER / "instrument.yaml").read_text())
    pvs = Lab().pvs
    for entry in entries["devices"].values():
        if "limits" in entry:
            setpoint = pvs[f"{entry['prefix']}:SP"]
            assert tuple(entry["limits"]) == setpoint.limits
            assert entry.get("unit", "") == setpoint.unit
        else:
            assert f"{entry['prefix']}:TRIGGER" in pvs
    assert all(condition["signal"] in pvs for condition in entries["conditions"])


def test_campaign_asks_for_the_whole_box():
    campaign, _ = read_campaign(FOLDER / "campaign.yaml")
    ranges = {name: parameter.range for name, parameter in campaign.parameters.items()}
    assert ranges == BOUNDS
    assert set(campaign.objectives) <= set(CHANNELS)
