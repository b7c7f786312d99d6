"""One run in a process of its own: ``python -m tests.benchmarks.peers METHOD PROBLEM SEED TRIALS``.

It prints a JSON line for each trial as soon as it is over, so that a run that dies leaves what it
had: noise-free outcomes, and the CPU seconds that the suggestion took, the telling included.
"""

import json
import signal
import sys
import time
import warnings

from orchestrator.adapters.processes.child import die_with_parent, parent_from_environment
from tests.benchmarks.peers import METHODS
from tests.benchmarks.problems import PROBLEMS


def main() -> None:
    """Run to the end of the budget, or to the error that ends it."""
    name, problem_name, seed, trials = sys.argv[1:]
    die_with_parent(parent_from_environment(), signal.SIGKILL)
    warnings.simplefilter("ignore")
    lines, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no result
    problem = PROBLEMS[problem_name]
    if "botorch" in METHODS[name].packages:
        from botorch.acquisition.multi_objective import logei

        logei._load_attempted = True  # else C++ is compiled in the midst of the first suggestion
    optimizer = METHODS[name].start(problem, int(seed))
    for number in range(1, int(trials) + 1):
        begin = time.process_time()
        point = optimizer.suggest()
        spent = time.process_time() - begin
        measured = problem.measured(int(seed), number, point)
        begin = time.process_time()
        optimizer.tell(point, measured)
        spent += time.process_time() - begin
        found = {"point": point, "truth": problem.truth(point), "cpu_s": round(spent, 4)}
        print(json.dumps(found), file=lines, flush=True)


if __name__ == "__main__":
    main()
