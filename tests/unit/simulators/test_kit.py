"""Building blocks without network or clock: a counter, a shutter, a pump."""

import asyncio
import math

import pytest

from simulators.counter import Counter
from simulators.noise import TriggerNoise
from simulators.pump import Pump
from simulators.pv import PutRefused
from simulators.shutter import Shutter


class Slept(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def put(part, name, value):
    (pv,) = (pv for pv in part.pvs if pv.name == name)
    asyncio.run(pv.accept(value))


def value(part, name):
    (found,) = (pv.value for pv in part.pvs if pv.name == name)
    return found


def counter(rate, seed=1):
    slept = Slept()
    made = Counter("C", rate=rate, noise=TriggerNoise(seed), sleep=slept, what="counter")
    return made, slept


def test_counts_scatter_as_counts_do():
    made, slept = counter(lambda: 100.0)
    put(made, "C:PRESET", 4.0)
    counts = []
    for _ in range(400):
        put(made, "C:TRIGGER", 1)
        counts.append(value(made, "C:COUNTS"))
    assert set(slept) == {4.0}
    assert value(made, "C:SECONDS") == 4.0
    assert all(count.is_integer() for count in counts)
    mean = sum(counts) / 400
    deviation = math.sqrt(sum((count - mean) ** 2 for count in counts) / 399)
    assert mean == pytest.approx(400, abs=3)
    assert deviation == pytest.approx(20, rel=0.15)


def test_nothing_to_count_is_zero_and_the_same_seed_counts_the_same():
    made, _ = counter(lambda: 0.0)
    put(made, "C:TRIGGER", 1)
    assert value(made, "C:COUNTS") == 0.0
    found = []
    for seed in (1, 1, 2):
        made, _ = counter(lambda: 1e4, seed)
        put(made, "C:TRIGGER", 1)
        found.append(value(made, "C:COUNTS"))
    assert found[0] == found[1] != found[2]


def test_a_rate_follows_without_trigger():
    rate = 5.0
    made, _ = counter(lambda: rate)
    rate = 7.0
    made.step()
    assert value(made, "C:RATE") == 7.0


def test_a_shutter_takes_its_time():
    slept = Slept()
    shutter = Shutter("S", travel=0.5, sleep=slept, what="shutter")
    assert not shutter.is_open
    put(shutter, "S:CMD", 1)
    assert shutter.is_open
    put(shutter, "S:CMD", 1)
    assert slept == [0.5], "it is there already"
    with pytest.raises(PutRefused, match="2 is outside"):
        put(shutter, "S:CMD", 2)


def test_a_pump_delivers_what_flows_and_stops():
    pump = Pump("P", limits=(0, 10), tau=1.0, tolerance=0.01, on_set=lambda: None, what="pump")
    put(pump, "P:SP", 6.0)
    for _ in range(100):
        pump.step(0.1)
    assert value(pump, "P:RB") == 6.0
    before = value(pump, "P:TOTAL")
    pump.step(10.0)
    assert value(pump, "P:TOTAL") - before == pytest.approx(1.0), "10 s at 6 mL/min"
    assert pump.moving, "it delivers, so time must pass"
    put(pump, "P:STOP", 1)
    assert value(pump, "P:SP") == 0.0
    while pump.moving:
        pump.step(0.1)
    assert value(pump, "P:RB") == 0.0
