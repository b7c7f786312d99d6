"""What stands between a plan and the RunEngine: it looks at each message before it is obeyed.

Nothing outside the envelope passes, every wait has a timeout, and each group of moves is compared
with where the devices say they are.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.guard.alarms import in_invalid_alarm
from orchestrator.adapters.guard.arrival import Arrival
from orchestrator.adapters.guard.axes import aims, flight_aims, real_aims
from orchestrator.adapters.guard.desk import Desk
from orchestrator.adapters.guard.holding import Hold
from orchestrator.adapters.guard.journal import Journal
from orchestrator.adapters.guard.messages import (
    group_of,
    named_parts,
    plain,
    staged_signals,
    value_of,
)
from orchestrator.adapters.guard.travel import OWN, Terms, Travel
from orchestrator.adapters.instruments.conditions import Action
from orchestrator.adapters.instruments.device_paths import DevicePaths
from orchestrator.domain.errors import LabError, PlanFailed

log = logging.getLogger(__name__)

_ACTS = frozenset({"set", "trigger", "kickoff", "prepare", "stage", "configure"})
"""What a plan that may not be repeated waits with while a condition is tripped."""


class Guard:
    """Watches one plan. A new one is made for each attempt."""

    def __init__(self, paths: DevicePaths, terms: Terms, journal: Journal | None = None) -> None:
        """Without a journal nothing is written down: for moves that belong to no attempt."""
        self.failure: LabError | None = None
        """The first refusal; the attempt has failed even if the plan went on regardless."""
        self.desk = Desk(attended=terms.attended)
        """Where the plan's questions wait for a person."""
        self._paths = paths
        self._terms = terms
        self._journal = journal
        self._travel = Travel(paths, terms)
        self._arrival = Arrival(paths, terms.time_scale)
        self._hold = Hold(terms.conditions, terms.hold_s, self._acted)
        self._pending: dict[Hashable, dict[Any, float]] = defaultdict(dict)
        self._timeouts: dict[Hashable, list[float | None]] = defaultdict(list)
        self._moved: dict[Any, float] = {}
        self._unchecked: dict[Any, float] = {}
        self._bundling: set[Hashable] = set()
        self._open_runs: set[Hashable] = set()
        self._on: Mapping[str, Callable[[Msg], Msg]] = {
            "trigger": self._acting,
            "sleep": self._sleep,
            "wait": self._wait,
            "open_run": self._open_run,
            "close_run": self._close_run,
            "subscribe": self._subscribe,
            "create": self._create,
            "collect": self._end_exposure,
            "save": self._save,
            "drop": self._close_bundle,
            "pause": self._unattended,
        }
        self._on_motion: Mapping[str, Callable[[Msg], MsgGenerator[Any]]] = {
            "set": self._set,
            "kickoff": self._flight,
            "prepare": self._flight,
            "stage": self._stage,
            "configure": self._configure,
        }

    def guarded(self, plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
        """The same plan, watched. An error is thrown into it first, so that it can clean up."""
        response: Any = None
        error: BaseException | None = None
        yield from self._hold.resumed()
        while True:
            try:
                message = plan.send(response) if error is None else plan.throw(error)
            except StopIteration as end:
                if self._open_runs:  # the RunEngine would close it as a success
                    self.failure = self.failure or PlanFailed("the plan leaves a run open")
                    raise self.failure from None
                yield from self._verified(self._moved)
                return end.value
            error = response = None
            try:
                message = yield from self._admitted(message)
                if message.command == "input":
                    response = yield from self._answered(message)
                else:
                    response = yield message
                yield from self._after(message, response)
            except GeneratorExit:
                plan.close()
                raise
            except BaseException as caught:  # noqa: B036 - whatever it is, the plan hears of it
                error = caught

    def _admitted(self, message: Msg) -> MsgGenerator[Any]:
        if not isinstance(message, Msg):
            raise PlanFailed(f"the plan yields {message!r}, which is no message")
        try:
            if message.command in _ACTS and self.failure is None:  # else it cleans up
                yield from self._hold.held()
            if (motion := self._on_motion.get(message.command)) is not None:
                return (yield from motion(message))
            look = self._on.get(message.command)
            return message if look is None else look(message)
        except LabError as refusal:
            self.failure = self.failure or refusal
            raise

    def _answered(self, message: Msg) -> MsgGenerator[Any]:
        try:
            return (yield from self.desk.put(message))
        except PlanFailed as refusal:
            self.failure = self.failure or refusal
            raise

    def _after(self, message: Msg, response: Any) -> MsgGenerator[None]:
        cleans_up = self.failure is not None
        if message.command == "read" and not cleans_up and isinstance(response, Mapping):
            self._check_alarms(message.obj, response)
        if message.command == "unstage":
            self._note("unstaged", message.obj)
        if message.command == "set":
            self._travel.started()
        if message.command == "wait" and response is not False:
            self._unchecked |= self._pending.pop(group_of(message), {})
            self._travel.arrived(group_of(message))
        if self._unchecked and not self._bundling:
            moves, self._unchecked = self._unchecked, {}
            yield from self._arrival.settled(moves)
            yield from self._verified(moves)

    def _check_alarms(self, device: Any, reading: Mapping[str, Any]) -> None:
        if keys := in_invalid_alarm(device, reading):
            self.failure = self.failure or PlanFailed(
                f"{', '.join(keys)} in invalid alarm", "bad_reading"
            )
            raise self.failure

    def _verified(self, moves: Mapping[Any, float]) -> MsgGenerator[None]:
        try:
            yield from self._arrival.verified(moves)
        except PlanFailed as off:
            self.failure = self.failure or off
            raise self.failure from None

    def _set(self, message: Msg) -> MsgGenerator[Any]:
        device, group = message.obj, group_of(message)
        path = self._paths.own(device)
        axes = aims(path, device, message)
        yield from self._travel.send(axes, group)
        yield from self._travel.send(real_aims(device, message, self._paths.own), group)
        number = value_of(message)
        single = float(number) if isinstance(number, (int, float)) else None
        spec = self._paths.spec(path)
        self._spend(path, message.command, abs(single or 0.0))
        self._timeouts[group].append(spec.timeout_s)
        if single is not None:
            self._pending[group][device] = self._moved[device] = single
        self._note("set", device, to=dict(axes))
        if spec.max_step is not None or spec.max_rate is not None:
            yield from self._travel.approach(path, device, single)
        return message

    def _spend(self, path: str, command: str, size: float = 0.0) -> None:
        if self._terms.budgets is not None and (spends := self._paths.spec(path).spends):
            self._terms.budgets.spend(path, spends, command, size)

    def _acted(self, actions: Iterable[Action]) -> MsgGenerator[None]:
        """Do what the instrument file lists; each step is looked at like the plan's own."""
        for device, value in actions:
            if value is None:
                yield Msg("stop", device)
                continue
            message = yield from self._set(Msg("set", device, value, group=OWN))
            yield from self._after(message, (yield message))
            message = self._wait(Msg("wait", None, group=OWN))
            yield from self._after(message, (yield message))

    def _end_exposure(self, message: Msg) -> Msg:
        """The plan goes on even with a spoilt one, for it may have to clean up."""
        self.failure = self.failure or self._hold.end_exposure()
        return message

    def _acting(self, message: Msg) -> Msg:
        path = self._paths.own(message.obj)
        triggered = message.command == "trigger"
        timeout = self._paths.spec(path).timeout_s if triggered else None
        self._timeouts[group_of(message)].append(timeout)
        if message.command != "prepare":
            self._spend(path, "trigger")
            self._hold.begin_exposure()
        self._note(message.command, message.obj)
        return message

    def _flight(self, message: Msg) -> MsgGenerator[Any]:
        """A kickoff or its preparation: where it says that it goes must be allowed."""
        path = self._paths.own(message.obj)
        values = [*message.args, *message.kwargs.values()]
        flights = [aim for value in values for aim in flight_aims(path, value)]
        yield from self._travel.judge(flights)
        yield from self._limited(named_parts(message.obj, message.kwargs))
        return self._acting(message)

    def _note(self, command: str, device: Any, **details: Any) -> None:
        if self._journal is None:
            return
        path = self._paths.path(device) or str(getattr(device, "name", device))
        try:
            self._journal.note(command, path, **details)
        except PlanFailed:
            self._journal = None  # refused once: what cleans up afterwards must not be
            raise

    def _stage(self, message: Msg) -> MsgGenerator[Any]:
        self._paths.own(message.obj)
        self._timeouts[group_of(message)].append(None)
        signals = list(staged_signals(message.obj))
        yield from self._limited(signals)
        staged: dict[str, Any] = {}
        for signal, _ in signals:
            if (path := self._paths.path(signal)) is not None and self._journal is not None:
                staged[path] = plain(signal.get())
        self._note("stage", message.obj, staged=staged)
        return message

    def _configure(self, message: Msg) -> MsgGenerator[Any]:
        self._paths.own(message.obj)
        values = {**dict(*message.args[:1]), **message.kwargs}
        yield from self._limited(named_parts(message.obj, values))
        self._note("configure", message.obj)
        return message

    def _limited(self, signals: Iterable[tuple[Any, Any]]) -> MsgGenerator[None]:
        """Refuse a breach of limits; what has no limits is not the envelope's business here."""
        limits = self._terms.envelope.limits
        paths = ((self._paths.path(signal), plain(value)) for signal, value in signals)
        found = [
            (path, value)
            for path, value in paths
            if path is not None
            and self._terms.envelope.limit(path) is not None
            and (path in limits or not isinstance(value, str))  # a part's choice, such as a mode
        ]
        yield from self._travel.send(found)

    def _sleep(self, message: Msg) -> Msg:
        return message._replace(args=(message.args[0] / self._terms.time_scale,))

    def _wait(self, message: Msg) -> Msg:
        timeouts = self._timeouts.pop(group_of(message), [])
        if message.kwargs.get("timeout") is not None:
            return message
        given = [timeout for timeout in timeouts if timeout is not None]
        complete = given and len(given) == len(timeouts)
        timeout = min(max(given), self._terms.wait_s) if complete else self._terms.wait_s
        return message._replace(kwargs={**message.kwargs, "timeout": timeout})

    def _open_run(self, message: Msg) -> Msg:
        self._open_runs.add(message.run)
        metadata = dict(self._terms.metadata)
        if unverified := [
            path for path in self._terms.settings if not self._arrival.is_verified(path)
        ]:
            metadata["not_verified"] = unverified
        return message._replace(kwargs={**message.kwargs, **metadata})

    def _close_run(self, message: Msg) -> Msg:
        self._open_runs.discard(message.run)
        return message

    def _subscribe(self, message: Msg) -> Msg:
        function, *rest = message.args
        return message._replace(args=(_harmless(function), *rest))

    def _create(self, message: Msg) -> Msg:
        self._bundling.add(message.run)
        return message

    def _save(self, message: Msg) -> Msg:
        return self._close_bundle(self._end_exposure(message))

    def _close_bundle(self, message: Msg) -> Msg:
        self._bundling.discard(message.run)
        return message

    def _unattended(self, message: Msg) -> Msg:
        raise PlanFailed(f"the plan asks for a person ({message.command!r}), but nobody attends")


def _harmless(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plan's own subscriber, whose errors are logged and do not end the run."""

    def call(name: str, document: Mapping[str, Any]) -> None:
        try:
            function(name, document)
        except Exception:  # anybody's code
            log.exception("subscriber %r of the plan raised; the run goes on", function)

    return call
