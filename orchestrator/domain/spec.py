"""The two files a user writes, as typed models: what to find out, and with which instrument.

A model here says what each key means. Reading YAML and finding line numbers is the work of
``adapters.spec_files``; comparing the two files with each other is that of ``check_together``.
"""

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from string import Formatter
from typing import Annotated, Any, ClassVar, Literal, Self

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
from orchestrator.domain.campaign_consistency import campaign_findings
from orchestrator.domain.expressions import Inequality, bound_on, inequality
from orchestrator.domain.findings import Finding
from orchestrator.domain.instrument_consistency import instrument_findings

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


BUILT_IN = "built-in"
"""In the place of a folder: the folder of the trial's documents."""

FILES_WAIT_S = 5.0
"""How long a detector's file may take to appear, unless the instrument file says otherwise."""

TOLD = ("campaign_id", "trial_id", "attempt", "fence", "instrument")
"""What a template of a folder may name."""


def _a_template(text: str) -> str:
    try:
        names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        if strange := sorted(names - {*TOLD}):
            raise ValueError(f"{strange[0]!r} is not known; there are {', '.join(TOLD)}")
        text.format(**dict.fromkeys(TOLD, 0) | {"campaign_id": "", "instrument": ""})
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{text!r} is no template of a folder: {error}") from None
    return text


def _a_folder(text: str) -> str:
    if text != BUILT_IN and not text.startswith("/"):
        raise ValueError(f"{text!r} is neither {BUILT_IN!r} nor an absolute path")
    return _a_template(text)


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
    where: Literal["local", "external"] = "local"
    """``external``: somebody else reduces, and delivers by ``labwright outcome``."""
    timeout_s: Annotated[float, Field(gt=0, le=86400)] = 600.0
    """Seconds it may take for one trial, the import of its module included; of an external one,
    from the data being safe to the delivery."""


class SampleSpec(_Strict):
    """One sample of the list."""

    position: str
    """Its name: what the plan is told."""
    amount: str = ""
    """For people: how much there is of it."""
    uses: Count
    """Starts of a trial that it is good for."""


class SamplesSpec(_Strict):
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


class SentinelSpec(_Strict):
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
    then: Literal["pause"] = "pause"
    """What happens on drift: the campaign stops until a person lets it go on."""

    @property
    def sigmas(self) -> float:
        """Half the width of the band, in standard deviations."""
        return float(self.band.split()[0])


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
    answer_within_s: Annotated[float, Field(gt=0, le=604800)] = 3600.0
    """Seconds that a person has for an answer or an approval: then the campaign stops for one."""
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


class SpendSpec(_Strict):
    """What a device takes out of a budget, in the budget's unit."""

    trigger: Annotated[float, Field(ge=0)] = 0.0
    """By each trigger or kickoff."""
    set: Annotated[float, Field(ge=0)] = 0.0
    """By each set, whatever the value."""
    per_unit: Annotated[float, Field(ge=0)] = 0.0
    """By each set, times the value's size: 1 for a pump that is set to the volume to dispense."""


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
    axes: dict[DottedPath, Bounds] = Field(default_factory=dict)
    """Limits of single parts, such as the real motors of pseudo axes, in place of ``limits``."""
    ioc_must_agree: bool = False
    """True: the worker starts only while the IOC's own limits allow no more than these."""
    max_step: PositiveFloat | None = None
    """Largest change of the setpoint at once, in ``unit``: farther moves go in steps; None: any."""
    max_rate: PositiveFloat | None = None
    """Largest change of the setpoint, in ``unit`` per second of lab time; None: any."""
    spends: dict[Name, SpendSpec] = Field(default_factory=dict)
    """By budget of the instrument: what using this device takes out of it."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """Largest distance of the readback from the setpoint that counts as there; None: any."""
    settle_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds to wait after it arrived; 0 for none."""
    timeout_s: PositiveFloat | None = None
    """Longest time one move or acquisition may take; None takes the class's own."""
    speed: PositiveFloat | None = None
    """Units per second of a move, for estimates only; None takes the motor's own where known."""
    acquire_s: Annotated[float, Field(ge=0)] | None = None
    """Seconds that one trigger takes, for estimates only; None: nobody has said."""
    optional: bool = False
    """True when the worker may start without it."""
    readback: Literal["encoder", "none"] = "encoder"
    """``none`` when it has no readback: then arrival is reported as not verified."""
    irreversible: bool = False
    takeover: Literal["automatic", "person"] = "automatic"
    """``person``: after a crash someone must look before the instrument is used again."""


class ActionStep(_Strict):
    """One step of what is done when a condition trips or is good again: either key, not both."""

    stop: tuple[DottedPath, ...] = ()
    set: dict[DottedPath, float] = Field(default_factory=dict)


class ConditionSpec(_Strict):
    """A signal that suspends a campaign while it is out of its range. It protects nothing."""

    signal: str
    suspend_above: float | None = None
    resume_below: float | None = None
    suspend_below: float | None = None
    resume_above: float | None = None
    wait_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds that the signal must be good again before the campaign goes on."""
    stale_after_s: PositiveFloat | None = None
    """A value whose time stamp is older counts as tripped, in seconds; None: of any age."""
    fail_after_s: PositiveFloat | None = None
    """Tripped for so many seconds, it fails the campaign; None: it is waited for without end."""
    on_trip: tuple[ActionStep, ...] = ()
    """Done when it interrupts or holds a plan."""
    on_resume: tuple[ActionStep, ...] = ()
    """Done before a plan goes on or begins after that, and before the first plan of a worker."""
    unit: str = ""


class InstrumentBudgetSpec(_Strict):
    """Something that is used up: a dose, a reagent."""

    limit: PositiveFloat
    unit: str = ""
    reserve: Annotated[float, Field(ge=0)] = 0.0
    """No trial starts with less than this left."""


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


class FilesSpec(_Strict):
    """Where the files of area detectors go, and what is asked of them."""

    told: ClassVar[tuple[str, ...]] = TOLD
    folder: Annotated[str, AfterValidator(_a_folder)] | None = None
    """``built-in``, or an absolute path in which names in braces stand for what is known."""
    ioc_folder: Annotated[str, AfterValidator(_a_template)] | None = None
    """The same folder as the detector's server names it; None when both name it alike."""
    call: DottedPath | None = None
    """A function of the lab's own that gives the folder."""
    wait_s: Annotated[float, Field(ge=0, le=60)] = FILES_WAIT_S
    """Seconds that a file may take to appear complete where it is read."""
    room_mb: Count = 0
    """MB that a trial's files need; no trial starts with less. The largest so far counts too."""

    @model_validator(mode="after")
    def _says_where_once(self) -> Self:
        if (self.folder is None) == (self.call is None):
            raise ValueError("give either 'folder' or 'call'")
        if self.ioc_folder is not None and self.folder in (None, BUILT_IN):
            raise ValueError("'ioc_folder' goes with a 'folder' that is a path")
        return self


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
    budgets: dict[Name, InstrumentBudgetSpec] = Field(default_factory=dict)
    """What the instrument may use up in all campaigns together, by name."""
    quiet: tuple[QuietStep, ...] = ()
    park: tuple[ParkStep, ...] = ()
    files: FilesSpec | None = None
    """Where detector files go; None leaves that to the classes of the detectors."""
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
        own = self.conditions or self.budgets or self.suspenders
        return bool(own or self.has_lab_engine)

    def limits(self, path: str) -> tuple[float, float] | None:
        """Limits of the device at a dotted path; None when the file gives none.

        The limits of ``stage`` hold for each of its axes, ``stage.x`` among them, unless ``axes``
        gives it limits of its own.
        """
        name, _, axis = path.partition(".")
        device = self.devices.get(name)
        if device is None:
            return None
        while axis:
            if axis in device.axes:
                return device.axes[axis]
            axis = axis.rpartition(".")[0]
        return device.limits

    def unit(self, path: str) -> str:
        """Unit of the device at a dotted path; empty when it has none."""
        device = self.devices.get(path) or self.devices.get(path.split(".")[0])
        return device.unit if device else ""
