"""The camera part of an area detector: exposes, counts, and hands each frame on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.areadetector.setting import Setting, count, switch
from simulators.pv import PutRefused, Pv, Sleep

Frame = NDArray[np.uint16]
"""Rows from top to bottom, columns from left to right."""

TYPES = ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Float32", "Float64")
"""areaDetector's names of what a pixel can be."""

UINT16 = TYPES.index("UInt16")

IDLE, ACQUIRE = 0, 1
STATES = ("Idle", "Acquire")
"""Of the detector, the two that this one knows."""


class Camera:
    """Takes frames while `Acquire` is 1, as `ImageMode` and `NumImages` say.

    A put of 1 to `Acquire` is complete when the last frame is taken; one of 0 stops at once.
    There are no regions, no binning and no external trigger.

    Args:
        prefix: of the PV names, such as `KB:DET:cam1:`.
        port: its asyn port, by which plugins name it.
        model: what it says of itself.
        size: rows and columns.
        expose: the frame that so many seconds of lab time give now.
        sleep: waits for lab time.
    """

    def __init__(
        self,
        prefix: str,
        *,
        port: str,
        model: str,
        size: tuple[int, int],
        expose: Callable[[float], Frame],
        sleep: Sleep,
    ) -> None:
        self._expose = expose
        self._sleep = sleep
        self._consumers: list[Callable[[Frame], Awaitable[None]]] = []
        self._run: asyncio.Task[None] | None = None
        rows, columns = size

        def fixed(name: str, value: Any, what: str, **more: Any) -> Pv:
            return Pv(f"{prefix}{name}", value, what=what, **more)

        self._acquire = Setting(
            f"{prefix}Acquire", 0, "1 acquires, 0 stops", self._put_acquire, limits=(0, 1)
        )
        self._time = Setting(
            f"{prefix}AcquireTime", 0.1, "exposure of a frame", limits=(0.0, 1e4), unit="s"
        )
        self._period = Setting(
            f"{prefix}AcquirePeriod",
            0.0,
            "from the start of one frame to that of the next, if longer than the exposure",
            limits=(0.0, 1e4),
            unit="s",
        )
        self._mode = Setting(
            f"{prefix}ImageMode",
            0,
            "one frame, NumImages of them, or until it is stopped",
            choices=("Single", "Multiple", "Continuous"),
        )
        self._images = count(f"{prefix}NumImages", 1, "frames of an acquisition", lowest=1)
        self._counter = count(f"{prefix}ArrayCounter", 0, "frames taken")
        self._callbacks = switch(
            f"{prefix}ArrayCallbacks", 1, "hand frames on to plugins", "Disable", "Enable"
        )
        self._taken = fixed("NumImagesCounter_RBV", 0, "frames of this acquisition")
        self._state = fixed("DetectorState_RBV", IDLE, "what it does", choices=STATES)
        settings = (
            self._acquire,
            self._time,
            self._period,
            self._mode,
            self._images,
            self._counter,
            self._callbacks,
            Setting(f"{prefix}NumExposures", 1, "exposures of a frame", limits=(1, 1)),
            Setting(f"{prefix}TriggerMode", 0, "what starts a frame", choices=("Internal",)),
            Setting(f"{prefix}DataType", UINT16, "of a pixel", self._keep_type, choices=TYPES),
        )
        self.pvs = (
            *(pv for setting in settings for pv in setting.pvs),
            self._taken,
            self._state,
            fixed("DataType_RBV.DISA", 0, "0: DataType says what it is"),
            fixed("ArraySizeX_RBV", columns, "columns"),
            fixed("ArraySizeY_RBV", rows, "rows"),
            fixed("ArraySizeZ_RBV", 0, "no third dimension"),
            fixed("ArraySize_RBV", 2 * rows * columns, "of a frame", unit="bytes"),
            fixed("MaxSizeX_RBV", columns, "columns"),
            fixed("MaxSizeY_RBV", rows, "rows"),
            fixed("PortName_RBV", port, "its asyn port"),
            fixed("Manufacturer_RBV", "Labwright", "who made it"),
            fixed("Model_RBV", model, "what it is"),
        )

    def feed(self, consumer: Callable[[Frame], Awaitable[None]]) -> None:
        """Hand each further frame to this one, too; the next is exposed when it is done."""
        self._consumers.append(consumer)

    async def _keep_type(self, value: float) -> None:
        if int(value) != UINT16:
            raise PutRefused("the camera gives UInt16, and nothing else")

    async def _put_acquire(self, value: float) -> None:
        if not value:
            if self._run is not None:
                self._run.cancel()
                await asyncio.wait([self._run])
            return
        if self._run is None:
            self._run = asyncio.ensure_future(self._frames())
            try:
                await asyncio.wait([self._run])
            finally:
                self._run = None

    async def _frames(self) -> None:
        """One acquisition."""
        self._taken.post(0)
        self._state.post(ACQUIRE)
        self._acquire.post(1)
        wanted = {"Single": 1, "Multiple": int(self._images.value)}.get(self._mode.choice)
        try:
            while wanted is None or int(self._taken.value) < wanted:
                exposure = float(self._time.value)
                frame = self._expose(exposure)
                await self._sleep(max(exposure, float(self._period.value)))
                self._taken.post(int(self._taken.value) + 1)
                self._counter.post(int(self._counter.value) + 1)
                if self._callbacks.value:
                    for consumer in self._consumers:
                        await consumer(frame)
        finally:
            self._state.post(IDLE)
            self._acquire.post(0)
