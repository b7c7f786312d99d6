"""In which order a trial's settings are set."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from orchestrator.adapters.guard.axes import stands
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.domain.whereabouts import Whereabouts


def ordered(
    settings: Mapping[str, Any], instrument: InstrumentSpec, at: Callable[[str], Any]
) -> dict[str, Any]:
    """The settings, those in ``move_order`` first.

    Where going one after another in this order would break a joint constraint, the order is
    changed to one that does not, as far as ``move_order`` leaves it open. Is there none, the order
    stays, and the move that would break it is refused when it comes.
    """
    first = [path for path in instrument.move_order if path in settings]
    given = {path: settings[path] for path in dict.fromkeys([*first, *settings])}
    where = Whereabouts(instrument.constraints)
    bound = {path: float(value) for path, value in given.items() if where.axis(path) == path}
    if len(bound) < 2:
        return given
    try:
        for name in where.unknown(bound):
            where.place(name, _at_once(stands(at(name), _tolerance(instrument, name))))
    except Exception:  # a device that cannot be asked now: whoever moves it will be told
        return given
    passing = where.order(bound, first) or ()
    turn = iter(passing)
    return {
        name: given[name] for name in (next(turn) if path in passing else path for path in given)
    }


def _tolerance(instrument: InstrumentSpec, path: str) -> float | None:
    return instrument.devices[path.split(".")[0]].tolerance


def _at_once(asking: Generator[Any, Any, tuple[float, ...]]) -> tuple[float, ...]:
    """The answer of a device that needs no RunEngine for it.

    Raises:
        LookupError: it needs one.
    """
    try:
        next(asking)
    except StopIteration as end:
        return end.value
    raise LookupError
