"""What a rehearsal found, in a few lines for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.domain.one_line import one_line
from orchestrator.domain.outage import span
from orchestrator.domain.stopping import StopRule

WHAT_ENDS = {
    StopRule.TRIALS: "the budget of trials",
    StopRule.SAMPLES: "the samples",
    StopRule.FAILED: "too many failed trials in a row",
    StopRule.INVALID: "too many invalid trials in a row",
    StopRule.TARGET: "the target",
    StopRule.STALLED: "no improvement for long",
    StopRule.BEAM_HOURS: "the budget of beam hours",
    StopRule.DEADLINE: "the deadline",
    StopRule.CONDITION: "a condition that stayed tripped",
}
PARTS = {"waits_s": "waiting", "moves_s": "moves", "readings_s": "readings"}

MOST_REASONS = 4
"""So many reasons for trials without outcomes are shown, the most frequent ones."""


def lines(found: Mapping[str, Any]) -> list[str]:
    """What ``rehearsal.rehearse`` gave, without the table of the expected best."""
    return list(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    kind = "approximate rehearsals" if found["approximate"] else "rehearsals"
    yield f"{found['campaign']}: {found['rehearsals']} {kind} on twin {found['twin']}"
    if found["approximate"]:
        yield "approximate: a simpler model proposes in the place of the campaign's own optimizer"
    yield f"noise: {found['noise']}"
    for one in found["left_out"]:
        yield f"not rehearsed: {one}"
    for error in found["failed"]:
        yield f"failed: {error}"
    if not found["trials_spent"]:
        yield "no rehearsal came to its end"
        return
    for one in (found, found["chance"]) if found["beside_chance"] else (found,):
        yield f"target: {_target(found['target'], one)}"
        yield f"ended ({one['optimizer']}): {_stops(one)}"
    if found["beside_chance"]:
        counts = ", ".join(f"{word} {count}" for word, count in found["beside_chance"].items())
        yield f"best at the end, beside {found['chance']['optimizer']} with the same seed: {counts}"
    spent = found["trials_spent"]
    yield f"trials: {spent['mean']:.1f}, nine in ten {spent['low']:.0f} to {spent['high']:.0f}"
    if found["unmeasured"]:
        yield f"trials that gave nothing valid: {found['unmeasured']}"
        yield from _reasons(found["reasons"])
    if found["best"][-1]["feasible"] == 0:
        yield from _constraints(found["constraints"])
    yield from _duration(found["duration"])
    yield _cost(found["cost"])


def _reasons(reasons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in reasons[:MOST_REASONS]:
        yield f"  {one['count']}: {one_line(one['why'])}"
    if left := sum(one["count"] for one in reasons[MOST_REASONS:]):
        yield f"  {left}: for other reasons, named by --json"


def _constraints(constraints: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Why nothing is feasible: what of the measured trials there are."""
    if not constraints or not constraints[0]["of"]:
        return
    kept = ", ".join(f"{one['rule']} by {one['kept']}" for one in constraints)
    yield f"nothing feasible: of {constraints[0]['of']} measured trials kept were {kept}"


def _target(target: Mapping[str, str] | None, one: Mapping[str, Any]) -> str:
    reached = one["reached"]
    if reached is None or target is None:
        return "the campaign file names none"
    wanted = " and ".join(f"{name} {bound}" for name, bound in target.items())
    within = f"95 % interval {100 * reached['low']:.0f} to {100 * reached['high']:.0f} %"
    return (
        f"{wanted} reached by {one['optimizer']} in {_share(reached['count'], reached['of'])},"
        f" {within}"
    )


def _stops(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} by {WHAT_ENDS[StopRule(rule)]}" for rule, n in one["stops"].items())


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({100 * count / of:.0f} %)" if of else "none"


def _duration(duration: Mapping[str, Any]) -> Iterator[str]:
    lab, unknown = duration["lab_s"], duration["unknown"]
    known = ", ".join(
        f"{PARTS[part]} {span(mean)}"
        for part, mean in duration["trial"].items()
        if mean is not None
    )
    if known and lab["mean"] > 0:
        least = "at least " if unknown else ""
        yield (
            f"lab time: {least}{span(lab['mean'])}, nine in ten {span(lab['low'])} to"
            f" {span(lab['high'])}; a trial: {known}"
        )
    if unknown:
        yield f"not known, and not counted: {' and '.join(PARTS[part] for part in unknown)}"
    if duration["suggestion_cpu_s"]:
        yield f"a suggestion takes {duration['suggestion_cpu_s']:.2g} CPU s here, not counted above"


def _cost(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return "what a trial or an hour costs, nobody has said (--trial-cost, --hour-cost)"
    spread = cost["campaign"]
    return (
        f"cost: {spread['mean']:.4g}, nine in ten {spread['low']:.4g} to {spread['high']:.4g}, "
        f"at {cost['trial']:g} a trial and {cost['hour']:g} an hour of lab time"
    )
