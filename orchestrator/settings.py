"""One tree of settings: from ``LABWRIGHT_*`` in the environment, then the command line."""

from pathlib import Path

from pydantic import Field, PositiveFloat
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What may differ between a laptop, a test and a beamline. All times in seconds."""

    model_config = SettingsConfigDict(env_prefix="LABWRIGHT_", extra="ignore", frozen=True)

    data_dir: Path = Path("labwright-data")
    """Folder of everything that Labwright keeps."""
    redis_url: str | None = None
    """An existing server; None starts one of our own inside the data folder."""
    lab: str = Field(default="lab", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Prefix of all keys, so that several labs may share one server."""
    allow_unsafe_server: bool = False
    """True to use a server that may lose data; for tests."""
    lease_s: PositiveFloat = 30.0
    """Seconds that a lease lasts without renewal."""
    beat_s: PositiveFloat = 5.0
    """Seconds between renewals."""
    ledger_patience_s: PositiveFloat = 30.0
    """How long a process waits for a server that does not answer."""
    connect_timeout_s: PositiveFloat = 10.0
    """Longest time that the devices may take to connect."""
    plan_deadline_s: PositiveFloat = 3600.0
    """Longest time one plan may take before it is aborted."""
    suggestion_deadline_s: PositiveFloat = 60.0
    """Longest time the instrument may wait for a suggestion, at lookahead 1 or more."""
    time_compression: PositiveFloat | None = None
    """Lab seconds that pass on a twin in one second; None takes the twin's own."""
    log_level: str = "WARNING"
