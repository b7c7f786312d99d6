"""The page on plans: complete, and each of its campaigns runs as it stands."""

import inspect
import json
import re
import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import yaml

from devices.loader import dotted
from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.lab_code import plan_catalog
from orchestrator.adapters.lab_code.plan_catalog import find_plan, find_reducer, plan_problems
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.together import disagreements
from orchestrator.ports import PlanRequest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/plans.md").read_text()
SECTIONS = {text.split("\n", 1)[0]: text for text in PAGE.split("\n## ")[1:]}
SHIPPED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
    plan_catalog.GROUP
]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The plans of this checkout, whatever is installed."""
    points = [EntryPoint(name, value, plan_catalog.GROUP) for name, value in SHIPPED.items()]
    monkeypatch.setattr(plan_catalog, "_registered", lambda: EntryPoints(points))


def table(name, title):
    """First and last cell of each row of a section's table."""
    body = SECTIONS[name].split(f"| {title} |")[1].split("\n\n")[0]
    rows = [re.findall(r"[^|]+", line) for line in body.splitlines()[2:]]
    return {row[0].strip().strip("`"): row[-1].strip() for row in rows}


def campaign(name):
    (text,) = re.findall(r"```yaml\n(.*?)```", SECTIONS[name], re.DOTALL)
    return CampaignSpec.model_validate_json(json.dumps(yaml.safe_load(text)))


def test_every_shipped_plan_has_its_section():
    assert set(SECTIONS) == set(SHIPPED)
    for name in SHIPPED:
        assert f"[`{name}`](#{name})" in PAGE


@pytest.mark.parametrize("name", SHIPPED)
def test_arguments_and_outcomes_are_all_there(name):
    plan = find_plan(name)
    arguments = {
        argument.name: argument
        for argument in inspect.signature(plan).parameters.values()
        if argument.name not in plan_catalog.GIVEN
    }
    told = table(name, "argument")
    assert list(told) == list(arguments)
    for argument, default in told.items():
        is_needed = arguments[argument].default is inspect.Parameter.empty
        assert (default == "required") == is_needed, argument
        shown = default.split(":")[0].strip("`")
        if isinstance(arguments[argument].default, int | float | str):
            assert yaml.safe_load(shown) == arguments[argument].default
    module, _, function = SHIPPED[name].partition(":")
    reducer = dotted(f"{module}.reduce_{function}")
    assert list(table(name, "outcome")) == list(reducer.outcomes)


@pytest.mark.parametrize(
    "name", [name for name in SHIPPED if name not in ("fly_scan", "knife_edge", "spot_size")]
)
def test_its_campaign_measures_a_trial(name, tmp_path):
    spec = campaign(name)
    text = (ROOT / "simulators/soft/instrument.yaml").read_text()
    instrument = InstrumentSpec.model_validate_json(json.dumps(yaml.safe_load(text)))
    assert [*plan_problems(spec), *disagreements(spec, instrument)] == []
    executor = BlueskyExecutor(instrument, envelope_of(instrument), tmp_path, time_scale=1e4)
    executor.connect()
    middles = {
        name: (int if one.type == "int" else float)(sum(one.range) / 2)
        for name, one in spec.parameters.items()
    }
    settings = {one.device: middles[n] for n, one in spec.parameters.items() if one.device}
    arguments = {one.arg: middles[n] for n, one in spec.parameters.items() if one.arg}
    request = PlanRequest(spec, settings, arguments, {"trial_id": 1}, "runs/1.jsonl", 30)
    evidence = executor.run(request, lambda: None)
    reduction = DocumentReducer(tmp_path).reduce(spec, evidence.documents)
    assert set(spec.objectives) <= set(reduction.outcomes)


def test_fly_scan_fits_its_plan():
    """It is run over Channel Access, with a twin's flyer, in tests/integration/test_kit_ioc.py."""
    assert plan_problems(campaign("fly_scan")) == []
    assert find_reducer(campaign("fly_scan")).__name__ == "reduce_fly_scan"


def test_the_refusal_is_worded_as_shown():
    spec = campaign("scan_peak")
    wrong = {"plan": {"name": "scan_peak", "args": {**spec.plan.args, "points": "many"}}}
    (problem,) = plan_problems(CampaignSpec.model_validate({**spec.model_dump(), **wrong}))
    assert f"{problem.place}: {problem.message}" in PAGE
