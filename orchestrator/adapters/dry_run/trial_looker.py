"""What each trial of one campaign would do, on fakes of its instrument.

To be imported in a sealed process, once fakes are in the place of all signals: see
``dry_run_process``.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from devices.errors import NoSuchDevice
from orchestrator.adapters.dry_run.fake_epics import watch_epics
from orchestrator.adapters.dry_run.fake_instrument import FakeInstrument
from orchestrator.adapters.dry_run.forgotten_stubs import watch_stubs
from orchestrator.adapters.dry_run.reducer_tryout import ReducerTryout, Told
from orchestrator.adapters.dry_run.sealed import Tried
from orchestrator.adapters.dry_run.startup_orders import Order, noting_orders
from orchestrator.adapters.execution.adoption import Adopted, with_read_beside
from orchestrator.adapters.guard.budgets import Tally
from orchestrator.adapters.instruments.shared_pvs import shared_pvs
from orchestrator.adapters.lab_code.plan_lines import line_now, line_of_error
from orchestrator.adapters.lab_code.plan_uses import plan_uses
from orchestrator.adapters.walks.guarded_trial import GuardedTrial, guarded_trial
from orchestrator.adapters.walks.message_walk import Walk
from orchestrator.adapters.walks.twin_in_process import TwinByPlan, twin_in_process
from orchestrator.domain.errors import LabError, PlanFailed, ReductionError, Unusable, told
from orchestrator.domain.realignment import REALIGNMENT, spec_for
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec

TWIN_TRIALS = 5
"""Trials that the twin carries out, where there is one: for their time and for the reducer."""

_EACH_START = "is called while devices are made: each start of a worker does it, past all limits"

Answer = dict[str, Any]
"""Plain data: see ``Looker.walk``."""


class Looker:
    """Looks at the trials of one campaign.

    Args:
        campaign: as its file has it.
        instrument: that it names.
        scale: lab seconds in one second.
        tried: what ``seal`` of this process gave.
    """

    def __init__(
        self,
        campaign: CampaignSpec,
        instrument: InstrumentSpec,
        scale: float,
        tried: list[Tried],
    ) -> None:
        self._campaign = campaign
        self._instrument = instrument
        self._scale = scale
        self._fakes: Any = None
        self._lab: Any = None
        self._tried = tried
        self._outside: dict[tuple[str, str, str | None], None] = {}
        self._forgotten: dict[str, str] = {}
        self._tryout = ReducerTryout(campaign)
        watch_stubs(lambda name, line: self._forgotten.update({line: name}))

    def start(self) -> Answer:
        """Make the fakes: what is wrong with them, and lab seconds in one second."""
        watch_epics(self._report)
        with noting_orders() as orders:
            problems: Told = [(one, None) for one in self._make_fakes()]
        warnings: Told = []
        puts = [Order(f"{how}() of {pv}", line, may_move=True) for pv, how, line in self._outside]
        for one in (*orders, *puts):
            found = problems if one.may_move else warnings
            found.append((f"{one.text} {_EACH_START}", one.line))
        return {
            "problems": [*problems, *self._refused(problems)],
            "warnings": warnings,
            "time_scale": self._scale,
            "is_ready": self._fakes is not None,
        }

    def _make_fakes(self) -> list[str]:
        """What is wrong with them."""
        try:
            self._lab = Adopted(self._instrument)
            self._instrument, adopted = with_read_beside(self._instrument, self._lab)
            self._fakes = FakeInstrument(self._instrument, self._report, adopted)
            return list(shared_pvs(self._fakes.all, self._instrument))
        except LabError as error:
            return [str(error)]
        except BaseException as error:  # noqa: B036 - a lab's class may raise anything
            return [f"the devices cannot be made as fakes: {type(error).__name__}: {error}"]

    def walk(
        self,
        parameters: Mapping[str, Any],
        before: Mapping[str, float] | None,
        source: str = "",
    ) -> Answer:
        """What one trial would do; its plan is that of its ``source``.

        Returns:
            ``problems``, ``warnings`` and ``untried`` (pairs of a text and ``file:line`` or None;
            the last: why the reducer makes nothing of made-up readings), ``messages``, ``moves``
            (lowest and highest setting by device), ``triggers`` (counts), ``waits_s`` (what the
            plan sleeps), ``moves_s`` and ``lab_s`` (all) as far as they are known, ``unknown``
            (devices whose time nobody has stated), ``uses`` (amount and unit of what is spent, by
            name) and ``reduce_s`` (the shortest time of the reducer so far; None while it gave no
            outcomes).
        """
        self._fakes.reset()
        self._outside.clear()
        self._forgotten.clear()
        for path, value in (before or {}).items():
            self._fakes.place(self._fakes.at(path), value)
        walk = Walk(self._fakes)
        campaign = spec_for(self._campaign, source)
        trial = self._trial(campaign, parameters, walk)
        walked = walk.walked if trial is None else walk.go(trial)
        problems = [*walked.problems]
        problems += [
            (f"the plan itself calls {order}() of {path}; only messages may move anything", line)
            for path, order, line in self._outside
        ]
        problems += self._refused(problems)
        untried: Told = []
        if not problems and source != REALIGNMENT:
            problems, untried = self._tryout.reduce(walked, self._instrument)
        warnings = [] if problems else self._unobeyed()
        uses: dict[str, Any] = {}
        if trial is not None and not problems:
            own = self._uses(campaign, parameters, trial.plan, problems)
            uses = {**own, **self._spent(trial.tally)}
        return {
            "problems": problems,
            "untried": untried,
            "warnings": warnings,
            "messages": walked.messages,
            "moves": {path: (min(at), max(at)) for path, at in walked.sets.items()},
            "triggers": dict(walked.triggers),
            "waits_s": walked.waits_s,
            "lab_s": walked.lab_s,
            "moves_s": walked.moves_s,
            "uses": uses,
            "reduce_s": self._tryout.shortest_s,
            "unknown": sorted(walked.unknown),
        }

    def _unobeyed(self) -> list[tuple[str, str]]:
        text = "is called and its messages are never obeyed: 'yield from' is missing"
        return [(f"{name}() {text}", line) for line, name in self._forgotten.items()]

    def on_twin(self, points: list[Mapping[str, Any]]) -> Answer:
        """What the twin's own instrument makes of the first of these trials, within this process.

        Trials that fail on it are left out.

        Returns:
            ``moves_s`` and ``readings_s``: mean lab seconds, None where no twin tells them;
            ``problems``: outcomes that are no numbers although the readings are the twin's;
            ``is_reduced``: True when the reducer gave outcomes.
        """
        moves: list[float] = []
        readings: list[float] = []
        problems: list[str] = []
        is_reduced = False
        try:
            twin = twin_in_process(self._campaign, self._instrument, 0)
        except Unusable:
            return {"moves_s": None, "readings_s": None, "problems": [], "is_reduced": False}
        for parameters in points[:TWIN_TRIALS] if isinstance(twin, TwinByPlan) else ():
            try:
                measured = twin.measure(parameters)
            except PlanFailed:
                continue  # it may refuse some points, which says nothing against the plan
            except (ReductionError, Unusable) as error:
                problems += [str(error)] if "not finite" in str(error) else []
                continue
            is_reduced = True
            moves.append(measured.moves_s or 0.0)
            readings.append(measured.readings_s or 0.0)
        return {
            "moves_s": fmean(moves) if moves else None,
            "readings_s": fmean(readings) if readings else None,
            "problems": problems[:1] if len(problems) == TWIN_TRIALS else [],
            "is_reduced": is_reduced,
        }

    def _spent(self, tally: Tally) -> dict[str, tuple[float, str]]:
        """What the instrument's budgets would lose."""
        budgets = self._instrument.budgets
        return {name: (amount, budgets[name].unit) for name, amount in tally.spent.items()}

    def _uses(
        self,
        campaign: CampaignSpec,
        parameters: Mapping[str, Any],
        written: Any,
        problems: list[Any],
    ) -> dict[str, Any]:
        try:
            return dict(plan_uses(campaign, parameters, written))
        except PlanFailed as error:
            problems.append((str(error), line_of_error(error)))
            return {}

    def _trial(
        self, campaign: CampaignSpec, parameters: Mapping[str, Any], walk: Walk
    ) -> GuardedTrial | None:
        """The trial, to be walked; None when that is a problem already."""
        fakes, of_startup = self._fakes, self._lab.plan
        try:
            return guarded_trial(campaign, self._instrument, parameters, fakes, of_startup)
        except Exception as error:  # the plan's module and function are a lab's
            is_name = isinstance(error.__cause__, NoSuchDevice)  # no line of the lab's is wrong
            line = None if is_name else line_of_error(error)
            walk.walked.problems.append((told(error), line))
            return None

    def _report(self, path: str, order: str) -> None:
        self._outside[path, order, line_now()] = None

    def _refused(self, known: Sequence[Tried]) -> Sequence[Tried]:
        """What a lab's line tried and the seal refused, unless it is known as the error it was."""
        lines, texts = {line for _, line in known}, [text for text, _ in known]
        found = [
            (text, line)
            for text, line in self._tried
            if line and line not in lines and not any(text in one for one in texts)
        ]
        self._tried.clear()
        return found
