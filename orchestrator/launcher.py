"""What ``labwright run`` does: check, open, supervise until the campaign is over, keep results."""

import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import service
from orchestrator.adapters.disk.room import is_full
from orchestrator.adapters.lab_code import plan_catalog
from orchestrator.adapters.ledgers.embedded_server import prepare_folder, without_secret
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.app import has_twin, notice_channels, versions
from orchestrator.campaign_files import Files, check_faults, check_mode
from orchestrator.campaign_results import keep_results
from orchestrator.domain import events as ev
from orchestrator.domain.errors import (
    ExitCode,
    LedgerError,
    LedgerUnavailable,
    Unusable,
)
from orchestrator.domain.notices import followed_key
from orchestrator.domain.outage import NOT_STARTING, Cause, alarm
from orchestrator.domain.rules import TAKES_TRIALS
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.follow import follow
from orchestrator.ledger_access import check_server, server_url
from orchestrator.parts import (
    add_campaign,
    add_notifier,
    add_twin,
    add_worker,
    spec_digest,
)
from orchestrator.ports import Ledger
from orchestrator.settings import Settings
from orchestrator.supervisor import Supervisor

log = logging.getLogger(__name__)

STEP_S = 0.1
"""Seconds between two looks at the processes and the ledger."""

ANSWER_S = 3.0
"""Longest wait for one answer of the ledger: a person is told of a lost link within seconds."""
KEYBOARD = "keyboard"
"""Who approves at the keyboard of a run, and who pauses a campaign by Ctrl-C or SIGTERM."""
GIVER_UP = "run"
"""Who calls for a person when a run gives up."""

_AT_WORK = (TrialState.LEASED, TrialState.RUNNING, TrialState.ACQUIRED)


def checked_id(campaign_id: str) -> str:
    """The id, when it can be a key and a folder name.

    Raises:
        Unusable: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,95}", campaign_id):
        raise Unusable(
            f"--id {campaign_id!r} must be 1 to 96 letters, digits, '-' and '_', "
            "starting with a letter or digit"
        )
    return campaign_id


@dataclass
class Launcher:
    """One ``run``: its campaign, its processes, and what a person at the keyboard asked for."""

    settings: Settings
    campaign_id: str
    show: Callable[[CampaignState, list[ev.Event]], None]
    """Called with the state and the new events whenever something happened, and regularly."""
    waits_for_person: bool
    """True to go on waiting when only a person can decide; False to leave then."""
    tell: Callable[[str | None], None] = lambda _: None
    """Called with one sentence while the control link is lost, and with None when it is not."""
    ask: Callable[[Trial], bool | None] | None = None
    """Asked again and again while a trial waits for approval, until it gives something else than
    None; False stops as an interrupt does. None: nobody is at a keyboard."""
    interrupts: int = 0
    _began: float = field(default_factory=time.time)
    _handled: int = 0
    state: CampaignState = field(default_factory=CampaignState)

    def run(self, open_campaign: Callable[[RedisLedger], None]) -> tuple[dict[str, Any], int]:
        """Bring the campaign to its end; gives its summary and the exit code.

        Raises:
            Unusable: a resource that cannot be used; the campaign can be resumed.
        """
        check_server(self.settings)
        notice_channels(self.settings)  # better refused now than silent at night
        prepare_folder(self.settings.data_dir)
        url = server_url(self.settings)
        ledger = RedisLedger(url, lab=self.settings.lab, patience_s=0.5, timeout_s=ANSWER_S)
        embedded = self.settings.redis_url is None
        supervisor = Supervisor(
            self.settings.data_dir, ledger, embedded, frozen_s=self.settings.lease_s
        )
        supervisor.campaign_id = self.campaign_id
        with self._signals(), contextlib.closing(ledger):
            try:
                self._open(supervisor, ledger, open_campaign)
                if not self.state.is_over:
                    self._supervise(supervisor, ledger)
                return self._end(supervisor, ledger)
            except Unusable as error:
                if not self.state.campaign_id or self.state.is_over:
                    raise
                raise Unusable(
                    f"{error}\nnothing is lost; when that is mended, continue with: "
                    f"labwright run --resume {self.campaign_id}"
                ) from error
            finally:
                supervisor.stop()

    def _open(
        self,
        supervisor: Supervisor,
        ledger: RedisLedger,
        open_campaign: Callable[[RedisLedger], None],
    ) -> None:
        """Open or resume, and say which processes are needed; again when the server died meanwhile.

        Raises:
            LedgerUnavailable: it did not come back within the ledger's patience.
        """
        give_up = time.monotonic() + self.settings.ledger_patience_s
        while True:
            supervisor.step()
            try:
                open_campaign(ledger)
                self.state = service.state_of(ledger, self.campaign_id)
                return self._add_parts(supervisor)
            except LedgerUnavailable as error:
                self._tell(supervisor)
                if time.monotonic() < give_up and not self.interrupts:
                    time.sleep(STEP_S)
                elif supervisor.outage is None:
                    raise
                else:
                    begun = NOT_STARTING if supervisor.outage.cause is Cause.FULL else ""
                    raise LedgerUnavailable(f"{begun}{supervisor.outage.detail}") from error

    def _add_parts(self, supervisor: Supervisor) -> None:
        settings, state = self.settings, self.state
        if state.is_over:
            return
        instrument = InstrumentSpec.from_data(state.instrument_spec)
        self._refuse_stranger(supervisor.ledger, instrument, spec_digest(state.instrument_spec))
        self._refuse_vain_faults(supervisor.ledger, instrument)
        if settings.calls_for_help:
            supervisor.ledger.confirm_notice(followed_key(self.campaign_id))
        # From here on nothing asks the server, so that all parts are added, or none is.
        add_worker(supervisor, settings, instrument)
        add_campaign(supervisor, settings, self.campaign_id)
        add_twin(supervisor, settings, instrument, seed=state.spec["optimizer"]["seed"])
        if settings.calls_for_help:
            add_notifier(supervisor, settings)

    def _refuse_stranger(self, ledger: Ledger, instrument: InstrumentSpec, digest: str) -> None:
        """Pass unless a live worker owns the instrument by another file, or in another mode.

        Raises:
            Unusable: one does.
        """
        for pid, about in ledger.processes().items():
            mine = about["role"] == "worker" and about["instrument"] == instrument.name
            if not mine or about.get("spec") == digest:
                continue
            if not child.is_same_process(pid, about["started"]):
                continue
            if about.get("session"):
                raise Unusable(
                    f"process {pid} is a session that has a campaign on instrument "
                    f"{instrument.name!r}; it ends with 'campaign.close()' there"
                )
            raise Unusable(
                f"process {pid} works on instrument {instrument.name!r} by another instrument "
                "file or in another mode; end it first"
            )

    def _refuse_vain_faults(self, ledger: Ledger, instrument: InstrumentSpec) -> None:
        """Pass unless faults are planned that no server would hear of.

        Raises:
            Unusable: the instrument's twin cannot have them, or is served already.
        """
        if self.settings.faults is None:
            return
        check_faults(self.settings.faults, instrument)
        if has_twin(ledger, instrument.name):
            raise Unusable(
                f"the twin of {instrument.name!r} is served already, and a server reads a file of "
                "faults when it starts: end it first ('labwright status' names its process), or "
                "cause faults one by one with 'labwright fault'"
            )

    def _supervise(self, supervisor: Supervisor, ledger: RedisLedger) -> None:
        """Until the campaign is over, or this run should leave it.

        Raises:
            Unusable: it gives up, and has called for a person.
        """
        try:
            self._follow(supervisor, ledger)
        except Unusable as error:
            self._call_person(ledger, str(error))
            raise

    def _follow(self, supervisor: Supervisor, ledger: RedisLedger) -> None:
        while not self.state.is_over:
            try:
                supervisor.step()
                self._tell(supervisor)
                self._refuse_empty(ledger)
                self.state, news = follow(ledger, self.campaign_id, self.state)
                self.show(self.state, news)
                self._ask(ledger)
                self._obey(ledger)
                if self._should_leave():
                    return
                time.sleep(STEP_S)  # a display needs no more, and the trials need the processor
            except LedgerUnavailable:
                if self.interrupts > 1:  # the order cannot be written, so the worker is ended
                    text = "left without the ledger; continue with: labwright run --resume %s"
                    log.warning(text, self.campaign_id)
                    raise KeyboardInterrupt from None
                time.sleep(0.05)

    def _tell(self, supervisor: Supervisor) -> None:
        """Say what keeps the ledger from working, or that nothing does."""
        if supervisor.outage is None:
            self.tell(None)
            return
        settings = self.settings
        advice = "Nothing is to be done: it is started again."
        if settings.redis_url is not None:
            advice = f"See that the server at {without_secret(settings.redis_url)} can be reached."
        yields = self.state.instrument_spec.get("gate") == "fence_pv"
        lease_s = settings.lease_s
        self.tell(alarm(supervisor.outage, time.time(), advice, yields=yields, lease_s=lease_s))

    def _refuse_empty(self, ledger: RedisLedger) -> None:
        """Pass when the server still knows the campaign.

        Raises:
            Unusable: it does not: it was emptied, or came back without its data.
        """
        if ledger.knows(self.campaign_id):
            return
        where = without_secret(self.settings.redis_url or str(self.settings.data_dir))
        raise Unusable(
            f"the server at {where} no longer knows campaign {self.campaign_id!r}: it was emptied, "
            "or came back without its data. The documents of what was measured are safe in "
            f"{self.settings.data_dir}; give the server its own data back"
        )

    def _call_person(self, ledger: RedisLedger, reason: str) -> None:
        """Write down why this run gives up; whoever is on duty is told of it."""
        asked = ev.NeedsPerson(by=GIVER_UP, reason=f"'labwright run' gave up: {reason}")
        try:
            ledger.order(self.campaign_id, asked, TAKES_TRIALS)
        except LedgerError as error:
            log.warning("nobody can be called: %s", error)

    def _end(self, supervisor: Supervisor, ledger: RedisLedger) -> tuple[dict[str, Any], int]:
        """Write the results folder, again when the server died; gives summary and exit code."""
        give_up = time.monotonic() + self.settings.ledger_patience_s
        try:
            while True:
                try:
                    outcome = keep_results(self.settings.data_dir, ledger, self.campaign_id)
                    break
                except LedgerUnavailable:
                    if time.monotonic() >= give_up:
                        raise
                    supervisor.step()
                    time.sleep(STEP_S)
        except OSError as error:
            if not is_full(error):
                raise
            raise Unusable(
                f"the results folder is not complete ({error}); the ledger has everything: "
                f"make room, then 'labwright report {self.campaign_id}' writes it"
            ) from error
        return outcome, self._exit_code(outcome)

    def _ask(self, ledger: RedisLedger) -> None:
        """Let the person at the keyboard approve the trial that waits for it."""
        trial = self.state.to_approve
        if self.ask is None or self.interrupts or trial is None or not self.state.awaits_approval:
            return
        says = self.ask(trial)
        if says is False:
            self.interrupts = max(1, self.interrupts)
        elif says:
            with contextlib.suppress(Unusable):  # somebody else was faster
                number = trial.trial_id
                service.approve(ledger, self.campaign_id, by=KEYBOARD, trial_id=number)

    def _obey(self, ledger: RedisLedger) -> None:
        """First interrupt: the running trial finishes and all stops. Second: abort."""
        if self._handled >= self.interrupts:
            return
        asked, by = self.interrupts, KEYBOARD
        if asked == 1:
            order = ev.Paused(by=by, reason="interrupted; 'labwright run --resume' continues it")
            expected = [CampaignStatus.RUNNING, CampaignStatus.SUSPENDED]
            if self.state.awaits_approval:
                expected.append(CampaignStatus.NEEDS_PERSON)
        else:
            order = ev.AbortRequested(by=by, reason="aborted from the keyboard", halt=False)
            expected = [
                CampaignStatus.RUNNING,
                CampaignStatus.PAUSED,
                CampaignStatus.SUSPENDED,
                CampaignStatus.NEEDS_PERSON,
                CampaignStatus.FINISHING,
            ]
        ledger.order(self.campaign_id, order, expected)
        self._handled = asked  # not before: with the server away it is ordered again

    def _should_leave(self) -> bool:
        status = self.state.status
        if status is CampaignStatus.NEEDS_PERSON and not self.waits_for_person:
            return not self._awaits_approval()
        held = status in (CampaignStatus.PAUSED, CampaignStatus.NEEDS_PERSON)
        return self.interrupts == 1 and held and self.state.count(*_AT_WORK) == 0

    def _awaits_approval(self) -> bool:
        """True while a trial waits for approval, which may still come from elsewhere."""
        if self.interrupts or not self.state.awaits_approval:
            return False
        within_s = CampaignSpec.from_data(self.state.spec).policy.answer_within_s
        return time.time() - max(self.state.held_since or 0.0, self._began) < within_s

    def _exit_code(self, outcome: dict[str, Any]) -> int:
        if self.interrupts:
            return ExitCode.INTERRUPTED
        if outcome["status"] == CampaignStatus.NEEDS_PERSON:
            return ExitCode.NEEDS_PERSON
        is_good = outcome["status"] in (CampaignStatus.DONE, CampaignStatus.STOPPED)
        return ExitCode.DONE if is_good and outcome["trials"]["measured"] else ExitCode.FAILED

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Count interrupts instead of dying of them."""

        def count(*_: object) -> None:
            self.interrupts += 1

        before = {one: signal.signal(one, count) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def opener(
    files: Files, campaign_id: str, data_dir: Path, *, step: int = 0
) -> Callable[[RedisLedger], None]:
    """What opens a new campaign; calling it again after a lost reply changes nothing.

    The callable raises Unusable when the id is taken, be it only by results in the data folder.
    """
    reducer, digest = plan_catalog.reducer_identity(files.campaign)
    about = {**versions(), "reducer": reducer, "reducer_sha256": digest}
    opened = service.opened(files.campaign, files.instrument, campaign_id, about, step=step)
    outbox = data_dir / "outbox" / campaign_id

    def open_new(ledger: RedisLedger) -> None:
        if outbox.exists() and campaign_id not in ledger.campaigns():
            raise Unusable(
                f"{outbox} holds results of a campaign {campaign_id!r} that the ledger does not "
                "know, and would count them: choose another --id, or move that folder away"
            )
        service.submit(ledger, opened)

    return open_new


def resumer(
    campaign_id: str, *, hardware: bool, step: int | None = None
) -> Callable[[RedisLedger], None]:
    """What continues a campaign that nobody runs at present.

    The callable raises Unusable when the campaign is live or unknown.
    """

    def resume(ledger: RedisLedger) -> None:
        service.find(ledger, campaign_id)
        for pid, about in ledger.processes().items():
            mine = about["role"] == "campaign" and about["instrument"] == campaign_id
            if mine and child.is_same_process(pid, about["started"]):
                raise Unusable(
                    f"campaign {campaign_id!r} is live: process {pid} runs it; "
                    f"'labwright watch {campaign_id}' shows it"
                )
        state = service.state_of(ledger, campaign_id)
        if not state.is_over:
            check_mode(InstrumentSpec.from_data(state.instrument_spec), hardware=hardware)
        if step is not None and not state.is_over:
            service.require_approvals(ledger, campaign_id, step, by="run --resume")
        if is_held_by_a_run(ledger.events(campaign_id)):
            held = [CampaignStatus.PAUSED, CampaignStatus.NEEDS_PERSON]
            ledger.order(campaign_id, ev.Resumed(by="run --resume"), held)

    return resume


def is_held_by_a_run(log_of_events: Iterable[ev.Event]) -> bool:
    """True when the last order came from a run that was interrupted or gave up.

    What a person has paused stays so, whoever starts the processes again: somebody may be standing
    at the instrument.
    """
    orders = [event for event in log_of_events if isinstance(event, ev.CampaignEvent)]
    return bool(orders) and orders[-1].by in (GIVER_UP, KEYBOARD)
