"""Where the files of an attempt go."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.adapters.disk.outbox import FileOutbox
from orchestrator.adapters.disk.room import LEAST_ROOM, FileRoom
from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.execution.file_folders import Folder, folder_of, place, writes_files
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import FilesSpec, InstrumentSpec
from orchestrator.ports import PlanRequest

METADATA = {"campaign_id": "focus-1", "trial_id": 7, "attempt": 2, "fence": 9, "instrument": "kb"}


def request() -> PlanRequest:
    campaign: Any = SimpleNamespace()
    return PlanRequest(campaign, {}, {}, METADATA, "runs/focus-1/00007-2-9.jsonl", 20)


def spec(**given: Any) -> FilesSpec:
    return FilesSpec.model_validate_json(json.dumps(given))


def visit(metadata: dict[str, Any]) -> str:
    return f"/proposals/cm1/{metadata['campaign_id']}/{metadata['trial_id']}"


def two_names(metadata: dict[str, Any]) -> tuple[str, str]:
    return visit(metadata), "Z:/cm1"


def relative(_: dict[str, Any]) -> str:
    return "somewhere"


def broken(_: dict[str, Any]) -> str:
    raise TimeoutError("numtracker does not answer")


class Plugin:
    """Has what ophyd's `FileStoreBase` has."""

    write_path_template = "/"
    read_path_template: str | None = None
    reg_root = "/"


def test_beside_the_documents(tmp_path: Path) -> None:
    folder = folder_of(spec(folder="built-in"), tmp_path, request())
    assert folder.read == tmp_path / "runs/focus-1/00007-2-9"
    assert (folder.write, folder.root) == (str(folder.read), tmp_path)


def test_a_template_and_its_name_on_the_server(tmp_path: Path) -> None:
    told = spec(
        folder="/gpfs/{instrument}/{campaign_id}/{trial_id:05d}-{attempt}-{fence}",
        ioc_folder="Z:/{campaign_id}",
    )
    folder = folder_of(told, tmp_path, request())
    assert folder == Folder(Path("/gpfs/kb/focus-1/00007-2-9"), "Z:/focus-1", Path("/"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"folder": "built-in", "call": "mylab.folder"},
        {"folder": "relative/path"},
        {"folder": "/data/{sample}"},
        {"folder": "/data/{trial_id"},
        {"folder": "/data/{trial_id.real}"},
        {"folder": "/data/{campaign_id:05d}"},
        {"folder": "built-in", "ioc_folder": "/elsewhere"},
        {"call": "mylab.folder", "ioc_folder": "/elsewhere"},
        {"folder": "built-in", "wait_s": -1},
        {"folder": "built-in", "room_mb": -1},
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**given)


def test_a_function_of_the_lab(tmp_path: Path) -> None:
    folder = folder_of(spec(call=f"{__name__}.visit"), tmp_path, request())
    assert folder == Folder(Path("/proposals/cm1/focus-1/7"), "/proposals/cm1/focus-1/7", Path("/"))
    assert folder_of(spec(call=f"{__name__}.two_names"), tmp_path, request()).write == "Z:/cm1"
    for name, why in (
        ("relative", "is no absolute path"),
        ("broken", "TimeoutError: numtracker does not answer"),
        ("absent", "NoSuchDevice"),
    ):
        with pytest.raises(PlanFailed, match=why) as failed:
            folder_of(spec(call=f"{__name__}.{name}"), tmp_path, request())
        assert failed.value.reason == "detector_files"


def test_plugins_are_told(tmp_path: Path) -> None:
    plugin, plain = Plugin(), SimpleNamespace()
    detector = SimpleNamespace(walk_subdevices=lambda include_lazy: [("hdf", plugin)])
    assert writes_files(detector)
    assert not writes_files(plain)
    place(Folder(tmp_path / "100%/one", "Z:/one", Path("/")), [plain, detector])
    assert (tmp_path / "100%/one").is_dir()
    assert plugin.write_path_template == "Z:/one/"
    assert plugin.read_path_template == f"{tmp_path}/100%%/one"
    place(Folder(tmp_path / "two", str(tmp_path / "two"), tmp_path), [detector])
    assert (plugin.read_path_template, plugin.reg_root) == (None, str(tmp_path))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "one"
    with pytest.raises(PlanFailed, match="no folder for detector files"):
        place(Folder(folder, str(folder), tmp_path), [])


def executor(data_dir: Path, **files: Any) -> BlueskyExecutor:
    text = {"name": "kb", "mode": "real", "devices": {"eye": {"class": "ophyd.Device"}}}
    instrument = InstrumentSpec.from_data({**text, "files": files})
    return BlueskyExecutor(instrument, envelope_of(instrument), data_dir)


def test_no_trial_starts_whose_files_have_no_room(tmp_path: Path) -> None:
    for folder in ("built-in", f"{tmp_path}/files/{{campaign_id}}"):
        room = executor(tmp_path, folder=folder, room_mb=10**9).file_room
        outbox = FileOutbox(tmp_path, files_lack=room.lack)
        assert f"the disk of {tmp_path} has less than" in str(outbox.lack())


def test_where_the_files_go_may_be_known_only_later(tmp_path: Path) -> None:
    room = executor(tmp_path, call="mylab.folder", room_mb=10**9).file_room
    assert room.lack() is None
    room.use(tmp_path / "not" / "there")
    outbox = FileOutbox(tmp_path, files_lack=room.lack)
    said = str(outbox.lack())
    assert f"the disk of {tmp_path} has less than" in said
    assert f"{(10**15 + LEAST_ROOM) // 2**20} MB" in said


def test_room_is_learned_from_the_largest_attempt(tmp_path: Path) -> None:
    room = FileRoom()
    room.learn({tmp_path / "small.h5": 1000})
    assert room.lack() is None
    room.learn({tmp_path / "large.h5": 10**15, tmp_path / "larger.h5": 10**15})
    assert f"{(2 * 10**15 + LEAST_ROOM) // 2**20} MB" in str(room.lack())
    room.learn({})
    assert room.lack() is not None
