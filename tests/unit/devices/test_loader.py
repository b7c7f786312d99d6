import logging
from typing import Any

import pytest
from ophyd.positioner import SoftPositioner

from devices.errors import DevicesUnavailable, NoSuchDevice
from devices.loader import dotted, load, resolve

BENCH = {"class": "simulators.soft.bench.Bench"}


class Plain:
    """An in-process class without prefix."""

    def __init__(self, *, name: str, settle_s: float = 0.0, unit: str = "") -> None:
        self.name, self.settle_s, self.unit = name, settle_s, unit


class Passing(Plain):
    """Passes on what it does not know."""

    def __init__(self, *, name: str, tolerance: float = 1.0, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.tolerance = tolerance


class Broken:
    def __init__(self, *, name: str) -> None:
        raise RuntimeError("no power")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lab_devices", sys.modules[__name__])


def entry(name: str, **keys: Any) -> dict[str, Any]:
    return {"class": f"lab_devices.{name}", **keys}


def test_in_process_device_with_parts():
    found = load({"bench": {**BENCH, "limits": [-5, 15]}}, connect_timeout_s=1)
    assert resolve(found, "bench.x") is found["bench"].x
    assert found.missing == {}


def test_keys_go_to_a_class_that_accepts_them_and_lab_time_is_scaled():
    keys = {"settle_s": 6.0, "unit": "K", "tolerance": 0.5, "timeout_s": None, "limits": [0, 1]}
    found = load(
        {"plain": entry("Plain", **keys), "passing": entry("Passing", **keys)},
        connect_timeout_s=1,
        time_scale=3.0,
    )
    assert (found["plain"].settle_s, found["plain"].unit) == (2.0, "K")
    assert (found["passing"].settle_s, found["passing"].tolerance) == (2.0, 0.5)


def test_kwargs_win():
    found = load({"plain": entry("Plain", unit="K", kwargs={"unit": "mK"})}, connect_timeout_s=1)
    assert found["plain"].unit == "mK"


def test_ophyd_positioners_receive_their_own_names():
    entries = {"axis": {"class": "ophyd.positioner.SoftPositioner", "timeout_s": 7.0}}
    axis = load(entries, connect_timeout_s=1)["axis"]
    assert isinstance(axis, SoftPositioner)
    assert axis.timeout == 7.0


def test_one_error_names_every_device_that_failed():
    entries = {
        "good": entry("Plain"),
        "broken": entry("Broken"),
        "typo": entry("Plian"),
        "nowhere": {"class": "simulatorz.soft.Bench"},
        "odd": {**BENCH, "kwargs": {"speed": 3}},
    }
    with pytest.raises(DevicesUnavailable) as caught:
        load(entries, connect_timeout_s=1)
    reasons = caught.value.reasons
    assert sorted(reasons) == ["broken", "nowhere", "odd", "typo"]
    assert "no power" in reasons["broken"]
    assert "Plain" in reasons["typo"]
    assert "simulators" in reasons["nowhere"]
    assert "speed" in reasons["odd"]
    assert all(name in str(caught.value) for name in reasons)


def test_a_device_that_was_there_already_outlives_the_failure_of_another():
    class Own(Plain):
        is_gone = False

        def destroy(self) -> None:
            self.is_gone = True

    own = Own(name="own")
    with pytest.raises(DevicesUnavailable):
        load({"own": {}, "broken": entry("Broken")}, connect_timeout_s=1, ready={"own": own})
    assert not own.is_gone


def test_optional_devices_may_be_absent(caplog):
    entries = {"plain": entry("Plain"), "broken": entry("Broken", optional=True)}
    with caplog.at_level(logging.WARNING):
        found = load(entries, connect_timeout_s=1)
    assert list(found) == ["plain"]
    assert list(found.missing) == ["broken"]
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    ("path", "near"), [("banch", "bench"), ("bench.xx", "x"), ("bench.dett", "det")]
)
def test_a_wrong_name_brings_near_names(path, near):
    with pytest.raises(NoSuchDevice, match=rf"near: .*\b{near}\b"):
        resolve(load({"bench": BENCH}, connect_timeout_s=1), path)


def test_dotted_paths():
    from devices import SetpointReadback

    assert dotted("devices.SetpointReadback") is SetpointReadback
    assert dotted("ophyd.EpicsMotor").__name__ == "EpicsMotor"
    with pytest.raises(NoSuchDevice, match="SetpointReadback"):
        dotted("devices.SetpointReedback")
