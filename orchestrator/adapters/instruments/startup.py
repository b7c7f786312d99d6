"""Runs a lab's startup: a script, or a folder of scripts in the order of their names.

All share one namespace, as IPython's startup folder does, and none is changed. It is made for the
worker, where nobody sits at a terminal: there is a RunEngine `RE` and there is no `get_ipython`.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

log = logging.getLogger(__name__)

MODULE = "labwright_startup"
"""Name of the module in which the scripts run: it is not ``__main__``."""

_OFFERED = "RE is there, get_ipython is not: a startup runs here without IPython"


class StartupFailed(Exception):
    """A script that raised, or took too long: where, and why."""


class Startup:
    """The namespace that all scripts of an instrument share.

    Args:
        offered: names that are there before the first script.
    """

    def __init__(self, offered: Mapping[str, Any]) -> None:
        self._module = ModuleType(MODULE)
        sys.modules[MODULE] = self._module  # dataclasses, pickles and the like look there
        self.names: dict[str, Any] = vars(self._module)
        """What the scripts have defined, by name."""
        self.names.update(offered)

    def run(self, path: Path, timeout_s: float) -> None:
        """Run a script, or every ``*.py`` of a folder.

        Raises:
            StartupFailed: naming the script and its line.
        """
        scripts = sorted(path.glob("*.py")) if path.is_dir() else [path]
        if not scripts:
            raise StartupFailed(f"no *.py in {path}")
        os.environ["MPLBACKEND"] = "Agg"  # nobody looks at a window of the worker
        limited(lambda: self._run_all(scripts), timeout_s, [str(script) for script in scripts])

    def _run_all(self, scripts: Iterable[Path]) -> None:
        for script in scripts:
            log.info("startup %s", script)
            self.names["__file__"] = str(script)
            try:
                code = compile(script.read_bytes(), str(script), "exec")
                exec(code, self.names)
            except SyntaxError as error:
                raise StartupFailed(f"{error.filename}:{error.lineno}: {error.msg}") from error
            except (Exception, SystemExit) as error:  # scripts may raise anything
                line = _last_line(error, str(script))
                text = f"{script}:{line}: {type(error).__name__}: {error}"
                hint = f" ({_OFFERED})" if _wants_ipython(script, line) else ""
                raise StartupFailed(f"{text}{hint}") from error


def limited(call: Callable[[], Any], timeout_s: float, files: Sequence[str] = ()) -> Any:
    """What a lab's own function gives, for which it has so many seconds of wall time.

    It runs in a thread of its own that can speak Channel Access.

    Raises:
        StartupFailed: it takes longer; with the line of ``files`` where it is.
        Exception: whatever the function raises.
    """
    from ophyd import get_cl

    ended: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((call(), None))
        except BaseException as error:  # noqa: B036 - it is raised again by whoever waits
            ended.append((None, error))

    thread = get_cl().thread_class(target=run, name="startup", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not ended:
        frame = sys._current_frames().get(thread.ident)  # noqa: SLF001 - documented, for this
        where = _place(frame, files)
        raise StartupFailed(f"{where}took longer than {timeout_s:g} s ('timeout_s')")
    value, error = ended[0]
    if error is not None:
        raise error
    return value


def _last_line(error: BaseException, file: str) -> int:
    """Line of the script that was at work when the error was raised; 0 when none was."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return (lines[-1] or 0) if lines else 0


def _place(frame: FrameType | None, files: Sequence[str]) -> str:
    while frame is not None:
        if frame.f_code.co_filename in files:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}: "
        frame = frame.f_back
    return ""


def _wants_ipython(script: Path, line: int) -> bool:
    lines = script.read_text(errors="replace").splitlines()
    return 0 < line <= len(lines) and "ipython" in lines[line - 1].lower()
