"""Verbs that settle what evidence could not: suspect trials, faults, failed reductions."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from orchestrator.cli.common import Common, app, ledger_of, person
from orchestrator.domain.errors import ExitCode


@app.command
def resolve(
    trial: int,
    /,
    *,
    verdict: Annotated[Literal["measured", "retry", "abandon"], Parameter(name="--as")],
    reason: str,
    campaign: str | None = None,
    common: Common | None = None,
) -> int:
    """Decide a suspect trial that evidence could not decide.

    Args:
        trial: Number of the trial.
        verdict: Count its documents, which must be complete; measure it again; or give it up.
        reason: Why; kept in the log.
        campaign: Id of the campaign; the open one when left out.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.unfinished import count_as_measured

    common, by = common or Common(), person()
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign, only_open=True)
        if verdict == "measured":
            text = count_as_measured(settings, ledger, name, trial, by=by, reason=reason)
        else:
            text = service.resolve(ledger, name, trial, verdict, by=by, reason=reason)
    common.say({"campaign_id": name, "trial_id": trial, "text": text}, text)
    return 0


@app.command
def clear_fault(instrument: str, /, *, reason: str, common: Common | None = None) -> int:
    """Say that somebody has looked at an instrument in fault; it is observed anew, then used.

    Args:
        instrument: Name of the instrument.
        reason: What was found and done; kept in the log.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        text = service.clear_fault(ledger, instrument, by=person(), reason=reason)
    common.say({"instrument": instrument, "text": text}, text)
    return 0


@app.command
def reduce(
    trial: int | None = None, /, *, campaign: str | None = None, common: Common | None = None
) -> int:
    """Turn safe data into outcomes again where the reducer had failed; nothing is measured.

    Args:
        trial: Number of the trial; all unreduced ones when left out.
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.campaign_results import keep_results
    from orchestrator.unfinished import reduce_again

    common = common or Common()
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign)
        trials = reduce_again(settings, ledger, name, trial)
        if trials and service.state_of(ledger, name).is_over:
            keep_results(settings.data_dir, ledger, name)
    states = {one.trial_id: str(one.state) for one in trials}
    reasons = {one.trial_id: one.reason for one in trials if one.reason}
    text = "\n".join(f"trial {one.trial_id} {service.sentence(one)}" for one in trials)
    about = {"campaign_id": name, "trials": states, "reasons": reasons}
    common.say(about, text or "nothing was unreduced")
    return ExitCode.FAILED if "unreduced" in states.values() else ExitCode.DONE


@app.command
def outcome(
    trial: int,
    file: Path | None = None,
    /,
    *,
    campaign: str | None = None,
    common: Common | None = None,
) -> int:
    """Deliver the outcomes of a trial that an external reducer has found.

    Args:
        trial: Number of the trial.
        file: JSON object such as {"sty": 9120.5} or {"sty": [9120.5, 12.0]} (mean and standard
            error); read from standard input when left out.
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.campaign_results import keep_results
    from orchestrator.unfinished import take_outcome

    common, given = common or Common(), _json(file)
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign)
        after = take_outcome(settings, ledger, name, trial, given, by=person())
        if service.state_of(ledger, name).is_over:
            keep_results(settings.data_dir, ledger, name)
    text = f"trial {trial} {service.sentence(after)}"
    common.say({"campaign_id": name, "trial_id": trial, "state": str(after.state)}, text)
    return ExitCode.DONE


def _json(file: Path | None) -> Any:
    """What a file, or standard input, holds."""
    from orchestrator.domain.errors import Unusable

    where = "standard input" if file is None else str(file)
    try:
        return json.loads(sys.stdin.read() if file is None else file.read_text())
    except (OSError, ValueError) as error:
        raise Unusable(f"{where} holds no JSON object of outcomes: {error}") from error
