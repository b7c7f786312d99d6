"""An area detector of a twin within this process: its frames are kept, and no file is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.adapters.walks.twin_devices import TwinDetector
from orchestrator.domain.errors import PlanFailed
from simulators.areadetector.camera import Camera, Frame
from simulators.pv import Pv

SETTINGS = {
    "cam.acquire_time": "AcquireTime",
    "cam.acquire_period": "AcquirePeriod",
    "cam.num_images": "NumImages",
}
"""What a plan may configure, by the names of ophyd and of areaDetector."""

SINGLE, MULTIPLE = 0, 1
"""What `ImageMode` says: one frame, or `NumImages` of them."""


@dataclass(frozen=True)
class CameraSetting:
    """A setting, with the place from which its dotted name and so its limits are found."""

    parent: "TwinCamera"
    attr_name: str
    pv: Pv


class TwinCamera(TwinDetector):
    """Takes frames as ``devices.area_detector.HDF5Detector`` does; they are ``{name}_image``.

    Args:
        name: of the device.
        prefix: start of the PV names; ``cam1:`` follows.
        camera: of the twin.
        pvs: all process variables of the twin.
    """

    def __init__(self, name: str, prefix: str, camera: Camera, pvs: Mapping[str, Pv]) -> None:
        super().__init__(name, pvs[f"{prefix}cam1:Acquire"], {})
        self.settings = {
            path: CameraSetting(self, path, pvs[f"{prefix}cam1:{called}"])
            for path, called in SETTINGS.items()
        }
        vars(self).update(self.settings)  # the guard looks for them by these names
        self._mode = pvs[f"{prefix}cam1:ImageMode"]
        self._is_staged = False
        self._frames: list[Frame] = []
        camera.feed(self._keep)

    async def stage(self, *, is_staged: bool) -> None:
        """Be ready for triggers, or no longer."""
        self._is_staged = is_staged
        await self._mode.accept(MULTIPLE if is_staged else SINGLE)

    async def take(self) -> None:
        """Take the frames of one trigger.

        Raises:
            PlanFailed: it is not staged.
        """
        if not self._is_staged:
            raise PlanFailed(f"{self.name} is not staged: it has no file to write to")
        self._frames.clear()
        await super().take()

    def read(self) -> dict[str, Any]:
        """The frames of the last trigger, one after the other."""
        return {f"{self.name}_image": {"value": np.array(self._frames), "timestamp": 0.0}}

    def describe(self) -> dict[str, Any]:
        """The data key; like that of a real one it stands for what is elsewhere."""
        shape = list(np.shape(self._frames))
        about = {"source": self.acquire.name, "dtype": "array", "shape": shape}
        return {f"{self.name}_image": {**about, "external": "TWIN:"}}

    async def _keep(self, frame: Frame) -> None:
        self._frames.append(frame)
