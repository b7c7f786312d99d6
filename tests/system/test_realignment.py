"""A drifting instrument is realigned by a plan, its data are corrected, or a person is called."""

import os
import signal
import sys
from pathlib import Path

import pytest

from orchestrator.domain.errors import ReductionError
from orchestrator.session import Campaign
from tests.system.drifting_lab import build, realigned_by
from tests.system.lab import (
    FAST,
    answer,
    finish,
    labwright,
    process_of,
    results,
    start,
    wait_for,
)

pytestmark = pytest.mark.system


def verified(data_dir: Path, lab: dict[str, str]) -> str:
    return answer("verify", "a", "--data-dir", str(data_dir), **lab)["verified"]


def test_a_plan_realigns_the_instrument_and_the_campaign_goes_on(
    data_dir: Path, tmp_path: Path
) -> None:
    file, lab = build(tmp_path, realigned_by("realign"))
    outcome = answer("run", file, "--id", "a", "--data-dir", str(data_dir), **lab)
    assert outcome["status"] == "done"
    assert (outcome["trials"]["measured"], outcome["trials"]["invalid"]) == (13, 1)
    table = results(data_dir, "a")
    odd = {row["trial_id"]: row["source"] for row in table if row["source"] != "initial"}
    assert odd == {
        "1": "sentinel",
        "5": "sentinel",
        "9": "sentinel",
        "10": "realignment",
        "11": "sentinel",
    }
    assert [row["signal"] for row in table if row["source"] == "sentinel"] == [
        "1.0",
        "1.0",
        "4.0",
        "1.0",
    ]
    assert table[9]["signal"] == ""
    assert [row["trial_id"] for row in table if row["suspect_data"]] == ["6", "7", "8"]
    assert outcome["suspect_data"] == [6, 7, 8]
    assert verified(data_dir, lab) == "bitwise"


def test_a_plan_that_does_nothing_ends_with_a_call_for_a_person(
    data_dir: Path, tmp_path: Path
) -> None:
    file, lab = build(tmp_path, realigned_by("idle"))
    outcome = answer("run", file, "--id", "a", "--data-dir", str(data_dir), code=3, **lab)
    assert outcome["status"] == "needs_person"
    assert "its realignment, trial 10, has not brought it back" in outcome["waiting_for"]
    assert [row["source"] for row in results(data_dir, "a")][9:] == ["realignment", "sentinel"]
    assert verified(data_dir, lab) == "bitwise"


def test_a_worker_that_is_killed_in_a_realignment_is_followed_by_one_that_does_it(
    data_dir: Path, tmp_path: Path
) -> None:
    file, lab = build(tmp_path, realigned_by("slow_at_first"))
    running = start("run", file, "--id", "a", "--json", "--data-dir", str(data_dir), **lab)
    wait_for((tmp_path / "begun").exists, "the realignment has begun")
    worker = process_of("worker", data_dir)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    code, said, complained = finish(running)
    assert code == 0, said + complained
    table = results(data_dir, "a")
    assert (table[9]["source"], table[9]["state"], table[9]["attempts"]) == (
        "realignment",
        "invalid",
        "2",
    )
    assert [row["source"] for row in table].count("realignment") == 1
    assert table[10]["signal"] == "1.0", "the sentinel after it is good"
    assert verified(data_dir, lab) == "bitwise"


def test_the_optimizer_is_told_outcomes_without_their_drift(data_dir: Path, tmp_path: Path) -> None:
    file, lab = build(tmp_path, "correct")
    Path(file).write_text(
        Path(file).read_text().replace("method: sobol", "method: ax, initial_trials: 9")
    )
    outcome = answer("run", file, "--id", "a", "--data-dir", str(data_dir), **lab)
    assert outcome["status"] == "done"
    table = results(data_dir, "a")
    assert {row["source"] for row in table[9:12]} == {"model"}
    assert [float(row["drift"]) for row in table[5:9]] == [0.75, 1.5, 2.25, 3.0]
    assert table[8]["signal"] == "4.0", "what was measured stays"
    assert verified(data_dir, lab) == "bitwise"
    said = labwright("why", "7", "--campaign", "a", "--data-dir", str(data_dir)).stdout
    assert "suspect data: sentinel trial 9 gave 4, 24.5 sigma" in said


def test_a_person_who_measures_by_hand_realigns_by_hand(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, lab = build(tmp_path, realigned_by("realign"))
    for name, value in {**FAST, **lab}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    with Campaign(file, id="a", data_dir=data_dir) as mine:
        for number, signal_there in enumerate((1.0, 2.0, 3.0, 4.0, 9.0), 1):
            trial = mine.suggest()
            assert (trial.trial_id, trial.realigns) == (number, False)
            assert mine.ingest(number, {"signal": (signal_there, 0.1)}) == "measured"
        trial = mine.suggest()
        assert (trial.trial_id, trial.realigns) == (6, True)
        with pytest.raises(ReductionError, match=r"'signal'.* are no data: ingest\(6, \{\}\)"):
            mine.ingest(6, {"signal": (9.0, 0.1)})
        assert mine.ingest(6, {}) == "invalid"
        assert mine.suggest().parameters == {"x": 1, "y": 2}
        assert mine.ingest(7, {"signal": (1.0, 0.1)}) == "measured"
        assert mine.suggest().trial_id == 8
    assert verified(data_dir, lab) == "bitwise"
    sys.modules.pop("lab_bench")
