"""How near a campaign comes to the best, within its budget, beside other optimizers.

And, as ``ahead_speedup``, how many times sooner looking ahead has what they have at their end.

All get the same problem, budget, seeds and noise; initial points and everything else are each
method's own defaults. ``regret`` is that of the best noise-free feasible value that was evaluated,
or what the hypervolume lacks with two objectives, as log10. Every run is a process of one thread,
and CPU seconds are its own.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.domain.regret import quartiles
from tests.benchmarks.comparison import Curve, final_regret, paired_difference, seconds_to
from tests.benchmarks.peers import METHODS
from tests.benchmarks.problems import PROBLEMS
from tests.benchmarks.regret_runs import Results, Run, carry_out, unavailable

RESULTS = Path(__file__).with_name("regret.jsonl")
"""The runs that were done so far: the table in ``docs/explanations/performance.md`` is theirs."""
LEAST = 1e-9
"""Smaller regrets are rounding."""
OURS = ("ours", "ours-ahead")
MEASUREMENT_S = 2.0
"""What a measurement is taken to last where methods are compared by the clock."""
BARRED = ("missing_runs", "_ours_crashes", "_minus_best_low")
"""Figures that must not be above 0. The last is the lower end of the interval of ours minus the
best peer: above 0, ours is worse than chance can explain."""


def measure(
    seeds: int | None = None,
    trials: int | None = None,
    problems: Sequence[str] = tuple(PROBLEMS),
    methods: Sequence[str] = tuple(METHODS),
    results: Path | None = None,
    jobs: int = 1,
    report: bool = False,
) -> dict[str, Any]:
    """Do the runs that ``results`` lacks, then compare all.

    Args:
        seeds: None takes each method's own number.
        trials: None takes each problem's own budget.
        problems: names from PROBLEMS.
        methods: names from METHODS.
        results: file of finished runs, which may be continued; None keeps none.
        jobs: runs at once, each on one thread.
        report: compare what ``results`` has, and run nothing.

    Raises:
        ValueError: there is no such problem or method.
    """
    for given, known_names in ((problems, PROBLEMS), (methods, METHODS)):
        if unknown := set(given) - set(known_names):
            raise ValueError(f"no {min(unknown)!r} here; there are {', '.join(known_names)}")
    runs = plan(problems, methods, seeds, trials)
    known = Results(results)
    for found in () if report else carry_out(runs, known, jobs):
        _say(found)
    for method, count in unavailable(runs, known).items():
        sys.stderr.write(f"{method}: {count} runs need the extra: pip install 'labwright[peers]'\n")
    done = [found for run in runs if (found := known.get(run)) is not None]
    rows = [row for problem in problems for row in _rows(problem, methods, done)]
    figures = {"missing_runs": len(runs) - len(done), **_figures(rows)}
    bars = {key: ["<=", 0] for key in figures if key.endswith(BARRED)}
    return {"seeds": seeds or "own", "rows": rows, "figures": figures, "bars": bars}


def plan(
    problems: Sequence[str], methods: Sequence[str], seeds: int | None, trials: int | None
) -> list[Run]:
    """Every run, the first seeds of all problems and methods first."""
    return [
        Run(method, problem, seed, trials or PROBLEMS[problem].spec.budget.trials)
        for seed in range(seeds or max(METHODS[method].seeds for method in methods))
        for problem in problems
        for method in methods
        if seed < (seeds or METHODS[method].seeds) and problem not in METHODS[method].cannot
    ]


def _rows(
    problem: str, methods: Sequence[str], done: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One for each method that has runs on the problem."""
    ends: defaultdict[str, dict[int, float]] = defaultdict(dict)
    costs: defaultdict[str, list[float]] = defaultdict(list)
    crashes: defaultdict[str, int] = defaultdict(int)
    curves: defaultdict[str, dict[int, Curve]] = defaultdict(dict)
    for found in done:
        if found["problem"] == problem:
            method, spent = found["method"], found["cpu_s"]
            regret = found["regret"][-1] if found["regret"] else PROBLEMS[problem].width
            ends[method][found["seed"]] = math.log10(max(regret, LEAST))
            costs[method].append(sum(spent) / max(len(spent), 1))
            crashes[method] += found["error"] is not None
            curves[method][found["seed"]] = _curve(found)
    return [
        {
            "problem": problem,
            "method": method,
            "seeds": len(ends[method]),
            "log10_regret": quartiles(list(ends[method].values())),
            "cpu_s": quartiles(costs[method])[0],
            "crashes": crashes[method],
            "ours_minus_it": _difference(ends["ours"], ends[method]),
            "ahead_minus_it": _difference(ends["ours-ahead"], ends[method]),
            "ahead_speedup": _speedup(curves["ours-ahead"], curves[method]),
        }
        for method in methods
        if method in ends and ends[method]
    ]


def _difference(
    ours: dict[int, float], theirs: dict[int, float]
) -> tuple[float, float, float] | None:
    """With its interval; None without a common seed."""
    return paired_difference(ours, theirs) if ours.keys() & theirs.keys() else None


def _curve(found: dict[str, Any]) -> Curve:
    """When each regret was reached, if every measurement lasts MEASUREMENT_S.

    Suggesting comes on top, but for ours-ahead, which suggests meanwhile.
    """
    seconds, curve = 0.0, []
    for regret, spent in zip(found["regret"], found["cpu_s"], strict=True):
        is_ahead = found["method"] == "ours-ahead"
        seconds += max(MEASUREMENT_S, spent) if is_ahead else MEASUREMENT_S + spent
        curve.append((seconds, regret))
    return curve


def _speedup(ahead: dict[int, Curve], theirs: dict[int, Curve]) -> float | None:
    """How many times sooner look-ahead has the median regret that they have at their end.

    Over the seeds of both. 0 when it never has; None without a common seed.
    """
    common = sorted(ahead.keys() & theirs.keys())
    if not common:
        return None
    ours, others = ([curves[seed] for seed in common] for curves in (ahead, theirs))
    regret = final_regret(others)
    return seconds_to(others, regret) / seconds_to(ours, regret)


def _figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Ours against the best peer on each problem, and what look-ahead costs there."""
    figures: dict[str, float] = {}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        here = {row["method"]: row for row in rows if row["problem"] == problem}
        peers = [row for name, row in here.items() if name not in OURS and row["ours_minus_it"]]
        if "ours" not in here:
            continue
        figures[f"{problem}_ours"] = here["ours"]["log10_regret"][0]
        figures[f"{problem}_ours_crashes"] = here["ours"]["crashes"]
        if peers:
            best = min(peers, key=lambda row: row["log10_regret"][0])
            middle, low, _ = best["ours_minus_it"]
            figures[f"{problem}_minus_best"] = middle
            figures[f"{problem}_minus_best_low"] = low
        if cost := here["ours"]["ahead_minus_it"]:
            figures[f"{problem}_ahead_cost"] = cost[0]
        if "ax" in here and (speedup := here["ax"]["ahead_speedup"]) is not None:
            figures[f"{problem}_ahead_speedup_on_ax"] = speedup
    return figures


def as_text(report: dict[str, Any]) -> str:
    """The table of ``docs/explanations/performance.md``."""
    lines = [
        "| problem | method | seeds | log10 regret, median [quartiles] | CPU s per suggestion"
        " | ours minus it [95 %] | ahead sooner |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        middle, low, high = row["log10_regret"]
        crashed = f", {row['crashes']} crashed" * bool(row["crashes"])
        difference = row["ours_minus_it"] if row["method"] != "ours" else None
        lines.append(
            f"| {row['problem']} | {row['method']} | {row['seeds']}{crashed}"
            f" | {middle:.2f} [{low:.2f}, {high:.2f}] | {row['cpu_s']:.3f}"
            f" | {_signed(difference)} | {_times(row['ahead_speedup'])} |"
        )
    for key, figure in report["figures"].items():
        bar = report["bars"].get(key)
        lines.append(f"  {key:32} {figure:8.3g}" + (f"   must be {bar[0]} {bar[1]}" if bar else ""))
    lines.append("passed" if report["passed"] else "MISSED")
    return "\n".join(lines)


def _signed(difference: tuple[float, float, float] | None) -> str:
    if difference is None:
        return ""
    middle, low, high = difference
    return f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]"


def _times(speedup: float | None) -> str:
    if speedup is None:
        return ""
    return f"{speedup:.1f}" if speedup else "not reached"


def _say(found: dict[str, Any]) -> None:
    """One line of progress."""
    regret = found["regret"][-1] if found["regret"] else math.nan
    text = f"{found['problem']} {found['method']} {found['seed']}: regret {regret:.3g},"
    text += f" {sum(found['cpu_s']):.0f} CPU s"
    sys.stderr.write(text + (f", {found['error']}\n" if found["error"] else "\n"))
