"""Where in the instrument file something stands, for messages of a process that did not read it."""

from pathlib import Path

from orchestrator.adapters.user_files.plain_yaml import Unreadable, dotted, parsed
from orchestrator.domain.spec import InstrumentSpec


def with_line(instrument: InstrumentSpec, place: str) -> str:
    """A place with file and line, where the file is still there to be read."""
    file = next((source.file for source in instrument.sources if source.file), None)
    if file is None:
        return place
    try:
        lines = {dotted(path): line for path, line in parsed(Path(file).read_bytes()).lines.items()}
    except (OSError, Unreadable):
        lines = {}
    above = place
    while above and above not in lines:
        above = above.rpartition(".")[0]
    line = f":{lines[above]}" if above else ""
    return f"{file}{line}: {place}"
