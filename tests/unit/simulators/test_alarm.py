"""Alarms of analog records."""

import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from simulators.alarm import NO_ALARM, Alarm, AlarmLimits, AlarmPv, Severity, Status, alarm_of
from simulators.pv import Pv
from tests.unit.simulators.rig import files, shipped
from tests.unit.simulators.test_every_instrument import SERVED, WITH_SETPOINTS

PAGES = Path(__file__).parents[3] / "docs/reference/twins"
LIMITS = AlarmLimits(lolo=-2.0, low=-1.0, high=1.0, hihi=2.0)
LOLO, HIHI = (Severity.MAJOR, Status.LOLO), (Severity.MAJOR, Status.HIHI)
LOW, HIGH = (Severity.MINOR, Status.LOW), (Severity.MINOR, Status.HIGH)


@pytest.mark.parametrize(
    ("value", "alarm"),
    [(-9, LOLO), (-2, LOLO), (-1.5, LOW), (-1, LOW), (-0.9, NO_ALARM)]
    + [(0.9, NO_ALARM), (1, HIGH), (1.9, HIGH), (2, HIHI), (math.inf, HIHI), (math.nan, NO_ALARM)],
)
def test_a_value_on_a_limit_or_beyond_has_an_alarm(value: float, alarm: Alarm) -> None:
    assert alarm_of(AlarmPv("A", 0.0, alarm_limits=LIMITS), float(value)) == alarm
    assert alarm_of(AlarmPv("A", 0.0, alarm_limits=AlarmLimits()), float(value)) == NO_ALARM
    assert alarm_of(AlarmPv("A", 0.0), float(value)) == NO_ALARM
    assert alarm_of(Pv("A", 0.0), float(value)) == NO_ALARM


def test_the_worst_alarm_counts() -> None:
    pv = AlarmPv("A", 0.0, alarm_limits=LIMITS)
    pv.alarm(Severity.MAJOR, Status.READ)
    assert alarm_of(pv, 1.5) == (Severity.MAJOR, Status.READ)
    pv.alarm(Severity.MINOR, Status.READ)
    assert alarm_of(pv, 2.5) == HIHI


@pytest.mark.parametrize("twin", SERVED)
def test_what_suspends_a_campaign_is_a_major_alarm_and_what_resumes_it_none(twin: str) -> None:
    (condition,) = files(twin)[1].conditions
    reading = shipped(twin).pvs[condition.signal]
    assert alarm_of(reading, reading.value) == NO_ALARM
    if condition.suspend_above is not None and condition.resume_below is not None:
        assert alarm_of(reading, condition.suspend_above) == HIHI
        assert alarm_of(reading, condition.resume_below) == HIGH
        assert alarm_of(reading, 0.999 * condition.resume_below) == NO_ALARM
    elif condition.suspend_below is not None and condition.resume_above is not None:
        assert alarm_of(reading, condition.suspend_below) == LOLO
        assert alarm_of(reading, condition.resume_above) == LOW
        assert alarm_of(reading, 1.001 * condition.resume_above) == NO_ALARM
    else:
        pytest.fail(f"{condition} suspends nothing")


@pytest.mark.parametrize("twin", WITH_SETPOINTS)
def test_no_setpoint_that_is_allowed_is_an_alarm(twin: str) -> None:
    lab = shipped(twin)
    for name, pv in lab.pvs.items():
        if name.endswith(":SP"):
            readback = lab.pvs[f"{name.removesuffix(':SP')}:RB"]
            assert [alarm_of(readback, end) for end in pv.limits or ()] == [NO_ALARM, NO_ALARM]


@pytest.mark.parametrize("twin", SERVED)
def test_the_page_of_the_twin_says_the_limits(twin: str) -> None:
    page = (PAGES / f"{twin}.md").read_text()
    for pv in shipped(twin).pvs.values():
        if isinstance(pv, AlarmPv) and pv.alarm_limits is not None:
            limits = {name: at for name, at in asdict(pv.alarm_limits).items() if at == at}
            words = ", ".join(f"{name.upper()} {at:g}" for name, at in limits.items())
            (told,) = re.findall(rf"`{pv.name}`[^`]*?alarms\s([A-Z0-9,. ]+)", page)
            assert told.strip(" .") == words
