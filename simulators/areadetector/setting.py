"""A setting in areaDetector's manner: one PV to put, and one with `_RBV` that says what holds."""

from collections.abc import Awaitable, Callable
from typing import Any

from simulators.pv import Pv, Value

LONGEST_PATH = 255
"""Characters of a path or a file name."""


class Setting:
    """A PV and its readback. A put changes both, unless `act` does what is to be done.

    Args:
        name: of the PV to put; the other one has `_RBV` at its end.
        value: at the start; its type is the type for good.
        what: what it is, in a few words.
        act: called with each accepted value; it is the one who posts. None posts at once.
        about: further arguments of `Pv`, for both.
    """

    def __init__(
        self,
        name: str,
        value: Value,
        what: str,
        act: Callable[[Any], Awaitable[None]] | None = None,
        **about: Any,
    ) -> None:
        takes = {"take" if isinstance(value, str) else "put": act or self._store}
        self._demand = Pv(name, value, what=what, **takes, **about)
        self._readback = Pv(f"{name}_RBV", value, what=f"{what}: what holds", **about)
        self.pvs = (self._demand, self._readback)

    @property
    def value(self) -> Any:
        """What holds."""
        return self._readback.value

    @property
    def choice(self) -> str:
        """The text of what holds, of an enumeration."""
        return self._readback.choices[int(self._readback.value)]

    def post(self, value: Value) -> None:
        """Let another value hold."""
        self._demand.post(value)
        self._readback.post(value)

    async def _store(self, value: Value) -> None:
        self.post(value)


def text(name: str, value: str, what: str, **more: Any) -> Setting:
    """A setting that is a text: a path, or part of one."""
    return Setting(name, value, what, room=LONGEST_PATH, **more)


def count(name: str, value: int, what: str, lowest: int = 0, **more: Any) -> Setting:
    """A setting that is a whole number."""
    return Setting(name, value, what, limits=(lowest, 2**31 - 1), **more)


def switch(name: str, value: int, what: str, off: str = "No", on: str = "Yes") -> Setting:
    """A setting that is one of two."""
    return Setting(name, value, what, choices=(off, on))
