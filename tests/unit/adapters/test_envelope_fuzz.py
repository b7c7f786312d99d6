"""The fuzz of ``python -m tests.benchmarks envelope``, in small."""

import pytest

from tests.envelope_fuzz import fuzz_plans, fuzz_proposals


def test_no_random_proposal_is_judged_wrongly():
    admitted, wrong = fuzz_proposals(5000, seed=1)
    assert wrong == 0
    assert 1000 < admitted < 4000


def test_a_wrong_judgement_would_be_noticed():
    _, wrong = fuzz_proposals(200, seed=1, check=lambda *_: None)
    assert wrong > 50


def test_no_random_plan_gets_past_the_guard():
    good, commands, breaches = fuzz_plans(60, seed=1)
    assert breaches == []
    assert good > 3
    assert commands > 150


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_the_guard_the_witness_sees_breaches():
    _, _, breaches = fuzz_plans(20, seed=1, guarded=False)
    assert len(breaches) > 10
