"""A flyer whose motor record is not there: flights that go well are flown over Channel Access."""

import pytest
from ophyd.sim import make_fake_device
from ophyd.status import wait

from devices import Flyer


@pytest.fixture
def flyer():
    made = make_fake_device(Flyer)("X", name="flyer", signal="S", timeout_s=20)
    made.axis.user_setpoint.sim_set_limits((-10.0, 10.0))
    made.stop_at.put(1.0)
    return made


def test_a_start_that_fails_leaves_no_flight_behind(flyer, monkeypatch):
    def fails(*_, **__):
        raise TimeoutError("not connected")

    monkeypatch.setattr(flyer.axis.user_setpoint, "put", fails)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="not connected"):
            flyer.kickoff()
        with pytest.raises(TimeoutError, match="not connected"):
            wait(flyer.complete(), timeout=20)


def test_a_flight_whose_end_cannot_be_read_has_failed(flyer, monkeypatch):
    def lost(*_, **__):
        raise TimeoutError("no answer")

    monkeypatch.setattr(
        flyer.axis.user_setpoint, "put", lambda *_, callback, **__: callback(pvname="X.VAL")
    )
    monkeypatch.setattr(flyer.axis.user_readback, "get", lost)
    for _ in range(2):
        flyer.kickoff()
        with pytest.raises(TimeoutError, match="no answer"):
            wait(flyer.complete(), timeout=20)
