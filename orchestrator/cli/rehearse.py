"""Verbs that try campaigns out on twins' models, without hardware and without waiting."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from orchestrator.cli.common import Common, app, progress
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from rich.table import Table

AtLeastOne = Annotated[int, Parameter(validator=Number(gte=1))]
NotNegative = Annotated[float, Parameter(validator=Number(gte=0, lt=math.inf))]
ROWS = 8
"""About so many rows has the table of the expected best."""


@app.command
def challenge(
    *twins: str,
    seeds: AtLeastOne = 5,
    optimizer: str | None = None,
    results: Path | None = None,
    jobs: AtLeastOne | None = None,
    common: Common | None = None,
) -> int:
    """Score an optimizer on the twins' reference campaigns, beside a Sobol sequence.

    Exit code 1 when a campaign failed.

    Args:
        twins: Names of twins; all that have a model when left out.
        seeds: Campaigns on each twin.
        optimizer: Name of a registered optimizer; that of each campaign when left out.
        results: File that keeps finished campaigns, so that they are not run again.
        jobs: Campaigns at once; one for each processor when left out.
        common: Options of every verb.
    """
    from orchestrator.challenge import challenge as score

    common = common or Common()
    with progress() as tell:
        found = score(twins, seeds, optimizer, results, jobs or _cores(), tell)
    if common.json:
        print(json.dumps(found))
    else:
        _print(_challenge_table(found))
        for one in found["skipped"]:
            print(f"left out: {one['twin']} ({one['reason']})")
        for row in found["twins"]:
            for error in row["errors"]:
                print(f"{row['twin']}: a campaign failed: {error}")
    failed = any(row["errors"] for row in found["twins"])
    return ExitCode.FAILED if failed else ExitCode.DONE


def _challenge_table(found: Mapping[str, Any]) -> "Table":
    table = _table(
        f"regret at the end of the budget, of {found['seeds']} campaigns on each twin",
        ("twin", "trials", "optimizer", "median", "quartiles", "near at", "beats Sobol"),
    )
    for row in found["twins"]:
        beats = "" if row["beats_sobol"] is None else f"{row['beats_sobol']}/{row['compared']}"
        about = (row["twin"], str(row["trials"]))
        table.add_row(*about, row["optimizer"], *_scores(row, row), beats)
        if row["optimizer"] != "sobol":
            table.add_row("", "", "sobol", *_scores(row["sobol"], row), "")
    near = {row["twin"]: row["near"] for row in found["twins"]}
    table.caption = "; ".join(f"near on {twin}: {words}" for twin, words in near.items())
    return table


def _scores(scores: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Median of the regret, its quartiles, and when campaigns came near, as a table shows them."""
    if scores["regret"] is None:
        return "none finished", "", ""
    factor, unit = (100, "%") if row["scale"] == "relative" else (1, "decades")
    middle, low, high = (f"{one * factor:.3g}" for one in scores["regret"])
    first = f"{scores['first_near']:g}" if scores["first_near"] else f"> {row['trials']}"
    came = f"{first} ({scores['came_near']}/{scores['finished']})"
    return f"{middle} {unit}", f"{low} to {high}", came


def _table(title: str, columns: Sequence[str]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column)
    return table


@app.command
def rehearse(
    campaign: str,
    /,
    *,
    count: Annotated[AtLeastOne, Parameter(name=("--count", "-n"))] = 50,
    fast: bool = False,
    jobs: AtLeastOne | None = None,
    dask: str | None = None,
    move_s: NotNegative | None = None,
    trial_cost: NotNegative | None = None,
    hour_cost: NotNegative | None = None,
    plot: Path | None = None,
    common: Common | None = None,
) -> int:
    """Run a campaign many times on its twin's model, and say what to expect of it.

    Nothing moves, also for a real instrument that names its twin. Exit code 1 when a rehearsal
    failed.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        count: How many times.
        fast: Let a simpler model propose for all campaigns at once: an approximation.
        jobs: Campaigns at once, or processes that measure for --fast; one for each processor when
            left out.
        dask: Address of a Dask scheduler, such as tcp://127.0.0.1:8786: its workers do them.
        move_s: Lab seconds of all moves of a trial; as long as the twin's take when left out.
        trial_cost: What a trial costs, in any currency; 0 when only the hour is given.
        hour_cost: What an hour of lab time costs; 0 when only the trial is given.
        plot: File for a picture, such as rehearsal.png.
        common: Options of every verb.
    """
    from orchestrator.adapters.outputs.rehearsal_plot import refuse_unwritable, write_rehearsal_plot
    from orchestrator.campaign_files import read_files
    from orchestrator.domain.errors import Unusable
    from orchestrator.lockstep import in_lockstep
    from orchestrator.rehearsal import Prices, in_processes, on_dask
    from orchestrator.rehearsal import rehearse as carry_out
    from orchestrator.rehearsal_words import lines

    common = common or Common()
    if fast and dask:
        raise Unusable("--fast proposes for all campaigns in this process; leave --dask out")
    files = read_files(campaign)
    if plot is not None:
        refuse_unwritable(plot)
    given = (trial_cost, hour_cost)
    prices = None if given == (None, None) else Prices(trial_cost or 0.0, hour_cost or 0.0)
    jobs = min(jobs or _cores(), count)
    others = nullcontext(on_dask(dask) if dask else in_processes(jobs))
    # What a lab's plan prints is no answer.
    with (
        progress() as tell,
        redirect_stdout(sys.stderr),
        in_lockstep(jobs) if fast else others as carry,
    ):
        told = (files.campaign, files.instrument, count, carry, move_s, tell)
        found = carry_out(*told, approximate=fast, prices=prices)
    if plot is not None:
        write_rehearsal_plot(plot, found)
    if common.json:
        print(json.dumps(found))
    else:
        print("\n".join(lines(found)))
        _print(_best_table(found))
    return ExitCode.FAILED if found["failed"] else ExitCode.DONE


def _best_table(found: Mapping[str, Any]) -> "Table":
    """The expected best after some of the trials: all would be long, and are in --json."""
    objective, chance = found["objective"], found["chance"]
    unit = f" in {objective['unit']}" if objective["unit"] else ""
    name, other = found["optimizer"], chance["optimizer"]
    shown = (found, chance) if name != other else (found,)
    is_counted = any(_lacks_feasible(one["feasible"]) for one in shown)
    more = ("nine in ten", *("feasible",) * is_counted)
    columns = ("after trial", *(word for one in shown for word in (one["optimizer"], *more)))
    table = _table(f"expected best {objective['name']}{unit}", columns)
    last = found["trials"]
    for number in sorted({*range(last, 0, -max(1, last // ROWS)), 1}):
        cells: list[str] = []
        for one in shown:
            best = one["best"][number - 1]
            cells += _best_cells(best)
            if is_counted:
                cells.append(f"{best['feasible']} of {one['feasible']['of']}")
        table.add_row(str(number), *cells)
    return table


def _lacks_feasible(feasible: Mapping[str, int] | None) -> bool:
    """True when some of the campaigns end without anything feasible."""
    return feasible is not None and feasible["count"] < feasible["of"]


def _best_cells(best: Mapping[str, Any]) -> tuple[str, str]:
    if best["mean"] is None:
        return "nothing feasible", ""
    return f"{best['mean']:.5g}", f"{best['low']:.5g} to {best['high']:.5g}"


def _print(*what: Any) -> None:
    from rich.console import Console

    Console().print(*what, sep="\n")


def _cores() -> int:
    return os.cpu_count() or 1
