"""Since when the control link is lost, for other processes of this host to read.

The ledger cannot tell, and the data folder's disk may be full, so the file lies beside the
server's socket. It is told by one process and counts while that process lives.
"""

import contextlib
import json
import os
from pathlib import Path

from orchestrator.adapters.processes import child


def write_lost(folder: Path, since: float) -> None:
    """Tell that the link is lost since then (Unix seconds); what cannot be told is left out."""
    about = {"since": since, "pid": os.getpid(), "started": child.started_at(os.getpid())}
    temporary = folder / f".link-lost-{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(about))
        temporary.replace(folder / "link-lost.json")


def clear_lost(folder: Path) -> None:
    """Tell that the link is back."""
    with contextlib.suppress(OSError):
        (folder / "link-lost.json").unlink(missing_ok=True)


def lost_since(folder: Path) -> float | None:
    """Since when the link is lost, Unix time in seconds; None when nobody knows."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        about = json.loads((folder / "link-lost.json").read_text())
        if child.is_same_process(about["pid"], about["started"]):
            return float(about["since"])
    return None
