"""The live display of one campaign in a terminal, and its plain form for logs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.domain import events as ev
from orchestrator.domain.outage import span
from orchestrator.domain.ranking import Ranking, rank
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.stopping import best_trials
from orchestrator.domain.time_words import time_lines
from orchestrator.domain.trial import TERMINAL, Outcome, Trial, TrialState, without_model

if TYPE_CHECKING:
    from rich.live import Live

    from orchestrator.domain.spec import CampaignSpec

BARS = "▁▂▃▄▅▆▇█"
TRACE_WIDTH = 60
LONGEST_NOTE = 245
"""Characters of an error that are shown; ``labwright why`` has all of them."""
BANNER = {"twin": "bold white on dark_cyan", "real": "bold white on dark_red"}
STATUS = {
    CampaignStatus.RUNNING: "green",
    CampaignStatus.DONE: "green",
    CampaignStatus.FAILED: "bold red",
    CampaignStatus.ABORTED: "bold red",
    CampaignStatus.NEEDS_PERSON: "bold red",
}


def number(value: float) -> str:
    """Six significant digits: enough to read, the table has them all."""
    return f"{value:.6g}"


def quantity(outcome: Outcome) -> str:
    """Mean, standard error when known, and unit."""
    sem = f" ± {outcome.sem:.2g}" if outcome.sem else ""
    return f"{number(outcome.mean)}{sem} {outcome.unit}".rstrip()


def settings_of(trial: Trial, spec: CampaignSpec) -> str:
    """The trial's parameters in one line."""
    return ", ".join(
        f"{name} {number(value) if isinstance(value, float) else value} "
        f"{spec.parameters[name].unit}".rstrip()
        for name, value in trial.parameters.items()
    )


def sparkline(values: Sequence[float], width: int = TRACE_WIDTH) -> str:
    """The values as a row of bars, the newest ``width`` of them; empty without values."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in shown)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours when there are any."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class Display:
    """What a terminal shows of a campaign while it runs."""

    console: Console
    reading: str = ""
    """The newest reading, as the worker's live documents tell it; empty without any."""
    notes: list[str] = field(default_factory=list[str])
    alarm: str | None = None
    """What keeps the ledger from working at present; None when all is well."""
    _state: CampaignState = field(default_factory=CampaignState)
    _ranking: Ranking = field(default_factory=Ranking)
    _live: Live | None = None

    @contextmanager
    def showing(self) -> Iterator[Display]:
        """Keep the display on the screen."""
        from rich.live import Live

        with Live(console=self.console, refresh_per_second=4, transient=False) as live:
            self._live = live
            yield self

    def show(self, state: CampaignState, news: list[ev.Event]) -> None:
        """Take in what happened and draw."""
        self.notes += [note for event in news if (note := _note(event))]
        del self.notes[:-4]
        self._state = state
        self._update()

    def tell(self, alarm: str | None) -> None:
        """Show what keeps the ledger from working; None takes it off again."""
        if alarm != self.alarm:
            self.alarm = alarm
            self._update()

    def _update(self) -> None:
        if self._live is None:
            return
        if self._state.campaign_id:
            self._live.update(self.draw(self._state))
        elif self.alarm is not None:
            self._live.update(Text(self.alarm, style="bold red"))

    def draw(self, state: CampaignState) -> RenderableType:
        """The whole display."""
        from rich.panel import Panel

        spec = _spec_of(state)
        parts: list[RenderableType] = [_head(state), Text(), _progress(state, spec), Text()]
        parts += [self._facts(state, spec)]
        parts += [Text(f"  {note}", style="yellow") for note in self.notes]
        if self.alarm is not None:
            parts += [Text(), Text(self.alarm, style="bold red")]
        return Panel(Group(*parts), title=spec.name, title_align="left", border_style="dim")

    def _facts(self, state: CampaignState, spec: CampaignSpec) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", justify="right", no_wrap=True)
        table.add_column()
        goals = ", ".join(f"{one.goal} {name}" for name, one in spec.objectives.items())
        table.add_row("goal", goals)
        ranking = self._ranking = rank(state, spec, self._ranking)
        for trial in ranking.best[-3:]:
            outcomes = "  ".join(f"{n} {quantity(o)}" for n, o in trial.outcomes.items())
            table.add_row("best", Text(f"trial {trial.trial_id}: {outcomes}", style="bold"))
            table.add_row("", Text(settings_of(trial, spec), style="dim"))
        if not ranking.best:
            table.add_row("best", "none yet that keeps every constraint")
        table.add_row("now", Text(self._now(state, spec)))
        if self.reading:
            table.add_row("reading", Text(self.reading, style="dim"))
        if trace := ranking.trace:
            table.add_row("best so far", f"{sparkline(trace)} {number(trace[-1])}")
        return table

    def _now(self, state: CampaignState, spec: CampaignSpec) -> str:
        for trial in state.in_state(TrialState.RUNNING, TrialState.LEASED, TrialState.ACQUIRED):
            return f"trial {trial.trial_id} ({trial.source}): {settings_of(trial, spec)}"
        if state.is_over or state.waiting_for:
            return f"{state.status}: {state.waiting_for or state.stop_reason}"
        if state.first_start is None:
            return "starting the instrument"
        waiting = state.count(TrialState.QUEUED)
        return "waiting for the worker" if waiting else "waiting for a proposal"


def _spec_of(state: CampaignState) -> CampaignSpec:
    # Imported here: listing campaigns draws a table and needs no spec.
    from orchestrator.domain.spec import CampaignSpec

    return CampaignSpec.from_data(state.spec)


def _head(state: CampaignState) -> Text:
    style = STATUS.get(state.status, "yellow")
    return Text.assemble(
        (f" {state.mode.upper()} ", BANNER.get(state.mode, "reverse")),
        f"  {state.instrument}  ",
        (str(state.status), style),
        (f"  {state.campaign_id}", "dim"),
    )


def _progress(state: CampaignState, spec: CampaignSpec) -> Table:
    from rich.progress_bar import ProgressBar

    done, total = state.count(*TERMINAL, TrialState.UNREDUCED), spec.budget.trials
    now = time.time() if state.ended_at is None else state.ended_at
    elapsed = now - (state.opened_at or now)
    line = Table.grid(padding=(0, 1))
    # Time for the trials that are left, by the pace since the first start.
    pace = (now - state.first_start) / done if state.first_start and done else None
    left = f"about {clock(pace * (total - done))} left" if pace and not state.is_over else ""
    bar = ProgressBar(total=total, completed=done, width=30)
    line.add_row(f"trial {done} of {total}", bar, f"{clock(elapsed)} elapsed", left)
    return line


def _note(event: ev.Event) -> str | None:
    """What an operator should read about an event; None for the ordinary course."""
    if isinstance(event, ev.TrialEvent):
        return _trial_note(event)
    match event:
        case ev.InstrumentChanged():
            return f"instrument {event.state}: {event.reason}".rstrip(": ")
        case ev.Suspended() | ev.Paused() | ev.NeedsPerson() | ev.Resumed():
            return f"{ev.type_of(event).replace('_', ' ')}: {event.reason}".rstrip(": ")
        case ev.FinishRequested() | ev.AbortRequested():
            return f"ending: {event.reason}"
        case ev.Noted():
            return f"{event.by}: {event.text}"
        case _:
            return None


def _trial_note(event: ev.TrialEvent) -> str | None:
    match event:
        case ev.Proposed(source="fallback"):
            reason = without_model(event.details)
            return f"trial {event.trial_id} is a space-filling point: {reason}".rstrip(": ")
        case ev.Proposed(source="realignment"):
            return f"trial {event.trial_id} realigns: {without_model(event.details)}"
        case ev.Asked():
            return f"trial {event.trial_id} asks ({event.question}): {event.text}"
        case ev.Answered():
            return f"{event.by} answers trial {event.trial_id}: {event.text}"
        case ev.Failed():
            gone = "; the trial is abandoned" * (event.then == TrialState.ABANDONED)
            return f"trial {event.trial_id} failed ({event.reason}): {_cut(event.message)}{gone}"
        case ev.Invalidated():
            return f"trial {event.trial_id} is invalid: {event.reason}"
        case ev.Corrected():
            return f"trial {event.trial_id} was corrected by {event.reducer}: {event.reason}"
        case ev.Unreduced():
            return f"trial {event.trial_id} could not be reduced: {_cut(event.reason)}"
        case ev.LeaseExpired():
            return f"the worker of trial {event.trial_id} died"
        case _:
            return None


def _cut(text: str) -> str:
    """What is too long for a line or two without its middle: the line of the plan is at the end."""
    spare = (LONGEST_NOTE - 5) // 2
    return text if len(text) <= LONGEST_NOTE else f"{text[:spare]} ... {text[-spare:]}"


def plain(state: CampaignState, news: list[ev.Event]) -> None:
    """One line on standard error for each trial that came to rest, and each odd event."""
    for event in news:
        line = _note(event)
        if isinstance(event, ev.Measured):
            trial = state.trials[event.trial_id]
            outcomes = ", ".join(f"{n} {quantity(o)}" for n, o in event.outcomes.items())
            line = f"trial {event.trial_id} ({trial.source}): {outcomes}"
        if line:
            sys.stderr.write(line + "\n")


@dataclass
class PlainAlarm:
    """Lines on standard error about a lost control link: at once, again and again, and after."""

    every_s: float = 30.0
    _since: float | None = None
    """Since when it is told (monotonic seconds); None when all is well."""
    _next: float = 0.0

    def tell(self, alarm: str | None) -> None:
        """Say it, unless it was said shortly before; None says that it is over."""
        now = time.monotonic()
        if alarm is None:
            if self._since is not None:
                sys.stderr.write(f"the control link is back after {span(now - self._since)}\n")
            self._since, self._next = None, 0.0
        elif now >= self._next:
            sys.stderr.write(f"{alarm}\n")
            self._since = now if self._since is None else self._since
            self._next = now + self.every_s


def follow_documents(address: str, display: Display) -> None:
    """Show the newest reading from the live documents; losing them loses nothing."""
    from orchestrator.adapters.documents.document_stream import subscribe

    def listen() -> None:
        for published in subscribe(address):
            if published is not None and published[0] == "event":
                display.reading = _reading(published[1])

    threading.Thread(target=listen, name="live documents", daemon=True).start()


def _reading(document: Mapping[str, Any]) -> str:
    numbers = {
        key: value for key, value in document.get("data", {}).items() if isinstance(value, float)
    }
    return "  ".join(f"{key} {number(value)}" for key, value in list(numbers.items())[:6])


def final_words(console: Console, summary: Mapping[str, Any], state: CampaignState) -> None:
    """The end of a run: the best trial and where the results lie."""
    spec = _spec_of(state)
    status = "needs a person" if summary["status"] == "needs_person" else summary["status"]
    why = summary["stop_reason"] or summary["waiting_for"]
    console.print(Text.assemble("\n", (status, "bold"), f": {why}" if why else ""))
    for trial in best_trials(state, spec):
        console.print(f"best trial {trial.trial_id}", style="bold")
        for name, outcome in trial.outcomes.items():
            console.print(f"  {name} = {quantity(outcome)}", markup=False)
        for name, value in trial.parameters.items():
            shown = number(value) if isinstance(value, float) else value
            console.print(f"  {name} = {shown} {spec.parameters[name].unit}".rstrip(), markup=False)
    if not summary["best"]:
        console.print("no feasible trial was measured")
    for line in time_lines(summary):
        console.print(line, markup=False)
    folder = summary["results"]
    console.print(f"results in {folder}")
    console.print("  results.csv, results.parquet, convergence.png, report.html", style="dim")
    documents = f"{summary['data_dir']}/runs/{summary['campaign_id']}"
    console.print(f"run documents in {documents}")
