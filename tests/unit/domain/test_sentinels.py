from dataclasses import replace

import pytest
from pydantic import ValidationError

from orchestrator.domain import events as ev
from orchestrator.domain.drift_response import needs_person
from orchestrator.domain.sentinels import is_due, judged
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.suspect_data import suspect_data
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, opened, proposed, run, state_of


def watched(**changes) -> CampaignSpec:
    return campaign(sentinel={"at": {"x": 5.0}, "every": 2, **changes})


def trial(number, y, *, sem=None, sentinel=False, bare=False):
    source = "sentinel" if sentinel else "model"
    first, *rest = run(number)
    first = replace(first, source=source)
    if bare:
        return [first]
    return [first, *rest, ev.Measured(trial_id=number, outcomes={"y": Outcome(y, sem)})]


def course(*values, sem=None, every=3):
    """Trials with these values of y; each so many-th is a sentinel, the first among them."""
    happened: list[ev.Event] = [opened(watched())]
    for number, y in enumerate(values, 1):
        happened += trial(number, y, sem=sem, sentinel=number % every == 1)
    return happened


def test_the_first_trial_is_a_sentinel_and_one_after_so_many_others():
    due = [is_due(state_of(*course(*[1.0] * count)), watched()) for count in range(7)]
    assert due == [True, False, False, True, False, False, True]
    assert not is_due(state_of(opened()), campaign())


def test_a_beam_that_comes_back_is_looked_at():
    happened = [*course(1.0, 1.0), ev.Suspended(by="condition", reason="dump")]
    assert not is_due(state_of(*happened), watched(every=9))
    happened += [ev.Resumed(by="condition")]
    assert is_due(state_of(*happened), watched(every=9))
    happened += trial(3, 1.0, sentinel=True, bare=True)
    assert not is_due(state_of(*happened), watched(every=9)), "it is queued"


def test_an_approval_is_no_hold():
    called = ev.NeedsPerson(by="step", reason="trial 3 is to be approved")
    state = state_of(*course(1.0, 1.0), called, ev.Resumed(by="ada"))
    assert not is_due(state, watched(every=9))


def test_with_standard_errors_the_second_sentinel_is_judged():
    state = state_of(*course(1.0, 9.0, 9.0, 1.3, sem=0.1))
    (one,) = judged(state, watched())
    assert (one.reference, one.value) == (1.0, 1.3)
    assert one.sigma == pytest.approx(0.1 * 2**0.5)
    assert one.is_good
    assert not judged(state, watched(band="2 sigma"))[0].is_good


def test_without_them_the_scatter_of_the_first_three_is_the_measure():
    values = [1.0, 9, 9, 1.2, 9, 9, 1.1, 9, 9, 1.4, 9, 9, 1.5]
    found = judged(state_of(*course(*values)), watched())
    assert [one.trial.trial_id for one in found] == [10, 13]
    assert [one.is_good for one in found] == [True, False]
    assert found[1].reference == pytest.approx(1.1), "of the first three, not of all"
    assert found[1].sigma == pytest.approx(0.1 * (4 / 3) ** 0.5)


def test_equal_readings_are_good_whatever_their_mean_is_rounded_to():
    values = [0.7157437234663819, 9, 9] * 11  # six of them have another mean
    found = judged(state_of(*course(*values)), watched(first=10))
    assert len(found) == 8
    assert {one.sigma for one in found} == {0.0}
    assert all(one.is_good for one in found)


def test_drift_doubts_what_was_measured_since_the_last_good_sentinel():
    state = state_of(*course(1.0, 9, 9, 1.0, 9, 9, 2.0, sem=0.1))
    assert sorted(suspect_data(state, watched())) == [5, 6]
    why = needs_person(state, watched())
    assert why is not None
    assert why.startswith("sentinel trial 7 gave 2, 8.2 sigma from its reference 1; 2 trials")
    assert "measured since the last good one, trial 4, are suspect data; 'labwright resume'" in why


def test_what_a_person_has_looked_at_is_not_told_again():
    happened = course(1.0, 9, 9, 2.0, sem=0.1)
    assert needs_person(state_of(*happened), watched())
    looked = [*happened, ev.NeedsPerson(by="sentinel", reason="drift"), ev.Resumed(by="ada")]
    state = state_of(*looked)
    assert needs_person(state, watched()) is None
    assert is_due(state, watched()), "the next one tells whether it helped"
    assert needs_person(state_of(*looked, *trial(5, 2.0, sem=0.1, sentinel=True)), watched())


def test_no_drift_without_a_measure_or_while_held():
    assert needs_person(state_of(*course(1.0, 9, 9, 5.0)), watched()) is None
    held = state_of(*course(1.0, 9, 9, 5.0, sem=0.1), ev.Paused(by="ada"))
    assert needs_person(held, watched()) is None
    assert needs_person(state_of(opened(), proposed(1)), campaign()) is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"at": {"z": 1.0}}, "'z' is no parameter"),
        ({"at": {"x": 11.0}}, "outside the range"),
        ({"band": "3"}, "write for example '3 sigma'"),
        ({"band": "0 sigma"}, "no band"),
        ({"outcome": "w"}, "'w' is no objective"),
        ({"then": "stop"}, "Input should be 'pause' or 'correct'"),
        ({"then": {"realign": "align"}}, "realign"),
        ({"every": 0}, "greater than or equal to 1"),
    ],
)
def test_a_sentinel_that_cannot_be(changes, complaint):
    with pytest.raises(ValidationError, match=complaint):
        watched(**changes)
