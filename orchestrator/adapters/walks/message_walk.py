"""Walks through the messages of a plan on devices that stand in, and notes what they would do.

It answers each message as the RunEngine would, without doing it, and keeps a clock of its own.
Bluesky's ``RunEngineSimulator`` keeps all messages and tells a plan of no error; plans that never
end and plans that clean up need both otherwise.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bluesky.protocols import Locatable, check_supports
from bluesky.run_engine import RunEngine
from bluesky.utils import IllegalMessageSequence, Msg, MsgGenerator

from orchestrator.adapters.documents.run_documents import Run
from orchestrator.adapters.engines.engine import new_engine
from orchestrator.adapters.guard.messages import group_of, value_of
from orchestrator.adapters.lab_code.plan_lines import line_of_error, line_of_plan
from orchestrator.adapters.walks.done import Done
from orchestrator.adapters.walks.endless import Endless, at_most
from orchestrator.adapters.walks.guarded_trial import GuardedTrial
from orchestrator.adapters.walks.stand_ins import StandIns
from orchestrator.domain.errors import told

MOST_MESSAGES = 100_000
"""A plan with more counts as one that never ends."""


@dataclass
class Walked:
    """What one trial would do."""

    problems: list[tuple[str, str | None]] = field(default_factory=list)
    """What is wrong, with ``file:line`` where one is known."""
    messages: int = 0
    sets: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Each setting, by dotted name, in its order."""
    triggers: Counter[str] = field(default_factory=Counter)
    """How often each detector is triggered, by dotted name."""
    waits_s: float = 0.0
    """Lab time of the plan's own sleeps."""
    moves_s: float = 0.0
    """Lab time of its moves, as far as it is known, as if they were one after another."""
    lab_s: float = 0.0
    """Lab time of all of it, as far as it is known."""
    is_endless: bool = False
    """True when it was given up because it did not end."""
    unknown: set[str] = field(default_factory=set)
    """Devices whose moves or acquisitions take a time that nobody has stated."""
    runs: list[Run] = field(default_factory=list)
    hides_columns: bool = False
    """True when streams of a real run may have columns that these have not."""
    hides_streams: bool = False
    """True when a real run may have streams that these have not."""


class Walk:
    """One plan of one trial."""

    plan_s = 10.0
    """So many seconds of this computer without an end mean a plan that never ends."""

    def __init__(self, devices: StandIns) -> None:
        self.walked = Walked()
        self._devices = devices
        self._ends: dict[Hashable, list[float]] = defaultdict(list)
        self._open: dict[Hashable, Run] = {}
        self._bundles: dict[Hashable, tuple[str, dict[str, Any]]] = {}
        self._on: Mapping[str, Callable[[Msg], Any]] = {
            "set": self._set,
            "trigger": self._trigger,
            "kickoff": self._begun,
            "complete": self._begun,
            "prepare": self._begun,
            "stage": lambda message: [message.obj],
            "unstage": lambda message: [message.obj],
            "sleep": self._sleep,
            "wait": self._wait,
            "read": self._read,
            "locate": self._locate,
            "open_run": self._open_run,
            "close_run": self._close_run,
            "create": self._create,
            "save": self._save,
            "drop": lambda message: self._bundles.pop(message.run, None),
            "collect": self._opens_streams,
            "monitor": self._opens_streams,
            "declare_stream": self._opens_streams,
            "RE_class": lambda _: RunEngine,
        }

    def clock(self) -> float:
        """Lab seconds that have passed, as far as they are known."""
        return self.walked.lab_s

    def go(self, trial: GuardedTrial) -> Walked:
        """Walk to the end, or to where the plan fails."""
        written = line_of_plan(trial.plan)
        try:
            with at_most(self.plan_s):
                self._walk(trial.messages)
        except Endless as error:
            self.walked.is_endless = True
            self._note(f"the plan never ends: {error}", line_of_error(error) or written)
            _close(trial.messages)
        except BaseException as error:  # noqa: B036 - a plan may raise anything
            self._note(told(error), line_of_error(error) or written)
        else:
            if (refusal := trial.guard.failure) is not None:  # and the plan went on regardless
                self._note(told(refusal), line_of_error(refusal) or written)
            elif not self.walked.runs:
                self._note("the plan ends without a run: nothing is measured", written)
        return self.walked

    def _walk(self, plan: MsgGenerator[Any]) -> None:
        response: Any = None
        error: BaseException | None = None
        while True:
            try:
                message = plan.send(response) if error is None else plan.throw(error)
            except StopIteration:
                return
            response, error = None, None
            self.walked.messages += 1
            if self.walked.messages >= MOST_MESSAGES:
                plan.throw(Endless(f"{MOST_MESSAGES} messages and no end"))
                raise Endless(f"{MOST_MESSAGES} messages and no end")
            try:
                response = self._answer(message)
            except Exception as caught:  # the plan hears of it, as of an error of the RunEngine
                error = caught

    def _answer(self, message: Msg) -> Any:
        if message.command not in _known():
            raise KeyError(f"the RunEngine knows no message {message.command!r}")
        answer = self._on.get(message.command)
        return None if answer is None else answer(message)

    def _note(self, what: str, line: str | None) -> None:
        self.walked.problems.append((what, line))

    def _set(self, message: Msg) -> Done:
        device = message.obj
        value = value_of(message)
        path = self._devices.paths.path(device) or device.name
        seconds = self._go(device, path, value)
        if isinstance(value, (int, float)):
            self.walked.sets[path].append(float(value))
        self._takes(message, path, seconds)
        return Done()

    def _go(self, device: Any, path: str, value: Any) -> float | None:
        """Obey a set; gives its lab seconds, None when nobody has stated them."""
        before = self._devices.position(device)
        seconds = self._devices.go(device, value)
        if seconds is None:
            return self._move_s(device, path, before, value)
        self.walked.moves_s += seconds
        return seconds

    def _trigger(self, message: Msg) -> Done:
        path = self._devices.paths.path(message.obj) or message.obj.name
        spec = self._devices.paths.spec(path)
        if spec.limits is not None and hasattr(message.obj, "set"):
            return Done()  # what moves is only read
        self.walked.triggers[path] += 1
        self._takes(message, path, spec.acquire_s)
        return Done()

    def _begun(self, message: Msg) -> Done:
        self.walked.hides_streams = True
        self._takes(message, self._devices.paths.path(message.obj) or message.obj.name, None)
        return Done()

    def _opens_streams(self, message: Msg) -> None:
        self.walked.hides_streams = True

    def _takes(self, message: Msg, path: str, seconds: float | None) -> None:
        if seconds is None:
            self.walked.unknown.add(path)
        self._ends[group_of(message)].append(self.walked.lab_s + (seconds or 0.0))

    def _move_s(self, device: Any, path: str, before: float | None, value: Any) -> float | None:
        """Seconds of a move, by the speed in the instrument file or the device's own velocity."""
        settle_s = float(getattr(device, "settle_s", 0) or getattr(device, "settle_time", 0) or 0)
        speed, ramp_s = self._devices.paths.spec(path).speed, 0.0
        if speed is None and hasattr(getattr(device, "velocity", None), "get"):
            speed = float(device.velocity.get() or 0) or None
            ramp_s = float(device.acceleration.get() or 0) if speed else 0.0
        if speed is None or before is None or not isinstance(value, (int, float)):
            return None if settle_s == 0 else settle_s
        way = abs(value - before)
        under_way_s = way / speed + ramp_s if way else 0.0
        self.walked.moves_s += under_way_s
        return settle_s + under_way_s

    def _sleep(self, message: Msg) -> None:
        self.walked.waits_s += float(message.args[0])
        self.walked.lab_s += float(message.args[0])

    def _wait(self, message: Msg) -> bool:
        self.walked.lab_s = max(self.walked.lab_s, *self._ends.pop(group_of(message), ()), 0.0)
        return True

    def _read(self, message: Msg) -> dict[str, Any]:
        reading = self._devices.read(message.obj)
        if not [*reading] or hasattr(message.obj, "collect_asset_docs"):
            self.walked.hides_columns = True  # only its server knows all that it reads
        if message.run in self._bundles:
            name, data = self._bundles[message.run]
            stream = self._run(message).stream(name)
            if not reading.keys() <= stream.data_keys.keys():
                stream.data_keys.update(self._devices.describe(message.obj))
            data.update({key: one["value"] for key, one in reading.items()})
        return reading

    def _locate(self, message: Msg) -> Any:
        devices = [check_supports(one, Locatable) for one in (message.obj, *message.args)]
        found = [{"setpoint": at, "readback": at} for at in map(self._devices.position, devices)]
        return found if len(found) > 1 or not message.kwargs.get("squeeze", True) else found[0]

    def _open_run(self, message: Msg) -> str:
        if message.run in self._open:
            raise IllegalMessageSequence("a run is opened while it is open already")
        number = len(self.walked.runs) + len(self._open) + 1
        about = {"uid": f"dry-run-{number}", "time": self.walked.lab_s, "scan_id": number}
        self._open[message.run] = Run({**about, **message.kwargs})
        return str(about["uid"])

    def _close_run(self, message: Msg) -> str:
        run = self._run(message)
        del self._open[message.run]
        if message.run in self._bundles:
            raise IllegalMessageSequence("a run is closed between 'create' and 'save'")
        status = message.kwargs.get("exit_status") or "success"
        run.stop = {"exit_status": status, "time": self.walked.lab_s}
        self.walked.runs.append(run)
        return str(run.start["uid"])

    def _create(self, message: Msg) -> None:
        self._run(message)
        if message.run in self._bundles:
            raise IllegalMessageSequence("'create' comes before the 'save' of the one before")
        name = message.kwargs.get("name") or (message.args[0] if message.args else "primary")
        self._bundles[message.run] = (name, {})

    def _save(self, message: Msg) -> None:
        if message.run not in self._bundles:
            raise IllegalMessageSequence("'save' comes without a 'create'")
        name, data = self._bundles.pop(message.run)
        stream = self._run(message).stream(name)
        stream.add(len(stream.rows) + 1, self.walked.lab_s, data)

    def _run(self, message: Msg) -> Run:
        if message.run not in self._open:
            raise IllegalMessageSequence(f"{message.command!r} comes without an open run")
        return self._open[message.run]


@cache
def _known() -> frozenset[str]:
    """Every message that the RunEngine obeys."""
    return frozenset(new_engine().commands)


def _close(plan: MsgGenerator[Any]) -> None:
    try:
        plan.close()
    except BaseException:  # noqa: B036 - it has been named as the plan that never ends
        return
