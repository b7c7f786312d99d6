"""Many runs at once, each in a process of one thread; one that crashes or hangs spoils no other."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, TypeVar

import psutil

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")

LOOK_S = 600.0
"""Between two looks at a run. One that has not used a second of processor meanwhile hangs."""
MOST_CPU_S = 3600.0
"""A run that uses more is ended, too."""
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "POLARS_MAX")
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a process has said before its end."""

    lines: list[dict[str, Any]]
    """The objects that it printed, one a line."""
    error: str | None
    """How it ended before its time; None when all went well."""


def at_once(
    wanted: Iterable[Wanted], do: Callable[[Wanted], Found], jobs: int
) -> Iterator[tuple[Wanted, Found]]:
    """Do all of them, so many at once; each with what it gave, as soon as it is done."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(do, one): one for one in wanted}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_module(module: str, words: Sequence[str] = (), told: str = "") -> Said:
    """Run ``python -m module words`` to its end, whatever it does.

    The process prints one JSON object a line. It should end with this one:
    ``child.die_with_parent(child.parent_from_environment(), signal.SIGKILL)``.

    Args:
        module: dotted name.
        words: its arguments.
        told: what it reads from its standard input.
    """
    with TemporaryFile("w+") as given, TemporaryFile("w+") as output, TemporaryFile() as complaint:
        given.write(told)
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env={**os.environ, **ONE_THREAD, "LABWRIGHT_PARENT": str(os.getpid())},
            stdin=given,
            stdout=output,
            stderr=complaint,
        )
        try:
            error = _wait(process)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        lines = [json.loads(line) for line in output if line.endswith("}\n")]
        if error is None and process.returncode:
            complaint.seek(0)
            error = _ending(process.returncode, complaint.read().decode(errors="replace"))
    return Said(lines, error)


def _wait(process: "subprocess.Popen[bytes]") -> str | None:
    """Until the process has ended; gives words when it would not end by itself."""
    before = 0.0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            return None
        times = psutil.Process(process.pid).cpu_times()
        spent = times.user + times.system
        if spent - before < 1:
            return f"hung after {spent:.0f} CPU s"
        if spent > MOST_CPU_S:
            return f"not over after {spent:.0f} CPU s"
        before = spent


def _ending(code: int, complaint: str) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = complaint.strip().splitlines() or [f"exit code {code}"]
    return lines[-1][:300]
