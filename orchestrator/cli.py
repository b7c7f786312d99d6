"""The command line: parse, call, print.

Exit codes: 0 done; 1 the campaign failed, or nothing was measured; 2 wrong input or an unusable
resource; 3 needs a person; 130 interrupted. With ``--json`` standard output is one JSON
object, or one a line for streams, and nothing else; all talk goes to standard error.

Heavy modules are imported inside the verb that needs them: asking for the status must not load
an optimizer.
"""

import json as json_module
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, validators

from orchestrator.domain.errors import ExitCode, LabError

if TYPE_CHECKING:
    from orchestrator.adapters.redis_ledger import RedisLedger
    from orchestrator.settings import Settings


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("labwright")


app = App(
    name="labwright",
    version=_version,
    help="Run a self-driving laboratory: a campaign file goes in, better experiments come out.",
    version_flags=["--version"],
    help_format="plaintext",
)


@Parameter(name="*")
@dataclass
class Common:
    """Options that every verb takes."""

    data_dir: Path | None = None
    """Folder of everything that Labwright keeps (default: ./labwright-data)."""
    redis: str | None = None
    """Address of an existing Redis or Valkey server, instead of one of our own."""
    json: bool = False
    """Print one JSON object on standard output, and nothing else."""
    allow_unsafe_server: bool = False
    """Use a server that may lose data; for tests."""

    def settings(self) -> "Settings":
        """The settings tree with these options on top of the environment."""
        from orchestrator.settings import Settings

        given: dict[str, Any] = {}
        if self.data_dir is not None:
            given["data_dir"] = self.data_dir
        if self.redis is not None:
            given["redis_url"] = self.redis
        if self.allow_unsafe_server:
            given["allow_unsafe_server"] = True
        return Settings.from_environment(**given)

    def say(self, data: Mapping[str, Any], text: str) -> None:
        """The answer: as JSON, or as text for a person."""
        print(json_module.dumps(dict(data)) if self.json else text)


@contextmanager
def _ledger(common: Common) -> "Iterator[tuple[Settings, RedisLedger]]":
    from orchestrator.ledger_access import open_ledger

    settings = common.settings()
    with open_ledger(settings) as ledger:
        yield settings, ledger


def _person() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"


Trials = Annotated[int | None, Parameter(validator=validators.Number(gte=1))]
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
    step: bool = False,
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
        step: Ask before each trial.
        common: Options of every verb.
    """
    import time

    from orchestrator import launcher, service
    from orchestrator.domain.errors import Unusable

    common = common or Common()
    settings = common.settings()
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
        campaign_id, open_campaign = resume, launcher.resumer(resume, hardware=hardware, step=step)
    else:
        files = launcher.read_files(str(campaign), on_twin=twin)
        spec = files.campaign.with_run_options(trials=trials, seed=seed)
        launcher.check_mode(files.instrument, hardware=hardware)
        campaign_id = (
            launcher.checked_id(id) if id else service.new_campaign_id(spec.name, time.time())
        )
        checked = launcher.Files(spec, files.instrument)
        open_campaign = launcher.opener(checked, campaign_id, settings.data_dir, step=step)
    return _show_run(common, settings, campaign_id, open_campaign, step=step)


def _show_run(
    common: Common, settings: "Settings", campaign_id: str, open_campaign: Any, *, step: bool
) -> int:
    """Run with the live display on a terminal, and with plain lines elsewhere."""
    from rich.console import Console

    from orchestrator import display
    from orchestrator.domain.state import CampaignState
    from orchestrator.launcher import Launcher

    console = Console()
    is_live = console.is_terminal and not common.json and not step
    last = CampaignState()
    screen = display.Display(console)

    def show(state: CampaignState, news: list[Any]) -> None:
        nonlocal last
        if is_live:
            if not last.campaign_id and state.campaign_id:
                _listen(settings, state, screen)
            screen.show(state, news)
        else:
            display.plain(state, news)
        last = state

    tell = screen.tell if is_live else display.PlainAlarm().tell
    launcher = Launcher(settings, campaign_id, show, is_live, tell, _ask_for if step else None)
    if is_live:
        with screen.showing():
            outcome, code = launcher.run(open_campaign)
    else:
        outcome, code = launcher.run(open_campaign)
    if common.json:
        print(json_module.dumps(outcome))
    else:
        display.final_words(console, outcome, launcher.state)
    if code == ExitCode.INTERRUPTED and not launcher.state.is_over:
        where = f" --data-dir {settings.data_dir}" if common.data_dir else ""
        sys.stderr.write(
            f"stopped cleanly; continue with: labwright run --resume {campaign_id}{where}\n"
        )
    return code


def _ask_for(trial: Any) -> bool:
    """Ask the person at the keyboard; anything but yes, and the end of input, means no."""
    settings = ", ".join(f"{name} {value}" for name, value in trial.parameters.items())
    sys.stderr.write(f"start trial {trial.trial_id} at {settings}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _listen(settings: "Settings", state: Any, screen: Any) -> None:
    from orchestrator.app import document_address
    from orchestrator.display import follow_documents

    follow_documents(document_address(settings, state.instrument), screen)


@app.command
def check(campaign: str, /, *, twin: bool = False, common: Common | None = None) -> int:
    """Check a campaign file and its instrument file without moving anything.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        twin: Check a real instrument's file for a run on its twin.
        common: Options of every verb.
    """
    from orchestrator import launcher
    from orchestrator.domain.errors import SpecError

    common = common or Common()
    try:
        files = launcher.read_files(campaign, on_twin=twin)
    except SpecError as error:
        problems = [
            {"place": one.place, "line": one.line, "message": one.message} for one in error.problems
        ]
        common.say({"ok": False, "file": error.file, "problems": problems}, str(error))
        return ExitCode.WRONG
    spec, instrument = files.campaign, files.instrument
    text = (
        f"{spec.name} is sound: {len(spec.parameters)} parameters, "
        f"{spec.budget.trials} trials on {instrument.name} ({instrument.mode.upper()})"
    )
    about = {"campaign": spec.name, "instrument": instrument.name, "mode": instrument.mode}
    common.say({"ok": True, **about, "problems": []}, text)
    return 0


@app.command
def submit(
    campaign: str,
    /,
    *,
    trials: Trials = None,
    seed: Seed = None,
    id: str | None = None,
    common: Common | None = None,
) -> int:
    """Open a campaign without running it; ``run --resume`` starts it.

    Args:
        campaign: Campaign file, or the name of a shipped twin.
        trials: Run exactly this many trials; replaces the budget and the stop rules.
        seed: Seed of the optimizer and of the twin's noise.
        id: Id of the new campaign.
        common: Options of every verb.
    """
    import time

    from orchestrator import launcher, service
    from orchestrator.ledger_access import open_ledger

    common = common or Common()
    files = launcher.read_files(campaign)
    spec = files.campaign.with_run_options(trials=trials, seed=seed)
    campaign_id = launcher.checked_id(id) if id else service.new_campaign_id(spec.name, time.time())
    settings, checked = common.settings(), launcher.Files(spec, files.instrument)
    with open_ledger(settings, must_exist=False) as ledger:
        launcher.opener(checked, campaign_id, settings.data_dir)(ledger)
    text = f"{campaign_id} is open; start it with: labwright run --resume {campaign_id}"
    common.say({"campaign_id": campaign_id}, text)
    return 0


@app.command(name="list")
def list_campaigns(*, common: Common | None = None) -> int:
    """List the campaigns of the data folder, oldest first.

    Args:
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with _ledger(common) as (_, ledger):
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


def _print_states(common: Common, states: list[Any], data: Mapping[str, Any]) -> None:
    if common.json:
        print(json_module.dumps(dict(data)))
        return
    from orchestrator.listing import campaign_lines

    print("\n".join(campaign_lines(states)) if states else "no campaigns yet")


@app.command
def status(campaign_id: str | None = None, /, *, common: Common | None = None) -> int:
    """Say where a campaign stands, and which processes run. Exit code 3 when it needs a person.

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


def _say_lost(common: Common, error: LabError) -> int:
    """The status when the ledger cannot be asked: one sentence, and since when if it is known."""
    from orchestrator.adapters.embedded_server import socket_folder
    from orchestrator.adapters.link_file import lost_since
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


def _status(common: Common, campaign_id: str | None) -> int:
    from orchestrator import service
    from orchestrator.domain.errors import LedgerFull
    from orchestrator.domain.outage import NOT_STARTING
    from orchestrator.domain.state import CampaignStatus, fold
    from orchestrator.listing import account_lines
    from orchestrator.standing import Standing, standing

    full = None
    with _ledger(common) as (_, ledger):
        processes = _processes(ledger)
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
    if common.json:
        from orchestrator.domain.summary import summary

        told = {"sentence": stands.sentence, "alarm": stands.is_alarm}
        print(json_module.dumps({**summary(log), **told, "processes": processes}))
    else:
        _print_states(common, [state], {})
        print(f"\n{_red(stands.sentence) if stands.is_alarm else stands.sentence}\n")
        print("".join(f"{line}\n" for line in account_lines(log)))
        for process in processes:
            print(f"  {process['role']:8} pid {process['pid']}  {process['instrument'] or ''}")
    return ExitCode.NEEDS_PERSON if state.status is CampaignStatus.NEEDS_PERSON else 0


def _red(text: str) -> str:
    """The text in red, where that can be seen."""
    return f"\033[31m{text}\033[0m" if sys.stdout.isatty() else f"! {text}"


def _processes(ledger: "RedisLedger") -> list[dict[str, Any]]:
    """The live processes of the lab."""
    from orchestrator.adapters.child import is_same_process

    return [
        {"role": about["role"], "pid": pid, "instrument": about["instrument"]}
        for pid, about in sorted(ledger.processes().items())
        if is_same_process(pid, about["started"])
    ]


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
    with _ledger(common) as (settings, ledger):
        name = service.find(ledger, campaign_id)
        state, screen = CampaignState(), display.Display(Console())
        is_live = screen.console.is_terminal and not common.json
        with screen.showing() if is_live else _nothing():
            while not state.is_over:
                first = not state.campaign_id
                state, news = follow(ledger, name, state)
                if is_live and first:
                    _listen(settings, state, screen)
                if common.json:
                    for event in news:
                        data = json_module.loads(ev.to_json(event))
                        line = {"id": event.id, "at": iso(event.at), "event": ev.type_of(event)}
                        print(json_module.dumps({**line, **data}), flush=True)
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
def why(trial: int, /, *, campaign: str | None = None, common: Common | None = None) -> int:
    """Tell what happened to a trial, and why.

    Args:
        trial: Number of the trial, from 1.
        campaign: Id of the campaign; the newest when left out.
        common: Options of every verb.
    """
    from orchestrator import service

    common = common or Common()
    with _ledger(common) as (_, ledger):
        about = service.why(ledger, service.find(ledger, campaign), trial)
    lines = [f"trial {trial} of {about['campaign_id']} {about['sentence']}"]
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


Reason = Annotated[str, Parameter(name="--reason")]
CampaignId = str | None


def _order(
    what: Literal["pause", "resume", "finish", "abort", "halt"],
    campaign_id: CampaignId,
    reason: str,
    common: Common | None,
) -> int:
    from orchestrator import service

    common = common or Common()
    with _ledger(common) as (_, ledger):
        name = service.find(ledger, campaign_id, only_open=True)
        text = service.order(ledger, name, what, by=_person(), reason=reason)
        alive = any(one["role"] == "worker" for one in _processes(ledger))
    if not alive:
        text += f" (nothing runs it at present: labwright run --resume {name})"
    common.say({"campaign_id": name, "order": what, "text": text}, text)
    return 0


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
    with _ledger(common) as (_, ledger):
        name = service.find(ledger, campaign)
        said = service.note(ledger, name, text, by=_person())
    common.say({"campaign_id": name, "by": _person(), "text": text.strip()}, said)
    return 0


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

    common, by = common or Common(), _person()
    with _ledger(common) as (settings, ledger):
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
    with _ledger(common) as (_, ledger):
        text = service.clear_fault(ledger, instrument, by=_person(), reason=reason)
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
    from orchestrator.launcher import keep_results
    from orchestrator.unfinished import reduce_again

    common = common or Common()
    with _ledger(common) as (settings, ledger):
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
def park(instrument: str, /, *, hardware: bool = False, common: Common | None = None) -> int:
    """Move an idle instrument to its safe pose, in the order of its file.

    Args:
        instrument: Instrument file, or the name of a shipped twin.
        hardware: Allow a real instrument to move.
        common: Options of every verb.
    """
    from orchestrator import launcher
    from orchestrator.by_hand import park_instrument
    from orchestrator.ledger_access import open_ledger

    common = common or Common()
    spec = launcher.read_instrument_file(instrument)
    launcher.check_mode(spec, hardware=hardware)
    settings = common.settings()
    with open_ledger(settings, must_exist=False) as ledger:
        park_instrument(settings, ledger, spec)
    common.say({"instrument": spec.name, "parked": True}, f"{spec.name} is parked")
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
    from orchestrator.adapters import results as tables
    from orchestrator.domain.errors import Unusable
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.summary import columns, rows

    common = common or Common()
    with _ledger(common) as (_, ledger):
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
        print(json_module.dumps(about))
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
    from orchestrator.launcher import keep_results

    common = common or Common()
    with _ledger(common) as (settings, ledger):
        name = service.find(ledger, campaign_id)
        outcome = keep_results(settings.data_dir, ledger, name)
    page = str(Path(outcome["results"]) / "report.html")
    common.say({"campaign_id": name, "report": page, "results": outcome["results"]}, page)
    return 0


@app.command
def worker(
    instrument: str,
    /,
    *,
    hardware: bool = False,
    twin: bool = False,
    standby: bool = False,
    common: Common | None = None,
) -> int:
    """Own an instrument and run its trials: a process by itself, for a lab that stays up.

    Args:
        instrument: Instrument file, or the name of a shipped twin.
        hardware: Allow a real instrument to move.
        twin: Run a real instrument's file on its twin.
        standby: Keep a second worker ready, which takes over when the first has died.
        common: Options of every verb.
    """
    from orchestrator import launcher
    from orchestrator.by_hand import serve_worker

    common = common or Common()
    spec = launcher.read_instrument_file(instrument, on_twin=twin)
    launcher.check_mode(spec, hardware=hardware)
    return serve_worker(common.settings(), spec, standby=standby)


@app.command
def twin(
    name: str,
    /,
    *,
    seed: int = 0,
    time_compression: float | None = None,
    port: int | None = None,
    common: Common | None = None,
) -> int:
    """Serve a twin over Channel Access until Ctrl-C, and print how to reach it.

    Args:
        name: Name of the twin; 'labwright twins' lists them.
        seed: Seed of its noise.
        time_compression: Lab seconds that pass in one second.
        port: Port to serve on; a free one when left out.
        common: Options of every verb.
    """
    from orchestrator.by_hand import serve_twin

    common = common or Common()
    settings = common.settings()

    def say(about: dict[str, Any]) -> None:
        text = "\n".join(_twin_lines(name, about))
        print(json_module.dumps(about) if common.json else text, flush=True)

    return serve_twin(settings, name, seed, time_compression, port, say)


def _twin_lines(name: str, about: Mapping[str, Any]) -> Iterator[str]:
    yield f"twin {name} on 127.0.0.1, port {about['port']}"
    yield f"one second is {about['time_compression']:g} seconds in the lab"
    width = max(len(pv["pv"]) for pv in about["pvs"])
    for pv in about["pvs"]:
        yield f"  {pv['pv']:{width}}  {pv['unit']:8}  {pv['what']}"
    yield "reach it with EPICS_CA_ADDR_LIST=127.0.0.1 EPICS_CA_AUTO_ADDR_LIST=NO"
    yield f"  EPICS_CA_SERVER_PORT={about['port']}; Ctrl-C ends it"


@app.command
def twins(*, common: Common | None = None) -> int:
    """List the twins that are installed.

    Args:
        common: Options of every verb.
    """
    from orchestrator.adapters.spec_files import twin_folders

    common = common or Common()
    folders = twin_folders()
    text = "\n".join(f"{name:20} {folder}" for name, folder in sorted(folders.items()))
    common.say({"twins": sorted(folders)}, text)
    return 0


@app.command
def notify(*, test: bool = False, common: Common | None = None) -> int:
    """Send a test to everybody whom a campaign would call for help, and say what happened.

    Args:
        test: Do send it; there is nothing else to send by hand.
        common: Options of every verb.
    """
    from orchestrator.by_hand import send_test_notice
    from orchestrator.domain.errors import Unusable

    common = common or Common()
    if not test:
        raise Unusable("say 'labwright notify --test' to send a test to everybody concerned")
    sent = send_test_notice(common.settings())
    ok = all(one["error"] is None for one in sent)
    text = "\n".join(
        f"FAIL  {one['error']}" if one["error"] else f"ok    {one['channel']} to {one['to']}"
        for one in sent
    )
    common.say({"ok": ok, "channels": sent}, text)
    return ExitCode.DONE if ok else ExitCode.WRONG


@app.command
def doctor(*, common: Common | None = None) -> int:
    """Look at this machine and say what would keep a campaign from running.

    Args:
        common: Options of every verb.
    """
    from orchestrator.doctor import examine

    common = common or Common()
    findings = examine(common.settings())
    sound = all(finding["ok"] for finding in findings)
    text = "\n".join(
        f"{'ok  ' if one['ok'] else 'FAIL'}  {one['what']}: {one['found']}" for one in findings
    )
    common.say({"ok": sound, "findings": findings}, text)
    return 0 if sound else 1


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    tokens = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = _complain(tokens, str(error))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (``labwright results | head``): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if not isinstance(error, LabError):
            raise
        code = _complain(tokens, str(error))
    sys.exit(code or 0)


def _complain(tokens: list[str], message: str) -> int:
    """Say what is wrong on standard error, and on standard output too when JSON is wanted."""
    sys.stderr.write(f"labwright: {message}\n")
    if "--json" in tokens:
        print(json_module.dumps({"error": message, "exit_code": ExitCode.WRONG}))
    return ExitCode.WRONG


if __name__ == "__main__":
    main()
