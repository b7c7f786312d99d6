"""CPU seconds of the verbs that a person types many times a day."""

import resource
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.system.lab import LABWRIGHT, environment


def measure(seeds: int = 7, trials: int = 2) -> dict[str, Any]:
    """Least CPU seconds of ``--help``, and of ``status`` beside a live server."""
    from orchestrator.adapters.ledgers.embedded_server import ensure_server
    from orchestrator.adapters.processes import child

    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        run = [LABWRIGHT, "run", "soft", "--trials", str(trials), "--data-dir", folder, "--json"]
        subprocess.run(run, check=True, capture_output=True, env=environment())
        live = ensure_server(data_dir)
        try:
            status = ["status", "--data-dir", folder]
            rows = [
                {"help_s": _cpu_s(["--help"]), "status_s": _cpu_s(status)} for _ in range(seeds)
            ]
        finally:
            if live.process is not None:
                child.end(live.process, 5.0)
    figures = {key: min(row[key] for row in rows) for key in ("help_s", "status_s")}
    bars = {"help_s": ["<=", 0.7], "status_s": ["<=", 0.5]}
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def _cpu_s(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([LABWRIGHT, *arguments], check=True, capture_output=True, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
