"""The auditor of the chaos runs: each defect is counted, under its own name and no other."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator.adapters.disk.outbox import FileOutbox
from orchestrator.adapters.documents.run_documents import DocumentWriter
from orchestrator.domain import events as ev
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Result
from plans.outcomes import outcomes
from tests.chaos import audit
from tests.unit.domain import builders

ID = "scan-1"
TRIALS = 3
SOUND = {"trials": TRIALS}


@outcomes(y="mm")
def reduce_scan(runs):
    return {"y": float(runs[0]["primary"]["det"].mean())}


@dataclass
class Record:
    """What a campaign leaves behind: its log, documents and outbox."""

    data_dir: Path
    log: list[ev.Event] = field(default_factory=list[ev.Event])

    def add(self, *happened: ev.Event) -> None:
        known = [(event.at, event) for event in self.log]
        self.log = builders.log(*known, *((float(len(known)), event) for event in happened))

    def counts(self) -> dict[str, int]:
        found = audit.of_campaign(self.data_dir, ID, self.log, TRIALS)
        return {name: count for name, count in found.items() if count}

    def documents(self, trial_id: int, attempt: int = 1, x: float | None = None) -> ev.Acquired:
        """A complete measurement of a trial, at its own setting unless another is given."""
        parameters = {"x": float(trial_id) if x is None else x}
        name = f"runs/{ID}/{trial_id:05d}-{attempt}.jsonl"
        uid = f"uid-{trial_id}-{attempt}"
        about = {"campaign_id": ID, "trial_id": trial_id, "parameters": parameters}
        keys = {"det": {"dtype": "number", "shape": []}}
        stream = {"uid": "d", "run_start": uid, "name": "primary", "data_keys": keys}
        event = {"descriptor": "d", "seq_num": 1, "time": 2.0, "data": {"det": 10.0 * trial_id}}
        writer = DocumentWriter(self.data_dir / name)
        writer.write("start", {"uid": uid, "time": 1.0, "detectors": ["det"], **about})
        writer.write("descriptor", stream)
        writer.write("event", event)
        writer.write("stop", {"uid": "s", "run_start": uid, "exit_status": "success"})
        return ev.Acquired(
            trial_id=trial_id,
            attempt=attempt,
            run_uid=uid,
            documents=name,
            sha256=writer.finish(),
        )

    def kept(self, acquired: ev.Acquired) -> ev.Acquired:
        """The same, in the outbox, too."""
        result = Result(builders.proposed(acquired.trial_id), acquired, fence=acquired.trial_id)
        FileOutbox(self.data_dir).put(ID, result)
        return acquired


def begun(trial_id: int) -> tuple[ev.Event, ...]:
    return builders.proposed(trial_id), builders.leased(trial_id), builders.started(trial_id)


def measured(trial_id: int, y: float | None = None) -> ev.Measured:
    value = Outcome(10.0 * trial_id if y is None else y, None, "mm")
    return ev.Measured(trial_id=trial_id, outcomes={"y": value})


@pytest.fixture
def record(tmp_path):
    """Trials 1 and 2 as they should be; trial 3 is up to the test."""
    record = Record(tmp_path)
    record.add(builders.opened(builders.campaign(reduce={"call": f"{__name__}.reduce_scan"})))
    for trial_id in (1, 2):
        acquired = record.kept(record.documents(trial_id))
        record.add(*begun(trial_id), acquired, measured(trial_id))
    return record


def test_nothing_is_wrong(record):
    record.add(*begun(3), record.kept(record.documents(3)), measured(3))
    assert record.counts() == SOUND


def test_lost_never_proposed(record):
    assert record.counts() == {"trials": 2, "lost": 1}


def test_lost_although_its_result_is_in_the_outbox(record):
    record.kept(record.documents(3))
    record.add(*begun(3), builders.failed(3, "abandoned"))
    assert record.counts() == {"trials": 3, "abandoned": 1, "lost": 1}


def test_lost_counts_once_when_log_and_outbox_say_so(record):
    record.kept(record.documents(3))  # the log that knew of it was cut back
    assert record.counts() == {"trials": 2, "lost": 1}


def test_abandoned_without_a_result_is_not_lost(record):
    record.add(*begun(3), builders.failed(3, "abandoned"))
    assert record.counts() == {"trials": 3, "abandoned": 1}


def test_unfinished(record):
    record.kept(record.documents(3))
    record.add(*begun(3))
    assert record.counts() == {"trials": 2, "unfinished": 1}


def test_duplicated_is_no_log_that_folds(record):
    record.add(*begun(3), record.documents(3), measured(3), measured(3))
    assert record.counts() == {"duplicated": 1, "unfinished": TRIALS}


@pytest.mark.parametrize("y", [29.0, 31.0])
def test_phantom_outcome_that_its_documents_do_not_give(record, y):
    record.add(*begun(3), record.documents(3), measured(3, y))
    assert record.counts() == {**SOUND, "phantom": 1}


def test_phantom_documents_of_other_parameters(record):
    record.add(*begun(3), record.documents(3, x=2.0), measured(3))
    assert record.counts() == {**SOUND, "phantom": 1}


def test_phantom_documents_of_another_trial(record):
    other = replace(record.documents(2, attempt=2), trial_id=3, attempt=1)
    record.add(*begun(3), other, measured(3, 20.0))
    found = record.counts()
    assert found.pop("measured_twice_counted_once") == 1  # trial 2 now has two
    assert found == {**SOUND, "phantom": 1}


def test_phantom_documents_changed_after_they_were_acquired(record):
    acquired = record.documents(3)
    path = record.data_dir / acquired.documents
    path.write_text(path.read_text().replace("30.0", "30.5"))
    record.add(*begun(3), acquired, measured(3, 30.5))
    assert record.counts() == {**SOUND, "phantom": 1}


def test_measured_twice_counted_once(record):
    record.documents(3)
    second = record.documents(3, attempt=2)
    record.add(*begun(3), builders.failed(3, "queued", crash=True))
    again = (builders.leased(3), builders.started(3, 2), second, measured(3))
    record.add(*again)
    assert record.counts() == {**SOUND, "measured_twice_counted_once": 1}


def test_documents_that_are_incomplete_are_no_measurement(record):
    first = record.data_dir / record.documents(3).documents
    first.write_bytes(first.read_bytes()[:-20])
    record.add(*begun(3), builders.failed(3, "queued", crash=True))
    record.add(builders.leased(3), builders.started(3, 2), record.documents(3, 2), measured(3))
    assert record.counts() == SOUND


# What the instrument's server has seen


def claim(fence, pid, *, accepted=True):
    return {"pv": audit.CLAIM, "value": f"{fence} {pid}", "fence": fence, "pid": pid} | {
        "accepted": accepted,
        "exempt": False,
    }


def move(fence, pid, *, accepted=True, exempt=False):
    return {"pv": "FC:TAU:SP", "value": 1.0, "fence": fence, "pid": pid} | {
        "accepted": accepted,
        "exempt": exempt,
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([claim(1, 10), move(1, 10), claim(2, 11), move(2, 11)], {}),
        ([claim(1, 10), claim(2, 11), move(1, 10)], {"double_driven": 1}),
        ([claim(1, 10), claim(2, 11), move(1, 10), move(1, 10)], {"double_driven": 2}),
        ([claim(1, 10), claim(2, 11), move(1, 10, accepted=False)], {"refused": 1}),
        ([claim(1, 10), claim(2, 11), move(1, 10, exempt=True)], {}),
        ([move(None, None)], {"double_driven": 1}),
        ([claim(2, 11), claim(1, 10, accepted=False), move(2, 11)], {"refused": 1}),
        ([claim(1, 10), claim(1, 11), move(1, 11)], {"tokens_shared": 1}),
        (
            [claim(1, 10), claim(1, 11), move(1, 10)],  # two processes under one fence
            {"tokens_shared": 1, "double_driven": 1},
        ),
        ([claim(1, 10), claim(1, 10), move(1, 10)], {}),  # a driver that has connected anew
    ],
)
def test_witness(tmp_path, lines, expected):
    file = tmp_path / "witness.jsonl"
    torn = b'{"pv": "FC:TAU:SP", "acc'  # the server was killed while it wrote
    whole = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    file.write_bytes(whole + torn)
    found = audit.of_witness(file)
    assert {name: count for name, count in found.items() if count} == expected


# The stored state


def stored(**changes):
    """What a server holds after the log below."""
    trials = {"1:state": "measured", "1:attempts": "1", "1:proposal": '{"parameters": {"x": 1.0}}'}
    trials |= {"2:state": "queued", "2:proposal": '{"parameters": {"x": 2.0}}'}
    whole = {"campaign": {"status": "running"}, "queue": ["2"], "trials": trials}
    return {**whole, **changes} | {"trials": trials | changes.get("trials", {})}


@pytest.mark.parametrize(
    ("raw", "right"),
    [
        (stored(), True),
        (stored(campaign={"status": "paused"}), False),
        (stored(campaign={}), False),
        (stored(queue=[]), False),
        (stored(queue=["2", "2"]), False),
        (stored(trials={"1:state": "acquired"}), False),
        (stored(trials={"1:attempts": "2"}), False),
        (stored(trials={"1:crashes": "1"}), False),
        (stored(trials={"2:proposal": '{"parameters": {"x": 2.5}}'}), False),
    ],
)
def test_fold_mismatch(raw, right):
    log = [builders.opened(), *builders.run(1, builders.measured(1, y=1.0)), builders.proposed(2)]
    assert audit.agree(builders.state_of(*log), raw) is right


def test_the_sound_record_is_sound_in_itself(record):
    """The defects above are in what a test adds, not in what it starts from."""
    state = fold(record.log)
    assert [str(trial.state) for trial in state.trials.values()] == ["measured", "measured"]
    for event in record.log:
        if isinstance(event, ev.Acquired):
            content = (record.data_dir / event.documents).read_bytes()
            assert hashlib.sha256(content).hexdigest() == event.sha256
