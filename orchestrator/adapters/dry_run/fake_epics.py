"""Fakes in the place of everything by which this process would speak to an EPICS server."""

from collections.abc import Callable, Mapping
from typing import Any

Report = Callable[[str, str], None]
"""Is told the path of a device, or the name of a PV, and the method by which it was ordered
outside the messages."""


def put_fakes_in_place(values: Mapping[str, Any]) -> None:
    """Make every EPICS signal that this process creates from now on a fake.

    Before any module with devices or plans is imported: what they import from ophyd are the fakes.

    Args:
        values: what signals read at first, by the name of their PV; the others read 0.
    """
    import ophyd
    from ophyd import sim

    make = sim.FakeEpicsSignal.__init__

    def named(self: Any, read_pv: str, write_pv: str | None = None, **kwargs: Any) -> None:
        make(self, read_pv, write_pv, **kwargs)
        self.pvname, self.setpoint_pvname = read_pv, write_pv or read_pv
        unknown = "" if kwargs.get("string") else 0
        self.sim_put(values.get(read_pv, unknown))

    sim.FakeEpicsSignal.__init__ = named  # pyright: ignore[reportAttributeAccessIssue]
    fakes = sim.fake_device_cache
    fakes[ophyd.EpicsSignalNoValidation] = sim.FakeEpicsSignal
    for real in list(fakes):
        for module in (ophyd, ophyd.signal):
            if getattr(module, real.__name__, None) is real:
                setattr(module, real.__name__, fakes[real])
    create = ophyd.Component.create_component

    def create_fake(self: Any, instance: Any) -> Any:
        self.cls = fakes.get(self.cls, self.cls)  # ophyd's own devices name the real ones
        return create(self, instance)

    ophyd.Component.create_component = create_fake


def watch_epics(report: Report) -> None:
    """Report what is put by pyepics itself, past all devices; it finds no server in any case."""
    try:
        import epics
    except ImportError:
        return

    def caput(pvname: str, *_: Any, **__: Any) -> None:
        report(pvname, "caput")

    def put(self: Any, *_: Any, **__: Any) -> None:
        report(self.pvname, "put")

    epics.caput = caput
    epics.PV.put = put  # pyright: ignore[reportAttributeAccessIssue]
