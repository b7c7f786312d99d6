"""Random proposals and random plans against the safety envelope, and a witness at the devices.

The witness knows the rules from here alone, written a second time and as plainly as possible.
"""

import itertools
import json
import math
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg
from ophyd import Component, Device, PseudoPositioner, PseudoSingle, Signal, SoftPositioner
from ophyd.status import Status

from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.guard.desk import Desk
from orchestrator.domain.envelope import Envelope, Limit, admit, device_settings, envelope_of
from orchestrator.domain.errors import EnvelopeError, LabError
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.ports import PlanRequest

HERE = "tests.envelope_fuzz"
ODD = [
    *(True, False, None, "0.5", "", b"1", [0.5], {"x": 1}, 1j),
    *(math.nan, math.inf, -math.inf, 10**400, 2**63, 5e-324, -0.0, 1e308),
]
LIMITS = {"x": (-5.0, 10.0), "y": (-5.0, 10.0), "heater": (20.0, 120.0), "gain": (1.0, 5.0)}
LEGS = {"left": (-3.0, 3.0), "right": (-3.0, 3.0)}
HIGHEST_SUM, HIGHEST_TILT, LONGEST_STEP = 10.0, 2.0, 15.0
HIGHEST_RATE = 20_000.0
"""Units of the heater per second."""

EDGES = {**LIMITS, **LEGS}

DEVICES = {
    "x": {"class": f"{HERE}.Axis", "limits": LIMITS["x"]},
    "y": {"class": f"{HERE}.Axis", "limits": LIMITS["y"]},
    "heater": {
        "class": f"{HERE}.Axis",
        "limits": LIMITS["heater"],
        "max_step": LONGEST_STEP,
        "max_rate": HIGHEST_RATE,
        "kwargs": {"starts": 20.0},
    },
    "mirror": {"class": f"{HERE}.Mirror", "limits": [-10, 10], "axes": LEGS},
    "det": {"class": f"{HERE}.Counter", "axes": {"gain": LIMITS["gain"]}},
}
INSTRUMENT = {
    "name": "fuzz",
    "mode": "twin",
    "devices": DEVICES,
    "constraints": ["x + y <= 10", "mirror.right - mirror.left <= 2"],
}
CAMPAIGN = {
    "name": "fuzz",
    "instrument": "fuzz",
    "plan": {"name": f"{HERE}.wild"},
    "parameters": {
        "x": {"device": "x", "range": [-5, 10]},
        "y": {"device": "y", "range": [-4, 9]},
        "heater": {"device": "heater", "range": [20, 110]},
        "repeats": {"arg": "repeats", "range": [1, 5], "type": "int"},
    },
    "objectives": {"counts": {"goal": "maximize"}},
    "constraints": {"parameters": ["x - y <= 8"]},
    "budget": {"trials": 1},
}


# Proposals.


def fuzz_proposals(count: int, seed: int, check: Callable[..., None] = admit) -> tuple[int, int]:
    """How many of so many random proposals were admitted, and how many were judged wrongly."""
    rng = random.Random(seed)
    spec = CampaignSpec.from_data(CAMPAIGN)
    narrow = {"x": Limit(-3, 8, ""), "y": Limit(-4, 9, ""), "heater": Limit(25, 100, "")}
    envelope = Envelope("fuzz", narrow, ("x + y <= 10",))
    admitted = wrong = 0
    for _ in range(count):
        proposal = _proposal(rng)
        try:
            check(spec, envelope, proposal)
        except EnvelopeError:
            wrong += _may_be_tried(proposal)
            continue
        admitted += 1
        settings = device_settings(spec, proposal) if _is_complete(proposal) else None
        wrong += settings is None or not _may_be_tried(proposal)
    return admitted, wrong


def _proposal(rng: random.Random) -> dict[str, Any]:
    edges = {"x": (-3, 8), "y": (-4, 9), "heater": (25, 100)}
    proposal: dict[str, Any] = {"repeats": rng.randint(1, 5)}
    for name, (low, high) in edges.items():
        outside = (math.nextafter(low, -math.inf), math.nextafter(high, math.inf))
        near = rng.choice([low, high, *outside])
        proposal[name] = rng.choice([rng.uniform(low - 0.3, high + 0.3)] * 9 + [near])
    kind = rng.random()
    if kind < 0.15:
        proposal[rng.choice(list(proposal))] = rng.choice(ODD)
    elif kind < 0.2:
        del proposal[rng.choice(list(proposal))]
    elif kind < 0.25:
        proposal[rng.choice(["laser", "x.setpoint", ""])] = 1.0
    return proposal


def _is_complete(proposal: dict[str, Any]) -> bool:
    return set(proposal) == {"x", "y", "heater", "repeats"}


def _may_be_tried(proposal: dict[str, Any]) -> bool:
    if not _is_complete(proposal) or type(proposal["repeats"]) is not int:
        return False
    x, y, heater, repeats = (proposal[name] for name in ("x", "y", "heater", "repeats"))
    if any(type(one) not in (int, float) or one != one for one in (x, y, heater)):
        return False
    alone = -3 <= x <= 8 and -4 <= y <= 9 and 25 <= heater <= 100 and 1 <= repeats <= 5
    return alone and x - y <= 8 and x + y <= 10


# The witness, and the devices that it looks at.


class Witness:
    """Where every axis may be, and each command that should never have come."""

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self.commands = 0
        self._at: dict[str, set[float]] = {}
        self._heater = (20.0, -math.inf, 0.0)
        """Last setpoint, when it came, and how far it was from the one before."""
        self._lock = threading.Lock()

    def begin(self, name: str, place: float) -> None:
        """An axis that stands here."""
        self._at[name] = {place}

    def knows(self, name: str) -> bool:
        """True once the axis has begun."""
        return name in self._at

    def command(self, name: str, value: Any) -> None:
        """A command has reached a device."""
        with self._lock:
            self.commands += 1
            if type(value) not in (int, float) or not math.isfinite(value):
                self._breach(f"{name} was told {value!r}")
                return
            low, high = EDGES[name]
            if not low <= value <= high:
                self._breach(f"{name} was sent to {value}")
            if name == "heater":
                self._step(value)
            if name in self._at:
                self._at[name].add(value)
                self._look()

    def arrived(self, name: str, value: Any) -> None:
        """The axis is there, and was told nothing else meanwhile."""
        with self._lock:
            self._at[name] = {value}

    def never_came(self, name: str, value: Any, instead: Any) -> None:
        """The axis was sent elsewhere before it came here."""
        with self._lock:
            if name in self._at and isinstance(value, (int, float)) and value != instead:
                self._at[name].discard(value)

    def _step(self, value: float) -> None:
        before, came, length = self._heater
        now = time.monotonic()
        if abs(value - before) > LONGEST_STEP * (1 + 1e-9):
            self._breach(f"heater went from {before} to {value} at once")
        if now - came < length / HIGHEST_RATE:
            self._breach(f"heater was set again after {now - came} s")
        self._heater = (value, now, abs(value - before))

    def _look(self) -> None:
        """The constraints wherever the axes may be now."""
        for x, y in itertools.product(self._at["x"], self._at["y"]):
            if x + y > HIGHEST_SUM * (1 + 1e-12):
                self._breach(f"x = {x} with y = {y}")
        for left, right in itertools.product(self._at["left"], self._at["right"]):
            if right - left > HIGHEST_TILT * (1 + 1e-12):
                self._breach(f"left = {left} with right = {right}")

    def _breach(self, text: str) -> None:
        self.breaches.append(text)


WITNESS = Witness()


class Axis(Device):
    """An axis that believes everything, and arrives a little later."""

    setpoint = Component(Signal, value=0.0)
    readback = Component(Signal, value=0.0, kind="hinted")

    def __init__(self, *args: Any, name: str, starts: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, name=name, **kwargs)
        self.readback.name = self.name
        self.setpoint.put(starts)
        self.readback.put(starts)
        self._told = 0
        self._waiting: list[Status] = []
        if name != "heater":
            WITNESS.begin(name, starts)
        self.setpoint.subscribe(lambda value, **_: self._witnessed(value), run=False)

    @property
    def position(self) -> float:
        """The readback."""
        return self.readback.get()

    def _witnessed(self, value: Any) -> None:
        self._told += 1
        WITNESS.command(self.name, value)
        threading.Timer(0.001, self._arrive, [self._told, value]).start()

    def set(self, value: float) -> Status:
        """Go there."""
        status = Status(self)
        self._waiting.append(status)
        self.setpoint.put(value, force=True)
        return status

    def _arrive(self, told: int, value: Any) -> None:
        if self._told != told:
            WITNESS.never_came(self.name, value, self.setpoint.get())
            return
        if isinstance(value, (int, float)):
            self.readback.put(value)
            WITNESS.arrived(self.name, value)
        waiting, self._waiting = self._waiting, []
        for status in waiting:
            status.set_finished()


class Leg(SoftPositioner):
    """A real axis beneath the mirror, which is there at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, init_pos=0.0, **kwargs)
        WITNESS.begin(self.attr_name, 0.0)

    def _setup_move(self, position: Any, status: Any) -> None:
        if WITNESS.knows(self.attr_name):  # it begins with a move to where it stands
            WITNESS.command(self.attr_name, position)
            WITNESS.arrived(self.attr_name, position)
        super()._setup_move(position, status)


class Mirror(PseudoPositioner):
    """Height and tilt, on two legs that are told one after the other."""

    height = Component(PseudoSingle)
    tilt = Component(PseudoSingle)
    left = Component(Leg)
    right = Component(Leg)

    def forward(self, position: Any) -> Any:
        """The legs."""
        target = self.PseudoPosition(*position)
        half = target.tilt / 2
        return self.RealPosition(left=target.height - half, right=target.height + half)

    def inverse(self, position: Any) -> Any:
        """Height and tilt."""
        real = self.RealPosition(*position)
        return self.PseudoPosition((real.left + real.right) / 2, real.right - real.left)


class Counter(Device):
    """A detector whose gain is configured, staged and set."""

    counts = Component(Signal, value=1.0, kind="hinted")
    gain = Component(Signal, value=1.0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain.subscribe(lambda value, **_: WITNESS.command("gain", value), run=False)

    def trigger(self) -> Status:
        """Done at once."""
        status = Status(self)
        status.set_finished()
        return status

    def kickoff(self, gain: Any = None) -> Status:
        """A flight at this gain."""
        if gain is not None:
            self.gain.put(gain)
        return self.trigger()


# Plans.


def wild(devices: list[Any], seed: int) -> Any:
    """Some good and some wrong messages; errors do not keep it from going on."""
    rng = random.Random(seed)
    draw = _Draw(rng, devices)

    @bpp.run_decorator()
    def inner() -> Any:
        for _ in range(rng.randint(2, 10)):
            try:
                yield from draw.message()
            except Exception:
                if rng.random() < 0.1:
                    raise
        yield from bps.trigger_and_read([draw.det])

    yield from inner()


class _Draw:
    """Random messages to these devices."""

    def __init__(self, rng: random.Random, devices: list[Any]) -> None:
        x, y, heater, self._mirror, self.det = devices
        self._rng = rng
        self._targets = {
            x: (-5, 10),
            y: (-5, 10),
            x.setpoint: (-5, 10),
            heater: (20, 120),
            self._mirror.height: (-3, 3),
            self._mirror.tilt: (-2, 2),
            self._mirror.left: (-3, 3),
            self._mirror: (-3, 3),
        }

    def message(self) -> Any:
        """One message, or some that belong together."""
        device = self._rng.choice(list(self._targets))
        match self._rng.randrange(10):
            case 0 | 1 | 2 | 3:
                yield from bps.abs_set(device, self._value(device), wait=True)
            case 4 | 5 | 6:
                yield Msg("set", device, self._value(device), group="together")
            case 7:
                yield from bps.wait("together")
            case _:
                yield from self._gain(self._odd_or(1, 5))

    def _gain(self, gain: Any) -> Any:
        """A gain, in one of the ways in which plans write signals."""
        match self._rng.randrange(4):
            case 0:
                yield Msg("set", self.det.gain, gain, group="together")
            case 1:
                yield Msg("configure", self.det, {"gain": gain})
            case 2:
                yield Msg("kickoff", self.det, gain=gain)
            case _:
                self.det.stage_sigs = {"gain": gain}
                yield Msg("stage", self.det)
                yield Msg("unstage", self.det)

    def _value(self, device: Any) -> Any:
        low, high = self._targets[device]
        if device is not self._mirror:
            return self._odd_or(low, high)
        one, other = self._odd_or(low, high), self._odd_or(-2, 2)
        return self._rng.choice([[one, other], {"tilt": other}, {"height": one, "tilt": other}])

    def _odd_or(self, low: float, high: float) -> Any:
        if self._rng.random() < 0.08:
            return self._rng.choice(ODD)
        wide = self._rng.choice([0, 0, 0, 0.3]) * (high - low)
        return self._rng.uniform(low - wide, high + wide)


class Unguarded:
    """What is left of the guard in the control: nothing."""

    failure = None
    desk = Desk(attended=False)

    def guarded(self, plan: Iterator[Any]) -> Iterator[Any]:
        """The plan as it is."""
        return plan


def fuzz_plans(count: int, seed: int, *, guarded: bool = True) -> tuple[int, int, list[str]]:
    """Run so many random plans.

    Returns:
        Plans that went well, commands that reached a device, and those that should not have.
    """
    global WITNESS
    WITNESS = Witness()
    rng = random.Random(seed)
    instrument = InstrumentSpec.from_data(json.loads(json.dumps(INSTRUMENT)))
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        executor = _executor(instrument, Path(folder), guarded)
        for number in range(count):
            try:
                executor.run(_request(rng, number), lambda: None)
                good += 1
            except LabError:
                if not executor.is_reusable:
                    assert not guarded, f"plan {number} of seed {seed} hangs"
                    break
    return good, WITNESS.commands, WITNESS.breaches


def _executor(instrument: InstrumentSpec, folder: Path, guarded: bool) -> BlueskyExecutor:
    executor = BlueskyExecutor(
        instrument, envelope_of(instrument), folder, abort_grace_s=10.0 if guarded else 0.1
    )
    executor.connect()
    if not guarded:
        executor._guard = lambda *_, **__: Unguarded()  # type: ignore[method-assign]
    return executor


def _request(rng: random.Random, number: int) -> PlanRequest:
    plan = {
        "name": f"{HERE}.wild",
        "args": {"devices": ["x", "y", "heater", "mirror", "det"], "seed": rng.getrandbits(30)},
    }
    settings = {"x": rng.uniform(-6, 11), "y": rng.uniform(-6, 11)}
    return PlanRequest(
        campaign=CampaignSpec.from_data({**CAMPAIGN, "plan": plan}),
        settings=settings if rng.random() < 0.3 else {},
        arguments={},
        metadata={"campaign_id": "fuzz", "trial_id": number, "attempt": 1},
        documents=f"runs/fuzz/{number}.jsonl",
        deadline_s=5,
    )
