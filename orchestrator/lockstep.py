"""Carries out many rehearsals beside each other, trial by trial, with proposals made as a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer, satisfies
from orchestrator.adapters.walks.twin_in_process import Twin, twin_in_process
from orchestrator.domain.errors import Unusable
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.stopping import StopRule
from orchestrator.rehearsal import Rehearsed
from orchestrator.simulated_campaign import Course, Order

if TYPE_CHECKING:
    from orchestrator.adapters.optimizers.batched_surrogate import BatchedSurrogate

FEWEST_TOLD = 2
"""As in AxOptimizer: a single result has no spread."""


@dataclass
class _Lane:
    seed: int
    course: Course
    twin: Twin
    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rule: StopRule | None = None


def in_lockstep(
    orders: Sequence[Order], tell: Callable[[str], None]
) -> tuple[list[Rehearsed], list[str]]:
    """The campaigns, with an approximation of Ax; see ``rehearsal.Carry``.

    Every proposal knows all results: looking ahead and batches count as 0 and 1.

    Raises:
        Unusable: another optimizer, or a campaign that the approximation does not know.
    """
    spec = orders[0].campaign
    method = spec.optimizer.method
    if method not in ("auto", "ax", "sobol"):
        raise Unusable(f"--fast approximates 'ax', and the campaign's optimizer is {method!r}")
    surrogate = None if method == "sobol" else _surrogate(spec)
    lanes = [_lane(order) for order in orders]
    under_way = lanes
    while under_way:
        tell(f"trial {len(under_way[0].trials) + 1}, {len(under_way)} campaigns under way")
        _propose(under_way, surrogate)
        for lane in under_way:
            lane.trials.append(lane.course.measure(lane.twin, lane.course.start()))
            if (ending := lane.course.ending()) is not None:
                lane.rule = StopRule(ending["rule"])
        under_way = [lane for lane in under_way if lane.rule is None]
    return [Rehearsed(one.seed, one.trials, one.rule) for one in lanes if one.rule], []


def _surrogate(spec: CampaignSpec) -> "BatchedSurrogate":
    from orchestrator.adapters.optimizers.batched_surrogate import (
        BatchedSurrogate,
        refuse_unsuitable,
    )

    refuse_unsuitable(spec)
    return BatchedSurrogate(spec, spec.optimizer.seed)


def _lane(order: Order) -> _Lane:
    seed = order.campaign.optimizer.seed
    twin = twin_in_process(order.campaign, order.instrument, seed)
    return _Lane(seed, Course(order), twin)


def _propose(lanes: Sequence[_Lane], surrogate: "BatchedSurrogate | None") -> None:
    """The next trial of each campaign; all have had as many."""
    spread = SobolOptimizer()
    asked: list[tuple[_Lane, Knowledge]] = []
    for lane in lanes:
        known = lane.course.known()
        enough = len(known.told) >= FEWEST_TOLD and known.trial_id > known.spec.initial_trials
        if surrogate is not None and enough:
            asked.append((lane, known))
        else:
            lane.course.take(known, spread.suggest(known), 0.0)
    if surrogate is None or not asked:
        return
    points = surrogate.suggest([known for _, known in asked])
    for (lane, known), point in zip(asked, points, strict=True):
        if satisfies(known.spec, point):
            lane.course.take(known, Suggestion(point, "model"), 0.0)
        else:
            lane.course.take(known, spread.suggest(known), 0.0)
