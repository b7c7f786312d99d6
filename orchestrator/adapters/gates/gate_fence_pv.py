"""One driver per instrument by its EPICS server, which binds the fence to the client's circuit.

A Channel Access put carries neither token nor process. So the driver puts ``"<fence> <pid>"`` to
``LABWRIGHT:CLAIM`` through the circuit that will carry its moves; the server refuses moves through
any other. The refusal is silent at the client: what was claimed is read back, and so is each move.
"""

import os
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import LeaseLost, PlanFailed
from orchestrator.ports import Gate

if TYPE_CHECKING:
    from ophyd import EpicsSignal, EpicsSignalRO

CLAIM = "LABWRIGHT:CLAIM"
FENCE = "LABWRIGHT:FENCE"

ANSWER_S = 5.0
"""Longest time that the server may take to connect or to answer."""


class FencePv:
    """The two process variables of a server that binds fences; connected when first used.

    Made and used in the process that drives, after its Channel Access has been pointed at the
    right server.
    """

    def __init__(self) -> None:
        self._signals: tuple[EpicsSignal, EpicsSignalRO] | None = None

    @property
    def highest(self) -> int:
        """Highest fence ever claimed at the server.

        Raises:
            PlanFailed: the server does not answer.
        """
        return int(self._fresh(1))

    @property
    def driver(self) -> str:
        """``"<fence> <pid>"`` of the newest claim; empty when there was none since its start.

        Raises:
            PlanFailed: the server does not answer.
        """
        return str(self._fresh(0))

    def claim(self, fence: int) -> None:
        """Claim the instrument for this process.

        Raises:
            LeaseLost: the server refused: a higher fence was claimed before.
            PlanFailed: the server does not answer.
        """
        text = f"{fence} {os.getpid()}"
        try:
            self._connected()[0].put(text, wait=True, timeout=ANSWER_S)
        except Exception as error:  # whatever the client library raises: the readback decides
            raise _silent(error) from error
        if self.driver != text:
            raise LeaseLost(f"the server refused fence {fence}: {self.highest} was claimed before")

    def _fresh(self, place: int) -> Any:
        try:
            signal = self._connected()[place]
            return signal.get(use_monitor=False, timeout=ANSWER_S, connection_timeout=ANSWER_S)
        except Exception as error:  # timeouts and lost connections, by several names
            raise _silent(error) from error

    def _connected(self) -> "tuple[EpicsSignal, EpicsSignalRO]":
        if self._signals is None:
            from ophyd import EpicsSignal, EpicsSignalRO

            claim = EpicsSignal(CLAIM, name="claim", string=True)
            fence = EpicsSignalRO(FENCE, name="fence")
            for signal in (claim, fence):
                signal.wait_for_connection(timeout=ANSWER_S)
            self._signals = (claim, fence)
        return self._signals


class FencePvGate:
    """The gate at the device: a second driver may start at once, and the first is refused."""

    def __init__(self, pv: FencePv) -> None:
        self._pv = pv

    def enter(self) -> bool:
        """Always True: the newest claim drives."""
        return True

    @property
    def yields(self) -> bool:
        """True: the server refuses this process once another has claimed."""
        return True

    @property
    def floor(self) -> int:
        """Highest fence ever claimed at the server."""
        return self._pv.highest

    def claim(self, fence: int) -> None:
        """Become the driver: every other circuit's moves are refused from now on.

        Raises:
            LeaseLost: a higher fence was claimed before.
            PlanFailed: the server does not answer.
        """
        self._pv.claim(fence)

    def confirm(self, fence: int) -> None:
        """Pass when nobody has claimed the instrument since.

        Raises:
            LeaseLost: somebody has.
            PlanFailed: the server does not answer.
        """
        if self._pv.driver != f"{fence} {os.getpid()}":
            raise LeaseLost(f"{self._pv.driver or 'nobody'} drives now, no longer fence {fence}")


class ToldGate:
    """Another gate, whose claims are also told to a twin's server, so that it can note them."""

    def __init__(self, gate: Gate, pv: FencePv) -> None:
        self._gate = gate
        self._pv = pv

    def enter(self) -> bool:
        """See ports.Gate."""
        return self._gate.enter()

    @property
    def yields(self) -> bool:
        """See ports.Gate."""
        return self._gate.yields

    @property
    def floor(self) -> int:
        """See ports.Gate."""
        return self._gate.floor

    def claim(self, fence: int) -> None:
        """See ports.Gate."""
        self._gate.claim(fence)
        self._pv.claim(fence)

    def confirm(self, fence: int) -> None:
        """See ports.Gate."""
        self._gate.confirm(fence)


def _silent(error: Exception) -> PlanFailed:
    text = f"{CLAIM} does not answer ({type(error).__name__}: {error})"
    return PlanFailed(text, "device_disconnected")
