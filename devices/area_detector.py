"""An area detector whose IOC writes HDF5 files, from ophyd's own classes: copy it for your camera.

For another camera put its class (such as `ophyd.PilatusDetectorCam`) in the place of
`SimDetectorCam`; for a newer areaDetector put `ophyd.areadetector.plugins.HDF5Plugin_V34` in the
place of `HDF5Plugin`.
"""

import time
from typing import Any

from ophyd import Component, SimDetectorCam, SingleTrigger
from ophyd.areadetector.detectors import DetectorBase
from ophyd.areadetector.filestore_mixins import FileStoreHDF5IterativeWrite
from ophyd.areadetector.plugins import HDF5Plugin
from ophyd.device import Staged

from devices.errors import NoFolder

LONGEST_PATH = 255
"""Characters that areaDetector has room for."""


class HDF5Files(HDF5Plugin, FileStoreHDF5IterativeWrite):
    """The IOC's file plugin: one file from stage to unstage, one datum for each trigger."""

    def stage(self) -> Any:
        """Open a file.

        Raises:
            NoFolder: no folder was given, its path is too long, or the IOC has none of that name.
        """
        path = self.make_filename()[2]
        if path == "/":
            raise NoFolder(
                f"{self.root.name}: no folder for its files; give 'files' in the instrument file, "
                "or 'write_path_template' under the device's kwargs"
            )
        if len(path) > LONGEST_PATH:
            raise NoFolder(f"{self.root.name}: longer than {LONGEST_PATH} characters: {path}")
        self.file_path.set(path).wait(timeout=10)
        if not self.file_path_exists.get():
            raise NoFolder(f"{self.root.name}: its IOC finds no folder {path}")
        return super().stage()


class HDF5Detector(SingleTrigger, DetectorBase):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Takes `cam.num_images` frames at each trigger; the frames are the data key `{name}_image`.

    Args:
        prefix: start of the PV names, such as `KB:DET:`; `cam1:` and `HDF1:` follow.
        name: of the device.
        write_path_template: folder as the IOC names it, with codes of `strftime`. The key `files`
            of an instrument file sets it for each attempt.
        read_path_template: the same folder as it is named here; None if the names are the same.
        root: part of the read path that may change when files are moved.
    """

    _default_read_attrs = ("hdf",)

    cam = Component(SimDetectorCam, "cam1:")
    hdf = Component(HDF5Files, "HDF1:", write_path_template="/")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        write_path_template: str = "/",
        read_path_template: str | None = None,
        root: str = "/",
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.hdf.reg_root = root
        self.hdf.write_path_template = write_path_template
        self.hdf.read_path_template = read_path_template

    def trigger(self) -> Any:
        """Take frames; the status is done when the camera has stopped.

        Ophyd's own gives None instead of a status when the frames are taken before it returns.
        """
        if self._staged != Staged.yes:
            raise RuntimeError(f"{self.name} is not staged: it has no file to write to")
        self._status = status = self._status_type(self)
        self.generate_datum(self._image_name, time.time(), {})
        self._acquisition_signal.put(1, wait=False)
        return status

    @property
    def acquiring(self) -> bool:
        """True while the camera takes frames, whoever has started it."""
        return bool(self.cam.acquire.get(use_monitor=False))

    def stop(self, *, success: bool = False) -> None:
        """Take no further frame, and close the file."""
        self.cam.acquire.put(0)
        self.hdf.capture.put(0)
        super().stop(success=success)
