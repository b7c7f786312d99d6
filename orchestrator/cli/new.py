"""The verb that begins something new."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.adapters.user_files.scaffold import Kind
from orchestrator.cli.common import Common, app
from orchestrator.domain.errors import ExitCode


@app.command
def new(
    kind: Kind,
    name: str,
    /,
    *,
    folder: Annotated[Path, Parameter(name="--dir")] = Path(),
    common: Common | None = None,
) -> int:
    """Write the beginning of a plan, device, instrument, campaign or twin, with a passing test.

    Nothing is overwritten.

    Args:
        kind: plan, device, instrument, campaign or twin.
        name: Its name, in small letters: my_plan, my-campaign.
        folder: Folder to write into.
        common: Options of every verb.
    """
    from orchestrator.adapters.user_files.scaffold import write

    written = [str(path) for path in write(kind, name, folder)]
    (test,) = (path for path in written if Path(path).name.startswith("test_"))
    lines = [f"written: {', '.join(written)}", f"try it with: pytest {test}"]
    (common or Common()).say({"kind": kind, "name": name, "written": written}, "\n".join(lines))
    return ExitCode.DONE
