"""The examples of the how-to page are run as they stand there."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from orchestrator.adapters.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.plan_catalog import plan_problems
from orchestrator.adapters.reducer import DocumentReducer
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
    plan, decorated = blocks("python")
    module = ModuleType("mylab.dwell")
    exec(plan, module.__dict__)
    exec(decorated, module.__dict__)
    assert module.reduce_other.outcomes == module.reduce_dwell.outcomes
    monkeypatch.setitem(sys.modules, "mylab", ModuleType("mylab"))
    monkeypatch.setitem(sys.modules, "mylab.dwell", module)
    (text,) = blocks("yaml")
    return CampaignSpec.model_validate_json(json.dumps(yaml.safe_load(text)))


def test_campaign_fits_the_plan(campaign):
    assert plan_problems(campaign) == []


def test_plan_runs_and_reduces(campaign, tmp_path):
    text = (ROOT / "simulators/soft/instrument.yaml").read_text()
    instrument = InstrumentSpec.model_validate_json(json.dumps(yaml.safe_load(text)))
    executor = BlueskyExecutor(instrument, envelope_of(instrument), tmp_path, time_scale=100)
    executor.connect()
    settings = {"bench.x": 1.0, "bench.y": 2.0}
    request = PlanRequest(campaign, settings, {}, {"trial_id": 1}, "runs/1.jsonl", 20)
    evidence = executor.run(request, lambda: None)
    reduction = DocumentReducer(tmp_path).reduce(campaign, evidence.documents)
    assert reduction.outcomes["signal"].mean == evaluate(x=1.0, y=2.0)["branin"]
    assert reduction.outcomes["signal"].unit == "counts"
    assert reduction.invalid is None
