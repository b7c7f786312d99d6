"""From the documents of a trial to its outcomes, and the verdict of the validity rules."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from numbers import Real
from pathlib import Path
from typing import Any

from orchestrator.adapters.documents.hand_documents import given_by_hand
from orchestrator.adapters.documents.run_documents import Run, read_runs
from orchestrator.adapters.lab_code.plan_catalog import declared_outcomes, find_reducer
from orchestrator.domain.errors import ReductionError, Unusable, near
from orchestrator.domain.expressions import inequality
from orchestrator.domain.realignment import NO_DATA, REALIGNMENT_KEY
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome
from orchestrator.ports import Reduction

MOST_OUTCOMES = 1000


class DocumentReducer:
    """Reduces document files of the data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def reduce(self, campaign: CampaignSpec, documents: str) -> Reduction:
        """Outcomes and the verdict of the validity rules: the same for the same documents.

        Raises:
            ReductionError: the reducer raised, or an outcome is missing, NaN or infinite.
        """
        path = self._data_dir / documents
        return reduced(campaign, partial(read_runs, path))


def reduced(campaign: CampaignSpec, runs: Callable[[], Sequence[Run]]) -> Reduction:
    """What the campaign's reducer and validity rules make of a trial.

    A realignment, as its start document says, has no outcomes and is invalid.

    Args:
        campaign: names both.
        runs: gives the trial's runs; called again for validity rules on their streams.

    Raises:
        ReductionError: as DocumentReducer.reduce.
    """
    made = runs()
    if any(run.start.get(REALIGNMENT_KEY) for run in made):
        return Reduction({}, NO_DATA)
    outcomes = _outcomes(campaign, made)
    return Reduction(outcomes, broken_rule(campaign.valid, outcomes, runs))


def _outcomes(campaign: CampaignSpec, runs: Sequence[Run]) -> dict[str, Outcome]:
    if (given := given_by_hand(runs)) is not None:
        return checked(campaign, given, "a person", {})
    try:
        reducer = find_reducer(campaign)
    except Unusable as error:
        raise ReductionError(str(error)) from error
    try:
        given = reducer(runs)
    except Exception as error:  # a lab's own code may raise anything
        message = f"{reducer.__name__} raised {type(error).__name__}: {error}"
        raise ReductionError(message) from error
    return checked(campaign, given, reducer.__name__, declared_outcomes(reducer) or {})


def delivered(
    campaign: CampaignSpec, given: object, runs: Callable[[], Sequence[Run]]
) -> Reduction:
    """What came from an external reducer, held to the same rules as what comes from one here.

    Args:
        campaign: names the outcomes that it needs, their units and its validity rules.
        given: by name a value, a list ``[mean, sem]`` or ``[mean, sem, unit]``, or a mapping with
            these keys.
        runs: gives the trial's runs, for validity rules on their streams.

    Raises:
        ReductionError: an outcome is missing, no finite number, or in another unit.
    """
    plain = (
        {name: _as_tuple(value) for name, value in given.items()}
        if isinstance(given, Mapping)
        else given
    )
    units = {name: one.unit for name, one in campaign.objectives.items() if one.unit is not None}
    outcomes = checked(campaign, plain, "the external reducer", units)
    return Reduction(outcomes, broken_rule(campaign.valid, outcomes, runs))


def _as_tuple(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Mapping):
        if unknown := [name for name in value if name not in ("mean", "sem", "unit")]:
            raise ReductionError(f"{unknown[0]!r} is none of mean, sem, unit")
        return (value.get("mean"), value.get("sem"), value.get("unit"))
    return value


def checked(
    campaign: CampaignSpec, given: object, who: str, declared: Mapping[str, str | None]
) -> dict[str, Outcome]:
    """The outcomes that were given for a trial.

    Args:
        campaign: says which it needs.
        given: by name, each a value, ``(mean, sem)`` or ``(mean, sem, unit)``.
        who: gave them, for messages.
        declared: units of outcomes that must be among them; None where the device decides.

    Raises:
        ReductionError: one is missing, NaN or infinite, or in another unit.
    """
    if not isinstance(given, Mapping):
        raise ReductionError(f"{who} gave {given!r}, not a mapping of outcomes")
    if len(given) > MOST_OUTCOMES:
        raise ReductionError(
            f"{who} gave {len(given)} outcomes, more than {MOST_OUTCOMES}: what a "
            "measurement recorded belongs into its documents"
        )
    missing = [name for name in (*campaign.outcome_names, *declared) if name not in given]
    if missing:
        raise ReductionError(f"outcome {missing[0]!r} is missing{near(missing[0], given)}")
    if strange := [name for name in given if not isinstance(name, str)]:
        raise ReductionError(f"{strange[0]!r} is no name of an outcome")
    return {str(name): _outcome(name, value, declared.get(name)) for name, value in given.items()}


def _outcome(name: str, given: Any, declared: str | None) -> Outcome:
    """An outcome from a value, ``(mean, sem)`` or ``(mean, sem, unit)``: plain numbers and text."""
    mean, sem, unit = (
        (*given, *(None,) * 3)[:3] if isinstance(given, tuple) else (given, None, None)
    )
    if isinstance(given, tuple) and not 1 <= len(given) <= 3:
        raise ReductionError(f"outcome {name!r} is {given!r}, not a value or (mean, sem)")
    if not isinstance(unit, str | None):
        raise ReductionError(f"unit of {name!r} is {unit!r}, no text")
    if unit is not None and declared is not None and unit != declared:
        raise ReductionError(f"outcome {name!r} is in {unit!r}, but declared in {declared!r}")
    error = None if sem is None else _number(f"standard error of {name!r}", sem)
    if error is not None and error < 0:
        raise ReductionError(f"standard error of {name!r} is {error!r}, below 0")
    return Outcome(_number(f"outcome {name!r}", mean), error, str(unit or declared or ""))


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ReductionError(f"{what} is {value!r}, no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ReductionError(f"{what} is {str(value)[:40]}, not finite")
    return number


def broken_rule(
    rules: Iterable[str], outcomes: Mapping[str, Outcome], runs: Callable[[], Sequence[Run]]
) -> str | None:
    """The first rule that does not hold, with the value of its left side; None when all hold.

    A rule on a stream is about what was measured, so its ``runs`` are not the ones that the reducer
    had and may have changed.
    """
    measured = cache(runs)
    for text in rules:
        rule = inequality(text)
        values = {
            name: outcomes[name].mean if name in outcomes else _column_mean(name, measured())
            for name in rule.coefficients
        }
        if not rule.holds(values):
            return f"{text} ({rule.left(values):.6g})"
    return None


def _column_mean(name: str, runs: Sequence[Run]) -> float:
    """Mean over all events of the column of this name, in whichever stream has it."""
    columns: dict[str, list[Any]] = {}
    for run in runs:
        for stream in run.streams:
            for key, column in _named(name, run, stream):
                columns.setdefault(key, []).extend(column)
    if len(columns) != 1:
        found = f"could be {sorted(columns)}" if columns else "is no outcome and no stream column"
        raise ReductionError(f"{name!r} in the validity rules {found}")
    (values,) = columns.values()
    try:
        return math.fsum(map(float, values)) / len(values)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ReductionError(f"{name!r} in the validity rules has no mean: {error}") from error


def _named(name: str, run: Run, stream: str) -> Iterator[tuple[str, Any]]:
    """Columns that a name may mean: the full data key, or what follows ``<detector>_``."""
    table = run[stream]
    if name in table:
        yield name, table[name]
        return
    for detector in run.start.get("detectors", ()):
        if (key := f"{detector}_{name}") in table:
            yield key, table[key]
