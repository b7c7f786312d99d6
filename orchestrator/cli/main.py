"""The program: parse, call the verb, and end with its exit code."""

import json
import os
import sys

from cyclopts import CycloptsError

# To import a family registers its verbs; this order is that of the answer to an unknown verb.
from orchestrator.cli import run, status, look, order, mend, verify, rehearse, new, serve  # noqa: F401  # isort: skip
from orchestrator.cli.common import app
from orchestrator.domain.errors import ExitCode, LabError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    tokens = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        code = _complain(tokens, str(error))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (``labwright results | head``): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if not isinstance(error, LabError):
            raise
        code = _complain(tokens, str(error))
    sys.exit(code or 0)


def _complain(tokens: list[str], message: str) -> int:
    """Say what is wrong on standard error, and on standard output too when JSON is wanted."""
    sys.stderr.write(f"labwright: {message}\n")
    if "--json" in tokens:
        print(json.dumps({"error": message, "exit_code": ExitCode.WRONG}))
    return ExitCode.WRONG
