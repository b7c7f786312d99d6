import copy
import enum
import math
import subprocess
import sys
from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType

import event_model
import jsonschema
import numpy as np
import pytest
from event_model import DocumentNames
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.documents.document_validation import (
    CompiledValidator,
    compile_validators,
)

KEY = {"dtype": "number", "shape": [], "source": "soft:x"}
DOCUMENTS = {
    "start": {"uid": "r1", "time": 1.0, "scan_id": 1, "hints": {}, "parameters": {"x": 1.5}},
    "descriptor": {
        "uid": "d1",
        "time": 1.0,
        "run_start": "r1",
        "name": "primary",
        "data_keys": {
            "x": KEY,
            "y": {
                **KEY,
                "precision": 3,
                "units": None,
                "choices": ["on"],
                "dtype_numpy": "<f8",
                "limits": {"control": {"low": 0.0, "high": None}},
            },
        },
        "configuration": {"x": {"data": {"v": 1}, "timestamps": {"v": 1.0}, "data_keys": {}}},
        "hints": {"x": {"fields": ["x"], "NX_class": "NXdetector"}},
        "object_keys": {"x": ["x"]},
    },
    "event": {
        "uid": "e1",
        "time": 1.0,
        "descriptor": "d1",
        "seq_num": 1,
        "data": {"x": 1.5},
        "timestamps": {"x": 1.0},
        "filled": {"x": False},
    },
    "stop": {
        "uid": "s1",
        "time": 1.0,
        "run_start": "r1",
        "exit_status": "success",
        "num_events": {"primary": 1},
    },
}


class Word(enum.Enum):
    SUCCESS = "success"


class Text(enum.StrEnum):
    SUCCESS = "success"


class OddString(str):
    pass


VALUES = [
    *(None, True, 0, 3, -1, 10**30, 1.5, 3.0, math.nan, math.inf, -math.inf),
    *("", "success", "NXdetector", "nx", "a.b", "x\n", "<f8", "\ud800", b"x"),
    *([], [1], ["x"], [None], [1.5], [["x", "<f8"]], (), (1, 2), ("x",), (1.5,)),
    *({}, {"a": 1}, {"a.b": 1}, {"a": {"b/c": 1}}, {1: 2}, {None: 1}, {Text.SUCCESS: 1}),
    *(OrderedDict(a=1), MappingProxyType({"a": 1}), {1}, frozenset({"x"}), range(3), object()),
    *(np.float64(1.5), np.float64(3.0), np.float64("nan"), np.float32(1.5), np.int64(3)),
    *(np.bool_(True), np.str_("success"), np.array(1.0), np.array([1, 2]), np.array(["x"])),
    *([np.float64(1.5)], (np.int64(1),), {"a": np.float64(1.5)}, {"a": [np.array([1.0])]}),
    *(Word.SUCCESS, Text.SUCCESS, [Word.SUCCESS], OddString("success"), Decimal("1.5"), 1j),
]


def validators(name):
    original = event_model.schema_validators[DocumentNames[name]]
    if isinstance(original, CompiledValidator):  # an engine of another test has made it so
        original = original._original
    return original, CompiledValidator(original)


def verdict(validate, document):
    try:
        validate(document)
    except Exception as error:
        return type(error), getattr(error, "message", None)
    return None


def assert_agreed(name, document):
    original, compiled = validators(name)
    expected = verdict(original.validate, document)
    assert verdict(compiled.validate, document) == expected
    if expected is not None:
        assert not compiled.accepts_at_once(document)


def places(value, path=()):
    """The paths of everything in a document, itself included."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def changed(document, path, value):
    """A copy with another value in one place."""
    if not path:
        return value
    document = copy.deepcopy(document)
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return document


def without(document, path):
    document = copy.deepcopy(document)
    part = document
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return document


EVERYWHERE = [(name, path) for name, document in DOCUMENTS.items() for path in places(document)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_right_documents_are_accepted_at_once(name):
    original, compiled = validators(name)
    original.validate(DOCUMENTS[name])
    assert compiled.accepts_at_once(DOCUMENTS[name])


@pytest.mark.parametrize(("name", "path"), EVERYWHERE)
def test_every_value_in_every_place_is_judged_alike(name, path):
    for value in VALUES:
        assert_agreed(name, changed(DOCUMENTS[name], path, value))


@pytest.mark.parametrize(("name", "path"), [one for one in EVERYWHERE if one[1]])
def test_what_is_missing_is_judged_alike(name, path):
    assert_agreed(name, without(DOCUMENTS[name], path))


@pytest.mark.parametrize(("name", "path"), EVERYWHERE)
def test_what_is_too_much_is_judged_alike(name, path):
    part = DOCUMENTS[name]
    for key in path:
        part = part[key]
    if isinstance(part, dict):
        for key in ("extra", "ex.tra", "ex/tra", "", "\n", 7, OddString("extra")):
            assert_agreed(name, changed(DOCUMENTS[name], (*path, key), 1))


NUMPY = st.floats().map(np.float64) | st.integers(-9, 9).map(np.int64) | st.just(np.arange(2.0))
ANYTHING = st.recursive(
    st.sampled_from(VALUES) | st.text(max_size=4) | st.floats() | st.integers() | NUMPY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EVERYWHERE), ANYTHING)
def test_anything_anywhere_is_judged_alike(where, value):
    name, path = where
    assert_agreed(name, changed(DOCUMENTS[name], path, value))


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("event", ("data", "x"), np.float64(1.5)),
        ("event", ("data", "x"), np.arange(3)),
        ("event", ("data", "x"), math.nan),
        ("start", ("parameters", "x"), np.float64(1.5)),
        ("start", ("parameters", "x"), (1, 2)),
        ("descriptor", ("data_keys", "x", "shape"), ()),
        ("descriptor", ("data_keys", "y", "limits", "control", "low"), np.float64(1.5)),
    ],
)
def test_common_values_do_not_need_the_original(name, path, value):
    assert validators(name)[1].accepts_at_once(changed(DOCUMENTS[name], path, value))


def test_endless_document_is_judged_alike():
    document = copy.deepcopy(DOCUMENTS["start"])
    document["parameters"] = document
    _, compiled = validators("start")
    assert not compiled.accepts_at_once(document)


def test_all_documents_of_the_process_are_checked(monkeypatch):
    monkeypatch.setattr(event_model, "schema_validators", dict(event_model.schema_validators))
    compile_validators()
    compile_validators()  # no second layer
    for validator in event_model.schema_validators.values():
        assert isinstance(validator, CompiledValidator)
        assert not isinstance(validator._original, CompiledValidator)
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({"uid": 7})
    start = event_model.schema_validators[DocumentNames.start]
    assert start.is_valid(DOCUMENTS["start"])  # the rest of the original is there, too


def test_import_changes_nothing():
    code = """
import event_model
before = dict(event_model.schema_validators)
import orchestrator.adapters.documents.document_validation
assert event_model.schema_validators == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
