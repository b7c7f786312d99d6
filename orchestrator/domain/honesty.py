"""Is the optimizer worth more than chance? Asked of what the proposals themselves recorded."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.events import is_before
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState

TRUSTED = 0.5
"""Least part of every outcome's variance that a model must foretell of trials it was not told of.
Below it, the best of many draws says more of the model's doubt than of what random points reach."""


@dataclass(frozen=True, slots=True)
class Honesty:
    """A campaign beside a space-filling one of as many trials.

    In the objective's unit; with two objectives in the product of theirs.
    """

    of: str
    """The objective, or ``hypervolume``: of two objectives, what the feasible trials cover beyond
    a reference point. That is their bounds where both have one, else a tenth of the range of the
    feasible results beyond the worst of these."""
    trials: int
    """Measured trials that both have."""
    best: float | None
    """The best feasible value that was measured in them, None when nothing was feasible; or their
    hypervolume."""
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

    None before the first proposal by a model that records one, and when outcomes were corrected
    since.
    """
    found = max(_recorded(state), key=_trials, default=None)
    if found is None:
        return None
    filling = found["space_filling"]
    best, reference = filling["best"], filling["median"]
    what = _measure(spec)
    band = (filling["low"], filling["high"])
    foretold = {key: one["r2"] for key, one in found["cross_validation"].items()}
    weakest, r2 = min(foretold.items(), key=lambda one: one[1])
    after = f"after {filling['trials']} trials"
    no_better: bool | None = what.score(best) <= what.score(reference)
    if best is None and reference is None:
        no_better = None
        sentence = f"{what.nothing} {after}, and none is expected of so many random points either"
    elif r2 < TRUSTED:
        no_better = None
        sentence = (
            f"not to be compared with random {after}: the model foretells {weakest} too badly"
            f" (r2 {r2:.2f})"
        )
    else:
        # Of the two ends of the band, the one that is hard to reach.
        is_beyond = what.score(best) > max(what.score(one) for one in band)
        verdict = "no better" if no_better else "better" if is_beyond else "perhaps better"
        sentence = (
            f"{verdict} than random {after}: {what.name} {what.figure(best)}, a space-filling"
            f" campaign {what.figure(reference)} by the model (nine in ten {what.range(band)};"
            f" r2 {r2:.2f})"
        )
    return Honesty(
        of=what.of,
        trials=filling["trials"],
        best=best,
        reference=reference,
        band=band,
        cross_validation=foretold,
        no_better=no_better,
        sentence=sentence,
    )


def _recorded(state: CampaignState) -> Iterator[Mapping[str, Any]]:
    """The newest first, of those that know of all corrections."""
    for trial in reversed(list(state.trials.values())):
        is_recorded = isinstance(trial.details.get("space_filling"), Mapping)
        if is_recorded and not is_before(trial.basis, state.corrected_id):
            yield trial.details


def _trials(details: Mapping[str, Any]) -> int:
    return details["space_filling"]["trials"]


@dataclass(frozen=True, slots=True)
class _Measure:
    """What two campaigns are compared by."""

    of: str
    name: str
    sign: int
    """1 where more is better, -1 where less is."""
    unit: str
    nothing: str

    def score(self, value: float | None) -> float:
        return -math.inf if value is None else self.sign * value

    def figure(self, value: float | None) -> str:
        return (self.nothing if value is None else f"{value:.4g}") + self.unit

    def range(self, band: tuple[float | None, float | None]) -> str:
        """What lies between both ends, of which the bad one may be nothing."""
        low, high = band
        if low is not None and high is not None:
            return f"{low:.4g} to {high:.4g}"
        good = high if self.sign > 0 else low
        way = "up" if self.sign > 0 else "down"
        return self.nothing + ("" if good is None else f", or {way} to {good:.4g}")


def _measure(spec: CampaignSpec) -> _Measure:
    (name, objective), *others = spec.objectives.items()
    if others:
        return _Measure("hypervolume", "hypervolume", 1, "", "nothing feasible")
    sign = 1 if objective.goal == "maximize" else -1
    unit = f" {objective.unit}" if objective.unit else ""
    return _Measure(name, f"best {name}", sign, unit, "nothing feasible")
