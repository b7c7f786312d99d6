"""``python -m orchestrator.cli`` is ``labwright``."""

from orchestrator.cli import main

main()
