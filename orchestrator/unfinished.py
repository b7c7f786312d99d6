"""What a person does about trials whose data are safe and that do not count: reduce, or decide."""

import contextlib
from functools import partial

from orchestrator import service
from orchestrator.adapters.disk.outbox import FileOutbox
from orchestrator.adapters.documents.recorder import evidence_in
from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.adapters.reduction.reducer import delivered
from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.campaign import documents_of, reduce_trial
from orchestrator.domain import events as ev
from orchestrator.domain.errors import ReductionError, Unusable
from orchestrator.domain.realignment import spec_for
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.external import deliver
from orchestrator.external import waiting as waiting_for_outcome
from orchestrator.follow import counted, proposal_of
from orchestrator.ports import Ledger, Result
from orchestrator.settings import Settings


def reduce_again(
    settings: Settings, ledger: Ledger, campaign_id: str, trial_id: int | None
) -> list[Trial]:
    """Reduce one trial whose data are safe, or all (None); gives them as they are then.

    Raises:
        Unusable: the trial waits for no reduction, or its documents are not on this machine.
    """
    state = fold(ledger.events(campaign_id))
    waiting = state.in_state(TrialState.UNREDUCED, TrialState.ACQUIRED)
    if trial_id is not None:
        service.known_trial(state, trial_id)
        waiting = [one for one in waiting if one.trial_id == trial_id]
        if not waiting:
            raise Unusable(f"trial {trial_id} of {campaign_id!r} has nothing to reduce")
    spec, outbox = CampaignSpec.from_data(state.spec), FileOutbox(settings.data_dir)
    elsewhere = [one for one in waiting if spec_for(spec, one.source).reduce.where == "external"]
    if elsewhere:
        raise Unusable(
            f"trial {elsewhere[0].trial_id} of {campaign_id!r} is reduced elsewhere; what comes "
            f"out is delivered by: labwright outcome {elsewhere[0].trial_id}"
        )
    with contextlib.closing(ReducerProcess(settings.data_dir)) as reducer:
        for trial in waiting:
            found = counted(outbox.results(campaign_id, trial.trial_id), trial)
            if found is None:
                raise Unusable(
                    f"the documents of trial {trial.trial_id} are not in {settings.data_dir}"
                )
            documents = found.acquired.documents
            own = spec_for(spec, trial.source)
            reduce_trial(ledger, reducer, campaign_id, own, trial.trial_id, documents)
    after = fold(ledger.events(campaign_id, state.last_id), state)
    return [after.trials[one.trial_id] for one in waiting]


def take_outcome(
    settings: Settings, ledger: Ledger, campaign_id: str, trial_id: int, given: object, *, by: str
) -> Trial:
    """Take what an external reducer made of a trial; gives the trial as it is then.

    Raises:
        Unusable: the trial waits for no outcome, or it cannot be used.
    """
    state = fold(ledger.events(campaign_id))
    trial = waiting_for_outcome(state, trial_id)
    spec, path = CampaignSpec.from_data(state.spec), settings.data_dir / (trial.documents or "")
    try:
        reduction = delivered(spec, given, partial(read_runs, path))
    except (OSError, ReductionError) as error:
        raise Unusable(f"nothing is recorded for trial {trial_id}: {error}") from error
    return deliver(ledger, campaign_id, trial_id, reduction, by=by)


def count_as_measured(
    settings: Settings,
    ledger: Ledger,
    campaign_id: str,
    trial_id: int,
    *,
    by: str,
    reason: str,
) -> str:
    """Count the documents of a suspect trial, when a person says that they are good.

    Raises:
        Unusable: the trial is not suspect, or its documents are not complete.
    """
    state = fold(ledger.events(campaign_id))
    trial = service.known_trial(state, trial_id)
    if trial.state is not TrialState.SUSPECT or trial.fence is None:
        raise service.not_suspect(campaign_id, trial_id)
    documents = documents_of(campaign_id, trial_id, trial.attempts, trial.fence)
    try:
        evidence = evidence_in(settings.data_dir, documents)
    except ReductionError as error:
        raise Unusable(
            f"trial {trial_id} cannot count as measured: {error}; --as retry or --as abandon"
        ) from error
    acquired = ev.Acquired(
        trial_id=trial_id,
        attempt=trial.attempts,
        run_uid=evidence.run_uid,
        documents=documents,
        sha256=evidence.sha256,
        salvaged=True,
    )
    FileOutbox(settings.data_dir).put(
        campaign_id, Result(proposal_of(trial), acquired, trial.fence)
    )
    if not ledger.resolve(campaign_id, acquired):
        raise service.not_suspect(campaign_id, trial_id)
    text = f"{by} counts the documents of trial {trial_id}: {reason}"
    note = ev.Noted(by=by, text=text, key=f"trial {trial_id} counted")
    ledger.remark(campaign_id, note)
    spec = spec_for(CampaignSpec.from_data(state.spec), trial.source)
    if spec.reduce.where != "external":
        with contextlib.closing(ReducerProcess(settings.data_dir)) as reducer:
            reduce_trial(ledger, reducer, campaign_id, spec, trial_id, documents)
    service.go_on(ledger, campaign_id, by=by, reason=reason)
    return f"trial {trial_id} is {fold(ledger.events(campaign_id)).trials[trial_id].state}"
