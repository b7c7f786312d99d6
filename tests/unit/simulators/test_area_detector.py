"""The area detector of the mirrors' twin, driven by its process variables without a network."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from simulators.kb_mirrors.image import DARK, PIXEL, SATURATED, frame
from simulators.kb_mirrors.instrument import create
from simulators.kb_mirrors.model import OPTIMUM, evaluate
from simulators.pv import PutRefused
from tests.unit.simulators.rig import Lab, shipped

CAM = "KB:DET:cam1:"
TRUE = evaluate(**OPTIMUM["parameters"])


def put(lab: Lab, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        asyncio.run(lab.pvs[f"KB:DET:{name}"].accept(value))


def value(lab: Lab, name: str) -> Any:
    return lab.pvs[f"KB:DET:{name}"].value


def ready(folder: Path, **settings: Any) -> Lab:
    """A detector that will stream into the folder."""
    lab = shipped("kb-mirrors")
    told = {
        "HDF1:EnableCallbacks": 1,
        "HDF1:FilePath": str(folder),
        "HDF1:FileName": "scan",
        "HDF1:FileWriteMode": 2,
        "HDF1:NumCapture": 0,
        "cam1:ImageMode": 1,
    }
    put(lab, told | {name.replace("__", ":"): one for name, one in settings.items()})
    return lab


def test_frames_are_written_one_after_the_other_and_the_file_is_closed(tmp_path: Path) -> None:
    lab = ready(tmp_path, cam1__NumImages=2, cam1__AcquireTime=0.5)
    put(lab, {"HDF1:Capture": 1, "cam1:Acquire": 1})
    assert lab.slept == [0.5, 0.5]
    put(lab, {"cam1:Acquire": 1, "HDF1:Capture": 0})
    assert value(lab, "HDF1:NumCaptured_RBV") == value(lab, "cam1:ArrayCounter_RBV") == 4
    assert value(lab, "HDF1:FullFileName_RBV") == f"{tmp_path}/scan_000000.h5"
    assert value(lab, "HDF1:FileNumber_RBV") == 1
    with h5py.File(tmp_path / "scan_000000.h5") as file:
        frames: Any = file["/entry/data/data"]
        assert (frames.shape, frames.dtype) == ((4, 256, 256), np.uint16)
        assert not np.array_equal(frames[0], frames[1])
        assert np.array_equal(file["/entry/instrument/detector/data"][3], frames[3])


def test_the_same_seed_and_settings_give_the_same_frames(tmp_path: Path) -> None:
    images = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lab = ready(tmp_path / name)
        put(lab, {"HDF1:Capture": 1, "cam1:Acquire": 1})
        put(lab, {"HDF1:Capture": 0})
        with h5py.File(tmp_path / name / "scan_000000.h5") as file:
            images.append(file["/entry/data/data"][0])
    assert np.array_equal(*images)


def test_what_hinders_writing_is_said_and_the_camera_goes_on(tmp_path: Path) -> None:
    lab = ready(tmp_path / "nowhere")
    assert value(lab, "HDF1:FilePathExists_RBV") == 0
    put(lab, {"HDF1:Capture": 1, "cam1:Acquire": 1})
    assert value(lab, "HDF1:Capture_RBV") == 0
    assert value(lab, "HDF1:WriteStatus") == 1
    assert "nowhere" in value(lab, "HDF1:WriteMessage")
    assert value(lab, "cam1:ArrayCounter_RBV") == 1
    put(lab, {"HDF1:CreateDirectory": -1, "HDF1:FilePath": str(tmp_path / "nowhere")})
    assert value(lab, "HDF1:FilePathExists_RBV") == 1
    put(lab, {"HDF1:Capture": 1})
    assert (value(lab, "HDF1:Capture_RBV"), value(lab, "HDF1:WriteStatus")) == (1, 0)
    put(lab, {"HDF1:Capture": 0, "HDF1:FileWriteMode": 0})
    put(lab, {"HDF1:Capture": 1})
    assert "only Stream" in value(lab, "HDF1:WriteMessage")


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "scan_000000.h5").write_text("mine")
    lab = ready(tmp_path)
    put(lab, {"HDF1:Capture": 1})
    assert value(lab, "HDF1:WriteStatus") == 1
    assert (tmp_path / "scan_000000.h5").read_text() == "mine"


def test_a_number_of_frames_closes_the_file(tmp_path: Path) -> None:
    lab = ready(tmp_path, HDF1__NumCapture=2, cam1__NumImages=3)
    put(lab, {"HDF1:Capture": 1, "cam1:Acquire": 1})
    assert value(lab, "HDF1:Capture_RBV") == 0
    with h5py.File(tmp_path / "scan_000000.h5") as file:
        assert file["/entry/data/data"].shape[0] == 2


def test_a_stop_ends_the_acquisition() -> None:
    async def stopped() -> None:
        third = asyncio.Event()
        slept = 0

        async def sleep(_: float) -> None:
            nonlocal slept
            slept += 1
            if slept == 3:
                third.set()
            await asyncio.sleep(0)

        twin = create(0, sleep)
        pvs = {pv.name.removeprefix(CAM): pv for pv in twin.pvs}
        await pvs["ImageMode"].accept(2)
        running = asyncio.create_task(pvs["Acquire"].accept(1))
        await third.wait()
        assert pvs["Acquire_RBV"].value == pvs["DetectorState_RBV"].value == 1
        await pvs["Acquire"].accept(0)
        await running
        assert pvs["Acquire_RBV"].value == pvs["DetectorState_RBV"].value == 0
        assert int(pvs["ArrayCounter_RBV"].value) >= 2

    asyncio.run(stopped())


def test_what_it_cannot_do_is_refused() -> None:
    lab = shipped("kb-mirrors")
    for name, wrong in (
        ("cam1:DataType", 1),
        ("cam1:TriggerMode", 1),
        ("cam1:NumImages", 0),
        ("cam1:AcquireTime", -1.0),
        ("HDF1:NDArrayPort", "STATS1"),
        ("HDF1:FileName", "x" * 256),
        ("HDF1:PortName_RBV", "ELSEWHERE"),
    ):
        with pytest.raises(PutRefused):
            put(lab, {name: wrong})


def test_counts_grow_with_the_exposure_until_a_pixel_is_full() -> None:
    noise = np.zeros((256, 256))
    dark, short, long = (frame(TRUE, seconds, noise).astype(float) for seconds in (0.0, 0.1, 0.2))
    assert np.all(dark == DARK)
    assert (long - dark).sum() == pytest.approx(2 * (short - dark).sum(), rel=1e-3)
    assert (short - dark).sum() == pytest.approx(1e5 * TRUE["flux"], rel=1e-3)
    assert frame(TRUE, 10.0, noise).max() == SATURATED
    row, column = np.unravel_index(long.argmax(), long.shape)
    assert (row - 127.5) * PIXEL == pytest.approx(TRUE["centroid_v"], abs=PIXEL)
    assert (column - 127.5) * PIXEL == pytest.approx(TRUE["centroid_h"], abs=PIXEL)


def test_a_closed_shutter_leaves_it_dark(tmp_path: Path) -> None:
    lab = ready(tmp_path)
    lab.put("FE:SHUTTER", 0)
    put(lab, {"HDF1:Capture": 1, "cam1:Acquire": 1})
    put(lab, {"HDF1:Capture": 0})
    with h5py.File(tmp_path / "scan_000000.h5") as file:
        assert file["/entry/data/data"][0].mean() == pytest.approx(DARK, abs=0.1)
