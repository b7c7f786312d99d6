"""What can be told of a campaign before it starts: doubtful choices, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.trial import ParameterValue

ENOUGH = 5
"""Earlier trials from which a duration is learned; fewer say too little."""
NEWEST = 10
"""Trials that a model proposed, from which the next ones are foretold."""
NEARER = 0.5
"""Part of the time of moves that is left when a model proposes: its points lie closer together than
those that fill the space. About what the twins' campaigns show."""
MOST_CORNERS = 50
"""Of a space with more, so many are looked at."""


def doubts(campaign: CampaignSpec) -> Iterator[tuple[str, str]]:
    """Choices that are allowed and rarely meant: the key in the file, and a sentence."""
    trials, initial = campaign.budget.trials, campaign.initial_trials
    optimizer = campaign.optimizer
    uses = sum(campaign.samples.uses.values()) if campaign.samples else trials
    if uses < trials:
        yield (
            "samples",
            f"the list has {uses} uses left, and the budget {trials} trials: the campaign ends "
            "when the samples are used up",
        )
    if optimizer.method == "sobol":
        return
    if trials <= initial:
        yield (
            "budget.trials",
            f"{trials} trials are no more than the {initial} that start a campaign: all of them "
            "fill the space, and no model is asked",
        )
        return
    if optimizer.lookahead == "auto":
        return
    ahead = optimizer.lookahead * optimizer.batch
    known = max(0, trials - 1 - ahead)
    if ahead >= trials:
        yield (
            "optimizer.lookahead",
            f"lookahead {optimizer.lookahead} times batch {optimizer.batch} is {ahead}, and the "
            f"budget has {trials} trials: all are proposed before the first result",
        )
    elif known <= initial:
        yield (
            "optimizer.lookahead",
            f"lookahead {optimizer.lookahead} times batch {optimizer.batch} is {ahead}: the last "
            f"of {trials} trials is proposed when {known} results are known, no more than the "
            f"{initial} space-filling ones; 'auto' learns more",
        )


def corners(campaign: CampaignSpec, most: int = MOST_CORNERS) -> list[dict[str, ParameterValue]]:
    """The corners of the space, evenly thinned to at most so many."""
    ends: list[tuple[ParameterValue, ...]] = []
    for one in campaign.parameters.values():
        if one.choices is not None:
            ends.append((one.choices[0], one.choices[-1]))
        elif one.range is not None:
            low, high = one.range
            ends.append((int(low), int(high)) if one.type == "int" else (low, high))
    count = 2 ** len(ends)
    kept = min(count, most)
    wanted = [number * (count - 1) // max(1, kept - 1) for number in range(kept)]
    return [_corner(list(campaign.parameters), ends, number) for number in wanted]


def _corner(
    names: Sequence[str], ends: Sequence[tuple[ParameterValue, ...]], number: int
) -> dict[str, ParameterValue]:
    """The corner whose ends are the binary digits of a number."""
    return {name: ends[place][number >> place & 1] for place, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Measured:
    """An earlier trial of the same plan on the same instrument."""

    waits_s: float
    """What its plan slept, in seconds of this clock."""
    took_s: float
    """From its start to its data being safe."""
    by_model: bool
    """True when a model proposed it: such trials crowd where results are good."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a trial takes beside the sleeps of its plan, in seconds of this clock."""

    beside_s: float
    learned_from: int
    """Earlier trials that say so; 0 when it is estimated."""
    moves_s: float = 0.0
    """What of it are moves between points that fill the space, as far as known."""
    model_trial_s: float | None = None
    """Mean seconds of trials that a model proposed, sleeps included; None while too few are known.

    They lie close together where results are good: their sleeps and moves are others than those
    of points that fill the space.
    """

    def trial_s(self, waits_s: float) -> float:
        """Seconds of a trial whose plan sleeps so long."""
        return waits_s + self.beside_s

    def campaign_s(self, campaign: CampaignSpec, waits_s: Sequence[float]) -> float:
        """Seconds of all trials; ``waits_s`` are the sleeps at points that fill the space."""
        everywhere, trials = self.trial_s(fmean(waits_s)), campaign.budget.trials
        if campaign.optimizer.method == "sobol":
            return trials * everywhere
        later = self.model_trial_s
        if later is None:
            later = everywhere - (1 - NEARER) * min(self.moves_s, self.beside_s)
        first = min(campaign.initial_trials, trials)
        return first * everywhere + (trials - first) * later


def learned(history: Sequence[Measured], moves_s: float = 0.0) -> Pace | None:
    """The pace of earlier trials, oldest first; None when there are fewer than ``ENOUGH``.

    What a plan sleeps is known from its messages; moves, acquisitions and overheads are the
    median of what remains. ``moves_s`` as in ``Pace``.
    """
    if len(history) < ENOUGH:
        return None
    filling = [one for one in history if not one.by_model]
    if len(filling) < ENOUGH:
        filling = list(history)
    beside_s = max(0.0, median(one.took_s - one.waits_s for one in filling))
    modelled = [one.took_s for one in history if one.by_model][-NEWEST:]
    model_trial_s = fmean(modelled) if len(modelled) >= ENOUGH else None
    return Pace(beside_s, len(history), moves_s, model_trial_s)
