"""The worker's side of its heartbeat: a child that beats, and is replaced when it has died."""

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable

from orchestrator.adapters.processes import child

log = logging.getLogger(__name__)

RESTART_S = 0.2
"""Seconds before a beat that has died is replaced."""
START_S = 60.0
"""Longest wait for the first beat."""


class Heartbeat:
    """A beating child for as long as this is open; closing it ends the child.

    Args:
        start: starts the child, with pipes as its standard input and output; called in a thread of
            its own, because Linux ends a child with the thread that started it.
        on_start: told the child's pid each time.
    """

    def __init__(
        self,
        start: "Callable[[], subprocess.Popen[bytes]]",
        on_start: Callable[[int], None],
    ) -> None:
        self._start = start
        self._on_start = on_start
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._closed = threading.Event()
        self._beats = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._thread.start()

    def announce(self, seconds: float) -> None:
        """This process may be busy for so long from now; later the child takes it for hung."""
        with self._lock:
            self._deadline = time.monotonic() + seconds
            self._tell()

    def wait(self) -> None:
        """Until the first child beats: a lease taken before could be over at once."""
        if not self._beats.wait(START_S):
            log.error("the heartbeat does not start; going on without it")

    def close(self) -> None:
        """End the child."""
        self._closed.set()
        with self._lock:
            beat = self._child
        if beat is not None:
            child.end(beat, 1.0)
        self._thread.join()

    def _keep(self) -> None:
        while not self._closed.is_set():
            beat = self._start()
            with self._lock:
                self._child = beat
                self._tell()
            if self._closed.is_set():
                beat.terminate()
            self._on_start(beat.pid)
            if beat.stdout is not None and beat.stdout.readline():
                self._beats.set()
            code = beat.wait()
            for pipe in (beat.stdin, beat.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            if not self._closed.wait(RESTART_S):
                log.warning("the heartbeat ended with code %s and is started again", code)

    def _tell(self) -> None:
        beat = self._child
        if beat is None or beat.stdin is None or beat.stdin.closed or self._deadline is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it has just died; the next one is told
            os.write(beat.stdin.fileno(), f"{self._deadline}\n".encode())
