"""Walks through the messages of a plan, and a twin within this process obeys them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bluesky.utils import Msg

from orchestrator.adapters.done import Done
from orchestrator.adapters.message_walk import Walk
from orchestrator.adapters.twin_instrument import TwinDetector, TwinInstrument
from orchestrator.domain.errors import PlanFailed
from simulators.pv import PutRefused


class TwinWalk(Walk):
    """One plan of one trial. What a plan moves at once moves one after another here."""

    plan_s = 600.0  # the model of a twin takes a second for some points

    def __init__(self, instrument: TwinInstrument) -> None:
        super().__init__(instrument)
        self._instrument = instrument
        self.stood: dict[str, float] = {}
        """Where each axis stood when a detector was triggered last."""
        self.acquired_s = 0.0
        """Lab seconds of all acquisitions."""
        self.is_refused = False
        """True once the twin, or the envelope, refused something; at another point they may not."""
        self._on = {**self._on, "configure": self._begun}

    def _go(self, device: Any, path: str, value: Any) -> float | None:
        with self._telling(f"{path} refused to move"):
            return super()._go(device, path, value)

    def _trigger(self, message: Msg) -> Done:
        device = message.obj
        if isinstance(device, TwinDetector):
            with self._telling(f"{device.name} refused the trigger"):
                seconds = self._instrument.acquire(device)
            self.acquired_s += seconds
            self.stood = self._instrument.positions()
            self.walked.triggers[device.name] += 1
            self._takes(message, device.name, seconds)
        return Done()

    def _sleep(self, message: Msg) -> None:
        super()._sleep(message)
        self._instrument.wait(float(message.args[0]))

    def _begun(self, message: Msg) -> Done:
        raise PlanFailed(f"a twin within this process does not obey {message.command!r}")

    def _opens_streams(self, message: Msg) -> None:
        self._begun(message)

    @contextmanager
    def _telling(self, refusal: str) -> Iterator[None]:
        """The plan hears of what the twin refuses, as it would of a device that fails."""
        try:
            yield
        except PutRefused as error:
            self.is_refused = True
            raise PlanFailed(f"{refusal}: {error}") from error
