"""What Labwright adds to a trial: from one RunStart to the next, over a bare RunEngine."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.system.lab import LABWRIGHT, environment

CAMPAIGN = """
name: overhead
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 1}
optimizer: {method: sobol, lookahead: 2}
"""

BARE = """
import json, sys, time
from bluesky import RunEngine
from plans.steady_state_sample import steady_state_sample
from simulators.soft.bench import Bench
bench = Bench(name="bench")
starts = []
engine = RunEngine({}, context_managers=[], during_task=None)
engine.subscribe(lambda name, doc: starts.append(time.time()) if name == "start" else None)
for x, y in json.loads(sys.argv[1]):
    engine(steady_state_sample({bench.x: x, bench.y: y}, bench.det))
print(json.dumps(starts))
"""


def measure(seeds: int = 3, trials: int = 200) -> dict[str, Any]:
    """Median interval between RunStart times, of a whole campaign and of the same plan alone."""
    rows = []
    for _ in range(seeds):
        starts, points = _campaign(trials)
        bare = _bare(points)
        rows.append(
            {
                "campaign_ms": _median_interval_ms(starts),
                "bare_ms": _median_interval_ms(bare),
            }
        )
    best = min(rows, key=lambda row: row["campaign_ms"] - row["bare_ms"])
    overheads = [row["campaign_ms"] - row["bare_ms"] for row in rows]
    figures = {
        "overhead_ms": statistics.median(overheads),
        "overhead_ms_min": min(overheads),
        "campaign_ms": best["campaign_ms"],
        "bare_ms": best["bare_ms"],
    }
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": {"overhead_ms": ["<=", 10]}}


def _campaign(trials: int) -> tuple[list[float], list[list[float]]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(CAMPAIGN)
        data_dir = Path(folder) / "data"
        options = ["--trials", str(trials), "--json", "--data-dir", str(data_dir)]
        subprocess.run(
            [LABWRIGHT, "run", str(file), *options],
            check=True,
            capture_output=True,
            env=environment(LABWRIGHT_LEASE_S="30", LABWRIGHT_BEAT_S="5"),
        )
        starts, points = [], []
        for documents in sorted(data_dir.glob("runs/*/*.jsonl")):
            with documents.open() as lines:
                _, start = json.loads(next(lines))
            starts.append(start["time"])
            points.append([start["parameters"]["x"], start["parameters"]["y"]])
        return starts, points


def _bare(points: list[list[float]]) -> list[float]:
    command = [sys.executable, "-c", BARE, json.dumps(points)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _median_interval_ms(starts: list[float]) -> float:
    ordered = sorted(starts)
    gaps = [after - before for before, after in zip(ordered, ordered[1:], strict=False)]
    return 1e3 * statistics.median(gaps)
