"""A real lab for the nemesis: two instruments, two workers on each, and all that they need."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import redis

from orchestrator import service
from orchestrator.adapters.ledgers.embedded_server import prepare_folder, socket_folder
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.user_files.spec_files import read_campaign, read_instrument
from orchestrator.app import versions
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import from_fields
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.ledger_access import server_url
from orchestrator.parts import add_campaign, add_twin, add_worker
from orchestrator.settings import Settings
from orchestrator.supervisor import Part, Supervisor
from tests.chaos.log_file import LogFile
from tests.chaos.proxy import Proxy

INSTRUMENTS = ("reactor-a", "reactor-b")

LEASE_S = 1.5
BEAT_S = 0.3
TIME_COMPRESSION = 8000.0
RAMP = {"detector": "hplc", "steps": 2, "hold_s": 720.0}
"""With this plan a trial takes about a second, most of it between two commands."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one lab is put through."""

    gate: str
    """flock, fence_pv, or none for the control."""
    trials: int
    """On both instruments together."""
    seed: int
    appendfsync: str = "always"
    """When the server makes its log durable; ``everysec`` for the power cuts that lose events."""
    calm: float = 1.0
    """How many times rarer the blows are than in the long form."""


@dataclass
class ChaosLab:
    """The lab's processes, as a nemesis and an auditor see them."""

    terms: Terms
    settings: Settings
    ledger: RedisLedger
    """Straight to the server, not through a link that may be cut."""
    supervisor: Supervisor
    links: dict[str, Proxy]
    """By instrument: between its workers and the server."""
    log_file: LogFile
    stepping: threading.Lock = field(default_factory=threading.Lock)
    """Held while the supervisor looks: who takes it keeps the dead dead."""
    _known: Any = None
    """The server's process that was last seen to run."""

    @property
    def data_dir(self) -> Path:
        """Everything that the lab keeps."""
        return self.settings.data_dir

    @property
    def campaigns(self) -> tuple[str, ...]:
        """Ids of the campaigns, in the order of the instruments."""
        return INSTRUMENTS

    def witness(self, instrument: str) -> Path:
        """What the instrument's server has seen."""
        return self.data_dir / f"witness-{instrument}.jsonl"

    def parts(self, role: str) -> list[Part]:
        """The processes of a role that are there now."""
        return [part for part in self.supervisor.parts if part.role == role and part.is_alive()]

    def state(self, campaign_id: str) -> CampaignState:
        """The campaign's state now.

        Raises:
            LedgerError: the server is away.
        """
        return fold(self.ledger.events(campaign_id))

    def step(self) -> bool:
        """Supervise once; True when the server is a new one, ready and set up.

        Raises:
            LedgerError, redis.RedisError: the new server has died again.
            Unusable: a part cannot work here, or keeps dying.
        """
        with self.stepping:
            self.supervisor.step()
            self.log_file.look()
            server = self.supervisor.server
        if server is self._known:
            return False
        self.ledger.ping()
        self.ledger._redis.config_set("appendfsync", self.terms.appendfsync)
        self._known = server
        return True

    def open(self) -> None:
        """Start everything and open a campaign on each instrument."""
        give_up = time.monotonic() + 30
        campaigns = [self._campaign(name, place) for place, name in enumerate(INSTRUMENTS)]
        while True:
            try:
                self.step()
                for campaign, instrument in campaigns:
                    opened = service.opened(campaign, instrument, instrument.name, versions())
                    self.ledger.open_campaign(opened)
                break
            except (LedgerError, redis.RedisError):
                if time.monotonic() > give_up:
                    raise
        for _, instrument in campaigns:
            self._add_parts(instrument)

    def _campaign(self, name: str, place: int) -> tuple[CampaignSpec, InstrumentSpec]:
        shipped = files("simulators.flow_chemistry")
        campaign, _ = read_campaign(Path(str(shipped.joinpath("campaign.yaml"))))
        instrument, _ = read_instrument(Path(str(shipped.joinpath("instrument.yaml"))))
        seed = 2 * self.terms.seed + place
        data = campaign.with_run_options(trials=self.terms.trials // 2, seed=seed).to_data()
        plan = {"name": "tests.chaos.ramp.ramp", "args": RAMP}
        data |= {"instrument": name, "valid": [], "name": name, "plan": plan}
        data["optimizer"] |= {"method": "sobol", "lookahead": 1}
        # Deaths are what this is about: no trial may be given up because of them.
        data["policy"] |= {"attempts": 50, "crashes": 500}
        named = {**instrument.to_data(), "name": name, "gate": self.terms.gate}
        return CampaignSpec.from_data(data), InstrumentSpec.from_data(named)

    def _add_parts(self, instrument: InstrumentSpec) -> None:
        direct, name = self.settings, instrument.name
        linked = replace(direct, redis_url=f"unix://{link_socket(self.data_dir, name)}")
        add_worker(self.supervisor, linked, instrument, waits=True)
        add_worker(self.supervisor, linked, instrument, standby=True)
        add_campaign(self.supervisor, direct, name)
        seed = self.terms.seed
        add_twin(self.supervisor, direct, instrument, seed=seed, witness=self.witness(name))


def link_socket(data_dir: Path, instrument: str) -> Path:
    """Where the workers of an instrument find the server, through a link that can be cut."""
    return socket_folder(data_dir) / f"{instrument}.sock"


@contextmanager
def chaos_lab(terms: Terms, data_dir: Path) -> Iterator[ChaosLab]:
    """A lab that runs until the context ends; call its ``step`` all the time."""
    settings = Settings(
        data_dir=data_dir,
        lease_s=LEASE_S,
        beat_s=BEAT_S,
        time_compression=TIME_COMPRESSION,
        allow_unsafe_server=terms.appendfsync != "always",
    )
    prepare_folder(data_dir)
    server = Path(server_url(settings).removeprefix("unix://"))
    ledger = RedisLedger(server_url(settings), lab=settings.lab, patience_s=0.5)
    # Under a gate that lets others take over, a frozen worker is left to wake up and be refused.
    frozen_s = LEASE_S if terms.gate == "flock" else None
    supervisor = Supervisor(data_dir, ledger, embedded=True, frozen_s=frozen_s)
    links = {name: Proxy(link_socket(data_dir, name), server) for name in INSTRUMENTS}
    with closing(ledger):
        lab = ChaosLab(terms, settings, ledger, supervisor, links, LogFile(data_dir))
        try:
            lab.open()
            yield lab
        finally:
            supervisor.stop(5.0)
            for link in links.values():
                link.close()
            shutil.rmtree(socket_folder(data_dir))


def stored(lab: ChaosLab, campaign_id: str) -> tuple[CampaignState, dict[str, Any]]:
    """The fold of the log, and what the script decides by, read in one step of the server."""
    keys = lab.ledger._campaign_keys(campaign_id)
    pipe = lab.ledger._redis.pipeline(transaction=True)
    pipe.hgetall(keys[0]).xrange(keys[1]).lrange(keys[2], 0, -1).hgetall(keys[3])
    campaign, log, queue, trials = pipe.execute()
    state = fold([from_fields(event_id, fields) for event_id, fields in log])
    return state, {"campaign": campaign, "queue": queue, "trials": trials}
