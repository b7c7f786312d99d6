"""What documents say about files outside: are all frames there, and what does a reducer read."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from orchestrator.adapters.documents.file_references import FileReferences
from orchestrator.adapters.documents.recorder import Recorder, evidence_in
from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.domain.errors import PlanFailed, ReductionError

Documents = list[tuple[str, dict[str, Any]]]

START = ("start", {"uid": "run", "time": 0.0, "detectors": ["eye"]})
STOP = ("stop", {"uid": "end", "run_start": "run", "exit_status": "success", "time": 3.0})
IMAGE = {"dtype": "array", "shape": [2, 4, 3], "external": "FILESTORE:", "source": "eye"}


def write(path: Path, frames: int, dataset: str = "/entry/data/data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file[dataset] = np.arange(frames * 12, dtype=np.uint16).reshape(frames, 4, 3)
    return path


def resource(root: str, path: str, spec: str = "AD_HDF5", **kwargs: Any) -> tuple[str, Any]:
    kwargs = {"frame_per_point": 2, **kwargs}
    about = {"uid": "res", "spec": spec, "root": root, "resource_path": path, "run_start": "run"}
    return "resource", {**about, "path_semantics": "posix", "resource_kwargs": kwargs}


def scan(resource: tuple[str, Any], points: int = 2) -> Documents:
    """A run with an event for each point."""
    descriptor = {"uid": "desc", "run_start": "run", "name": "primary", "time": 0.0}
    descriptor |= {"data_keys": {"eye_image": IMAGE}, "hints": {}}
    documents: Documents = [START, ("descriptor", descriptor), resource]
    for point in range(points):
        datum = {"resource": "res", "datum_id": f"res/{point}"}
        datum["datum_kwargs"] = {"point_number": point}
        event = {"uid": f"event{point}", "descriptor": "desc", "seq_num": point + 1, "time": 1.0}
        event |= {"data": {"eye_image": f"res/{point}"}, "timestamps": {}}
        documents += [("datum", datum), ("event", event)]
    return [*documents, STOP]


def stream(uri: str, dataset: str = "/entry/data/data") -> Documents:
    """A run of a detector that runs by itself: it has no events."""
    key = {**IMAGE, "external": "STREAM:"}
    descriptor = {"uid": "desc", "run_start": "run", "name": "primary", "time": 0.0}
    descriptor |= {"data_keys": {"eye": key}, "hints": {}}
    about = {"uid": "res", "data_key": "eye", "mimetype": "application/x-hdf5", "uri": uri}
    about |= {"parameters": {"dataset": dataset, "chunk_shape": [1, 4, 3]}, "run_start": "run"}
    datum = {"uid": "res/0", "stream_resource": "res", "descriptor": "desc"}
    datum |= {"indices": {"start": 0, "stop": 2}, "seq_nums": {"start": 1, "stop": 3}}
    return [START, ("descriptor", descriptor), ("stream_resource", about), ("stream_datum", datum)]


def saved(data_dir: Path, documents: Documents) -> Path:
    path = data_dir / "runs" / "campaign" / "00001-1-1.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def references(documents: Documents, data_dir: Path = Path("/nowhere")) -> FileReferences:
    found = FileReferences(data_dir)
    for document in documents:
        found.look(*document)
    return found


def test_every_frame_must_be_there(tmp_path: Path) -> None:
    documents = scan(resource("/", str(tmp_path / "eye.h5")[1:]))
    path = tmp_path / "eye.h5"
    found = references(documents)
    assert found.problem() == f"detector file {path} is missing"
    write(path, 3)
    assert found.problem() == f"detector file {path} has 3 of 4 frames"
    write(path, 4)
    assert found.problem() is None
    assert found.sizes() == {path: path.stat().st_size}
    path.write_bytes(path.read_bytes()[:-100])
    assert f"detector file {path} cannot be read" in str(found.problem())
    path.write_bytes(b"")
    assert f"detector file {path} cannot be read" in str(found.problem())
    write(path, 4, "elsewhere")
    assert found.problem() == f"detector file {path} has no dataset /entry/data/data"


def test_a_file_may_come_late(tmp_path: Path) -> None:
    path, waits = tmp_path / "eye.h5", []
    found = references(scan(resource("/", str(path)[1:])))

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            write(path, 4)

    assert found.problem(5.0, sleep) is None
    assert len(waits) == 3
    path.unlink()
    assert found.problem(1.0, lambda seconds: waits.append(seconds)) is not None
    assert len(waits) == 13


def test_an_attempt_without_its_file_has_failed(tmp_path: Path) -> None:
    path = write(tmp_path / "files/eye.h5", 3)
    recorder = Recorder(tmp_path, "runs/campaign/1.jsonl", None)
    documents = scan(resource("/", str(path)[1:]))
    for document in documents:
        recorder(*document)
    with pytest.raises(PlanFailed, match=r"eye\.h5 has 3 of 4 frames") as failed:
        recorder.evidence()
    recorder.close()
    assert failed.value.reason == "detector_files"
    with pytest.raises(ReductionError, match=r"eye\.h5 has 3 of 4 frames"):
        evidence_in(tmp_path, "runs/campaign/1.jsonl")
    write(path, 4)
    assert evidence_in(tmp_path, "runs/campaign/1.jsonl").run_uid == "run"


def test_a_reducer_gets_the_frames_when_it_touches_them(tmp_path: Path) -> None:
    path = tmp_path / "eye.h5"
    documents = saved(tmp_path, scan(resource("/", str(path)[1:])))
    (run,) = read_runs(documents)
    column = run["primary"]["eye_image"]  # there is no file yet: nothing is opened
    write(path, 4)
    second = column[2]
    assert (len(second), second.paths) == (2, (path,))
    assert np.asarray(second).tolist() == np.arange(24, 48).reshape(2, 4, 3).tolist()
    assert np.asarray(second, dtype=float).dtype == float
    assert second[1].tolist() == second[-1].tolist() == np.arange(36, 48).reshape(4, 3).tolist()
    assert second[:, 0, 0].tolist() == [24, 36]
    assert [frame[0, 0] for frame in second] == [24, 36]
    with pytest.raises(IndexError):
        _ = second[2]
    write(path, 3)
    with pytest.raises(ValueError, match="has 3 frames, not 4"):
        np.asarray(second)


def test_a_data_folder_may_move(tmp_path: Path) -> None:
    """A path below the data folder is found again in a folder of another name."""
    old, new = tmp_path / "old", tmp_path / "new"
    write(old / "runs/campaign/00001-1-1/eye.h5", 4)
    about = resource(str(old), "runs/campaign/00001-1-1/eye.h5")
    path = saved(old, scan(about))
    old.rename(new)
    (run,) = read_runs(new / path.relative_to(old))
    assert run["primary"]["eye_image"][1][0][0, 1] == 1
    assert evidence_in(new, "runs/campaign/00001-1-1.jsonl").run_uid == "run"


def test_files_of_one_frame_each(tmp_path: Path) -> None:
    about = resource(
        "/", str(tmp_path)[1:], "AD_HDF5_SINGLE", template="%s%s_%6.6d.h5", filename="eye"
    )
    found = references(scan(about))
    for number in range(3):
        write(tmp_path / f"eye_{number:06d}.h5", 1)
    assert found.problem() == f"detector file {tmp_path}/eye_000003.h5 is missing"
    write(tmp_path / "eye_000003.h5", 1)
    assert found.problem() is None
    (run,) = read_runs(saved(tmp_path, scan(about)))
    assert np.asarray(run["primary"]["eye_image"][2]).shape == (2, 4, 3)


def test_files_of_another_kind_are_there_and_not_empty(tmp_path: Path) -> None:
    about = resource("/", str(tmp_path)[1:], "AD_TIFF", template="%s%s_%d.tiff", filename="eye")
    documents = scan(about, points=1)
    (tmp_path / "eye_0.tiff").write_bytes(b"II*")
    (tmp_path / "eye_1.tiff").write_bytes(b"")
    assert references(documents).problem() == f"detector file {tmp_path}/eye_1.tiff is empty"
    (run,) = read_runs(saved(tmp_path, documents))
    frames = run["primary"]["eye_image"][1]
    assert [path.name for path in frames.paths] == ["eye_0.tiff", "eye_1.tiff"]
    with pytest.raises(ValueError, match="only HDF5 is read here"):
        np.asarray(frames)


def test_files_of_a_spec_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "eye.raw").write_bytes(b"1234")
    about = resource("/", str(tmp_path / "eye.raw")[1:], "MYLAB", frame_per_point="all")
    assert references(scan(about)).problem() is None


def test_what_refers_to_nothing_is_no_evidence() -> None:
    orphan = {"resource": "res", "datum_id": "res/0", "datum_kwargs": {}}
    assert references([("datum", orphan)]).problem() == (
        "a document 'datum' refers to no file: KeyError('res')"
    )


def test_streamed_frames(tmp_path: Path) -> None:
    """As ophyd-async refers to files: joined end to end, two frames for each event."""
    path = tmp_path / "with space.h5"
    documents = [*stream(f"file://localhost{tmp_path}/with%20space.h5"), STOP]
    found = references(documents)
    assert found.problem() == f"detector file {path} is missing"
    write(path, 3)
    assert found.problem() == f"detector file {path} has 3 of 4 frames"
    write(path, 4)
    assert found.problem() is None
    (run,) = read_runs(saved(tmp_path, documents))
    table = run["primary"]
    assert list(table.index) == [1, 2]
    assert np.asarray(table["eye"][2])[:, 0, 0].tolist() == [24, 36]
