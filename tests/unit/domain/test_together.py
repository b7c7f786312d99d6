from typing import Any

import pytest

from orchestrator.domain.together import disagreements
from tests.unit.domain.builders import CAMPAIGN, campaign, instrument

X = CAMPAIGN["parameters"]["x"]


def _told(instrument_: Any = None, **parameters: Any) -> dict[str, str]:
    found = disagreements(campaign(parameters=parameters), instrument_ or instrument())
    return {problem.place: problem.message for problem in found}


def test_files_that_fit_each_other():
    heat = {"device": "heater", "range": [20, 200], "unit": "degC"}
    steps = {"device": "stage.y", "choices": [0, 2.5, 10], "unit": "mm"}
    assert _told(x=X, heat=heat, steps=steps, n={"arg": "n", "range": [1, 2]}) == {}


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (
            {"device": "stag.x"},
            "parameters.x.device",
            "'stag.x' is no device of instrument 'bench'; did you mean 'stage'?",
        ),
        (
            {"device": "laser"},
            "parameters.x.device",
            "'laser' is no device of instrument 'bench'; there are ['camera', 'heater', 'stage']",
        ),
        (
            {"unit": "um"},
            "parameters.x.unit",
            "found 'um', but device 'stage.x' is in 'mm'; the two must agree",
        ),
        (
            {"unit": ""},
            "parameters.x.unit",
            "found no unit, but device 'stage.x' is in 'mm'; the two must agree",
        ),
        (
            {"range": [-1, 10]},
            "parameters.x.range",
            "[-1.0, 10.0] leaves the limits [0.0, 10.0] of device 'stage.x'",
        ),
        (
            {"range": [0, 10.0000001]},
            "parameters.x.range",
            "[0.0, 10.0000001] leaves the limits [0.0, 10.0] of device 'stage.x'",
        ),
        (
            {"range": None, "choices": [1, 11]},
            "parameters.x.choices",
            "11 leaves the limits [0.0, 10.0] of device 'stage.x'",
        ),
        (
            {"range": None, "choices": [True, False]},
            "parameters.x.choices",
            "False is no number, and a device is set to numbers only",
        ),
        (
            {"range": None, "choices": [1, "open"]},
            "parameters.x.choices",
            "'open' is no number, and a device is set to numbers only",
        ),
        (
            {"device": "camera", "unit": ""},
            "parameters.x.device",
            "device 'camera' has no limits in the instrument file; give it 'limits: [low, high]'",
        ),
        (
            {"device": "camera"},
            "parameters.x.unit",
            "found 'mm', but device 'camera' has no unit; the two must agree",
        ),
    ],
)
def test_what_does_not_fit_is_told(change, place, message):
    assert _told(x={**X, **change})[place] == message


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("stage.x", "stage.x", "'stage.x' is already bound to parameter 'a'"),
        ("stage", "stage.x", "'stage.x' is already bound to parameter 'a' through 'stage'"),
        ("stage.x", "stage", "'stage' is already bound to parameter 'a' through 'stage.x'"),
        ("stage.x.user", "stage.x", "'stage.x' is already bound to parameter 'a' through"),
    ],
)
def test_one_device_for_two_parameters_by_whatever_path(one, other, message):
    told = _told(a={**X, "device": one}, b={**X, "device": other})
    assert told["parameters.b.device"].startswith(message)


@pytest.mark.parametrize(
    ("one", "other"), [("stage.x", "stage.y"), ("stage.x", "stage.xx"), ("stage.x.a", "stage.y.a")]
)
def test_parts_beside_each_other_are_two_devices(one, other):
    assert _told(a={**X, "device": one}, b={**X, "device": other}) == {}


def test_one_argument_for_two_parameters():
    arg = {"arg": "exposure", "range": [1, 2]}
    assert _told(a=arg, b=arg) == {
        "parameters.b.arg": "argument 'exposure' is already bound to parameter 'a'"
    }


def test_an_argument_and_a_device_may_have_the_same_name():
    heat = {"device": "heater", "range": [20, 200], "unit": "degC"}
    assert _told(a=heat, b={"arg": "heater", "range": [0, 1]}) == {}


def test_everything_is_told_at_once():
    told = _told(
        a={"device": "stage.x", "range": [-1, 11], "unit": "um"},
        b={"device": "heatr", "range": [20, 30]},
        c={"device": "stage", "range": [0, 1], "unit": "mm"},
    )
    assert set(told) == {
        "parameters.a.range",
        "parameters.a.unit",
        "parameters.b.device",
        "parameters.c.device",
    }


def test_a_plan_of_the_startup_that_realigns_needs_a_startup():
    then = {"realign": {"name": "startup:align"}}
    one = campaign(sentinel={"at": {"x": 5.0}, "every": 5, "then": then})
    (problem,) = disagreements(one, instrument())
    assert problem.place == "sentinel.then.realign.name"
    assert "has no startup under 'from'" in problem.message
