"""Runs of the regret benchmark, and the file that remembers them: a line of JSON for each."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.adapters.disk.finished_runs import FinishedRuns
from orchestrator.adapters.processes.run_processes import at_once, run_module
from tests.benchmarks.peers import METHODS
from tests.benchmarks.problems import PROBLEMS


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


class Results(FinishedRuns):
    """The runs that are done."""

    def get(self, run: Run) -> dict[str, Any] | None:
        """The newest result of the run; None when there is none.

        What cannot be run here for lack of a package is taken in the versions that were used.
        """
        key = run.key()
        if key["versions"] is None:
            del key["versions"]
        return self.find(key)


def carry_out(runs: Sequence[Run], results: Results, jobs: int) -> Iterator[dict[str, Any]]:
    """Run those that are not done, so many at once, and keep what they give."""
    wanted = [run for run in runs if results.get(run) is None and run.key()["versions"]]
    for _, found in at_once(wanted, carry_out_one, jobs):
        results.add(found)
        yield found


def carry_out_one(run: Run) -> dict[str, Any]:
    """The run's key and what came of it, whatever its process does.

    ``regret`` is that of the best noise-free feasible value after each trial, ``cpu_s`` what each
    suggestion took, and ``error`` is None or says how the run ended before its time.
    """
    key = run.key()
    words = [run.method, run.problem, str(run.seed), str(run.trials)]
    said = run_module("tests.benchmarks.peers", words)
    if run.key() != key:
        raise SystemExit(f"the code of {run.method} changed in the midst of a run; start again")
    regrets = PROBLEMS[run.problem].regrets([trial["truth"] for trial in said.lines])
    return {
        **key,
        "regret": [float(f"{regret:.6g}") for regret in regrets],
        "cpu_s": [trial["cpu_s"] for trial in said.lines],
        "error": said.error,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def unavailable(runs: Sequence[Run], results: Results) -> Mapping[str, int]:
    """Runs that are neither done nor possible here, by the package that is missing."""
    missing: dict[str, int] = {}
    for run in runs:
        if results.get(run) is None and run.key()["versions"] is None:
            missing[run.method] = missing.get(run.method, 0) + 1
    return missing
