"""Runs the plans of one instrument on a Bluesky RunEngine."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.disk.room import FileRoom
from orchestrator.adapters.execution.plan_failures import disconnected, failure, with_misspelt
from orchestrator.adapters.guard.journal import journal_file
from orchestrator.adapters.lab_code.plan_lines import line_in_thread, located
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import (
    EnvelopeError,
    ExecutionError,
    LabError,
    LedgerUnavailable,
    PlanAborted,
    PlanFailed,
)
from orchestrator.domain.spec import BUILT_IN, FILES_WAIT_S, FilesSpec, InstrumentSpec
from orchestrator.ports import Ask, Evidence, PlanRequest, Traces

if TYPE_CHECKING:
    from orchestrator.adapters.documents.recorder import Publisher, Recorder
    from orchestrator.adapters.engines.hosted_engine import HostedEngine
    from orchestrator.adapters.engines.run_engine import Execution
    from orchestrator.adapters.execution.connection import Connection
    from orchestrator.adapters.guard.desk import Attendance
    from orchestrator.adapters.guard.journal import Journal
    from orchestrator.adapters.guard.preprocessors import Guard
    from orchestrator.adapters.instruments.instrument_devices import InstrumentDevices

log = logging.getLogger(__name__)

POLL_S = 0.2
"""Seconds between two looks at orders, conditions and connections while a plan runs."""

PARK_S = 1800.0
"""Longest time that parking may take."""

ACTION_S = 120.0
"""Longest time that what conditions list for a trip may take."""

HOLD_S = 3600.0
"""How long a condition without ``fail_after_s`` may hold a plan that may not be repeated."""
SUSPENDER_S = 45.0
"""Longest time that a suspender's own plan may take."""


class BlueskyExecutor:
    """Owns the devices of one instrument and runs plans on them.

    Bluesky and ophyd are imported by ``connect``.

    Args:
        instrument: the instrument file.
        envelope: the limits that every single setting must keep.
        data_dir: the data folder.
        time_scale: seconds of lab time in one second, for twins; a real instrument ignores it.
        publisher: told of each document; None for nobody.
        instance: id that the twin's server must give before anything moves; None asks for none.
        connect_timeout_s: seconds for all connections together.
        abort_grace_s: seconds that a plan has to end after it was told to.
        session: the RunEngine and the names of the lab's own session; None in a worker.
    """

    def __init__(
        self,
        instrument: InstrumentSpec,
        envelope: Envelope,
        data_dir: Path,
        *,
        time_scale: float = 1.0,
        publisher: "Publisher | None" = None,
        instance: str | None = None,
        connect_timeout_s: float = 10.0,
        abort_grace_s: float = 10.0,
        session: "HostedEngine | None" = None,
    ) -> None:
        self._instrument = instrument
        self._envelope = envelope
        self._data_dir = data_dir
        self._time_scale = time_scale if instrument.mode == "twin" else 1.0
        self._publisher = publisher
        self._instance = instance
        self._connect_timeout_s = connect_timeout_s
        self._abort_grace_s = abort_grace_s
        self._session = session
        self._connection: Connection | None = None
        self._paces: dict[str, float] = {}
        self._spoilt = False
        self.file_room = _room(instrument.files, data_dir)
        """Whether the files of detectors have room."""

    def load(self) -> None:
        """See ports.Executor."""
        for module in ("execution.connection", "execution.trial_plan", "guard.preprocessors"):
            import_module(f"orchestrator.adapters.{module}")
        import_module("devices.loader")

    def connect(self) -> None:
        """Take over what the lab has, connect, and compare the servers' limits with the envelope.

        Raises:
            DeviceUnavailable: listing all that failed, or naming what the lab's code did not give.
        """
        from orchestrator.adapters.execution.connection import connect

        self._connection = connect(
            self._instrument,
            self._envelope,
            self._data_dir,
            self._journal_file.with_suffix(".owed"),
            instance=self._instance,
            timeout_s=self._connect_timeout_s,
            time_scale=self._time_scale,
            session=self._session,
        )
        self._instrument = self._connection.instrument

    def deadline_s(self, request: PlanRequest) -> float:
        """See ports.Executor."""
        from orchestrator.adapters.lab_code.plan_deadline import plan_deadline, steps_s

        deadline_s = plan_deadline(request, self._instrument, self._time_scale)
        holds_s = self._hold_s(request) if self._instrument.conditions else None
        ramps_s = steps_s(request.settings, self._instrument, self._time_scale)
        return deadline_s + ramps_s + (holds_s or 0.0)

    def run(
        self, request: PlanRequest, order: Callable[[], str | None], ask: Ask | None = None
    ) -> Evidence:
        """Run one fresh plan to its end and give its documents, already safe on disk.

        Raises:
            EnvelopeError: a setting is outside the envelope; nothing moved there.
            PlanAborted: stopped by an order.
            PlanFailed: the plan ended with an error, a hang or a bad reading.
        """
        from orchestrator.adapters.documents.recorder import Recorder
        from orchestrator.adapters.execution.trial_plan import (
            never_repeated,
            plan_function,
            trial_plan,
        )
        from orchestrator.adapters.guard.desk import Attendance

        self._envelope.check(request.settings)
        connection = self._connected()
        devices = connection.devices
        self._after_suspension()
        written = plan_function(request.campaign.plan.name, connection.lab.plan)
        plan = trial_plan(request, devices.at, self._instrument, connection.lab.plan)
        if self._session is not None and not self._may_be_repeated(request):
            plan = never_repeated(plan)
        files_wait_s = self._place_files(request)
        with (
            closing(
                Recorder(self._data_dir, request.documents, self._publisher, files_wait_s)
            ) as recorder,
            closing(self._new_journal(request)) as journal,
        ):
            guard = self._guard(request, journal, attended=ask is not None)
            if trip := devices.conditions.tripped():
                raise PlanFailed(trip, "interrupted")
            devices.conditions.watch()
            connection.suspensions.watch()
            # The guard is outermost: what the lab's preprocessors add is looked at, too.
            execution = connection.engine.start(plan, recorder, guard.guarded)
            cause = self._follow(execution, request, order, Attendance(guard.desk, ask))
            if cause is not None and not execution.done.is_set():
                raise cause
            if error := self._error(execution, guard, request, recorder, cause):
                self._before_suspension()
                self._act_on_trip(error)
                raise located(error, execution.error, written)
            try:
                evidence = recorder.evidence()
            except PlanFailed as error:
                raise located(error, None, written) from error
            self.file_room.learn(recorder.references.sizes())
            return evidence

    def tripped(self) -> str | None:
        """Why a condition or a budget forbids starting now, in one sentence; None if none does."""
        connection = self._connected()
        trip = connection.devices.conditions.tripped()
        if trip is None:
            try:
                self._after_suspension()
            except LabError as error:
                return str(error)
        return "; ".join(filter(None, (trip, connection.budgets.lack()))) or None

    def _after_suspension(self) -> None:
        """Do what a suspender wants done before the next start, such as opening a shutter.

        Raises:
            EnvelopeError: it would leave the envelope.
            PlanFailed: it failed; it is owed still.
        """
        suspensions = self._connected().suspensions
        for plan in suspensions.after:
            self._beside_trials(plan, "the post_plan of a suspender", SUSPENDER_S)
        suspensions.is_done()

    def _before_suspension(self) -> None:
        """Do what a suspender that has ended the attempt wants done, such as closing a shutter."""
        for plan in self._connected().suspensions.before():
            try:
                self._beside_trials(plan, "the pre_plan of a suspender", SUSPENDER_S)
            except LabError:
                log.exception("the campaign is suspended all the same")

    def quiet(self) -> None:
        """Do what the instrument file lists under ``quiet``; everything else holds its position."""
        connection = self._connection
        if connection is None:
            return
        for step in self._instrument.quiet:
            for path in step.stop:
                connection.devices.stop(path, connection.engine.loop)

    def park(self) -> None:
        """Do what the instrument file lists under ``park``, in order.

        Raises:
            EnvelopeError: a position is outside the envelope; nothing moved there.
            PlanFailed: a device did not get to its position.
        """
        from orchestrator.adapters.execution.trial_plan import moves

        devices = self._connected().devices
        steps = [item for step in self._instrument.park for item in step.set.items()]
        positions = [(devices.at(path), value) for path, value in steps]
        self._beside_trials(moves(positions), "parking", PARK_S)

    def _beside_trials(self, plan: Any, what: str, longest_s: float) -> None:
        """Run a plan that belongs to no trial, under the same guard, whatever has tripped.

        Raises:
            EnvelopeError: a position is outside the envelope; nothing moved there.
            PlanFailed: it failed, or took longer than ``longest_s``.
        """
        connection = self._connected()
        with connection.suspensions.ignored():
            messages: Any = plan() if callable(plan) else plan
            execution = connection.engine.start(
                messages, lambda *_: None, self._guard(None).guarded
            )
            if not execution.done.wait(longest_s):
                self._interrupt(execution, halt=False)
                raise PlanFailed(f"{what} took longer than {longest_s:g} s", "deadline")
        if execution.error is not None:
            raise failure(execution.error, connection.devices.all)

    def _act_on_trip(self, error: LabError) -> None:
        """Do what the conditions list for their trip, once the plan has ended because of it."""
        from orchestrator.adapters.execution.trial_plan import actions

        interrupted = isinstance(error, PlanFailed) and error.reason == "interrupted"
        steps = self._connected().devices.conditions.on_trip() if interrupted else []
        if not steps or not self.is_reusable:
            return
        try:
            self._beside_trials(actions(steps), "what a condition lists for its trip", ACTION_S)
        except LabError:  # the interruption is what the attempt failed by
            log.exception("what a condition lists for its trip failed")

    def observe(self) -> str | None:
        """Look without moving: None when every device answers and stands still, else why not."""
        return "not connected" if self._connection is None else self._connection.devices.unrest()

    def traces(self) -> Traces | None:
        """See ports.Executor."""
        from orchestrator.adapters.guard.journal import read_traces

        return read_traces(self._journal_file)

    def is_whole(self, traces: Traces) -> bool:
        """See ports.Executor."""
        from orchestrator.adapters.documents.recorder import has_evidence

        return has_evidence(self._data_dir, traces.documents)

    def restore(self, traces: Traces) -> list[str]:
        """See ports.Executor."""
        from orchestrator.adapters.execution.aftermath import restore

        restored = restore(self._connected().devices, self._instrument, traces.staged)
        self.accept()
        return restored

    def accept(self) -> None:
        """See ports.Executor."""
        from orchestrator.adapters.guard.journal import accept

        accept(self._journal_file)

    def differences(self, traces: Traces) -> list[str]:
        """See ports.Executor."""
        from orchestrator.adapters.execution.aftermath import differences

        return differences(self._connected().devices, traces.setpoints)

    @property
    def is_connected(self) -> bool:
        """False when a required device, or a condition's signal, has lost its connection."""
        return self._connection is not None and self._connection.devices.are_connected

    @property
    def is_reusable(self) -> bool:
        """False after an odd end: then this process must be replaced."""
        return not self._spoilt and (self._connection is None or self._connection.engine.is_idle)

    def _connected(self) -> "Connection":
        if self._connection is None:
            raise PlanFailed("the devices are not connected", "device_disconnected")
        return self._connection

    @property
    def _journal_file(self) -> Path:
        return journal_file(self._data_dir, self._instrument)

    def _new_journal(self, request: PlanRequest) -> "Journal":
        from orchestrator.adapters.guard.journal import Journal

        names = ("campaign_id", "trial_id", "attempt", "fence")
        about = {name: request.metadata.get(name) for name in names}
        about["documents"] = request.documents
        return Journal(self._journal_file, about, durable=request.campaign.policy.consumes_sample)

    def _place_files(self, request: PlanRequest) -> float:
        """Tell the plan's detectors where to write; how long files may take to appear, seconds."""
        from orchestrator.adapters.execution.file_folders import place_files

        files = self._instrument.files
        if files is None:
            return FILES_WAIT_S
        folder = place_files(files, self._data_dir, request, self._connected().devices.all)
        if folder is not None:
            self.file_room.use(folder.read)
        return files.wait_s

    def _guard(
        self,
        request: PlanRequest | None,
        journal: "Journal | None" = None,
        *,
        attended: bool = False,
    ) -> "Guard":
        """A guard for one plan; without a request for a plan that belongs to no trial."""
        from orchestrator.adapters.guard.preprocessors import Guard
        from orchestrator.adapters.guard.travel import Terms

        connection = self._connected()
        devices = connection.devices
        terms = Terms(
            at=devices.at,
            conditions=devices.conditions if request else None,
            hold_s=self._hold_s(request) if request else None,
            budgets=connection.budgets,
            paces=self._paces,
            envelope=self._envelope,
            settings=request.settings if request else {},
            metadata=request.metadata if request else {},
            # Later than the deadline, which says more about what went wrong.
            wait_s=(request.deadline_s if request else PARK_S) + self._abort_grace_s,
            time_scale=self._time_scale,
            attended=attended,
        )
        return Guard(devices.paths, terms, journal)

    def _hold_s(self, request: PlanRequest) -> float | None:
        """How long a tripped condition may hold this plan; None ends it at once."""
        if self._may_be_repeated(request):
            return None
        known = [one.fail_after_s for one in self._instrument.conditions]
        return min((one for one in known if one is not None), default=HOLD_S)

    def _follow(
        self,
        execution: "Execution",
        request: PlanRequest,
        order: Callable[[], str | None],
        attendance: "Attendance",
    ) -> ExecutionError | None:
        """Wait for the plan; why it was told to end before, None when it was not."""
        looked = time.monotonic()
        deadline = looked + request.deadline_s
        try:
            while not execution.done.wait(min(POLL_S, max(deadline - time.monotonic(), 0.0))):
                now = time.monotonic()
                if self._connected().engine.is_held:  # whoever has paused it has all the time
                    deadline += now - looked
                looked = now
                deadline += attendance.waited_s()
                cause = self._cause(request, order, deadline) or attendance.trouble()
                if cause is not None:
                    self._interrupt(execution, halt=isinstance(cause, _Halted))
                    return cause
        except BaseException:  # a signal to this process, above all: the plan must not go on
            self._interrupt(execution, halt=False)
            raise
        return None

    def _cause(
        self, request: PlanRequest, order: Callable[[], str | None], deadline: float
    ) -> ExecutionError | None:
        """Why the running plan must end now; None when it may go on."""
        devices = self._connected().devices
        if time.monotonic() >= deadline:
            message = f"the plan took longer than {request.deadline_s:g} s"
            line = line_in_thread("bluesky-run-engine")  # None unless its own code holds it up
            return PlanFailed(f"{message} ({line})" if line else message, "deadline")
        match _asked(order):
            case "aborting":
                return PlanAborted("the plan was aborted")
            case "halting":
                return _Halted("the plan was halted")
            case _:
                pass
        if self._may_be_repeated(request):
            return self._trouble(devices)
        return self._lost(devices)

    def _interrupt(self, execution: "Execution", *, halt: bool) -> None:
        """End the plan, or give up on this process when the plan does not end in time."""
        self._connected().engine.interrupt(execution, halt=halt)
        if not execution.done.wait(self._abort_grace_s):
            self._spoilt = True

    def _error(
        self,
        execution: "Execution",
        guard: "Guard",
        request: PlanRequest,
        recorder: "Recorder",
        cause: ExecutionError | None,
    ) -> LabError | None:
        """Why a plan that has ended is no measurement; None when it is one."""
        devices = self._connected().devices
        if cause is not None and execution.error is not None:
            # A server takes conditions and devices along, not always in the same moment.
            return (self._lost(devices) if cause.reason == "interrupted" else None) or cause
        if recorder.error is not None or isinstance(guard.failure, EnvelopeError):
            return recorder.error or guard.failure
        repeatable = self._may_be_repeated(request)
        if repeatable:
            devices.conditions.tripped()
        # A plan that was held has been told by its guard which trips spoilt an exposure.
        if trouble := self._trouble(devices) if repeatable else self._lost(devices):
            return trouble
        if guard.failure is not None or execution.error is None:
            return guard.failure
        error = failure(execution.error, devices.all)
        return with_misspelt(error, request.campaign, self._instrument)

    def _may_be_repeated(self, request: PlanRequest) -> bool:
        """False when a plan that is cut short costs more than one that ends in vain."""
        irreversible = any(device.irreversible for device in self._instrument.devices.values())
        return not (request.campaign.policy.consumes_sample or irreversible)

    def _trouble(self, devices: "InstrumentDevices") -> PlanFailed | None:
        """A lost connection, else a condition that has tripped; None when all is well."""
        trip = devices.conditions.seen or self._connected().suspensions.why
        return self._lost(devices) or (PlanFailed(trip, "interrupted") if trip else None)

    def _lost(self, devices: "InstrumentDevices") -> PlanFailed | None:
        specs = self._instrument.devices
        required = {name: one for name, one in devices.all.items() if not specs[name].optional}
        gone = disconnected(required)
        if not gone:
            return None
        return PlanFailed(f"lost connection to {', '.join(gone)}", "device_disconnected")


def _asked(order: Callable[[], str | None]) -> str | None:
    """The order, none while the ledger is out of reach: a running plan is then finished."""
    try:
        return order()
    except LedgerUnavailable as error:
        log.warning("no orders can be heard while the plan runs: %s", error)
        return None


def _room(files: FilesSpec | None, data_dir: Path) -> FileRoom:
    if files is None:
        return FileRoom()
    named = (files.folder or "").partition("{")[0]  # the same for all attempts
    folder = data_dir if files.folder == BUILT_IN else Path(named) if named else None
    return FileRoom(files.room_mb * 10**6, folder)


class _Halted(PlanAborted):
    """Stopped without the plan's own clean-up."""
