"""The worker of a session: it lives in the lab's own process, beside the lab's RunEngine.

What makes a worker process safe to replace is kept: each plan, and each trial by hand, is a new
incarnation with a name, a heartbeat and a lease of its own, which begins by putting right what an
earlier one has left behind. Only the lock on the instrument is held throughout.
"""

import contextlib
import logging
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.adapters.documents.document_stream import DocumentPublisher
from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.execution.hand_executor import HandExecutor
from orchestrator.adapters.processes import child
from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.app import SystemClock, document_address, gate_for, heartbeat, worker_lab
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.errors import ExecutionError, LeaseLost, LedgerError, Unusable
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Executor, Lab
from orchestrator.worker import Errand, Worker

if TYPE_CHECKING:
    from orchestrator.adapters.engines.hosted_engine import HostedEngine
    from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
    from orchestrator.domain.spec import InstrumentSpec
    from orchestrator.settings import Settings

log = logging.getLogger(__name__)

ODD = (
    "the last attempt came to no orderly end, so nothing else is started; the next plan() observes "
    "the instrument first"
)


class Resident:
    """Owns an instrument for as long as it is open.

    Args:
        settings: of the lab.
        ledger: of the lab.
        instrument: the instrument file.
        engine: the session's RunEngine; None when there is none.

    Raises:
        Unusable: somebody else drives the instrument, or Labwright would have to serve its twin.
    """

    def __init__(
        self,
        settings: "Settings",
        ledger: "RedisLedger",
        instrument: "InstrumentSpec",
        engine: "HostedEngine | None",
    ) -> None:
        self._settings, self._ledger, self.instrument = settings, ledger, instrument
        self._engine = engine
        self._envelope = envelope_of(instrument)
        if instrument.queueserver is not None:
            raise Unusable(
                f"the plans of instrument {instrument.name!r} are run by its queueserver, not in a "
                "session: use 'labwright run'"
            )
        _refuse_second(ledger, instrument)
        self._gate = gate_for(settings, instrument)
        if not self._gate.enter():
            name = instrument.name
            raise Unusable(f"another process drives instrument {name!r}; end its run first")
        with contextlib.ExitStack() as begun:
            begun.callback(self._leave)
            publisher = DocumentPublisher(document_address(settings, instrument.name))
            self._publisher = begun.enter_context(contextlib.closing(publisher))
            pid, host = os.getpid(), platform.node()
            about = {"role": "worker", "instrument": instrument.name, "session": True}
            ledger.set_process(pid, {**about, "started": child.started_at(pid), "host": host})
            begun.callback(self._unlist)
            self._opened = begun.pop_all()

    def close(self) -> None:
        """Leave the instrument to others, as soon as no plan is under way any more."""
        self._opened.close()

    def measure(self, errand: Errand, executor_of: Callable[[], Executor]) -> None:
        """Make attempts until the errand is done; takes as long as they do.

        Raises:
            Unusable: an attempt came to no orderly end.
            DeviceUnavailable: devices that do not connect, or do not come to rest.
            LedgerUnavailable: the ledger stays away.
        """
        while not errand.is_done:
            executor = executor_of()
            with self._incarnation(executor) as (lab, await_beat):
                lab = replace(lab, clock=_Impatient(errand.goes_on))
                worker = Worker(lab, stays=errand.goes_on, errand=errand)
                try:
                    worker.begin()
                    await_beat()
                    worker.work()
                except LeaseLost as error:
                    log.warning("the instrument is looked at anew: %s", error)
                except _NotWaitedFor:
                    pass  # whoever gave the errand knows why it does not go on
                finally:
                    worker.finish()
            if not executor.is_reusable:
                raise Unusable(ODD)

    def executor(self) -> BlueskyExecutor:
        """Runs plans on the session's RunEngine."""
        return BlueskyExecutor(
            self.instrument,
            self._envelope,
            self._settings.data_dir,
            publisher=self._publisher,
            connect_timeout_s=self._settings.connect_timeout_s,
            session=self._engine,
        )

    def by_hand(self, campaign_id: str, goes_on: Callable[[], bool]) -> "ByHand":
        """A trial for a person to measure; ``goes_on`` is False when there can be none."""
        executor = HandExecutor(self._settings.data_dir, self.executor)

        def is_wanted() -> bool:
            return not executor.is_answered and goes_on()

        def work() -> None:
            try:
                self.measure(Errand(campaign_id, is_wanted, 1), lambda: executor)
            finally:
                if self._engine is not None:
                    self._engine.restore()

        return ByHand(executor, work)

    @contextlib.contextmanager
    def _incarnation(self, executor: Executor) -> Iterator[tuple[Lab, Callable[[], None]]]:
        """The bundle of a worker, and what waits for its first beat."""
        settings, ledger, name = self._settings, self._ledger, child.worker_name()
        patient = replace(settings, hung_s=math.inf)  # a beat must not kill a person's session
        instrument = self.instrument
        with (
            contextlib.closing(heartbeat(patient, ledger, instrument.name, name)) as beat,
            contextlib.closing(ReducerProcess(settings.data_dir)) as reducer,
        ):
            lab = worker_lab(settings, ledger, instrument, executor, name, beat.announce)
            try:
                yield replace(lab, gate=self._gate, reducer=reducer), beat.wait
            finally:
                with contextlib.suppress(LedgerError):  # then its time runs out
                    ledger.expire(instrument.name, dead=name)

    def _leave(self) -> None:
        leave = getattr(self._gate, "leave", lambda: None)  # a gate that keeps nobody out has none
        if self._engine is None:
            leave()
        else:
            self._engine.afterwards(leave)

    def _unlist(self) -> None:
        with contextlib.suppress(LedgerError):
            self._ledger.set_process(os.getpid(), None)


class _NotWaitedFor(Exception):
    """The errand does not go on, so nothing is waited for any more."""


@dataclass(frozen=True, slots=True)
class _Impatient(SystemClock):
    """A clock for recovery, which waits for people: a session shows them its prompt instead."""

    goes_on: Callable[[], bool]

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            _NotWaitedFor: there is nothing to wait for.
        """
        if not self.goes_on():
            raise _NotWaitedFor
        time.sleep(seconds)


def _refuse_second(ledger: "RedisLedger", instrument: "InstrumentSpec") -> None:
    name = instrument.name
    if instrument.is_served:
        raise Unusable(
            f"the twin of {name!r} is served by Labwright, and a session has devices of its own; "
            "'labwright run' runs the campaign on the twin"
        )
    for pid, about in ledger.processes().items():
        mine = about["role"] == "worker" and about["instrument"] == name
        if mine and child.is_same_process(pid, about["started"]):
            who = "this session" if pid == os.getpid() else f"process {pid}"
            raise Unusable(
                f"{who} drives instrument {name!r} already; end that run, or say "
                "'campaign.close()' in that session"
            )


@dataclass
class ByHand:
    """A trial that a person measures, or the wait for one: a thread has it, as a worker would."""

    executor: HandExecutor
    work: Callable[[], None]

    def __post_init__(self) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="by hand", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None) -> bool:
        """Until there is a trial; False when there is none in time, or none any more.

        Raises:
            BaseException: what has kept it from coming.
        """
        self.executor.asked.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return self.executor.request is not None

    def end(self, answer: Mapping[str, Outcome] | ExecutionError) -> None:
        """Hand in what was measured, or why nothing, and wait until it is recorded.

        Raises:
            BaseException: what has kept it from being recorded.
        """
        self.executor.answer(answer)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: B036 - whoever asked gets it
            self._error = error
        finally:
            self.executor.asked.set()
