"""What is left after the chaos, counted from the log, the files and the witness."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.domain import events as ev
from orchestrator.domain.errors import LabError
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Trial, TrialState
from tests.chaos.lab import INSTRUMENTS, ChaosLab, stored

FINAL = (ev.Measured, ev.Invalidated)
CLAIM = "LABWRIGHT:CLAIM"
REMARK = "Noted"
"""Class of the event that tells people of a log that was cut back."""


def counted(lab: ChaosLab) -> Counter[str]:
    """Every count that the lab's records give, once all its campaigns are over or given up."""
    counts: Counter[str] = Counter()
    for campaign_id in lab.campaigns:
        expected = lab.terms.trials // 2
        log = lab.ledger.events(campaign_id)
        counts += of_campaign(lab.data_dir, campaign_id, log, expected)
    counts["fold_mismatches"] += fold_mismatches(lab)
    for instrument in INSTRUMENTS:
        counts += of_witness(lab.witness(instrument))
    return counts


def of_campaign(
    data_dir: Path, campaign_id: str, log: Sequence[ev.Event], expected: int
) -> Counter[str]:
    """What one campaign's log and files give, of which ``expected`` trials were wanted.

    Only the log that is there counts: what a power cut took from it has not happened. A log that
    is none (its fold fails) has nothing finished; that it does not fold is for ``fold_mismatches``.
    """
    finals = Counter(event.trial_id for event in log if isinstance(event, FINAL))
    counts = Counter(
        duplicated=sum(times - 1 for times in finals.values()),
        salvaged=sum(isinstance(event, ev.Acquired) and event.salvaged for event in log),
        late_results=sum(isinstance(event, ev.LateResult) for event in log),
        told=sum(type(event).__name__ == REMARK for event in log),
    )
    try:
        state = fold(log)
    except LabError:
        return counts + Counter(unfinished=expected)
    trials = state.trials
    kept = _kept(data_dir, campaign_id)
    forgotten = {number for number in kept - set(finals) if _is_closed(trials.get(number))}
    return counts + Counter(
        trials=sum(trial.is_terminal for trial in trials.values()),
        lost=len(forgotten | (set(range(1, expected + 1)) - set(trials))),
        unfinished=sum(not trial.is_terminal for trial in trials.values()),
        abandoned=sum(trial.state is TrialState.ABANDONED for trial in trials.values()),
        phantom=phantoms(data_dir, log),
        measured_twice_counted_once=_twice(data_dir, campaign_id, finals),
    )


def _kept(data_dir: Path, campaign_id: str) -> set[int]:
    """Trials with a result in the outbox."""
    entries = (data_dir / "outbox" / campaign_id).glob("*/*.json")
    return {int(entry.name.split("-")[0]) for entry in entries}


def _is_closed(trial: Trial | None) -> bool:
    """True when no attempt of it can follow, or the log does not know it."""
    return trial is None or trial.is_terminal


def phantoms(data_dir: Path, log: Sequence[ev.Event]) -> int:
    """Trials whose outcome is not what their own documents, for their own parameters, give."""
    state = fold(log)
    spec = CampaignSpec.from_data(state.spec)
    reducer = DocumentReducer(data_dir)
    acquired = {event.trial_id: event for event in log if isinstance(event, ev.Acquired)}
    found = 0
    for event in log:
        if isinstance(event, FINAL):
            trial = state.trials[event.trial_id]
            try:
                evidence = acquired[event.trial_id]
                path = data_dir / evidence.documents
                right = (
                    hashlib.sha256(path.read_bytes()).hexdigest() == evidence.sha256
                    and reducer.reduce(spec, evidence.documents).outcomes == event.outcomes
                    and all(
                        run.start["parameters"] == dict(trial.parameters)
                        and run.start["trial_id"] == trial.trial_id
                        and run.start["campaign_id"] == state.campaign_id
                        for run in read_runs(path)
                    )
                )
            except (KeyError, OSError, LabError):
                right = False
            found += not right
    return found


def _twice(data_dir: Path, campaign_id: str, finals: Mapping[int, int]) -> int:
    """Trials whose measurement was complete more than once, and that count once all the same."""
    whole: Counter[int] = Counter()
    for path in sorted((data_dir / "runs" / campaign_id).glob("*.jsonl")):
        try:
            read_runs(path)
        except LabError:
            continue
        whole[int(path.name.split("-")[0])] += 1
    return sum(times > 1 and finals.get(trial) == 1 for trial, times in whole.items())


def of_witness(witness: Path) -> Counter[str]:
    """What an instrument's server has seen.

    ``double_driven``: moves that it obeyed although a later fence had been claimed, or with none.
    ``tokens_shared``: fences that it was claimed with by more than one process.
    ``refused``: moves and claims that it refused.
    """
    highest, driver = 0, None
    claimants: defaultdict[int, set[int]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for line in _lines(witness):
        if not line["accepted"]:
            counts["refused"] += 1
        elif line["pv"] == CLAIM:
            fence, driver = int(line["value"].split()[0]), line["pid"]
            highest = max(highest, fence)
            claimants[fence].add(driver)
        elif not line["exempt"]:
            stale = line["fence"] is None or line["fence"] < highest or line["pid"] != driver
            counts["double_driven"] += stale
    counts["tokens_shared"] = sum(len(pids) > 1 for pids in claimants.values())
    return counts


def _lines(witness: Path) -> Iterator[dict[str, Any]]:
    if not witness.exists():
        return
    for line in witness.read_bytes().split(b"\n"):
        if line.endswith(b"}"):  # the server may have been killed in the middle of the last
            yield json.loads(line)


def fold_mismatches(lab: ChaosLab) -> int:
    """Campaigns whose stored state is not the fold of their log.

    Raises:
        redis.RedisError: the server is away.
    """
    return sum(not _agrees(lab, campaign_id) for campaign_id in lab.campaigns)


def _agrees(lab: ChaosLab, campaign_id: str) -> bool:
    try:
        return agree(*stored(lab, campaign_id))
    except LabError:  # no ledger can have written this log
        return False


def agree(state: CampaignState, raw: Mapping[str, Any]) -> bool:
    """True when the fold of a log is what the server holds: campaign, queue and trials."""
    if raw["campaign"].get("status") != str(state.status):
        return False
    queued = {str(trial.trial_id) for trial in state.in_state(TrialState.QUEUED)}
    if sorted(raw["queue"]) != sorted(queued):
        return False
    return all(
        raw["trials"].get(f"{number}:state") == str(trial.state)
        and int(raw["trials"].get(f"{number}:attempts", 0)) == trial.attempts
        and int(raw["trials"].get(f"{number}:crashes", 0)) == trial.crashes
        and json.loads(raw["trials"][f"{number}:proposal"])["parameters"] == dict(trial.parameters)
        for number, trial in state.trials.items()
    )


def recoveries(lab: ChaosLab, deaths: Sequence[tuple[str, str, float]]) -> list[float]:
    """Seconds from the death of each worker that held its instrument to the next lease."""
    seconds = []
    for instrument, worker, at in deaths:
        leases = (
            event.at
            for event in lab.ledger.events(instrument)
            if isinstance(event, ev.Leased) and event.at > at and event.worker != worker
        )
        first = next(leases, None)
        if first is not None:
            seconds.append(first - at)
    return seconds


def is_over(state: CampaignState) -> bool:
    """True when every trial has come to its end."""
    return state.is_over and all(trial.is_terminal for trial in state.trials.values())
