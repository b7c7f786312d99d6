"""Is the optimizer worth more than chance? Asked of what the proposals themselves recorded."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState


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
    no_better: bool
    """True when the campaign does not beat the reference."""
    sentence: str
    """The same in words."""


def honesty(state: CampaignState, spec: CampaignSpec) -> Honesty | None:
    """The comparison that the best informed proposal recorded.

    None before the first proposal by a model that records one, and with several objectives,
    of which no single value is the best.
    """
    found = max(_recorded(state), key=_trials, default=None)
    if found is None or len(spec.objectives) != 1:
        return None
    ((name, objective),) = spec.objectives.items()
    sign = 1 if objective.goal == "maximize" else -1
    filling = found["space_filling"]
    best, reference = filling["best"], filling["median"]
    band = (filling["low"], filling["high"])
    no_better = _score(best, sign) <= _score(reference, sign)
    # Of the two ends of the band, the one that is hard to reach.
    is_beyond = _score(best, sign) > _score(band[1 if sign > 0 else 0], sign)
    verdict = "no better" if no_better else "better" if is_beyond else "perhaps better"
    unit = f" {objective.unit}" if objective.unit else ""
    return Honesty(
        trials=filling["trials"],
        best=best,
        reference=reference,
        band=band,
        cross_validation={key: one["r2"] for key, one in found["cross_validation"].items()},
        no_better=no_better,
        sentence=(
            f"{verdict} than random so far: best {name} {_figure(best)}{unit}, the space-filling"
            f" reference {_figure(reference)} [{_figure(band[0])}, {_figure(band[1])}]{unit}"
            f" at {filling['trials']} trials"
        ),
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
