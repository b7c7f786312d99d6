"""Keeps the queue of a campaign filled, and what waits in it well informed.

One question at a time is with the optimizer. While it thinks, the log is followed; when the worker
has nothing left to do and its patience is over, a space-filling point serves, and the answer goes
to the next trial. Newer results replace what still waits in the queue.

Nothing here need survive: a successor asks again.
"""

from dataclasses import dataclass, replace

from orchestrator.domain import events as ev
from orchestrator.domain import lookahead
from orchestrator.domain.drift_response import needs_realignment
from orchestrator.domain.envelope import admit, envelope_of
from orchestrator.domain.errors import OptimizerError, SuggestionLate
from orchestrator.domain.lookahead import Pace
from orchestrator.domain.proposal import Knowledge, Suggestion, knowledge, with_free_sample
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.samples import has_sample
from orchestrator.domain.sentinels import SENTINEL, is_due
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import InstrumentState, Lab, Result

SLICE_S = 0.05
"""Longest time without a look at the log while the optimizer thinks."""
POLL_S = 1.0
"""Longest wait without a look at the clock: deadlines have no event of their own."""


@dataclass(slots=True)
class _Question:
    known: Knowledge
    told: int
    """How many measured trials are known."""
    asked_at: float
    revision: int = 0
    """Of the trial, once answered; 0 for a trial that is not proposed yet."""
    starved_at: float | None = None
    """Since when the worker waits for the answer; None while it has not had to."""

    @property
    def number(self) -> int:
        return self.known.trial_id

    def is_void(self, state: CampaignState) -> bool:
        """True when the trial to be improved is not waiting any more."""
        if not self.revision:
            return False
        trial = state.trials.get(self.number)
        return trial is None or not trial.is_revisable or trial.revision >= self.revision


class Proposer:
    """What the campaign process does between two looks at the log."""

    def __init__(self, lab: Lab, spec: CampaignSpec) -> None:
        self.spec = spec
        self._lab = lab
        self._question: _Question | None = None
        self._declined = -1
        """Measured trials with which the optimizer could not improve what waits."""

    def step(self, state: CampaignState) -> float:
        """Ask, or take an answer; gives the seconds to wait for an event before the next step.

        Raises:
            EnvelopeError: a proposal that must not be measured.
            OptimizerError: there is not even a space-filling point.
        """
        pace = lookahead.pace(state)
        depth = lookahead.depth(state, self.spec, pace)
        if (suggestion := self._due_at_sentinel(state, depth)) is not None:
            self._propose_at_once(state, suggestion)
            return 0.0
        if self._question is None or self._question.is_void(state):
            self._question = None
            if (wait_s := self._ask(state, pace, depth)) or self._question is None:
                return wait_s
        self._hear(state, self._question, lookahead.patience_s(self.spec, pace))
        return 0.0

    def forget(self) -> None:
        """Give up the open question: what it knew may be gone from the log."""
        self._question = None

    def _ask(self, state: CampaignState, pace: Pace, depth: int) -> float:
        """Put the next question; when none is due, give the seconds to wait."""
        now = self._lab.clock.now()
        is_short = lookahead.wants_trial(state, self.spec, depth)
        old = lookahead.outdated(state, pace, now)
        if old is not None and state.count(TrialState.MEASURED) > self._declined:
            self._put(state, now, old)
        elif not is_short:
            return POLL_S
        elif results := self._lab.outbox.results(state.campaign_id, state.next_trial):
            _tell_again(self._lab, state, results[0])
        elif (spare_s := lookahead.hold_back_s(state, pace, now)) > 0:
            return min(spare_s, POLL_S)
        else:
            self._put(state, now)
        return 0.0

    def _due_at_sentinel(self, state: CampaignState, depth: int) -> Suggestion | None:
        """The realignment or the sentinel that is due; None when neither is."""
        sentinel = self.spec.sentinel
        if sentinel is None:
            return None
        if (off := needs_realignment(state, self.spec)) is not None:
            return Suggestion(sentinel.at, REALIGNMENT, {"because": off})
        if lookahead.wants_trial(state, self.spec, depth) and is_due(state, self.spec):
            return Suggestion(sentinel.at, SENTINEL)
        return None

    def _propose_at_once(self, state: CampaignState, suggestion: Suggestion) -> None:
        """Propose what needs no thought, and waits for none that is under way.

        The answer to that serves a later trial. A realignment makes it void: it would come between
        the realignment and its sentinel.
        """
        if suggestion.source == REALIGNMENT:
            self.forget()
        if results := self._lab.outbox.results(state.campaign_id, state.next_trial):
            _tell_again(self._lab, state, results[0])
            return
        told = state.count(TrialState.MEASURED)
        proposed = self._proposed(knowledge(state, self.spec), told, suggestion, 0.0)
        self._lab.ledger.propose(state.campaign_id, proposed)

    def _put(self, state: CampaignState, now: float, old: Trial | None = None) -> None:
        """The question for the next trial, or for better parameters of one that waits."""
        if state.first_start is not None:  # not before: the instrument's processes load first
            self._lab.optimizer.warm_up(self.spec)
        told = state.count(TrialState.MEASURED)
        if old is None:
            self._question = _Question(knowledge(state, self.spec), told, now)
        else:
            known = knowledge(state, self.spec, old.trial_id)
            self._question = _Question(known, told, now, old.revision + 1)

    def _hear(self, state: CampaignState, question: _Question, patience_s: float) -> None:
        """Take the answer if it is there; else see that the worker has something to do."""
        lab = self._lab
        try:
            suggestion = lab.optimizer.suggest(question.known, SLICE_S)
        except SuggestionLate:
            self._feed(state, question, patience_s)
            return
        except OptimizerError as error:
            self._question, self._declined = None, question.told
            if question.number == state.next_trial:
                self._fall_back(state, str(error))
            return
        self._question = None
        suggestion_s = lab.clock.now() - question.asked_at
        proposed = self._proposed(question.known, question.told, suggestion, suggestion_s)
        if question.revision:
            lab.ledger.supersede(state.campaign_id, proposed, question.revision)
        elif question.number == state.next_trial:
            lab.ledger.propose(state.campaign_id, proposed)
        else:
            self._pass_on(state, proposed)

    def _pass_on(self, state: CampaignState, proposed: ev.Proposed) -> None:
        """Give an answer that was late for its trial to the next one that can take it.

        It is dropped when the trial that was served meanwhile has booked the last of its sample.
        """
        asked_for = proposed.trial_id
        waiting = lookahead.waiting_fallback(state)
        others = state.trials.keys() - ({waiting.trial_id} if waiting else set[int]())
        if not has_sample(state, proposed.parameters, others):
            return
        if waiting is not None:
            late = replace(proposed, trial_id=waiting.trial_id, asked_for=asked_for)
            self._lab.ledger.supersede(state.campaign_id, late, waiting.revision + 1)
        elif len(state.trials) < self.spec.budget.trials:
            late = replace(proposed, trial_id=state.next_trial, asked_for=asked_for)
            self._lab.ledger.propose(state.campaign_id, late)

    def _feed(self, state: CampaignState, question: _Question, patience_s: float) -> None:
        """Serve a space-filling point once the worker has waited long enough."""
        if not lookahead.starves(state) or len(state.trials) >= self.spec.budget.trials:
            return
        now = self._lab.clock.now()
        if question.starved_at is None:
            question.starved_at = now
        record = self._lab.ledger.instrument(state.instrument)
        if now - question.starved_at >= patience_s and record.state is InstrumentState.READY:
            asked_s = now - question.asked_at
            self._fall_back(state, f"no answer {asked_s:.1f} s after it was asked for")

    def _fall_back(self, state: CampaignState, reason: str) -> None:
        """Propose a space-filling point as the next trial."""
        known = knowledge(state, self.spec)
        suggestion = self._lab.optimizer.fallback(known, reason)
        proposed = self._proposed(known, state.count(TrialState.MEASURED), suggestion, 0.0)
        self._lab.ledger.propose(state.campaign_id, proposed)

    def _proposed(
        self, known: Knowledge, told: int, suggestion: Suggestion, suggestion_s: float
    ) -> ev.Proposed:
        """The admitted proposal.

        Raises:
            EnvelopeError: it must not be measured.
        """
        lab = self._lab
        suggestion = with_free_sample(known, suggestion)
        # Not the one in the ledger, which may be of a worker that had another file: a worker whose
        # file differs takes no trial of this campaign.
        admit(self.spec, envelope_of(lab.instrument), suggestion.parameters)
        return ev.Proposed(
            trial_id=known.trial_id,
            parameters=suggestion.parameters,
            source=suggestion.source,
            basis=known.basis,
            seed=known.seed,
            details=suggestion.details,
            told=told,
            suggestion_s=suggestion_s if suggestion.source == "model" else 0.0,
        )


def _tell_again(lab: Lab, state: CampaignState, result: Result) -> None:
    """Propose what was measured already, but is not in the log: the result follows by itself."""
    trial_id = state.next_trial
    text = (
        f"the result of trial {trial_id} is on disk, but the log has lost the trial: it is "
        "proposed again as it was, and counted without a second measurement"
    )
    note = ev.Noted(by="campaign", text=text, key=f"trial {trial_id} under fence {result.fence}")
    lab.ledger.remark(state.campaign_id, note)
    lab.ledger.propose(state.campaign_id, result.proposal)
