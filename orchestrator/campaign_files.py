"""Reads a campaign file and its instrument file, and holds them against each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.lab_code import plan_catalog
from orchestrator.adapters.user_files.spec_files import (
    Lines,
    find_campaign,
    find_instrument,
    line_of,
    read_campaign,
    read_instrument,
    unknown_names,
)
from orchestrator.domain.errors import Problem, SpecError, Unusable
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, TableTwinSpec
from orchestrator.domain.together import disagreements


@dataclass(frozen=True, slots=True)
class Files:
    """A campaign and its instrument, checked against each other."""

    campaign: CampaignSpec
    instrument: InstrumentSpec


def read_files(
    name: str,
    *,
    on_twin: bool = False,
    plan_problems: Callable[[CampaignSpec], Sequence[Problem]] = plan_catalog.plan_problems,
) -> Files:
    """Read both files and compare them with each other and with the plan.

    Args:
        name: of the campaign file, or of a shipped twin.
        on_twin: True for a real instrument that is to run on its twin.
        plan_problems: finds what does not fit the plan, for which the plan must be imported.

    Raises:
        SpecError: with every problem found.
        Unusable: the campaign file is not there.
    """
    campaign_file = find_campaign(name)
    plan_catalog.refuse_shadows()
    try:
        campaign, lines = read_campaign(campaign_file)
    except SpecError as error:
        problems = [*error.problems, *unknown_names(campaign_file)]
        in_order = sorted(problems, key=lambda problem: problem.line or 0)
        raise SpecError(error.file, in_order) from None
    try:
        instrument_file = find_instrument(campaign.instrument, campaign_file)
    except Unusable as error:
        problems = [Problem("instrument", str(error)), *plan_problems(campaign)]
        raise SpecError(str(campaign_file), [_placed(one, lines) for one in problems]) from None
    instrument = _instrument(instrument_file, on_twin=on_twin)
    problems = [*disagreements(campaign, instrument), *plan_problems(campaign)]
    if problems:
        raise SpecError(str(campaign_file), [_placed(problem, lines) for problem in problems])
    return Files(campaign, instrument)


def read_instrument_file(name: str, *, on_twin: bool = False) -> InstrumentSpec:
    """The instrument file that a person means: a path, or the name of a shipped twin.

    Raises:
        SpecError: with every problem found.
        Unusable: a file that is not there.
    """
    return _instrument(find_instrument(name, Path("campaign.yaml")), on_twin=on_twin)


def _instrument(file: Path, *, on_twin: bool) -> InstrumentSpec:
    instrument, _ = read_instrument(file)
    if on_twin and instrument.twin is None and instrument.mode == "real":
        raise Unusable(f"instrument {instrument.name!r} names no 'twin', so --twin cannot run it")
    if on_twin:
        instrument = instrument.model_copy(update={"mode": "twin"})
    if instrument.mode == "twin" and isinstance(instrument.twin, TableTwinSpec):
        _check_table(instrument.twin)
    return instrument


def _check_table(twin: TableTwinSpec) -> None:
    """Pass when a twin can be emulated from the table.

    Raises:
        Unusable: naming the file, column and row of what is wrong.
    """
    from simulators.table.errors import BadTable
    from simulators.table.header import read_header
    from simulators.table.reading import read_table

    table, header = Path(twin.table), Path(twin.header)
    try:
        read_table(table, read_header(header, table))
    except BadTable as error:
        raise Unusable(str(error)) from error


def check_mode(instrument: InstrumentSpec, *, hardware: bool) -> None:
    """Pass when this instrument may move.

    Raises:
        Unusable: it is real, and nobody said ``--hardware``.
    """
    if instrument.mode == "real" and not hardware:
        raise Unusable(
            f"instrument {instrument.name!r} is real and would move; "
            "say --hardware to allow that, or --twin to run on its twin"
        )


def check_faults(file: Path, instrument: InstrumentSpec) -> None:
    """Pass when the file plans faults that the instrument's twin can have.

    Raises:
        Unusable: there is no twin that a server serves, or a fault that cannot be.
    """
    from simulators.faults import FaultError, read_faults
    from simulators.table.errors import BadTable
    from simulators.table.instrument import TableTwin
    from simulators.twins import own_pvs, twin_module

    if not instrument.is_served or instrument.twin is None:
        raise Unusable(
            f"--faults is for a twin that is served over EPICS; instrument {instrument.name!r} "
            + ("is real" if instrument.mode == "real" else "lives inside the worker")
        )
    twin = instrument.twin
    try:
        if isinstance(twin, TableTwinSpec):
            module = TableTwin(Path(twin.table), Path(twin.header))
        else:
            module = twin_module(twin)
        read_faults(file, own_pvs(module))
    except (BadTable, FaultError) as error:
        raise Unusable(str(error)) from error


def _placed(problem: Problem, lines: Lines) -> Problem:
    return Problem(problem.place, problem.message, line_of(lines, problem.place))
