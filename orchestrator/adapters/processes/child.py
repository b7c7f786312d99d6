"""Child processes that end with their parent, even when the parent is killed.

On Linux the kernel sends the signal (prctl PR_SET_PDEATHSIG). It does so when the *thread* that
started the child ends, so children are started from a process's main thread.
"""

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

_PR_SET_PDEATHSIG = 1

# Runs before a program that is not ours: asks for the signal, checks that the parent still lives,
# and becomes the program.
_EXEC = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,15) if sys.platform=='linux' else None;"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


def die_with_parent(parent: int, sent: signal.Signals = signal.SIGTERM) -> None:
    """Have this process signalled when its parent ends; exits at once when it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(sent))
    if os.getppid() != parent:
        raise SystemExit(0)


def start_program(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a program that is not ours as a child that ends with this process."""
    wrapped = [sys.executable, "-I", "-S", "-c", _EXEC, str(os.getpid()), *command]
    with log.open("ab") as output:
        return subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def start_module(
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: "int | IO[Any] | None" = None,
    held_back: Collection[signal.Signals] = (),
) -> "subprocess.Popen[bytes]":
    """Start ``python -m`` with these arguments as a child in a session of its own.

    The child's standard error goes to ``log``; the child itself calls ``die_with_parent``.
    Signals that are ``held_back`` wait until the child unblocks them, however early they come.
    """
    full = {**os.environ, **(environment or {}), "LABWRIGHT_PARENT": str(os.getpid())}
    with log.open("ab") as output, _blocked(held_back):
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            env=full,
            start_new_session=True,
        )


@contextlib.contextmanager
def _blocked(signals: Collection[signal.Signals]) -> Iterator[None]:
    """Block signals in this thread, and so in the children that it starts meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def parent_from_environment() -> int:
    """Pid of the process that started this one through ``start_module``."""
    return int(os.environ.get("LABWRIGHT_PARENT", os.getppid()))


def started_at(pid: int) -> float | None:
    """Start time of a process in Unix seconds: with the pid it names one process; None if gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.create_time()
    return None


def is_same_process(pid: int, start: float) -> bool:
    """True when the process with this pid is the one that started at ``start``."""
    found = started_at(pid)
    return found is not None and abs(found - start) < 1.0


def is_stopped(pid: int) -> bool:
    """True when the process is there and stopped (SIGSTOP)."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def end(process: "subprocess.Popen[bytes]", patience_s: float) -> None:
    """Ask a child to end; kill it when it has not within ``patience_s``."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def worker_name() -> str:
    """A name for this process that no other process ever has: host, pid, random."""
    return f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def is_proven_dead(worker: str) -> bool:
    """True when the worker of this name ran on this host and its process is gone."""
    node, _, pid = worker.rpartition("-")[0].rpartition("-")
    return node == platform.node() and pid.isdigit() and started_at(int(pid)) is None
