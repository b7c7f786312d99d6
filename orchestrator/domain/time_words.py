"""Where a campaign's time went, and what its optimizer and data are worth, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.outage import span

_PARTS = {
    "measuring_s": "measuring",
    "idle_s": "idle for want of a proposal",
    "ledger_gap_s": "hand-over",
    "recovery_s": "recovery",
    "suspended_s": "suspended",
    "paused_s": "paused",
    "needs_person_s": "waiting for a person",
    "closing_s": "closing",
}
"""Parts of the span in the order in which they are told; the first two always are."""

MOST_NAMED = 10
"""Trials whose numbers are told; the table has all."""


def time_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a campaign's summary says of its time, its proposals, its optimizer and its data.

    Empty before the first result.
    """
    if not summary["span_s"]:
        return []
    proposals = list(_proposals(summary))
    told = [f"proposals: {', '.join(proposals)}"] if proposals else []
    if summary["honesty"] is not None:
        told.append(f"optimizer: {summary['honesty']['sentence']}")
    if summary["suspect_data"]:
        told.append(_suspect_words(summary))
    return [_spent(summary), _idle(summary), *told]


def _spent(summary: Mapping[str, Any]) -> str:
    shares = (
        f"{words} {_percent(summary[part] / summary['span_s'])}"
        for place, (part, words) in enumerate(_PARTS.items())
        if place < 2 or summary[part] > 0
    )
    return f"first start to last result {span(summary['span_s'])}: {', '.join(shares)}"


def _idle(summary: Mapping[str, Any]) -> str:
    idle = f"idle fraction {_percent(summary['idle_fraction'])}"
    if summary["idle_fraction_sequential"] is None:
        return idle
    longer = summary["sequential_wall_s"] / summary["wall_s"]
    return (
        f"{idle}; estimate for a sequential loop: "
        f"{_percent(summary['idle_fraction_sequential'])}, and {longer:.2f} times the wall clock"
    )


def _proposals(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["mean_lag"] is not None:
        yield f"{summary['mean_lag']:.1f} outcomes behind at the start, on average"
    if summary["superseded"]:
        yield f"{summary['superseded']} replaced by better-informed ones while queued"
    if summary["fallbacks"]:
        last = f"; the last: {summary['last_fallback']}" * bool(summary["last_fallback"])
        yield f"{summary['fallbacks']} space-filling, because the model was late or had none{last}"


def _percent(value: float) -> str:
    """``0.0 %``, ``< 0.1 %``, ``3.4 %``."""
    return "< 0.1 %" if 0 < value < 0.001 else f"{100 * value:.1f} %"


def _suspect_words(summary: Mapping[str, Any]) -> str:
    suspect: list[int] = summary["suspect_data"]
    named = ", ".join(map(str, suspect[:MOST_NAMED])) + ", ..." * (len(suspect) > MOST_NAMED)
    points: list[Any] = [summary["best"]] if isinstance(summary["best"], dict) else summary["best"]
    among = "; the best is among them" * any(one["trial_id"] in suspect for one in points or ())
    return f"suspect data, measured while a sentinel was off: trial {named}{among}"
