"""The queue of a campaign, with an optimizer that thinks as long as the test says."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope, Limit
from orchestrator.domain.errors import EnvelopeError, OptimizerError, SuggestionLate
from orchestrator.domain.proposal import Knowledge, Suggestion, knowledge, seed_for
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Outcome, Trial, TrialState
from orchestrator.ports import InstrumentState, Lab, Lease, Result
from orchestrator.proposer import POLL_S, Proposer

ID, STAGE, WORKER = "campaign-1", "stage", "worker-1"
INSTRUMENT = InstrumentSpec.from_data(
    {"name": STAGE, "mode": "twin", "devices": {"x": {"class": "a.B", "limits": [0, 1]}}}
)


def spec(lookahead: object = 1, **changes: Any) -> CampaignSpec:
    data: dict[str, Any] = {
        "name": "scan",
        "instrument": STAGE,
        "plan": {"name": "count"},
        "parameters": {"x": {"device": "x", "range": [0, 1]}},
        "objectives": {"y": {"goal": "maximize"}},
        "budget": {"trials": 40},
        "optimizer": {"lookahead": lookahead, "initial_trials": 1},
    }
    return CampaignSpec.from_data({**data, **changes})


class Thinker:
    """An optimizer that answers when it is told to, with a point that names the question."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.asked: list[Knowledge] = []
        self.is_thinking = True
        self.thinks_s = 0.0
        self.error: OptimizerError | None = None
        self.well: str | None = None
        """The sample that it wants, in a campaign with samples."""

    def suggest(self, known: Knowledge, timeout_s: float | None = None) -> Suggestion:
        if known.trial_id <= known.spec.initial_trials:
            return SobolOptimizer().suggest(known)
        if not self.asked or self.asked[-1] is not known:
            self.asked.append(known)
        if self.error is not None:
            raise self.error
        if self.is_thinking:
            self._clock.sleep(timeout_s)
            raise SuggestionLate("not yet")
        self._clock.sleep(self.thinks_s)
        point: dict[str, Any] = {"x": len(known.told) / 100 + known.trial_id / 10_000}
        if self.well is not None:
            point["well"] = self.well
        return Suggestion(point, "model", {"a": 1})

    def fallback(self, known: Knowledge, reason: str) -> Suggestion:
        point = SobolOptimizer().suggest(known)
        return replace(point, source="fallback", details={"reason": reason})

    def warm_up(self, spec: CampaignSpec) -> None:
        return

    def close(self) -> None:
        return


class EmptyOutbox:
    def lack(self) -> str | None:
        return None

    def put(self, campaign_id: str, result: Result) -> None:
        raise AssertionError("nothing is measured here")

    def results(self, campaign_id: str, trial_id: int) -> list[Result]:
        return []


@dataclass
class Campaign:
    """A campaign process's side, and a worker that does what the test says."""

    lab: Lab
    spec: CampaignSpec
    proposer: Proposer = field(init=False)

    def __post_init__(self) -> None:
        self.proposer = Proposer(self.lab, self.spec)
        opened = ev.Opened(
            campaign_id=ID,
            instrument=STAGE,
            mode="twin",
            spec=self.spec.to_data(),
            instrument_spec=INSTRUMENT.to_data(),
            sample="well" if self.spec.samples else "",
            samples=dict.fromkeys("abc", 1) if self.spec.samples else {},
        )
        self.lab.ledger.open_campaign(opened)
        self.lab.ledger.register(STAGE, WORKER, Envelope(STAGE, {"x": Limit(0, 1, "")}, ()))

    @property
    def state(self) -> CampaignState:
        return fold(self.lab.ledger.events(ID))

    def trial(self, number: int) -> Trial:
        return self.state.trials[number]

    def steps(self, most: int = 50) -> float:
        """Steps until nothing is due; gives the seconds that it would wait then."""
        for _ in range(most):
            if wait_s := self.proposer.step(self.state):
                return wait_s
        return 0.0

    def lease(self) -> Lease:
        lease = self.lab.ledger.acquire(ID, STAGE, WORKER, floor=0, ttl_s=1e6)
        assert lease is not None
        self.lab.ledger.start(lease)
        return lease

    def acquire(self, lease: Lease, trial_s: float = 10.0) -> None:
        self.lab.clock.sleep(trial_s)
        number = lease.trial_id
        acquired = ev.Acquired(trial_id=number, attempt=1, run_uid="u", documents="d", sha256="s")
        self.lab.ledger.acquired(lease, acquired)

    def reduce(self, number: int) -> None:
        outcomes = {"y": Outcome(float(number))}
        self.lab.ledger.settle(ID, ev.Measured(trial_id=number, outcomes=outcomes))

    def measure(self, trial_s: float = 10.0) -> int:
        """Take the first trial of the queue to its outcome."""
        lease = self.lease()
        self.acquire(lease, trial_s)
        self.reduce(lease.trial_id)
        return lease.trial_id


@pytest.fixture
def thinker(clock: Any) -> Thinker:
    return Thinker(clock)


@pytest.fixture
def campaign(clock: Any, thinker: Thinker) -> Callable[..., Campaign]:
    def made(lookahead: object = 1, **changes: Any) -> Campaign:
        absent: Any = None
        lab = Lab(
            ledger=MemoryLedger(clock),
            optimizer=thinker,
            executor=absent,
            outbox=EmptyOutbox(),
            gate=absent,
            reducer=absent,
            clock=clock,
            instrument=INSTRUMENT,
            worker="",
            lease_s=30.0,
            plan_deadline_s=60.0,
            versions={},
            announce=lambda _: None,
        )
        return Campaign(lab, spec(lookahead, **changes))

    return made


Made = Callable[..., Campaign]


def test_the_next_trial_is_proposed_while_one_runs(campaign: Made, thinker: Thinker) -> None:
    thinker.is_thinking = False
    one = campaign()
    one.steps()
    one.lease()
    assert one.steps() == POLL_S
    second = one.trial(2)
    assert (second.state, second.source, second.told) == (TrialState.QUEUED, "model", 0)
    (known,) = thinker.asked
    assert [(seen.trial_id, seen.pending) for seen in known.observations] == [(1, True)]


def test_without_lookahead_it_waits_for_the_result_and_the_thought(
    campaign: Made, thinker: Thinker
) -> None:
    one = campaign(0)
    one.steps()
    lease = one.lease()
    assert one.steps() == POLL_S, "the trial is not over"
    one.acquire(lease)
    assert one.steps() == POLL_S, "its outcome is not there"
    one.reduce(1)
    assert one.steps(500) == 0.0, "it thinks, however long"
    assert len(one.state.trials) == 1
    thinker.is_thinking = False
    one.steps()
    assert (one.trial(2).source, one.trial(2).told) == ("model", 1)
    assert one.trial(2).suggestion_s == pytest.approx(25.0)


def test_a_worker_is_fed_when_the_thought_is_late_and_the_thought_is_not_lost(
    campaign: Made, thinker: Thinker
) -> None:
    one = campaign()
    one.steps()
    lease = one.lease()
    one.steps()
    assert len(one.state.trials) == 1, "it thinks while the first trial runs"
    one.acquire(lease)
    one.steps(3)
    second = one.trial(2)
    assert (second.source, second.state) == ("fallback", TrialState.QUEUED)
    assert "no answer" in str(second.details["reason"])
    one.lease()
    thinker.is_thinking = False
    one.steps()
    third = one.trial(3)
    assert (third.source, third.asked_for) == ("model", 2)
    assert third.seed == seed_for(0, 2)
    assert third.suggestion_s == pytest.approx(one.lab.clock.now() - one.trial(1).started_at, abs=1)  # type: ignore[operator]


def test_a_late_answer_replaces_the_point_that_stood_in_for_it(
    campaign: Made, thinker: Thinker
) -> None:
    one = campaign()
    one.steps()
    lease = one.lease()
    one.steps()
    one.acquire(lease)
    one.steps(3)
    assert one.trial(2).source == "fallback"
    thinker.is_thinking = False
    one.steps()
    second = one.trial(2)
    assert (second.source, second.revision, second.asked_for) == ("model", 1, 2)
    assert len(one.state.trials) == 2


def test_the_first_revision_knows_what_a_stranger_would_compute(
    campaign: Made, thinker: Thinker
) -> None:
    """Every proposal follows from the log up to its basis."""
    thinker.is_thinking = False
    one = campaign(2)
    one.steps()
    for _ in range(6):
        one.measure()
        one.steps()
    log = one.lab.ledger.events(ID)
    checked = 0
    for event in log:
        if isinstance(event, ev.Proposal) and event.source == "model":
            basis = [known.id for known in log].index(event.basis) + 1
            number = event.asked_for or event.trial_id
            known = knowledge(fold(log[:basis]), one.spec, number)
            assert thinker.suggest(known).parameters == event.parameters
            assert (known.seed, len(known.told)) == (event.seed, event.told)
            checked += 1
    assert checked > 6, "revisions among them"


def test_what_waits_is_improved_in_place_from_the_front(campaign: Made, thinker: Thinker) -> None:
    thinker.is_thinking = False
    one = campaign(2)
    one.steps()
    one.measure(10.0)
    one.steps()
    assert [one.trial(number).told for number in (2, 3)] == [1, 1]
    lease = one.lease()
    one.steps()
    one.acquire(lease)
    one.reduce(2)
    one.steps()
    third, fourth = one.trial(3), one.trial(4)
    assert (third.told, third.revision) == (2, 1)
    assert (fourth.told, fourth.revision) == (2, 1)
    last = thinker.asked[-1]
    assert last.trial_id == 4
    assert [seen.trial_id for seen in last.observations] == [1, 2, 3]
    front = next(known for known in thinker.asked if known.trial_id == 3 and len(known.told) == 2)
    assert [seen.trial_id for seen in front.observations] == [1, 2], "those behind it come anew"


def test_an_answer_for_a_trial_that_is_gone_is_dropped(campaign: Made, thinker: Thinker) -> None:
    thinker.is_thinking = False
    one = campaign(2)
    one.steps()
    one.measure()
    one.steps()
    lease = one.lease()
    one.acquire(lease)
    one.reduce(2)
    thinker.is_thinking = True
    one.steps(1)
    assert thinker.asked[-1].trial_id == 3, "it is to be improved"
    before = one.trial(3)
    one.lease()
    one.steps(1)
    assert thinker.asked[-1].trial_id != 3
    after = one.trial(3)
    assert (after.parameters, after.revision) == (before.parameters, before.revision)


def test_while_a_person_pauses_the_trial_that_waits_gets_the_last_result(
    campaign: Made, thinker: Thinker
) -> None:
    thinker.is_thinking = False
    one = campaign()
    one.steps()
    lease = one.lease()
    one.steps()
    assert one.trial(2).told == 0
    one.lab.ledger.order(ID, ev.Paused(by="me"), ["running"])
    one.acquire(lease)
    one.reduce(1)
    one.steps()
    assert (one.trial(2).told, one.trial(2).revision) == (1, 1)
    assert len(one.state.trials) == 2


def test_what_waits_is_proposed_anew_after_a_correction(campaign: Made, thinker: Thinker) -> None:
    thinker.is_thinking = False
    one = campaign()
    one.steps()
    one.measure()
    one.steps()
    before = one.trial(2)
    one.lab.ledger.order(ID, ev.Paused(by="me"), ["running"])
    outcomes = {"y": Outcome(7.0)}
    told = {"reducer": "lab.better", "reducer_sha256": "s", "by": "me"}
    one.lab.ledger.correct(ID, ev.Corrected(trial_id=1, outcomes=outcomes, **told))
    one.steps()
    after = one.trial(2)
    assert (before.told, after.told, after.revision) == (1, 1, before.revision + 1)
    assert thinker.asked[-1].told[0].outcomes == outcomes
    one.steps()
    assert one.trial(2).revision == after.revision, "once is enough"


def test_an_answer_that_comes_late_takes_no_sample_that_is_booked(
    campaign: Made, thinker: Thinker
) -> None:
    """The trial would be abandoned when its turn comes, and the budget be spent."""
    plate = {
        "parameters": {
            "x": {"device": "x", "range": [0, 1]},
            "well": {"arg": "well", "choices": ["a", "b", "c"]},
        },
        "samples": {
            "file": "plate.csv",
            "parameter": "well",
            "list": [{"position": one, "uses": 1} for one in "abc"],
        },
    }
    one = campaign(**plate)
    one.steps()
    lease = one.lease()
    one.steps()
    one.acquire(lease)
    one.steps(3)
    second = one.trial(2)
    assert second.source == "fallback"
    one.lease()
    thinker.well = str(second.parameters["well"])
    thinker.is_thinking = False
    one.steps()
    third = one.trial(3)
    assert third.parameters["well"] not in {one.trial(1).parameters["well"], thinker.well}


def test_an_optimizer_that_fails_is_not_asked_again_before_there_is_news(
    campaign: Made, thinker: Thinker
) -> None:
    thinker.is_thinking = False
    one = campaign(2)
    one.steps()
    one.measure()
    one.steps()
    one.measure()
    thinker.error = OptimizerError("singular matrix")
    asked = len(thinker.asked)
    one.steps()
    assert len(thinker.asked) == asked + 2, "once to improve, once for the next"
    assert one.trial(4).details == {"reason": "singular matrix"}
    assert one.trial(4).source == "fallback"
    thinker.error = None
    one.measure()
    one.steps()
    assert one.trial(4).source == "model"


def test_a_question_waits_for_a_result_that_is_nearly_there(
    campaign: Made, thinker: Thinker
) -> None:
    thinker.is_thinking, thinker.thinks_s = False, 1.0
    one = campaign()
    one.steps()
    for _ in range(3):
        one.measure(10.0)
        one.steps()
    lease = one.lease()
    one.steps()
    one.acquire(lease)
    one.lease()
    asked = len(thinker.asked)
    assert one.steps() > 0
    assert len(thinker.asked) == asked, "the outcome of the last trial is not there yet"
    one.reduce(lease.trial_id)
    one.steps()
    assert len(thinker.asked[-1].told) == lease.trial_id


def test_auto_waits_no_longer_than_a_wasted_measurement(campaign: Made, thinker: Thinker) -> None:
    thinker.is_thinking, thinker.thinks_s = False, 0.5
    one = campaign("auto")
    one.steps()
    for _ in range(2):
        one.measure(2.0)
        one.steps()
    thinker.is_thinking = True
    one.measure(2.0)
    began, count = one.lab.clock.now(), len(one.state.trials)
    while len(one.state.trials) == count:
        one.steps(1)
    assert one.lab.clock.now() - began == pytest.approx(2.0, abs=0.2)
    assert one.trial(count + 1).source == "fallback"


def test_no_point_is_wasted_on_an_instrument_that_recovers(
    campaign: Made, thinker: Thinker
) -> None:
    one = campaign()
    one.steps()
    lease = one.lease()
    failed = ev.Failed(trial_id=1, reason="hang", message="", crash=True, then=TrialState.ABANDONED)
    one.lab.ledger.fail(lease, failed, InstrumentState.UNKNOWN)
    one.steps(20)
    assert len(one.state.trials) == 1


def test_a_question_whose_basis_is_gone_is_given_up(campaign: Made, thinker: Thinker) -> None:
    one = campaign()
    one.steps()
    one.lease()
    one.steps(1)
    first = thinker.asked[-1]
    one.proposer.forget()
    one.steps(1)
    assert thinker.asked[-1] is not first


def test_a_point_that_may_not_be_measured_is_refused(campaign: Made, thinker: Thinker) -> None:
    one = campaign()
    far = {"x": INSTRUMENT.devices["x"].model_copy(update={"limits": (2.0, 3.0)})}
    elsewhere = INSTRUMENT.model_copy(update={"devices": far})
    one.proposer = Proposer(replace(one.lab, instrument=elsewhere), one.spec)
    with pytest.raises(EnvelopeError):
        one.steps()
    assert one.state.trials == {}


def test_the_budget_holds_for_points_that_stand_in(campaign: Made, thinker: Thinker) -> None:
    one = campaign(budget={"trials": 2})
    one.steps()
    lease = one.lease()
    one.steps(2)
    one.acquire(lease)
    one.steps(3)
    one.lease()
    thinker.is_thinking = False
    one.steps()
    assert len(one.state.trials) == 2


def test_a_realignment_comes_before_a_thought_that_is_under_way(
    campaign: Made, thinker: Thinker
) -> None:
    align = {"realign": {"name": "align"}}
    one = campaign(1, sentinel={"at": {"x": 0.5}, "every": 2, "then": align})

    def measured(number: int, y: float) -> None:
        lease = one.lease()
        assert lease.trial_id == number
        one.steps()  # what comes next is thought about while it runs
        one.acquire(lease)
        event = ev.Measured(trial_id=number, outcomes={"y": Outcome(y, 0.1)})
        one.lab.ledger.settle(ID, event)

    thinker.is_thinking = False
    one.steps()
    for number, y in ((1, 0.5), (2, 0.6), (3, 0.7)):
        measured(number, y)
        one.steps()
    assert one.trial(4).source == "sentinel"
    thinker.is_thinking = True
    measured(4, 5.0)
    assert thinker.asked[-1].trial_id == 5, "asked for, and not answered"
    one.steps()
    realigns = one.trial(5)
    assert (realigns.source, realigns.parameters) == ("realignment", {"x": 0.5})
    assert "sentinel trial 4 gave 5" in str(realigns.details["because"])
    one.lease()
    one.steps()
    assert one.trial(6).source == "sentinel"


def test_a_sentinel_does_not_wait_for_a_thought(campaign: Made, thinker: Thinker) -> None:
    """With a model that never answers the worker lives on space-filling points, and is watched."""
    one = campaign(1, sentinel={"at": {"x": 0.5}, "every": 2})
    one.steps()
    for _ in range(7):
        one.measure()
        one.steps()
    assert [one.trial(n).source for n in range(1, 9)] == [
        "sentinel",
        *("fallback", "fallback", "sentinel"),
        *("fallback", "fallback", "sentinel"),
        "fallback",
    ]
    thinker.is_thinking = False
    one.steps()
    assert one.trial(8).asked_for == 2, "the answer serves a later trial"
