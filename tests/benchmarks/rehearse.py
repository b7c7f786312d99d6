"""How long it takes to rehearse a campaign, and what the faster approximation makes of it.

The shipped campaign of flow chemistry without its rules to stop early, so that each rehearsal has
40 trials; as many with Sobol are part of each. Regret is what the median of the best that was
measured lacks to the model's optimum, relative to it: below 0, noise has flattered it.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestrator.campaign_files import read_files
from simulators.twins import twin_model
from tests.system.lab import LABWRIGHT, environment

TWIN = "flow-chemistry"
BARS = {"own_s": ("<=", 480), "fast_s": ("<=", 60)}


def measure(seeds: int = 20, trials: int = 40) -> dict[str, Any]:
    """Rehearse with the campaign's own optimizer, and by the approximation.

    Args:
        seeds: rehearsals.
        trials: of each.
    """
    campaign = read_files(TWIN).campaign.with_run_options(trials=trials)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(json.dumps(campaign.to_data()))
        own, own_s = _rehearsed(file, seeds)
        fast, fast_s = _rehearsed(file, seeds, "--fast")
    figures = {
        "own_s": own_s,
        "fast_s": fast_s,
        "own_regret": _regret(own),
        "fast_regret": _regret(fast),
        "sobol_regret": _regret(own["chance"]),
    }
    return {"seeds": seeds, "figures": figures, "bars": BARS}


def _rehearsed(file: Path, count: int, *more: str) -> tuple[dict[str, Any], float]:
    """What was said, and after how many seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [LABWRIGHT, "rehearse", str(file), "-n", str(count), "--json", *more],
        env=environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), time.monotonic() - began


def _regret(told: dict[str, Any]) -> float:
    optimum = float(twin_model(TWIN).OPTIMUM["objective"])
    return (optimum - told["best"][-1]["median"]) / abs(optimum)
