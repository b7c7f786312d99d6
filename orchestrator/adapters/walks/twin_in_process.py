"""Measures trials on a twin within this process: no server, no clock, no RunEngine.

Where a twin's instrument serves what the plan uses, it obeys the plan's own messages, so that
settling and noise are the twin's own. Else its model answers, without noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.adapters.lab_code.plan_catalog import STARTUP
from orchestrator.adapters.lab_code.plan_deadline import plan_estimate
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.adapters.reduction.reducer import broken_rule, reduced
from orchestrator.adapters.walks.guarded_trial import guarded_trial
from orchestrator.adapters.walks.twin_instrument import NotServed, TwinInstrument
from orchestrator.adapters.walks.twin_walk import TwinWalk
from orchestrator.domain.envelope import device_settings, plan_arguments
from orchestrator.domain.errors import (
    EnvelopeError,
    OptimizerError,
    PlanFailed,
    ReductionError,
    Unusable,
    near,
)
from orchestrator.domain.expressions import inequality
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, TableTwinSpec
from orchestrator.domain.trial import Outcome, ParameterValue
from orchestrator.ports import Reduction
from simulators.twins import TwinModel, TwinModule, UnknownTwin, twin_model, twin_module

LOOKS = 3
"""So many points are tried before a plan counts as one that cannot be walked."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one trial gave, and the lab time that it took."""

    reduction: Reduction
    at: Mapping[str, ParameterValue]
    """The parameters as they were read back at the last trigger: a twin may move in steps."""
    waits_s: float | None
    """Seconds that the plan sleeps, and waits for what it moved to settle, or its estimate where
    the model answers; None when unknown."""
    moves_s: float | None
    """Seconds of all moves, one after another; None when unknown."""
    readings_s: float | None
    """Seconds of the acquisitions; None when unknown."""


Found = Measurement | PlanFailed | ReductionError
"""What came of a trial."""


class Twin(Protocol):
    """A twin that measures at once."""

    noise: str
    """In words: what a measurement differs from the truth by."""

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """Carry out a trial.

        Raises:
            PlanFailed: the plan fails there, or the twin refuses to measure.
            ReductionError: the reducer raised, or an outcome is missing, NaN or infinite.
        """
        ...


def found_by(twin: Twin, parameters: Mapping[str, ParameterValue]) -> Found:
    """What comes of a trial, also where it fails."""
    try:
        return twin.measure(parameters)
    except (PlanFailed, ReductionError) as error:
        return error


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
    return twins_in_process(campaign, instrument, [seed])[0]


def twins_in_process(
    campaign: CampaignSpec, instrument: InstrumentSpec, seeds: Sequence[int]
) -> list[Twin]:
    """One for each seed of the noise; whether the plan can be walked is tried once for all.

    Raises:
        Unusable: as of ``twin_in_process``.
    """
    if isinstance(instrument.twin, TableTwinSpec):
        module = _on_table(campaign, instrument, instrument.twin)
        return [TwinByPlan(campaign, instrument, module, seed) for seed in seeds]
    name = twin_name(instrument)
    model = model_of(name)
    try:
        module = twin_module(name)
    except UnknownTwin:
        because = "its instrument lives inside the worker"
        return [TwinByModel(campaign, name, model, because) for _ in seeds]
    if because := obstacle(campaign, instrument, module):
        return [TwinByModel(campaign, name, model, because) for _ in seeds]
    return [TwinByPlan(campaign, instrument, module, seed) for seed in seeds]


def _on_table(
    campaign: CampaignSpec, instrument: InstrumentSpec, twin: TableTwinSpec
) -> TwinModule:
    from simulators.table.errors import BadTable
    from simulators.table.instrument import TableTwin  # with pandas

    try:
        module = TableTwin(Path(twin.table), Path(twin.header))
    except BadTable as error:
        raise Unusable(str(error)) from error
    if because := obstacle(campaign, instrument, module):
        raise Unusable(f"the twin made from {twin.table} has no model beside it, and {because}")
    return module


def obstacle(campaign: CampaignSpec, instrument: InstrumentSpec, module: TwinModule) -> str:
    """What keeps the campaign's plan from being walked on the twin here; empty for nothing.

    Where it can be walked at one of a few points, a trial that fails elsewhere has failed. That the
    twin or the envelope refuses a point is no obstacle: they may let another one pass. The points
    are the same for each seed, so that all rehearsals of a campaign answer alike.
    """
    if campaign.plan.name.startswith(STARTUP):
        return f"plan {campaign.plan.name!r} is one of the lab's startup"
    optimizer = campaign.optimizer.model_copy(update={"seed": 0})
    campaign = campaign.model_copy(update={"optimizer": optimizer})
    found: list[str] = []
    try:
        for parameters in space_filling_points(campaign, LOOKS):
            walk = TwinByPlan(campaign, instrument, module, 0).walk(parameters)
            if walk.is_refused or not walk.walked.problems:
                return ""
            found.append(_words(*walk.walked.problems[0]))
            if walk.walked.is_endless:
                break
    except (OptimizerError, PlanFailed) as error:
        return str(error)
    return f"the plan cannot be walked on it here: {found[0]}"


class TwinByPlan:
    """Walks through the campaign's own plan, and the twin's instrument obeys its messages."""

    def __init__(
        self, campaign: CampaignSpec, instrument: InstrumentSpec, module: TwinModule, seed: int
    ) -> None:
        self.noise = "the twin's own"
        self._campaign = campaign
        self._spec = instrument
        self._instrument = TwinInstrument(instrument, module, seed)
        self._trials = 0

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """See Twin."""
        walk = self.walk(parameters)
        walked = walk.walked
        if walked.problems:
            raise PlanFailed(_words(*walked.problems[0]))
        at = {
            name: walk.stood.get(str(self._campaign.parameters[name].device), value)
            for name, value in parameters.items()
        }
        reduction = reduced(self._campaign, lambda: walked.runs)
        return Measurement(reduction, at, walked.waits_s, walked.moves_s, walk.acquired_s)

    def walk(self, parameters: Mapping[str, ParameterValue]) -> TwinWalk:
        """Walk through the plan of one trial. What fails on the way is among its problems.

        Raises:
            PlanFailed: the campaign does not fit the plan, or the twin does not serve a device.
        """
        walk = TwinWalk(self._instrument)
        devices, self._trials = self._instrument, self._trials + 1
        served = [name for name in self._spec.baseline if name in devices.all]
        try:
            trial = guarded_trial(
                self._campaign,
                self._spec,
                parameters,
                devices,
                number=self._trials,
                baseline=served,
                clock=walk.clock,
            )
        except EnvelopeError as error:
            walk.is_refused = True
            walk.walked.problems.append((str(error), None))
            return walk
        walk.go(trial)
        if walk.is_interrupted:
            raise KeyboardInterrupt
        failure = trial.guard.failure
        walk.is_refused |= failure is not None and not isinstance(failure, NotServed)
        return walk


def _words(what: str, line: str | None) -> str:
    return f"{what} ({line})" if line and line not in what else what


class TwinByModel:
    """The noiseless truth of the twin's model.

    Raises:
        Unusable: the model lacks a parameter or an outcome of the campaign.
    """

    def __init__(self, campaign: CampaignSpec, name: str, model: TwinModel, because: str) -> None:
        self.noise = f"none: the twin's noiseless model answers, because {because}"
        self._campaign = campaign
        self._model = model
        why = f" (it is asked because {because})"
        for one in campaign.parameters:
            if one not in model.BOUNDS:
                raise Unusable(
                    f"the model of twin {name!r} has no parameter {one!r}"
                    f"{near(one, model.BOUNDS)}{why}"
                )
        if missing := sorted(model.BOUNDS.keys() - campaign.parameters.keys()):
            raise Unusable(
                f"the model of twin {name!r} needs the parameter {missing[0]!r} too{why}"
            )
        given = model.evaluate(**{one: edges[0] for one, edges in model.BOUNDS.items()})
        for one in campaign.outcome_names:
            if one not in given:
                raise Unusable(
                    f"the model of twin {name!r} gives no outcome {one!r}{near(one, given)}{why}"
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
        settings = device_settings(self._campaign, parameters)
        arguments = plan_arguments(self._campaign, parameters)
        known = plan_estimate(self._campaign.plan, settings, arguments)
        return None if known is None else known[0]
