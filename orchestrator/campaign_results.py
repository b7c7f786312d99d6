"""Writes a campaign's folder: what remains of it without Labwright."""

import json
from pathlib import Path
from typing import Any

from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.outputs import results
from orchestrator.domain import events as ev
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.summary import columns, rows, summary


def keep_results(data_dir: Path, ledger: RedisLedger, campaign_id: str) -> dict[str, Any]:
    """Write the campaign's folder: events, table, plot, report; gives the summary."""
    log_of_events = ledger.events(campaign_id)
    state = fold(log_of_events)
    spec = CampaignSpec.from_data(state.spec)
    folder = data_dir / "campaigns" / campaign_id
    folder.mkdir(parents=True, exist_ok=True)
    head = str(ledger.stored(campaign_id).head)
    where = {"data_dir": str(data_dir), "results": str(folder)}
    outcome = {**summary(log_of_events), "head": head, **where}
    names, table = columns(state, spec), rows(state, spec)
    _write(folder / "campaign.json", json.dumps(state.spec, indent=2))
    _write(folder / "instrument.json", json.dumps(state.instrument_spec, indent=2))
    _write(folder / "summary.json", json.dumps(outcome, indent=2))
    lines = (
        json.dumps(
            {"id": e.id, "at": e.at, "type": ev.type_of(e), "data": json.loads(ev.to_json(e))}
        )
        for e in log_of_events
    )
    _write(folder / "events.jsonl", "".join(f"{line}\n" for line in lines))
    _write(folder / "results.csv", results.as_csv(names, table))
    results.write_parquet(folder / "results.parquet", names, table)
    write_report(folder, state, spec, outcome)
    return outcome


def write_report(
    folder: Path, state: CampaignState, spec: CampaignSpec, outcome: dict[str, Any]
) -> Path:
    """Draw the plot and write the HTML page; gives the page."""
    from orchestrator.adapters.outputs.report import write_page, write_plot

    plot, page = folder / "convergence.png", folder / "report.html"
    write_plot(plot, state, spec)
    write_page(page, plot, state, spec, outcome, columns(state, spec), rows(state, spec))
    return page


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text)
    temporary.replace(path)
