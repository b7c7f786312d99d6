"""The examples of the how-to page are run as they stand there."""

import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.lab_code.plan_catalog import plan_problems
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.cli.main import main
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.ports import PlanRequest
from simulators.soft.model import evaluate

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/write-a-plan.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def campaign(monkeypatch):
    plan, several, decorated = blocks("python")
    module = ModuleType("mylab.dwell")
    exec(plan, module.__dict__)
    exec(several, module.__dict__)
    exec(decorated, module.__dict__)
    assert module.reduce_other.outcomes == module.reduce_dwell.outcomes
    monkeypatch.setitem(sys.modules, "mylab", ModuleType("mylab"))
    monkeypatch.setitem(sys.modules, "mylab.dwell", module)
    (text,) = blocks("yaml")
    return CampaignSpec.model_validate_json(json.dumps(yaml.safe_load(text)))


def test_campaign_fits_the_plan(campaign):
    assert plan_problems(campaign) == []


@pytest.fixture
def executor(tmp_path):
    text = (ROOT / "simulators/soft/instrument.yaml").read_text()
    instrument = InstrumentSpec.model_validate_json(json.dumps(yaml.safe_load(text)))
    executor = BlueskyExecutor(instrument, envelope_of(instrument), tmp_path, time_scale=100)
    executor.connect()
    return executor


def test_plan_runs_and_reduces(campaign, executor, tmp_path):
    settings = {"bench.x": 1.0, "bench.y": 2.0}
    request = PlanRequest(campaign, settings, {}, {"trial_id": 1}, "runs/1.jsonl", 20)
    evidence = executor.run(request, lambda: None)
    reduction = DocumentReducer(tmp_path).reduce(campaign, evidence.documents)
    assert reduction.outcomes["signal"].mean == evaluate(x=1.0, y=2.0)["branin"]
    assert reduction.outcomes["signal"].unit == "counts"
    assert reduction.invalid is None


def test_several_runs_are_told_apart(campaign, executor, tmp_path):
    args = {"lamp": "bench.x", "detector": "bench.det"}
    plan = campaign.plan.model_copy(update={"name": "mylab.dwell.transmission", "args": args})
    objectives = {"transmission": campaign.objectives["signal"]}
    several = campaign.model_copy(update={"plan": plan, "objectives": objectives, "valid": ()})
    assert plan_problems(several) == []
    request = PlanRequest(several, {"bench.x": 4.0}, {}, {"trial_id": 1}, "runs/1.jsonl", 20)
    evidence = executor.run(request, lambda: None)
    dark, reference, sample = (evaluate(x=x, y=0.0)["branin"] for x in (0.0, 1.0, 4.0))
    outcome = DocumentReducer(tmp_path).reduce(several, evidence.documents).outcomes["transmission"]
    assert outcome.mean == pytest.approx((sample - dark) / (reference - dark))


def test_wrong_arguments_are_refused_as_shown(campaign):
    plan = campaign.plan.model_copy(update={"args": {**campaign.plan.args, "dwell_s": "long"}})
    (problem,) = plan_problems(campaign.model_copy(update={"plan": plan}))
    assert f"{problem.place}: {problem.message}" in PAGE


def test_scaffolds_are_begun_as_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line.split() for block in blocks("bash") for line in block.splitlines()]
    for program, *words in commands:
        if program == "labwright":
            with pytest.raises(SystemExit) as ended:
                main(words)
            assert ended.value.code == 0, words
        else:
            assert (program, *map(os.path.isfile, words)) == ("pytest", True)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {"mylab/sample_stage.py", "my-beamline.yaml", "hot_plate/model.py"} <= written
