"""As much of an init as the documented units need: start, watch, start again by their own rules."""

import configparser
import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.lab import descendants


@dataclass(frozen=True)
class Unit:
    """A service as its file describes it."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    restart: str
    restart_s: float
    good: frozenset[int]
    """Exit codes that count as success."""
    final: frozenset[int]
    """Exit codes after which it is not started again."""
    most_starts: int
    """Starts in a row before it is given up; 0 for any number."""

    def comes_back(self, code: int) -> bool:
        """Whether it is started again after it ended with this code."""
        if code in self.final or self.restart == "no":
            return False
        return self.restart == "always" or code not in self.good


def read_unit(file: Path, instance: str, places: Mapping[str, str]) -> Unit:
    """The unit in a file; ``places`` says what stands for the paths in it."""
    text = file.read_text()
    for there, here in places.items():
        text = text.replace(there, here)
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read_string(text.replace("%i", instance))
    service = parser["Service"]
    environment: dict[str, str] = {}
    if "EnvironmentFile" in service:
        lines = Path(service["EnvironmentFile"]).read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    return Unit(
        name=file.name.replace("@", f"@{instance}"),
        command=shlex.split(service["ExecStart"]),
        environment=environment,
        restart=service.get("Restart", "no"),
        restart_s=float(service.get("RestartSec", "0.1")),
        good=frozenset({0, *map(int, service.get("SuccessExitStatus", "").split())}),
        final=frozenset(map(int, service.get("RestartPreventExitStatus", "").split())),
        most_starts=int(parser["Unit"].get("StartLimitBurst", "0")),
    )


@dataclass
class Running:
    """A unit that is to run."""

    unit: Unit
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    not_before: float = 0.0
    is_left: bool = False
    """True when it has ended and is not started again."""

    def look(self, environment: Mapping[str, str]) -> None:
        """Start it when it is due, note its end when it has ended."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.process = None
            self.not_before = time.monotonic() + self.unit.restart_s
            self.is_left = not self.unit.comes_back(code)
        if self.is_left or self.process is not None or time.monotonic() < self.not_before:
            return
        self.starts += 1
        assert not self.unit.most_starts or self.starts <= self.unit.most_starts, self.unit.name
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.unit.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment, **self.unit.environment},
                start_new_session=True,
            )


@dataclass
class Init:
    """A host: it boots, keeps its units, and is cut off from its power."""

    folder: Path
    environment: Mapping[str, str]
    running: list[Running] = field(default_factory=list[Running])

    def boot(self, units: list[Unit]) -> None:
        """Forget what was; the units are started in this order."""
        self.running = [Running(unit, self.folder / f"{unit.name}.log") for unit in units]

    def look(self) -> None:
        """Keep every unit; call it again and again."""
        for one in self.running:
            one.look(self.environment)

    def cut_power(self) -> None:
        """Every process of every unit is gone, at once and without a word."""
        mains = [one.process for one in self.running if one.process is not None]
        family = [relative for main in mains for relative in descendants(main.pid)]
        for main in mains:
            main.kill()
        for relative in family:
            if relative.is_running():
                os.kill(relative.pid, 9)
        for main in mains:
            main.wait()
        for one in self.running:
            one.process, one.is_left = None, True
