"""Has the trials of an instrument run by a bluesky-queueserver, one item at a time."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.room import FileRoom
from orchestrator.adapters.documents.recorder import Publisher, Recorder, has_evidence
from orchestrator.adapters.guard.journal import Journal, accept, journal_file, read_traces
from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient, Refused
from orchestrator.adapters.queueserver.documents import DocumentListener, silence
from orchestrator.adapters.queueserver.intake import IDENTITY, Intake
from orchestrator.adapters.queueserver.item import Item, identity_of, running_item
from orchestrator.adapters.queueserver.plans import allowed, item_of
from orchestrator.adapters.queueserver.verdict import judge
from orchestrator.adapters.queueserver.watch import GONE, ManagerStuck, WorkerDied
from orchestrator.adapters.queueserver.worker import (
    OPENING,
    RENEWAL,
    answers,
    await_status,
    is_dead,
    renew,
)
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import (
    DeviceUnavailable,
    ExecutionError,
    LedgerUnavailable,
    PlanAborted,
    PlanFailed,
)
from orchestrator.domain.spec import FILES_WAIT_S, InstrumentSpec, QueueserverSpec
from orchestrator.ports import Ask, Evidence, PlanRequest, Traces

log = logging.getLogger(__name__)


class QueueserverExecutor:
    """ports.Executor with a queueserver in the place of a RunEngine of its own.

    Args:
        instrument: the instrument file.
        where: its queueserver.
        envelope: the limits that every setting of a trial must keep.
        data_dir: the data folder.
        publisher: told of each document; None for nobody.
        connect_timeout_s: seconds within which the manager must answer.
        abort_grace_s: seconds that a plan has to end after it was told to.
        announce: told how many seconds more a plan may take when that changes.
    """

    def __init__(
        self,
        instrument: InstrumentSpec,
        where: QueueserverSpec,
        envelope: Envelope,
        data_dir: Path,
        *,
        publisher: Publisher | None = None,
        connect_timeout_s: float = 10.0,
        abort_grace_s: float = 10.0,
        announce: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._instrument = instrument
        self._where = where
        self._envelope = envelope
        self._data_dir = data_dir
        self._publisher = publisher
        self._connect_timeout_s = connect_timeout_s
        self._abort_grace_s = abort_grace_s
        self._announce = announce
        self._client = QueueserverClient(where)
        self._listener: DocumentListener | None = None
        self._plans: Mapping[str, Any] = {}
        """Those that are allowed, as the manager described them when it had this ``_plans_uid``."""
        self._plans_uid: str | None = None
        self._is_doubtful = False
        """True once the RE worker has died; the next one is asked before it is used."""
        self._spoilt = False
        self.file_room = FileRoom()
        """Nothing: where the detectors of a queueserver write is not known."""

    def load(self) -> None:
        """Nothing is needed."""

    def connect(self) -> None:
        """Reach the manager and its RE worker, and listen to the documents.

        Raises:
            DeviceUnavailable: one of them is not there.
        """
        named = f"the queueserver at {self._where.control}"
        try:
            await_status(self._client, lambda _: True, self._connect_timeout_s)
            if self._where.restart_environment:
                renew(self._client)
            if not self._client.status()["worker_environment_exists"]:
                raise DeviceUnavailable(f"{named} has no RE worker environment; {OPENING}")
            if is_dead(self._client):
                raise DeviceUnavailable(f"the RE worker of {named} does not answer; {RENEWAL}")
            self._look_at_plans()
        except (NoAnswer, Refused) as error:
            raise DeviceUnavailable(f"{named}: {error}") from error
        if (why := silence(self._where.documents)) is not None:
            raise DeviceUnavailable(why)  # else each trial would be measured for nothing
        self._listener = self._listener or DocumentListener(self._where.documents)

    def deadline_s(self, request: PlanRequest) -> float:
        """See ports.Executor. How long a plan of the queueserver takes is not known here."""
        return request.deadline_s

    def run(
        self, request: PlanRequest, order: Callable[[], str | None], ask: Ask | None = None
    ) -> Evidence:
        """Have one item executed and give its documents, already safe on disk.

        A plan that wants an answer from a person gets none.

        Raises:
            EnvelopeError: a setting is outside the envelope; nothing was submitted.
            PlanAborted: stopped by an order.
            PlanFailed: it was refused, failed, was ended by somebody else, or left no documents.
        """
        self._envelope.check(request.settings)
        if self._listener is None:
            raise PlanFailed("the queueserver is not connected", GONE)
        try:
            self._look_at_plans()
        except (NoAnswer, Refused) as error:
            raise PlanFailed(str(error), GONE) from error
        made = item_of(request, self._plans)
        with (
            closing(
                Recorder(self._data_dir, request.documents, self._publisher, FILES_WAIT_S)
            ) as recorder,
            closing(self._new_journal(request)) as journal,
            self._listener.heard(),
        ):
            intake = Intake(self._listener, recorder, request.metadata)
            journal.note("queue_item_execute", made["name"])
            item = Item.submit(self._client, made, self._where)
            try:
                result = item.follow(
                    request.deadline_s, intake.take, lambda: _obey(order), self._announce
                )
            except BaseException as cause:
                why = self._leave(item, cause)
                intake.take()  # for people: what came until the plan had ended
                if why is not None and isinstance(cause, ExecutionError):
                    raise _runs_on(cause, why) from cause
                raise
            judge(result, intake, self._listener)
            return recorder.evidence()

    def tripped(self) -> str | None:
        """What keeps the manager from taking an item now; None when nothing does."""
        try:
            status = self._client.status()
            if status["manager_state"] != "idle":
                item = running_item(self._client)
                doing = f" {item['name']!r} for {item.get('user')}" if item else ""
                return f"the queueserver is busy: {status['manager_state']}{doing}"
            # Somebody works in the RE worker's own IPython kernel, which some queueservers have.
            if status.get("ip_kernel_state") == "busy":
                return "the queueserver is busy: somebody works in its IPython kernel"
            if status["lock"]["environment"]:
                lock = self._client.ask("lock_info")["lock_info"]
                return f"the queueserver is locked by {lock.get('user')}: {lock.get('note')}"
        except (NoAnswer, Refused):
            pass  # told as a lost connection
        return None

    def quiet(self) -> None:
        """End an item of this instrument that runs; a plan that is aborted cleans up by itself."""
        with suppress(NoAnswer, Refused):
            if item := self._own_item():
                uid = str(item["item_uid"])
                Item(self._client, uid).end(halt=False, grace_s=self._abort_grace_s)

    def park(self) -> None:
        """Nothing is parked: no instrument file with a queueserver lists anything."""

    def observe(self) -> str | None:
        """Look without moving: None when no item of this instrument runs.

        What others have run there is their affair.
        """
        if (why := silence(self._where.documents)) is not None:
            return why
        try:
            if not self._client.status()["worker_environment_exists"]:
                return f"the queueserver has no RE worker environment; {OPENING}"
            if self._is_doubtful and not answers(self._client):
                return f"the RE worker of the queueserver does not answer; {RENEWAL}"
            item = self._own_item()
        except (NoAnswer, Refused) as error:
            return str(error)
        if item is None:
            return None
        return f"the queueserver runs {item['name']!r} of trial {item['meta']['trial_id']} still"

    def traces(self) -> Traces | None:
        """See ports.Executor. The only command is that an item was submitted."""
        return read_traces(self._journal_file)

    def is_whole(self, traces: Traces) -> bool:
        """See ports.Executor."""
        return has_evidence(self._data_dir, traces.documents)

    def restore(self, traces: Traces) -> list[str]:
        """Nothing: what a plan stages, the queueserver's own RunEngine puts back."""
        self.accept()
        return []

    def accept(self) -> None:
        """See ports.Executor."""
        accept(self._journal_file)

    def differences(self, traces: Traces) -> list[str]:
        """None can be told: the devices are the queueserver's."""
        return []

    @property
    def is_connected(self) -> bool:
        """False without a manager that answers, a live RE worker, or anybody who publishes."""
        try:
            if silence(self._where.documents) is not None:
                return False
            if not self._client.status()["worker_environment_exists"]:
                return False
            if self._is_doubtful:
                self._is_doubtful = not answers(self._client)
        except NoAnswer:
            return False
        return not self._is_doubtful

    @property
    def is_reusable(self) -> bool:
        """False after an odd end, and when the next worker is to open an environment."""
        return not (self._spoilt or (self._where.restart_environment and self._has_closed()))

    def close(self) -> None:
        """Leave the queueserver to itself."""
        self._client.close()
        if self._listener is not None:
            self._listener.close()

    def _look_at_plans(self) -> None:
        """Have the manager describe its plans, unless they are what they were."""
        uid = self._client.status()["plans_allowed_uid"]
        if uid != self._plans_uid:
            self._plans = allowed(self._client, "plans", self._where.user_group)
            self._plans_uid = uid

    def _has_closed(self) -> bool:
        try:
            return not self._client.status()["worker_environment_exists"]
        except NoAnswer:
            return False

    @property
    def _journal_file(self) -> Path:
        return journal_file(self._data_dir, self._instrument)

    def _new_journal(self, request: PlanRequest) -> Journal:
        about = {name: request.metadata.get(name) for name in IDENTITY}
        about["documents"] = request.documents
        return Journal(self._journal_file, about, durable=request.campaign.policy.consumes_sample)

    def _own_item(self) -> dict[str, Any] | None:
        """The item of the last attempt, when it runs.

        Another Labwright, which knows nothing of this one, may call its instrument the same.
        """
        item, last = running_item(self._client), self.traces()
        if item is None or last is None:
            return None
        is_own = identity_of(item) == {name: getattr(last, name) for name in IDENTITY}
        return item if is_own else None

    def _leave(self, item: Item, cause: BaseException) -> str | None:
        """End an item that is not waited for any more; why it runs on, None when it does not."""
        if isinstance(cause, ManagerStuck):
            return None
        if isinstance(cause, WorkerDied):
            self._is_doubtful = True
            self._spoilt = self._where.restart_environment
            return None
        why = item.end(halt=isinstance(cause, _Halted), grace_s=self._abort_grace_s)
        self._spoilt = why is not None
        return why


def _runs_on(cause: ExecutionError, why: str) -> ExecutionError:
    text = f"{cause}, but it may RUN ON: {why}"
    return PlanAborted(text) if isinstance(cause, PlanAborted) else PlanFailed(text, cause.reason)


def _obey(order: Callable[[], str | None]) -> None:
    """Pass unless a person has ordered the end.

    Raises:
        PlanAborted: one has.
    """
    try:
        asked = order()
    except LedgerUnavailable as error:
        log.warning("no orders can be heard while the plan runs: %s", error)
        return
    if asked == "aborting":
        raise PlanAborted("the plan was aborted")
    if asked == "halting":
        raise _Halted("the plan was halted")


class _Halted(PlanAborted):
    """Stopped without the plan's own clean-up."""
