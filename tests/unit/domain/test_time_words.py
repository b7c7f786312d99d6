import pytest

from orchestrator.domain.accounting import PARTS
from orchestrator.domain.time_words import time_lines

QUIET = {
    **dict.fromkeys(PARTS, 0.0),
    "span_s": 100.0,
    "wall_s": 110.0,
    "measuring_s": 97.96,
    "ledger_gap_s": 2.0,
    "idle_s": 0.04,
    "idle_fraction": 0.0004,
    "idle_fraction_sequential": None,
    "sequential_wall_s": None,
    "mean_lag": None,
    "superseded": 0,
    "fallbacks": 0,
    "honesty": None,
    "suspect_data": [],
}


def test_before_the_first_result_there_is_nothing_to_say():
    assert time_lines({**QUIET, "span_s": 0.0}) == []


def test_parts_without_a_second_are_left_out():
    assert time_lines(QUIET) == [
        "first start to last result 100 s: measuring 98.0 %, idle for want of a proposal < 0.1 %, "
        "hand-over 2.0 %",
        "idle fraction < 0.1 %",
    ]


def test_a_loop_without_look_ahead_stands_beside_it():
    told = time_lines({**QUIET, "idle_fraction_sequential": 0.35, "sequential_wall_s": 165.0})
    assert told[1] == (
        "idle fraction < 0.1 %; estimate for a sequential loop: 35.0 %, "
        "and 1.50 times the wall clock"
    )


FAILED = {"fallbacks": 1, "last_fallback": "no luck"}


def test_how_old_the_proposals_were():
    told = time_lines({**QUIET, "mean_lag": 0.94, "superseded": 3, **FAILED})
    assert told[2] == (
        "proposals: 0.9 outcomes behind at the start, on average, 3 replaced by better-informed "
        "ones while queued, 1 space-filling, because the model was late or had none; "
        "the last: no luck"
    )


def test_an_optimizer_that_is_no_better_than_random_is_named():
    sentence = "no better than random so far: best y 3, the space-filling reference 4 at 9 trials"
    assert time_lines({**QUIET, "honesty": {"sentence": sentence}})[-1] == f"optimizer: {sentence}"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_words(part):
    assert len(time_lines({**QUIET, part: 50.0})[0]) > 40


def test_suspect_data_are_named():
    best = {"trial_id": 7}
    (*_, told) = time_lines({**QUIET, "suspect_data": [6, 7], "best": best})
    assert told == (
        "suspect data, measured while a sentinel was off: trial 6, 7; the best is among them"
    )
    (*_, told) = time_lines({**QUIET, "suspect_data": list(range(20, 40)), "best": [best]})
    assert told.endswith("trial 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, ...")
