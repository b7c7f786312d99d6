"""Arrays of a run are read when they are looked at."""

import numpy as np
import pytest

from orchestrator.adapters.documents import run_arrays
from orchestrator.adapters.documents.run_arrays import StoredArray
from orchestrator.adapters.documents.run_documents import DocumentWriter, Run, read_runs

KEYS = {
    "det": {"dtype": "number", "shape": [], "units": "counts"},
    "image": {"dtype": "array", "shape": [2, 3], "units": "adu"},
}
START = ("start", {"uid": "r1", "time": 1.0})
DESCRIPTOR = ("descriptor", {"uid": "d1", "run_start": "r1", "data_keys": KEYS})
STOP = ("stop", {"uid": "s1", "run_start": "r1", "exit_status": "success"})
IMAGES = [np.arange(6.0).reshape(2, 3) + 10 * n for n in range(4)]


def event(seq_num, image):
    data = {"det": seq_num / 2, "image": image}
    return ("event", {"descriptor": "d1", "seq_num": seq_num, "time": 5.0, "data": data})


def page(*seq_nums):
    data = {"det": [n / 2 for n in seq_nums], "image": [IMAGES[n - 1] for n in seq_nums]}
    times = [5.0] * len(seq_nums)
    return (
        "event_page",
        {"descriptor": "d1", "seq_num": [*seq_nums], "time": times, "data": data},
    )


@pytest.fixture(params=["events", "page"])
def run(request, tmp_path):
    events = [event(n + 1, image) for n, image in enumerate(IMAGES)]
    writer = DocumentWriter(tmp_path / "1.jsonl")
    for name, document in (
        START,
        DESCRIPTOR,
        *(events if request.param == "events" else [page(2, 1), page(3, 4)]),
        STOP,
    ):
        writer.write(name, document)
    writer.finish()
    return read_runs(tmp_path / "1.jsonl")[0]


@pytest.fixture
def reads(monkeypatch):
    """The arrays that were read, one entry each."""
    seen = []
    read = StoredArray.read
    monkeypatch.setattr(run_arrays.StoredArray, "read", lambda one: seen.append(one) or read(one))
    return seen


def test_a_table_reads_only_the_arrays_that_are_looked_at(run, reads):
    table = run["primary"]
    assert table["det"].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert not reads
    assert table["image"][3][1, 2] == 25.0
    assert table["image"][3].values.sum() == IMAGES[2].sum()
    assert len(reads) == 1
    assert np.array_equal(np.stack(table["image"]), IMAGES)
    assert [len(cell) for cell in table["image"]] == [2] * 4


def test_a_dataset_reads_only_the_events_that_are_looked_at(run, reads):
    found = run.dataset("primary")
    assert found["image"].dims == ("seq_num", "image_0", "image_1")
    assert found["image"].attrs["units"] == "adu"
    assert found["det"].attrs["units"] == "counts"
    assert found["time"].values.tolist() == [5.0] * 4
    before = len(reads)
    assert before <= 1, "one for its shape"
    assert np.array_equal(found["image"].sel(seq_num=3), IMAGES[2])
    assert np.array_equal(found["image"][1:3, 0], [IMAGES[1][0], IMAGES[2][0]])
    assert float(found["image"][-1, 1, 2]) == 35.0
    assert len(reads) == before + 4
    assert np.array_equal(found["image"].mean("seq_num"), np.mean(IMAGES, axis=0))


def test_a_stream_that_is_not_there_is_named(run):
    with pytest.raises(KeyError, match="'dark' is no stream of this run; there are"):
        run.dataset("dark")


def test_arrays_that_are_not_finite_survive(tmp_path):
    writer = DocumentWriter(tmp_path / "1.jsonl")
    for name, document in (START, DESCRIPTOR, event(1, [[np.nan, np.inf]]), STOP):
        writer.write(name, document)
    writer.finish()
    (run,) = read_runs(tmp_path / "1.jsonl")
    assert np.array_equal(run["primary"]["image"][1], [[np.nan, np.inf]], equal_nan=True)


def test_a_run_that_was_never_written_has_datasets_too():
    run = Run({"uid": "r1"})
    stream = run.stream("primary")
    stream.data_keys.update(KEYS)
    for number, image in enumerate(IMAGES[:2]):
        stream.add(number + 1, 5.0, {"det": 1.5, "image": image.tolist()})
    found = run.dataset("primary")
    assert found["image"].dims == ("seq_num", "image_0", "image_1")
    assert np.array_equal(found["image"], IMAGES[:2])
