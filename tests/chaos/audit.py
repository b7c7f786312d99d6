"""What is left after the chaos, counted from the log, the files and the witness."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.adapters.reducer import DocumentReducer
from orchestrator.adapters.run_documents import read_runs
from orchestrator.domain import events as ev
from orchestrator.domain.errors import LabError
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import TERMINAL
from tests.chaos.lab import INSTRUMENTS, ChaosLab, stored

FINAL = (ev.Measured, ev.Invalidated)
CLAIM = "LABWRIGHT:CLAIM"


def counted(lab: ChaosLab, deaths: Sequence[tuple[str, str, float]]) -> Counter[str]:
    """Every count that the lab's records give, once all its campaigns are over or given up."""
    counts: Counter[str] = Counter()
    for campaign_id in lab.campaigns:
        log = lab.ledger.events(campaign_id)
        counts += _of_log(log, lab.terms.trials // 2)
        counts["phantom"] += phantoms(lab.data_dir, log)
        counts["measured_twice_counted_once"] += _twice(lab.data_dir, log)
    counts["double_driven"] = sum(double_driven(lab.witness(name)) for name in INSTRUMENTS)
    counts["late_results"] = sum(
        isinstance(event, ev.LateResult)
        for campaign_id in lab.campaigns
        for event in lab.ledger.events(campaign_id)
    )
    return counts


def _of_log(log: Sequence[ev.Event], expected: int) -> Counter[str]:
    state = fold(log)
    finals = Counter(event.trial_id for event in log if isinstance(event, FINAL))
    return Counter(
        trials=sum(trial.is_terminal for trial in state.trials.values()),
        lost=expected - len(state.trials),
        unfinished=sum(not trial.is_terminal for trial in state.trials.values()),
        abandoned=sum(str(trial.state) == "abandoned" for trial in state.trials.values()),
        duplicated=sum(times - 1 for times in finals.values()),
        salvaged=sum(isinstance(event, ev.Acquired) and event.salvaged for event in log),
    )


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


def _twice(data_dir: Path, log: Sequence[ev.Event]) -> int:
    """Trials whose measurement was complete more than once, and that count once all the same."""
    state = fold(log)
    whole: Counter[int] = Counter()
    for path in sorted((data_dir / "runs" / state.campaign_id).glob("*.jsonl")):
        try:
            read_runs(path)
        except LabError:
            continue
        whole[int(path.name.split("-")[0])] += 1
    finals = Counter(event.trial_id for event in log if isinstance(event, FINAL))
    return sum(times > 1 and finals[trial] == 1 for trial, times in whole.items())


def double_driven(witness: Path) -> int:
    """Moves that the instrument obeyed although a later fence had been claimed, or with none."""
    highest, driver, found = 0, None, 0
    for line in _lines(witness):
        if not line["accepted"] or line["exempt"]:
            continue
        if line["pv"] == CLAIM:
            highest = max(highest, int(line["value"].split()[0]))
            driver = line["pid"]
        elif line["fence"] is None or line["fence"] < highest or line["pid"] != driver:
            found += 1
    return found


def refused(witness: Path) -> int:
    """Moves and claims that the instrument refused."""
    return sum(not line["accepted"] for line in _lines(witness))


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
    return sum(not _agrees(*stored(lab, campaign_id)) for campaign_id in lab.campaigns)


def _agrees(state: CampaignState, raw: dict[str, Any]) -> bool:
    if raw["campaign"].get("status") != str(state.status):
        return False
    queued = {str(one.trial_id) for one in state.trials.values() if str(one.state) == "queued"}
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
    return state.is_over and all(trial.state in TERMINAL for trial in state.trials.values())
