"""Walks through the messages of a plan, and a twin within this process obeys them."""

from collections.abc import Callable
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.fake_instrument import Done
from orchestrator.adapters.message_walk import Walk
from orchestrator.adapters.messages import value_of
from orchestrator.adapters.twin_instrument import TwinAxis, TwinDetector, TwinDevice, TwinInstrument
from orchestrator.domain.errors import PlanFailed
from simulators.pv import PutRefused

UNHEARD = ("configure", "subscribe", "wait_for")
"""Messages beside flights and monitors that a plan may depend on, and that nothing here obeys."""


class TwinWalk(Walk):
    """One plan of one trial. What a plan moves at once moves one after another here."""

    plan_s = 600.0  # the model of a twin takes a second for some points

    def __init__(self, instrument: TwinInstrument) -> None:
        super().__init__(instrument)
        self._on = {**self._on, **dict.fromkeys(UNHEARD, self._begun)}
        self._instrument = instrument
        self.stood: dict[str, float] = {}
        """Where each axis stood when a detector was triggered last."""
        self.acquired_s = 0.0
        """Lab seconds of all acquisitions."""
        self.is_refused = False
        """True when the twin did not accept what it was told: it could, elsewhere."""
        self.unserved = ""
        """What the plan first asked for that is not served here, also if it went on regardless."""
        self.is_interrupted = False
        """True when somebody has pressed Ctrl-C: nothing follows from this walk."""

    def clock(self) -> float:
        """Lab seconds that have passed."""
        return self.walked.lab_s

    def _walk(self, plan: MsgGenerator[Any]) -> None:
        try:
            super()._walk(plan)
        except KeyboardInterrupt:
            self.is_interrupted = True
            raise

    def _set(self, message: Msg) -> Done:
        axis, value = message.obj, value_of(message)
        if not isinstance(axis, TwinAxis):
            raise self._not_served(f"{axis.name} is no axis that the twin serves here")
        seconds = self._obeyed(axis, lambda: self._instrument.move(axis, value))
        settle_s = self._instrument.paths.spec(axis.name).settle_s
        self._instrument.wait(settle_s)
        self.walked.sets[axis.name].append(value)
        self.walked.moves_s += seconds + settle_s
        self._takes(message, axis.name, seconds + settle_s)
        return Done()

    def _trigger(self, message: Msg) -> Done:
        device = message.obj
        if isinstance(device, TwinDetector):
            seconds = self._obeyed(device, lambda: self._instrument.acquire(device))
            self.acquired_s += seconds
            self.stood = self._instrument.positions()
            self.walked.triggers[device.name] += 1
            self._takes(message, device.name, seconds)
        return Done()

    def _sleep(self, message: Msg) -> None:
        super()._sleep(message)
        self._instrument.wait(float(message.args[0]))

    def _locate(self, message: Msg) -> Any:
        # As the RunEngine says of any device that a twin within this process stands for.
        raise self._not_served(f"{message.obj.name} is not Locatable, so nothing answers 'locate'")

    def _begun(self, message: Msg) -> Done:
        raise self._not_served(f"a twin within this process does not obey {message.command!r}")

    def _opens_streams(self, message: Msg) -> None:
        if message.command != "declare_stream" or message.kwargs.get("collect"):
            self._begun(message)
        # Else it says what will be read, as bluesky does for a baseline.

    def _not_served(self, text: str) -> PlanFailed:
        self.unserved = self.unserved or text
        return PlanFailed(text)

    def _obeyed(self, device: TwinDevice, order: Callable[[], Any]) -> float:
        try:
            return order()
        except PutRefused as error:
            self.is_refused = True
            verb = "refused the trigger" if isinstance(device, TwinDetector) else "refused to move"
            raise PlanFailed(f"{device.name} {verb}: {error}") from error
