import json
import math

import numpy as np
import pytest

from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.domain.errors import ReductionError
from orchestrator.domain.realignment import NO_DATA, REALIGNMENT_KEY
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Reduction
from plans.outcomes import outcomes
from tests.unit.adapters.test_run_documents import DESCRIPTOR, START, STOP, event, written

HERE = "tests.unit.adapters.test_reducer"
GIVEN = {}


@outcomes(depth="mm", width="um")
def declared(runs):
    return GIVEN["answer"](runs)


def undeclared(runs):
    return GIVEN["answer"](runs)


@pytest.fixture
def reduce(tmp_path):
    start = ("start", {**START[1], "detectors": ["camera"]})
    keys = {
        "det": {"dtype": "number", "shape": []},
        "camera_sum": {"dtype": "number", "shape": []},
        "label": {"dtype": "string", "shape": []},
    }
    descriptor = ("descriptor", {**DESCRIPTOR[1], "data_keys": keys})
    events = event(det=1.0, camera_sum=10.0), event(2, det=2.0, camera_sum=30.0)
    written(tmp_path / "1.jsonl", start, descriptor, *events, STOP)

    def call(answer, reducer="declared", **changes):
        GIVEN["answer"] = answer if callable(answer) else lambda runs: answer
        spec = {
            "name": "c",
            "instrument": "i",
            "plan": {"name": "steady_state_sample"},
            "reduce": {"call": f"{HERE}.{reducer}"},
            "parameters": {"x": {"device": "x", "range": [0, 1]}},
            "objectives": {"depth": {"goal": "maximize"}},
            "budget": {"trials": 1},
            **changes,
        }
        campaign = CampaignSpec.model_validate_json(json.dumps(spec))
        return DocumentReducer(tmp_path).reduce(campaign, "1.jsonl")

    return call


GOOD = {"depth": 1.0, "width": 2.0}


def test_every_form_of_an_outcome(reduce):
    given = {"depth": 1, "width": (np.float64(2), np.float32(0.5)), "more": (3.0, None, "kg")}
    assert reduce(given).outcomes == {
        "depth": Outcome(1.0, None, "mm"),
        "width": Outcome(2.0, 0.5, "um"),
        "more": Outcome(3.0, None, "kg"),
    }


def test_reducer_sees_the_runs(reduce):
    result = reduce(lambda runs: {**GOOD, "depth": float(runs[0]["primary"]["det"].sum())})
    assert result.outcomes["depth"].mean == 3.0
    assert result.invalid is None


def test_reducer_without_declaration(reduce):
    assert reduce({"depth": 1.0}, "undeclared").outcomes == {"depth": Outcome(1.0, None, "")}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "outcome 'depth' is nan, not finite"),
        (math.inf, "not finite"),
        (None, "no number"),
        (True, "no number"),
        (np.bool_(True), "no number"),
        ("1", "no number"),
        (1j, "no number"),
        ([1.0], "no number"),
        ((), "not a value"),
        ((1.0, 0.1, "mm", 3), "not a value"),
        ((1.0, -0.1), "below 0"),
        ((1.0, math.nan), "standard error of 'depth' is nan"),
        ((1.0, 0.1, "um"), "is in 'um', but declared in 'mm'"),
    ],
)
def test_what_is_no_outcome_is_refused_by_name(reduce, value, message):
    with pytest.raises(ReductionError, match=message):
        reduce({**GOOD, "depth": value})


def test_missing_outcome_is_named(reduce):
    with pytest.raises(ReductionError, match="'depth' is missing; did you mean 'depht'"):
        reduce({"depht": 1.0}, "undeclared")
    with pytest.raises(ReductionError, match="'width' is missing"):
        reduce({"depth": 1.0})


@pytest.mark.parametrize("answer", [None, 3.0, [("depth", 1.0)]])
def test_answer_of_another_kind_is_refused(reduce, answer):
    with pytest.raises(ReductionError, match="not a mapping"):
        reduce(answer)


def test_reducer_that_raises_is_named_with_its_error(reduce):
    with pytest.raises(ReductionError, match="declared raised NoSuchStream: .*no stream"):
        reduce(lambda runs: runs[0]["nothing"])


def test_missing_reducer(reduce):
    with pytest.raises(ReductionError, match="has no 'absent'"):
        reduce(GOOD, "absent")


@pytest.mark.parametrize(
    ("rules", "invalid"),
    [
        ([], None),
        (["depth >= 1"], None),
        (["depth >= 1", "depth >= 1.5"], "depth >= 1.5 (1)"),
        (["det <= 1.4"], "det <= 1.4 (1.5)"),  # mean of a full data key
        (["sum >= 20"], None),  # mean of <detector>_sum
        (["sum - depth >= 20"], "sum - depth >= 20 (19)"),
    ],
)
def test_validity_rules(reduce, rules, invalid):
    result = reduce(GOOD, valid=rules)
    assert result.invalid == invalid
    assert result.outcomes["depth"].mean == 1.0


@pytest.mark.parametrize("rule", ["nothing >= 1", "label >= 1"])
def test_rule_on_what_is_no_number_is_an_error(reduce, rule):
    with pytest.raises(ReductionError, match="in the validity rules"):
        reduce(GOOD, valid=[rule])


def test_reading_that_is_nan_breaks_its_rule(reduce, tmp_path):
    lines = (tmp_path / "1.jsonl").read_text().replace('"det":2.0', '"det":"NaN"')
    (tmp_path / "1.jsonl").write_text(lines)
    assert reduce(GOOD, valid=["det <= 100"]).invalid == "det <= 100 (nan)"


def test_truncated_documents_give_no_outcomes(reduce, tmp_path):
    content = (tmp_path / "1.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "1.jsonl").write_text("".join(content[:-1]))
    with pytest.raises(ReductionError, match="no evidence"):
        reduce(GOOD)


def test_a_reducer_that_changes_its_tables_does_not_change_the_verdict(reduce):
    """A rule on a stream is about what was measured."""

    def subtract_background(runs):
        runs[0]["primary"]["det"] -= 1.0
        return {**GOOD, "depth": float(runs[0]["primary"]["det"].sum())}

    for _ in range(2):
        result = reduce(subtract_background, valid=["det >= 1.5"])
        assert (result.outcomes["depth"].mean, result.invalid) == (1.0, None)


def test_outcomes_are_plain_numbers_and_text(reduce):
    """They go into the ledger, and may come from another process."""
    result = reduce({np.str_("depth"): (np.float64(1), np.float32(2), np.str_("mm")), "width": 1})
    outcome = result.outcomes["depth"]
    assert [type(one) for one in (outcome.mean, outcome.sem, outcome.unit)] == [float, float, str]
    assert {type(name) for name in result.outcomes} == {str}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**GOOD, 3: 1.0}, "3 is no name"),
        ({**GOOD, "more": (1.0, None, 5)}, "'more' is 5, no text"),
    ],
)
def test_names_and_units_are_text(reduce, given, message):
    with pytest.raises(ReductionError, match=message):
        reduce(given)


def test_same_documents_give_the_same_outcomes(reduce):
    assert reduce(GOOD) == reduce(GOOD)


def test_a_realignment_is_no_data_whatever_it_measured(reduce, tmp_path):
    (tmp_path / "1.jsonl").unlink()
    written(
        tmp_path / "1.jsonl",
        ("start", {**START[1], REALIGNMENT_KEY: True}),
        DESCRIPTOR,
        event(),
        STOP,
    )
    assert reduce(GOOD, valid=["depth >= 100"]) == Reduction({}, NO_DATA)
