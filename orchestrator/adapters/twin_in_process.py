"""Measures trials on a twin within this process: no server, no clock, no RunEngine.

Where a twin's instrument serves what the plan uses, it is driven by its process variables, so that
settling and noise are the twin's own. Else its model answers, without noise.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.adapters.plan_catalog import find_estimate
from orchestrator.adapters.plan_deadline import plan_estimate, texts
from orchestrator.adapters.reducer import broken_rule, reduced
from orchestrator.adapters.run_documents import Run
from orchestrator.domain.errors import PlanFailed, Unusable, near
from orchestrator.domain.expressions import inequality
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, TableTwinSpec
from orchestrator.domain.trial import Outcome, ParameterValue
from orchestrator.ports import Reduction
from simulators.pv import PutRefused, Pv
from simulators.table.errors import BadTable
from simulators.table.instrument import TableTwin
from simulators.twins import TwinModel, TwinModule, UnknownTwin, twin_model, twin_module

FIRST_STEP_S, GROWTH = 0.01, 0.05
"""Lab time goes in steps that grow with what has passed, so that the time of a move is found to one
in twenty."""
LONGEST_MOVE_S = 1e6
"""What has not settled by then never will."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one trial gave, and the lab time that it took."""

    reduction: Reduction
    at: Mapping[str, ParameterValue]
    """The parameters as they were read back: a twin may move in steps."""
    waits_s: float | None
    """Seconds that the plan waits by its own estimate; None when it has none."""
    moves_s: float | None
    """Seconds until everything had settled; None when unknown."""
    readings_s: float | None
    """Seconds of the acquisitions; None when unknown."""


class Twin(Protocol):
    """A twin that measures at once."""

    noise: str
    """In words: what a measurement differs from the truth by."""

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """Carry out a trial.

        Raises:
            PlanFailed: the instrument refuses to measure there.
            ReductionError: the reducer raised, or an outcome is missing, NaN or infinite.
        """
        ...


def twin_name(instrument: InstrumentSpec) -> str:
    """The twin that stands for an instrument.

    For a table it is the file.

    Raises:
        Unusable: it is real and names none.
    """
    if isinstance(instrument.twin, TableTwinSpec):
        return instrument.twin.table
    if instrument.twin is not None:
        return instrument.twin.replace("_", "-")
    if instrument.mode == "twin":
        return instrument.name
    raise Unusable(
        f"instrument {instrument.name!r} is real and names no twin; write 'twin: NAME' in its file,"
        " where 'labwright twins' lists the names"
    )


def model_of(name: str) -> TwinModel:
    """The model of a twin.

    Raises:
        Unusable: there is no such twin, or it has no model.
    """
    try:
        return twin_model(name)
    except UnknownTwin as error:
        raise Unusable(str(error)) from None


def twin_in_process(campaign: CampaignSpec, instrument: InstrumentSpec, seed: int) -> Twin:
    """What stands for the campaign's instrument.

    Raises:
        Unusable: no twin, it cannot give what the campaign asks for, or its table is wrong.
    """
    if isinstance(instrument.twin, TableTwinSpec):
        return _on_table(campaign, instrument, instrument.twin, seed)
    name = twin_name(instrument)
    model = model_of(name)
    try:
        module = twin_module(name)
    except UnknownTwin:
        return TwinByModel(campaign, name, model, "its instrument lives inside the worker")
    lacking = lacks(campaign, instrument, module)
    if lacking:
        return TwinByModel(campaign, name, model, lacking)
    return TwinByInstrument(campaign, instrument, module, seed)


def _on_table(
    campaign: CampaignSpec, instrument: InstrumentSpec, twin: TableTwinSpec, seed: int
) -> Twin:
    try:
        module = TableTwin(Path(twin.table), Path(twin.header))
    except BadTable as error:
        raise Unusable(str(error)) from error
    if lacking := lacks(campaign, instrument, module):
        raise Unusable(f"the twin made from {twin.table} has no model beside it, and {lacking}")
    return TwinByInstrument(campaign, instrument, module, seed)


def lacks(campaign: CampaignSpec, instrument: InstrumentSpec, module: TwinModule) -> str:
    """Why the twin's instrument cannot carry out the campaign's trials here; empty when it can."""
    if find_estimate(campaign.plan.name) is None:
        plan = campaign.plan.name.rpartition(".")[2]
        return f"no estimate_{plan} says how often the plan reads"
    served = {pv.name for pv in module.create(0, _no_sleep).pvs}
    for name, parameter in campaign.parameters.items():
        if parameter.device is None:
            return f"parameter {name!r} is an argument of the plan"
        if _axis(instrument, parameter.device, served) is None:
            return f"device {parameter.device!r} is no setpoint or motor that the twin serves"
    found = _detectors(campaign, instrument, served)
    if len(found) != 1:
        return f"the plan's arguments name {len(found)} triggered detectors, and one is needed"
    return ""


class TwinByInstrument:
    """Sets, lets it settle, triggers, reads and reduces: as a plan with one detector does."""

    def __init__(
        self, campaign: CampaignSpec, instrument: InstrumentSpec, module: TwinModule, seed: int
    ) -> None:
        self.noise = "the twin's own"
        self._campaign = campaign
        self._instrument = instrument
        self._slept_s = 0.0
        self._twin = module.create(seed, self._sleep)
        self._pvs: dict[str, Pv] = {pv.name: pv for pv in self._twin.pvs}
        (self._detector,) = _detectors(campaign, instrument, self._pvs)
        self._axes: dict[str, tuple[str, str]] = {}
        for one in campaign.parameters.values():
            if one.device is not None and (axis := _axis(instrument, one.device, self._pvs)):
                self._axes[one.device] = axis
        prefix = _prefix(instrument, self._detector)
        self._trigger = f"{prefix}:TRIGGER"
        self._read: dict[str, Pv] = {
            **{
                f"{self._detector}_{channel.lower()}": self._pvs[f"{prefix}:{channel}"]
                for channel in str(self._pvs[f"{prefix}:CHANNELS"].value).split(",")
            },
            **{path: self._pvs[readback] for path, (_, readback) in self._axes.items()},
        }
        """What a reading has, by the name of its column."""

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """See Twin."""
        settings = {
            str(self._campaign.parameters[name].device): float(value)
            for name, value in parameters.items()
        }
        known = plan_estimate(self._campaign.plan, settings, {})
        waits_s, readings = known or (0.0, 1)
        self._slept_s = 0.0
        moves_s, rows = asyncio.run(self._carry_out(settings, readings))
        at = {name: rows[-1][str(self._campaign.parameters[name].device)] for name in parameters}
        reduction = reduced(self._campaign, lambda: [self._run(rows)])
        return Measurement(reduction, at, waits_s, moves_s, self._slept_s)

    async def _carry_out(
        self, settings: Mapping[str, float], readings: int
    ) -> tuple[float, list[dict[str, float]]]:
        """Lab seconds of the moves, and the rows of the run's table."""
        moves_s = 0.0
        for path, value in settings.items():
            moves_s += await self._move(path, value) + self._instrument.devices[path].settle_s
        rows: list[dict[str, float]] = []
        for _ in range(readings):
            try:
                await self._pvs[self._trigger].accept(1)
            except PutRefused as error:
                raise PlanFailed(f"{self._detector} refused the trigger: {error}") from error
            rows.append({name: float(pv.value) for name, pv in self._read.items()})
        return moves_s, rows

    async def _move(self, path: str, value: float) -> float:
        """Put the setpoint and let lab time pass until nothing moves; gives the seconds."""
        setpoint, _ = self._axes[path]
        put = asyncio.ensure_future(self._pvs[setpoint].accept(value))
        await asyncio.sleep(0)
        passed_s = 0.0
        while self._twin.step(step_s := FIRST_STEP_S + GROWTH * passed_s):
            passed_s += step_s
            if passed_s > LONGEST_MOVE_S:
                put.cancel()
                raise Unusable(f"device {path!r} of the twin does not settle")
        await put  # a motor's put is complete when it has arrived
        return passed_s

    async def _sleep(self, seconds: float) -> None:
        self._slept_s += seconds

    def _run(self, rows: list[dict[str, float]]) -> Run:
        run = Run({"detectors": [self._detector], "num_points": len(rows)})
        primary = run.stream("primary")
        for name, pv in self._read.items():
            primary.data_keys[name] = {"dtype": "number", "shape": [], "units": pv.unit}
        for number, row in enumerate(rows, 1):
            primary.add(number, 0.0, row)
        return run


class TwinByModel:
    """The noiseless truth of the twin's model.

    Raises:
        Unusable: the model lacks a parameter or an outcome of the campaign.
    """

    def __init__(self, campaign: CampaignSpec, name: str, model: TwinModel, because: str) -> None:
        self.noise = f"none: the twin's noiseless model answers, because {because}"
        self._campaign = campaign
        self._model = model
        for one in campaign.parameters:
            if one not in model.BOUNDS:
                raise Unusable(
                    f"the model of twin {name!r} has no parameter {one!r}{near(one, model.BOUNDS)}"
                )
        if missing := sorted(model.BOUNDS.keys() - campaign.parameters.keys()):
            raise Unusable(f"the model of twin {name!r} needs the parameter {missing[0]!r} too")
        given = model.evaluate(**{one: edges[0] for one, edges in model.BOUNDS.items()})
        for one in campaign.outcome_names:
            if one not in given:
                raise Unusable(
                    f"the model of twin {name!r} gives no outcome {one!r}{near(one, given)}"
                )
        unknown = [text for text in campaign.valid if inequality(text).coefficients.keys() - given]
        self._rules = [text for text in campaign.valid if text not in unknown]
        if unknown:
            self.noise += f"; it knows nothing of what is valid by {' and '.join(unknown)}"

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """See Twin."""
        found = self._model.evaluate(**parameters)
        units = {name: one.unit or "" for name, one in self._campaign.objectives.items()}
        outcomes = {
            name: Outcome(float(value), 0.0, units.get(name, ""))
            for name, value in found.items()
            if name != "objective"
        }
        invalid = broken_rule(self._rules, outcomes, list)
        waits_s = self._waits_s(parameters)
        return Measurement(Reduction(outcomes, invalid), parameters, waits_s, None, None)

    def _waits_s(self, parameters: Mapping[str, ParameterValue]) -> float | None:
        devices = {name: one.device for name, one in self._campaign.parameters.items()}
        settings = {path: parameters[name] for name, path in devices.items() if path is not None}
        arguments = {
            str(one.arg): parameters[name]
            for name, one in self._campaign.parameters.items()
            if one.arg is not None
        }
        known = plan_estimate(self._campaign.plan, settings, arguments)
        return None if known is None else known[0]


def _prefix(instrument: InstrumentSpec, path: str) -> str | None:
    device = instrument.devices.get(path)
    return None if device is None else device.prefix


def _axis(
    instrument: InstrumentSpec, path: str, served: Mapping[str, Pv] | set[str]
) -> tuple[str, str] | None:
    """The process variables to put and to read back; None when the twin serves no such axis."""
    prefix = _prefix(instrument, path)
    known = ((f"{prefix}:SP", f"{prefix}:RB"), (f"{prefix}.VAL", f"{prefix}.RBV"))
    return next((one for one in known if one[0] in served and one[1] in served), None)


def _detectors(
    campaign: CampaignSpec, instrument: InstrumentSpec, served: Mapping[str, Pv] | set[str]
) -> list[str]:
    """Names of the triggered detectors that the plan's arguments name."""
    named = dict.fromkeys(texts(campaign.plan.args))
    return [path for path in named if f"{_prefix(instrument, path)}:CHANNELS" in served]


async def _no_sleep(_: float) -> None:
    return
