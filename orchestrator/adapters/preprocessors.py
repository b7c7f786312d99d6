"""What stands between a plan and the RunEngine: it looks at each message before it is obeyed.

Nothing outside the envelope passes, every wait has a timeout, and each group of moves is compared
with where the devices say they are.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from bluesky.utils import Msg

from orchestrator.adapters.device_paths import DevicePaths
from orchestrator.adapters.journal import Journal
from orchestrator.adapters.readings import position
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import EnvelopeError, LabError, PlanFailed
from orchestrator.domain.trial import ParameterValue

log = logging.getLogger(__name__)

Messages = Generator[Msg, Any, Any]

LOOKS = 5
"""How often a readback off its setpoint is read before the move counts as failed."""

LOOK_S = 0.1
"""Seconds between two looks: a readback may be reported a little later than the arrival."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one attempt is held to."""

    envelope: Envelope
    settings: Mapping[str, ParameterValue]
    """Where the trial is meant to be, by dotted name."""
    metadata: Mapping[str, Any]
    """For every RunStart document."""
    wait_s: float
    """Timeout of a wait that has none, in seconds."""
    time_scale: float
    """Seconds of lab time in one second: sleeps are divided by it."""


class Guard:
    """Watches one plan. A new one is made for each attempt."""

    def __init__(self, paths: DevicePaths, terms: Terms, journal: Journal | None = None) -> None:
        """Without a journal nothing is written down: for moves that belong to no attempt."""
        self.failure: LabError | None = None
        """The first refusal; the attempt has failed even if the plan went on regardless."""
        self._paths = paths
        self._terms = terms
        self._journal = journal
        self._targets: dict[str, Any] = dict(terms.settings)
        self._pending: dict[Hashable, dict[Any, float]] = defaultdict(dict)
        self._timeouts: dict[Hashable, list[float | None]] = defaultdict(list)
        self._moved: dict[Any, float] = {}
        self._unchecked: dict[Any, float] = {}
        self._bundling: set[Hashable] = set()
        self._open_runs: set[Hashable] = set()
        self._on: Mapping[str, Callable[[Msg], Msg]] = {
            "set": self._set,
            "trigger": self._acting,
            "kickoff": self._acting,
            "prepare": self._acting,
            "stage": self._stage,
            "configure": self._configure,
            "sleep": self._sleep,
            "wait": self._wait,
            "open_run": self._open_run,
            "close_run": self._close_run,
            "subscribe": self._subscribe,
            "create": self._create,
            "save": self._close_bundle,
            "drop": self._close_bundle,
            "pause": self._unattended,
            "input": self._unattended,
        }

    def guarded(self, plan: Messages) -> Messages:
        """The same plan, watched. An error is thrown into it first, so that it can clean up."""
        response: Any = None
        error: BaseException | None = None
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
                message = self._admitted(message)
                response = yield message
                yield from self._after(message, response)
            except GeneratorExit:
                plan.close()
                raise
            except BaseException as caught:  # noqa: B036 - whatever it is, the plan hears of it
                error = caught

    def _admitted(self, message: Msg) -> Msg:
        if not isinstance(message, Msg):
            raise PlanFailed(f"the plan yields {message!r}, which is no message")
        look = self._on.get(message.command)
        if look is None:
            return message
        try:
            return look(message)
        except LabError as refusal:
            self.failure = self.failure or refusal
            raise

    def _after(self, message: Msg, response: Any) -> Messages:
        if message.command == "unstage":
            self._note("unstaged", message.obj)
        if message.command == "wait" and response is not False:
            self._unchecked |= self._pending.pop(_group(message), {})
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
            if spec.tolerance is None or spec.readback == "none":
                continue
            stands = math.nan
            for look in range(LOOKS):
                if look:
                    yield Msg("sleep", None, LOOK_S)
                stands = position(device, (yield from _read(device)))
                if abs(stands - target) <= spec.tolerance:
                    break
            else:
                message = f"{path} was set to {target} but reads {stands} {spec.unit}".rstrip()
                self.failure = self.failure or PlanFailed(message, "not_in_position")
                raise self.failure

    def _path(self, device: Any) -> str:
        path = self._paths.path(device)
        if path is None:
            name = getattr(device, "name", None) or repr(device)
            raise EnvelopeError([f"{name} is no device of this instrument"])
        return path

    def _set(self, message: Msg) -> Msg:
        device, group = message.obj, _group(message)
        path = self._path(device)
        value = message.args[0] if message.args else message.kwargs.get("value")
        axes = dict(_axes(path, device, value))
        for name, number in axes.items():
            self._targets[name] = number
            if breach := self._terms.envelope.breach(name, number):
                raise EnvelopeError([breach])
        self._terms.envelope.check(self._targets)
        self._timeouts[group].append(self._paths.spec(path).timeout_s)
        if isinstance(number := _plain(value), (int, float)):
            self._pending[group][device] = self._moved[device] = float(number)
        self._note("set", device, to=axes)
        return message

    def _acting(self, message: Msg) -> Msg:
        path = self._path(message.obj)
        triggered = message.command == "trigger"
        timeout = self._paths.spec(path).timeout_s if triggered else None
        self._timeouts[_group(message)].append(timeout)
        self._note(message.command, message.obj)
        return message

    def _note(self, command: str, device: Any, **details: Any) -> None:
        if self._journal is None:
            return
        path = self._paths.path(device) or str(getattr(device, "name", device))
        try:
            self._journal.note(command, path, **details)
        except PlanFailed:
            self._journal = None  # refused once: what cleans up afterwards must not be
            raise

    def _stage(self, message: Msg) -> Msg:
        self._path(message.obj)
        self._timeouts[_group(message)].append(None)
        staged: dict[str, Any] = {}
        for signal, value in _stage_sigs(message.obj):
            self._limited(signal, value)
            if (path := self._paths.path(signal)) is not None and self._journal is not None:
                staged[path] = _plain(signal.get())
        self._note("stage", message.obj, staged=staged)
        return message

    def _configure(self, message: Msg) -> Msg:
        self._path(message.obj)
        values = dict(*message.args[:1])
        for name, value in {**values, **message.kwargs}.items():
            self._limited(getattr(message.obj, name, None), value)
        self._note("configure", message.obj)
        return message

    def _limited(self, device: Any, value: Any) -> None:
        """Refuse a breach of limits; what has no limits is not the envelope's business here."""
        path = self._paths.path(device)
        if path is None or self._paths.spec(path).limits is None:
            return
        number = _plain(value)
        if isinstance(number, (int, float)) and (
            breach := self._terms.envelope.breach(path, number)
        ):
            raise EnvelopeError([breach])

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
        return message._replace(kwargs={**message.kwargs, **self._terms.metadata})

    def _close_run(self, message: Msg) -> Msg:
        self._open_runs.discard(message.run)
        return message

    def _subscribe(self, message: Msg) -> Msg:
        function, *rest = message.args
        return message._replace(args=(_harmless(function), *rest))

    def _create(self, message: Msg) -> Msg:
        self._bundling.add(message.run)
        return message

    def _close_bundle(self, message: Msg) -> Msg:
        self._bundling.discard(message.run)
        return message

    def _unattended(self, message: Msg) -> Msg:
        raise PlanFailed(f"the plan asks for a person ({message.command!r}), but nobody attends")


def _group(message: Msg) -> Hashable:
    if message.command == "wait" and message.args:
        return message.args[0]
    return message.kwargs.get("group")


def _plain(value: Any) -> Any:
    """A Python number for a numpy scalar."""
    return value.item() if getattr(value, "shape", None) == () else value


def _axes(path: str, device: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Each axis that a set moves, with its value."""
    if isinstance(value, Mapping):
        yield from ((f"{path}.{name}", _plain(number)) for name, number in value.items())
    elif isinstance(value, Sequence) and hasattr(device, "pseudo_positioners"):
        axes = zip(device.pseudo_positioners, value, strict=False)
        yield from ((f"{path}.{axis.attr_name}", _plain(number)) for axis, number in axes)
    else:
        yield path, _plain(value)


def _read(device: Any) -> Messages:
    """A reading that is part of no event; directly where that is possible, which is faster."""
    if iscoroutinefunction(device.read):
        return (yield Msg("read", device))
    return device.read()


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
