"""How much better than a Sobol sequence Labwright is on the twins' reference campaigns.

The campaigns and figures are those of ``labwright challenge``, beside what the twins cost.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.challenge import challenge
from tests.benchmarks.twin_costs import cpu_s_per_trial, points_per_s

RESULTS = Path(__file__).with_name("twins.jsonl")
"""Finished campaigns, which the next run continues."""
SEEDS = 16
PRACTICE = "soft"
"""A test function and no instrument: it does not count."""
EASY = "rare-earths"
"""The twin on which a Sobol sequence comes near the optimum too, so that speed can be compared."""
MOST_WINS = 14 / 16
"""Part of the seeds in which a campaign counts as better than Sobol."""


def measure(
    seeds: int = SEEDS, results: Path | None = None, jobs: int | None = None
) -> dict[str, Any]:
    """Do the campaigns that ``results`` lacks, then count.

    Args:
        seeds: campaigns of each optimizer on each twin.
        results: file of finished campaigns, which may be continued; None keeps none.
        jobs: campaigns at once; None takes one for each processor.
    """

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    found = challenge((), seeds, None, results, jobs or os.cpu_count() or 1, say)
    for one in found["skipped"]:
        say(f"left out: {one['twin']} ({one['reason']})")
    rows = [row for row in found["twins"] if row["twin"] != PRACTICE]
    for row in rows:
        say(f"what {row['twin']} costs")
        row["points_per_s"] = points_per_s(row["twin"])
        row["cpu_s_per_trial"] = cpu_s_per_trial(row["twin"])
    found_figures = {
        **figures(rows),
        "least_points_per_s": min(row["points_per_s"] for row in rows),
        "most_cpu_s_per_trial": max(row["cpu_s_per_trial"] for row in rows),
    }
    bars = {key: bar for key, bar in BARS.items() if key in found_figures}
    return {"seeds": seeds, "rows": rows, "figures": found_figures, "bars": bars}


BARS: Mapping[str, tuple[str, float]] = {
    "twins": (">=", 8),
    "clearly_better": (">=", 6),
    "better_median": (">=", 8),
    "rare_earths_trials_ratio": ("<=", 0.5),
    "failed": ("<=", 0),
    "least_points_per_s": (">=", 200),
    "most_cpu_s_per_trial": ("<=", 0.5),
}


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The first three count twins; the ratio is left out without the twin that it is of."""
    medians = [
        (row["regret"][0], row["sobol"]["regret"][0])
        for row in rows
        if row["regret"] and row["sobol"]["regret"]
    ]
    wins = [row["beats_sobol"] / row["compared"] for row in rows if row["compared"]]
    found = {
        "twins": len(rows),
        "clearly_better": sum(part >= MOST_WINS for part in wins),
        "better_median": sum(ours < theirs for ours, theirs in medians),
        "failed": sum(len(row["errors"]) for row in rows),
    }
    for row in rows:
        if row["twin"] == EASY:
            found["rare_earths_trials_ratio"] = _ratio(row)
    return found


def _ratio(row: Mapping[str, Any]) -> float:
    """Median trials until near the optimum over those of Sobol; never is after the budget."""
    never = row["trials"] + 1
    return (row["first_near"] or never) / (row["sobol"]["first_near"] or never)


def as_text(report: Mapping[str, Any]) -> str:
    """The table and the figures as a person reads them."""
    lines = [
        "| twin | trials | regret, median [quartiles] | of Sobol | near at | of Sobol | beats it"
        " | CPU s per trial | points/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        cells = [row["twin"], row["trials"], _regret(row, row), _regret(row["sobol"], row)]
        cells += [_near(row, row), _near(row["sobol"], row)]
        cells += [f"{row['beats_sobol']}/{row['compared']}", f"{row['cpu_s_per_trial']:.2g}"]
        lines.append(f"| {' | '.join(map(str, cells))} | {row['points_per_s']:,.0f} |")
    for key, figure in report["figures"].items():
        sign, bar = report["bars"][key]
        lines.append(f"  {key:32} {figure:8.3g}   must be {sign} {bar}")
    lines.append("passed" if report["passed"] else "MISSED")
    return "\n".join(lines)


def _regret(scores: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if scores["regret"] is None:
        return "none"
    factor, unit = (100, " %") if row["scale"] == "relative" else (1, " decades")
    middle, low, high = (f"{one * factor:.3g}" for one in scores["regret"])
    return f"{middle} [{low}, {high}]{unit}"


def _near(scores: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    first = f"{scores['first_near']:g}" if scores["first_near"] else f"> {row['trials']}"
    return f"{first} ({scores['came_near']}/{scores['finished']})"
