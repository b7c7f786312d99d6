"""Verbs by which a person steers a campaign, notes something, or parks an instrument."""

from typing import Annotated, Literal

from cyclopts import Parameter

from orchestrator.cli.common import Common, app, ledger_of, live_processes, person

Reason = Annotated[str, Parameter(name="--reason")]
CampaignId = str | None


@app.command
def pause(id: CampaignId = None, /, *, reason: Reason = "", common: Common | None = None) -> int:
    """Let the running trial finish and start no other, until ``resume``.

    Args:
        id: Which campaign; the open one when left out.
        reason: Why; kept in the log.
        common: Options of every verb.
    """
    return _order("pause", id, reason, common)


@app.command
def resume(id: CampaignId = None, /, *, reason: Reason = "", common: Common | None = None) -> int:
    """Go on after a pause, or after a person was needed.

    Args:
        id: Which campaign; the open one when left out.
        reason: Why; kept in the log.
        common: Options of every verb.
    """
    return _order("resume", id, reason, common)


@app.command
def finish(id: CampaignId = None, /, *, reason: Reason = "", common: Common | None = None) -> int:
    """Let the running trial finish, then end the campaign.

    Args:
        id: Which campaign; the open one when left out.
        reason: Why; kept in the log.
        common: Options of every verb.
    """
    return _order("finish", id, reason, common)


@app.command
def abort(id: CampaignId = None, /, *, reason: Reason = "", common: Common | None = None) -> int:
    """Stop the running plan with its clean-up, make the instrument quiet, end the campaign.

    Args:
        id: Which campaign; the open one when left out.
        reason: Why; kept in the log.
        common: Options of every verb.
    """
    return _order("abort", id, reason, common)


@app.command
def halt(id: CampaignId = None, /, *, reason: Reason = "", common: Common | None = None) -> int:
    """Stop the running plan without its clean-up, make the instrument quiet, end the campaign.

    Args:
        id: Which campaign; the open one when left out.
        reason: Why; kept in the log.
        common: Options of every verb.
    """
    return _order("halt", id, reason, common)


def _order(
    what: Literal["pause", "resume", "finish", "abort", "halt"],
    campaign_id: CampaignId,
    reason: str,
    common: Common | None,
) -> int:
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        name = service.find(ledger, campaign_id, only_open=True)
        text = service.order(ledger, name, what, by=person(), reason=reason)
        alive = any(one["role"] == "worker" for one in live_processes(ledger))
    if not alive:
        text += f" (nothing runs it at present: labwright run --resume {name})"
    common.say({"campaign_id": name, "order": what, "text": text}, text)
    return 0


@app.command
def note(text: str, /, *, campaign: str | None = None, common: Common | None = None) -> int:
    """Write a remark into a campaign's log, for whoever reads it later; nothing else changes.

    Args:
        text: What is to be remembered, such as 'changed the lamp before trial 12'.
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        name = service.find(ledger, campaign)
        said = service.note(ledger, name, text, by=person())
    common.say({"campaign_id": name, "by": person(), "text": text.strip()}, said)
    return 0


@app.command
def answer(
    campaign: str, text: str, /, *, question: str | None = None, common: Common | None = None
) -> int:
    """Answer what a running plan asks; it goes on with the text.

    Args:
        campaign: Id of the campaign.
        text: What the plan is told, such as 'loaded' or '12.5'.
        question: Id of the question, as ``status`` shows it, so that no other can be meant; the
            one that waits when left out.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        name = service.find(ledger, campaign)
        said = service.answer(ledger, name, text, by=person(), question=question)
    common.say({"campaign_id": name, "by": person(), "text": text}, said)
    return 0


@app.command
def approve(campaign: str, /, *, trial: int | None = None, common: Common | None = None) -> int:
    """Let a trial start that waits for a person, as the first ones of ``run --step`` do.

    Args:
        campaign: Id of the campaign.
        trial: Number of the trial, so that no other can be meant; the one that waits when left out.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with ledger_of(common) as (_, ledger):
        name = service.find(ledger, campaign)
        said = service.approve(ledger, name, by=person(), trial_id=trial)
    common.say({"campaign_id": name, "by": person(), "text": said}, said)
    return 0


@app.command
def refill(
    budget: str,
    /,
    *,
    campaign: str | None = None,
    reason: Reason = "",
    common: Common | None = None,
) -> int:
    """Say that what an instrument had used up is there again: the count begins anew.

    Args:
        budget: Name of the budget in the instrument file.
        campaign: Id of a campaign on the instrument; the newest when left out.
        reason: Why, such as the batch of a reagent; kept in the campaign's log.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.adapters.guard.budgets import Budgets
    from orchestrator.domain.spec import InstrumentSpec

    common = common or Common()
    with ledger_of(common) as (settings, ledger):
        name = service.find(ledger, campaign)
        state = service.state_of(ledger, name)
        instrument = InstrumentSpec.from_data(state.instrument_spec)
        said = Budgets(settings.data_dir, instrument).refill(budget, person())
        because = f" ({reason})" if reason else ""
        service.note(ledger, name, f"{said}{because}", by=person())
    about = {"campaign_id": name, "instrument": state.instrument, "budget": budget}
    common.say({**about, "by": person(), "text": said}, said)
    return 0


@app.command
def park(instrument: str, /, *, hardware: bool = False, common: Common | None = None) -> int:
    """Move an idle instrument to its safe pose, in the order of its file.

    Args:
        instrument: Instrument file, or the name of a shipped twin.
        hardware: Allow a real instrument to move.
        common: Options of every verb.
    """
    from orchestrator import campaign_files
    from orchestrator.by_hand import park_instrument
    from orchestrator.ledger_access import open_ledger

    common = common or Common()
    spec = campaign_files.read_instrument_file(instrument)
    campaign_files.check_mode(spec, hardware=hardware)
    settings = common.settings()
    with open_ledger(settings, must_exist=False) as ledger:
        park_instrument(settings, ledger, spec)
    common.say({"instrument": spec.name, "parked": True}, f"{spec.name} is parked")
    return 0
