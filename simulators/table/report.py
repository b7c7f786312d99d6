"""What a table is worth as a twin, as data and in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from simulators.table.instrument import TableTwin

FEW_PER_PARAMETER = 10
"""Distinct points for each parameter below which a table is called small."""

POOR_R2 = 0.5
"""Leave-one-out R2 below which an outcome is called poorly predicted."""

FAR_SHARE = 0.05
"""Share of the limits' box out of reach from which on a campaign should be told of it."""

PROBES = 1000
"""Random points from which that share is estimated."""


def report(twin: TableTwin) -> dict[str, Any]:
    """Rows, points, reach, limits and the quality of each outcome, as JSON can hold it."""
    emulator, points = twin.emulator, twin.emulator.points
    out_of_reach = _out_of_reach(twin)
    return {
        "rows": twin.table.rows,
        "rows_used": len(twin.table.x),
        "distinct_points": len(points.x),
        "replicates": points.repeats,
        "emulator": twin.header.emulator,
        "points_used": emulator.used,
        "reach": emulator.reach,
        "out_of_reach": out_of_reach,
        "limits": {
            name: list(pair)
            for name, pair in twin.limits.items()
            if name not in twin.header.choices
        },
        "choices": {name: list(names) for name, names in twin.header.choices.items()},
        "outcomes": {
            name: {
                "unit": outcome.unit,
                "r2": quality.r2,
                "coverage_95": quality.coverage,
                "noise_sd": quality.noise_sd,
                "noise_from": quality.noise_from,
            }
            for (name, outcome), quality in zip(
                twin.header.outcomes.items(), emulator.quality, strict=True
            )
        },
        "warnings": list(_warnings(twin, out_of_reach)),
    }


def _out_of_reach(twin: TableTwin) -> float:
    """Share of the box of all setpoints that is too far from the data."""
    low, high = np.array(list(twin.limits.values())).T
    random = np.random.default_rng(0)
    probes = random.uniform(low, high, (PROBES, len(low)))
    for index, names in enumerate(twin.header.names):
        if names:
            probes[:, index] = random.integers(names, size=PROBES)
    return sum(twin.emulator.distance(point) > twin.emulator.reach for point in probes) / PROBES


def lines(about: dict[str, Any]) -> Iterator[str]:
    """The report for a person."""
    rows = f"{about['rows']} rows"
    if about["rows_used"] < about["rows"]:
        yield (
            f"{rows} were read and checked; {about['rows_used']} are used, so that the twin is "
            "quick: chosen at random, the same each time, with the lowest and highest of each "
            "column"
        )
        rows = f"{about['rows_used']} rows"
    yield f"{rows}: {about['distinct_points']} distinct points, {about['replicates']} replicates"
    made = f"{about['emulator']} of {about['points_used']} points"
    if about["points_used"] < about["distinct_points"]:
        made += ", chosen likewise"
    yield f"{made}; a point is too far from the data beyond a distance of {about['reach']:.3g}"
    width = max(len(name) for name in about["outcomes"])
    for name, one in about["outcomes"].items():
        covered = one["coverage_95"]
        interval = "" if covered is None else f", {covered * 100:.1f} % in their 95 % intervals"
        noise = f"noise {one['noise_sd']:.3g} {one['unit']}".rstrip()
        source = {"replicates": "from replicates", "fit": "from the fit", "none": "unknown"}
        yield (
            f"  {name:{width}}  leave-one-out R2 {one['r2']:.3f}{interval}; "
            f"{noise}, {source[one['noise_from']]}"
        )
    yield from (f"warning: {text}" for text in about["warnings"])


def _warnings(twin: TableTwin, far: float) -> Iterator[str]:
    yield from twin.table.warnings
    points, d = len(twin.emulator.points.x), len(twin.header.parameters)
    if points < FEW_PER_PARAMETER * d:
        yield (
            f"{points} distinct points for {d} parameter{'s' if d > 1 else ''} are few: this twin "
            "rehearses a campaign, and is no evidence of which settings or which optimizer are "
            "better"
        )
    yield from _rare(twin)
    if far >= FAR_SHARE:
        yield (
            f"{far:.0%} of what the setpoints allow is too far from the data, and a trial there "
            "fails: narrow the limits, or give the campaign constraints on its parameters"
        )
    for name, quality in zip(twin.header.outcomes, twin.emulator.quality, strict=True):
        if quality.r2 < POOR_R2:
            yield (
                f"the points say little of each other's {name} (R2 {quality.r2:.2f}): what is "
                "emulated between them is mostly a guess"
            )
        if twin.emulator.points.repeats and quality.noise_from != "replicates":
            yield (
                f"all replicates of {name} are equal: they are taken for copies of rows, and say "
                "nothing of the noise"
            )


def _rare(twin: TableTwin) -> Iterator[str]:
    """The names of which the table says little."""
    for index, (name, about) in enumerate(twin.header.parameters.items()):
        for number, choice in enumerate(about.choices or ()):
            seen = int(np.count_nonzero(twin.emulator.points.x[:, index] == number))
            if seen < FEW_PER_PARAMETER:
                points = "1 distinct point" if seen == 1 else f"{seen} distinct points"
                yield f"{name} {choice!r} has only {points}: little is known of it"
