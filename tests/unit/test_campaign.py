"""The flow on one page: decide and execute, on the ledger in memory and with told collaborators."""

import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator import worker as worker_module
from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.campaign import _now, decide
from orchestrator.campaign import execute as execute_beside
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope, envelope_of
from orchestrator.domain.errors import (
    DeviceUnavailable,
    LeaseLost,
    LedgerUnavailable,
    OptimizerError,
    PlanAborted,
    PlanFailed,
    ReductionError,
    Unusable,
)
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.realignment import NO_DATA, REALIGNMENT, REALIGNMENT_KEY
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, CampaignStatus, fold
from orchestrator.domain.trial import Outcome, TrialState
from orchestrator.evidence import settle_left_over
from orchestrator.follow import delivered
from orchestrator.ports import (
    Ask,
    Evidence,
    InstrumentState,
    Lab,
    PlanRequest,
    Reduction,
    Result,
    Traces,
)
from orchestrator.proposer import Proposer
from orchestrator.worker import Worker
from tests.contract.ledger_rigs import MemoryRig

ID = "campaign-1"
DEAD = f"{platform.node()}-{2**22 + 1}-gone"
"""A worker of this host whose process cannot exist: Linux numbers them up to 2**22."""

INSTRUMENT = InstrumentSpec.from_data(
    {
        "name": "stage",
        "mode": "twin",
        "devices": {"x": {"class": "a.B", "unit": "mm", "limits": [0, 1]}},
        "conditions": [{"signal": "PRESSURE", "suspend_above": 8.0}],
    }
)


WARY = INSTRUMENT.model_copy(
    update={
        "devices": {
            name: device.model_copy(update={"takeover": "person"})
            for name, device in INSTRUMENT.devices.items()
        }
    }
)
"""The same, and after a crash somebody must look."""


def spec(**changes: Any) -> CampaignSpec:
    data: dict[str, Any] = {
        "name": "scan",
        "instrument": "stage",
        "plan": {"name": "count"},
        "parameters": {"x": {"device": "x", "range": [0, 1], "unit": "mm"}},
        "objectives": {"y": {"goal": "maximize"}},
        "budget": {"trials": 4},
        "optimizer": {"lookahead": 0, "initial_trials": 2},
    }
    return CampaignSpec.from_data({**data, **changes})


@dataclass
class ToldExecutor:
    """An instrument that does what the test says, trial by trial; by default it succeeds."""

    tell: dict[int, Callable[[PlanRequest], Evidence]] = field(default_factory=dict)
    requests: list[PlanRequest] = field(default_factory=list)
    condition: str | None = None
    quieted: int = 0
    is_reusable: bool = True
    is_connected: bool = True
    unrest: str | None = None
    left: Traces | None = None
    restoring: Exception | None = None
    accepted: int = 0
    order: Callable[[], str | None] = lambda: None
    ask: Ask | None = None

    def load(self) -> None:
        return

    def connect(self) -> None:
        return

    def deadline_s(self, request: PlanRequest) -> float:
        return request.deadline_s

    def run(
        self, request: PlanRequest, order: Callable[[], str | None], ask: Ask | None = None
    ) -> Evidence:
        self.requests.append(request)
        self.ask = ask
        self.order = order
        order()
        told = self.tell.get(request.metadata["trial_id"], _succeed)
        return told(request)

    def tripped(self) -> str | None:
        return self.condition

    def quiet(self) -> None:
        self.quieted += 1

    def park(self) -> None:
        return

    def observe(self) -> str | None:
        return self.unrest

    def traces(self) -> Traces | None:
        return self.left

    def is_whole(self, traces: Traces) -> bool:
        return False

    def restore(self, traces: Traces) -> list[str]:
        if self.restoring is not None:
            raise self.restoring
        return list(traces.staged)

    def accept(self) -> None:
        self.accepted += 1

    def differences(self, traces: Traces) -> list[str]:
        return [f"{name} stands elsewhere" for name in traces.setpoints]


def _succeed(request: PlanRequest) -> Evidence:
    return Evidence(f"uid-{request.metadata['trial_id']}", request.documents, "sha")


def _raise(error: Exception) -> Callable[[PlanRequest], Evidence]:
    def told(request: PlanRequest) -> Evidence:
        raise error

    return told


class ToldReducer:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.invalid: str | None = None

    def reduce(self, campaign: CampaignSpec, documents: str) -> Reduction:
        if self.error is not None:
            raise self.error
        trial_id = int(documents.split("/")[-1].split("-")[0])
        return Reduction({"y": Outcome(float(trial_id))}, self.invalid)

    def deadline_s(self, campaign: CampaignSpec) -> float:
        return campaign.reduce.timeout_s

    def warm_up(self) -> None:
        return


class ToldOptimizer:
    def __init__(self) -> None:
        self.known: list[Knowledge] = []
        self.error: OptimizerError | None = None
        self.parameters: Mapping[str, Any] | None = None

    def suggest(self, known: Knowledge, timeout_s: float | None = None) -> Suggestion:
        self.known.append(known)
        if self.error is not None:
            raise self.error
        suggestion = SobolOptimizer().suggest(known)
        return replace(suggestion, parameters=self.parameters or suggestion.parameters)

    def fallback(self, known: Knowledge, reason: str) -> Suggestion:
        return replace(SobolOptimizer().suggest(known), details={"reason": reason})

    def warm_up(self, spec: CampaignSpec) -> None:
        return

    def close(self) -> None:
        return


class ToldOutbox:
    def lack(self) -> str | None:
        return None

    def __init__(self) -> None:
        self.kept: dict[str, list[Result]] = {}

    def put(self, campaign_id: str, result: Result) -> None:
        self.kept.setdefault(campaign_id, []).append(result)

    def results(self, campaign_id: str, trial_id: int) -> list[Result]:
        kept = self.kept.get(campaign_id, [])
        return [one for one in kept if one.proposal.trial_id == trial_id]


class OpenGate:
    floor = 0
    yields = False

    def __init__(self) -> None:
        self.claimed: list[int] = []
        self.overtaken = False

    def enter(self) -> bool:
        return True

    def claim(self, fence: int) -> None:
        self.claimed.append(fence)

    def confirm(self, fence: int) -> None:
        if self.overtaken:
            raise LeaseLost("somebody else drives")


@pytest.fixture
def lab(clock: Any) -> Lab:
    return Lab(
        ledger=MemoryLedger(clock),
        optimizer=ToldOptimizer(),
        executor=ToldExecutor(),
        outbox=ToldOutbox(),
        gate=OpenGate(),
        reducer=ToldReducer(),
        clock=clock,
        instrument=INSTRUMENT,
        worker="worker-1",
        lease_s=30.0,
        plan_deadline_s=60.0,
        versions={"labwright": "test"},
        announce=lambda _: None,
    )


def open_campaign(lab: Lab, campaign: CampaignSpec, envelope: Envelope | None = None) -> None:
    lab.ledger.open_campaign(
        ev.Opened(
            campaign_id=ID,
            instrument=INSTRUMENT.name,
            mode="twin",
            spec=campaign.to_data(),
            instrument_spec=INSTRUMENT.to_data(),
        )
    )
    lab.ledger.register(INSTRUMENT.name, lab.worker, envelope or envelope_of(INSTRUMENT))


def run(lab: Lab, campaign: CampaignSpec) -> CampaignState:
    """Both sides of the flow, each in its thread, until the campaign is over."""
    open_campaign(lab, campaign)
    deciding = threading.Thread(target=decide, args=(lab, ID), daemon=True)
    deciding.start()
    while deciding.is_alive():
        if not execute(lab, ID, campaign):
            deciding.join(0.002)
    return fold(lab.ledger.events(ID))


def execute(lab: Lab, campaign_id: str, campaign: CampaignSpec) -> bool:
    """Execute, and reduce at once instead of beside the next trial."""
    return execute_beside(lab, campaign_id, campaign, lambda _, reduction: reduction())


def execute_next(
    lab: Lab, campaign: CampaignSpec, x: float = 0.5, *, reduce_it: bool = True
) -> None:
    """Propose one trial by hand and take it through one attempt."""
    number = fold(lab.ledger.events(ID)).next_trial
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=number, parameters={"x": x}, source="person", basis="0", seed=0)
    )
    assert execute_beside(
        lab, ID, campaign, lambda _, reduction: reduction() if reduce_it else None
    )


@pytest.mark.parametrize("lookahead", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_campaign_measures_exactly_its_budget(lab: Lab, lookahead: int, batch: int) -> None:
    campaign = spec(optimizer={"lookahead": lookahead, "batch": batch, "initial_trials": 2})
    state = run(lab, campaign)
    assert (state.status, state.stop_reason) == (CampaignStatus.DONE, "budget of trials spent")
    assert state.counts() == {**dict.fromkeys(state.counts(), 0), "measured": 4}
    assert len({trial.run_uid for trial in state.trials.values()}) == 4


def test_without_lookahead_each_proposal_knows_every_earlier_result(lab: Lab) -> None:
    run(lab, spec())
    told = [len(known.told) for known in lab.optimizer.known]  # type: ignore[attr-defined]
    assert told == [0, 1, 2, 3]


def test_the_document_says_whose_it_is(lab: Lab) -> None:
    run(lab, spec(budget={"trials": 1}))
    (request,) = lab.executor.requests  # type: ignore[attr-defined]
    about = {**request.metadata}
    assert about.pop("parameters") == request.settings
    assert about == {
        "campaign_id": ID,
        "trial_id": 1,
        "attempt": 1,
        "fence": 1,
        "mode": "twin",
        "instrument": "stage",
        "versions": {"labwright": "test"},
    }
    assert lab.gate.claimed == [1]  # type: ignore[attr-defined]


def test_a_failing_trial_is_tried_again_and_then_abandoned(lab: Lab) -> None:
    lab.executor.tell[2] = _raise(PlanFailed("no answer", "device_timeout"))  # type: ignore[attr-defined]
    state = run(lab, spec())
    assert (state.trials[2].state, state.trials[2].attempts) == (TrialState.ABANDONED, 3)
    assert state.trials[2].reason == "device_timeout"
    assert state.count(TrialState.MEASURED) == 3
    assert state.status is CampaignStatus.DONE
    assert lab.executor.quieted == 3  # type: ignore[attr-defined]


def test_a_campaign_gives_up_after_failures_in_a_row(lab: Lab) -> None:
    error = PlanFailed("no answer", "device_timeout")
    lab.executor.tell = {n: _raise(error) for n in range(1, 9)}  # type: ignore[attr-defined]
    state = run(lab, spec(budget={"trials": 9}))
    assert (state.status, state.stop_reason) == (CampaignStatus.FAILED, "3 trials failed in a row")


def test_a_lost_device_counts_as_a_crash_and_leaves_the_instrument_unknown(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.executor.tell[1] = _raise(PlanFailed("IOC gone", "device_disconnected"))  # type: ignore[attr-defined]
    execute_next(lab, campaign)
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.crashes) == (TrialState.QUEUED, 1)
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.UNKNOWN


def test_an_interruption_by_a_condition_spends_no_attempt_and_has_its_own_bound(lab: Lab) -> None:
    lab.executor.tell[2] = _raise(PlanFailed("the beam is gone", "interrupted"))  # type: ignore[attr-defined]
    state = run(lab, spec(policy={"attempts": 1, "crashes": 5}))
    trial = state.trials[2]
    assert (trial.state, trial.attempts, trial.crashes) == (TrialState.ABANDONED, 5, 5)
    assert state.count(TrialState.MEASURED) == 3
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.READY


def test_an_interruption_ends_a_trial_whose_sample_it_spent(lab: Lab) -> None:
    lab.executor.tell[1] = _raise(PlanFailed("the beam is gone", "interrupted"))  # type: ignore[attr-defined]
    trial = run(lab, spec(policy={"consumes_sample": True})).trials[1]
    assert (trial.state, trial.attempts) == (TrialState.ABANDONED, 1)


def test_a_point_outside_the_workers_envelope_moves_nothing(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    execute_next(lab, campaign, x=1.5)
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.attempts) == (TrialState.ABANDONED, 0)
    assert lab.executor.requests == []  # type: ignore[attr-defined]
    assert lab.gate.claimed == []  # type: ignore[attr-defined]


def test_a_proposal_outside_the_instrument_file_is_not_admitted(lab: Lab) -> None:
    narrow = INSTRUMENT.model_copy(update={"constraints": ("x <= 0.1",)})
    open_campaign(lab, spec())
    lab.optimizer.parameters = {"x": 0.9}  # type: ignore[attr-defined]
    state = decide(replace(lab, instrument=narrow), ID)
    assert state.status is CampaignStatus.FAILED
    assert "'x <= 0.1' does not hold" in (state.stop_reason or "")
    assert state.trials == {}


def test_what_a_worker_with_an_older_file_has_published_does_not_count(lab: Lab) -> None:
    older = replace(envelope_of(INSTRUMENT), constraints=("x <= 0.1",))
    open_campaign(lab, spec(), older)
    lab.optimizer.parameters = {"x": 0.9}  # type: ignore[attr-defined]
    proposer = Proposer(lab, spec())
    proposer.step(fold(lab.ledger.events(ID)))
    assert fold(lab.ledger.events(ID)).trials[1].parameters == {"x": 0.9}


def test_an_optimizer_without_an_answer_is_replaced_by_a_space_filling_point(lab: Lab) -> None:
    lab.optimizer.error = OptimizerError("no model")  # type: ignore[attr-defined]
    state = run(lab, spec())
    assert state.count(TrialState.MEASURED) == 4
    assert {trial.details["reason"] for trial in state.trials.values()} == {"no model"}


def test_a_failing_reducer_never_causes_a_second_measurement(lab: Lab) -> None:
    lab.reducer.error = ReductionError("division by zero")  # type: ignore[attr-defined]
    campaign = spec()
    open_campaign(lab, campaign)
    execute_next(lab, campaign)
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.attempts) == (TrialState.UNREDUCED, 1)
    assert not execute(lab, ID, campaign)


def test_an_invalid_trial_is_kept_and_not_told(lab: Lab) -> None:
    lab.reducer.invalid = "peak >= 100 (3)"  # type: ignore[attr-defined]
    state = run(lab, spec(policy={"stop_after": {"invalid_in_a_row": 2}}))
    assert state.status is CampaignStatus.FAILED
    assert all(known.told == () for known in lab.optimizer.known)  # type: ignore[attr-defined]
    assert state.trials[1].outcomes["y"].mean == 1.0


def test_a_condition_suspends_and_lets_go_on(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.executor.condition = "pressure is 9 bar"  # type: ignore[attr-defined]
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    assert not execute(lab, ID, campaign)
    state = fold(lab.ledger.events(ID))
    assert (state.status, state.waiting_for) == (CampaignStatus.SUSPENDED, "pressure is 9 bar")
    assert not execute(lab, ID, campaign), "suspended once, not again and again"
    lab.executor.condition = None  # type: ignore[attr-defined]
    assert execute(lab, ID, campaign)
    kinds = [ev.type_of(event) for event in lab.ledger.events(ID)]
    assert kinds.count("suspended") == kinds.count("resumed") == 1


def test_an_aborted_trial_is_cancelled_and_the_campaign_ends(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.executor.tell[1] = _raise(PlanAborted("ordered"))  # type: ignore[attr-defined]
    execute_next(lab, campaign)
    lab.ledger.order(ID, ev.AbortRequested(by="me", reason="smoke", halt=False), ["running"])
    state = decide(lab, ID)
    assert (state.status, state.stop_reason) == (CampaignStatus.ABORTED, "smoke")
    assert state.trials[1].state is TrialState.CANCELLED


def test_orders_out_of_reach_let_the_plan_go_on(lab: Lab) -> None:
    class Deaf(MemoryLedger):
        def status(self, campaign_id: str) -> str:
            if fold(self.events(campaign_id)).count(TrialState.RUNNING):
                raise LedgerUnavailable("no answer")
            return super().status(campaign_id)

    deaf = replace(lab, ledger=Deaf(lab.clock))
    campaign = spec()
    open_campaign(deaf, campaign)
    execute_next(deaf, campaign)
    assert fold(deaf.ledger.events(ID)).trials[1].state is TrialState.MEASURED


# What a new worker makes of what an old one left behind


def _left_running(lab: Lab, campaign: CampaignSpec, *, documents: bool) -> None:
    open_campaign(lab, campaign)
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    lease = lab.ledger.acquire(ID, INSTRUMENT.name, DEAD, floor=0, ttl_s=30)
    assert lease is not None
    lab.ledger.start(lease)
    if documents:
        acquired = ev.Acquired(
            trial_id=1, attempt=1, run_uid="uid", documents="runs/00001-1-1.jsonl", sha256="sha"
        )
        lab.outbox.put(ID, Result(lease.proposal, acquired, lease.fence))


def _traces(*commands: str, **changes: Any) -> Traces:
    """What the attempt of ``_left_running`` wrote down."""
    about: dict[str, Any] = {
        "campaign_id": ID,
        "trial_id": 1,
        "attempt": 1,
        "fence": 1,
        "documents": "runs/00001-1-1.jsonl",
        "commands": commands,
        "setpoints": {},
        "staged": {},
    }
    return Traces(**{**about, **changes})


def _recover(lab: Lab) -> CampaignState:
    worker = Worker(lab)
    worker.begin()
    worker._await_reductions()
    return fold(lab.ledger.events(ID))


def test_a_result_that_is_safe_on_disk_is_salvaged(lab: Lab) -> None:
    _left_running(lab, spec(), documents=True)
    state = _recover(lab)
    assert (state.trials[1].state, state.trials[1].attempts) == (TrialState.MEASURED, 1)
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.READY


def test_without_evidence_the_trial_is_tried_again(lab: Lab) -> None:
    _left_running(lab, spec(), documents=False)
    state = _recover(lab)
    assert (state.trials[1].state, state.trials[1].crashes) == (TrialState.QUEUED, 1)
    assert execute(lab, ID, spec())
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.attempts) == (TrialState.MEASURED, 2)


def test_a_consumed_sample_waits_for_a_person(lab: Lab) -> None:
    campaign = spec(policy={"consumes_sample": True})
    _left_running(lab, campaign, documents=False)
    state = _recover(lab)
    assert state.status is CampaignStatus.NEEDS_PERSON
    assert state.trials[1].state is TrialState.SUSPECT
    assert not execute(lab, ID, campaign)


def test_a_sample_that_nothing_has_touched_is_used(lab: Lab) -> None:
    """The journal is there, and empty: the attempt never ran."""
    campaign = spec(policy={"consumes_sample": True})
    _left_running(lab, campaign, documents=False)
    lab.executor.left = _traces()  # type: ignore[attr-defined]
    state = _recover(lab)
    assert (state.status, state.trials[1].state) == (CampaignStatus.RUNNING, TrialState.QUEUED)
    assert execute(lab, ID, campaign)


def test_a_person_is_told_how_far_the_attempt_came(lab: Lab) -> None:
    campaign = spec(policy={"consumes_sample": True})
    _left_running(lab, campaign, documents=False)
    lab.executor.left = _traces("set x", "trigger det")  # type: ignore[attr-defined]
    state = _recover(lab)
    assert state.trials[1].state is TrialState.SUSPECT
    asked = state.waiting_for or ""
    assert "was the sample of trial 1 consumed?" in asked
    assert "2 commands, the last was 'trigger det'; its documents are not complete" in asked
    assert "resolve 1 --as measured|retry|abandon" in asked


def test_a_journal_of_another_attempt_proves_nothing(lab: Lab) -> None:
    campaign = spec(policy={"consumes_sample": True})
    _left_running(lab, campaign, documents=False)
    lab.executor.left = _traces(fence=0)  # type: ignore[attr-defined]
    assert _recover(lab).status is CampaignStatus.NEEDS_PERSON


def test_the_instrument_is_quieted_and_observed_before_it_is_ready(lab: Lab) -> None:
    _left_running(lab, spec(), documents=False)
    lab.executor.left = _traces("stage det", setpoints={"x": 1.0}, staged={"det.gain": 3})  # type: ignore[attr-defined]
    looks = iter(["x is moving", "x is moving", None])
    lab.executor.observe = lambda: next(looks)  # type: ignore[attr-defined]
    state = _recover(lab)
    assert state.trials[1].state is TrialState.QUEUED
    assert lab.executor.quieted == 1  # type: ignore[attr-defined]
    changes = [e for e in lab.ledger.events(ID) if isinstance(e, ev.InstrumentChanged)]
    assert [one.state for one in changes] == ["unknown", "recovering", "ready"]
    assert changes[-1].reason == (
        "every device answers and stands still; put back as before staging: det.gain; "
        "x stands elsewhere"
    )


def _cleared(lab: Lab) -> Callable[[float], None]:
    """A clock at which staff clear a fault after a while."""
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        lab.executor.unrest = lab.executor.restoring = None  # type: ignore[attr-defined]
        if len(naps) % 3 == 0 and lab.ledger.clear_fault(INSTRUMENT.name, "looked"):
            lab.ledger.order(ID, ev.Resumed(by="me"), [CampaignStatus.NEEDS_PERSON])

    return sleep


def test_what_does_not_come_to_rest_is_a_fault_that_staff_clear(lab: Lab) -> None:
    _left_running(lab, spec(), documents=False)
    looks = [0]

    def moves() -> str | None:
        looks[0] += 1
        return "x is moving" if looks[0] <= 3001 else None

    lab.executor.observe = moves  # type: ignore[attr-defined]
    lab.clock.sleep = _cleared(lab)  # type: ignore[method-assign]
    state = _recover(lab)
    asked = [e.reason for e in lab.ledger.events(ID) if isinstance(e, ev.NeedsPerson)]
    assert asked == [
        "instrument stage is in fault: it does not come to rest within 300 s: x is moving. "
        "Staff must look, then say: labwright clear-fault stage --reason '...'"
    ]
    changes = [e.state for e in lab.ledger.events(ID) if isinstance(e, ev.InstrumentChanged)]
    assert changes == ["unknown", "recovering", "fault", "unknown", "recovering", "ready"]
    assert lab.executor.accepted == 1, "what staff left stays"  # type: ignore[attr-defined]
    assert state.trials[1].state is TrialState.QUEUED


def test_staging_that_cannot_be_undone_is_a_fault(lab: Lab) -> None:
    _left_running(lab, spec(), documents=False)
    lab.executor.left = _traces("stage det", staged={"det.gain": 3})  # type: ignore[attr-defined]
    lab.executor.restoring = PlanFailed("det.gain cannot be put back", "not_restored")  # type: ignore[attr-defined]
    lab.clock.sleep = _cleared(lab)  # type: ignore[method-assign]
    _recover(lab)
    changes = [e for e in lab.ledger.events(ID) if isinstance(e, ev.InstrumentChanged)]
    assert (changes[2].state, changes[2].reason) == ("fault", "det.gain cannot be put back")


def test_a_device_that_is_lost_meanwhile_is_no_fault(lab: Lab) -> None:
    """Its server comes back, and the next worker connects to it."""
    _left_running(lab, spec(), documents=False)
    lab.executor.unrest, lab.executor.is_connected = "x is not connected", False  # type: ignore[attr-defined]
    with pytest.raises(DeviceUnavailable, match="x is not connected"):
        Worker(lab).begin()
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.RECOVERING


def test_a_campaign_waits_for_a_device_that_is_lost(lab: Lab) -> None:
    """It is suspended and no trial is tried; the worker that has connected again lets it go on."""
    open_campaign(lab, spec())
    worker = Worker(lab)
    worker.begin()
    lab.executor.is_connected, lab.executor.unrest = False, "x is not connected"  # type: ignore[attr-defined]

    def comes_back(_: float) -> None:
        lab.executor.is_connected, lab.executor.unrest = True, None  # type: ignore[attr-defined]

    lab.clock.sleep = comes_back  # type: ignore[method-assign]
    worker.work()
    state = fold(lab.ledger.events(ID))
    assert state.status is CampaignStatus.SUSPENDED
    assert state.waiting_for == "a device is lost: x is not connected"
    following = Worker(lab)
    following.begin()
    following._wait()
    assert fold(lab.ledger.events(ID)).status is CampaignStatus.RUNNING


def test_a_twin_that_was_started_anew_is_not_waited_for(lab: Lab) -> None:
    open_campaign(lab, spec())
    worker = Worker(lab, stays=lambda: False)
    worker.begin()
    lab.executor.is_connected = False  # type: ignore[attr-defined]
    worker.work()
    assert fold(lab.ledger.events(ID)).status is CampaignStatus.RUNNING


def test_an_acquired_trial_is_reduced_by_the_next_worker(lab: Lab) -> None:
    campaign = spec()
    _left_running(lab, campaign, documents=True)
    lease = lab.ledger.acquire(ID, INSTRUMENT.name, DEAD, floor=0, ttl_s=30)
    assert lease is not None
    (found,) = lab.outbox.results(ID, 1)
    lab.ledger.acquired(lease, found.acquired)
    assert _recover(lab).trials[1].state is TrialState.MEASURED


def test_what_was_left_to_reduce_does_not_hold_up_the_next_trial(lab: Lab) -> None:
    """And while it is waited for, the heartbeat knows how long that may take."""
    campaign, told = spec(reduce={"timeout_s": 1234.0}), list[float]()
    _left_running(lab, campaign, documents=True)
    reduce, may_end = lab.reducer.reduce, threading.Event()

    def reduce_slowly(campaign: CampaignSpec, documents: str) -> Reduction:
        assert may_end.wait(20)
        return reduce(campaign, documents)

    lab.reducer.reduce = reduce_slowly  # type: ignore[method-assign]
    worker = Worker(replace(lab, announce=told.append))
    worker.begin()
    execute_next(lab, campaign, reduce_it=False)
    states = [trial.state for trial in fold(lab.ledger.events(ID)).trials.values()]
    assert states == [TrialState.ACQUIRED, TrialState.ACQUIRED]
    may_end.set()
    worker._await_reductions()
    assert fold(lab.ledger.events(ID)).trials[1].state is TrialState.MEASURED
    assert told[-1] >= 1234.0


def test_the_instrument_goes_on_while_reductions_take_longer_than_trials(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until as many wait as may."""
    monkeypatch.setattr(worker_module, "MOST_REDUCTIONS", 3)
    open_campaign(lab, spec())
    for number in range(1, 5):
        point = ev.Proposed(
            trial_id=number, parameters={"x": 0.5}, source="person", basis="0", seed=0
        )
        lab.ledger.propose(ID, point)
    reduce, may_end, stuck = lab.reducer.reduce, threading.Event(), threading.Event()

    def reduce_slowly(campaign: CampaignSpec, documents: str) -> Reduction:
        assert may_end.wait(20)
        return reduce(campaign, documents)

    def waits(seconds: float) -> None:
        if seconds > 1000.0:
            stuck.set()
            may_end.set()

    lab.reducer.reduce = reduce_slowly  # type: ignore[method-assign]
    monkeypatch.setattr(lab.reducer, "deadline_s", lambda campaign: 1234.0)
    worker = Worker(replace(lab, announce=waits))
    worker.begin()
    for number in range(1, 4):
        assert execute_beside(lab, ID, spec(), worker._beside)
        assert fold(lab.ledger.events(ID)).trials[number].state is TrialState.ACQUIRED
    assert not stuck.is_set(), "three are reduced or wait, and the instrument goes on"
    assert execute_beside(lab, ID, spec(), worker._beside)
    assert stuck.is_set(), "a fourth has to wait"
    worker.finish()
    assert fold(lab.ledger.events(ID)).count(TrialState.MEASURED) == 4


def test_a_worker_that_leaves_does_not_stay_for_what_waits_to_be_reduced(lab: Lab) -> None:
    open_campaign(lab, spec())
    reduce, is_reducing, may_end = lab.reducer.reduce, threading.Event(), threading.Event()

    def reduce_slowly(campaign: CampaignSpec, documents: str) -> Reduction:
        is_reducing.set()
        assert may_end.wait(20)
        return reduce(campaign, documents)

    lab.reducer.reduce = reduce_slowly  # type: ignore[method-assign]
    worker = Worker(lab)
    worker.begin()
    for number in (1, 2):
        point = {"trial_id": number, "parameters": {"x": 0.5}, "source": "person", "seed": 0}
        lab.ledger.propose(ID, ev.Proposed(**point, basis="0"))
        assert execute_beside(lab, ID, spec(), worker._beside)
    assert is_reducing.wait(20)
    worker.leave()
    may_end.set()
    worker._reducer.shutdown(wait=True)  # as the process does at its end
    assert fold(lab.ledger.events(ID)).trials[2].state is TrialState.ACQUIRED
    lab.reducer.reduce = reduce  # type: ignore[method-assign]
    assert _recover(lab).trials[2].state is TrialState.MEASURED


def test_a_worker_without_a_trial_looks_again_while_a_reduction_is_under_way(lab: Lab) -> None:
    """The next one may be proposed a moment later, and need not wait for a reducer that hangs."""
    _left_running(lab, spec(), documents=True)
    reduce, may_end = lab.reducer.reduce, threading.Event()

    def reduce_slowly(campaign: CampaignSpec, documents: str) -> Reduction:
        assert may_end.wait(5), "the worker stood still until the reduction was over"
        return reduce(campaign, documents)

    lab.reducer.reduce = reduce_slowly  # type: ignore[method-assign]
    worker = Worker(lab)
    worker.begin()
    assert not worker._drain()
    worker._wait()
    assert fold(lab.ledger.events(ID)).trials[1].state is TrialState.ACQUIRED
    may_end.set()
    worker.finish()
    assert fold(lab.ledger.events(ID)).trials[1].state is TrialState.MEASURED


def test_a_lease_of_another_host_ends_only_with_its_time(lab: Lab, clock: Any) -> None:
    open_campaign(lab, spec())
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    assert lab.ledger.acquire(ID, INSTRUMENT.name, "elsewhere-1-a", floor=0, ttl_s=30)
    before = clock.now()
    state = _recover(lab)
    assert clock.now() > before + 30
    assert state.trials[1].state is TrialState.QUEUED


def test_a_result_that_is_safe_is_not_measured_again_after_an_outage(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    lost = lab.ledger.acquired

    def unreachable(*_: Any) -> None:
        raise LedgerUnavailable("no answer")

    lab.ledger.acquired = unreachable  # type: ignore[method-assign]
    with pytest.raises(LedgerUnavailable):
        execute(lab, ID, campaign)
    lab.ledger.acquired = lost  # type: ignore[method-assign]
    assert execute(lab, ID, campaign)
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.attempts) == (TrialState.MEASURED, 1)
    assert len(lab.executor.requests) == 1  # type: ignore[attr-defined]


def test_a_worker_leaves_campaigns_of_another_mode_alone(lab: Lab) -> None:
    open_campaign(lab, spec())
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    real = replace(lab, instrument=INSTRUMENT.model_copy(update={"mode": "real"}))
    worker = Worker(real)
    worker.begin()
    assert not worker._drain()
    twin = Worker(lab)
    twin.begin()
    assert twin._drain()


def test_an_abort_while_the_instrument_recovers_moves_nothing(lab: Lab) -> None:
    """The campaign ends; the next worker observes the instrument and starts nothing."""
    _left_running(lab, spec(), documents=False)
    lab.ledger.expire(INSTRUMENT.name, dead=DEAD)
    terms: dict[str, Any] = {"floor": 0, "ttl_s": 30.0, "reason": "observing"}
    lab.ledger.recover(INSTRUMENT.name, DEAD, InstrumentState.RECOVERING, **terms)
    lab.ledger.order(ID, ev.AbortRequested(by="me", reason="smoke", halt=False), ["running"])
    state = decide(lab, ID)
    assert (state.status, state.trials[1].state) == (CampaignStatus.ABORTED, TrialState.CANCELLED)
    _recover(lab)
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.READY
    assert lab.executor.requests == []  # type: ignore[attr-defined]


# Who drives when two might


def test_a_result_after_a_takeover_is_noted_and_not_counted(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.gate.overtaken = True  # type: ignore[attr-defined]
    with pytest.raises(LeaseLost):
        execute_next(lab, campaign)
    log = lab.ledger.events(ID)
    assert [one.run_uid for one in log if isinstance(one, ev.LateResult)] == ["uid-1"]
    assert fold(log).trials[1].state is TrialState.RUNNING, "its new holder decides"
    assert lab.outbox.results(ID, 1) == [], "nobody may salvage what somebody else drove into"


def test_who_was_taken_over_stops_nothing_afterwards(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    lab.executor.tell[1] = _raise(PlanFailed("a move was refused", "not_in_position"))  # type: ignore[attr-defined]
    lab.gate.overtaken = True  # type: ignore[attr-defined]
    with pytest.raises(LeaseLost):
        execute_next(lab, campaign)
    assert lab.executor.quieted == 0  # type: ignore[attr-defined]


def test_a_worker_that_can_be_replaced_stops_when_it_hears_nothing(lab: Lab, clock: Any) -> None:
    """Before its lease is over, so before another may begin."""
    campaign = spec()
    open_campaign(lab, campaign)
    lab.gate.yields = True  # type: ignore[attr-defined]
    heard: list[str] = []

    def cut_off(_: Any) -> Any:
        lab.ledger.status = _raise(LedgerUnavailable("no answer"))  # type: ignore[method-assign]
        order = lab.executor.order  # type: ignore[attr-defined]
        for _ in range(5):
            clock.sleep(lab.lease_s / 6)
            order()
            heard.append("goes on")
        raise AssertionError("it drove until the lease was over")

    lab.executor.tell[1] = cut_off  # type: ignore[attr-defined]
    with pytest.raises(LeaseLost, match="others may take over"):
        execute_next(lab, campaign)
    assert len(heard) == 4


def test_a_standby_takes_over_what_another_has_let_go_of(lab: Lab, clock: Any) -> None:
    lab.gate.yields = True  # type: ignore[attr-defined]
    campaign = spec()
    open_campaign(lab, campaign)
    lab.ledger.propose(
        ID, ev.Proposed(trial_id=1, parameters={"x": 0.5}, source="person", basis="0", seed=0)
    )
    frozen = lab.ledger.acquire(ID, INSTRUMENT.name, "elsewhere-1-a", floor=0, ttl_s=30)
    assert frozen is not None
    lab.ledger.start(frozen)
    worker = Worker(lab, standby=True)
    worker.begin()
    worker._wait()
    assert fold(lab.ledger.events(ID)).trials[1].state is TrialState.RUNNING, "it may still work"
    clock.sleep(31)
    worker._wait()
    assert worker._drain()
    worker._await_reductions()
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, trial.attempts, trial.crashes) == (TrialState.MEASURED, 2, 1)
    assert trial.fence > frozen.fence + 1, "claimed for the recovery and again for the trial"


def test_waiting_for_a_person_is_not_hanging(lab: Lab) -> None:
    """Who is silent for longer than it has announced is killed by its heartbeat."""
    told: list[float] = []
    patient = replace(lab, instrument=WARY, announce=told.append)
    _left_running(patient, spec(), documents=False)
    naps: list[int] = []

    def sleep(_: float) -> None:
        naps.append(len(told))
        if len(naps) == 5:
            order = ev.Resumed(by="me")
            patient.ledger.order(ID, order, [CampaignStatus.NEEDS_PERSON])

    patient.clock.sleep = sleep  # type: ignore[method-assign]
    Worker(patient).begin()
    assert naps == sorted(set(naps)), "each wait was announced anew"


def test_who_has_looked_is_not_asked_again_by_the_next_worker(lab: Lab) -> None:
    first = replace(lab, instrument=WARY)
    _left_running(first, spec(), documents=False)

    class Died(Exception):
        pass

    def die(_: float) -> None:
        raise Died

    sleep, lab.clock.sleep = lab.clock.sleep, die  # type: ignore[method-assign]
    with pytest.raises(Died):
        Worker(first).begin()
    lab.clock.sleep = sleep  # type: ignore[method-assign]
    lab.ledger.order(ID, ev.Resumed(by="me"), [CampaignStatus.NEEDS_PERSON])
    Worker(replace(first, worker="worker-2")).begin()
    asked = [one for one in lab.ledger.events(ID) if isinstance(one, ev.NeedsPerson)]
    assert len(asked) == 1
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.READY


def test_a_standby_whose_server_was_replaced_makes_way_for_one_that_finds_it(lab: Lab) -> None:
    lab.gate.enter = lambda: False  # type: ignore[method-assign]
    looks = iter([True, True, False])
    with pytest.raises(SystemExit):
        Worker(lab, standby=True, stays=lambda: next(looks)).begin()


def test_who_only_ends_the_campaign_has_not_looked(lab: Lab) -> None:
    """Then staff must: the instrument is in fault."""
    first = replace(lab, instrument=WARY)
    _left_running(first, spec(), documents=False)

    class Died(Exception):
        pass

    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        order = ev.AbortRequested(by="me", reason="smoke", halt=False)
        lab.ledger.order(ID, order, [CampaignStatus.NEEDS_PERSON])
        if len(naps) > 3:
            raise Died

    lab.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(Died):
        Worker(first).begin()
    record = lab.ledger.instrument(INSTRUMENT.name)
    assert record.state is InstrumentState.FAULT
    assert record.reason == "nobody has looked at x after the crash"
    lab.clock.sleep = lambda _: None  # type: ignore[method-assign]
    assert lab.ledger.clear_fault(INSTRUMENT.name, "fault cleared by me: closed it")
    Worker(replace(first, worker="worker-2")).begin()
    assert lab.ledger.instrument(INSTRUMENT.name).state is InstrumentState.READY


def test_a_twin_puts_nothing_right_that_was_left_on_the_hardware(lab: Lab) -> None:
    _left_running(lab, spec(), documents=False)
    real = replace(lab, instrument=INSTRUMENT.model_copy(update={"mode": "real"}))
    with pytest.raises(Unusable, match="after a run in mode twin, and this is mode real"):
        Worker(real).begin()
    assert lab.executor.quieted == 0  # type: ignore[attr-defined]
    assert fold(lab.ledger.events(ID)).trials[1].state is TrialState.SUSPECT


def test_a_failure_that_cannot_be_recorded_ends_the_worker(lab: Lab) -> None:
    """Else the same lease would be tried again, under another reason."""
    campaign = spec()
    open_campaign(lab, campaign)
    lab.executor.tell[1] = _raise(PlanFailed("IOC gone", "device_disconnected"))  # type: ignore[attr-defined]

    def unreachable(*_: Any) -> None:
        raise LedgerUnavailable("no answer")

    lab.ledger.fail = unreachable  # type: ignore[method-assign]
    with pytest.raises(LeaseLost, match="'device_disconnected' could not be recorded"):
        execute_next(lab, campaign)


def test_people_are_told_of_a_log_that_lost_only_their_order(lab: Lab) -> None:
    open_campaign(lab, spec())
    go_back = _saved(lab)
    lab.ledger.order(ID, ev.Paused(by="me", reason="lunch"), ["running"])
    known = fold(lab.ledger.events(ID))
    go_back()
    assert _now(lab, ID, known, Proposer(lab, spec())).status is CampaignStatus.RUNNING
    (note,) = [one for one in lab.ledger.events(ID) if isinstance(one, ev.Noted)]
    assert "0 proposals were told again" in note.text
    assert "orders of the last seconds must be given again" in note.text


# A log that goes back


def _saved(lab: Lab) -> Callable[[], None]:
    """What makes the ledger what it is now again, as a server does that lost its last writes."""
    rig = MemoryRig(lab.clock)
    rig.ledger = lab.ledger  # type: ignore[assignment]
    saved = rig.save()
    return lambda: rig.load(saved)


def test_lost_trials_come_back_and_none_is_measured_again(lab: Lab) -> None:
    """Two of three results are lost with all that led to them; they are safe in the outbox."""
    campaign = spec(budget={"trials": 4}, optimizer={"method": "sobol", "lookahead": 0})
    open_campaign(lab, campaign)
    known = fold(lab.ledger.events(ID))
    for number in range(1, 4):
        if number == 2:
            go_back = _saved(lab)
        proposer = Proposer(lab, campaign)
        while not fold(lab.ledger.events(ID)).count(TrialState.QUEUED):
            proposer.step(known)
        assert execute(lab, ID, campaign)
        known = fold(lab.ledger.events(ID))
    go_back()
    state = _now(lab, ID, known, Proposer(lab, spec()))
    assert [trial.parameters for trial in state.trials.values()] == [
        trial.parameters for trial in known.trials.values()
    ]
    while execute(lab, ID, campaign):
        pass
    after = fold(lab.ledger.events(ID))
    assert after.counts() == known.counts()
    assert [one.run_uid for one in after.trials.values()] == [
        one.run_uid for one in known.trials.values()
    ]
    assert len(lab.executor.requests) == 3, "measured once each"  # type: ignore[attr-defined]
    told = [one.text for one in lab.ledger.events(ID) if isinstance(one, ev.Noted)]
    assert len(told) == 1
    assert "2 proposals were told again" in told[0]


def test_a_campaign_process_that_knows_nothing_finds_lost_trials_on_disk(lab: Lab) -> None:
    campaign = spec(budget={"trials": 3}, optimizer={"method": "sobol", "lookahead": 0})
    open_campaign(lab, campaign)
    go_back = _saved(lab)
    execute_next(lab, campaign, x=0.123)
    go_back()
    deciding = threading.Thread(target=decide, args=(lab, ID), daemon=True)
    deciding.start()
    while deciding.is_alive():
        if not execute(lab, ID, campaign):
            deciding.join(0.002)
    state = fold(lab.ledger.events(ID))
    assert (state.trials[1].parameters, state.trials[1].source) == ({"x": 0.123}, "person")
    assert state.count(TrialState.MEASURED) == 3
    assert len(lab.executor.requests) == 3, "measured once each"  # type: ignore[attr-defined]


def test_a_result_for_other_parameters_does_not_count(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    go_back = _saved(lab)
    execute_next(lab, campaign, x=0.1)
    go_back()
    execute_next(lab, campaign, x=0.2)
    assert len(lab.executor.requests) == 2  # type: ignore[attr-defined]


def test_after_a_roll_back_the_instrument_is_observed_before_it_is_used(lab: Lab) -> None:
    """It was driven under a fence of which the ledger knows nothing."""
    open_campaign(lab, spec())
    lab.gate.floor = 7  # type: ignore[attr-defined]
    _recover(lab)
    assert lab.executor.quieted == 1  # type: ignore[attr-defined]
    assert lab.ledger.instrument(INSTRUMENT.name).fence == 8


def test_a_worker_whose_log_went_back_is_replaced(lab: Lab) -> None:
    campaign = spec()
    open_campaign(lab, campaign)
    worker = Worker(lab)
    worker.begin()
    worker._wait()
    go_back = _saved(lab)
    execute_next(lab, campaign)
    worker._wait()
    go_back()
    worker.work()  # comes to an end


def test_a_result_whose_lease_ended_is_found_by_the_next_attempt(lab: Lab) -> None:
    """Nobody else has driven: the lease was lost in the ledger alone."""
    campaign = spec()
    open_campaign(lab, campaign)
    lost = lab.ledger.acquired

    def over(*_: Any) -> None:
        raise LeaseLost("expired")

    lab.ledger.acquired = over  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        execute_next(lab, campaign)
    lab.ledger.acquired = lost  # type: ignore[method-assign]
    assert not [one for one in lab.ledger.events(ID) if isinstance(one, ev.LateResult)]
    lab.ledger.expire(INSTRUMENT.name, dead=lab.worker)
    _recover(lab)
    trial = fold(lab.ledger.events(ID)).trials[1]
    assert (trial.state, len(lab.executor.requests)) == (TrialState.MEASURED, 1)  # type: ignore[attr-defined]


def test_a_realignment_is_a_trial_with_its_own_plan(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = spec(
        parameters={
            "x": {"device": "x", "range": [0, 1], "unit": "mm"},
            "seconds": {"arg": "exposure_s", "range": [1, 2]},
        },
        sentinel={
            "at": {"x": 0.5, "seconds": 1.5},
            "every": 1,
            "then": {"realign": {"name": "align"}},
        },
        budget={"trials": 7},
        reduce={"where": "external"},
    )
    requests: list[PlanRequest] = lab.executor.requests  # type: ignore[attr-defined]

    def reduce(campaign: CampaignSpec, documents: str) -> Reduction:
        assert campaign.plan.name == "align", "the others are reduced elsewhere"
        return Reduction({}, NO_DATA)

    def deliver() -> None:
        state = fold(lab.ledger.events(ID))
        is_aligned = any(one.source == REALIGNMENT for one in state.trials.values())
        for one in state.in_state(TrialState.ACQUIRED):
            y = Outcome(1.0 if is_aligned or one.trial_id < 3 else 9.0, 0.1)
            lab.ledger.settle(ID, ev.Measured(trial_id=one.trial_id, outcomes={"y": y}))

    monkeypatch.setattr(lab.reducer, "reduce", reduce)
    open_campaign(lab, campaign)
    deciding = threading.Thread(target=decide, args=(lab, ID), daemon=True)
    deciding.start()
    while deciding.is_alive():
        if not execute(lab, ID, campaign):
            deciding.join(0.002)
        deliver()
    state = fold(lab.ledger.events(ID))
    trials = state.trials.values()
    sources = ["sentinel", "initial", "sentinel", "realignment", "sentinel", "fallback", "sentinel"]
    assert [one.source for one in trials] == sources
    assert (state.status, state.trials[4].state) == (CampaignStatus.DONE, TrialState.INVALID)
    assert state.trials[4].reason == NO_DATA
    own, other = requests[3], requests[2]
    assert (own.campaign.plan.name, own.settings, own.arguments) == ("align", {"x": 0.5}, {})
    assert own.metadata["parameters"] == {"x": 0.5, "seconds": 1.5}
    assert own.metadata[REALIGNMENT_KEY] is True
    assert (other.campaign.plan.name, other.arguments) == ("count", {"exposure_s": 1.5})
    assert REALIGNMENT_KEY not in other.metadata


ALIGNED: dict[str, Any] = {
    "reduce": {"where": "external"},
    "sentinel": {"at": {"x": 0.5}, "every": 1, "then": {"realign": {"name": "align"}}},
}


def test_a_realignment_that_was_left_acquired_waits_for_no_reducer_elsewhere(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = spec(**ALIGNED)
    monkeypatch.setattr(lab.reducer, "reduce", lambda *_: Reduction({}, NO_DATA))
    open_campaign(lab, campaign)
    for number, source in ((1, "sentinel"), (2, REALIGNMENT)):
        lab.ledger.propose(
            ID,
            ev.Proposed(trial_id=number, parameters={"x": 0.5}, source=source, basis="0", seed=0),
        )
        assert execute_beside(lab, ID, campaign, lambda *_: None)
    settle_left_over(lab, lambda _, reduction: reduction())
    states = [one.state for one in fold(lab.ledger.events(ID)).trials.values()]
    assert states == [TrialState.ACQUIRED, TrialState.INVALID]


def test_a_sentinel_on_disk_is_not_taken_for_a_realignment_at_the_same_point() -> None:
    def proposed(source: str) -> ev.Proposed:
        return ev.Proposed(trial_id=2, parameters={"x": 0.5}, source=source, basis="0", seed=0)

    acquired = ev.Acquired(trial_id=2, attempt=1, run_uid="u", documents="d", sha256="s")
    kept = [Result(proposed("sentinel"), acquired, 1)]
    assert delivered(kept, proposed("sentinel")) is acquired
    assert delivered(kept, proposed("model")) is acquired
    assert delivered(kept, proposed(REALIGNMENT)) is None
