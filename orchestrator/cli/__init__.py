"""The command line: parse, call, print; one module for each family of verbs.

Exit codes: 0 done; 1 the campaign failed, or nothing was measured; 2 wrong input or an unusable
resource; 3 needs a person; 130 interrupted. With ``--json`` standard output is one JSON
object, or one a line for streams, and nothing else; all talk goes to standard error.

Heavy modules are imported inside the verb that needs them: asking for the status must not load
an optimizer.
"""

from orchestrator.cli.common import app
from orchestrator.cli.main import main

__all__ = ["app", "main"]
