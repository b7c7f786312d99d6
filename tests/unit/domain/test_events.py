import json
import math
import typing
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain import events as ev
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.trial import Outcome

ABSTRACT = {ev.Event, ev.TrialEvent, ev.CampaignEvent, ev.Proposal}
BY_THE_LEDGER = ("trial_id", "attempt", "fence", "worker", "then", "moved")
"""Fields that a ledger decides itself, so that they may stand beside the JSON."""


CLASSES = [
    cls
    for cls in vars(ev).values()
    if isinstance(cls, type) and issubclass(cls, ev.Event) and cls not in ABSTRACT
]
FEW = settings(max_examples=20, deadline=None)

EXACT = [0.1 + 0.2, -0.0, 1e308, 5e-324, 1 / 3, 1.7976931348623157e308, 2.0**53 + 2]

floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EXACT)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
outcomes = st.builds(Outcome, floats, st.none() | floats, st.text(max_size=5))


def _values(name: str, kind: object) -> st.SearchStrategy:
    """Values of a field, by its annotation."""
    if name == "outcomes":
        return st.dictionaries(st.text(max_size=5), outcomes, max_size=3)
    if name == "parameters":
        value = floats | st.integers() | st.booleans() | st.text(max_size=5)
        return st.dictionaries(st.text(max_size=5), value, max_size=3)
    if name == "versions":
        return st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
    if kind == int | None:
        return st.none() | st.integers()
    if typing.get_origin(kind) is not None:
        return st.dictionaries(st.text(max_size=5), plain, max_size=3)
    return {str: st.text(max_size=8), int: st.integers(), bool: st.booleans(), float: floats}[kind]


def _events(cls: type[ev.Event]) -> st.SearchStrategy[ev.Event]:
    hints = typing.get_type_hints(cls)
    own = {
        one.name: _values(one.name, hints[one.name])
        for one in fields(cls)
        if one.name not in ("id", "at")
    }
    return st.builds(cls, id=st.just("7-0"), at=floats, **own)


def _stored(event: ev.Event) -> dict[str, str]:
    return {
        "type": ev.type_of(event),
        "v": str(ev.SCHEMA_VERSION),
        "at": repr(event.at),
        "data": ev.to_json(event),
    }


def test_every_class_of_event_has_a_stored_name():
    assert set(ev._TYPES.values()) == set(CLASSES)
    assert len(CLASSES) >= 20
    assert {ev.type_of(object.__new__(cls)) for cls in CLASSES} == set(ev._TYPES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@FEW
@given(data=st.data())
def test_an_event_survives_storage_exactly(cls, data):
    event = data.draw(_events(cls))
    back = ev.from_fields("7-0", _stored(event))
    assert type(back) is cls
    assert back == event
    assert repr(back) == repr(event)  # every digit, and the sign of zero


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@FEW
@given(data=st.data())
def test_fields_that_the_ledger_decides_may_stand_beside(cls, data):
    event = data.draw(_events(cls))
    stored = _stored(event)
    body = json.loads(stored["data"])
    for name in BY_THE_LEDGER:
        if name in body:
            value = body.pop(name)
            stored[name] = {True: "1", False: "0"}[value] if name == "moved" else str(value)
    assert ev.from_fields("7-0", {**stored, "data": json.dumps(body)}) == event


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_stored(value):
    with pytest.raises(ValueError, match="Out of range float"):
        ev.to_json(ev.Measured(trial_id=1, outcomes={"y": Outcome(value)}))


MEASURED = _stored(ev.Measured(id="7-0", at=1.0, trial_id=1, outcomes={"y": Outcome(1.0)}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"v": "2"}, "schema 2; this Labwright reads schema 1"),
        ({"v": "1.5"}, "schema 1.5"),
        ({"type": "teleported"}, "type 'teleported'"),
        ({"type": ""}, "type ''"),
        ({"data": "{"}, "entry 7-0 cannot be read"),
        ({"data": "{}"}, "entry 7-0 cannot be read"),
        ({"data": '{"trial_id": 1, "outcomes": {}, "colour": "red"}'}, "entry 7-0 cannot be read"),
        ({"data": '{"trial_id": 1, "outcomes": []}'}, "entry 7-0 cannot be read"),
        ({"at": "noon"}, "entry 7-0 cannot be read"),
        ({"trial_id": "one"}, "entry 7-0 cannot be read"),
    ],
)
def test_what_this_version_cannot_read_is_refused_not_guessed(change, told):
    with pytest.raises(LedgerError, match=told):
        ev.from_fields("7-0", {**MEASURED, **change})


@pytest.mark.parametrize("name", ["type", "v", "at"])
def test_an_entry_without_its_frame_is_refused(name):
    with pytest.raises(LedgerError, match="entry 7-0"):
        ev.from_fields("7-0", {key: text for key, text in MEASURED.items() if key != name})


def test_events_cannot_be_changed():
    assert all(cls.__dataclass_params__.frozen for cls in CLASSES)
