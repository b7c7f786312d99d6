"""Is the optimizer worth more than chance? Asked of what the proposals themselves recorded."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import TrialState

TRUSTED = 0.5
"""Least part of every outcome's variance that a model must foretell of trials it was not told of.
Below it, the best of many draws says more of the model's doubt than of what random points reach."""


@dataclass(frozen=True, slots=True)
class Honesty:
    """A campaign beside a space-filling one of as many trials, in the objective's unit."""

    trials: int
    """Measured trials that both have."""
    best: float | None
    """The best feasible value that was measured in them; None when nothing was feasible."""
    reference: float | None
    """What a space-filling campaign would have reached with even odds; None as for ``best``."""
    band: tuple[float | None, float | None]
    """Between these it would have ended nine times in ten; None as for ``best``."""
    cross_validation: Mapping[str, float]
    """By outcome, how much of its variance the model foretells of trials it was not told of: at
    most 1; 0 or less when the mean of all others foretells it as well."""
    no_better: bool | None
    """True when the campaign does not beat the reference; None when the model foretells too little
    for a reference, or there is nothing feasible on either side."""
    sentence: str
    """The same in words."""


def honesty(state: CampaignState, spec: CampaignSpec) -> Honesty | None:
    """The comparison that the best informed proposal recorded.

    None before the first proposal by a model that records one, when outcomes were corrected since,
    and with several objectives, of which no single value is the best.
    """
    found = max(_recorded(state), key=_trials, default=None)
    if found is None or len(spec.objectives) != 1:
        return None
    ((name, objective),) = spec.objectives.items()
    sign = 1 if objective.goal == "maximize" else -1
    filling = found["space_filling"]
    best, reference = filling["best"], filling["median"]
    measured = {one.outcomes[name].mean for one in state.in_state(TrialState.MEASURED)}
    if best is not None and best not in measured:
        return None
    band = (filling["low"], filling["high"])
    foretold = {key: one["r2"] for key, one in found["cross_validation"].items()}
    weakest, r2 = min(foretold.items(), key=lambda one: one[1])
    after = f"after {filling['trials']} trials"
    unit = f" {objective.unit}" if objective.unit else ""
    no_better: bool | None = _score(best, sign) <= _score(reference, sign)
    if best is None and reference is None:
        no_better = None
        sentence = f"nothing feasible {after}, and none is expected of so many random points either"
    elif r2 < TRUSTED:
        no_better = None
        sentence = (
            f"not to be compared with random {after}: the model foretells {weakest} too badly"
            f" (r2 {r2:.2f})"
        )
    else:
        # Of the two ends of the band, the one that is hard to reach.
        is_beyond = _score(best, sign) > _score(band[1 if sign > 0 else 0], sign)
        verdict = "no better" if no_better else "better" if is_beyond else "perhaps better"
        sentence = (
            f"{verdict} than random {after}: best {name} {_figure(best)}{unit}, a space-filling"
            f" campaign {_figure(reference)}{unit} by the model (nine in ten {_range(band, sign)};"
            f" r2 {r2:.2f})"
        )
    return Honesty(
        trials=filling["trials"],
        best=best,
        reference=reference,
        band=band,
        cross_validation=foretold,
        no_better=no_better,
        sentence=sentence,
    )


def _recorded(state: CampaignState) -> Iterator[Mapping[str, Any]]:
    for trial in reversed(list(state.trials.values())):
        if isinstance(trial.details.get("space_filling"), Mapping):
            yield trial.details


def _trials(details: Mapping[str, Any]) -> int:
    return details["space_filling"]["trials"]


def _score(value: float | None, sign: int) -> float:
    return -math.inf if value is None else sign * value


def _figure(value: float | None) -> str:
    return "nothing feasible" if value is None else f"{value:.4g}"


def _range(band: tuple[float | None, float | None], sign: int) -> str:
    """What lies between both ends, of which the bad one may be that nothing is feasible."""
    low, high = band
    if low is not None and high is not None:
        return f"{_figure(low)} to {_figure(high)}"
    good = high if sign > 0 else low
    way = "up" if sign > 0 else "down"
    return _figure(None) + ("" if good is None else f", or {way} to {_figure(good)}")
