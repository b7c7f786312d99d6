"""How long it takes to rehearse a campaign, and what the faster approximation makes of it.

The shipped campaign of flow chemistry without its rules to stop early, so that each rehearsal has
40 trials; as many with Sobol are part of each. Regret is what the median of the best that was
measured lacks to the model's optimum, relative to it: below 0, noise has flattered it. The
approximation is tried on all twins with a server: some take long to compute.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.campaign_files import read_files
from simulators.twins import twin_model, twin_names
from tests.benchmarks.__main__ import as_text as common_text
from tests.system.lab import LABWRIGHT, environment

TWIN = "flow-chemistry"
BARS = {"own_s": ("<=", 480), "fast_s": ("<=", 60), "slowest_fast_s": ("<=", 60)}


def measure(seeds: int = 20, trials: int = 40) -> dict[str, Any]:
    """Rehearse with the campaign's own optimizer, and by the approximation.

    Args:
        seeds: rehearsals.
        trials: of each.
    """
    rows = fast_rows(seeds, trials)
    fast = next(row for row in rows if row["twin"] == TWIN)
    with _campaign(TWIN, trials) as file:
        own, own_s = _rehearsed(file, seeds)
    figures = {
        "own_s": own_s,
        "fast_s": fast["fast_s"],
        "slowest_fast_s": max(row["fast_s"] for row in rows),
        "own_regret": _regret(own["best"][-1]["median"]),
        "fast_regret": _regret(fast["median"]),
        "sobol_regret": _regret(own["chance"]["best"][-1]["median"]),
    }
    return {"seeds": seeds, "figures": figures, "rows": rows, "bars": BARS}


def fast_rows(seeds: int, trials: int) -> list[dict[str, Any]]:
    """The approximation on each twin with a server, the slowest first.

    Each row has ``twin``, ``fast_s``, the ``median`` of the best at the end (None of nothing
    feasible), and ``feasible``, how many campaigns found something.
    """
    rows: list[dict[str, Any]] = []
    for twin in (name for name in twin_names() if name != "soft"):
        with _campaign(twin, trials) as file:
            found, fast_s = _rehearsed(file, seeds, "--fast")
        best = found["best"][-1]
        told = {"median": best["median"], "feasible": best["feasible"]}
        rows.append({"twin": twin, "fast_s": fast_s, **told})
    return sorted(rows, key=lambda row: -row["fast_s"])


@contextmanager
def _campaign(twin: str, trials: int) -> Iterator[Path]:
    """File with the twin's campaign, of so many trials."""
    campaign = read_files(twin).campaign.with_run_options(trials=trials)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(json.dumps(campaign.to_data()))
        yield file


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


def _regret(best: float) -> float:
    optimum = float(twin_model(TWIN).OPTIMUM["objective"])
    return (optimum - best) / abs(optimum)


def as_text(report: dict[str, Any]) -> str:
    """The figures, and what each twin took."""
    lines = [f"  {row['twin']:32} {row['fast_s']:12.4g} s" for row in report["rows"]]
    return "\n".join([common_text(report), "--fast on each twin:", *lines])
