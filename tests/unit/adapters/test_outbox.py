import hashlib
import json

import pytest

from orchestrator.adapters.outbox import FileOutbox
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import Acquired

CONTENT = b'["start", {}]\n'


@pytest.fixture
def acquired(tmp_path):
    path = tmp_path / "runs/c-1/7-2.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return Acquired(
        trial_id=7,
        attempt=2,
        run_uid="u",
        documents="runs/c-1/7-2.jsonl",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


@pytest.fixture
def outbox(tmp_path):
    return FileOutbox(tmp_path)


@pytest.fixture
def stored(outbox, acquired, tmp_path):
    outbox.put("c-1", acquired)
    return tmp_path / "outbox/c-1/7-2.json"


def test_what_was_put_is_found_by_another_process(stored, acquired, tmp_path):
    assert FileOutbox(tmp_path).find("c-1", 7, 2) == acquired
    assert [path.name for path in stored.parent.iterdir()] == ["7-2.json"]


def test_nothing_was_put(outbox, stored):
    assert outbox.find("c-1", 7, 1) is None
    assert outbox.find("c-2", 7, 2) is None


def test_put_again_changes_nothing(outbox, stored, acquired):
    outbox.put("c-1", acquired)
    assert outbox.find("c-1", 7, 2) == acquired


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"acquired": 1, "sha256": 2}'])
def test_damaged_entry_is_set_aside(outbox, stored, content, caplog):
    stored.write_text(content)
    assert outbox.find("c-1", 7, 2) is None
    assert stored.with_name("7-2.json.quarantined").read_text() == content
    assert "7-2.json.quarantined" in caplog.text
    assert outbox.find("c-1", 7, 2) is None


def test_changed_entry_is_set_aside(outbox, stored):
    entry = json.loads(stored.read_text())
    entry["acquired"] = entry["acquired"].replace('"u"', '"v"')
    stored.write_text(json.dumps(entry))
    assert outbox.find("c-1", 7, 2) is None


def test_entry_under_another_name_does_not_count(outbox, stored):
    stored.rename(stored.with_name("7-3.json"))
    assert outbox.find("c-1", 7, 3) is None


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("x")])
def test_documents_missing_or_changed_do_not_count(outbox, stored, tmp_path, change):
    change(tmp_path / "runs/c-1/7-2.jsonl")
    assert outbox.find("c-1", 7, 2) is None


@pytest.mark.parametrize("campaign_id", ["", "..", "a/b"])
def test_campaign_id_cannot_leave_the_outbox(outbox, acquired, campaign_id):
    with pytest.raises(LedgerError):
        outbox.put(campaign_id, acquired)
