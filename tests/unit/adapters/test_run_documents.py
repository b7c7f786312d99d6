import hashlib
import json
import math

import numpy as np
import pytest

from orchestrator.adapters.documents.readings import ReadingCheck
from orchestrator.adapters.documents.run_documents import DocumentWriter, read_runs
from orchestrator.domain.errors import PlanFailed, ReductionError

KEYS = {
    "det": {"dtype": "number", "shape": []},
    "image": {"dtype": "array", "shape": [2]},
    "label": {"dtype": "string", "shape": []},
}
START = ("start", {"uid": "r1", "time": 1.0, "detectors": ["det"]})
DESCRIPTOR = (
    "descriptor",
    {
        "uid": "d1",
        "run_start": "r1",
        "name": "primary",
        "data_keys": KEYS,
        "hints": {"det": {"fields": ["det"]}},
    },
)
STOP = ("stop", {"uid": "s1", "run_start": "r1", "exit_status": "success"})


def event(seq_num=1, **data):
    data = {"det": 1.5, "image": [1, 2], "label": "a", **data}
    return ("event", {"descriptor": "d1", "seq_num": seq_num, "time": 2.0, "data": data})


def written(path, *documents):
    writer = DocumentWriter(path)
    for name, document in documents:
        writer.write(name, document)
    sha256 = writer.finish()
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return path


def test_round_trip_gives_tables(tmp_path):
    second = event(2, det=2.5)
    path = written(tmp_path / "a/b/1.jsonl", START, DESCRIPTOR, second, event(), STOP)
    (run,) = read_runs(path)
    assert run.start["uid"] == "r1"
    assert run.stop["exit_status"] == "success"
    assert run.streams == ("primary",)
    assert "primary" in run
    table = run["primary"]
    assert list(table.columns) == ["time", "det", "image", "label"]
    assert table.index.name == "seq_num"
    assert table["det"].tolist() == [1.5, 2.5]  # by sequence number, not as they came
    assert run["primary"] is table


def test_numpy_and_exact_floats_survive(tmp_path):
    value = np.float64(0.1) + np.float64(0.2)
    documents = event(det=value, image=np.array([1.0, np.nan]), label={"b", "a"})
    path = written(tmp_path / "1.jsonl", START, DESCRIPTOR, documents, STOP)
    table = read_runs(path)[0]["primary"]
    assert table["det"][1] == value
    assert table["image"][1][0] == 1.0
    assert math.isnan(table["image"][1][1])


def test_what_is_not_finite_is_text_in_strict_json(tmp_path):
    bad = event(det=math.nan), event(2, det=-math.inf), event(3, label="NaN")
    path = written(tmp_path / "1.jsonl", START, DESCRIPTOR, *bad, STOP)
    lines = path.read_text().splitlines()
    assert json.loads(lines[2])[1]["data"]["det"] == "NaN"
    table = read_runs(path)[0]["primary"]
    assert math.isnan(table["det"][1])
    assert table["det"][2] == -math.inf
    assert table["label"][3] == "NaN"


def test_event_pages_are_rows(tmp_path):
    data = {"det": [1.0, 2.0], "image": [[1, 2], [3, 4]], "label": ["a", "b"]}
    page = {"descriptor": "d1", "seq_num": [1, 2], "time": [1.0, 2.0], "data": data}
    path = written(tmp_path / "1.jsonl", START, DESCRIPTOR, ("event_page", page), STOP)
    assert read_runs(path)[0]["primary"]["det"].tolist() == [1.0, 2.0]


def test_file_without_stop_document_is_no_evidence(tmp_path):
    path = written(tmp_path / "1.jsonl", START, DESCRIPTOR, event())
    with pytest.raises(ReductionError, match="has no end"):
        read_runs(path)


def test_run_that_failed_is_no_evidence(tmp_path):
    stop = ("stop", {**STOP[1], "exit_status": "fail"})
    with pytest.raises(ReductionError, match="no evidence"):
        read_runs(written(tmp_path / "1.jsonl", START, stop))


@pytest.mark.parametrize("content", [b"", b'["start", {"uid"', b"[1]\n", b"\xff\xfe"])
def test_damaged_file_is_no_evidence(tmp_path, content):
    (tmp_path / "1.jsonl").write_bytes(content)
    with pytest.raises(ReductionError):
        read_runs(tmp_path / "1.jsonl")


@pytest.mark.parametrize("document", [event()[1], {"run_start": "nobody"}])
def test_documents_that_refer_to_nothing_are_damage(tmp_path, document):
    name = "event" if "data" in document else "stop"
    with pytest.raises(ReductionError):
        read_runs(written(tmp_path / "1.jsonl", START, (name, document), STOP))


def test_missing_file_is_no_evidence(tmp_path):
    with pytest.raises(ReductionError, match="cannot be read"):
        read_runs(tmp_path / "1.jsonl")


def test_unknown_stream_names_those_there_are(tmp_path):
    run = read_runs(written(tmp_path / "1.jsonl", START, DESCRIPTOR, event(), STOP))[0]
    with pytest.raises(KeyError, match="primary"):
        run["baseline"]


def test_what_cannot_be_saved_is_named_and_remembered(tmp_path):
    writer = DocumentWriter(tmp_path / "1.jsonl")
    with pytest.raises(PlanFailed, match="object") as caught:
        writer.write(*event(det=object()))
    assert caught.value.reason == "documents_not_saved"
    with pytest.raises(PlanFailed):
        writer.finish()


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (1, True),
        (np.int64(1), True),
        (np.float32(1.5), True),
        (np.array(1.5), True),
        (math.nan, False),
        (math.inf, False),
        (None, False),
        ("1.5", False),
        ([1.5], False),
        (np.array([1.5]), False),
    ],
)
def test_hinted_numbers_are_checked(value, good):
    check = ReadingCheck()
    check.look(*DESCRIPTOR)
    check.look(*event(det=value, image=[math.nan]))
    assert (check.problem is None) is good
