"""Scores an optimizer on the reference campaigns of the twins, beside a Sobol sequence.

A campaign is measured with its twin's noise, and judged by the truth: the model's noiseless scalar
``objective`` at each point that was tried, against the best there is.
"""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.finished_runs import FinishedRuns
from orchestrator.adapters.processes.run_processes import at_once, run_module
from orchestrator.domain.errors import Unusable
from orchestrator.domain.regret import (
    beaten,
    first_near,
    middle_first,
    quantile,
    quartiles,
    regrets,
)
from orchestrator.reference_campaigns import Reference, Run, reference
from simulators.twins import twin_names

SOBOL = "sobol"
Tell = Callable[[str], None]
"""Is told of each campaign that is over, in a few words."""


def challenge(
    twins: Sequence[str] = (),
    seeds: int = 5,
    optimizer: str | None = None,
    results: Path | None = None,
    jobs: int = 1,
    tell: Tell = lambda _: None,
) -> dict[str, Any]:
    """Do the campaigns that ``results`` lacks, then compare all.

    Args:
        twins: their names; none takes all that have a model.
        seeds: campaigns of each optimizer on each twin, with the seeds from 0 on.
        optimizer: name of a registered one; None takes that of each campaign.
        results: file of finished campaigns, which may be continued; None keeps none.
        jobs: campaigns at once, each in a process of one thread.
        tell: is told of each campaign that is over.

    Returns:
        ``seeds``, ``twins`` (see ``_row``), and ``skipped``: twins that have no such campaign,
        with the reason.

    Raises:
        Unusable: an unknown twin or optimizer, or a twin that was named has no such campaign.
        SpecError: a campaign file is wrong.
    """
    references, skipped = _references(twins)
    known = FinishedRuns(results)
    wanted = [
        Run(reference, method, seed)
        for seed in range(seeds)
        for reference in references
        for method in dict.fromkeys((reference.method(optimizer), SOBOL))
    ]
    missing = [run for run in wanted if known.find(run.key()) is None]
    failed: dict[tuple[str, str], list[str]] = {}
    for place, (run, found) in enumerate(at_once(missing, _carried_out, jobs), 1):
        about = f"{run.reference.twin} {run.method} {run.seed}"
        if found["error"] is None:
            known.add(found)
        else:
            failed.setdefault((run.reference.twin, run.method), []).append(found["error"])
        tell(f"{place} of {len(missing)}: {about}{_how(found)}")
    rows = [
        _row(reference, reference.method(optimizer), partial(_done, known, wanted), failed)
        for reference in references
    ]
    return {"seeds": seeds, "twins": rows, "skipped": skipped}


def _references(twins: Sequence[str]) -> tuple[list[Reference], list[dict[str, str]]]:
    """The reference campaigns, and which of all twins have none. A named one must have one."""
    found: list[Reference] = []
    skipped: list[dict[str, str]] = []
    for name in dict.fromkeys(one.replace("_", "-") for one in twins or twin_names()):
        try:
            found.append(reference(name))
        except Unusable as error:
            if twins:
                raise
            skipped.append({"twin": name, "reason": str(error)})
    return found, skipped


def _carried_out(run: Run) -> dict[str, Any]:
    """The run's key and what came of it, whatever its process does.

    ``truth`` is the noiseless objective of each trial, ``cpu_s`` the median of a suggestion by the
    model, ``fallbacks`` how many trials it had none for, and ``error`` is None or how the run ended
    before its time.
    """
    key = run.key()
    said = run_module("orchestrator.simulated_campaign", told=run.order().to_json())
    trials = [line for line in said.lines if "trial_id" in line]
    if run.key() != key:
        raise Unusable(f"the code behind {run.reference.twin} changed in the midst of a run")
    thought = [trial["cpu_s"] for trial in trials if trial["source"] == "model"]
    return {
        **key,
        "truth": [float(f"{trial['truth']:.9g}") for trial in trials],
        "cpu_s": quantile(thought, 0.5) if thought else 0.0,
        "fallbacks": sum(trial["source"] == "fallback" for trial in trials),
        "error": said.error,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _done(
    known: FinishedRuns, wanted: Sequence[Run], twin: str, method: str
) -> dict[int, dict[str, Any]]:
    """The finished runs of an optimizer on a twin, by seed."""
    found = {
        run.seed: known.find(run.key())
        for run in wanted
        if run.reference.twin == twin and run.method == method
    }
    return {seed: one for seed, one in found.items() if one is not None}


def _row(
    reference: Reference,
    method: str,
    done: Callable[[str, str], dict[int, dict[str, Any]]],
    failed: dict[tuple[str, str], list[str]],
) -> dict[str, Any]:
    """What a table says of a twin.

    ``beats_sobol`` counts the seeds, of ``compared``, in which the optimizer's regret at the end of
    the budget is the smaller one.
    """
    ours, theirs = done(reference.twin, method), done(reference.twin, SOBOL)
    ends, sobol_ends = _ends(reference, ours), _ends(reference, theirs)
    both = ends.keys() & sobol_ends.keys() if method != SOBOL else set[int]()
    errors = [*failed.get((reference.twin, method), ()), *failed.get((reference.twin, SOBOL), ())]
    return {
        "twin": reference.twin,
        "optimizer": method,
        "trials": reference.campaign.budget.trials,
        "scale": reference.level.scale,
        "near": reference.level.words,
        "noise": reference.noise,
        **_scores(reference, ours),
        "sobol": _scores(reference, theirs),
        "beats_sobol": len([*beaten(ends, sobol_ends)]) if both else None,
        "compared": len(both),
        "fallbacks": sum(one["fallbacks"] for one in ours.values()),
        "cpu_s": quantile([one["cpu_s"] for one in ours.values()], 0.5) if ours else None,
        "errors": errors,
    }


def _scores(reference: Reference, done: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Of one optimizer on a twin; figures are None without a finished run.

    ``regret`` is median, lower and upper quartile at the end of the budget; ``first_near`` the
    median trial that first came near, None beyond the budget; ``came_near`` counts the campaigns
    that did.
    """
    traces = [_trace(reference, one) for one in done.values()]
    firsts = [first_near(trace, reference.level) for trace in traces]
    return {
        "finished": len(traces),
        "regret": quartiles([trace[-1] for trace in traces]) if traces else None,
        "first_near": middle_first(firsts) if firsts else None,
        "came_near": sum(one is not None for one in firsts),
    }


def _trace(reference: Reference, found: dict[str, Any]) -> list[float]:
    return regrets(found["truth"], reference.best, reference.goal, reference.level)


def _ends(reference: Reference, done: dict[int, dict[str, Any]]) -> dict[int, float]:
    return {seed: _trace(reference, found)[-1] for seed, found in done.items()}


def _how(found: dict[str, Any]) -> str:
    return f", {found['error']}" if found["error"] else ""
