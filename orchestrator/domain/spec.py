"""The two files a user writes, as typed models: what to find out, and with which instrument.

A model here says what each key means. Reading YAML and finding line numbers is the work of
``adapters.spec_files``; comparing the two files with each other is that of ``check_together``.
"""

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.domain.adoption import with_adopted
from orchestrator.domain.consistency import Finding, campaign_findings, instrument_findings
from orchestrator.domain.expressions import Inequality, bound_on, inequality

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Names of campaigns, instruments and trials: they become keys and folder names."""

CALL_S = 60.0
"""Seconds of wall time for a lab's function that gives its RunEngine, or its suspenders."""

INCONSISTENT = "inconsistent"
"""Type of pydantic's errors about keys that contradict each other."""


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(
            f"{text!r} is no name: use letters, digits and _, not starting with a digit"
        )
    if keyword.iskeyword(text):
        raise ValueError(f"{text!r} cannot be a name, because Python uses it; try '{text}_'")
    return text


def _a_path(text: str) -> str:
    for part in text.split("."):
        _a_name(part)
    return text


def _a_slug(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        raise ValueError(
            f"{text!r} must be 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter or digit"
        )
    return text


def _an_inequality(text: str) -> str:
    inequality(text)
    return text


def _a_reference(text: str) -> str:
    if text.count(":") > 1:
        raise ValueError(f"{text!r} has more than one ':'; write module:name")
    _a_path(text.replace(":", "."))
    return text


def _a_bound(text: str) -> str:
    bound_on("x", text)
    return text


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no ISO time; write for example 2026-12-24T08:00:00+01:00"
        ) from None
    if time.tzinfo is None:
        raise ValueError(f"{text!r} needs an offset from UTC, such as {time.isoformat()}+01:00")
    return time


def _a_time(text: str) -> str:
    _time(text)
    return text


Name = Annotated[str, AfterValidator(_a_name)]
DottedPath = Annotated[str, AfterValidator(_a_path)]
Slug = Annotated[str, AfterValidator(_a_slug)]
Reference = Annotated[str, AfterValidator(_a_reference)]
"""``module:name``, ``module.name``, or a name of the startup."""
InequalityText = Annotated[str, AfterValidator(_an_inequality)]
BoundText = Annotated[str, AfterValidator(_a_bound)]
TimeText = Annotated[str, AfterValidator(_a_time)]
PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    """Unknown keys are refused, types are not guessed, NaN and infinity are no numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The model of plain data, as YAML or the ledger gives it.

        Raises:
            pydantic.ValidationError: with every problem found.
        """
        return cls.model_validate_json(json.dumps(data))

    def to_data(self) -> dict[str, Any]:
        """Plain data that ``from_data`` reads back to an equal model."""
        return json.loads(self.model_dump_json(by_alias=True))


def _refuse(title: str, findings: Iterable[Finding]) -> None:
    """Raise pydantic's error with each finding at its own place; pass when there is none."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(INCONSISTENT, "{what}", {"what": message}),
            loc=place,
            input=None,
        )
        for place, message in findings
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError(f"{list(bounds)} must be [lower, upper] with lower < upper")
    return bounds


Bounds = Annotated[tuple[float, float], AfterValidator(_ordered)]


class ParameterSpec(_Strict):
    """What the optimizer may vary: a device's setting, or an argument of the plan."""

    device: DottedPath | None = None
    """Movable device of the instrument that receives the value."""
    arg: Name | None = None
    """Argument of the plan that receives the value."""
    range: Bounds | None = None
    """Lower and upper bound, both allowed values, in ``unit``."""
    choices: tuple[float | int | str | bool, ...] | None = Field(default=None, min_length=2)
    """The values it may take, instead of a range."""
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


class ObjectiveSpec(_Strict):
    """An outcome to maximize or minimize."""

    goal: Literal["maximize", "minimize"]
    unit: str | None = None
    """Unit it is expected in; None takes the reducer's."""


class ConstraintSpec(_Strict):
    """Linear inequalities that a proposal (parameters) or a good result (outcomes) satisfies."""

    parameters: tuple[InequalityText, ...] = ()
    outcomes: tuple[InequalityText, ...] = ()


class PlanSpec(_Strict):
    """Which plan measures one trial, and its arguments beside the parameters."""

    name: str
    """Name of a registered plan, or a dotted path to any Bluesky plan."""
    args: dict[Name, Any] = Field(default_factory=dict)
    """A string that names a device of the instrument arrives as that device."""


class ReduceSpec(_Strict):
    """What turns the documents of a trial into outcomes."""

    call: DottedPath | None = None
    """A reducer of the lab's own; None takes the one beside the plan."""
    timeout_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    """Seconds it may take for one trial, the import of its module included."""


class BudgetSpec(_Strict):
    """When the campaign has spent what it may; the first limit reached ends it."""

    trials: PositiveInt
    """Trials that may reach a terminal state."""
    beam_hours: PositiveFloat | None = None
    """Hours from the first start, paused and suspended time left out; None for no limit."""
    deadline: TimeText | None = None
    """ISO time with offset, such as 2026-12-24T08:00:00+01:00; None for no limit."""

    def deadline_s(self) -> float | None:
        """The deadline in Unix seconds; None for no deadline."""
        return None if self.deadline is None else _time(self.deadline).timestamp()


class StopSpec(_Strict):
    """Reasons to end before the budget is spent."""

    target: dict[Name, BoundText] = Field(default_factory=dict)
    """Outcome and bound, such as ``sty: ">= 11400"``: all must hold in one feasible trial."""
    stalled_for: PositiveInt | None = None
    """End after so many measured trials without a better one; None never."""


class OptimizerSpec(_Strict):
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


class StopAfterSpec(_Strict):
    """Give up after so many bad trials in a row; 0 never gives up."""

    failed_in_a_row: Count = 3
    invalid_in_a_row: Count = 3


class PolicySpec(_Strict):
    """What to do when attempts fail."""

    attempts: PositiveInt = 3
    """Failures reported by a live worker that a trial may have before it is abandoned."""
    crashes: PositiveInt = 20
    """Attempts ended by the death of a process, server or IOC before it is abandoned."""
    consumes_sample: bool = False
    """True when a second attempt spends another sample: then a person decides after a crash."""
    approval: Literal["automatic"] = "automatic"
    stop_after: StopAfterSpec = StopAfterSpec()


class CampaignSpec(_Strict):
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
        """The spec with another reducer, by its dotted name."""
        return self.model_copy(update={"reduce": self.reduce.model_copy(update={"call": call})})

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        _refuse("CampaignSpec", campaign_findings(self.to_data()))
        return self


class SourceSpec(_Strict):
    """Where devices come from that the lab has already: exactly one of three places."""

    factory: Reference | None = None
    """Dotted path of a function that gives devices, or of a module with factories or devices."""
    happi: str | None = None
    """JSON database of happi; relative to the instrument file."""
    startup: str | None = None
    """Script, or folder of scripts that run in the order of their names; likewise."""
    use: tuple[Name, ...] = Field(min_length=1)
    """Names of the devices that the instrument needs; all others are left alone."""
    timeout_s: PositiveFloat = 60.0
    """Seconds of wall time that making the devices may take."""
    file: str | None = None
    """The instrument file, for messages; filled in when that is read."""

    @property
    def kind(self) -> Literal["factory", "happi", "startup"]:
        """Which of the three it is."""
        return "factory" if self.factory else "happi" if self.happi else "startup"


class MetadataSpec(_Strict):
    """What the lab knows of a measurement: it goes into the start document of every run."""

    from_: Literal["RE.md"] = Field(default="RE.md", alias="from")
    """The metadata of the lab's RunEngine."""
    required: tuple[str, ...] = ()
    """Keys without which no trial starts."""


class DeviceSpec(_Strict):
    """One ophyd device of the instrument."""

    class_: str | None = Field(default=None, alias="class")
    """Dotted path to an ophyd or ophyd-async class; None for one that comes from the lab."""
    prefix: str | None = None
    """Start of its PV names; None for a device without PVs."""
    kwargs: dict[Name, Any] = Field(default_factory=dict)
    """Further arguments of the class."""
    unit: str = ""
    limits: Bounds | None = None
    """Lowest and highest setting allowed, in ``unit``; None only for what is never set."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """Largest distance of the readback from the setpoint that counts as there; None: any."""
    settle_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds to wait after it arrived; 0 for none."""
    timeout_s: PositiveFloat | None = None
    """Longest time one move or acquisition may take; None takes the class's own."""
    optional: bool = False
    """True when the worker may start without it."""
    readback: Literal["encoder", "none"] = "encoder"
    """``none`` when it has no readback: then arrival is reported as not verified."""
    irreversible: bool = False
    takeover: Literal["automatic", "person"] = "automatic"
    """``person``: after a crash someone must look before the instrument is used again."""


class ConditionSpec(_Strict):
    """A signal that suspends a campaign while it is out of its range. It protects nothing."""

    signal: str
    suspend_above: float | None = None
    resume_below: float | None = None
    suspend_below: float | None = None
    resume_above: float | None = None
    wait_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds that the signal must be good again before the campaign goes on."""
    unit: str = ""


class QuietStep(_Strict):
    """A step that makes the instrument harmless where it stands."""

    stop: tuple[DottedPath, ...]


class ParkStep(_Strict):
    """A step of the ordered move to a safe pose."""

    set: dict[DottedPath, float]


class TableTwinSpec(_Strict):
    """A twin that is emulated from a table of measured data."""

    table: str
    """CSV or Parquet file; relative to the instrument file."""
    header: str
    """File that says which columns are parameters and which are outcomes; likewise."""


def _kind_of_twin(given: object) -> str:
    """So that what is wrong with one kind is not told as wrong with the other."""
    return "a name" if isinstance(given, str) else "of a table"


Twin = Annotated[
    Annotated[Slug, Tag("a name")] | Annotated[TableTwinSpec, Tag("of a table")],
    Discriminator(_kind_of_twin),
]


class InstrumentSpec(_Strict):
    """The instrument file: what one worker owns."""

    name: Slug
    mode: Literal["twin", "real"]
    twin: Twin | None = None
    """The simulated counterpart; None when the devices live inside the worker."""
    sources: tuple[SourceSpec, ...] = Field(default=(), alias="from")
    """Where devices come from that the lab has already."""
    devices: dict[Name, DeviceSpec] = Field(min_length=1)
    """By name, those from ``sources`` among them."""
    run_engine: Reference | None = None
    """Function that gives the lab's RunEngine; None for the startup's, else for a plain one."""
    baseline: tuple[DottedPath, ...] = ()
    """Devices that are read before and after each run."""
    monitors: tuple[DottedPath, ...] = ()
    """Signals that are recorded during each run."""
    suspenders: Reference | None = None
    """The lab's suspenders, or a function that gives them, beside those of its RunEngine."""
    md: MetadataSpec | None = None
    constraints: tuple[InequalityText, ...] = ()
    """Joint limits on settings, over dotted device names."""
    move_order: tuple[DottedPath, ...] = ()
    """Devices that are set first, in this order; the others follow as the campaign lists them."""
    conditions: tuple[ConditionSpec, ...] = ()
    quiet: tuple[QuietStep, ...] = ()
    park: tuple[ParkStep, ...] = ()
    gate: Literal["flock", "fence_pv", "none"] = "flock"
    """How a second driver is kept out: a lock of this host, the EPICS server of a twin, nothing
    (twins only)."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """As for every model; each device that a source gives has an entry afterwards."""
        return super().from_data(with_adopted(data))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        _refuse("InstrumentSpec", instrument_findings(self.to_data()))
        return self

    @property
    def adoption_s(self) -> float:
        """Longest time in seconds that taking over what the lab has may take."""
        sources = sum(source.timeout_s * (1 + len(source.use)) for source in self.sources)
        return sources + CALL_S * sum(map(bool, (self.run_engine, self.suspenders)))

    @property
    def has_lab_engine(self) -> bool:
        """True when plans run on the lab's own RunEngine."""
        return bool(self.run_engine) or any(source.startup for source in self.sources)

    @property
    def may_suspend(self) -> bool:
        """False when nothing can suspend a campaign but a lost device."""
        return bool(self.conditions or self.suspenders or self.has_lab_engine)

    def limits(self, path: str) -> tuple[float, float] | None:
        """Limits of the device at a dotted path; None when the file gives none.

        The limits of ``stage`` hold for each of its axes, ``stage.x`` among them.
        """
        device = self.devices.get(path) or self.devices.get(path.split(".")[0])
        return device.limits if device else None

    def unit(self, path: str) -> str:
        """Unit of the device at a dotted path; empty when it has none."""
        device = self.devices.get(path) or self.devices.get(path.split(".")[0])
        return device.unit if device else ""
