"""``python -m tests.chaos``: a real lab under kills, freezes and cuts; nothing may be lost.

For each seed a lab runs N trials under the gate ``flock``, N under ``fence_pv``, and a control
without a gate, in which frozen workers that wake up must be seen to drive a second time.
"""

import argparse
import json
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from orchestrator.domain.errors import LedgerError
from tests.chaos import audit
from tests.chaos.lab import ChaosLab, Terms, chaos_lab
from tests.chaos.nemesis import EVERYTHING, ONLY_FREEZES, Nemesis

GATES = ("flock", "fence_pv")
CONTROL_TRIALS = 60
"""Enough for about ten aimed freezes: not each of them shows the second driver."""
PER_TRIAL_S = 20.0
"""Longest time that a lab may take for each trial; what has not ended then is unfinished."""

FAULTS = ("worker_kills", "campaign_kills", "server_kills", "freezes", "ioc_kills", "link_cuts")
ZERO = ("lost", "duplicated", "double_driven", "phantom", "unfinished", "fold_mismatches")
SUMS = ("trials", *FAULTS, *ZERO, "measured_twice_counted_once", "salvaged")
EXTRA = ("beat_kills", "server_freezes", "abandoned", "late_results", "refused", "wall_s")


def main() -> int:
    """Run what is asked for; 1 when something was lost, or when the control shows nothing."""
    options = _options()
    logging.basicConfig(level=logging.CRITICAL)
    known = _known(options.results)
    runs = []
    for terms in _all_terms(options):
        key = f"{terms.seed} {terms.gate} {terms.trials}"
        if key not in known:
            known[key] = run(terms)
            if options.results is not None:
                with options.results.open("a") as file:
                    file.write(json.dumps({"key": key, **known[key]}) + "\n")
        runs.append((terms, known[key]))
        _say(options, terms, known[key])
    report = _report(runs)
    sys.stdout.write(json.dumps(report, indent=None if options.json else 2) + "\n")
    bad = any(report[name] for name in ZERO) or report["control"]["double_driven"] == 0
    return int(bad)


def run(terms: Terms) -> dict[str, Any]:
    """Put one lab through its seed; gives its counts and the list ``recoveries`` (seconds)."""
    data_dir = Path(tempfile.mkdtemp(prefix="labwright-chaos-"))
    started = time.monotonic()
    with chaos_lab(terms, data_dir) as lab:
        blows = ONLY_FREEZES if terms.gate == "none" else EVERYTHING
        nemesis = Nemesis(lab, blows)
        nemesis.start()
        try:
            mismatches = _attend(lab, started + 60.0 + PER_TRIAL_S * terms.trials)
        finally:
            nemesis.stop()
        _settle(lab)
        counts = audit.counted(lab, nemesis.deaths) + nemesis.counts
        counts["fold_mismatches"] = mismatches + audit.fold_mismatches(lab)
        counts["refused"] = sum(audit.refused(lab.witness(name)) for name in lab.campaigns)
        seconds = audit.recoveries(lab, nemesis.deaths)
    found = {name: int(counts[name]) for name in (*SUMS, *EXTRA)}
    if any(found[name] for name in ZERO) and terms.gate != "none":
        sys.stderr.write(f"kept for a look: {data_dir}\n")
    else:
        shutil.rmtree(data_dir)
    found["wall_s"] = round(time.monotonic() - started)
    return {**found, "recoveries": seconds}


def _attend(lab: ChaosLab, give_up: float) -> int:
    """Supervise until every campaign is over; gives the mismatches seen at server restarts."""
    mismatches, server = 0, lab.supervisor.server
    while time.monotonic() < give_up:
        lab.supervisor.step()
        try:
            if lab.supervisor.server is not server:
                mismatches += audit.fold_mismatches(lab)
                server = lab.supervisor.server
            if all(audit.is_over(lab.state(name)) for name in lab.campaigns):
                break
        except (LedgerError, redis.RedisError):
            pass  # the next look finds it restarted
        time.sleep(0.05)
    return mismatches


def _settle(lab: ChaosLab) -> None:
    """Until the server answers again, should its death have been the last blow."""
    give_up = time.monotonic() + 30.0
    while True:
        lab.supervisor.step()
        try:
            return lab.ledger.ping()
        except LedgerError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _all_terms(options: argparse.Namespace) -> Iterator[Terms]:
    for seed in range(options.seed, options.seed + options.seeds):
        for gate in GATES:
            yield Terms(gate, options.trials, seed)
        yield Terms("none", CONTROL_TRIALS, seed)


def _report(runs: list[tuple[Terms, dict[str, Any]]]) -> dict[str, Any]:
    gates = {}
    for gate in GATES:
        gates[gate] = _sum([found for terms, found in runs if terms.gate == gate])
    control = [found for terms, found in runs if terms.gate == "none"]
    together = _sum([found for terms, found in runs if terms.gate != "none"])
    seeds = sorted({terms.seed for terms, _ in runs})
    return {
        **together,
        "gates": gates,
        "control": {
            "double_driven": sum(found["double_driven"] for found in control),
            "freezes": sum(found["freezes"] for found in control),
            "trials": sum(found["trials"] for found in control),
        },
        "seeds": seeds,
    }


def _sum(runs: list[dict[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for found in runs:
        total.update({name: found[name] for name in (*SUMS, *EXTRA)})
    seconds = [second for found in runs for second in found["recoveries"]]
    return {
        **{name: total[name] for name in (*SUMS, *EXTRA)},
        "recovery_s_median": round(statistics.median(seconds), 3) if seconds else None,
        "recovery_s_max": round(max(seconds), 3) if seconds else None,
    }


def _known(file: Path | None) -> dict[str, dict[str, Any]]:
    if file is None or not file.exists():
        return {}
    lines = map(json.loads, file.read_text().splitlines())
    return {line.pop("key"): line for line in lines}


def _say(options: argparse.Namespace, terms: Terms, found: dict[str, Any]) -> None:
    bad = {name: found[name] for name in ZERO if found[name]}
    sys.stderr.write(
        f"seed {terms.seed}, gate {terms.gate}: {found['trials']} trials, "
        f"{found['worker_kills']} workers killed, {found['freezes']} frozen, "
        f"{found['wall_s']} s; {bad or 'nothing lost'}\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="for each gate and seed")
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--results", type=Path, help="file of finished runs: they are not repeated")
    parser.add_argument("--json", action="store_true", help="the report on one line")
    options = parser.parse_args()
    if options.trials < 2 or options.trials % 2:
        parser.error(f"--trials {options.trials}: two instruments share them, so an even number")
    return options


if __name__ == "__main__":
    sys.exit(main())
