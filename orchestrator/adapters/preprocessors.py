"""What stands between a plan and the RunEngine: it looks at each message before it is obeyed.

Nothing outside the envelope passes, every wait has a timeout, and each group of moves is compared
with where the devices say they are.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from bluesky.utils import Msg

from orchestrator.adapters.axes import aims, flight_aims, plain, read, real_aims
from orchestrator.adapters.conditions import Action
from orchestrator.adapters.device_paths import DevicePaths
from orchestrator.adapters.holding import Hold
from orchestrator.adapters.journal import Journal
from orchestrator.adapters.questions import Desk
from orchestrator.adapters.readings import position
from orchestrator.adapters.travel import OWN, Messages, Terms, Travel
from orchestrator.domain.errors import EnvelopeError, LabError, PlanFailed

log = logging.getLogger(__name__)

LOOKS = 5
"""How often a readback off its setpoint is read before the move counts as failed."""

LOOK_S = 0.1
"""Seconds between two looks: a readback may be reported a little later than the arrival."""


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
        self._on_motion: Mapping[str, Callable[[Msg], Messages]] = {
            "set": self._set,
            "kickoff": self._flight,
            "prepare": self._flight,
            "stage": self._stage,
            "configure": self._configure,
        }

    def guarded(self, plan: Messages) -> Messages:
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

    def _admitted(self, message: Msg) -> Messages:
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

    def _answered(self, message: Msg) -> Messages:
        try:
            return (yield from self.desk.put(message))
        except PlanFailed as refusal:
            self.failure = self.failure or refusal
            raise

    def _after(self, message: Msg, response: Any) -> Messages:
        if message.command == "unstage":
            self._note("unstaged", message.obj)
        if message.command == "set":
            self._travel.started()
        if message.command == "wait" and response is not False:
            self._unchecked |= self._pending.pop(_group(message), {})
            self._travel.arrived(_group(message))
        if self._unchecked and not self._bundling:
            moves, self._unchecked = self._unchecked, {}
            yield from self._settled(moves)
            yield from self._verified(moves)

    def _settled(self, moves: Mapping[Any, float]) -> Messages:
        """Wait as the instrument file says, for devices that do not wait themselves."""
        seconds = [
            self._paths.spec(self._path(device)).settle_s
            for device in moves
            if not getattr(device, "settle_s", 0) and not getattr(device, "settle_time", 0)
        ]
        if (longest := max(seconds, default=0.0)) > 0:
            yield Msg("sleep", None, longest / self._terms.time_scale)

    def _verified(self, moves: Mapping[Any, float]) -> Messages:
        for device, target in moves.items():
            path = self._path(device)
            spec = self._paths.spec(path)
            if spec.tolerance is None or not self._is_verified(path):
                continue
            found = math.nan
            for look in range(LOOKS):
                if look:
                    yield Msg("sleep", None, LOOK_S)
                found = position(device, (yield from read(device)))
                if abs(found - target) <= spec.tolerance:
                    break
            else:
                message = f"{path} was set to {target} but reads {found} {spec.unit}".rstrip()
                self.failure = self.failure or PlanFailed(message, "not_in_position")
                raise self.failure

    def _path(self, device: Any) -> str:
        path = self._paths.path(device)
        if path is None:
            name = getattr(device, "name", None) or repr(device)
            raise EnvelopeError([f"{name} is no device of this instrument"])
        return path

    def _set(self, message: Msg) -> Messages:
        device, group = message.obj, _group(message)
        path = self._path(device)
        axes = aims(path, device, message)
        yield from self._travel.send(axes, group)
        yield from self._travel.send(real_aims(device, message, self._path), group)
        value = message.args[0] if message.args else message.kwargs.get("value")
        number = plain(value)
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

    def _acted(self, actions: Iterable[Action]) -> Messages:
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
        path = self._path(message.obj)
        triggered = message.command == "trigger"
        timeout = self._paths.spec(path).timeout_s if triggered else None
        self._timeouts[_group(message)].append(timeout)
        if message.command != "prepare":
            self._spend(path, "trigger")
            self._hold.begin_exposure()
        self._note(message.command, message.obj)
        return message

    def _flight(self, message: Msg) -> Messages:
        """A kickoff or its preparation: where it says that it goes must be allowed."""
        path = self._path(message.obj)
        values = [*message.args, *message.kwargs.values()]
        flights = [aim for value in values for aim in flight_aims(path, value)]
        yield from self._travel.judge(flights)
        yield from self._limited(_named(message.obj, message.kwargs))
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

    def _stage(self, message: Msg) -> Messages:
        self._path(message.obj)
        self._timeouts[_group(message)].append(None)
        signals = list(_stage_sigs(message.obj))
        yield from self._limited(signals)
        staged: dict[str, Any] = {}
        for signal, _ in signals:
            if (path := self._paths.path(signal)) is not None and self._journal is not None:
                staged[path] = plain(signal.get())
        self._note("stage", message.obj, staged=staged)
        return message

    def _configure(self, message: Msg) -> Messages:
        self._path(message.obj)
        values = {**dict(*message.args[:1]), **message.kwargs}
        yield from self._limited(_named(message.obj, values))
        self._note("configure", message.obj)
        return message

    def _limited(self, signals: Iterable[tuple[Any, Any]]) -> Messages:
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
        timeouts = self._timeouts.pop(_group(message), [])
        if message.kwargs.get("timeout") is not None:
            return message
        given = [timeout for timeout in timeouts if timeout is not None]
        complete = given and len(given) == len(timeouts)
        timeout = min(max(given), self._terms.wait_s) if complete else self._terms.wait_s
        return message._replace(kwargs={**message.kwargs, "timeout": timeout})

    def _open_run(self, message: Msg) -> Msg:
        self._open_runs.add(message.run)
        metadata = dict(self._terms.metadata)
        if unverified := [path for path in self._terms.settings if not self._is_verified(path)]:
            metadata["not_verified"] = unverified
        return message._replace(kwargs={**message.kwargs, **metadata})

    def _is_verified(self, path: str) -> bool:
        """True when arrival is compared with a readback."""
        spec = self._paths.spec(path)
        return spec.tolerance is not None and spec.readback != "none"

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


def _group(message: Msg) -> Hashable:
    if message.command == "wait" and message.args:
        return message.args[0]
    return message.kwargs.get("group")


def _named(device: Any, values: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Parts of a device by the names of their attributes, with the values that they will get."""
    return [(getattr(device, name, None), value) for name, value in values.items()]


def _stage_sigs(device: Any) -> Iterator[tuple[Any, Any]]:
    """Each signal that staging sets, of the device and of its parts, with the value it will get."""
    walk = getattr(device, "walk_subdevices", None)
    parts = [part for _, part in walk(include_lazy=False)] if walk else []
    for part in (device, *parts):
        for signal, value in dict(getattr(part, "stage_sigs", {})).items():
            yield (_attribute(part, signal) if isinstance(signal, str) else signal), value


def _attribute(device: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        device = getattr(device, name)
    return device


def _harmless(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plan's own subscriber, whose errors are logged and do not end the run."""

    def call(name: str, document: Mapping[str, Any]) -> None:
        try:
            function(name, document)
        except Exception:  # anybody's code
            log.exception("subscriber %r of the plan raised; the run goes on", function)

    return call
