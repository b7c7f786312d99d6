"""What a worker is connected to: what the lab has, its devices, and the engine that runs plans.

Bluesky and ophyd are imported here, and so is the lab's own code.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.engines.engine import record
from orchestrator.adapters.engines.hosted_engine import HostedEngine
from orchestrator.adapters.engines.lab_suspenders import Suspensions
from orchestrator.adapters.engines.run_engine import EngineThread
from orchestrator.adapters.execution.adoption import Adopted, with_read_beside
from orchestrator.adapters.guard.budgets import Budgets
from orchestrator.adapters.guard.ioc_limits import compare
from orchestrator.adapters.instruments.instrument_devices import InstrumentDevices
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.spec import InstrumentSpec


@dataclass(frozen=True, slots=True)
class Connection:
    """All that an executor works with."""

    instrument: InstrumentSpec
    """The instrument file, with what the lab's own RunEngine reads beside each run."""
    devices: InstrumentDevices
    engine: EngineThread | HostedEngine
    lab: Adopted
    suspensions: Suspensions
    budgets: Budgets


def connect(
    instrument: InstrumentSpec,
    envelope: Envelope,
    data_dir: Path,
    owed: Path,
    *,
    instance: str | None,
    timeout_s: float,
    time_scale: float,
    session: HostedEngine | None,
) -> Connection:
    """Take over what the lab has, connect, and compare the servers' limits with the envelope.

    Args:
        instrument: the instrument file.
        envelope: the limits that every single setting must keep.
        data_dir: the data folder.
        owed: file of what suspenders want done before the next start.
        instance: id that the twin's server must give; None asks for none.
        timeout_s: seconds for all connections together.
        time_scale: seconds of lab time in one second.
        session: the RunEngine and the names of the lab's own session; None in a worker.

    Raises:
        DeviceUnavailable: listing all that failed, or naming what the lab's code did not give.
    """
    if session is not None:
        session.restore()
    lab = Adopted(instrument, session)
    suspensions = Suspensions(lab.engine, lab.suspenders, owed)
    if session is not None:
        session.rule(suspensions)
    instrument, adopted = with_read_beside(instrument, lab)
    devices = InstrumentDevices(
        instrument,
        instance,
        timeout_s,
        time_scale,
        adopted=adopted,
        suspenders=suspensions.conditions(time_scale),
        loop=lab.engine.loop,
    )
    compare(devices.all, instrument, envelope)
    budgets = Budgets(data_dir, instrument)
    baseline, monitors = map(devices.present, (instrument.baseline, instrument.monitors))
    engine: EngineThread | HostedEngine
    if session is None:
        record(lab.engine, baseline, monitors)
        engine = EngineThread(lab.engine)
    else:
        session.record(baseline, monitors)
        session.made.update(devices.all)
        engine = session
    return Connection(instrument, devices, engine, lab, suspensions, budgets)
