"""What a process of a test is given so that it finds one Channel Access server, and no other."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def only_server(port: int) -> dict[str, str]:
    """For the environment of a process that shall find the server at this port of this machine."""
    return {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }


def environment(port: int) -> dict[str, str]:
    """The whole environment of such a process: ours without its own settings of EPICS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
    return kept | only_server(port)
