"""The file plugin of an area detector: frames go to an HDF5 file where the client says."""

import logging
import os
from pathlib import Path
from typing import Any

from simulators.areadetector.camera import TYPES, UINT16, Frame
from simulators.areadetector.hdf5_file import HDF5File
from simulators.areadetector.setting import LONGEST_PATH, Setting, count, switch, text
from simulators.pv import PutRefused, Pv

log = logging.getLogger(__name__)

WRITTEN, FAILED = 0, 1


class HDF5Plugin:
    """Writes frames while `Capture` is 1, in `FileWriteMode` Stream: one file for each capture.

    A put of 1 to `Capture` opens the file, and one of 0 is complete when the file is closed and
    safe on disk. `NumCapture` frames close it too; 0 puts no end. When the file cannot be opened or
    written, `Capture` goes back to 0, and `WriteStatus` and `WriteMessage` say why.

    Args:
        prefix: of the PV names, such as `KB:DET:HDF1:`.
        port: its asyn port.
        source: asyn port of the camera.
        size: rows and columns of a frame.
    """

    def __init__(self, prefix: str, *, port: str, source: str, size: tuple[int, int]) -> None:
        self._file: HDF5File | None = None
        rows, columns = size

        def fixed(name: str, value: Any, what: str, **more: Any) -> Pv:
            return Pv(f"{prefix}{name}", value, what=what, **more)

        self._enabled = switch(
            f"{prefix}EnableCallbacks", 0, "take frames of the camera", "Disable", "Enable"
        )
        self._seen = count(f"{prefix}ArrayCounter", 0, "frames seen")
        self._path = text(f"{prefix}FilePath", "", "folder of the file", act=self._put_path)
        self._name = text(f"{prefix}FileName", "", "name of the file")
        self._number = count(f"{prefix}FileNumber", 0, "number of the next file")
        self._template = text(
            f"{prefix}FileTemplate", "%s%s_%6.6d.h5", "path, from folder, name and number"
        )
        self._levels = Setting(
            f"{prefix}CreateDirectory", 0, "-n makes up to n folders", limits=(-99, 99)
        )
        self._increment = switch(f"{prefix}AutoIncrement", 1, "count files")
        self._mode = Setting(
            f"{prefix}FileWriteMode",
            0,
            "how frames come into files; only Stream writes here",
            choices=("Single", "Capture", "Stream"),
        )
        self._capture = Setting(
            f"{prefix}Capture", 0, "1 opens a file, 0 closes it", self._put_capture, limits=(0, 1)
        )
        self._source = Setting(
            f"{prefix}NDArrayPort", source, "asyn port whose frames it takes", self._keep_source
        )
        self._wanted = count(f"{prefix}NumCapture", 1, "frames after which the file is closed")
        self._captured = fixed("NumCaptured_RBV", 0, "frames in the file")
        self._exists = fixed(
            "FilePathExists_RBV", 0, "whether there is the folder", choices=("No", "Yes")
        )
        self._full_name = fixed("FullFileName_RBV", "", "path of the file", room=LONGEST_PATH)
        self._status = fixed("WriteStatus", WRITTEN, "how writing went", choices=("Ok", "Error"))
        self._message = fixed("WriteMessage", "", "why it failed", room=LONGEST_PATH)
        settings = (
            self._enabled,
            self._seen,
            self._path,
            self._name,
            self._number,
            self._template,
            self._levels,
            self._increment,
            self._mode,
            self._capture,
            self._wanted,
            switch(f"{prefix}AutoSave", 1, "without effect: Stream always saves"),
            switch(f"{prefix}BlockingCallbacks", 1, "without effect: the camera always waits"),
            self._source,
        )
        self.pvs = (
            *(pv for setting in settings for pv in setting.pvs),
            self._captured,
            self._exists,
            self._full_name,
            self._status,
            self._message,
            fixed("ArraySize0_RBV", columns, "columns"),
            fixed("ArraySize1_RBV", rows, "rows"),
            fixed("ArraySize2_RBV", 0, "no third dimension"),
            fixed("NDimensions_RBV", 2, "of a frame"),
            fixed("DataType_RBV", UINT16, "of a pixel", choices=TYPES),
            fixed("PortName_RBV", port, "its asyn port"),
            fixed("PluginType_RBV", "NDFileHDF5", "what it is"),
        )

    async def take(self, frame: Frame) -> None:
        """A frame of the camera."""
        if not self._enabled.value:
            return
        self._seen.post(int(self._seen.value) + 1)
        if self._file is None:
            return
        try:
            self._file.append(frame)
        except OSError as error:
            self._fail(error)
            return
        self._captured.post(self._file.frames)
        if self._file.frames == int(self._wanted.value):
            self._close()

    async def _keep_source(self, value: str) -> None:
        if value != self._source.value:
            raise PutRefused(f"frames come from {self._source.value} alone, not from {value!r}")

    async def _put_path(self, value: str) -> None:
        self._use(value)

    def _use(self, value: str) -> None:
        """Another folder from now on, made if `CreateDirectory` allows."""
        path = Path(value)
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        if value and len(missing) <= -int(self._levels.value):
            path.mkdir(parents=True, exist_ok=True)
        # areaDetector reads back a separator at the end.
        self._path.post(os.path.join(value, "") if value else "")
        self._exists.post(int(bool(value) and path.is_dir()))

    async def _put_capture(self, value: float) -> None:
        if not value:
            self._close()
        elif self._file is None:
            self._open()

    def _open(self) -> None:
        self._captured.post(0)
        try:
            if self._mode.choice != "Stream":
                raise OSError(f"FileWriteMode is {self._mode.choice}; only Stream is served")
            parts = (self._path.value, self._name.value, int(self._number.value))
            full_name = self._template.value % parts
            self._file = HDF5File(Path(full_name))
        except (OSError, TypeError, ValueError) as error:
            self._fail(error)
            return
        self._full_name.post(full_name[:LONGEST_PATH])
        if self._increment.value:
            self._number.post(int(self._number.value) + 1)
        self._status.post(WRITTEN)
        self._message.post("")
        self._capture.post(1)

    def _close(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self._fail(error)
        self._capture.post(0)

    def _fail(self, error: Exception) -> None:
        """No frame is written from now on; what there is stays."""
        log.warning("%s: %s", self._full_name.name, error)
        file, self._file = self._file, None
        if file is not None:
            file.abandon()
        self._status.post(FAILED)
        self._message.post(str(error)[:LONGEST_PATH])
        self._capture.post(0)
