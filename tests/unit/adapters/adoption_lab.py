"""What a lab has already: RunEngines, devices and suspenders, for the tests of their adoption."""

from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from bluesky.suspenders import SuspendFloor
from bluesky.utils import Msg
from ophyd import Signal
from ophyd.sim import SynAxis

BEAM = Signal(name="beam", value=100.0)
STRANGER = SynAxis(name="stranger")
DONE: list[str] = []
"""What the plans of a suspender have done."""


def make_engine() -> RunEngine:
    """As at a terminal: with its handler of Ctrl-C, and metadata of the lab."""
    engine = RunEngine({"proposal": "2026-1", "sample": "gold"})
    engine.preprocessors.append(_also("x", 0.5))
    return engine


def make_wild_engine() -> RunEngine:
    engine = RunEngine({})
    engine.preprocessors.append(_also("x", 99.0))
    return engine


def make_straying_engine() -> RunEngine:
    engine = RunEngine({})

    def stray(plan: Any) -> Any:
        return bpp.finalize_wrapper(plan, bps.mv(STRANGER, 1.0))

    engine.preprocessors.append(stray)
    return engine


def make_angry_engine() -> RunEngine:
    def angry(name: str, document: Any) -> None:
        raise RuntimeError("subscriber")

    engine = RunEngine({})
    engine.subscribe(angry)
    return engine


def make_recording_engine() -> RunEngine:
    engine = RunEngine({})
    engine.preprocessors.append(bpp.SupplementalData(baseline=[STRANGER]))
    return engine


def make_none() -> None:
    return None


def _also(axis: str, value: float) -> Any:
    """A preprocessor that moves an axis of the device that is read, after each run has opened."""

    def preprocess(plan: Any) -> Any:
        detector = None

        def look(message: Msg) -> Any:
            nonlocal detector
            if message.command == "trigger" and detector is None:
                detector = message.obj
                move = bps.mv(getattr(detector.parent, axis), value)
                return bpp.pchain(move, _one(message)), None
            return None, None

        return bpp.plan_mutator(plan, look)

    return preprocess


def _one(message: Msg) -> Any:
    return (yield message)


def _note(word: str) -> Any:
    def plan() -> Any:
        DONE.append(word)
        yield from bps.null()

    return plan


def all_suspenders() -> list[Any]:
    return [SuspendFloor(BEAM, 10, pre_plan=_note("before"), post_plan=_note("after"))]


def make_mapping() -> dict[str, Any]:
    return {"stage": SynAxis(name="stage_axis"), "other": SynAxis(name="other")}


def make_list() -> list[Any]:
    return [SynAxis(name="stage"), SynAxis(name="other")]


def raises() -> None:
    raise OSError("no network")


def gives_none() -> None:
    return None


def stage() -> SynAxis:
    """A factory, as in a module of dodal."""
    return SynAxis(name="stage")


class _Built:
    """As dodal's decorated factories: it makes what the device depends on, too."""

    def build(self) -> SynAxis:
        return SynAxis(name="mirror")


mirror = _Built()
