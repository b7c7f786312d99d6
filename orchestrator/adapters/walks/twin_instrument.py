"""A twin's instrument within this process, as devices that a plan's messages can be walked on.

No EPICS, no ophyd and no clock: each device is the process variables that its class would use. Lab
time passes when something moves or the plan sleeps.
"""

import asyncio
import atexit
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.adapters.walks.twin_camera import TwinCamera
from orchestrator.adapters.walks.twin_devices import TwinAxis, TwinDetector, TwinDevice
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import InstrumentSpec
from simulators.areadetector.camera import Camera
from simulators.pv import Pv
from simulators.twins import TwinModule

FIRST_STEP_S, GROWTH = 0.01, 0.05
"""Lab time goes in steps that grow with what has passed, so that the time of a move is found to one
in twenty."""
LONGEST_MOVE_S = 1e6
"""What has not arrived by then never will."""
AXES = ((":SP", ":RB", "setpoint"), (".VAL", ".RBV", "user_setpoint"))
"""Endings of the process variables to put and to read back, and how documents call the former:
``devices.SetpointReadback`` and ``ophyd.EpicsMotor``."""


class NotServed(PlanFailed):
    """A plan asks for what the twin does not have within this process."""


class TwinInstrument:
    """The devices of an instrument file that its twin serves as an axis, or that acquire.

    Args:
        instrument: the instrument file.
        module: the twin's.
        seed: of the twin's noise.
    """

    def __init__(self, instrument: InstrumentSpec, module: TwinModule, seed: int) -> None:
        self._slept_s = 0.0
        """Lab seconds that acquisitions have taken."""
        self._twin = module.create(seed, self._sleep)
        pvs = {pv.name: pv for pv in self._twin.pvs}
        cameras: Mapping[str, Camera] = getattr(self._twin, "cameras", {})
        found = {
            name: TwinCamera(name, prefix, cameras[prefix], pvs)
            if (prefix := str(one.prefix)) in cameras
            else _device(name, prefix, pvs)
            for name, one in instrument.devices.items()
        }
        self.all = {name: device for name, device in found.items() if device is not None}
        self.paths = DevicePaths(instrument, self.all)

    def at(self, path: str) -> TwinDevice:
        """The device of this name.

        Raises:
            NotServed: the twin does not serve it here.
        """
        if path not in self.all:
            raise NotServed(f"device {path!r} is no axis or detector that the twin serves here")
        return self.all[path]

    def position(self, device: TwinDevice) -> float | None:
        """Where it stands; None for what acquires."""
        return device.position if isinstance(device, TwinAxis) else None

    def read(self, device: TwinDevice) -> dict[str, Any]:
        """What a message ``read`` gives."""
        return device.read()

    def describe(self, device: TwinDevice) -> dict[str, Any]:
        """The data keys of a device."""
        return device.describe()

    def positions(self) -> dict[str, float]:
        """Where each axis stands."""
        return {name: one.position for name, one in self.all.items() if isinstance(one, TwinAxis)}

    def wait(self, seconds: float) -> None:
        """Let lab time pass."""
        self._twin.step(seconds)

    def go(self, device: TwinDevice, value: float) -> float:
        """Put the setpoint and let lab time pass until it has arrived; gives the seconds.

        Raises:
            PutRefused: by the twin.
            PlanFailed: it is no axis, or never arrives.
        """
        if not isinstance(device, TwinAxis):
            raise PlanFailed(f"{device.name} is no axis")
        return _loop().run_until_complete(self._move(device, value))

    def acquire(self, detector: TwinDetector) -> float:
        """Trigger it; gives the lab seconds that it took, in which nothing moves.

        Raises:
            PutRefused: by the twin.
            PlanFailed: it is a camera that is not staged.
        """
        before = self._slept_s
        _loop().run_until_complete(detector.take())
        return self._slept_s - before

    def stage(self, device: TwinDevice, *, is_staged: bool) -> None:
        """Stage or unstage it; for all but a camera that does nothing."""
        if isinstance(device, TwinCamera):
            _loop().run_until_complete(device.stage(is_staged=is_staged))

    def configure(self, camera: TwinCamera, values: Mapping[str, Any]) -> None:
        """Change settings of a camera, by the names that ophyd gives them.

        Raises:
            NotServed: it has no such setting here.
            PutRefused: by the twin.
        """
        if unknown := [name for name in values if name not in camera.settings]:
            setting = f"{camera.name} has no setting {unknown[0]!r}"
            raise NotServed(f"{setting} that the twin serves here")
        for name, value in values.items():
            _loop().run_until_complete(camera.settings[name].pv.accept(value))

    async def _move(self, axis: TwinAxis, value: float) -> float:
        put = asyncio.ensure_future(axis.setpoint.accept(value))
        try:
            await asyncio.sleep(0)
            passed_s = await self._arrived(axis, put)
            await put
        finally:
            put.cancel()
            await asyncio.wait([put])
        return passed_s

    async def _arrived(self, axis: TwinAxis, put: asyncio.Future[None]) -> float:
        passed_s, before = 0.0, math.nan
        # A motor's put is complete when it has arrived; a setpoint's at once, and the readback of
        # one that has arrived stands still.
        while not put.done() or axis.position != before:
            step_s, before = FIRST_STEP_S + GROWTH * passed_s, axis.position
            self._twin.step(step_s)
            if not put.done():  # else nothing waits for what has moved
                await asyncio.sleep(0)
            passed_s += step_s if axis.position != before or not put.done() else 0.0
            if passed_s > LONGEST_MOVE_S:
                raise PlanFailed(f"device {axis.name!r} of the twin never arrives")
        return passed_s

    async def _sleep(self, seconds: float) -> None:
        self._slept_s += seconds


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all twins of this process: a lock or an event that they keep belongs to one loop."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def _device(name: str, prefix: str, pvs: Mapping[str, Pv]) -> TwinDevice | None:
    """What the twin serves under this prefix; None when it is neither axis nor detector."""
    for put, read, called in AXES:
        setpoint, readback = pvs.get(f"{prefix}{put}"), pvs.get(f"{prefix}{read}")
        if setpoint is not None and readback is not None:
            return TwinAxis(name, setpoint, readback, called)
    if (names := pvs.get(f"{prefix}:CHANNELS")) is None:
        return None
    channels = {one: pvs[f"{prefix}:{one}"] for one in str(names.value).split(",")}
    return TwinDetector(name, pvs[f"{prefix}:TRIGGER"], channels)
