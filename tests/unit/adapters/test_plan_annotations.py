"""Arguments in a campaign file against the annotations of a plan."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from bluesky.protocols import Readable

from orchestrator.adapters.lab_code.plan_annotations import annotation_problems
from orchestrator.adapters.lab_code.plan_catalog import find_plan, plan_problems
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from plans.scan_peak import scan_peak


def plan(
    settings: Mapping[Any, float],
    detectors: Sequence[Readable],
    *spread: float,
    points: int = 1,
    dwell_s: float = 0,
    shape: Literal["round", "square"] = "round",
    window: tuple[float, float] | None = None,
    weights: dict[str, float] | None = None,
    axis: Readable | None = None,
    free=None,
    worded: "seconds to wait" = 0,  # noqa: F722
    **more: int,
):
    yield


def found(parameters=None, **args):
    problems = annotation_problems(plan, args, parameters or {})
    return {problem.place: problem.message for problem in problems}


@pytest.mark.parametrize(
    ("name", "value", "annotation"),
    [
        ("points", "many", "int"),
        ("points", "5", "int"),
        ("points", 5.5, "int"),
        ("points", True, "int"),
        ("points", None, "int"),
        ("dwell_s", "2 s", "float"),
        ("dwell_s", [1], "float"),
        ("shape", "oval", "Literal['round', 'square']"),
        ("window", [1, "a"], "tuple[float, float] | None"),
        ("window", [1], "tuple[float, float] | None"),
        ("weights", {"a": "b"}, "dict[str, float] | None"),
        ("spread", [1, "b"], "float"),
    ],
)
def test_a_wrong_type_is_refused_with_annotation_and_value(name, value, annotation):
    message = found(**{name: value})[f"plan.args.{name}"]
    assert message == f"is {json.dumps(value)}, but plan takes {annotation}"


def test_the_right_types_pass():
    assert not found(points=5, dwell_s=2, shape="square", window=[1, 2.5], weights={"a": 1})
    assert not found(window=None, spread=[1, 2.5])


def test_what_wants_a_device_or_has_no_annotation_takes_anything():
    assert not found(axis="stage.x", detectors=["camera"], free={"any": "thing"}, other="text")
    assert not found(worded="x")


def test_parameters_are_looked_at_too():
    parameters = {
        "a": ParameterSpec(arg="points", range=(1.0, 10.0)),
        "b": ParameterSpec(arg="points", range=(1.0, 10.0), type="int"),
        "c": ParameterSpec(arg="shape", choices=("round", "oval")),
        "d": ParameterSpec(arg="dwell_s", range=(1.0, 10.0), type="int"),
        "e": ParameterSpec(device="stage", range=(1.0, 10.0)),
    }
    messages = found(parameters)
    assert messages == {
        "parameters.a.arg": "may be 5.5, but plan takes int ('type: int' makes it a whole number)",
        "parameters.c.arg": "may be \"oval\", but plan takes Literal['round', 'square']",
    }
    whole = {"a": ParameterSpec(arg="points", range=(1.0, 3.0))}
    assert "parameters.a.arg" in found(whole), "2.0 is no whole number either"


def test_annotations_that_are_text_are_read_in_the_plans_module():
    args = {"points": "many", "shape": "round", "axis": "bench.x", "start": "low", "stop": 3}
    messages = {one.place: one.message for one in annotation_problems(scan_peak, args, {})}
    assert messages == {
        "plan.args.points": 'is "many", but scan_peak takes int',
        "plan.args.start": 'is "low", but scan_peak takes float',
        "plan.args.shape": "is \"round\", but scan_peak takes Literal['gaussian', 'lorentzian']",
    }


def test_plans_of_bluesky_are_looked_at_too():
    args = {"detectors": ["bench.det"], "num": "three", "delay": 1.5}
    problems = list(annotation_problems(find_plan("bluesky.plans.count"), args, {}))
    assert [problem.place for problem in problems] == ["plan.args.num"]


def test_check_refuses_it():
    spec = {
        "name": "c",
        "instrument": "soft",
        "plan": {
            "name": "plans.scan_peak.scan_peak",
            "args": {"axis": "bench.x", "detector": "bench.det", "start": 0, "stop": 1}
            | {"points": "many"},
        },
        "parameters": {"y": {"device": "bench.y", "range": [0, 1]}},
        "objectives": {"height": {"goal": "maximize", "unit": "counts"}},
        "budget": {"trials": 1},
    }
    (problem,) = plan_problems(CampaignSpec.model_validate_json(json.dumps(spec)))
    assert (problem.place, problem.message) == (
        "plan.args.points",
        'is "many", but scan_peak takes int',
    )
