"""What goes wrong: real signals to real processes, drawn from a seed."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.domain.errors import LabError, LedgerError
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentState
from tests.chaos.lab import INSTRUMENTS, ChaosLab

TRIAL_S = 1.0
"""About how long a trial takes."""
LOOK_S = 0.05
"""Time between two looks whether a blow is due."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One kind of fault."""

    name: str
    """The count that it adds to."""
    every: float
    """Mean number of grants (leases and recoveries) between two: a slow machine is not struck more
    often than it can recover."""
    strike: "Callable[[Nemesis], bool]"
    """Does it; False when there was nobody to do it to."""


@dataclass
class Nemesis:
    """Strikes from a thread of its own until it is stopped.

    Which fault comes when, and whom it strikes, is drawn from the seed; what the struck process
    was doing at that moment is up to the machine.
    """

    lab: ChaosLab
    blows: tuple[Blow, ...]
    counts: Counter[str] = field(default_factory=Counter[str])
    deaths: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])
    """Instrument, worker and time (Unix) of each killed worker that held its instrument."""
    errors: list[BaseException] = field(default_factory=list[BaseException])

    def __post_init__(self) -> None:
        terms = self.lab.terms
        self.random = random.Random(f"{terms.seed} {terms.gate}")
        self._stop = threading.Event()
        self._granted = 0
        self._undone: list[threading.Timer] = []
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Strike no more, wake what is frozen, mend what is cut."""
        self._stop.set()
        self._thread.join()
        for timer in self._undone:
            timer.join()
        if self.errors:
            raise self.errors[0]

    @property
    def is_over(self) -> bool:
        """True once it strikes no more."""
        return self._stop.is_set()

    def rest(self, seconds: float) -> None:
        """Wait so long, or until it is over."""
        self._stop.wait(seconds)

    def later(self, seconds: float, undo: Callable[[], object]) -> None:
        """Undo a fault after so many seconds."""
        timer = threading.Timer(seconds, undo)
        timer.start()
        self._undone.append(timer)

    def _run(self) -> None:
        due = {blow.name: self._wait(blow) for blow in self.blows}
        moments: dict[str, float] = {}
        try:
            while not self._stop.wait(LOOK_S):
                grants = self._grants()
                for blow in self.blows:
                    if grants < due[blow.name]:
                        continue
                    # A grant is the beginning of a trial: strike at any moment of it.
                    moment = time.monotonic() + self.random.uniform(0.0, 1.5 * TRIAL_S)
                    if time.monotonic() < moments.setdefault(blow.name, moment):
                        continue
                    del moments[blow.name]
                    if blow.strike(self):  # else it is due as before
                        self.counts[blow.name] += 1
                        due[blow.name] = grants + self._wait(blow)
        except BaseException as error:
            self.errors.append(error)

    def _wait(self, blow: Blow) -> float:
        return blow.every * self.random.uniform(0.3, 1.7)

    def _grants(self) -> int:
        with contextlib.suppress(LedgerError):
            self._granted = sum(self.lab.ledger.instrument(one).fence for one in INSTRUMENTS)
        return self._granted

    def holder(self, instrument: str, *, driving: bool = False) -> str | None:
        """The worker that holds the instrument now; with ``driving`` only in a started trial."""
        with contextlib.suppress(LabError):
            record = self.lab.ledger.instrument(instrument)
            if record.state is not InstrumentState.LEASED or record.campaign_id is None:
                return None
            if not driving:
                return record.holder
            state = self.lab.state(record.campaign_id)
            trial = state.trials.get(record.trial_id or 0)
            if trial is not None and trial.state is TrialState.RUNNING:
                return record.holder
        return None
