"""Wall clock to the same regret on Hartmann6 with a 2 s measurement: looking ahead against waiting.

Whole campaigns with every process, both arms of a seed at the same time on the same machine.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.domain.state import fold
from tests.benchmarks import campaigns
from tests.benchmarks.comparison import Curve, final_regret, seconds_to
from tests.benchmarks.hartmann_bench import OPTIMUM

ARMS: dict[str, object] = {"ahead": "auto", "waits": 0}
"""``optimizer.lookahead`` of each: the default, and the sequential loop."""
BAR = 1.5
"""Out of reach since suggestions are fast: docs/explanations/decisions/0022."""


def measure(seeds: int = 3, trials: int = 50) -> dict[str, Any]:
    """The time of the sequential loop over that of looking ahead, both to the same regret.

    The regret is the worse of the two medians at the end, so that both arms reach it.
    """
    rows: list[dict[str, Any]] = []
    curves: dict[str, list[Curve]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        for arm, (curve, summary) in _both(seed, trials).items():
            curves[arm].append(curve)
            told = {name: summary[name] for name in ("wall_s", "idle_fraction", "fallbacks")}
            rows.append({"seed": seed, "arm": arm, **told, "curve": curve})
    regret = max(final_regret(curves[arm]) for arm in ARMS)
    seconds = {arm: seconds_to(curves[arm], regret) for arm in ARMS}
    walls = {arm: median(row["wall_s"] for row in rows if row["arm"] == arm) for arm in ARMS}
    figures = {
        "speedup": seconds["waits"] / seconds["ahead"],
        "regret": regret,
        "ahead_s": seconds["ahead"],
        "sequential_s": seconds["waits"],
        "ahead_final_regret": final_regret(curves["ahead"]),
        "sequential_final_regret": final_regret(curves["waits"]),
        "speedup_same_trials": walls["waits"] / walls["ahead"],
    }
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": {"speedup": [">=", BAR]}}


def _both(seed: int, trials: int) -> dict[str, tuple[Curve, dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        files = {arm: campaigns.hartmann(Path(folder) / arm, depth) for arm, depth in ARMS.items()}
        running = {arm: campaigns.start(file, trials, seed) for arm, file in files.items()}
        summaries = {arm: campaigns.summary_of(files[arm], running[arm]) for arm in ARMS}
        return {arm: (_curve(summary), summary) for arm, summary in summaries.items()}


def _curve(summary: dict[str, Any]) -> Curve:
    state = fold(campaigns.log_of(summary))
    begin = state.first_start or 0.0
    curve: Curve = []
    for trial in state.measured:
        regret = trial.outcomes["hartmann6"].mean - OPTIMUM
        if not curve or regret < curve[-1][1]:
            curve.append(((trial.measured_at or 0.0) - begin, regret))
    return curve
