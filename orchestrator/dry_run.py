"""What ``labwright check`` finds out beyond the files: it walks a campaign's trials on fakes.

Nothing can move: all code of the lab runs in a sealed child process, on fakes of the devices.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.adapters.dry_run.sealed import ENVIRONMENT
from orchestrator.adapters.optimizers.sobol_optimizer import satisfies, space_filling_points
from orchestrator.adapters.processes.answering_child import AnsweringChild, ChildDied
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.foresight import MOST_CORNERS, Measured, corners, doubts
from orchestrator.domain.misspelt import misspelt_devices
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.dry_run_figures import (
    Answer,
    Finding,
    Parameters,
    lagging,
    late,
    overspent,
    times,
    totals,
)
from orchestrator.ports import Ledger

POINTS = 100
"""Trials that are looked at: corners of the space, and the campaign's own first points."""
LOOK_S = 60.0
"""Seconds for all points; those left over then are left out, and counted."""
ANSWER_S = 30.0
"""Seconds for one point; then its process is killed."""
LOAD_S = 60.0
"""Seconds for the process to be there, and again for the fakes to be made."""
NEWEST = 50
"""Earlier trials from which a duration is learned."""


@dataclass(frozen=True, slots=True)
class Past:
    """One earlier trial, as the ledger has it."""

    parameters: Parameters
    took_s: float
    """From its start to its data being safe, in seconds of this clock."""
    by_model: bool
    """True when a model proposed it."""


@dataclass
class _Found:
    """What has been found so far."""

    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    untried: list[Finding] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """What each point would do, those that fail left out."""
    points: int = 0


def dry_run(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    past: Sequence[Past] = (),
    *,
    points: int = POINTS,
    time_compression: float | None = None,
    plan_deadline_s: float = 3600.0,
) -> dict[str, Any]:
    """Walk the plan at corners of the space and at a sample of it, on fakes.

    Args:
        campaign: as its file has it.
        instrument: that it names.
        past: earlier trials of this plan on this instrument, oldest first.
        points: trials to look at, at least 1.
        time_compression: lab seconds in one second; None takes the twin's own.
        plan_deadline_s: longest time that a plan may take.

    Returns:
        Plain data, described in docs/how-to/check-before-you-start.md.
    """
    found = _Found()
    in_the_files = (*doubts(campaign), *misspelt_devices(campaign, instrument))
    found.warnings += [Finding(text, place=place) for place, text in in_the_files]
    chosen = _points(campaign, points)
    files = [one.model_dump_json(by_alias=True) for one in (campaign, instrument)]
    report: dict[str, Any] = {"trial_s": None, "campaign_s": None}
    has_devices = True
    realigns: dict[str, Any] = {}
    child = AnsweringChild(
        "orchestrator.adapters.dry_run.dry_run_process", *files, environment=ENVIRONMENT
    )
    try:
        child.load(LOAD_S)
        begun = child.ask(None, LOAD_S)
        found.problems += _findings(begun["problems"])
        found.warnings += _findings(begun["warnings"])
        has_devices = begun["is_ready"]
        if begun["is_ready"]:
            _walk_all(child, chosen, found)
            realigns = _walk_realignment(child, campaign, found)
        if found.answers and not found.problems:
            scale = begun["time_scale"]
            if time_compression is not None and instrument.mode == "twin":
                scale = time_compression
            twin = _on_twin(child, chosen, found)
            history = _measured(child, past[-NEWEST:], scale)
            report = times(campaign, found.answers, history, twin, scale)
    except (ChildDied, TimeoutError) as error:
        text = str(error) or "it gave no answer in time"
        found.problems.append(Finding(f"the process of the dry run: {text}"))
    finally:
        child.end()
    found.warnings += late(campaign, report, plan_deadline_s)
    found.warnings += lagging(report, found.answers)
    sums = totals(campaign, instrument, found.answers, realigns)
    found.warnings += overspent(campaign, instrument, sums["uses"])
    return {
        "ok": not found.problems,
        "has_devices": has_devices,
        "campaign": campaign.name,
        "instrument": instrument.name,
        "mode": instrument.mode,
        "problems": [asdict(one) for one in found.problems],
        "warnings": [asdict(one) for one in found.warnings],
        "untried": [asdict(one) for one in found.untried],
        "points": found.points,
        "parameters": len(campaign.parameters),
        "trials": campaign.budget.trials,
        **sums,
        **report,
    }


def earlier_trials(
    ledger: Ledger, campaign: CampaignSpec, instrument: InstrumentSpec
) -> list[Past]:
    """Trials that the same plan has measured on this instrument, oldest first.

    Its arguments and the parameters are those of this campaign. A trial that needed a second
    attempt is left out, and so is a realignment.
    """
    found: list[Past] = []
    wanted = campaign.to_data()
    for campaign_id in ledger.campaigns():
        try:
            state: CampaignState = fold(ledger.events(campaign_id))
        except LedgerError:
            continue  # what cannot be read teaches nothing, and 'verify' tells of it
        if (state.instrument, state.mode) != (instrument.name, instrument.mode):
            continue
        if any(state.spec.get(key) != wanted[key] for key in ("plan", "parameters")):
            continue
        for trial in state.trials.values():
            if trial.source == REALIGNMENT:
                continue
            if trial.measuring_s is not None and trial.attempts == 1:
                found.append(Past(trial.parameters, trial.measuring_s, trial.source == "model"))
    return found


def _points(campaign: CampaignSpec, count: int) -> list[Parameters]:
    """Corners first, then points of the campaign's own sequence."""
    most = min(MOST_CORNERS, count // 2)
    edges = [one for one in corners(campaign, most) if satisfies(campaign, one)]
    return [*space_filling_points(campaign, count - len(edges)), *edges]


def _walk_all(child: AnsweringChild, chosen: Sequence[Parameters], found: _Found) -> None:
    problems, warnings, untried = _Grouped(), _Grouped(), _Grouped()
    give_up = time.monotonic() + LOOK_S
    before: Mapping[str, float] | None = None
    for parameters in chosen:
        if time.monotonic() > give_up:
            text = f"only {found.points} of {len(chosen)} points were looked at in {LOOK_S:g} s"
            found.warnings.append(Finding(text))
            break
        answer = child.ask((parameters, before), ANSWER_S)
        found.points += 1
        problems.add(answer["problems"], parameters)
        warnings.add(answer["warnings"], parameters)
        untried.add(answer["untried"], parameters)
        if not answer["problems"]:
            found.answers.append({**answer, "parameters": parameters})
            before = {path: at[1] for path, at in answer["moves"].items()}
        elif any("never ends" in text for text, _ in answer["problems"]):
            break  # each further point would take as long
    found.problems += problems.findings()
    found.warnings += warnings.findings()
    found.untried += untried.findings()


def _walk_realignment(
    child: AnsweringChild, campaign: CampaignSpec, found: _Found
) -> dict[str, Any]:
    """The plan that realigns, where the campaign names one: what is wrong with it, what it moves.

    Returns:
        Lowest and highest setting by device.
    """
    if campaign.sentinel is None or campaign.sentinel.realignment is None:
        return {}
    answer = child.ask((campaign.sentinel.at, None, REALIGNMENT), ANSWER_S)
    for findings, told in (
        (found.problems, answer["problems"]),
        (found.warnings, answer["warnings"]),
    ):
        own = [(f"the plan that realigns: {text}", line) for text, line in told]
        findings.extend(_findings(own))
    return {} if answer["problems"] else dict(answer["moves"])


class _Grouped:
    """The same problem at many points is told once: the same line, or the same words."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str | None, Parameters]] = {}
        self._counts: dict[str, int] = {}

    def add(self, told: Sequence[tuple[str, str | None]], parameters: Parameters) -> None:
        for text, line in told:
            key = f"{line} {text.partition(' ')[0]}" if line else text
            self._first.setdefault(key, (text, line, parameters))
            self._counts[key] = self._counts.get(key, 0) + 1

    def findings(self) -> Iterator[Finding]:
        for key, (text, line, parameters) in self._first.items():
            file, number = _split(line)
            yield Finding(text, file, number, "", self._counts[key], parameters)


def _findings(told: Any) -> Iterator[Finding]:
    for text, line in told:
        yield Finding(text, *_split(line))


def _split(line: str | None) -> tuple[str | None, int | None]:
    if line is None:
        return None, None
    file, _, number = line.rpartition(":")
    return file, int(number)


def _on_twin(child: AnsweringChild, chosen: Sequence[Parameters], found: _Found) -> Answer:
    """What the twin makes of the points; where its readings can be reduced, nothing is untried."""
    twin = child.ask(list(chosen), ANSWER_S)
    found.problems += _findings((text, None) for text in twin["problems"])
    if twin["is_reduced"]:
        found.untried.clear()
    return twin


def _measured(child: AnsweringChild, past: Sequence[Past], scale: float) -> list[Measured]:
    """Earlier trials with what their plans slept, which their messages say."""
    found: list[Measured] = []
    for one in past:
        answer = child.ask((one.parameters, None), ANSWER_S)
        if not answer["problems"]:
            found.append(Measured(answer["waits_s"] / scale, one.took_s, one.by_model))
    return found
