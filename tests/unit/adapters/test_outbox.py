import hashlib
import json
from dataclasses import replace

import pytest

from orchestrator.adapters.disk.outbox import FileOutbox
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import Acquired, Proposed
from orchestrator.ports import Result

CONTENT = b'["start", {}]\n'


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "runs/c-1/7-2-5.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    acquired = Acquired(
        trial_id=7,
        attempt=2,
        run_uid="u",
        documents="runs/c-1/7-2-5.jsonl",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    proposal = Proposed(
        trial_id=7, parameters={"x": 1 / 3, "n": 2}, source="model", basis="1-0", seed=3
    )
    return Result(proposal, acquired, 5)


@pytest.fixture
def outbox(tmp_path):
    return FileOutbox(tmp_path)


@pytest.fixture
def stored(outbox, result, tmp_path):
    outbox.put("c-1", result)
    return tmp_path / "outbox/c-1/0/7-5.json"


def test_what_was_put_is_found_by_another_process(stored, result, tmp_path):
    assert FileOutbox(tmp_path).results("c-1", 7) == [result]
    assert [path.name for path in stored.parent.iterdir()] == ["7-5.json"]


def test_nothing_was_put(outbox, stored):
    assert outbox.results("c-1", 77) == []
    assert outbox.results("c-1", 5) == []
    assert outbox.results("c-2", 7) == []


def test_a_look_at_a_trial_reads_few_names(outbox, result, tmp_path):
    """A long campaign has thousands of results, and each proposal and each lease looks."""
    for trial_id in (1, 99, 100, 250):
        acquired = replace(result.acquired, trial_id=trial_id)
        proposal = replace(result.proposal, trial_id=trial_id)
        outbox.put("c-1", Result(proposal, acquired, 5))
        assert [one.acquired.trial_id for one in outbox.results("c-1", trial_id)] == [trial_id]
    folders = {one.name: len(list(one.iterdir())) for one in (tmp_path / "outbox/c-1").iterdir()}
    assert folders == {"0": 2, "1": 1, "2": 1}


def test_put_again_changes_nothing(outbox, stored, result):
    outbox.put("c-1", result)
    assert outbox.results("c-1", 7) == [result]


def test_results_come_in_the_order_of_their_fences(outbox, stored, result):
    outbox.put("c-1", replace(result, fence=12))
    assert [one.fence for one in outbox.results("c-1", 7)] == [5, 12]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"result": 1, "sha256": 2}'])
def test_damaged_entry_is_set_aside(outbox, stored, content, caplog):
    stored.write_text(content)
    assert outbox.results("c-1", 7) == []
    assert stored.with_name("7-5.json.quarantined").read_text() == content
    assert "7-5.json.quarantined" in caplog.text
    assert outbox.results("c-1", 7) == []


def test_changed_entry_is_set_aside(outbox, stored):
    entry = json.loads(stored.read_text())
    entry["result"] = entry["result"].replace('"u"', '"v"')
    stored.write_text(json.dumps(entry))
    assert outbox.results("c-1", 7) == []


@pytest.mark.parametrize("name", ["7-6.json", "8-5.json"])
def test_entry_under_another_name_does_not_count(outbox, stored, name):
    stored.rename(stored.with_name(name))
    assert outbox.results("c-1", 7) == outbox.results("c-1", 8) == []


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("x")])
def test_documents_missing_or_changed_do_not_count(outbox, stored, tmp_path, change):
    change(tmp_path / "runs/c-1/7-2-5.jsonl")
    assert outbox.results("c-1", 7) == []


@pytest.mark.parametrize("campaign_id", ["", "..", "a/b"])
def test_campaign_id_cannot_leave_the_outbox(outbox, result, campaign_id):
    with pytest.raises(LedgerError):
        outbox.put(campaign_id, result)
