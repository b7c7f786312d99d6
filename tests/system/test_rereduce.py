"""All outcomes corrected from the documents by another reducer; nothing is measured again."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.system.branin_lab import ID, environment_of
from tests.system.lab import answer, events, labwright, live_state, results, start, wait_for

pytestmark = pytest.mark.system


class Lab:
    """A copy of the finished campaign."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.where = ("--data-dir", str(data_dir))
        self.more = environment_of(folder)

    def rereduce(self, reducer: str, *options: str, code: int = 0) -> dict[str, Any]:
        order = ("rereduce", ID, "--with", reducer, *self.where, *options)
        return answer(*order, code=code, **self.more)

    def verify(self) -> dict[str, Any]:
        return answer("verify", *self.where, **self.more)

    def outcomes(self) -> list[float]:
        return [float(row["branin"]) for row in results(self.data_dir, ID)]

    def told(self) -> list[str]:
        return [event["type"] for event in events(self.data_dir, ID)]


@pytest.fixture
def lab(branin_lab: Path, tmp_path: Path) -> Lab:
    data_dir = tmp_path / "data"
    shutil.copytree(branin_lab / "data", data_dir)
    return Lab(branin_lab, data_dir)


@pytest.mark.slow
def test_corrected_outcomes_count_and_are_verified(lab: Lab) -> None:
    before, rows = lab.outcomes(), results(lab.data_dir, ID)
    invalid = [int(row["trial_id"]) for row in rows if row["state"] == "invalid"]
    done = lab.rereduce("lab_reducers.logarithmic", "--reason", "a scale of its own")
    assert done["corrected"] == 6

    is_invalid = [number in invalid for number in range(1, 8)]
    expected = [
        one if bad else math.log1p(one) for one, bad in zip(before, is_invalid, strict=True)
    ]
    assert lab.outcomes() == expected
    assert [row["state"] for row in results(lab.data_dir, ID)] == [row["state"] for row in rows]
    turned = [one for one in done["trials"] if (one["broke"] is None) != (one["breaks"] is None)]
    assert [one["trial_id"] for one in turned] == invalid, "it would be valid now, and stays so"
    assert done["proposals"] == 2
    first, *_ = done["different"]
    assert first["trial_id"] == 6
    assert first["was"] != first["would_be"]
    assert first["was_measured"]

    found = lab.verify()
    assert (found["verified"], found["counts"]["outcomes"]) == ("bitwise", {"bitwise": 13})
    why = answer("why", "2", "--campaign", ID, *lab.where)["history"]
    assert why[-1]["event"] == "corrected"
    assert why[-1]["reducer"] == "lab_reducers.logarithmic"
    assert why[-1]["reason"] == "a scale of its own"

    again = lab.rereduce(
        "lab_reducers.logarithmic", "--reason", "a scale of its own", "--no-proposals"
    )
    assert (again["corrected"], again["proposals"]) == (0, None)
    assert lab.told().count("corrected") == 6
    assert lab.rereduce("lab_reducers.branin", "--no-proposals")["corrected"] == 6
    assert lab.outcomes() == before, "the newest counts"


@pytest.mark.parametrize(
    ("reducer", "message"),
    [
        ("lab_reducers.picky", "nothing is corrected: trial 3: picky raised ValueError: no peak"),
        ("lab_reducers.brannin", "did you mean 'branin'"),
        ("branin", "must be a dotted name"),
        ("nowhere.at_all", "there is no module 'nowhere'"),
    ],
)
def test_all_trials_are_corrected_or_none(lab: Lab, reducer: str, message: str) -> None:
    assert message in lab.rereduce(reducer, code=2)["error"]
    assert "corrected" not in lab.told()


def test_documents_that_have_changed_correct_nothing(lab: Lab) -> None:
    (document,) = (lab.data_dir / "runs" / ID).glob("00002-*")
    document.write_text(document.read_text() + "\n")
    error = lab.rereduce("lab_reducers.logarithmic", code=2)["error"]
    assert "has changed since trial 2 was measured: nothing is corrected" in error
    document.unlink()
    error = lab.rereduce("lab_reducers.logarithmic", code=2)["error"]
    assert "the documents of trial 2 are not in" in error


def test_a_campaign_is_corrected_while_it_is_paused_and_not_while_it_runs(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    start("run", "soft", "--trials", "200", *where)
    wait_for(lambda: live_state(data_dir).count("measured") > 2, "some trials are measured")
    order = ("rereduce", "--with", "simulators.soft.reduce.reduce_branin", "--no-proposals")
    refused = labwright(*order, *where, code=2)
    assert "labwright pause" in refused.stderr
    labwright("pause", *where)
    wait_for(lambda: not live_state(data_dir).count("running", "acquired"), "nothing runs any more")
    assert answer(*order, *where)["corrected"] > 2
    labwright("finish", *where)
