"""What a plan has begun and not ended, so that the next one on the same RunEngine call can start.

A RunEngine tidies up at the end of a call. Here one call holds many attempts.
"""

import logging
from collections.abc import Generator, Hashable
from typing import Any

from bluesky.utils import Msg

log = logging.getLogger(__name__)

Messages = Generator[Msg, Any, Any]

WAIT_S = 10.0
"""Longest wait for what was begun to come to its end."""


class LeftOver:
    """Is told of each message that was obeyed."""

    def __init__(self) -> None:
        self._runs: dict[Hashable, None] = {}
        self._staged: dict[Any, None] = {}
        self._moved: dict[Any, None] = {}
        self._monitored: dict[tuple[Any, Hashable], None] = {}
        self._groups: dict[Hashable, None] = {}

    def note(self, message: Msg) -> None:
        """A message was obeyed."""
        match message.command:
            case "open_run":
                self._runs[message.run] = None
            case "close_run":
                self._runs.pop(message.run, None)
            case "stage":
                self._staged[message.obj] = None
            case "unstage":
                self._staged.pop(message.obj, None)
            case "monitor":
                self._monitored[message.obj, message.run] = None
            case "unmonitor":
                self._monitored.pop((message.obj, message.run), None)
            case "set" | "kickoff":
                self._moved[message.obj] = None
            case "wait":
                self._groups.pop(group_of(message), None)
            case _:
                pass
        if message.command != "wait" and (group := message.kwargs.get("group")) is not None:
            self._groups[group] = None

    def put_away(self, error: Exception | None) -> Messages:
        """Close runs as failed, and undo staging; what that raises is logged.

        After an ``error``, whatever may still move is stopped first.
        """
        why = str(error or "left open by its plan")
        if error is not None:
            for device in self._moved:
                if hasattr(device, "stop"):
                    yield from _tried(Msg("stop", device))
            for group in self._groups:
                yield from _tried(Msg("wait", None, group=group, timeout=WAIT_S))
        for signal, run in self._monitored:
            yield from _tried(Msg("unmonitor", signal, run=run))
        for run in reversed(self._runs):
            yield from _tried(Msg("close_run", None, run=run, exit_status="fail", reason=why))
        for device in reversed(self._staged):
            yield from _tried(Msg("unstage", device, group="left over"))
        if self._staged:
            yield from _tried(Msg("wait", None, group="left over", timeout=WAIT_S))


def group_of(message: Msg) -> Hashable:
    """The group that a ``wait`` waits for."""
    return message.args[0] if message.args else message.kwargs.get("group")


def _tried(message: Msg) -> Messages:
    try:
        yield message
    except Exception as error:  # the others must be put away all the same
        log.warning("%s of %r after an attempt: %s", message.command, message.obj, error)
