"""Verbs that say where campaigns stand now."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.cli.common import Common, app, ledger_of, live_processes
from orchestrator.domain.errors import ExitCode, LabError
from orchestrator.domain.queueserver_rules import ENVELOPE, envelope_lines


@app.command(name="list")
def list_campaigns(*, common: Common | None = None) -> int:
    """List the campaigns of the data folder, oldest first.

    Args:
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        states = [service.state_of(ledger, one) for one in ledger.campaigns()]
    rows = [
        {
            "campaign_id": state.campaign_id,
            "status": str(state.status),
            "mode": state.mode,
            "instrument": state.instrument,
            "trials": state.counts(),
        }
        for state in states
    ]
    _print_states(common, states, {"campaigns": rows})
    return 0


@app.command
def status(campaign_id: str | None = None, /, *, common: Common | None = None) -> int:
    """Say where a campaign stands, and which processes run.

    Exit code 3 when it needs a person, else 0: of a campaign that has failed, too.

    Args:
        campaign_id: Which campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator.domain.errors import LedgerUnavailable

    common = common or Common()
    try:
        return _status(common, campaign_id)
    except LedgerUnavailable as error:
        return _say_lost(common, error)


def _status(common: Common, campaign_id: str | None) -> int:
    from orchestrator import service
    from orchestrator.domain.errors import LedgerFull
    from orchestrator.domain.outage import NOT_STARTING
    from orchestrator.domain.state import CampaignStatus, fold
    from orchestrator.domain.summary import summary
    from orchestrator.domain.time_words import time_lines
    from orchestrator.standing import Standing, standing

    full = None
    with ledger_of(common) as (_, ledger):
        processes = live_processes(ledger)
        try:
            ledger.check()
        except LedgerFull as error:
            full = Standing(f"{NOT_STARTING}{error}", is_alarm=True)
        known = ledger.campaigns()
        if not known and campaign_id is None:
            common.say({"campaign_id": None, "processes": processes}, "no campaigns yet")
            return 0
        log = ledger.events(service.find(ledger, campaign_id))
        state = fold(log)
        record = ledger.instrument(state.instrument)
    served = (state.instrument, state.campaign_id)
    roles = {process["role"] for process in processes if process["instrument"] in served}
    stands = full or standing(state, record, roles, time.time())
    account = summary(log)
    is_queueservers = bool(state.instrument_spec.get("queueserver"))
    if common.json:
        told = {"sentence": stands.sentence, "alarm": stands.is_alarm, "question": _asked(state)}
        envelope = {"envelope": ENVELOPE} if is_queueservers else {}
        print(json.dumps({**account, **told, **envelope, "processes": processes}))
    else:
        _print_states(common, [state], {})
        print(f"\n{_red(stands.sentence) if stands.is_alarm else stands.sentence}\n")
        if lines := time_lines(account):
            print("".join(f"  {line}\n" for line in lines))
        for process in processes:
            print(f"  {process['role']:8} pid {process['pid']}  {process['instrument'] or ''}")
        if is_queueservers:
            print("\n".join(["", *envelope_lines()]))
    needs_person = state.status is CampaignStatus.NEEDS_PERSON or state.asking is not None
    return ExitCode.NEEDS_PERSON if needs_person else 0


def _asked(state: Any) -> dict[str, Any] | None:
    """What a running plan waits to be told."""
    from orchestrator.domain.events import iso

    trial = state.asking
    if trial is None:
        return None
    asked = trial.question
    about = {"id": asked.question, "text": asked.text, "since": iso(asked.asked_at)}
    return {"trial_id": trial.trial_id, **about}


def _say_lost(common: Common, error: LabError) -> int:
    """The status when the ledger cannot be asked: one sentence, and since when if it is known."""
    from orchestrator.adapters.ledgers.embedded_server import socket_folder
    from orchestrator.adapters.processes.link_file import lost_since
    from orchestrator.domain.errors import LedgerFull
    from orchestrator.domain.outage import NOT_STARTING, span

    since = lost_since(socket_folder(common.settings().data_dir))
    lasted = "" if since is None else f" (for {span(time.time() - since)})"
    begun = NOT_STARTING if isinstance(error, LedgerFull) else "control link lost: "
    sentence = f"{begun}{error}{lasted}"
    told = {"sentence": sentence, "alarm": True, "since": since, "processes": []}
    failed = {"error": sentence, "exit_code": ExitCode.WRONG}
    common.say({"campaign_id": None, **told, **failed}, _red(sentence))
    return ExitCode.WRONG


def _print_states(common: Common, states: list[Any], data: Mapping[str, Any]) -> None:
    if common.json:
        print(json.dumps(dict(data)))
        return
    from orchestrator.listing import campaign_lines

    print("\n".join(campaign_lines(states)) if states else "no campaigns yet")


def _red(text: str) -> str:
    """The text in red, where that can be seen."""
    return f"\033[31m{text}\033[0m" if sys.stdout.isatty() else f"! {text}"
