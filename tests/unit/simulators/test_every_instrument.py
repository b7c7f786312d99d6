"""What holds for the instrument of each twin that is served, driven as its shipped files say."""

import math
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from orchestrator.domain.together import disagreements
from simulators.pv import PutRefused
from tests.unit.simulators.rig import files, shipped

PACKAGES = {point.name: point.value for point in entry_points(group="labwright.twins")}
SERVED = sorted(PACKAGES.keys() - {"soft"})
WITH_SETPOINTS = sorted(PACKAGES.keys() - {"soft", "kb-mirrors"})
"""The mirrors have motors, and beam instead of a condition that is made to fail by a number."""


def optimum(twin: str) -> dict[str, float]:
    """Settings at which each twin has something to measure."""
    return import_module(f"{PACKAGES[twin]}.model").OPTIMUM["parameters"]


@pytest.mark.parametrize("twin", WITH_SETPOINTS)
def test_a_measurement_is_a_pure_function_of_seed_setpoints_and_trigger(twin: str) -> None:
    settings = optimum(twin)
    name, value = next(iter(settings.items()))
    slow, fast, other = shipped(twin), shipped(twin), shipped(twin, seed=1)
    low, high = fast.pvs[f"{fast.prefixes[name]}:SP"].limits or (math.nan, math.nan)
    slow.set(settings, step=3.0)
    fast.set({**settings, name: (low + high) / 2.0}, step=500.0)
    fast.measure()
    fast.set(dict(reversed(settings.items())), step=500.0)
    other.set(settings)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    assert other.measure() != first
    slow.put(f"{slow.prefixes[name]}:SP", value)  # also the same value starts the count again
    assert slow.measure() == first


@pytest.mark.parametrize("twin", WITH_SETPOINTS)
def test_setpoints_are_those_of_the_files_and_take_what_their_limits_allow(twin: str) -> None:
    _, instrument = files(twin)
    lab = shipped(twin)
    for device in instrument.devices.values():
        if device.class_ != "devices.SetpointReadback":
            continue
        setpoint = lab.pvs[f"{device.prefix}:SP"]
        assert (device.limits, device.unit) == (setpoint.limits, setpoint.unit)
        low, high = device.limits or (math.nan, math.nan)
        lab.put(setpoint.name, low + 0.4 * (high - low))
        lab.set({})
        reached = lab.get(f"{device.prefix}:RB")
        assert reached == pytest.approx(low + 0.4 * (high - low), abs=device.tolerance, rel=0)
        for value in (low - 0.01, high + 0.01, math.nan, math.inf):
            with pytest.raises(PutRefused):
                lab.put(setpoint.name, value)
        assert setpoint.value == low + 0.4 * (high - low)


@pytest.mark.parametrize("twin", SERVED)
def test_the_files_fit_each_other_and_what_is_served(twin: str) -> None:
    campaign, instrument = files(twin)
    lab = shipped(twin)
    assert disagreements(campaign, instrument) == []
    for parameter in campaign.parameters.values():
        assert parameter.unit == instrument.devices[str(parameter.device)].unit
    for device in instrument.devices.values():
        if device.class_ == "devices.TriggeredDetector":
            assert f"{device.prefix}:TRIGGER" in lab.pvs
    for condition in instrument.conditions:
        assert lab.pvs[condition.signal].unit == condition.unit
    if campaign.reduce.call == "plans.channel_means.reduce_channel_means":
        assert set(campaign.outcome_names) <= lab.measure().keys()


@pytest.mark.parametrize("twin", WITH_SETPOINTS)
def test_a_condition_holds_and_can_be_made_to_suspend_a_campaign(twin: str) -> None:
    (condition,) = files(twin)[1].conditions
    lab, fault = shipped(twin), f"{condition.signal.rpartition(':')[0]}:FAULT"
    well = lab.get(condition.signal)
    if condition.suspend_above is not None and condition.resume_below is not None:
        assert well < condition.resume_below
        lab.put(fault, 1.1 * condition.suspend_above - well)
        assert lab.get(condition.signal) > condition.suspend_above
    elif condition.suspend_below is not None and condition.resume_above is not None:
        assert well > condition.resume_above
        lab.put(fault, 0.9 * condition.suspend_below - well)
        assert lab.get(condition.signal) < condition.suspend_below
    else:
        pytest.fail(f"{condition} suspends nothing")
    lab.put(fault, 0.0)
    assert lab.get(condition.signal) == well
