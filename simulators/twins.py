"""Finds a twin by its name among the entry points of the group `labwright.twins`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

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


def twin_module(name: str) -> TwinModule:
    """The `instrument` module of a twin; `-` and `_` in the name count as the same.

    Raises:
        UnknownTwin: with the names that come near.
    """
    packages = {point.name.replace("_", "-"): point.value for point in entry_points(group=GROUP)}
    wanted = name.replace("_", "-")
    if wanted not in packages:
        near = get_close_matches(wanted, packages) or sorted(packages)
        raise UnknownTwin(f"no twin {name!r}; known: {', '.join(near) or 'none installed'}")
    path = f"{packages[wanted]}.instrument"
    try:
        return import_module(path)  # type: ignore[return-value]
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise UnknownTwin(f"twin {name!r} lives inside the worker and needs no server") from None


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
    pvs = (*own_pvs(module), *identity("", module.TIME_COMPRESSION, 0), *Fence().pvs)
    return [(pv.name, pv.unit, pv.what) for pv in pvs]


def own_pvs(module: TwinModule) -> Sequence[Pv]:
    """The process variables of the instrument itself, as they are at the start."""

    async def no_sleep(_: float) -> None:
        return

    return module.create(0, no_sleep).pvs
