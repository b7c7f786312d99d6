"""Runs a campaign many times on its twin, and says what the next one may be expected to do.

Nothing here decides when a campaign ends or which trial is the best: that is the domain code of
real campaigns, in ``simulated_campaign``.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.adapters.optimizers.optimizer_identity import registered
from orchestrator.adapters.processes.dask_cluster import on_cluster
from orchestrator.adapters.processes.run_processes import at_once, run_module
from orchestrator.adapters.walks.twin_in_process import twin_in_process, twin_name
from orchestrator.domain.errors import OptimizerError, Unusable
from orchestrator.domain.left_out import left_out
from orchestrator.domain.odds import best_after_each, interval
from orchestrator.domain.regret import quantile
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.stopping import StopRule
from orchestrator.simulated_campaign import Order

CHANCE = "sobol"
"""What a campaign is compared with: points that fill the space evenly and learn nothing."""
PARTS = ("waits_s", "moves_s", "readings_s")
NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")
Tell = Callable[[str], None]
"""Is told how far the work is, in a few words."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a lab pays, in any currency."""

    trial: float
    """For a trial, also one that fails; 0 for nothing."""
    hour: float
    """For an hour of lab time; 0 for nothing."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One campaign, as it went."""

    seed: int
    trials: Sequence[Mapping[str, Any]]
    """What ``simulated_campaign.Course.end`` gave for each trial."""
    rule: StopRule
    """What ended it."""

    @property
    def trace(self) -> list[float | None]:
        """The best feasible value after each trial; None while there is none."""
        return [trial["best"] for trial in self.trials]

    @property
    def lab_s(self) -> float:
        """Lab time as far as it is known."""
        return math.fsum(trial[part] or 0.0 for trial in self.trials for part in PARTS)


Carry = Callable[[Sequence[Order], Tell], tuple[list[Rehearsed], list[str]]]
"""Carries out campaigns: those that came to an end, and why the others did not."""


def rehearse(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    count: int,
    carry: Carry,
    move_s: float | None = None,
    tell: Tell = lambda _: None,
    *,
    approximate: bool = False,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Rehearse a campaign ``count`` times, and as often with proposals by chance.

    The seeds of optimizer and twin follow the one in the campaign file, so the first rehearsal is
    what ``labwright run`` would do.

    Args:
        campaign: as its file has it.
        instrument: that it names; a real one is stood for by its twin.
        count: campaigns, at least 1.
        carry: see ``in_processes``, ``on_dask`` and ``lockstep.in_lockstep``.
        move_s: lab seconds of all moves of a trial; None takes as long as the twin's take.
        tell: is told how far the work is.
        approximate: whether ``carry`` has others propose than the campaign's own optimizer.
        prices: what trials and lab time cost; None when nobody has said.

    Returns:
        Plain data, described in docs/how-to/rehearse-a-campaign.md.

    Raises:
        Unusable: no twin, its model gives not what the campaign asks for, no such optimizer, or no
            sample is left.
    """
    listed = campaign.samples
    if listed is not None and not any(listed.uses.values()):
        raise Unusable(f"no sample of {listed.file} has a use left")
    twin = twin_in_process(campaign, instrument, 0)
    try:
        method = registered(campaign.optimizer.method).name
    except OptimizerError as error:
        raise Unusable(str(error)) from None
    methods = dict.fromkeys((method, CHANCE))
    found = {
        name: carry(
            [_order(campaign, instrument, name, number, move_s) for number in range(count)],
            lambda text, name=name: tell(f"{name}: {text}"),
        )
        for name in methods
    }
    name, objective = next(iter(campaign.objectives.items()))
    own, chance = found[method][0], found[CHANCE][0]
    return {
        "campaign": campaign.name,
        "twin": twin_name(instrument),
        "noise": twin.noise,
        "left_out": left_out(campaign, instrument),
        "rehearsals": count,
        "approximate": approximate,
        "trials": _most_trials(campaign),
        "objective": {"name": name, "goal": objective.goal, "unit": objective.unit or ""},
        "target": dict(campaign.stop.target) or None,
        "optimizer": f"approximate {method}" if approximate and method != CHANCE else method,
        **_figures(campaign, own),
        "duration": _duration(own),
        "cost": prices and _cost(own, prices),
        "chance": {"optimizer": CHANCE, **_figures(campaign, chance)},
        "beside_chance": _beside(own, chance, objective.goal) if method != CHANCE else None,
        "failed": [error for _, errors in found.values() for error in errors],
    }


def in_processes(jobs: int) -> Carry:
    """Each campaign in a process of its own, so many at once."""
    return lambda orders, tell: _carry(orders, at_once(orders, _carried_out, jobs), tell)


def on_dask(address: str) -> Carry:
    """Each campaign on a worker of a Dask cluster, in a process of its own.

    Raises:
        Unusable: by the call, when the cluster cannot be used; see ``dask_cluster``.
    """
    return lambda orders, tell: _carry(orders, on_cluster(address, orders, _carried_out), tell)


def _carry(
    orders: Sequence[Order], each: Iterator[tuple[Order, Rehearsed | str]], tell: Tell
) -> tuple[list[Rehearsed], list[str]]:
    done: list[Rehearsed] = []
    errors: list[str] = []
    for order, found in each:
        if isinstance(found, Rehearsed):
            done.append(found)
        else:
            errors.append(f"seed {order.campaign.optimizer.seed}: {found}")
        tell(f"{len(done) + len(errors)} of {len(orders)} campaigns")
    return sorted(done, key=lambda one: one.seed), errors


def _order(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    method: str,
    number: int,
    move_s: float | None,
) -> Order:
    seed = campaign.optimizer.seed + number
    optimizer = campaign.optimizer.model_copy(update={"method": method, "seed": seed})
    changed = campaign.model_copy(update={"optimizer": optimizer})
    return Order(changed, instrument, time.time(), move_s)


def _carried_out(order: Order) -> Rehearsed | str:
    """The campaign, or in words why there is none."""
    said = run_module("orchestrator.simulated_campaign", told=order.to_json())
    if said.error is not None:
        return said.error
    *trials, end = said.lines
    return Rehearsed(order.campaign.optimizer.seed, trials, StopRule(end["rule"]))


def _most_trials(campaign: CampaignSpec) -> int:
    """The budget, or what the list of samples has uses for."""
    uses = sum(campaign.samples.uses.values()) if campaign.samples else campaign.budget.trials
    return min(campaign.budget.trials, uses)


def _figures(campaign: CampaignSpec, done: Sequence[Rehearsed]) -> dict[str, Any]:
    """What these campaigns came to, beside each other."""
    hits = [len(one.trials) for one in done if one.rule is StopRule.TARGET]
    low, high = interval(len(hits), len(done))
    spent = _most_trials(campaign)
    reached = {
        "count": len(hits),
        "of": len(done),
        "probability": len(hits) / len(done) if done else None,
        "low": low,
        "high": high,
        "by_trial": [sum(hit <= number for hit in hits) for number in range(1, spent + 1)],
    }
    return {
        "reached": reached if campaign.stop.target else None,
        "best": [asdict(one) for one in best_after_each([one.trace for one in done], spent)],
        "feasible": _feasible(campaign, done),
        "stops": dict(Counter(str(one.rule) for one in done).most_common()),
        "trials_spent": _spread([len(one.trials) for one in done]),
        "unmeasured": sum(trial["state"] != "measured" for one in done for trial in one.trials),
        "reasons": _reasons(done),
        "constraints": _kept(campaign, done),
    }


def _reasons(done: Sequence[Rehearsed]) -> list[dict[str, Any]]:
    """Why trials gave nothing valid, the most frequent first.

    Those that differ in their numbers alone are one, in the words of the first.
    """
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for why in (trial["why"] for one in done for trial in one.trials if trial.get("why")):
        alike = NUMBER.sub("#", why)
        first.setdefault(alike, why)
        counts[alike] += 1
    return [{"why": first[alike], "count": count} for alike, count in counts.most_common()]


def _feasible(campaign: CampaignSpec, done: Sequence[Rehearsed]) -> dict[str, int] | None:
    """How many found something feasible; None where the campaign constrains no outcome."""
    if not campaign.outcome_constraints:
        return None
    found = [any(best is not None for best in one.trace) for one in done]
    return {"count": sum(found), "of": len(done)}


def _kept(campaign: CampaignSpec, done: Sequence[Rehearsed]) -> list[dict[str, Any]]:
    """How many of the measured trials kept each constraint on outcomes."""
    measured = [
        trial["outcomes"] for one in done for trial in one.trials if trial["state"] == "measured"
    ]
    return [
        {"rule": rule.text, "kept": sum(map(rule.holds, measured)), "of": len(measured)}
        for rule in campaign.outcome_constraints
    ]


def _duration(done: Sequence[Rehearsed]) -> dict[str, Any]:
    """Lab time. ``unknown`` names the parts that nobody could say, which count as 0."""
    trials = [trial for one in done for trial in one.trials if trial["state"] != "unreduced"]
    means: dict[str, float | None] = {}
    for part in PARTS:
        known = [trial[part] for trial in trials if trial[part] is not None]
        means[part] = math.fsum(known) / len(known) if known else None
    thought = [trial["cpu_s"] for trial in trials if trial["source"] == "model"]
    return {
        "lab_s": _spread([one.lab_s for one in done]),
        "trial": means,
        "unknown": [part for part, mean in means.items() if mean is None],
        "suggestion_cpu_s": quantile(thought, 0.5) if thought else None,
    }


def _cost(done: Sequence[Rehearsed], prices: Prices) -> dict[str, Any]:
    """What a campaign costs, its failed trials included, beside the prices that say so."""
    costs = [prices.trial * len(one.trials) + prices.hour * one.lab_s / 3600 for one in done]
    return {**asdict(prices), "campaign": _spread(costs)}


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, and between what nine in ten lie; None of nothing."""
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    return {"mean": mean, "low": quantile(values, 0.05), "high": quantile(values, 0.95)}


def _beside(own: Sequence[Rehearsed], chance: Sequence[Rehearsed], goal: str) -> dict[str, int]:
    """In how many seeds the campaign ends better, equal or worse than chance with the same seed."""
    sign = 1 if goal == "maximize" else -1

    def ends(done: Sequence[Rehearsed]) -> dict[int, float]:
        last = {one.seed: one.trace[-1] for one in done}
        return {seed: -math.inf if end is None else sign * end for seed, end in last.items()}

    ours, theirs = ends(own), ends(chance)
    both = ours.keys() & theirs.keys()
    better = sum(ours[seed] > theirs[seed] for seed in both)
    worse = sum(ours[seed] < theirs[seed] for seed in both)
    return {"better": better, "equal": len(both) - better - worse, "worse": worse}
