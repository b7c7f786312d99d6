"""Verbs that begin: run a campaign, check its files, or open it for later."""

import json
import select
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from orchestrator.cli.common import Common, app, listen_to_documents
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.settings import Settings

Trials = Annotated[int | None, Parameter(validator=validators.Number(gte=1))]
Step = Annotated[int | None, Parameter(validator=validators.Number(gte=0))]
FIRST_TRIALS = 3
"""Trials of a real instrument that a person approves when --step says nothing."""
Seed = Annotated[int | None, Parameter(validator=validators.Number(gte=0, lt=2**31))]


@app.command
def run(
    campaign: str | None = None,
    /,
    *,
    trials: Trials = None,
    seed: Seed = None,
    id: str | None = None,
    resume: str | None = None,
    hardware: bool = False,
    twin: bool = False,
    step: Step = None,
    faults: Path | None = None,
    common: Common | None = None,
) -> int:
    """Run a campaign to its end, starting whatever is missing, and show it live.

    Ctrl-C once lets the running trial finish and stops; the campaign can be resumed. Ctrl-C
    twice aborts: the plan stops, the instrument is made quiet and holds where it is.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        trials: Run exactly this many trials; replaces the budget and the stop rules.
        seed: Seed of the optimizer and of the twin's noise.
        id: Id of the new campaign.
        resume: Id of a campaign to continue; no campaign file is needed then.
        hardware: Allow a real instrument to move.
        twin: Run a real instrument's file on its twin.
        step: A person approves each of the first so many trials, at the keyboard or by
            ``labwright approve``; 0 for none (default: 3 on a real instrument, 0 on a twin, and
            with --resume those that are left).
        faults: File of what is to go wrong with the twin, and when.
        common: Options of every verb.
    """
    from orchestrator import campaign_files, launcher, service
    from orchestrator.domain.errors import Unusable
    from orchestrator.ledger_access import check_lab

    common = common or Common()
    settings = common.settings()
    if faults is not None:
        settings = replace(settings, faults=faults)
    if resume is None and campaign is None:
        raise Unusable("name a campaign file or a twin, or give --resume ID")
    if resume is not None and campaign is not None:
        raise Unusable("--resume ID continues a campaign; leave out the campaign file")
    if resume is not None:
        changed = [
            name for name, value in (("--trials", trials), ("--seed", seed), ("--id", id)) if value
        ]
        if changed:
            raise Unusable(
                f"--resume continues a campaign as it is; leave out {', '.join(changed)}"
            )
        check_lab(settings)  # before a mistyped folder is made
        campaign_id, open_campaign = resume, launcher.resumer(resume, hardware=hardware, step=step)
    else:
        files = campaign_files.read_files(str(campaign), on_twin=twin)
        spec = files.campaign.with_run_options(trials=trials, seed=seed)
        campaign_files.check_mode(files.instrument, hardware=hardware)
        if faults is not None:
            campaign_files.check_faults(faults, files.instrument)
        campaign_id = (
            launcher.checked_id(id) if id else service.new_campaign_id(spec.name, time.time())
        )
        checked = campaign_files.Files(spec, files.instrument)
        step = _first_trials(step, files.instrument.mode)
        open_campaign = launcher.opener(checked, campaign_id, settings.data_dir, step=step)
    return _show_run(common, settings, campaign_id, open_campaign, asks=bool(step))


def _show_run(
    common: Common, settings: "Settings", campaign_id: str, open_campaign: Any, *, asks: bool
) -> int:
    """Run with the live display on a terminal, and with plain lines elsewhere."""
    from rich.console import Console

    from orchestrator import display
    from orchestrator.domain.state import CampaignState
    from orchestrator.launcher import Launcher

    console = Console()
    is_live = console.is_terminal and not common.json and not asks
    keyboard = Keyboard() if asks and sys.stdin.isatty() else None
    last = CampaignState()
    screen = display.Display(console)

    def show(state: CampaignState, news: list[Any]) -> None:
        nonlocal last
        if is_live:
            if not last.campaign_id and state.campaign_id:
                listen_to_documents(settings, state, screen)
            screen.show(state, news)
        else:
            display.plain(state, news)
        last = state

    tell = screen.tell if is_live else display.PlainAlarm().tell
    waits_for_person = is_live or keyboard is not None
    launcher = Launcher(settings, campaign_id, show, waits_for_person, tell, keyboard)
    if is_live:
        with screen.showing():
            outcome, code = launcher.run(open_campaign)
    else:
        outcome, code = launcher.run(open_campaign)
    if common.json:
        print(json.dumps(outcome))
    else:
        display.final_words(console, outcome, launcher.state)
    if code == ExitCode.INTERRUPTED and not launcher.state.is_over:
        where = f" --data-dir {settings.data_dir}" if common.data_dir else ""
        sys.stderr.write(
            f"stopped cleanly; continue with: labwright run --resume {campaign_id}{where}\n"
        )
    return code


def _first_trials(step: int | None, mode: str) -> int:
    if step is not None:
        return step
    return FIRST_TRIALS if mode == "real" else 0


class Keyboard:
    """Asks the person at the keyboard whether a trial may start, and waits for nobody."""

    def __init__(self) -> None:
        self._asked: tuple[int, int, int] | None = None

    def __call__(self, trial: Any) -> bool | None:
        """None as long as nothing was said; anything but yes, and the end of input, means no."""
        question = (trial.trial_id, trial.revision, trial.attempts)
        if question != self._asked:
            self._asked = question
            settings = ", ".join(f"{name} {value}" for name, value in trial.parameters.items())
            sys.stderr.write(f"start trial {trial.trial_id} at {settings}? [y/N] ")
            sys.stderr.flush()
        if not select.select([sys.stdin], [], [], 0)[0]:
            return None
        return sys.stdin.readline().strip().lower() in ("y", "yes")


@app.command
def check(
    campaign: str,
    /,
    *,
    twin: bool = False,
    files_only: bool = False,
    points: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 100,
    common: Common | None = None,
) -> int:
    """Check a campaign's files, and walk its trials on fake devices: nothing can move.

    Exit code 2 when a file is wrong, 1 when a trial would fail.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        twin: Check a real instrument's file for a run on its twin.
        files_only: Read the files and walk no trial.
        points: Trials to walk, at corners of the space and at the campaign's own first points.
        common: Options of every verb.
    """
    from orchestrator import campaign_files
    from orchestrator.adapters.dry_run.plan_fit_process import sealed_plan_problems
    from orchestrator.domain.errors import SpecError

    common = common or Common()
    try:
        files = campaign_files.read_files(
            campaign, on_twin=twin, plan_problems=sealed_plan_problems
        )
    except SpecError as error:
        problems = [
            {"place": one.place, "line": one.line, "message": one.message} for one in error.problems
        ]
        common.say({"ok": False, "file": error.file, "problems": problems}, str(error))
        return ExitCode.WRONG
    spec, instrument = files.campaign, files.instrument
    if files_only:
        count = len(spec.parameters)
        text = (
            f"{spec.name} is sound: {count} parameter{'s' * (count > 1)}, "
            f"{spec.budget.trials} trials on {instrument.name} ({instrument.mode.upper()})"
        )
        about = {"campaign": spec.name, "instrument": instrument.name, "mode": instrument.mode}
        common.say({"ok": True, **about, "problems": []}, text)
        return ExitCode.DONE
    if instrument.queueserver is not None:
        return _ask_queueserver(common, spec, instrument)
    return _dry_run(common, files, points)


def _ask_queueserver(common: Common, spec: Any, instrument: Any) -> int:
    """Say whether the queueserver would take the trials; their plans cannot be walked from here."""
    from orchestrator.adapters.queueserver.look import look
    from orchestrator.domain.queueserver_rules import ENVELOPE, envelope_lines

    problems, warnings = look(spec, instrument.queueserver)
    lines = [f"WRONG: {one.place}: {one.message}" for one in problems]
    lines += [f"warning: {one.place}: {one.message}" for one in warnings]
    verdict = "would fail" if problems else "is sound"
    where = f"{spec.budget.trials} trials on {instrument.name} ({instrument.mode.upper()})"
    lines += [f"{spec.name} {verdict}: {where}, run by {instrument.queueserver.control}"]
    lines += ["no trial was walked: the plans and devices are the queueserver's", ""]
    told = {
        "ok": not problems,
        "campaign": spec.name,
        "instrument": instrument.name,
        "mode": instrument.mode,
        "problems": [{"place": one.place, "message": one.message} for one in problems],
        "warnings": [{"place": one.place, "message": one.message} for one in warnings],
        "envelope": ENVELOPE,
    }
    common.say(told, "\n".join([*lines, *envelope_lines()]))
    return ExitCode.FAILED if problems else ExitCode.DONE


def _dry_run(common: Common, files: Any, points: int) -> int:
    from orchestrator import dry_run, dry_run_words
    from orchestrator.domain.errors import LedgerError
    from orchestrator.ledger_access import open_ledger

    settings, past = common.settings(), []
    if settings.redis_url is not None or (settings.data_dir / "ledger").is_dir():
        try:
            with open_ledger(settings) as ledger:
                past = dry_run.earlier_trials(ledger, files.campaign, files.instrument)
        except LedgerError as error:
            sys.stderr.write(f"nothing is learned from earlier trials: {error}\n")
    found = dry_run.dry_run(
        files.campaign,
        files.instrument,
        past,
        points=points,
        time_compression=settings.time_compression,
        plan_deadline_s=settings.plan_deadline_s,
    )
    common.say(found, "\n".join(dry_run_words.lines(found)))
    if not found["has_devices"]:
        return ExitCode.WRONG
    return ExitCode.DONE if found["ok"] else ExitCode.FAILED


@app.command
def submit(
    campaign: str,
    /,
    *,
    trials: Trials = None,
    seed: Seed = None,
    id: str | None = None,
    step: Step = None,
    common: Common | None = None,
) -> int:
    """Open a campaign without running it; ``run --resume`` starts it.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        trials: Run exactly this many trials; replaces the budget and the stop rules.
        seed: Seed of the optimizer and of the twin's noise.
        id: Id of the new campaign.
        step: A person approves each of the first so many trials (default: 3 on a real instrument).
        common: Options of every verb.
    """
    from orchestrator import campaign_files, launcher, service
    from orchestrator.ledger_access import open_ledger

    common = common or Common()
    files = campaign_files.read_files(campaign)
    spec = files.campaign.with_run_options(trials=trials, seed=seed)
    campaign_id = launcher.checked_id(id) if id else service.new_campaign_id(spec.name, time.time())
    settings, checked = common.settings(), campaign_files.Files(spec, files.instrument)
    with open_ledger(settings, must_exist=False) as ledger:
        first = _first_trials(step, files.instrument.mode)
        launcher.opener(checked, campaign_id, settings.data_dir, step=first)(ledger)
    text = f"{campaign_id} is open; start it with: labwright run --resume {campaign_id}"
    common.say({"campaign_id": campaign_id}, text)
    return 0
