"""``python -m tests.chaos``: a real lab under kills, freezes and cuts; nothing may be lost.

For each seed a lab runs N trials under the gate ``flock``, N under ``fence_pv``, and a control
without a gate, in which frozen workers that wake up must be seen to drive a second time. With
``--power-cuts`` a lab runs N trials for each setting of ``appendfsync``, and the server's log ends
where the power was cut. The exit code is 1 when anything was lost or the run proves nothing.
"""

import argparse
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.chaos.blows import EVERYTHING, ONLY_FREEZES, POWER_CUTS
from tests.chaos.lab import Terms
from tests.chaos.nemesis import Blow
from tests.chaos.report import GATES, ZERO, complaints, gates_report, power_report
from tests.chaos.results import Results
from tests.chaos.run import run

CONTROL_TRIALS = 16
"""Enough for about a dozen aimed freezes: not each of them shows the second driver."""
INTERRUPTED = 130


def main() -> int:
    """Run what is asked for; 1 when something was lost, or when the control shows nothing."""
    options = _options()
    logging.basicConfig(level=logging.CRITICAL)
    results = Results(options.results)
    runs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        for group, terms, blows in _labs(options):
            found = results.known_or(terms, lambda terms=terms, blows=blows: run(terms, blows))
            runs[group].append(found)
            _say(terms, found)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started has ended\n")
        return INTERRUPTED
    seeds = range(options.seed, options.seed + options.seeds)
    report = (power_report if options.power_cuts else gates_report)(runs, seeds)
    sys.stdout.write(json.dumps(report, indent=None if options.json else 2) + "\n")
    found = complaints(report)
    sys.stderr.writelines(f"{text}\n" for text in found)
    return int(bool(found))


def _labs(options: argparse.Namespace) -> Iterator[tuple[str, Terms, Sequence[Blow]]]:
    """Under which name a lab is reported, its terms, and what it is struck with."""
    for seed in range(options.seed, options.seed + options.seeds):
        if options.power_cuts:
            for appendfsync in ("always", "everysec"):
                yield appendfsync, Terms("flock", options.trials, seed, appendfsync), POWER_CUTS
            continue
        rarer = [replace(blow, every=blow.every * options.calm) for blow in EVERYTHING]
        for gate in GATES:
            yield gate, Terms(gate, options.trials, seed, calm=options.calm), rarer
        yield "none", Terms("none", CONTROL_TRIALS, seed), ONLY_FREEZES


def _say(terms: Terms, found: dict[str, Any]) -> None:
    bad = {name: found[name] for name in ZERO if found[name]}
    sys.stderr.write(
        f"seed {terms.seed}, gate {terms.gate}, {terms.appendfsync}: {found['trials']} trials, "
        f"{found['worker_kills']} workers killed, {found['freezes']} frozen, {found['cuts']} "
        f"power cuts, {found['wall_s']} s; {bad or 'nothing lost'}\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="for each lab")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--calm", type=float, default=1.0, help="so many times rarer blows")
    parser.add_argument("--power-cuts", action="store_true", help="cut the power, nothing else")
    parser.add_argument("--results", type=Path, help="file of finished labs: they are not repeated")
    parser.add_argument("--json", action="store_true", help="the report on one line")
    options = parser.parse_args()
    if options.trials < 2 or options.trials % 2:
        parser.error(f"--trials {options.trials}: two instruments share them, so an even number")
    return options


if __name__ == "__main__":
    sys.exit(main())
