"""What a chaos run says: sums over its labs, and whether they are good enough."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.app import versions

GATES = ("flock", "fence_pv")
ZERO = ("lost", "duplicated", "double_driven", "phantom", "unfinished", "fold_mismatches")
"""Counts that must be 0."""

_FAULTS = ("worker_kills", "campaign_kills", "server_kills", "freezes", "ioc_kills", "link_cuts")
_SUMS = ("trials", *_FAULTS, *ZERO, "measured_twice_counted_once", "salvaged")
_MORE = ("beat_kills", "server_freezes", "abandoned", "late_results", "refused")
_POWER = ("trials", "cuts", *ZERO, "events_cut", "told", "tokens_shared")
COUNTS = tuple(dict.fromkeys((*_SUMS, *_MORE, *_POWER)))
"""All that is counted of one lab."""

Found = Mapping[str, Any]
"""What ``tests.chaos.run`` gives of one lab."""


def gates_report(runs: Mapping[str, Sequence[Found]], seeds: Sequence[int]) -> dict[str, Any]:
    """Sums over the labs with a gate, for each gate, and of the control (gate ``none``)."""
    control = _total(runs["none"], ("double_driven", "freezes", "trials"))
    gated = [found for gate in GATES for found in runs[gate]]
    return {
        **_summed(gated),
        "gates": {gate: _summed(runs[gate]) for gate in GATES},
        "control": control,
        "seeds": list(seeds),
        "machine": machine([found for labs in runs.values() for found in labs]),
    }


def power_report(runs: Mapping[str, Sequence[Found]], seeds: Sequence[int]) -> dict[str, Any]:
    """Sums over the labs of each setting of ``appendfsync``."""
    return {
        "power_cut": {
            appendfsync: {**_total(labs, _POWER), "worker_kills": _sum(labs, "worker_kills")}
            for appendfsync, labs in runs.items()
        },
        "seeds": list(seeds),
        "machine": machine([found for labs in runs.values() for found in labs]),
    }


def complaints(report: Mapping[str, Any]) -> list[str]:
    """Why the report is not good enough, one sentence each; empty when it is."""
    if "power_cut" in report:
        return [text for name, sums in report["power_cut"].items() for text in _of_cut(name, sums)]
    found = [f"{name} is {report[name]}, not 0" for name in ZERO if report[name]]
    if not report["control"]["double_driven"]:
        found.append("the control shows no second driver, so the zeros prove nothing")
    return found


def _of_cut(appendfsync: str, sums: Mapping[str, int]) -> Iterable[str]:
    for name in (*ZERO, "tokens_shared"):
        if sums[name]:
            yield f"{appendfsync}: {name} is {sums[name]}, not 0"
    if not sums["cuts"]:
        yield f"{appendfsync}: the power was never cut"
    if appendfsync == "everysec" and not sums["events_cut"]:
        yield f"{appendfsync}: no event was cut off, so the zeros prove nothing"
    if sums["events_cut"] and not sums["told"]:
        yield f"{appendfsync}: {sums['events_cut']} events were cut off, and nobody was told"


def machine(runs: Sequence[Found]) -> dict[str, Any]:
    """Where these labs ran, and how busy it was (load: the least and the most)."""
    loads = [load for found in runs for load in found["load"]]
    return {
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "versions": versions(),
        "load": [min(loads), max(loads)] if loads else None,
        "wall_s": _sum(runs, "wall_s"),
        "cpu_s": _sum(runs, "cpu_s"),
    }


def _summed(runs: Sequence[Found]) -> dict[str, Any]:
    seconds = [second for found in runs for second in found["recoveries"]]
    return {
        **_total(runs, _SUMS),
        "recovery_s_median": round(statistics.median(seconds), 3) if seconds else None,
        "recovery_s_max": round(max(seconds), 3) if seconds else None,
        "more": _total(runs, _MORE),
    }


def _total(runs: Iterable[Found], names: Iterable[str]) -> dict[str, int]:
    total: Counter[str] = Counter(dict.fromkeys(names, 0))
    for found in runs:
        total.update({name: found[name] for name in total})
    return dict(total)


def _sum(runs: Iterable[Found], name: str) -> int:
    return sum(found[name] for found in runs)
