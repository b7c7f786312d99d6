"""Runs of the regret benchmark, and the file that remembers them: a line of JSON for each."""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil

from tests.benchmarks.peers import METHODS
from tests.benchmarks.problems import PROBLEMS

LOOK_S = 600.0
"""Between two looks at a run. One that has not used a second of processor meanwhile hangs."""
MOST_CPU_S = 3600.0
"""A run that uses more is ended, too."""
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "POLARS_MAX")
}


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign of one method on one problem."""

    method: str
    problem: str
    seed: int
    trials: int

    def key(self) -> dict[str, Any]:
        """What makes a result this run's: a change of any of it asks for another run.

        ``versions`` is None when a package is missing, so that the run cannot be done here.
        """
        problem, method = PROBLEMS[self.problem], METHODS[self.method]
        return {
            **asdict(self),
            "noise": problem.noise,
            "versions": method.versions(),
            "code": method.code(),
        }


class Results:
    """The runs that are done.

    Args:
        file: where they are kept; None keeps them in memory alone.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._found: list[dict[str, Any]] = []
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a process may have died while it wrote it
                    self._found.append(json.loads(line))

    def get(self, run: Run) -> dict[str, Any] | None:
        """The newest result of the run; None when there is none.

        What cannot be run here for lack of a package is taken in the versions that were used.
        """
        key = run.key()
        if key["versions"] is None:
            del key["versions"]
        for found in reversed(self._found):
            if key.items() <= found.items():
                return found
        return None

    def add(self, found: dict[str, Any]) -> None:
        """Keep a result; once this returns, it is on disk."""
        self._found.append(found)
        if self._file is not None:
            with self._file.open("a") as file:
                is_torn = file.tell() and not self._file.read_bytes().endswith(b"\n")
                file.write("\n" * bool(is_torn) + json.dumps(found) + "\n")
                file.flush()
                os.fsync(file.fileno())


def carry_out(runs: Sequence[Run], results: Results, jobs: int) -> Iterator[dict[str, Any]]:
    """Run those that are not done, so many at once, and keep what they give."""
    wanted = [run for run in runs if results.get(run) is None and run.key()["versions"]]
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(carry_out_one, run) for run in wanted]
        try:
            for future in as_completed(futures):
                results.add(future.result())
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def carry_out_one(run: Run) -> dict[str, Any]:
    """The run's key and what came of it, whatever its process does.

    ``regret`` is that of the best noise-free feasible value after each trial, ``cpu_s`` what each
    suggestion took, and ``error`` is None or says how the run ended before its time.
    """
    key = run.key()
    words = [run.method, run.problem, str(run.seed), str(run.trials)]
    with TemporaryFile("w+") as output, TemporaryFile("w+") as complaint:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.peers", *words],
            env={**os.environ, **ONE_THREAD, "LABWRIGHT_PARENT": str(os.getpid())},
            stdout=output,
            stderr=complaint,
        )
        try:
            error = _wait(process)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        trials = [json.loads(line) for line in output if line.endswith("}\n")]
        if error is None and process.returncode:
            complaint.seek(0)
            error = _ending(process.returncode, complaint.read())
    if run.key() != key:
        raise SystemExit(f"the code of {run.method} changed in the midst of a run; start again")
    regrets = PROBLEMS[run.problem].regrets([trial["truth"] for trial in trials])
    return {
        **key,
        "regret": [float(f"{regret:.6g}") for regret in regrets],
        "cpu_s": [trial["cpu_s"] for trial in trials],
        "error": error,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _wait(process: subprocess.Popen[bytes]) -> str | None:
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


def unavailable(runs: Sequence[Run], results: Results) -> Mapping[str, int]:
    """Runs that are neither done nor possible here, by the package that is missing."""
    missing: dict[str, int] = {}
    for run in runs:
        if results.get(run) is None and run.key()["versions"] is None:
            missing[run.method] = missing.get(run.method, 0) + 1
    return missing
