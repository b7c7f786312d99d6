"""Seconds from ``labwright run`` to the first motion, on the flow reactor's twin."""

import csv
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from typing import Any

from tests.system.lab import LABWRIGHT, environment


def measure(seeds: int = 5, trials: int = 1) -> dict[str, Any]:
    """Wall seconds until the first trial was started, after one run that warms the cache."""
    rows = [{"first_trial_s": _seconds(trials)} for _ in range(seeds + 1)][1:]
    seconds = [row["first_trial_s"] for row in rows]
    figures = {"first_trial_s": statistics.median(seconds), "first_trial_s_max": max(seconds)}
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": {"first_trial_s": ["<=", 5]}}


def _seconds(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        where = ["--data-dir", folder]
        run = [LABWRIGHT, "run", "flow-chemistry", "--trials", str(trials), "--json", *where]
        began = time.time()
        subprocess.run(run, check=True, capture_output=True, env=environment())
        table = subprocess.run(
            [LABWRIGHT, "results", *where],
            check=True,
            capture_output=True,
            text=True,
            env=environment(),
        ).stdout
        first = next(csv.DictReader(table.splitlines()))
        return datetime.fromisoformat(first["started_at"]).timestamp() - began
