"""Finished labs are not run again; anything else is."""

import json

import pytest

from tests.chaos import results
from tests.chaos.lab import Terms
from tests.chaos.results import Results

TERMS = Terms("flock", 10, 3)


class Lab:
    def __init__(self, *, fails=False):
        self.runs, self.fails = 0, fails

    def __call__(self):
        self.runs += 1
        if self.fails:
            raise KeyboardInterrupt
        return {"trials": self.runs}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "results.jsonl"


def test_a_finished_lab_is_not_run_again(file):
    lab = Lab()
    assert [Results(file).known_or(TERMS, lab) for _ in range(2)] == [{"trials": 1}] * 2


def test_an_interrupted_lab_is_run_again(file):
    with pytest.raises(KeyboardInterrupt):
        Results(file).known_or(TERMS, Lab(fails=True))
    assert Results(file).known_or(TERMS, Lab()) == {"trials": 1}


@pytest.mark.parametrize(
    "other",
    [
        Terms("fence_pv", 10, 3),
        Terms("flock", 20, 3),
        Terms("flock", 10, 4),
        Terms("flock", 10, 3, "everysec"),
    ],
)
def test_other_terms_are_another_lab(file, other):
    lab = Lab()
    Results(file).known_or(TERMS, lab)
    assert Results(file).known_or(other, lab) == {"trials": 2}


def test_changed_code_is_another_lab(file, monkeypatch):
    lab = Lab()
    Results(file).known_or(TERMS, lab)
    monkeypatch.setattr(results, "code_digest", lambda: "other rates")
    assert Results(file).known_or(TERMS, lab) == {"trials": 2}


def test_the_code_includes_the_harness_and_the_script(tmp_path, monkeypatch):
    for name in ("orchestrator/ledger.lua", "tests/chaos/blows.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("1")
    monkeypatch.setattr(results, "HOME", tmp_path)
    digests = set()
    for name in (None, "orchestrator/ledger.lua", "tests/chaos/blows.py"):
        if name is not None:
            (tmp_path / name).write_text("2")
        digests.add(results.code_digest.__wrapped__())
    assert len(digests) == 3


def test_a_torn_last_line_is_passed_over(file):
    lab = Lab()
    Results(file).known_or(TERMS, lab)
    with file.open("a") as torn:
        torn.write('{"key": {"gate": "fl\n')
    assert Results(file).known_or(TERMS, lab) == {"trials": 1}
    assert json.loads(file.read_text().splitlines()[0])["found"] == {"trials": 1}


def test_without_a_file_nothing_is_remembered():
    lab = Lab()
    assert [Results(None).known_or(TERMS, lab)["trials"] for _ in range(2)] == [1, 2]
