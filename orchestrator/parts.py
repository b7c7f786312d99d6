"""The processes that a supervisor may keep: with which arguments and settings each is started."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.domain.spec import InstrumentSpec, TableTwinSpec
from orchestrator.settings import Settings
from orchestrator.supervisor import Supervisor


def spec_digest(instrument_spec: Mapping[str, Any]) -> str:
    """The same for two workers when they own an instrument by the same file and mode."""
    text = json.dumps(dict(instrument_spec), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def add_worker(
    supervisor: Supervisor,
    settings: Settings,
    instrument: InstrumentSpec,
    *,
    waits: bool = False,
    standby: bool = False,
) -> None:
    """A worker; one that ``waits`` does so while another drives, a ``standby`` is the second."""
    spec = instrument.to_data()
    arguments = [json.dumps(spec), *(["--standby"] if waits or standby else [])]
    about = {"spec": spec_digest(spec)}
    environment = _environment(settings)
    supervisor.add("worker", instrument.name, arguments, environment, about, standby=standby)


def add_campaign(supervisor: Supervisor, settings: Settings, campaign_id: str) -> None:
    """The process that proposes a campaign's trials."""
    supervisor.add("campaign", campaign_id, [campaign_id], _environment(settings))


def add_twin(
    supervisor: Supervisor,
    settings: Settings,
    instrument: InstrumentSpec,
    *,
    seed: int = 0,
    witness: Path | None = None,
) -> None:
    """The server of the instrument's twin; nothing when it needs none.

    Add it last: its start is waited for, and the worker loads meanwhile.
    """
    if not instrument.is_served or instrument.twin is None:
        return
    arguments = [*_twin_arguments(instrument.twin), "--seed", str(seed)]
    if settings.time_compression is not None:
        arguments += ["--time-compression", str(settings.time_compression)]
    if settings.faults is not None:
        arguments += ["--faults", str(settings.faults.resolve())]
    if instrument.gate == "fence_pv":
        folder = settings.data_dir.resolve() / "locks"
        folder.mkdir(exist_ok=True)
        arguments += ["--fence-file", str(folder / f"{instrument.name}.fence")]
    if witness is not None:
        arguments += ["--witness", str(witness)]
    supervisor.add_twin(instrument.name, arguments, _environment(settings))


def _twin_arguments(twin: str | TableTwinSpec) -> list[str]:
    """How the server of the twins is told which one is meant."""
    if isinstance(twin, TableTwinSpec):
        return ["--table", twin.table, "--header", twin.header]
    return [twin.replace("_", "-")]


def add_notifier(supervisor: Supervisor, settings: Settings) -> None:
    """The process that calls for help: one for the whole lab."""
    supervisor.add("notifier", "lab", ["lab"], _environment(settings), is_bystander=True)


def _environment(settings: Settings) -> dict[str, str]:
    """What a child must be told of these settings; the rest it inherits from this process."""
    return {
        "LABWRIGHT_DATA_DIR": str(settings.data_dir.resolve()),
        "LABWRIGHT_LEASE_S": str(settings.lease_s),
        "LABWRIGHT_BEAT_S": str(settings.beat_s),
        **({"LABWRIGHT_REDIS_URL": settings.redis_url} if settings.redis_url else {}),
        **({"LABWRIGHT_ALLOW_UNSAFE_SERVER": "1"} if settings.allow_unsafe_server else {}),
    }
