"""The mirror pair's process variables, driven without network and clock."""

import asyncio
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import pytest
import yaml

import simulators.kb_mirrors
from orchestrator.adapters.user_files.spec_files import read_campaign
from simulators.kb_mirrors.instrument import (
    CHANNELS,
    DARK_NOISE,
    DARK_TIME,
    EXPOSURE,
    EXPOSURE_COUNTS,
    KNIVES,
    NO_LIGHT,
    PREFIXES,
    REFILL_TIME,
    SCAN_TIME,
    SLITS,
    KbMirrors,
)
from simulators.kb_mirrors.model import BOUNDS, OPTIMUM, evaluate
from tests.unit.simulators import rig

FOLDER = Path(simulators.kb_mirrors.__file__).parent
SETTINGS = {"pitch_v": 1.5, "pitch_h": -3.3, "bend_vu": 0.11}
SETTINGS |= {"bend_vd": -0.27, "bend_hu": 0.05, "bend_hd": 0.31}


class Lab(rig.Lab):
    """The same with motors: lab time also passes while a put is not complete."""

    def __init__(self, seed: int = 0, instance: int = 0) -> None:
        create = partial(KbMirrors, instance=instance)
        super().__init__(create, "KB:SPOT", PREFIXES, seed)

    def put(self, pv: str, value: float, step: float = 0.7) -> None:
        async def drive() -> None:
            put = asyncio.create_task(self.pvs[pv].accept(value))
            while not put.done():
                await asyncio.sleep(0)
                self.twin.step(step)
            put.result()

        asyncio.run(drive())

    def set(self, settings: Mapping[str, float], step: float = 0.7) -> None:
        for name, value in settings.items():
            self.put(f"{self.prefixes[name]}.VAL", value, step)

    def measure(self, detector: str = "KB:SPOT") -> dict[str, float]:
        asyncio.run(self.pvs[f"{detector}:TRIGGER"].accept(1))
        return self.readings(detector)

    def transmission(self) -> float:
        return self.measure("KB:DIODE")["transmission"]


@pytest.mark.parametrize("name", list(BOUNDS))
def test_every_axis_ends_exactly_on_its_setpoint(name):
    for step in (0.01, 0.3, 30.0):
        lab = Lab()
        for value in (BOUNDS[name][1], BOUNDS[name][0], 0.0123456789):
            lab.put(f"{PREFIXES[name]}.VAL", value, step)
            assert lab.pvs[f"{PREFIXES[name]}.RBV"].value == value
            assert lab.pvs[f"{PREFIXES[name]}.DMOV"].value == 1


@pytest.mark.parametrize(("name", "value"), [("pitch_v", 10.01), ("bend_hd", -0.56)])
def test_an_axis_does_not_leave_its_limits(name, value):
    lab = Lab()
    lab.put(f"{PREFIXES[name]}.VAL", value)
    assert lab.pvs[f"{PREFIXES[name]}.LVIO"].value == 1
    assert lab.pvs[f"{PREFIXES[name]}.RBV"].value == 0.0


def test_measurement_is_a_pure_function_of_seed_positions_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.05)
    fast.set({**SETTINGS, "bend_hd": -0.4}, step=50.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=50.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("KBH:BNDU.STOP", 1)  # what a RunEngine does at the end of every plan
    assert slow.measure() not in (first, second)
    slow.put("KBV:BNDU.VAL", SETTINGS["bend_vu"])  # also the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first
    elsewhere = Lab(instance=1)
    elsewhere.set(SETTINGS)
    assert abs(elsewhere.measure()["centroid_v"] - first["centroid_v"]) > 0.5


@pytest.mark.parametrize("settings", [SETTINGS, OPTIMUM["parameters"]], ids=["far", "optimum"])
def test_measurement_is_the_model_with_the_stated_noise(settings):
    lab = Lab()
    lab.set(settings)
    truth = evaluate(**settings)
    readings = [lab.measure() for _ in range(200)]
    for name in ("fwhm_v", "fwhm_h"):
        sigma = math.hypot(0.02 * truth[name], 5.0)
        scatters(readings, name, truth[name], sigma)
    scatters(readings, "flux", truth["flux"], truth["flux"] * math.hypot(0.003, 0.0016))
    for name in ("centroid_v", "centroid_h"):
        scatters(readings, name, truth[name], 0.1)
    assert set(lab.slept) == {0.0, SCAN_TIME}


def scatters(readings: list[dict[str, float]], name: str, mean: float, sigma: float) -> None:
    values = [reading[name] for reading in readings]
    assert fmean(values) == pytest.approx(mean, abs=4 * sigma / math.sqrt(len(values)))
    assert stdev(values) == pytest.approx(sigma, rel=0.15)


def test_focus_is_that_of_the_reading():
    lab = Lab()
    lab.set({"pitch_v": 8.0})
    reading = lab.measure()
    excess = sum(max(0.0, abs(reading[f"centroid_{axis}"]) - 2.0) for axis in "vh")
    density = reading["flux"] * 1e4 / (reading["fwhm_v"] * reading["fwhm_h"])
    assert excess > 1
    assert reading["focus"] == pytest.approx(density * math.exp(-excess / 5.0), rel=1e-12)
    assert reading["log_focus"] == pytest.approx(math.log10(reading["focus"]), rel=1e-12)


def test_beam_dump_and_recovery():
    lab = Lab()
    lab.set(SETTINGS)
    before = lab.measure()
    lab.put("SR:DUMP", 1, step=0.0)
    assert lab.pvs["SR:CURRENT"].value == 0.0
    dark = lab.measure()
    assert dark == dict.fromkeys(dark, 0.0) | {"log_focus": NO_LIGHT}
    assert lab.twin.step(DARK_TIME)
    assert lab.twin.step(REFILL_TIME / 2)
    assert lab.pvs["SR:CURRENT"].value == pytest.approx(100.0)
    assert not lab.twin.step(REFILL_TIME / 2)
    assert lab.pvs["SR:CURRENT"].value == 200.0
    lab.set(SETTINGS)
    assert lab.measure() == before


def test_half_the_current_means_more_noise_not_less_flux():
    def flux(current: float) -> list[float]:
        lab = Lab()
        lab.set(SETTINGS)
        lab.pvs["SR:CURRENT"].value = current
        return [lab.measure()["flux"] for _ in range(100)]

    full, faint = flux(200.0), flux(0.2)
    assert fmean(faint) == pytest.approx(fmean(full), rel=0.02)
    assert stdev(faint) > 5 * stdev(full)


def test_drift_moves_the_beam_with_each_trigger_until_it_is_switched_off():
    lab, still = Lab(), Lab()
    lab.put("KB:DRIFT", 0.5)
    moved = [lab.measure()["centroid_v"] - still.measure()["centroid_v"] for _ in range(6)]
    assert moved == pytest.approx([0.5 * n for n in range(1, 7)], abs=0.02)  # 2 q = 1 um/urad
    lab.put("KB:DRIFT", 0.0)
    assert lab.measure() == still.measure()


def test_a_closed_shutter_leaves_no_light():
    lab = Lab()
    lab.put("FE:SHUTTER", 0)
    assert lab.measure()["flux"] == 0.0
    lab.put("FE:SHUTTER", 1)
    assert lab.measure()["flux"] > 0.3


@pytest.mark.parametrize(("knife", "axis"), [("KNIFE:V", "v"), ("KNIFE:H", "h")])
def test_a_knife_cuts_the_beam_where_and_as_wide_as_it_is(knife, axis):
    lab, truth = Lab(), evaluate(**SETTINGS)
    lab.set(SETTINGS)
    assert lab.transmission() == pytest.approx(truth["flux"], rel=0.03)
    centre, sigma = truth[f"centroid_{axis}"], truth[f"fwhm_{axis}"] * 1e-3 / 2.3548
    for away, part in [(-4, 1.0), (-1, 0.8413), (0, 0.5), (1, 0.1587), (4, 0.0)]:
        lab.put(f"{knife}.VAL", centre + away * sigma, step=0.05)
        assert lab.transmission() == pytest.approx(part * truth["flux"], abs=0.01)
    lab.put(f"{knife}.VAL", 50.0)
    dark = [lab.transmission() for _ in range(200)]
    assert stdev(dark) == pytest.approx(DARK_NOISE, rel=0.2)


def test_diode_has_the_stated_noise_and_is_a_pure_function_too():
    lab, again = Lab(), Lab()
    lab.set(SETTINGS)
    lab.put("KNIFE:V.VAL", -30.0)
    again.put("KNIFE:V.VAL", -30.0)
    again.set(SETTINGS, step=50.0)
    again.measure()
    readings = [lab.transmission() for _ in range(200)]
    assert readings == [again.transmission() for _ in range(200)]
    flux = evaluate(**SETTINGS)["flux"]
    sigma = math.hypot(0.003 * flux, math.sqrt(flux / EXPOSURE_COUNTS), DARK_NOISE)
    assert fmean(readings) == pytest.approx(flux, abs=4 * sigma / math.sqrt(200))
    assert stdev(readings) == pytest.approx(sigma, rel=0.15)
    assert lab.slept.count(EXPOSURE) == 200


def test_a_scan_of_the_knife_does_not_change_what_the_spot_says():
    lab, undisturbed = Lab(), Lab()
    lab.set(SETTINGS)
    undisturbed.set(SETTINGS)
    first = lab.measure()
    assert first == undisturbed.measure()
    lab.put("KNIFE:V.VAL", 0.0)
    lab.transmission()
    assert lab.measure() == undisturbed.measure() != first


def test_instrument_file_agrees_with_what_is_served():
    entries = yaml.safe_load((FOLDER / "instrument.yaml").read_text())["devices"]
    pvs = Lab().pvs
    axes = {name for name, entry in entries.items() if "limits" in entry}
    assert axes == {*BOUNDS, *SLITS, *KNIVES, "sample_z"}
    for name, (prefix, _) in SLITS.items():
        assert entries[name]["prefix"] == prefix
        assert entries[name]["unit"] == pvs[f"{prefix}.VAL"].unit
        assert tuple(entries[name]["limits"]) == pvs[f"{prefix}.VAL"].limits
    for name, prefix in KNIVES.items():
        assert entries[name]["prefix"] == prefix
        assert entries[name]["unit"] == pvs[f"{prefix}.VAL"].unit
        assert tuple(entries[name]["limits"]) == pvs[f"{prefix}.VAL"].limits
    for name, prefix in PREFIXES.items():
        entry, setpoint = entries[name], pvs[f"{prefix}.VAL"]
        backlash = pvs[f"{prefix}.BDST"].value
        assert entry["prefix"] == prefix
        assert entry["unit"] == setpoint.unit == pvs[f"{prefix}.EGU"].value
        assert tuple(entry["limits"]) == BOUNDS[name]
        assert setpoint.limits[0] <= BOUNDS[name][0] - backlash
        assert BOUNDS[name][1] <= setpoint.limits[1] <= 1.2 * BOUNDS[name][1]
    assert entries["shutter"]["prefix"] in pvs


def test_channels_are_the_outcomes_of_the_model():
    assert [name.lower() for name in CHANNELS] == list(OPTIMUM["outcomes"])


def test_a_campaign_that_scans_knives_asks_the_same_of_the_mirrors():
    spec, _ = read_campaign(FOLDER / "campaign.yaml")
    assert list(spec.objectives) == ["log_focus"]
    scanned, _ = read_campaign(FOLDER / "campaign_knife_edge.yaml")
    assert scanned.parameters == spec.parameters
    assert scanned.constraints == spec.constraints


def test_off_the_focus_the_beam_is_larger_and_back_in_it_all_is_as_before():
    lab = Lab()
    lab.set(SETTINGS)
    focused = lab.measure()
    lab.put("SMP:Z.VAL", 1.0)
    away = [lab.measure() for _ in range(30)]
    true = evaluate(**SETTINGS, sample_z=1.0)
    assert true["fwhm_h"] > 2.0 * evaluate(**SETTINGS)["fwhm_h"]
    for name in ("fwhm_v", "fwhm_h"):
        assert fmean(one[name] for one in away) == pytest.approx(true[name], rel=0.02)
    lab.put("SMP:Z.VAL", 0.0)
    assert lab.measure() == focused
