"""Shuts this process in, so that nothing it runs can reach an instrument.

EPICS clients find no server, ophyd has no Channel Access at all, no socket can be opened to the
outside and no device file can be written. What plans and devices hold in plain memory is all that
is left to them. It is for code that means well and may err; it is no prison for malice.
"""

import os
import stat
import sys
from collections.abc import Mapping
from typing import Any

ENVIRONMENT: Mapping[str, str] = {
    "OPHYD_CONTROL_LAYER": "dummy",
    "EPICS_CA_ADDR_LIST": "",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CA_NAME_SERVERS": "",
    "EPICS_CA_SERVER_PORT": "1",
    "EPICS_CA_REPEATER_PORT": "1",
    "EPICS_PVA_ADDR_LIST": "",
    "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    "EPICS_PVA_NAME_SERVERS": "",
    "EPICS_PVA_BROADCAST_PORT": "1",
    "TANGO_HOST": "localhost:1",
    "OMP_NUM_THREADS": "1",
}
"""For the process, before it starts: nobody serves at port 1."""

_OUTWARD = ("socket.connect", "socket.sendto", "socket.sendmsg")


class Sealed(PermissionError):
    """Something tried to reach the outside from within a dry run."""


def seal() -> None:
    """From now on a connection and a write to a device file are refused; there is no way back."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _OUTWARD:
        address = arguments[1] if len(arguments) > 1 else None
        raise Sealed(f"a connection to {address!r} was tried; in a dry run there is none")
    if event == "open" and _is_device(arguments[0], arguments[2]):
        raise Sealed(f"{arguments[0]!r} was opened; in a dry run no device file is")


def _is_device(path: Any, flags: Any) -> bool:
    """True for a character device, such as a serial port, that would be written."""
    if not isinstance(path, (str, bytes, os.PathLike)) or not isinstance(flags, int):
        return False
    name = os.fsdecode(path)
    if not name.startswith("/dev/") or name in ("/dev/null", "/dev/tty"):
        return False
    try:
        return bool(flags & (os.O_WRONLY | os.O_RDWR)) and stat.S_ISCHR(os.stat(name).st_mode)
    except OSError:
        return False
