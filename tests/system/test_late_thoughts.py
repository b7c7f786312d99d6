"""An optimizer that hangs, fails or dies never stops the instrument."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.lab import answer, labwright, results

LAB = """
import os, time

class Hanging:
    def suggest(self, known):
        time.sleep(3600)

class Failing:
    def suggest(self, known):
        raise ZeroDivisionError("no way")

class Deadly:
    def suggest(self, known):
        os._exit(9)
"""
INSTRUMENT = """
name: soft
mode: twin
devices:
  bench: {class: simulators.soft.bench.Bench, limits: [-5, 15], kwargs: {move_s: 0.2}}
"""
CAMPAIGN = """
name: branin
instrument: instrument.yaml
plan: {{name: steady_state_sample, args: {{detector: bench.det}}}}
reduce: {{call: simulators.soft.reduce.reduce_branin}}
parameters:
  x: {{device: bench.x, range: [-5, 10]}}
  y: {{device: bench.y, range: [0, 15]}}
objectives: {{branin: {{goal: minimize}}}}
budget: {{trials: 6}}
optimizer: {{method: {method}, initial_trials: 3, lookahead: {lookahead}}}
"""

REASON = "bad_optimizers:Failing failed: ZeroDivisionError: no way"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with a lab's own package of optimizers, registered as an installed one is."""
    (tmp_path / "bad_optimizers.py").write_text(LAB)
    about = tmp_path / "bad_optimizers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-optimizers\nVersion: 1.0\n")
    entries = [f"{one.lower()} = bad_optimizers:{one}" for one in ("Hanging", "Failing", "Deadly")]
    (about / "entry_points.txt").write_text("\n".join(["[labwright.optimizers]", *entries, ""]))
    (tmp_path / "instrument.yaml").write_text(INSTRUMENT)
    return tmp_path


def sources(lab: Path, method: str, lookahead: object, **settings: str) -> list[str]:
    """Who proposed each trial of a whole campaign."""
    done = run(lab, method, lookahead, **settings)
    return [row["source"] for row in results(lab / "data", done["campaign_id"])]


def run(lab: Path, method: str, lookahead: object, **settings: str) -> dict[str, Any]:
    """What a whole campaign came to."""
    (lab / "campaign.yaml").write_text(CAMPAIGN.format(method=method, lookahead=lookahead))
    path = os.pathsep.join(filter(None, (str(lab), os.environ.get("PYTHONPATH"))))
    where = ("--data-dir", str(lab / "data"))
    done = answer("run", str(lab / "campaign.yaml"), *where, PYTHONPATH=path, **settings)
    assert done["trials"]["measured"] == 6
    return done


def test_whoever_looks_is_told_why_no_model_has_chosen(lab: Path) -> None:
    done = run(lab, "failing", 0)
    assert (done["fallbacks"], done["last_fallback"]) == (3, REASON)
    where = ("--data-dir", str(lab / "data"))
    proposed, *_ = answer("why", "5", *where)["history"]
    assert (proposed["source"], proposed["because"]) == ("fallback", REASON)
    said = labwright("status", done["campaign_id"], *where).stdout
    assert REASON in " ".join(said.split())


@pytest.mark.parametrize("method", ["hanging", "failing", "deadly"])
def test_space_filling_points_serve_at_once(lab: Path, method: str) -> None:
    """Far below the five minutes after which a hung optimizer is replaced."""
    assert sources(lab, method, 1) == ["initial"] * 3 + ["fallback"] * 3


def test_even_who_waits_for_every_thought_does_not_wait_for_ever(lab: Path) -> None:
    found = sources(lab, "hanging", 0, LABWRIGHT_SUGGESTION_DEADLINE_S="2")
    assert found == ["initial"] * 3 + ["fallback"] * 3
