"""Verbs that show what happened: live, one trial's story, the results, the report."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from orchestrator.cli.common import Common, app, ledger_of, listen_to_documents


@app.command
def watch(campaign_id: str | None = None, /, *, common: Common | None = None) -> int:
    """Follow a campaign until it is over; with ``--json`` one event a line.

    Args:
        campaign_id: Which campaign; the newest when left out.
        common: Options of every verb.
    """
    from rich.console import Console

    from orchestrator import display, service
    from orchestrator.domain import events as ev
    from orchestrator.domain.state import CampaignState
    from orchestrator.domain.summary import iso
    from orchestrator.follow import follow

    common = common or Common()
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign_id)
        state, screen = CampaignState(), display.Display(Console())
        is_live = screen.console.is_terminal and not common.json
        with screen.showing() if is_live else _nothing():
            while not state.is_over:
                first = not state.campaign_id
                state, news = follow(ledger, name, state)
                if is_live and first:
                    listen_to_documents(settings, state, screen)
                if common.json:
                    for event in news:
                        data = json.loads(ev.to_json(event))
                        line = {"id": event.id, "at": iso(event.at), "event": ev.type_of(event)}
                        print(json.dumps({**line, **data}), flush=True)
                elif is_live:
                    screen.show(state, news)
                else:
                    display.plain(state, news)
                if not state.is_over:
                    ledger.wait({name: state.last_id}, 1.0)
    return 0


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@app.command
def samples(campaign: str | None = None, /, *, common: Common | None = None) -> int:
    """Say what is left of a campaign's samples, as a list that the next campaign can begin with.

    Args:
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.adapters.user_files.sample_file import written

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        name = service.find(ledger, campaign)
        rows = service.samples(ledger, name)
    common.say({"campaign_id": name, "samples": rows}, written(rows).rstrip())
    return 0


@app.command
def why(trial: int, /, *, campaign: str | None = None, common: Common | None = None) -> int:
    """Tell what happened to a trial, and why.

    Args:
        trial: Number of the trial, from 1.
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        about = service.why(ledger, service.find(ledger, campaign), trial)
    lines = [f"trial {trial} of {about['campaign_id']} {about['sentence']}"]
    lines += [f"  {about['suspect_data']}"] if about["suspect_data"] else []
    lines += [f"  {name} = {value!r}" for name, value in about["parameters"].items()]
    for step in about["history"]:
        told = ", ".join(
            f"{name} {value}"
            for name, value in step.items()
            if name not in ("at", "event") and value != ""
        )
        lines.append(f"  {step['at']}  {step['event'].replace('_', ' ')}  {told}".rstrip())
    common.say(about, "\n".join(lines))
    return 0


@app.command
def results(
    campaign_id: str | None = None,
    /,
    *,
    format: Literal["csv", "parquet", "json"] = "csv",
    output: Path | None = None,
    common: Common | None = None,
) -> int:
    """Print the results table: one row for each trial.

    Args:
        campaign_id: Which campaign; the newest when left out.
        format: csv, parquet or json.
        output: File to write, instead of standard output; parquet needs one.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.adapters.outputs import results as tables
    from orchestrator.domain.errors import Unusable
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.summary import columns, rows

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        state = service.state_of(ledger, service.find(ledger, campaign_id))
    spec = CampaignSpec.from_data(state.spec)
    names, table = columns(state, spec), rows(state, spec)
    if format == "parquet":
        if output is None and sys.stdout.isatty():
            raise Unusable("parquet is binary; name a file with --output")
        tables.write_parquet(output or sys.stdout.buffer, names, table)
        return 0
    if common.json:
        about = {"campaign_id": state.campaign_id, "columns": names, "rows": list(table)}
        print(json.dumps(about))
        return 0
    text = tables.as_json(table) if format == "json" else tables.as_csv(names, table)
    if output is not None:
        output.write_text(text)
    else:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0


@app.command
def report(campaign_id: str | None = None, /, *, common: Common | None = None) -> int:
    """Write the campaign's folder again: table, plot and HTML page.

    Args:
        campaign_id: Which campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.campaign_results import keep_results

    common = common or Common()
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign_id)
        outcome = keep_results(settings.data_dir, ledger, name)
    page = str(Path(outcome["results"]) / "report.html")
    common.say({"campaign_id": name, "report": page, "results": outcome["results"]}, page)
    return 0
