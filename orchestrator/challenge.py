"""Scores an optimizer on the reference campaigns of the twins, beside a Sobol sequence.

A campaign is measured with its twin's noise, and judged by the truth: the model's noiseless scalar
``objective`` at each point that was tried, against the best there is.
"""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.adapters import twin_in_process
from orchestrator.adapters.code_digest import code_digest
from orchestrator.adapters.finished_runs import FinishedRuns
from orchestrator.adapters.optimizer_identity import optimizer_files, optimizer_versions
from orchestrator.adapters.optimizer_process import registered
from orchestrator.adapters.plan_catalog import reducer_identity
from orchestrator.adapters.run_processes import at_once, run_module
from orchestrator.domain.errors import OptimizerError, Unusable
from orchestrator.domain.regret import (
    LEVELS,
    Level,
    beaten,
    first_near,
    middle_first,
    quantile,
    quartiles,
    regrets,
)
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.launcher import read_files
from orchestrator.simulated_campaign import Order
from simulators import detector, noise, pv, setpoint
from simulators.twins import UnknownTwin, twin_names, twin_package

SOBOL = "sobol"
SHARED = (detector, noise, pv, setpoint, twin_in_process)
"""Modules that decide a measurement of every twin."""
Tell = Callable[[str], None]
"""Is told of each campaign that is over, in a few words."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A twin's reference campaign, with what its results are judged by."""

    twin: str
    campaign: CampaignSpec
    """As the twin's file has it, without its rules to stop early."""
    instrument: InstrumentSpec
    best: float
    goal: str
    level: Level
    noise: str

    def method(self, optimizer: str | None) -> str:
        """Name of the optimizer; None takes the campaign's own.

        Raises:
            Unusable: no optimizer is registered under this name.
        """
        try:
            return registered(optimizer or self.campaign.optimizer.method).name
        except OptimizerError as error:
            raise Unusable(str(error)) from None


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign of one optimizer."""

    reference: Reference
    method: str
    seed: int

    def order(self) -> Order:
        """What its process is told."""
        campaign = self.reference.campaign
        optimizer = campaign.optimizer.model_copy(update={"method": self.method, "seed": self.seed})
        changed = campaign.model_copy(update={"optimizer": optimizer})
        return Order(changed, self.reference.instrument, time.time(), with_truth=True)

    def key(self) -> dict[str, Any]:
        """What makes a result this run's: a change of any of it asks for another run."""
        reference = self.reference
        return {
            "twin": reference.twin,
            "optimizer": self.method,
            "seed": self.seed,
            "trials": reference.campaign.budget.trials,
            "versions": optimizer_versions(self.method),
            "code": f"{code_digest(_files(reference.twin, self.method))}-{_asked(reference)}",
        }


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


def reference(twin: str) -> Reference:
    """The reference campaign of a twin.

    Raises:
        Unusable: no such twin, or its model has no scalar ``objective`` to judge by.
        SpecError: its campaign file is wrong.
    """
    model = twin_in_process.model_of(twin)
    lower = {name: edges[0] for name, edges in model.BOUNDS.items()}
    if "objective" not in model.evaluate(**lower) or "objective" not in model.OPTIMUM:
        raise Unusable(f"the model of twin {twin!r} gives no 'objective' to measure regret by")
    files = read_files(twin)
    campaign = files.campaign.with_run_options(trials=files.campaign.budget.trials)
    measured = twin_in_process.twin_in_process(campaign, files.instrument, 0)
    return Reference(
        twin=twin,
        campaign=campaign,
        instrument=files.instrument,
        best=float(model.OPTIMUM["objective"]),
        goal=str(model.OPTIMUM["goal"]),
        level=LEVELS.get(twin, Level()),
        noise=measured.noise,
    )


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


def _asked(reference: Reference) -> str:
    """Digest of the two files and of the reducer."""
    specs = [reference.campaign.to_data(), reference.instrument.to_data()]
    text = json.dumps([*specs, reducer_identity(reference.campaign)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _files(twin: str, method: str) -> Iterator[Path]:
    """Files of the code that decides what is proposed and what is measured."""
    yield from optimizer_files(method)
    try:
        found = find_spec(twin_package(twin))
    except UnknownTwin as error:
        raise Unusable(str(error)) from None
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield from Path(folder).glob("*.py")
    yield from (Path(str(module.__file__)) for module in SHARED)
    yield Path(str(sys.modules[Order.__module__].__file__))
