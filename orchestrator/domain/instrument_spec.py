"""The instrument file as typed models: what one worker owns."""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from orchestrator.domain.adoption import with_adopted
from orchestrator.domain.instrument_consistency import instrument_findings
from orchestrator.domain.spec_fields import (
    Bounds,
    Count,
    DottedPath,
    InequalityText,
    Name,
    PositiveFloat,
    Reference,
    Slug,
    Strict,
    refuse,
)

CALL_S = 60.0
"""Seconds of wall time for a lab's function that gives its RunEngine, or its suspenders."""


class SourceSpec(Strict):
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


class MetadataSpec(Strict):
    """What the lab knows of a measurement: it goes into the start document of every run."""

    from_: Literal["RE.md"] = Field(default="RE.md", alias="from")
    """The metadata of the lab's RunEngine."""
    required: tuple[str, ...] = ()
    """Keys without which no trial starts."""


def _an_address(text: str) -> str:
    port = re.fullmatch(r"tcp://[^\s/:]+:(\d{1,5})", text)
    if not (re.fullmatch(r"ipc://\S+", text) or (port and 0 < int(port[1]) < 65536)):
        raise ValueError(f"{text!r} is no address such as tcp://127.0.0.1:60615")
    return text


Address = Annotated[str, AfterValidator(_an_address)]


class QueueserverSpec(Strict):
    """A bluesky-queueserver that has the devices and runs the plans, in the place of a worker."""

    control: Address = "tcp://127.0.0.1:60615"
    """Where its manager takes requests."""
    documents: Address
    """Where subscribers get the documents of its RunEngine: the outgoing side of a 0MQ proxy."""
    public_key: Annotated[str, Field(min_length=40, max_length=40)] | None = None
    """The manager's public key when it encrypts its control connection; None when it does not."""
    user: str = "labwright"
    """Who submits, as the manager shows it."""
    user_group: str = "primary"
    """Its permissions are those of this group."""
    restart_environment: bool = False
    """True: a RE worker that is proven dead, or not there, is started anew without asking anybody.
    """


class SpendSpec(Strict):
    """What a device takes out of a budget, in the budget's unit."""

    trigger: Annotated[float, Field(ge=0)] = 0.0
    """By each trigger or kickoff."""
    set: Annotated[float, Field(ge=0)] = 0.0
    """By each set, whatever the value."""
    per_unit: Annotated[float, Field(ge=0)] = 0.0
    """By each set, times the value's size: 1 for a pump that is set to the volume to dispense."""


class DeviceSpec(Strict):
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


class ActionStep(Strict):
    """One step of what is done when a condition trips or is good again: either key, not both."""

    stop: tuple[DottedPath, ...] = ()
    set: dict[DottedPath, float] = Field(default_factory=dict)


class ConditionSpec(Strict):
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


class InstrumentBudgetSpec(Strict):
    """Something that is used up: a dose, a reagent."""

    limit: PositiveFloat
    unit: str = ""
    reserve: Annotated[float, Field(ge=0)] = 0.0
    """No trial starts with less than this left."""


class QuietStep(Strict):
    """A step that makes the instrument harmless where it stands."""

    stop: tuple[DottedPath, ...]


class ParkStep(Strict):
    """A step of the ordered move to a safe pose."""

    set: dict[DottedPath, float]


class TableTwinSpec(Strict):
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


class FilesSpec(Strict):
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


class InstrumentSpec(Strict):
    """The instrument file: what one worker owns."""

    name: Slug
    mode: Literal["twin", "real"]
    twin: Twin | None = None
    """The simulated counterpart; None when the devices live inside the worker."""
    sources: tuple[SourceSpec, ...] = Field(default=(), alias="from")
    """Where devices come from that the lab has already."""
    queueserver: QueueserverSpec | None = None
    """What runs the plans; None when a worker of Labwright's own does."""
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
        refuse("InstrumentSpec", instrument_findings(self.to_data()))
        return self

    @property
    def is_served(self) -> bool:
        """True when it is a twin that an EPICS server of ours serves."""
        return self.mode == "twin" and self.twin is not None

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
        """False when nothing can suspend a campaign but a lost device.

        A queueserver can: others use it, too.
        """
        own = self.conditions or self.budgets or self.suspenders or self.queueserver
        return bool(own or self.has_lab_engine)

    def device(self, path: str) -> DeviceSpec | None:
        """The entry of the device that a dotted path begins with; None when there is none."""
        return self.devices.get(path.partition(".")[0])

    def limits(self, path: str) -> tuple[float, float] | None:
        """Limits of the device at a dotted path; None when the file gives none.

        The limits of ``stage`` hold for each of its axes, ``stage.x`` among them, unless ``axes``
        gives it limits of its own.
        """
        device, axis = self.device(path), path.partition(".")[2]
        if device is None:
            return None
        while axis:
            if axis in device.axes:
                return device.axes[axis]
            axis = axis.rpartition(".")[0]
        return device.limits

    def unit(self, path: str) -> str:
        """Unit of the device at a dotted path; empty when it has none."""
        device = self.device(path)
        return device.unit if device else ""
