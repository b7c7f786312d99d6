"""Finds a twin by its name among the entry points of the group `labwright.twins`."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from simulators.faults import fault_pv
from simulators.fence import Fence
from simulators.pv import Instrument, Pv, Sleep

GROUP = "labwright.twins"


class UnknownTwin(LookupError):
    """No twin of this name, or one that serves no process variables."""


class TwinModule(Protocol):
    """What a twin's `instrument` module offers."""

    TIME_COMPRESSION: float
    """Lab seconds per wall second, unless the server is told otherwise."""

    create: Callable[[int, Sleep], Instrument]
    """Makes the instrument from the seed of its noise and from what waits for lab time."""


class TwinModel(Protocol):
    """What a twin's `model` module offers: the noiseless truth."""

    BOUNDS: Mapping[str, tuple[float, float]]
    """Lowest and highest value of each parameter."""

    OPTIMUM: Mapping[str, Any]
    """`parameters`, `outcomes`, `objective` (its best value), `goal`, `found_by`.

    Where the objective spans decades, also how regret is measured: `scale`, "log10", or "decades"
    for an objective that is a logarithm itself, and `near`, the decades that count as near.
    """

    evaluate: Callable[..., Mapping[str, Any]]
    """Outcomes, and `objective`, of parameters given by name."""


def twin_module(name: str) -> TwinModule:
    """The `instrument` module of a twin; `-` and `_` in the name count as the same.

    Raises:
        UnknownTwin: with the names that come near.
    """
    return _part(name, "instrument", "lives inside the worker and needs no server")


def twin_model(name: str) -> TwinModel:
    """The `model` module of a twin; `-` and `_` in the name count as the same.

    Raises:
        UnknownTwin: with the names that come near.
    """
    return _part(name, "model", "has no model")


def twin_names() -> list[str]:
    """The twins that are installed, in alphabetical order."""
    return sorted(_packages())


def twin_package(name: str) -> str:
    """Dotted name of the package of a twin; `-` and `_` in the name count as the same.

    Raises:
        UnknownTwin: with the names that come near.
    """
    packages, wanted = _packages(), name.replace("_", "-")
    if wanted not in packages:
        near = get_close_matches(wanted, packages) or sorted(packages)
        raise UnknownTwin(f"no twin {name!r}; known: {', '.join(near) or 'none installed'}")
    return packages[wanted]


def _packages() -> dict[str, str]:
    return {point.name.replace("_", "-"): point.value for point in entry_points(group=GROUP)}


def _part(name: str, part: str, otherwise: str) -> Any:
    """A module of a twin's package."""
    path = f"{twin_package(name)}.{part}"
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        raise UnknownTwin(f"twin {name!r} {otherwise}") from None


def identity(instance: str, time_compression: float, seed: int) -> tuple[Pv, ...]:
    """The process variables that say who serves, the same for every twin."""
    return (
        Pv("LABWRIGHT:INSTANCE", instance, "", "random id of this server process"),
        Pv(
            "LABWRIGHT:TIME_COMPRESSION", float(time_compression), "", "lab seconds per wall second"
        ),
        Pv("LABWRIGHT:SEED", int(seed), "", "seed of the measurement noise"),
    )


def describe(module: TwinModule) -> list[tuple[str, str, str]]:
    """Name, unit and meaning of each process variable that a twin serves."""
    lab = (*identity("", module.TIME_COMPRESSION, 0), *Fence().pvs, fault_pv())
    pvs = (*own_pvs(module), *lab)
    return [(pv.name, pv.unit, pv.what) for pv in pvs]


def own_pvs(module: TwinModule) -> Sequence[Pv]:
    """The process variables of the instrument itself, as they are at the start."""

    async def no_sleep(_: float) -> None:
        return

    return module.create(0, no_sleep).pvs
