"""Figures of a dry run, from what each point would do: times, moves, triggers, amounts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from orchestrator.domain.foresight import Measured, Pace, learned
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.trial import ParameterValue

SLOW_REDUCER_S = 1.0
"""Below that nobody waits for a reducer, however short a trial is."""

Parameters = Mapping[str, ParameterValue]
Answer = Mapping[str, Any]
"""What one point would do: see ``adapters.dry_run.trial_looker``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong or doubtful."""

    message: str
    file: str | None = None
    line: int | None = None
    place: str = ""
    """Key of the campaign file; empty when it is about code."""
    points: int = 0
    """At how many of the points; 0 when it belongs to none."""
    at: Parameters | None = None
    """The first of them."""


def times(
    campaign: CampaignSpec,
    answers: Sequence[Answer],
    history: Sequence[Measured],
    twin: Answer,
    scale: float,
) -> dict[str, Any]:
    """How long one trial and the whole campaign take, and what says so.

    Args:
        campaign: as its file has it.
        answers: at points that fill the space, at least one.
        history: earlier trials, oldest first; what they took goes before all estimates.
        twin: what the twin made of some points; its times go before speeds and settling.
        scale: lab seconds in one second of this clock.
    """
    waits = [answer["waits_s"] / scale for answer in answers]
    is_told = twin["moves_s"] is not None
    moves = twin["moves_s"] if is_told else fmean(answer["moves_s"] for answer in answers)
    pace, source, unknown = learned(history, moves / scale), "history", []
    if pace is None and is_told:
        pace, source = Pace((moves + twin["readings_s"]) / scale, 0, moves / scale), "twin"
    if pace is None:
        beside = fmean(answer["lab_s"] - answer["waits_s"] for answer in answers)
        pace, source = Pace(beside / scale, 0, moves / scale), "speeds and settling"
        unknown = sorted({path for answer in answers for path in answer["unknown"]})
    trials = [pace.trial_s(one) for one in waits]
    return {
        "trial_s": _spread(trials),
        "trial_s_from": source,
        "learned_from": pace.learned_from,
        "time_scale": scale,
        "unknown": unknown,
        "campaign_s": pace.campaign_s(campaign, waits),
    }


def late(campaign: CampaignSpec, report: Answer, plan_deadline_s: float) -> Iterator[Finding]:
    """What the estimate says against the limits that were set."""
    if report["trial_s"] is None:
        return
    longest, total = report["trial_s"]["high"], report["campaign_s"]
    if longest > plan_deadline_s:
        yield Finding(
            f"a trial may take {longest:.0f} s, and a plan is aborted after {plan_deadline_s:g} s; "
            "LABWRIGHT_PLAN_DEADLINE_S sets that"
        )
    hours = campaign.budget.beam_hours
    if hours is not None and total > hours * 3600:
        fit = int(campaign.budget.trials * hours * 3600 / total)
        text = f"about {fit} of {campaign.budget.trials} trials fit into {hours:g} h"
        yield Finding(text, place="budget.beam_hours")


def lagging(report: Answer, answers: Sequence[Answer]) -> Iterator[Finding]:
    """A reducer that takes longer than the trial whose outcomes it gives."""
    taken = [one["reduce_s"] for one in answers if one["reduce_s"] is not None]
    if report["trial_s"] is None or not taken:
        return
    takes, trial = min(taken), report["trial_s"]["mean"]
    if takes > max(trial, SLOW_REDUCER_S):
        yield Finding(
            f"the reducer takes {takes:.1f} s on made-up readings and a trial {trial:.1f} s: "
            "results fall behind the measurements, and proposals know less"
        )


def overspent(
    campaign: CampaignSpec, instrument: InstrumentSpec, uses: Mapping[str, Any]
) -> Iterator[Finding]:
    """Budgets of the instrument that the campaign's trials would exceed."""
    for name, budget in instrument.budgets.items():
        if (needed := uses.get(name, {}).get("campaign", 0.0)) > budget.limit:
            trials = campaign.budget.trials
            text = f"{trials} trials take about {needed:g} of budget {name}, whose limit is"
            yield Finding(f"{text} {budget.limit:g} {budget.unit}".rstrip())


def totals(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    answers: Sequence[Answer],
    realigns: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    """What moves, in trials and in the realignment, and what a trial is made of."""
    moves: dict[str, dict[str, Any]] = {}
    sets = [*(answer["moves"] for answer in answers), realigns]
    for path in dict.fromkeys(path for one in sets for path in one):
        ranges = [one[path] for one in sets if path in one]
        moves[path] = {
            "low": min(low for low, _ in ranges),
            "high": max(high for _, high in ranges),
            "limits": instrument.limits(path),
            "unit": instrument.unit(path),
        }
    triggers = dict.fromkeys(path for answer in answers for path in answer["triggers"])
    uses = dict.fromkeys(name for answer in answers for name in answer["uses"])
    return {
        "moves": moves,
        "messages": _spread([answer["messages"] for answer in answers]),
        "triggers": {
            path: _spread([answer["triggers"].get(path, 0) for answer in answers])
            for path in triggers
        },
        "uses": {name: _used(campaign, name, answers) for name in uses},
    }


def _used(campaign: CampaignSpec, name: str, answers: Sequence[Answer]) -> Any:
    told = [answer["uses"][name] for answer in answers if name in answer["uses"]]
    mean = sum(amount for amount, _ in told) / len(answers)
    return {"unit": told[0][1], "trial": mean, "campaign": mean * campaign.budget.trials}


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"low": min(values), "mean": fmean(values), "high": max(values)}
