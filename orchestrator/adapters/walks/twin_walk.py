"""Walks through the messages of a plan, and a twin within this process obeys them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.walks.done import Done
from orchestrator.adapters.walks.message_walk import Walk
from orchestrator.adapters.walks.twin_camera import TwinCamera
from orchestrator.adapters.walks.twin_devices import TwinAxis, TwinDetector
from orchestrator.adapters.walks.twin_instrument import NotServed, TwinInstrument
from orchestrator.domain.errors import PlanFailed
from simulators.pv import PutRefused

UNHEARD = ("subscribe", "wait_for")
"""Messages beside flights and monitors that a plan may depend on, and that nothing here obeys."""


class TwinWalk(Walk):
    """One plan of one trial. What a plan moves at once moves one after another here."""

    plan_s = 30.0  # between two messages: a scan on a twin that is slow to compute may take long

    def __init__(self, instrument: TwinInstrument) -> None:
        super().__init__(instrument)
        self._instrument = instrument
        self.stood: dict[str, float] = {}
        """Where each axis stood when a detector was triggered last."""
        self.acquired_s = 0.0
        """Lab seconds of all acquisitions."""
        self.is_refused = False
        """True once the twin, or the guard, refused something; at another point they may not."""
        self.unserved = ""
        """What the plan first asked for that is not served here, also if it went on regardless."""
        self.is_interrupted = False
        """True when somebody has pressed Ctrl-C: nothing follows from this walk."""
        self._on = {
            **self._on,
            **dict.fromkeys(UNHEARD, self._begun),
            "stage": self._stage,
            "unstage": self._stage,
            "configure": self._configure,
        }

    def _walk(self, plan: MsgGenerator[Any]) -> None:
        try:
            super()._walk(plan)
        except KeyboardInterrupt:
            self.is_interrupted = True
            raise
        if self.unserved:
            raise NotServed(self.unserved)

    def _answer(self, message: Msg) -> Any:
        answer = super()._answer(message)
        signal.setitimer(signal.ITIMER_REAL, self.plan_s)
        return answer

    def _go(self, device: Any, path: str, value: Any) -> float | None:
        if not isinstance(device, TwinAxis):
            raise self._not_served(f"{path} is no axis that the twin serves here")
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

    def _stage(self, message: Msg) -> list[Any]:
        self._instrument.stage(message.obj, is_staged=message.command == "stage")
        return [message.obj]

    def _configure(self, message: Msg) -> None:
        if not isinstance(message.obj, TwinCamera):
            self._begun(message)
        values = {**dict(*message.args[:1]), **message.kwargs}
        try:
            with self._telling(f"{message.obj.name} refused its settings"):
                self._instrument.configure(message.obj, values)
        except NotServed as error:
            raise self._not_served(str(error)) from None

    def _sleep(self, message: Msg) -> None:
        super()._sleep(message)
        self._instrument.wait(float(message.args[0]))

    def _begun(self, message: Msg) -> Done:
        raise self._not_served(f"a twin within this process does not obey {message.command!r}")

    def _opens_streams(self, message: Msg) -> None:
        if message.command != "declare_stream" or message.kwargs.get("collect"):
            self._begun(message)
        # Else it says what will be read, as bluesky does for a baseline.

    def _not_served(self, text: str) -> NotServed:
        self.unserved = self.unserved or text
        return NotServed(text)

    @contextmanager
    def _telling(self, refusal: str) -> Iterator[None]:
        """The plan hears of what the twin refuses, as it would of a device that fails."""
        try:
            yield
        except PutRefused as error:
            self.is_refused = True
            raise PlanFailed(f"{refusal}: {error}") from error
