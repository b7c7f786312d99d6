import asyncio

import pytest

from simulators.pv import PutRefused
from simulators.setpoint import SetpointPair


def pair(**changes):
    return SetpointPair(
        "RECOAT:LAYER",
        **{
            "start": 30.0,
            "unit": "um",
            "what": "layer",
            "limits": (20.0, 60.0),
            "tolerance": 2.5,
            "tau": 2.0,
            "on_set": lambda: None,
            "resolution": 5.0,
            **changes,
        },
    )


def put(axis, suffix, value):
    asyncio.run(next(pv for pv in axis.pvs if pv.name.endswith(suffix)).accept(value))


@pytest.mark.parametrize(("wanted", "rests"), [(57.4, 55.0), (57.6, 60.0), (20.0, 20.0)])
def test_the_readback_rests_on_the_next_step_and_the_setpoint_stays_as_put(wanted, rests):
    axis = pair()
    put(axis, ":SP", wanted)
    while axis.moving:
        axis.step(0.5)
    assert (axis.setpoint, axis.readback) == (wanted, rests)


def test_a_stop_on_the_way_ends_on_a_step():
    axis = pair()
    put(axis, ":SP", 60.0)
    axis.step(1.0)
    assert axis.moving
    put(axis, ":STOP", 1)
    assert not axis.moving
    assert axis.readback == 40.0


def test_a_stop_at_rest_does_nothing():
    orders = []
    axis = pair(on_set=lambda: orders.append(1))
    put(axis, ":STOP", 1)
    assert (axis.setpoint, axis.readback, orders) == (30.0, 30.0, [])


def test_the_readback_cannot_be_put():
    with pytest.raises(PutRefused, match="read-only"):
        put(pair(), ":RB", 40.0)


def test_without_a_resolution_the_readback_ends_exactly_on_the_setpoint():
    axis = pair(resolution=0.0, tolerance=0.1)
    put(axis, ":SP", 57.4)
    while axis.moving:
        axis.step(0.5)
    assert axis.readback == 57.4


def test_a_tolerance_below_half_a_step_is_refused():
    with pytest.raises(ValueError, match=r"RECOAT:LAYER: tolerance 2\.4 is below half of 5"):
        pair(tolerance=2.4)
