"""A worker that is told to end does, also when a library swallows the first word."""

import subprocess
import sys

SCRIPT = """
import os, signal, time
from orchestrator import app

app.LEAVE_AGAIN_S = 0.2
signal.signal(signal.SIGTERM, app._leave)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
except BaseException:
    print("swallowed", flush=True)
try:
    time.sleep(10)
except SystemExit:
    print("left", flush=True)
    os._exit(0)  # at once: the next word would reach an interpreter that is half gone
"""


def test_who_is_still_there_is_told_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "swallowed\nleft\n"
