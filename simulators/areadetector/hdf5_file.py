"""An HDF5 file of frames, laid out as areaDetector's plugin does it."""

import contextlib
import os
from pathlib import Path

import h5py

from simulators.areadetector.camera import Frame

DATASET = "/entry/data/data"
"""All frames, one after the other along the first axis."""


class HDF5File:
    """A new file; it is safe on disk once `close` has returned.

    Args:
        path: where nothing is yet.

    Raises:
        OSError: the folder is missing, there is a file already, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.frames = 0
        """How many it holds."""
        self._path = path
        self._file = h5py.File(path, "x")
        self._dataset: h5py.Dataset | None = None

    def append(self, frame: Frame) -> None:
        """Add a frame, of the same size as the first.

        Raises:
            OSError: it cannot be written.
        """
        if self._dataset is None:
            self._dataset = self._create(frame)
        self._dataset.resize(self.frames + 1, axis=0)
        self._dataset[self.frames] = frame
        self.frames += 1

    def close(self) -> None:
        """End the file, and wait until the disk has it.

        Raises:
            OSError: the disk has not got all of it.
        """
        self._file.close()
        for path in (self._path, self._path.parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def abandon(self) -> None:
        """Close it as it is."""
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()

    def _create(self, frame: Frame) -> h5py.Dataset:
        dataset = self._file.create_dataset(
            DATASET,
            shape=(0, *frame.shape),
            maxshape=(None, *frame.shape),
            chunks=(1, *frame.shape),
            dtype=frame.dtype,
        )
        self._file["entry"].attrs["NX_class"] = "NXentry"
        self._file["entry/data"].attrs.update(NX_class="NXdata", signal="data")
        detector = self._file.create_group("entry/instrument/detector")
        self._file["entry/instrument"].attrs["NX_class"] = "NXinstrument"
        detector.attrs["NX_class"] = "NXdetector"
        detector["data"] = dataset  # the same data under a second name
        return dataset
