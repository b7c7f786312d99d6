"""One campaign on its twin, in one process and without waiting.

It is proposed, measured and ended by the same domain code as a real one.

``python -m orchestrator.simulated_campaign`` reads an Order from its standard input and prints a
JSON object for each trial as soon as it is over, and one for the end.
"""

import json
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.adapters.optimizers.optimizer_process import OptimizerHere
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.adapters.processes.child import die_with_parent, parent_from_environment
from orchestrator.adapters.walks.twin_in_process import (
    Found,
    Measurement,
    Twin,
    found_by,
    model_of,
    twin_in_process,
    twin_name,
)
from orchestrator.domain import events as ev
from orchestrator.domain import lookahead
from orchestrator.domain.errors import OptimizerError, PlanFailed, ReductionError
from orchestrator.domain.proposal import Knowledge, Suggestion, knowledge, with_free_sample
from orchestrator.domain.ranking import Ranking, rank
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.stopping import verdict
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import Optimizer


@dataclass(frozen=True, slots=True)
class Order:
    """Which campaign, and from when. The twin's noise has the seed of the campaign's optimizer."""

    campaign: CampaignSpec
    instrument: InstrumentSpec
    starts_at: float
    """Unix time of its first start, for a deadline."""
    move_s: float | None = None
    """Lab seconds of all moves of a trial; None takes as long as the twin's take."""
    with_truth: bool = False
    """Whether the model's scalar ``objective`` is told for each trial."""

    def to_json(self) -> str:
        """As ``from_json`` reads it."""
        others = {name: getattr(self, name) for name in ("starts_at", "move_s", "with_truth")}
        specs = {"campaign": self.campaign.to_data(), "instrument": self.instrument.to_data()}
        return json.dumps({**specs, **others})

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """The order that ``to_json`` wrote."""
        data = json.loads(text)
        return cls(
            campaign=CampaignSpec.from_data(data.pop("campaign")),
            instrument=InstrumentSpec.from_data(data.pop("instrument")),
            **data,
        )


def simulate(order: Order, optimizer: Optimizer, twin: Twin) -> Iterator[dict[str, Any]]:
    """The campaign's trials, one by one, and how it ends.

    Each trial gives ``trial_id, state, source, parameters, outcomes`` (means), ``why`` (it gave no
    valid ones; None when it did), ``best`` (of the first objective, among the feasible trials so
    far; None while there is none), ``waits_s, moves_s, readings_s`` (lab seconds; None when
    unknown), ``cpu_s`` (of the suggestion) and ``truth`` (see Order.with_truth). The end gives
    ``rule``, ``status`` and ``reason``.
    """
    course = Course(order)
    while True:
        course.fill(optimizer)
        trial = course.start()
        course.fill(optimizer)  # with the next one, while this one runs
        yield course.end(trial, found_by(twin, trial.parameters))
        if (ending := course.ending()) is not None:
            yield ending
            return


class Course:
    """A campaign under way, by a clock of its own that shows lab time."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._spec = order.campaign
        self._cpu_s: dict[int, float] = {}
        self._events = 0
        self._now = order.starts_at
        self._state = CampaignState()
        self._ranking = Ranking()
        # A deeper queue is improved in place by each result, which comes to the same as depth 1.
        chosen = self._spec.optimizer.lookahead
        self._depth = 0 if chosen == "auto" else min(chosen, 1)
        self._tell(
            ev.Opened(
                campaign_id="simulated",
                instrument=order.instrument.name,
                mode="twin",
                spec=self._spec.to_data(),
                instrument_spec=order.instrument.to_data(),
                sample=(self._spec.samples and self._spec.samples.parameter) or "",
                samples=self._spec.samples.uses if self._spec.samples else {},
            )
        )

    def fill(self, optimizer: Optimizer) -> None:
        """Fill the queue, as the campaign's look-ahead and batch want it."""
        while lookahead.wants_trial(self._state, self._spec, self._depth):
            known = self.known()
            began = time.process_time()
            try:
                suggestion = optimizer.suggest(known)
            except OptimizerError:  # as in a real campaign: the instrument does not stop for that
                suggestion = replace(SobolOptimizer().suggest(known), source="fallback")
            self.take(known, suggestion, time.process_time() - began)

    def known(self) -> Knowledge:
        """What may be known when the next trial is proposed."""
        return knowledge(self._state, self._spec)

    def take(self, known: Knowledge, suggestion: Suggestion, cpu_s: float) -> None:
        """Put the suggestion into the queue."""
        suggestion = with_free_sample(known, suggestion)
        self._cpu_s[known.trial_id] = cpu_s
        self._tell(
            ev.Proposed(
                trial_id=known.trial_id,
                parameters=suggestion.parameters,
                source=suggestion.source,
                basis=known.basis,
                seed=known.seed,
                told=self._state.count(TrialState.MEASURED),
            )
        )

    def start(self) -> Trial:
        """Start the first trial of the queue."""
        trial = self._state.in_state(TrialState.QUEUED)[0]
        self._tell(ev.Leased(trial_id=trial.trial_id, worker="simulated", fence=1))
        self._tell(ev.Started(trial_id=trial.trial_id, attempt=1, fence=1))
        return trial

    def ending(self) -> dict[str, Any] | None:
        """How the campaign ends now; None when it goes on."""
        found = verdict(self._state, self._spec, self._now, self._ranking)
        if found is None:
            return None
        return {"rule": found.rule, "status": found.ending, "reason": found.reason}

    def end(self, trial: Trial, found: Found) -> dict[str, Any]:
        """End a trial that has started, by what came of it; gives the line of ``simulate``."""
        number = trial.trial_id
        measured = found if isinstance(found, Measurement) else None
        times = self._times(measured)
        self._now += sum(seconds or 0.0 for seconds in times.values())
        for event in _ending(number, found):
            self._tell(event)
        self._ranking = rank(self._state, self._spec, self._ranking)
        after = self._state.trials[number]
        return {
            "trial_id": number,
            "state": after.state,
            "source": after.source,
            "parameters": dict(after.parameters),
            "outcomes": {name: outcome.mean for name, outcome in after.outcomes.items()},
            "why": _why(found),
            "best": self._ranking.trace[-1] if self._ranking.trace else None,
            **times,
            "cpu_s": round(self._cpu_s[number], 4),
            "truth": self._truth(measured, after) if self._order.with_truth else None,
        }

    def _times(self, measured: Measurement | None) -> dict[str, float | None]:
        found = {
            name: None if measured is None else getattr(measured, name)
            for name in ("waits_s", "moves_s", "readings_s")
        }
        stated = self._order.move_s
        return found if stated is None else {**found, "moves_s": stated}

    def _truth(self, measured: Measurement | None, trial: Trial) -> float:
        """The model's scalar, by which regret is defined, where the trial was measured."""
        model = model_of(twin_name(self._order.instrument))
        at = trial.parameters if measured is None else measured.at
        return float(model.evaluate(**at)["objective"])

    def _tell(self, event: ev.Event) -> None:
        self._events += 1
        self._state = fold([replace(event, id=f"{self._events}-0", at=self._now)], self._state)


def _ending(number: int, found: Found) -> Iterator[ev.TrialEvent]:
    """What the log says of a trial's end."""
    if isinstance(found, PlanFailed):
        said = {"reason": found.reason, "message": str(found), "crash": False}
        yield ev.Failed(trial_id=number, then=TrialState.ABANDONED, **said)
        return
    yield ev.Acquired(trial_id=number, attempt=1, run_uid="", documents="none", sha256="")
    if isinstance(found, ReductionError):
        yield ev.Unreduced(trial_id=number, reason=str(found))
    elif (broken := found.reduction.invalid) is not None:
        yield ev.Invalidated(trial_id=number, outcomes=found.reduction.outcomes, reason=broken)
    else:
        yield ev.Measured(trial_id=number, outcomes=found.reduction.outcomes)


def _why(found: Found) -> str | None:
    """Why the trial gave no valid outcomes; None when it gave them."""
    if not isinstance(found, Measurement):
        return str(found)
    broken = found.reduction.invalid
    return None if broken is None else f"not valid: {broken}"


def main() -> None:
    """Carry out the order, and print."""
    die_with_parent(parent_from_environment(), signal.SIGKILL)
    warnings.simplefilter("ignore")
    order = Order.from_json(sys.stdin.read())
    said = sys.stdout
    with redirect_stdout(sys.stderr):  # what a library or a lab's own code prints is no result
        twin = twin_in_process(order.campaign, order.instrument, order.campaign.optimizer.seed)
        optimizer = OptimizerHere(order.campaign.optimizer.method)
        for line in simulate(order, optimizer, twin):
            said.write(json.dumps(line) + "\n")
            said.flush()


if __name__ == "__main__":
    main()
