"""Verbs about what a campaign's record is worth: verify it, correct it by another reducer."""

from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.common import Common, app, ledger_of, person, progress
from orchestrator.domain.errors import ExitCode


@app.command
def verify(
    campaign_id: str | None = None, /, *, head: str | None = None, common: Common | None = None
) -> int:
    """Compute a campaign again from its record, and name the first thing that does not follow.

    Checked are the chain of the log, the states, the documents, every outcome and every proposal.
    Exit code 1 when something diverges.

    Args:
        campaign_id: Which campaign; the newest when left out.
        head: A head of its log that was written down earlier: it must still be in the chain.
        common: Options of every verb.
    """
    from orchestrator import service
    from orchestrator.domain.chain import Head
    from orchestrator.domain.errors import Unusable
    from orchestrator.domain.verification_words import lines
    from orchestrator.verification import verify as check

    common = common or Common()
    try:
        known = None if head is None else Head.from_text(head)
    except ValueError as error:
        raise Unusable(f"--head {error}") from error
    with ledger_of(common) as (settings, ledger), progress() as tell:
        name = service.find(ledger, campaign_id)
        verdict = check(settings.data_dir, ledger, name, tell, known)
    common.say(verdict.to_data(), "\n".join(lines(verdict)))
    return ExitCode.FAILED if verdict.grade is None else ExitCode.DONE


@app.command
def rereduce(
    campaign_id: str | None = None,
    /,
    *,
    reducer: Annotated[str, Parameter(name="--with")],
    reason: str = "",
    proposals: bool = True,
    common: Common | None = None,
) -> int:
    """Correct all outcomes from the documents by another reducer; nothing is measured again.

    Then says which of the model's proposals would have been others.

    Args:
        campaign_id: Which campaign; the newest when left out.
        reducer: Dotted name of the reducer, such as mylab.reducers.peak.
        reason: Why; kept in the log.
        proposals: Compute the proposals again.
        common: Options of every verb.
    """
    from orchestrator import rereduction, service
    from orchestrator.campaign_results import keep_results

    common = common or Common()
    with ledger_of(common) as (settings, ledger), progress() as tell:
        name = service.find(ledger, campaign_id)
        order = rereduction.Order(reducer=reducer, by=person(), reason=reason)
        done = rereduction.rereduce(settings.data_dir, ledger, name, order, tell)
        if done.written and service.state_of(ledger, name).is_over:
            keep_results(settings.data_dir, ledger, name)
        if proposals:
            done = rereduction.with_proposals(done, ledger, tell)
    common.say(done.to_data(), "\n".join(rereduction.lines(done)))
    return ExitCode.DONE
