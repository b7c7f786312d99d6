"""An instrument and plans for the tests of the executor."""

import json
import math
import threading
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg

from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.ports import PlanRequest
from simulators.soft.bench import Bench

HERE = "tests.unit.adapters.executor_lab"
BENCH = {
    "class": f"{HERE}.ObservedBench",
    "limits": [-5, 15],
    "tolerance": 1e-9,
    "kwargs": {"timeout_s": None},
}
PLAN_CALLS: list[dict[str, Any]] = []


class ObservedBench(Bench):
    """The soft bench, whose axes note what they were told, and may block or disobey."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.told: list[tuple[str, float | None]] = []
        self.offset = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.connected = True
        for name in ("x", "y"):
            self._observe(name, getattr(self, name))

    def _observe(self, name: str, axis: Any) -> None:
        move, read = axis.set, axis.read

        def observed_set(value: float) -> Any:
            self.told.append((name, value))
            self.gate.wait(30)
            return move(value)

        def offset_read() -> Any:
            reading = read()
            reading[axis.name]["value"] += self.offset
            return reading

        axis.set, axis.read = observed_set, offset_read
        axis.stop = lambda *, success=False: self.told.append((f"{name} stopped", None))


class Lab:
    """An executor on the bench, and the requests it is given."""

    def __init__(self, data_dir: Path, instrument: dict[str, Any], **options: Any) -> None:
        spec = {"name": "bench", "mode": "twin", "devices": {"bench": BENCH}, **instrument}
        self.instrument = InstrumentSpec.model_validate_json(json.dumps(spec))
        self.data_dir = data_dir
        self.executor = BlueskyExecutor(
            self.instrument, envelope_of(self.instrument), data_dir, **options
        )
        self.executor.connect()
        self.order: str | None = None
        self.ask: Any = None
        self.requests = 0

    @property
    def bench(self) -> ObservedBench:
        return self.executor._connected().devices.all["bench"]

    def request(
        self,
        plan: str = "steady_state_sample",
        args: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        arguments: dict[str, Any] | None = None,
        deadline_s: float = 20,
        **campaign: Any,
    ) -> PlanRequest:
        self.requests += 1
        spec = {
            "name": "test",
            "instrument": "bench",
            "plan": {"name": plan, "args": {"detector": "bench.det"} if args is None else args},
            "parameters": {"x": {"device": "bench.x", "range": [0, 1]}},
            "objectives": {"branin": {"goal": "minimize"}},
            "budget": {"trials": 3},
            **campaign,
        }
        return PlanRequest(
            campaign=CampaignSpec.model_validate_json(json.dumps(spec)),
            settings={"bench.x": 1.0, "bench.y": 2.0} if settings is None else settings,
            arguments=arguments or {},
            metadata={"campaign_id": "test-1", "trial_id": 7, "attempt": self.requests},
            documents=f"runs/test-1/7-{self.requests}.jsonl",
            deadline_s=deadline_s,
        )

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return self.executor.run(self.request(*args, **kwargs), lambda: self.order, self.ask)

    def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """What the last attempt has saved."""
        path = self.data_dir / f"runs/test-1/7-{self.requests}.jsonl"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]

    def stop_document(self) -> dict[str, Any]:
        return next(document for name, document in self.documents() if name == "stop")


@bpp.run_decorator()
def _one_event(*devices: Any):
    yield from bps.trigger_and_read(list(devices))


def takes_all(settings, detector, label, md=None):
    PLAN_CALLS.append({"settings": settings, "detector": detector, "label": label, "md": md})
    yield from _one_event(detector)


def goes_astray(detector, device, value):
    try:
        yield from _one_event(detector)
        yield from bps.mv(device, value)
    except Exception:
        yield from bps.null()  # a plan that swallows every error


def moves_foreign(detector, value):
    from ophyd.sim import SynAxis

    yield from bps.mv(SynAxis(name="stranger"), value)
    yield from _one_event(detector)


def sleeps(detector, seconds):
    yield from bps.sleep(seconds)
    yield from _one_event(detector)


def is_followed(detector):
    def angry(name, document):
        raise RuntimeError("subscriber")

    yield from bps.subscribe("all", angry)
    yield from _one_event(detector)


def calls(detector, number):
    """Calls a function of the test in mid-run."""

    @bpp.run_decorator()
    def inner():
        HOOKS[number]()
        yield from bps.trigger_and_read([detector])

    yield from inner()


def calls_after_event(detector, number):
    """Calls a function of the test after its only event."""
    yield from bps.open_run(md={"detectors": [detector.name]})
    yield from bps.trigger_and_read([detector])
    HOOKS[number]()
    yield from bps.sleep(0.2)
    yield from bps.close_run()


def hangs_after_call(detector, number):
    """Calls a function of the test in mid-run, and waits for ever."""
    yield from bps.open_run()
    HOOKS[number]()
    yield from bps.sleep(60)
    yield from bps.close_run()


HOOKS: list[Any] = []


def asks(detector):
    yield from bps.open_run()
    yield Msg("pause", None, defer=False)
    yield from bps.close_run()


def measures_nothing(detector):
    yield from bps.null()


def raises(detector):
    yield from bps.open_run()
    raise ValueError("the plan is wrong")


def cleans_up(detector, marker):
    def hang():
        yield from bps.open_run()
        yield from bps.sleep(60)

    def clean():
        HOOKS[marker]()
        yield from bps.null()

    yield from bpp.finalize_wrapper(hang(), clean())


def reduce_takes_all(runs):
    return {"branin": math.nan}


def wants_to_know(detector):
    yield from bps.open_run()
    ANSWERS.append((yield from bps.input_plan("which sample is loaded?")))
    ANSWERS.append((yield from bps.input_plan("door\nclosed?")))
    yield from bps.close_run()


ANSWERS: list[str] = []


def insists(detector):
    try:
        yield from bps.input_plan("ready?")
    except PlanFailed:
        yield from bps.null()
    yield from _one_event(detector)
