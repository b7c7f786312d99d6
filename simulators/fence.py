"""Who may drive a simulated instrument: the client that made the newest claim, and no other.

A Channel Access put says neither who sent it nor under which lease. So a driver first puts
``"<fence> <pid>"`` to ``LABWRIGHT:CLAIM``; the server binds that fence to the circuit the put came
through and, when it enforces, refuses every put from other circuits. A put that stops something is
never refused: anyone may stop.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.pv import PutRefused, Pv

CLAIM = "LABWRIGHT:CLAIM"
FENCE = "LABWRIGHT:FENCE"

Circuit = tuple[str, int]
"""Address and port of a client's connection."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a driver said when it began to drive."""

    fence: int
    pid: int
    circuit: Circuit


class Fence:
    """Binds fences to circuits, and writes down every put that would move something.

    Args:
        enforce: True refuses puts of all but the newest claim; False only takes notes.
        file: keeps the highest fence, so that after a restart only a higher claim may drive; None
            forgets it with the process.
        witness: gets one line of JSON for each claim and each put, on disk before the put acts:
            ``t`` (Unix seconds), ``server`` (pid), ``pv``, ``value``, ``accepted``, ``exempt``,
            ``circuit``, and ``fence`` and ``pid`` of the claim made through that circuit (None:
            none was). None writes nothing.
    """

    def __init__(
        self, *, enforce: bool = False, file: Path | None = None, witness: Path | None = None
    ) -> None:
        self._enforce = enforce
        self._file = file
        self._witness = None if witness is None else witness.open("ab", buffering=0)
        self._claims: dict[Circuit, Claim] = {}
        self._driver: Claim | None = None
        highest = _kept(file)
        self._fence = Pv(FENCE, highest, "", "highest fence claimed here")
        self.claim_pv = Pv(
            CLAIM, "", "", "'<fence> <pid>' of who drives from now on", put=self._unbound
        )
        self.pvs = (self.claim_pv, self._fence)

    @property
    def highest(self) -> int:
        """Highest fence ever claimed here."""
        return int(self._fence.value)

    def claim(self, text: str, circuit: Circuit) -> None:
        """Let this circuit drive from now on.

        Raises:
            PutRefused: not two numbers, or a higher fence was claimed before.
        """
        claim = _claim(text, circuit)
        accepted = not self._enforce or claim.fence > self.highest or self._is_driver(claim)
        if accepted:
            self._claims[circuit] = claim
            self._driver = claim
            if claim.fence > self.highest:
                _keep(self._file, claim.fence)
                self._fence.post(claim.fence)
            self.claim_pv.post(text)
        self._note(CLAIM, text, circuit, accepted, exempt=False)
        if not accepted:
            raise PutRefused(f"fence {claim.fence} is not above {self.highest}, claimed before")

    def admit(self, pv: Pv, value: Any, circuit: Circuit) -> None:
        """Pass when this circuit may put this.

        Raises:
            PutRefused: another one drives.
        """
        mine = self._claims.get(circuit)
        drives = self._driver is not None and mine == self._driver
        accepted = pv.anyone or drives or not self._enforce
        self._note(pv.name, value, circuit, accepted, exempt=pv.anyone)
        if not accepted:
            fence = f"fence {mine.fence}" if mine else "no claim"
            raise PutRefused(f"{pv.name}: {fence}, but {self.highest} drives")

    def forget(self, circuit: Circuit) -> None:
        """Drop the claim of a circuit that is closed: its port may come back as another client."""
        self._claims.pop(circuit, None)

    def _is_driver(self, claim: Claim) -> bool:
        """True when the driver has connected anew; nobody drives when the server is new."""
        driver = self._driver
        return driver is not None and (driver.fence, driver.pid) == (claim.fence, claim.pid)

    async def _unbound(self, _: float) -> None:
        raise PutRefused(f"{CLAIM} takes the text '<fence> <pid>'")

    def _note(self, pv: str, value: Any, circuit: Circuit, accepted: bool, *, exempt: bool) -> None:
        if self._witness is None:
            return
        mine = self._claims.get(circuit)
        line = {
            "t": time.time(),
            "server": os.getpid(),
            "pv": pv,
            "value": value,
            "accepted": accepted,
            "exempt": exempt,
            "circuit": f"{circuit[0]}:{circuit[1]}",
            "fence": mine.fence if mine else None,
            "pid": mine.pid if mine else None,
        }
        self._witness.write(json.dumps(line).encode() + b"\n")
        os.fsync(self._witness.fileno())


def _claim(text: str, circuit: Circuit) -> Claim:
    try:
        fence, pid = map(int, text.split())
    except ValueError:
        raise PutRefused(f"{CLAIM} is put {text!r}, not '<fence> <pid>'") from None
    return Claim(fence, pid, circuit)


def _kept(file: Path | None) -> int:
    try:
        return int(file.read_text()) if file else 0
    except FileNotFoundError:
        return 0


def _keep(file: Path | None, fence: int) -> None:
    if file is None:
        return
    part = file.with_name(f"{file.name}.part")
    with part.open("w") as written:
        written.write(f"{fence}\n")
        written.flush()
        os.fsync(written.fileno())
    part.replace(file)
