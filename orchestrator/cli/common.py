"""What all verbs share: the program itself, their common options, and the lab they speak to."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
    from orchestrator.settings import Settings


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("labwright")


app = App(
    name="labwright",
    version=_version,
    help="Run a self-driving laboratory: a campaign file goes in, better experiments come out.",
    version_flags=["--version"],
    help_format="plaintext",
)


@Parameter(name="*")
@dataclass
class Common:
    """Options that every verb takes."""

    data_dir: Path | None = None
    """Folder of everything that Labwright keeps (default: ./labwright-data)."""
    redis: str | None = None
    """Address of an existing Redis or Valkey server, instead of one of our own."""
    json: bool = False
    """Print one JSON object on standard output, and nothing else."""
    allow_unsafe_server: bool = False
    """Use a server that may lose data; for tests."""

    def settings(self) -> "Settings":
        """The settings tree with these options on top of the environment."""
        from orchestrator.settings import Settings

        given: dict[str, Any] = {}
        if self.data_dir is not None:
            given["data_dir"] = self.data_dir
        if self.redis is not None:
            given["redis_url"] = self.redis
        if self.allow_unsafe_server:
            given["allow_unsafe_server"] = True
        return Settings.from_environment(**given)

    def say(self, data: Mapping[str, Any], text: str) -> None:
        """The answer: as JSON, or as text for a person."""
        print(json.dumps(dict(data)) if self.json else text)


@contextmanager
def ledger_of(common: Common) -> "Iterator[tuple[Settings, RedisLedger]]":
    """The settings and the ledger of an existing lab, for one verb.

    Raises:
        Unusable: the data folder holds no lab.
    """
    from orchestrator.ledger_access import open_ledger

    settings = common.settings()
    with open_ledger(settings) as ledger:
        yield settings, ledger


def person() -> str:
    """Who gives the order: the name that the log keeps."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"


def live_processes(ledger: "RedisLedger") -> list[dict[str, Any]]:
    """The live processes of the lab."""
    from orchestrator.adapters.processes.child import is_same_process

    return [
        {"role": about["role"], "pid": pid, "instrument": about["instrument"]}
        for pid, about in sorted(ledger.processes().items())
        if is_same_process(pid, about["started"])
    ]


def listen_to_documents(settings: "Settings", state: Any, screen: Any) -> None:
    """Let the live display follow the documents of the running measurement."""
    from orchestrator.app import document_address
    from orchestrator.display import follow_documents

    follow_documents(document_address(settings, state.instrument), screen)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is being done, on one line that is gone afterwards."""
    is_shown = sys.stderr.isatty()

    def tell(text: str) -> None:
        if is_shown:
            sys.stderr.write(f"\r\033[K{text} ...")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if is_shown:
            sys.stderr.write("\r\033[K")
