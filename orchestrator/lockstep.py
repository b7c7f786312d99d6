"""Carries out many rehearsals beside each other, trial by trial, with proposals made as a batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.optimizers.ax_optimizer import FEWEST_TOLD
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer, satisfies
from orchestrator.adapters.processes.answering_child import ChildDied
from orchestrator.adapters.walks.many_twins import Twins, Wanted, many_twins
from orchestrator.domain.errors import Unusable
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.stopping import StopRule
from orchestrator.rehearsal import Carry, Rehearsed, Tell
from orchestrator.simulated_campaign import Course, Order

if TYPE_CHECKING:
    from orchestrator.adapters.optimizers.batched_surrogate import BatchedSurrogate


@dataclass
class _Lane:
    seed: int
    course: Course
    trials: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rule: StopRule | None = None
    error: str | None = None
    """How it ended before its time; None when all goes well."""

    @property
    def is_under_way(self) -> bool:
        return self.rule is None and self.error is None


@contextmanager
def in_lockstep(processes: int) -> Iterator[Carry]:
    """Carries out campaigns with an approximation of Ax; see ``rehearsal.Carry``.

    Every proposal knows all results: looking ahead and batches count as 0 and 1. The processes
    measure, and end with the block; the answer does not depend on how many there are.

    Raises:
        Unusable: by ``Carry``, for another optimizer, or a campaign that the approximation does not
            know.
    """
    with many_twins(processes) as twins:
        yield lambda orders, tell: _carry(orders, tell, twins)


def _carry(orders: Sequence[Order], tell: Tell, twins: Twins) -> tuple[list[Rehearsed], list[str]]:
    spec = orders[0].campaign
    method = spec.optimizer.method
    if method not in ("auto", "ax", "sobol"):
        raise Unusable(f"--fast approximates 'ax', and the campaign's optimizer is {method!r}")
    surrogate = None if method == "sobol" else _surrogate(spec)
    lanes = {
        number: _Lane(order.campaign.optimizer.seed, Course(order))
        for number, order in enumerate(orders)
    }
    twins.make(Wanted(spec, orders[0].instrument, [lane.seed for lane in lanes.values()]))
    under_way = lanes
    while under_way:
        count = max(len(lane.trials) for lane in under_way.values())
        tell(f"trial {count + 1}, {len(under_way)} campaigns under way")
        _propose([*under_way.values()], surrogate)
        _measure(under_way, twins)
        under_way = {number: lane for number, lane in lanes.items() if lane.is_under_way}
    done = [Rehearsed(one.seed, one.trials, one.rule) for one in lanes.values() if one.rule]
    return done, [f"seed {one.seed}: {one.error}" for one in lanes.values() if one.error]


def _measure(lanes: Mapping[int, _Lane], twins: Twins) -> None:
    """The trial of each campaign that was proposed."""
    trials = {number: lane.course.start() for number, lane in lanes.items()}
    answers = twins.measure({number: one.parameters for number, one in trials.items()})
    for number, lane in lanes.items():
        found = answers[number]
        if isinstance(found, ChildDied):
            lane.error = f"its process {found}"
            continue
        lane.trials.append(lane.course.end(trials[number], found))
        if (ending := lane.course.ending()) is not None:
            lane.rule = StopRule(ending["rule"])


def _surrogate(spec: CampaignSpec) -> "BatchedSurrogate":
    from orchestrator.adapters.optimizers.batched_surrogate import (
        BatchedSurrogate,
        refuse_unsuitable,
    )

    refuse_unsuitable(spec)
    return BatchedSurrogate(spec, spec.optimizer.seed)


def _propose(lanes: Sequence[_Lane], surrogate: "BatchedSurrogate | None") -> None:
    """The next trial of each campaign; all have had as many."""
    sobol = SobolOptimizer()
    asked: list[tuple[_Lane, Knowledge]] = []
    for lane in lanes:
        known = lane.course.known()
        enough = len(known.told) >= FEWEST_TOLD and known.trial_id > known.spec.initial_trials
        if surrogate is not None and enough:
            asked.append((lane, known))
        else:
            lane.course.take(known, sobol.suggest(known), 0.0)
    if surrogate is None or not asked:
        return
    points = surrogate.suggest([known for _, known in asked])
    for (lane, known), point in zip(asked, points, strict=True):
        if satisfies(known.spec, point):
            lane.course.take(known, Suggestion(point, "model"), 0.0)
        else:
            lane.course.take(known, sobol.suggest(known), 0.0)
