"""How long the instrument waits for proposals: looking ahead beside the sequential loop.

The flow reactor's twin at a pace at which a measurement takes some seconds, and Hartmann6 with a
measurement of 2 s; each campaign whole, with every process.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.domain.state import fold
from orchestrator.domain.trial import Trial
from tests.benchmarks import campaigns

PACE = {"LABWRIGHT_TIME_COMPRESSION": "120"}
"""Lab seconds that pass in one second on the twin: a trial takes about 5 s."""
PROBLEMS: dict[str, Callable[[Path, object], Path]] = {
    "hartmann6": campaigns.hartmann,
    "flow": campaigns.flow,
}
BAR = 0.02


def measure(seeds: int = 1, trials: int = 30) -> dict[str, Any]:
    """Idle fractions of ``trials`` trials, the look-ahead that is the default beside none."""
    rows = [
        _row(problem, lookahead, seed, trials)
        for problem in PROBLEMS
        for seed in range(seeds)
        for lookahead in ("auto", 0)
    ]
    figures: dict[str, float] = {}
    bars: dict[str, list[Any]] = {}
    for problem in PROBLEMS:
        ahead = [row for row in rows if (row["problem"], row["lookahead"]) == (problem, "auto")]
        waits = [row for row in rows if (row["problem"], row["lookahead"]) == (problem, 0)]
        figures |= _figures(problem, ahead, waits)
        # The promise is for models that think no longer than the instrument measures.
        if figures[f"{problem}_suggestion_s"] <= figures[f"{problem}_trial_s"]:
            bars[f"{problem}_idle_fraction"] = ["<=", BAR]
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def _figures(
    problem: str, ahead: list[dict[str, Any]], waits: list[dict[str, Any]]
) -> dict[str, float]:
    found = {
        "idle_fraction": [row["idle_fraction"] for row in ahead],
        "idle_fraction_sequential": [row["idle_fraction"] for row in waits],
        "estimated_sequential": [row["idle_fraction_sequential"] or 0.0 for row in ahead],
        "wall_s": [row["wall_s"] for row in ahead],
        "wall_s_sequential": [row["wall_s"] for row in waits],
        "suggestion_s": [row["suggestion_s"] for row in ahead],
        "trial_s": [row["trial_s"] for row in ahead],
        "fallbacks": [float(row["fallbacks"]) for row in ahead],
        "mean_lag": [row["mean_lag"] or 0.0 for row in ahead],
    }
    return {f"{problem}_{name}": campaigns.median_or_0(values) for name, values in found.items()}


def _row(problem: str, lookahead: object, seed: int, trials: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        campaign = PROBLEMS[problem](Path(folder), lookahead)
        running = campaigns.start(campaign, trials, seed, **PACE)
        summary = campaigns.summary_of(campaign, running)
        state = fold(campaigns.log_of(summary))
    told = {name: summary[name] for name in _TOLD}
    measured = state.measured
    return {
        "problem": problem,
        "lookahead": lookahead,
        "seed": seed,
        **told,
        "suggestion_s": campaigns.median_or_0(
            [one.suggestion_s for one in state.trials.values() if one.source == "model"]
        ),
        "trial_s": campaigns.median_or_0([_lasted(one) for one in measured]),
    }


_TOLD = (
    "idle_fraction",
    "idle_fraction_sequential",
    "wall_s",
    "sequential_wall_s",
    "span_s",
    "measuring_s",
    "idle_s",
    "ledger_gap_s",
    "recovery_s",
    "closing_s",
    "superseded",
    "fallbacks",
    "mean_lag",
)


def _lasted(trial: Trial) -> float:
    return (trial.acquired_at or 0.0) - (trial.started_at or 0.0)
