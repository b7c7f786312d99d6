"""Shuts this process in, so that nothing it runs can reach an instrument.

EPICS clients find no server, ophyd has no Channel Access at all, no socket can be opened to the
outside, no program be started and no device file be written. What plans and devices hold in plain
memory is all that is left to them. It is for code that means well and may err; it is no prison for
malice.
"""

import os
import stat
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestrator.adapters.lab_code.plan_lines import line_of_caller
from orchestrator.domain.errors import told

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
_PROGRAMS: Mapping[str, int] = {
    "subprocess.Popen": 1,
    "os.system": 0,
    "os.exec": 0,
    "os.posix_spawn": 0,
    "os.spawn": 1,
    "pty.spawn": 0,
}
"""What starts a program, and which of its arguments names it."""


class Sealed(PermissionError):
    """Something tried to reach the outside from within a dry run."""


Tried = tuple[str, str | None]
"""What was refused, and the lab's ``file:line`` that tried it; None when a library did."""


def seal() -> list[Tried]:
    """From now on connections, programs and writes to device files are refused, without a way back.

    Returns:
        What was refused, as it happens: whoever tries may swallow the error.
    """
    tried: list[Tried] = []
    sys.addaudithook(partial(_refuse, tried))
    return tried


def _refuse(tried: list[Tried], event: str, arguments: tuple[Any, ...]) -> None:
    refused = _refused(event, arguments)
    if refused is not None:
        tried.append((told(refused), line_of_caller()))
        raise refused


def _refused(event: str, arguments: tuple[Any, ...]) -> Sealed | None:
    if event in _OUTWARD:
        address = arguments[1] if len(arguments) > 1 else None
        return Sealed(f"a connection to {address!r} was tried; in a dry run there is none")
    if event in _PROGRAMS:
        program = arguments[_PROGRAMS[event]]
        return Sealed(f"{_command(program)!r} was to be started; in a dry run no program is")
    if event == "open" and _is_device(arguments[0], arguments[2]):
        return Sealed(f"{arguments[0]!r} was opened; in a dry run no device file is")
    return None


def _command(program: Any) -> str:
    """A command as a person would type it."""
    words = [program] if isinstance(program, (str, bytes, os.PathLike)) else program
    return " ".join(os.fsdecode(word) for word in words)


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
