"""Notes what a lab's code orders by itself while its devices are made: in a startup, say.

In a run that is done at every start of a worker, before anything asks whether it may move.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.lab_code.plan_lines import line_now
from orchestrator.adapters.walks.done import Done


@dataclass(frozen=True, slots=True)
class Order:
    """One order that the lab's code has given by itself."""

    text: str
    """What is called, and of what."""
    line: str | None
    """``file:line`` that gives it; None when no line of the lab's does."""
    may_move: bool
    """False for a write to a signal of what is no axis, such as an exposure time."""


@contextmanager
def noting_orders() -> Iterator[Collection[Order]]:
    """All orders to ophyd's devices, and all plans, that are given inside, each once.

    Nothing moves and no plan runs; a signal that is written to reads the new value.
    """
    import ophyd
    from bluesky.run_engine import RunEngine
    from ophyd.pseudopos import PseudoSingle
    from ophyd.sim import FakeEpicsSignal

    orders: dict[Order, None] = {}
    axes = (
        ophyd.positioner.PositionerBase,
        ophyd.SoftPositioner,
        ophyd.EpicsMotor,
        ophyd.PVPositioner,
        ophyd.PseudoPositioner,
        PseudoSingle,
    )

    def note(text: str, *, may_move: bool = True) -> None:
        orders[Order(text, line_now(), may_move)] = None

    def move(order: str) -> Callable[..., Any]:
        def ordered(self: Any, *_: Any, **__: Any) -> Done:
            note(f"{order}() of {self.name}")
            return Done()

        return ordered

    def write(order: str) -> Callable[..., Any]:
        def ordered(self: Any, value: Any, *_: Any, **__: Any) -> Done:
            owner = self if self.parent is None else self.parent
            note(f"{order}() of {self.name}", may_move=hasattr(owner, "set"))
            self.sim_put(value)
            return Done()

        return ordered

    def run(_: Any, plan: Any = None, *__: Any, **___: Any) -> tuple[str, ...]:
        note(f"RE() of {getattr(plan, '__name__', 'a plan')}")
        return ()

    with ExitStack() as stack:
        for axis in axes:
            for order in {"set", "move"} & vars(axis).keys():
                _replace(stack, axis, order, move(order))
        for order in ("set", "put"):
            _replace(stack, FakeEpicsSignal, order, write(order))
        _replace(stack, RunEngine, "__call__", run)
        yield orders


def _replace(stack: ExitStack, owner: type, name: str, instead: Callable[..., Any]) -> None:
    """Put something in the place of an attribute until the end of the stack."""
    before, is_own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, instead)
    if is_own:
        stack.callback(setattr, owner, name, before)
    else:
        stack.callback(delattr, owner, name)
