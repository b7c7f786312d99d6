"""Runs one benchmark and prints its figures beside their bars; exit code 1 when one is missed."""

import argparse
import json
import operator
import os
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

COMPARE: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}
NAMES = (
    "overhead",
    "check",
    "peak",
    "cli",
    "first_trial",
    "flow",
    "recovery",
    "idle",
    "wallclock",
    "scale",
    "suggest",
    "regret",
    "twins",
    "rehearse",
    "envelope",
)


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=[name.replace("_", "-") for name in NAMES])
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    parser.add_argument("--seeds", type=int, default=None, help="how many repetitions or seeds")
    parser.add_argument("--trials", type=int, default=None, help="trials of each campaign")
    parser.add_argument("--problems", nargs="+", help="regret: only these")
    parser.add_argument("--methods", nargs="+", help="regret: only these")
    parser.add_argument("--results", type=Path, help="regret, twins: finished runs to continue")
    parser.add_argument("--jobs", type=int, help="regret, twins: runs at once")
    parser.add_argument("--report", action="store_true", help="regret: run nothing, report")
    options = parser.parse_args()
    module = import_module(f"tests.benchmarks.{options.name.replace('-', '_')}")
    given = {key: value for key, value in vars(options).items() if value}
    asked = {key: value for key, value in given.items() if key not in ("name", "json")}
    if unknown := asked.keys() - signature(module.measure).parameters:
        parser.error(f"{options.name} takes no --{min(unknown)}")
    if hasattr(module, "RESULTS"):
        asked.setdefault("results", module.RESULTS)
    measured: dict[str, Any] = module.measure(**asked)
    report = {"name": options.name, "machine": machine(), **measured}
    report["passed"] = all(
        COMPARE[sign](measured["figures"][key], bar)
        for key, (sign, bar) in measured["bars"].items()
    )
    in_words = getattr(module, "as_text", as_text)
    print(json.dumps(report) if options.json else in_words(report))
    return 0 if report["passed"] else 1


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def as_text(report: dict[str, Any]) -> str:
    """The figures as a person reads them."""
    lines = [f"{report['name']}  (seeds {report['seeds']}, load {report['machine']['load']:.2f})"]
    for key, value in report["figures"].items():
        bar = report["bars"].get(key)
        lines.append(f"  {key:32} {value:12.4g}" + (f"   must be {bar[0]} {bar[1]}" if bar else ""))
    lines.append("passed" if report["passed"] else "MISSED")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
