"""Starts a queueserver with all that it needs, as a lab has it: none of it is Labwright's.

Its packages are in an environment of their own, beside that of the tests: ``make test`` makes it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import zmq

from orchestrator.adapters.ledgers.embedded_server import _binary
from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient
from orchestrator.domain.spec import QueueserverSpec

HERE = Path(__file__).parent
ENVIRONMENT = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-queueserver")
"""Where ``make`` installs the queueserver."""
START_S = 60.0
PERMISSIONS = """
user_groups:
  root: {{allowed_plans: [null], allowed_devices: [null], allowed_functions: [null]}}
  primary: {{allowed_plans: [{plans}], allowed_devices: [null], allowed_functions: []}}
"""


class Beamline:
    """A Redis, a proxy for documents, a manager, and an environment that is open.

    Args:
        folder: for its files.
        encrypted: True to have the manager's control connection encrypted.
        startup: the script that makes devices and plans.
        plans: regular expression of the names of plans that users may run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        encrypted: bool = False,
        startup: Path = HERE / "startup.py",
        plans: str = "^measure|^count$|^raises|^blocks$|^three_runs|^moves_only|^dated",
    ) -> None:
        self.folder = folder
        self._startup = startup
        self._plans = plans
        self.witness = folder / "witness.jsonl"
        redis, control, inward, outward = (_free_port() for _ in range(4))
        public, secret = (key.decode() for key in zmq.curve_keypair())
        self.spec = QueueserverSpec(
            control=f"tcp://127.0.0.1:{control}",
            documents=f"tcp://127.0.0.1:{outward}",
            public_key=public if encrypted else None,
        )
        self.inward = f"127.0.0.1:{inward}"
        self._secret = secret if encrypted else None
        self._redis = f"127.0.0.1:{redis}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.client = QueueserverClient(self.spec)

    @classmethod
    def at(cls, folder: Path, spec: QueueserverSpec) -> Self:
        """One that another process has started."""
        found = cls(folder)
        found.spec = spec
        return found

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_all()

    def open_environment(self) -> None:
        """As ``qserver environment open`` does, until it is there."""
        self.client.ask("environment_open")
        self.await_status(lambda status: status["worker_environment_state"] == "idle")

    def abort(self) -> None:
        """As ``qserver re pause immediate`` and ``qserver re abort`` do, until it is over."""
        self.await_status(lambda status: status["re_state"] == "running")
        self.client.ask("re_pause", option="immediate")
        self.await_status(lambda status: status["manager_state"] == "paused")
        self.client.ask("re_abort")
        self.await_status(lambda status: status["manager_state"] == "idle")

    def await_status(self, is_reached: Any) -> dict[str, Any]:
        """The manager's status once it is as wanted."""
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            with contextlib.suppress(NoAnswer):
                status = self.client.status()
                if is_reached(status):
                    return status
            time.sleep(0.05)
        raise AssertionError(f"the queueserver did not get there: {self.said()}")

    def commands(self) -> list[tuple[str, Any]]:
        """What the stage was told, oldest first."""
        text = self.witness.read_text() if self.witness.exists() else ""
        return [tuple(json.loads(line)) for line in text.splitlines()]

    def await_command(self, count: int) -> None:
        """Until the stage was told so many things."""
        give_up = time.monotonic() + START_S
        while len(self.commands()) < count:
            assert time.monotonic() < give_up, self.said()
            time.sleep(0.02)

    def pid_of(self, role: str) -> int:
        """Process id of the ``manager`` or its RE ``worker``; both are children of a watchdog."""
        children = psutil.Process(self._processes[-1].pid).children()
        manager_first = sorted(children, key=lambda one: one.create_time())
        return manager_first[0 if role == "manager" else -1].pid

    def kill(self, role: str) -> None:
        """Kill the manager or its RE worker, as ``kill -9`` does."""
        os.kill(self.pid_of(role), signal.SIGKILL)

    def said(self) -> str:
        """The end of what the manager has printed."""
        return (self.folder / "start-re-manager.log").read_text()[-3000:]

    def _start_all(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self._redis.rpartition(":")[2]
        self._start([str(_binary()), "--port", port, "--bind", "127.0.0.1", "--save", ""])
        proxy = ["--in-address", f"tcp://{self.inward}", "--out-address", self.spec.documents]
        self._start([_program("bluesky-0MQ-proxy"), *proxy])
        (self.folder / "permissions.yaml").write_text(
            PERMISSIONS.format(plans=json.dumps(f":{self._plans}"))
        )
        lists = ["--user-group-permissions", str(self.folder / "permissions.yaml")]
        lists += ["--existing-plans-devices", str(self.folder / "lists.yaml")]
        self._start(
            [
                _program("start-re-manager"),
                *("--startup-script", str(self._startup), *lists),
                *("--redis-addr", self._redis, "--zmq-control-addr", self.spec.control),
                *("--zmq-info-addr", f"tcp://127.0.0.1:{_free_port()}"),
            ]
        )
        self.await_status(lambda status: True)
        self.open_environment()

    def _start(self, command: list[str]) -> None:
        about = {"WITNESS": str(self.witness), "PUBLISH_TO": self.inward}
        if self._secret is not None:
            about["QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER"] = self._secret
        with (self.folder / f"{Path(command[0]).name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **about, "IPYTHONDIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _stop_all(self) -> None:
        self.client.close()
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _program(name: str) -> str:
    path = ENVIRONMENT / "bin" / name
    assert path.is_file(), f"{path} is missing: 'make test' installs the queueserver there"
    return str(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
