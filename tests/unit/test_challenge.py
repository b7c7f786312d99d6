"""The challenge keeps what is done, compares by the truth, and names what cannot be scored."""

import json
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from orchestrator import challenge as module
from orchestrator import reference_campaigns
from orchestrator.adapters.optimizers import optimizer_identity
from orchestrator.adapters.optimizers.optimizer_identity import optimizer_files, optimizer_versions
from orchestrator.adapters.processes.run_processes import Said
from orchestrator.adapters.walks.twin_instrument import TwinInstrument
from orchestrator.campaign_files import read_files
from orchestrator.challenge import challenge
from orchestrator.cli.main import main
from orchestrator.domain.campaign_spec import SamplesSpec
from orchestrator.domain.errors import Unusable
from orchestrator.reference_campaigns import Run, reference
from orchestrator.simulated_campaign import Order
from simulators import twins
from simulators.soft.model import BOUNDS, OPTIMUM

BEST = OPTIMUM["objective"]


@pytest.fixture
def carried_out(monkeypatch):
    """Replaces the campaigns' processes; gives the orders. Ax is told to be ten times better."""
    orders: list[Order] = []

    def run_module(name: str, words: Any = (), told: str = "") -> Said:
        order = Order.from_json(told)
        orders.append(order)
        optimizer = order.campaign.optimizer
        worth = (1.1 if optimizer.method == "sobol" else 1.01) + 0.001 * optimizer.seed
        lines = [
            {"trial_id": 1, "truth": 9 * BEST, "cpu_s": 0.0, "source": "initial"},
            {"trial_id": 2, "truth": worth * BEST, "cpu_s": 0.5, "source": "model"},
            {"rule": "trials", "status": "done", "reason": ""},
        ]
        return Said(lines, None)

    monkeypatch.setattr(module, "run_module", run_module)
    return orders


def test_regret_beside_sobol(carried_out):
    (row,) = challenge(["soft"], seeds=3)["twins"]
    assert (row["optimizer"], row["trials"], row["near"]) == ("ax", 20, "within 5 %")
    assert row["regret"] == pytest.approx((0.011, 0.0105, 0.0115))
    assert row["sobol"]["regret"][0] == pytest.approx(0.101)
    assert (row["first_near"], row["came_near"]) == (2, 3)
    assert (row["sobol"]["first_near"], row["sobol"]["came_near"]) == (None, 0)
    assert (row["beats_sobol"], row["compared"]) == (3, 3)


def test_every_campaign_has_its_budget_its_seed_and_no_rule_to_stop_early(carried_out):
    challenge(["flow-chemistry"], seeds=2, optimizer="sobol")
    assert [one.campaign.optimizer.seed for one in carried_out] == [0, 1]
    for order in carried_out:
        assert order.campaign.budget.trials == 40
        assert order.campaign.stop.target == {}
        assert order.campaign.constraints.outcomes == ("e_factor <= 12",)
        assert order.with_truth


def test_finished_campaigns_are_not_run_again(carried_out, tmp_path):
    file = tmp_path / "results.jsonl"
    first = challenge(["soft"], seeds=2, results=file)
    assert len(carried_out) == len(file.read_text().splitlines()) == 4
    assert challenge(["soft"], seeds=2, results=file) == first
    assert len(carried_out) == 4
    challenge(["soft"], seeds=3, results=file)
    assert len(carried_out) == 6


def test_other_code_asks_for_another_run():
    key = Run(reference("soft"), "ax", 0).key()
    assert {"twin", "optimizer", "seed", "trials", "versions", "code"} == key.keys()
    assert key == Run(reference("soft"), "ax", 0).key()
    assert key["code"] != Run(reference("soft"), "sobol", 0).key()["code"]
    assert key["code"] != Run(reference("flow-chemistry"), "ax", 0).key()["code"]


def test_another_measurement_asks_for_another_run(monkeypatch):
    key = Run(reference("flow-chemistry"), "ax", 0).key()
    monkeypatch.setattr(TwinInstrument, "read", readings_of_another_plan)
    assert key["code"] != Run(reference("flow-chemistry"), "ax", 0).key()["code"]


def readings_of_another_plan(_: Any, device: Any) -> dict[str, Any]:
    reading = device.read()
    if "hplc_ortho" in reading:
        reading["hplc_ortho"]["value"] *= 1.001
    return reading


def test_a_campaign_that_failed_is_told_and_tried_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(module, "run_module", lambda *_, **__: Said([], "killed by SIGSEGV"))
    words = ["challenge", "soft", "--seeds", "1", "--jobs", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--results", str(tmp_path / "results.jsonl")])
    assert ended.value.code == 1
    assert "soft: a campaign failed: killed by SIGSEGV" in capsys.readouterr().out
    assert not (tmp_path / "results.jsonl").exists()


def test_any_registered_optimizer_can_be_scored(monkeypatch, tmp_path, carried_out):
    package = tmp_path / "mylab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text("class Mine: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = SimpleNamespace(name="mine", module="mylab.mine", dist=None)
    monkeypatch.setattr(reference_campaigns, "registered", lambda _: entry)
    monkeypatch.setattr(optimizer_identity, "registered", lambda _: entry)
    (row,) = challenge(["soft"], seeds=1, optimizer="mine")["twins"]
    assert row["optimizer"] == "mine"
    assert {one.campaign.optimizer.method for one in carried_out} == {"mine", "sobol"}
    assert [file.name for file in sorted(optimizer_files("mine"))] == ["__init__.py", "mine.py"]
    assert "numpy" in optimizer_versions("mine")


def refused(capsys: Any, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 2
    return answer["error"]


def test_an_unknown_twin_is_refused(capsys):
    said = refused(capsys, "challenge", "flow-chemistri")
    assert "no twin 'flow-chemistri'; known: flow-chemistry" in said


def test_an_unknown_optimizer_is_refused(capsys):
    said = refused(capsys, "challenge", "soft", "--optimizer", "bayes")
    assert "no optimizer is called 'bayes'" in said


@pytest.fixture
def mute(monkeypatch):
    """A twin whose model has no scalar to judge by."""
    package, model = ModuleType("mute"), ModuleType("mute.model")
    model.BOUNDS, model.OPTIMUM = BOUNDS, OPTIMUM  # type: ignore[attr-defined]
    model.evaluate = lambda **_: {"branin": 1.0}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mute", package)
    monkeypatch.setitem(sys.modules, "mute.model", model)
    monkeypatch.setattr(twins, "_packages", lambda: {"mute": "mute", "soft": "simulators.soft"})


def test_a_model_without_an_objective_is_refused(mute, capsys):
    said = refused(capsys, "challenge", "mute")
    assert "the model of twin 'mute' gives no 'objective'" in said


def test_a_model_that_says_wrongly_how_to_judge_is_refused(mute, monkeypatch, capsys):
    model = sys.modules["mute.model"]
    monkeypatch.setattr(model, "OPTIMUM", {**OPTIMUM, "scale": "log"})
    monkeypatch.setattr(model, "evaluate", lambda **_: {"branin": 1.0, "objective": 1.0})
    said = refused(capsys, "challenge", "mute")
    assert "OPTIMUM of twin 'mute': 'scale' is 'log', and none of relative" in said


def test_of_all_twins_those_without_a_campaign_are_left_out(mute, carried_out):
    found = challenge(seeds=1)
    assert [row["twin"] for row in found["twins"]] == ["soft"]
    assert found["skipped"][0]["twin"] == "mute"


def test_a_campaign_that_its_samples_may_end_early_is_refused(monkeypatch):
    files = read_files("soft")
    samples = SamplesSpec.from_data(
        {"file": "samples.csv", "list": [{"position": "A1", "uses": 9}]}
    )
    listed = files.campaign.model_copy(update={"samples": samples})
    changed = replace(files, campaign=listed)
    monkeypatch.setattr(reference_campaigns, "read_files", lambda _: changed)
    with pytest.raises(Unusable, match="the campaign of twin 'soft' has samples"):
        challenge(["soft"])


def test_a_twin_that_was_named_must_have_a_model():
    with pytest.raises(Unusable, match="no twin 'nowhere'"):
        challenge(["nowhere"])


def test_a_real_instrument_without_a_twin_is_refused(tmp_path, capsys):
    bench = "{class: simulators.soft.bench.Bench, limits: [-5, 15]}"
    instrument = f"{{name: hutch, mode: real, devices: {{bench: {bench}}}}}"
    (tmp_path / "hutch.yaml").write_text(instrument)
    (tmp_path / "campaign.yaml").write_text(
        "{name: scan, instrument: hutch.yaml,"
        " plan: {name: steady_state_sample, args: {detector: bench.det}},"
        " reduce: {call: simulators.soft.reduce.reduce_branin},"
        " parameters: {x: {device: bench.x, range: [0, 1]}},"
        " objectives: {branin: {goal: minimize}}, budget: {trials: 3}}"
    )
    said = refused(capsys, "rehearse", str(tmp_path / "campaign.yaml"), "-n", "1")
    assert "instrument 'hutch' is real and names no twin" in said


def test_a_number_of_rehearsals_that_cannot_be_is_refused(capsys):
    assert "Must be >= 1" in refused(capsys, "rehearse", "soft", "-n", "0")
