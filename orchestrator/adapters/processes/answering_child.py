"""A child process that answers questions, one at a time, for as long as its parent lives.

For code that may crash, hang or hold the interpreter lock: its parent goes on. Questions and
answers are our own types and plain data, and go through a pipe that only the two have.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

from orchestrator.adapters.processes.child import die_with_parent

MOST_DEATHS = 3
"""Children that may die over one question before it is given up."""
END_S = 1.0
"""Longest wait for the end of a child that has closed its pipe; then it is killed."""

_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


class ChildDied(Exception):
    """The child ended before it answered."""

    def __init__(self, code: int) -> None:
        """``code`` as subprocess gives it: minus the number of the signal that ended it."""
        ended = f"ended with exit code {code}"
        super().__init__(ended if code >= 0 else f"was killed by {_signal_name(-code)}")
        self.was_ended_from_outside = -code in _FROM_OUTSIDE
        """True after a signal that says nothing against what it was working on."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class AnsweringChild:
    """The child, seen from its parent. Linux ends it with the *thread* that made this object.

    It is started plainly and not by ``multiprocessing``, which would import the parent's main
    module again and leave a second process running.
    """

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. It calls ``serve()`` of ``module``, which calls ``answer_questions``."""
        self._connection, other = Pipe()
        code = f"from {module} import serve; serve()"
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(other.fileno()), str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output belongs to the parent's answers
            pass_fds=[other.fileno()],
            env={**os.environ, **(environment or {}), "PYTHONPATH": path},
            start_new_session=True,
        )
        other.close()
        self.is_loaded = False
        """True once it has said that it is ready for questions."""

    @property
    def is_alive(self) -> bool:
        """True until its process has ended."""
        return self._process.poll() is None

    def load(self, timeout_s: float | None = None) -> None:
        """Wait until it has imported what it needs; None waits as long as it takes.

        Raises:
            TimeoutError: it is not ready in time; it was killed.
            ChildDied: it has ended.
        """
        if not self.is_loaded:
            self._receive(timeout_s)
            self.is_loaded = True

    def ask(self, question: Any, timeout_s: float | None = None) -> Any:
        """Its answer, once it is loaded; None waits as long as it takes.

        Raises:
            TimeoutError: there is none in time; it was killed.
            ChildDied: it has ended.
        """
        try:
            self._connection.send(question)
        except OSError:
            raise ChildDied(self._exit_code()) from None
        return self._receive(timeout_s)

    def end(self) -> None:
        """Kill it, with what it has started itself."""
        if self._process.returncode is None:  # later its number may be another's
            self._kill_group()
        self._process.wait()

    def _receive(self, timeout_s: float | None) -> Any:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._kill_group()  # an answer that was begun and not finished would hold us for ever

        timer = threading.Timer(threading.TIMEOUT_MAX if timeout_s is None else timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            return self._connection.recv()
        except Exception:  # the pipe has ended, or holds what is no answer
            if late.is_set():
                raise TimeoutError from None
            raise ChildDied(self._exit_code()) from None
        finally:
            timer.cancel()

    def _exit_code(self) -> int:
        """How it ended. What it started is killed, and itself when it only closed its pipe."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(END_S)
            self._kill_group()
            return code
        self._kill_group()
        self._process.wait()
        return 1  # it only closed its pipe: the kill was ours

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def answer_questions(load: Callable[..., Callable[[Any], Any]], niceness: int = 0) -> None:
    """What the child does: load, then answer one question after the other until its parent ends.

    ``load`` is given the arguments of ``AnsweringChild`` and gives what answers. What that raises
    ends the child. ``niceness`` is how far it gives way to the processes of the instrument.
    """
    descriptor, parent, *arguments = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the parent
    _end_with(int(parent))
    os.nice(niceness)
    connection: Connection[Any, Any] = Connection(int(descriptor))
    # Only this process has this end, not what it starts: so its death is seen at once.
    os.set_inheritable(connection.fileno(), False)
    os.register_at_fork(after_in_child=connection.close)
    answer = load(*arguments)
    connection.send("loaded")
    for question in _questions(connection):
        connection.send(answer(question))
    os._exit(0)


def _questions(connection: "Connection[Any, Any]") -> Iterator[Any]:
    with suppress(EOFError, OSError):
        while True:
            yield connection.recv()


def _end_with(parent: int) -> None:
    """End when the parent ends, even by kill -9: at once on Linux, else within a second."""
    die_with_parent(parent, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
