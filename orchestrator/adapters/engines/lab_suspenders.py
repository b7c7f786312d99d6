"""The lab's suspenders. They pause a campaign as conditions do, and so they protect nothing.

Bluesky alone misses one that has tripped before the plan begins, and repeats messages after one
that trips in its midst: what was dispensed would be dispensed twice. So a suspender counts as a
condition here: read afresh before each start, and a trip in the midst ends the attempt.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bluesky.run_engine import RunEngine

from orchestrator.adapters.instruments.conditions import INVALID, Condition
from orchestrator.domain.spec import ConditionSpec

Plan = Callable[[], Any] | Any
"""Messages, or a function that gives them."""


class SuspenderCondition(Condition):
    """A suspender, judged by its own rules."""

    def __init__(self, suspender: Any, time_scale: float) -> None:
        signal = suspender._sig  # noqa: SLF001 - it has no other name
        self._rules = suspender
        name = str(getattr(signal, "name", signal))
        spec = ConditionSpec(signal=name, wait_s=float(suspender._sleep))  # noqa: SLF001
        super().__init__(spec, signal, time_scale)

    def _fault(self, value: Any, severity: Any) -> str | None:
        rules, name = self._rules, self._spec.signal
        if value is None or severity is not None and int(severity) >= INVALID:
            return f"{name} is in invalid alarm, or has no value"
        try:
            bad = value != value or (
                not rules._should_resume(value) if self._tripped else rules._should_suspend(value)  # noqa: SLF001
            )
        except Exception as error:  # the lab's own rule may raise anything
            return f"{type(rules).__name__} cannot judge {name}: {type(error).__name__}: {error}"
        if not bad:
            return None
        about = getattr(rules, "_tripped_message", "")
        return f"{type(rules).__name__}: {name} is {value}{f' ({about})' if about else ''}"


class Suspensions:
    """Takes the place of the RunEngine's own reaction to a suspender.

    What a suspender wants done before and after a suspension is kept, for whoever ends and starts
    attempts.

    Args:
        engine: its suspenders count, too.
        suspenders: those of the instrument file; they are installed.
        owed: file that is there while something is to be done before the next start: a shutter
            that one worker has closed is opened by the next.
    """

    def __init__(self, engine: RunEngine, suspenders: Sequence[Any], owed: Path) -> None:
        self._engine = engine
        self._installed = [one for one in suspenders if one not in engine.suspenders]
        for one in self._installed:
            engine.install_suspender(one)
        self.why: str | None = None
        """Why the running plan must end; None when no suspender has asked for that."""
        self._owed = owed
        self._before: list[Plan] = []
        plans = [one._post_plan for one in engine.suspenders] if owed.exists() else []  # noqa: SLF001
        self._after: list[Plan] = [plan for plan in plans if plan is not None]
        engine.request_suspend = self._requested

    def conditions(self, time_scale: float) -> list[Condition]:
        """The suspenders as conditions."""
        return [SuspenderCondition(one, time_scale) for one in self._engine.suspenders]

    def release(self) -> None:
        """Give the RunEngine its own reaction back, and its own suspenders alone."""
        for one in self._installed:
            self._engine.remove_suspender(one)
        vars(self._engine).pop("request_suspend", None)

    def watch(self) -> None:
        """Forget what was asked for before."""
        self.why = None

    def before(self) -> list[Plan]:
        """What is to be done now that an attempt has been ended; each is given once."""
        asked, self._before = self._before, []
        return asked

    @property
    def after(self) -> tuple[Plan, ...]:
        """What is to be done before the next start."""
        return tuple(self._after)

    def is_done(self) -> None:
        """What was to be done before the next start has been done."""
        self._after = []
        self._owed.unlink(missing_ok=True)

    @contextmanager
    def ignored(self) -> Generator[None]:
        """For plans that must run although a suspender has tripped: to park, to close a shutter."""
        suspenders = self._engine.suspenders
        for one in suspenders:
            self._engine.remove_suspender(one)
        try:
            yield
        finally:
            for one in suspenders:
                self._engine.install_suspender(one)

    def _requested(
        self,
        fut: Any,
        *,
        pre_plan: Plan = None,
        post_plan: Plan = None,
        justification: str | None = None,
    ) -> None:
        self.why = self.why or justification or "a suspender has tripped"
        self._before += [] if pre_plan is None else [pre_plan]
        if post_plan is not None:
            self._after.append(post_plan)
            self._owed.parent.mkdir(parents=True, exist_ok=True)
            self._owed.touch()
