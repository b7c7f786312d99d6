"""The campaign file as typed models: what to find out."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from orchestrator.domain.campaign_consistency import campaign_findings
from orchestrator.domain.expressions import Inequality, inequality
from orchestrator.domain.spec_fields import (
    Bounds,
    BoundText,
    Count,
    DottedPath,
    InequalityText,
    Name,
    PositiveFloat,
    PositiveInt,
    Slug,
    Strict,
    TimeText,
    refuse,
    time_of,
)


class ParameterSpec(Strict):
    """What the optimizer may vary: a device's setting, or an argument of the plan."""

    device: DottedPath | None = None
    """Movable device of the instrument that receives the value."""
    arg: Name | None = None
    """Argument of the plan that receives the value."""
    range: Bounds | None = None
    """Lower and upper bound, both allowed values, in ``unit``."""
    choices: tuple[float | int | str | bool, ...] | None = Field(default=None, min_length=1)
    """The values it may take, instead of a range; a single one holds it there."""
    type: Literal["float", "int"] = "float"
    scale: Literal["linear", "log"] = "linear"
    ordered: bool = False
    """For choices: whether neighbours are alike."""
    unit: str = ""
    """Must equal the device's unit; empty when it has none."""

    def admits(self, value: object) -> bool:
        """True when the value has the right type and lies within the range or choices."""
        if self.choices is not None:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(
            value, int if self.type == "int" else (int, float)
        ):
            return False
        return self.range is not None and self.range[0] <= value <= self.range[1]


class ObjectiveSpec(Strict):
    """An outcome to maximize or minimize."""

    goal: Literal["maximize", "minimize"]
    unit: str | None = None
    """Unit it is expected in; None takes the reducer's."""


class ConstraintSpec(Strict):
    """Linear inequalities that a proposal (parameters) or a good result (outcomes) satisfies."""

    parameters: tuple[InequalityText, ...] = ()
    outcomes: tuple[InequalityText, ...] = ()


class PlanSpec(Strict):
    """Which plan measures one trial, and its arguments beside the parameters."""

    name: str
    """Name of a registered plan, or a dotted path to any Bluesky plan."""
    args: dict[Name, Any] = Field(default_factory=dict)
    """A string that names a device of the instrument arrives as that device."""


DASK = "dask://"
"""Before the address of a Dask scheduler."""


def _a_place(text: str) -> str:
    if text not in ("local", "external") and not re.fullmatch(rf"{DASK}[^\s/:]+:\d{{1,5}}", text):
        raise ValueError(f"{text!r} is none of local, external and {DASK}HOST:PORT")
    return text


class ReduceSpec(Strict):
    """What turns the documents of a trial into outcomes."""

    call: DottedPath | None = None
    """A reducer of the lab's own; None takes the one beside the plan."""
    where: Annotated[str, AfterValidator(_a_place)] = "local"
    """``external``: somebody else reduces, and delivers by ``labwright outcome``.
    ``dask://HOST:PORT``: on the workers of a Dask cluster, which see the data folder, too."""
    timeout_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    """Seconds it may take for one trial, the import of its module included; of an external one,
    from the data being safe to the delivery."""

    @property
    def cluster(self) -> str | None:
        """Address of the Dask scheduler; None when nothing is reduced on a cluster."""
        return self.where.replace(DASK, "tcp://") if self.where.startswith(DASK) else None


class SampleSpec(Strict):
    """One sample of the list."""

    position: str
    """Its name: what the plan is told."""
    amount: str = ""
    """For people: how much there is of it."""
    uses: Count
    """Starts of a trial that it is good for."""


class SamplesSpec(Strict):
    """The list of samples; each start of a trial spends one use of its sample."""

    file: str
    """CSV file with the columns ``position``, ``amount`` and ``uses left``; relative to this file.

    It is read once, when the campaign file is."""
    parameter: Name | None = None
    """The parameter with ``choices: samples``; filled in when the file is read."""
    list: tuple[SampleSpec, ...] = ()
    """What the file said; filled in when it is read."""

    @property
    def uses(self) -> dict[str, int]:
        """Uses of each sample, by position, in the order of the list."""
        return {one.position: one.uses for one in self.list}


def _a_band(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? sigma", text) or not float(text.split()[0]):
        raise ValueError(f"{text!r} is no band; write for example '3 sigma'")
    return text


class RealignSpec(Strict):
    """What brings a drifting instrument back, before a person is called."""

    realign: PlanSpec
    """Plan that runs once, as a trial of its own that is no data; then the sentinel is measured
    again."""
    correct: bool = False
    """Whether the optimizer is told suspect data without their drift."""


class SentinelSpec(Strict):
    """A fixed point that is measured again and again, to see whether the instrument drifts."""

    at: dict[Name, float | int | str | bool] = Field(min_length=1)
    """The point: a value for every parameter."""
    every: PositiveInt
    """Other trials between two sentinels; the first trial is one, and the first after a hold."""
    band: Annotated[str, AfterValidator(_a_band)] = "3 sigma"
    """How far it may be off its reference."""
    outcome: Name | None = None
    """Outcome that is watched; None takes the first objective."""
    first: Annotated[int, Field(ge=1, le=100)] = 3
    """Sentinels that make the reference, at most."""
    then: Literal["pause", "correct"] | RealignSpec = "pause"
    """What happens on drift: the campaign stops until a person lets it go on, or goes on and tells
    the optimizer outcomes without their drift, or a plan realigns the instrument."""

    @property
    def sigmas(self) -> float:
        """Half the width of the band, in standard deviations."""
        return float(self.band.split()[0])

    @property
    def realignment(self) -> PlanSpec | None:
        """The plan that realigns the instrument; None when a person does."""
        return self.then.realign if isinstance(self.then, RealignSpec) else None

    @property
    def corrects(self) -> bool:
        """True when the optimizer is told suspect data without their drift."""
        return self.then.correct if isinstance(self.then, RealignSpec) else self.then == "correct"


class BudgetSpec(Strict):
    """When the campaign has spent what it may; the first limit reached ends it."""

    trials: PositiveInt
    """Trials that may reach a terminal state."""
    beam_hours: PositiveFloat | None = None
    """Hours from the first start, paused and suspended time left out; None for no limit."""
    deadline: TimeText | None = None
    """ISO time with offset, such as 2026-12-24T08:00:00+01:00; None for no limit."""

    def deadline_s(self) -> float | None:
        """The deadline in Unix seconds; None for no deadline."""
        return None if self.deadline is None else time_of(self.deadline).timestamp()


class StopSpec(Strict):
    """Reasons to end before the budget is spent."""

    target: dict[Name, BoundText] = Field(default_factory=dict)
    """Outcome and bound, such as ``sty: ">= 11400"``: all must hold in one feasible trial."""
    stalled_for: PositiveInt | None = None
    """End after so many measured trials without a better one; None never."""


class OptimizerSpec(Strict):
    """Who proposes, and how far ahead."""

    method: str = "auto"
    """``auto`` (Ax), ``ax``, ``sobol``, or the name of another registered optimizer."""
    initial_trials: Count | None = None
    """Space-filling trials before the model is asked.

    None takes twice the number of parameters, and at least 5.
    """
    lookahead: Count | Literal["auto"] = "auto"
    """Trials kept queued ahead of the worker; 0 proposes only after the last result.

    ``auto`` takes 0 or 1, by what has been measured: see ``domain.lookahead``.
    """
    batch: PositiveInt = 1
    """Trials proposed together."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class StopAfterSpec(Strict):
    """Give up after so many bad trials in a row; 0 never gives up."""

    failed_in_a_row: Count = 3
    invalid_in_a_row: Count = 3


class PolicySpec(Strict):
    """What to do when attempts fail."""

    attempts: PositiveInt = 3
    """Failures of its own that a trial may have before it is abandoned."""
    crashes: PositiveInt = 20
    """Attempts that a condition, or a death of process, server or IOC, may end before that."""
    consumes_sample: bool = False
    """True when a second attempt spends another sample: then a person decides after a crash."""
    approval: Literal["automatic"] = "automatic"
    answer_within_s: Annotated[float, Field(gt=0, le=604800)] = 3600.0
    """Seconds that a person has for an answer or an approval: then the campaign stops for one."""
    stop_after: StopAfterSpec = StopAfterSpec()


class CampaignSpec(Strict):
    """The campaign file: what to find out."""

    name: Slug
    instrument: str
    """Name of a shipped twin, or path of an instrument file (relative to the campaign file)."""
    plan: PlanSpec
    parameters: dict[Name, ParameterSpec] = Field(min_length=1)
    objectives: dict[Name, ObjectiveSpec] = Field(min_length=1)
    constraints: ConstraintSpec = ConstraintSpec()
    valid: tuple[InequalityText, ...] = ()
    """Rules on outcomes and stream data; a trial that breaks one is kept and not told."""
    reduce: ReduceSpec = ReduceSpec()
    samples: SamplesSpec | None = None
    sentinel: SentinelSpec | None = None
    budget: BudgetSpec
    stop: StopSpec = StopSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    policy: PolicySpec = PolicySpec()

    @property
    def initial_trials(self) -> int:
        """Space-filling trials at the start, the default worked out."""
        given = self.optimizer.initial_trials
        return given if given is not None else max(5, 2 * len(self.parameters))

    @property
    def parameter_constraints(self) -> tuple[Inequality, ...]:
        """The inequalities that every proposal satisfies."""
        return tuple(inequality(text) for text in self.constraints.parameters)

    @property
    def outcome_constraints(self) -> tuple[Inequality, ...]:
        """The inequalities that a feasible trial satisfies."""
        return tuple(inequality(text) for text in self.constraints.outcomes)

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """Outcomes that the campaign needs: objectives, then those of the constraints."""
        names = dict.fromkeys(self.objectives)
        for rule in self.outcome_constraints:
            names.update(dict.fromkeys(rule.coefficients))
        return tuple(names)

    def with_run_options(self, *, trials: int | None = None, seed: int | None = None) -> Self:
        """The spec for ``run --trials N --seed S``: N replaces the budget and the stop rules."""
        changed: dict[str, object] = {}
        if trials is not None:
            never = StopAfterSpec(failed_in_a_row=0, invalid_in_a_row=0)
            changed["budget"] = BudgetSpec(trials=trials)
            changed["stop"] = StopSpec()
            changed["policy"] = self.policy.model_copy(update={"stop_after": never})
        if seed is not None:
            changed["optimizer"] = self.optimizer.model_copy(update={"seed": seed})
        return self.model_copy(update=changed)

    def with_reducer(self, call: str) -> Self:
        """The spec with another reducer, by its dotted name, which runs here."""
        changed = self.reduce.model_copy(update={"call": call, "where": "local"})
        return self.model_copy(update={"reduce": changed})

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        refuse("CampaignSpec", campaign_findings(self.to_data()))
        return self
