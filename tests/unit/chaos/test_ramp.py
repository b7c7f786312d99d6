"""The chaos labs' own plan has a command left at almost any moment, and its deadline fits."""

import pytest

from simulators.soft.bench import Bench
from tests.chaos.ramp import estimate_ramp, ramp


class Movable:
    parent = None

    def __init__(self, name, position):
        self.name, self.position = name, position

    def set(self, value):
        raise NotImplementedError

    def read(self):
        raise NotImplementedError

    def describe(self):
        raise NotImplementedError


def test_each_small_move_is_followed_by_a_hold():
    a, b = Movable("a", 1.0), Movable("b", 10.0)
    plan = ramp({a: 2.0, b: 6.0}, Bench(name="bench").det, steps=2, hold_s=30.0)
    driven = [
        (message.obj.name, *message.args) if message.command == "set" else message.args[0]
        for message in plan
        if message.command in ("set", "sleep")
    ]
    hold = 30.0
    assert driven == [("a", 1.5), hold, ("b", 8.0), hold, ("a", 2.0), hold, ("b", 6.0), hold]


def test_the_estimate_counts_the_holds():
    waits, readings = estimate_ramp({"a": 2.0, "b": 6.0}, detector="d", steps=2, hold_s=30.0)
    assert (waits, readings) == (pytest.approx(120.0), 1)
