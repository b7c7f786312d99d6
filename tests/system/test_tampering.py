"""Whatever is done to a campaign's record, ``verify`` finds it and says what it is.

One short campaign is measured. Each test gets a copy of its log (under other keys of one server)
and of its files, does something to it, and verifies the copy. The forger of the second half knows
how the chain is made and writes it anew, head included.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator.adapters.ledgers.embedded_server import ensure_server
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess
from orchestrator.adapters.processes import child
from orchestrator.adapters.reduction.reducer import DocumentReducer
from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.domain.chain import CHAIN, Entry, Head, link
from orchestrator.domain.proposal import Knowledge, Suggestion
from orchestrator.domain.recomputation import Grade
from orchestrator.domain.verification import Divergence, Verdict
from orchestrator.ports import Reducer
from orchestrator.verification import Check, WrittenHead, kept_heads
from tests.system.branin_lab import ID, REDUCER, environment_of
from tests.system.lab import answer, live_state, start, wait_for, write

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def url(branin_lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a copy of the finished campaign."""
    data_dir = tmp_path_factory.mktemp("server") / "data"
    shutil.copytree(branin_lab / "data", data_dir)
    live = ensure_server(data_dir)
    assert live.process is not None
    yield live.url
    child.end(live.process, 5.0)


class RememberingModel:
    """The model, asked once for each state of knowledge: its answer cannot differ."""

    def __init__(self) -> None:
        self._process = OptimizerProcess("ax")
        self._answers: dict[str, Suggestion] = {}

    def suggest(self, known: Knowledge) -> Suggestion:
        key = repr(replace(known, basis=""))
        if key not in self._answers:
            self._answers[key] = self._process.suggest(known)
        return self._answers[key]

    def close(self) -> None:
        self._process.close()


@pytest.fixture(scope="module")
def model() -> Iterator[RememberingModel]:
    remembering = RememberingModel()
    yield remembering
    remembering.close()


@dataclass
class Copy:
    """A copy of the campaign, to be tampered with."""

    folder: Path
    data_dir: Path
    ledger: RedisLedger
    model: RememberingModel
    entries: list[Entry]

    @property
    def results(self) -> Path:
        return self.data_dir / "campaigns" / ID

    def place(self, kind: str, trial: int | None = None) -> int:
        """Where the first entry of this type about this trial stands."""
        for place, entry in enumerate(self.entries):
            if entry.fields["type"] == kind and trial in (None, about(entry)):
                return place
        raise AssertionError(f"there is no {kind} of trial {trial}")

    def id(self, kind: str, trial: int | None = None) -> str:
        return self.entries[self.place(kind, trial)].id

    def edit(self, kind: str, trial: int | None, change: Callable[[Any], object]) -> None:
        """Change the data of an entry."""
        place = self.place(kind, trial)
        fields = dict(self.entries[place].fields)
        data = json.loads(fields["data"])
        change(data)
        fields["data"] = json.dumps(data, separators=(",", ":"))
        self.entries[place] = Entry(self.entries[place].id, fields)

    def document(self, trial: int) -> Path:
        (path,) = (self.data_dir / "runs" / ID).glob(f"{trial:05d}-*")
        return path

    def chain_anew(self) -> None:
        """What a forger does who can write everywhere in the data folder."""
        before, chained = Head(), list[Entry]()
        for entry in self.entries:
            fields = {**entry.fields, CHAIN: link(before, entry.fields)}
            chained.append(Entry(entry.id, fields))
            before = Head(entry.id, fields[CHAIN])
        self.entries = chained
        key = self.ledger._campaign_keys(ID)[0]
        self.ledger._redis.hset(key, mapping={"chain": before.chain, "last": before.id})
        summary = self.results / "summary.json"
        if summary.exists():
            summary.write_text(json.dumps({**json.loads(summary.read_text()), "head": str(before)}))

    def store(self) -> None:
        log = self.ledger._campaign_keys(ID)[1]
        self.ledger._redis.delete(log)
        for entry in self.entries:
            self.ledger._redis.xadd(log, dict(entry.fields), id=entry.id)  # type: ignore[arg-type]

    def verify(self, head: Head | None = None, reducer: Reducer | None = None) -> Verdict:
        self.store()
        heads = [
            *kept_heads(self.data_dir, ID),
            *([WrittenHead(head, "a notebook")] if head else []),
        ]
        used: Any = reducer or DocumentReducer(self.data_dir)  # no process of its own: quick
        stored = self.ledger.stored(ID)
        return Check(self.data_dir, ID, stored, heads, used, self.model).all()


def about(entry: Entry) -> int | None:
    number = entry.fields.get("trial_id") or json.loads(entry.fields["data"]).get("trial_id")
    return None if number is None else int(number)


@pytest.fixture
def copy(
    branin_lab: Path, url: str, model: RememberingModel, tmp_path: Path, lab_name: str
) -> Iterator[Copy]:
    data_dir = tmp_path / "data"
    for part in ("runs", "campaigns"):
        shutil.copytree(branin_lab / "data" / part, data_dir / part)
    raw = redis.Redis.from_url(url)
    for key in list(raw.scan_iter(f"{{lab}}:c:{ID}*")):
        raw.restore(key.replace(b"{lab}", f"{{{lab_name}}}".encode()), 0, raw.dump(key))  # type: ignore[arg-type]
    raw.close()
    ledger = RedisLedger(url, lab=lab_name, patience_s=5)
    entries = list(ledger.stored(ID).entries)
    yield Copy(branin_lab, data_dir, ledger, model, entries)
    ledger.close()


# What may be done to it


def change_outcome(copy: Copy) -> None:
    copy.edit("measured", 3, lambda data: data["outcomes"].update(branin=[1.25, None, ""]))


def change_parameter(copy: Copy) -> None:
    copy.edit("proposed", 2, lambda data: data["parameters"].update(x=1.25))


def change_seed(copy: Copy) -> None:
    copy.edit("proposed", 7, lambda data: data.update(seed=1))


def remove_event(copy: Copy) -> None:
    del copy.entries[copy.place("measured", 3)]


def reorder(copy: Copy) -> None:
    one, other = copy.place("leased", 4), copy.place("started", 4)
    entries = copy.entries
    first, second = entries[one], entries[other]
    entries[one] = Entry(first.id, second.fields)
    entries[other] = Entry(second.id, first.fields)


def forge(copy: Copy) -> None:
    place = copy.place("acquired", 3)
    before = copy.entries[place]
    milliseconds, _, number = before.id.partition("-")
    data = {"by": "ann", "text": "I looked at it, all is well", "key": "n"}
    fields = {**before.fields, "type": "noted", "data": json.dumps(data)}
    copy.entries.insert(place + 1, Entry(f"{milliseconds}-{int(number) + 1}", fields))


def edit_document(copy: Copy) -> None:
    lines = [json.loads(line) for line in copy.document(3).read_text().splitlines()]
    (event,) = (document for name, document in lines if name == "event")
    event["data"]["bench_det"] += 1.0
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    copy.document(3).write_text(text)


def change_spec_file(copy: Copy) -> None:
    file = copy.results / "campaign.json"
    spec = json.loads(file.read_text())
    spec["parameters"]["x"]["range"] = [-5, 9]
    file.write_text(json.dumps(spec))


def change_spec(copy: Copy) -> None:
    copy.edit("opened", None, lambda data: data["spec"]["optimizer"].update(seed=8))
    for name in ("campaign.json", "instrument.json"):
        (copy.results / name).unlink()


def cut(copy: Copy) -> None:
    del copy.entries[copy.place("measured", 6) :]


def at(kind: str, trial: int | None) -> Callable[[Copy], str]:
    return lambda copy: copy.id(kind, trial)


@dataclass
class Case:
    """A way to tamper, and what is found: where at first, and what in all."""

    tamper: Callable[[Copy], None]
    where: Callable[[Copy], str]
    first: str
    """What diverges at the first place."""
    also: tuple[str, ...] = ()
    """What diverges further on, or at the same place."""


CASES = {
    "an outcome is changed": Case(
        change_outcome, at("measured", 3), "chain", ("outcome branin", "parameter x")
    ),
    "a parameter is changed": Case(change_parameter, at("proposed", 2), "chain", ("parameter x",)),
    "a seed is changed": Case(change_seed, at("proposed", 7), "chain", ("seed",)),
    "an event is removed": Case(remove_event, at("acquired", 3), "state", ("chain", "parameter x")),
    "events are reordered": Case(reorder, at("leased", 4), "chain", ("state",)),
    "an event is forged": Case(forge, lambda copy: forged_id(copy), "chain"),
    "a document is edited": Case(
        edit_document, at("acquired", 3), "documents", ("outcome branin",)
    ),
    "the results folder has another spec": Case(
        change_spec_file, at("opened", None), "campaign parameters.x.range"
    ),
    "the spec is changed": Case(change_spec, at("opened", None), "chain", ("seed", "parameter x")),
    "the log is cut": Case(cut, lambda copy: last_before(copy), "chain", ("head", "status")),
}


def forged_id(copy: Copy) -> str:
    milliseconds, _, number = copy.id("acquired", 3).partition("-")
    return f"{milliseconds}-{int(number) + 1}"


def last_before(copy: Copy) -> str:
    return copy.entries[copy.place("measured", 6) - 1].id


def first_is(verdict: Verdict, where: str, what: str) -> Divergence:
    first = verdict.divergences[0]
    assert (first.event_id, first.what) == (where, what), first.sentence
    assert verdict.grade is None
    return first


@pytest.mark.parametrize("name", CASES)
def test_what_was_done_to_the_record_is_found(copy: Copy, name: str) -> None:
    case = CASES[name]
    where = case.where(copy)
    case.tamper(copy)
    verdict = copy.verify()
    print("\n".join(one.sentence for one in verdict.divergences))
    first_is(verdict, where, case.first)
    assert set(case.also) <= {one.what for one in verdict.divergences}


def test_a_reducer_that_was_changed_is_named(copy: Copy, branin_lab: Path) -> None:
    write(
        branin_lab,
        "lab_reducers.py",
        REDUCER.replace("def branin(runs):", "def branin(runs):  # new"),
    )
    reducer = ReducerProcess(copy.data_dir)
    try:
        harmless = copy.verify(reducer=reducer)
        reducer.close()  # a new one reads the file again
        write(branin_lab, "lab_reducers.py", REDUCER.replace("float(runs", "1.5 + float(runs", 1))
        verdict = copy.verify(reducer=reducer)
    finally:
        reducer.close()
        write(branin_lab, "lab_reducers.py", REDUCER)
    assert harmless.grade is Grade.BITWISE, "it gives the same: that is all that counts"
    first = first_is(verdict, copy.id("measured", 1), "outcome branin")
    assert "the reducer lab_reducers.branin has changed" in first.reason
    assert {one.trial_id for one in verdict.divergences} == set(range(1, 8))
    assert verdict.counts["proposals"] == {"bitwise": 7}, "they follow from what was recorded"


def test_control_what_nobody_touched_is_verified_bitwise(copy: Copy) -> None:
    verdict = copy.verify()
    assert verdict.grade is Grade.BITWISE, verdict.divergences
    assert verdict.counts["outcomes"] == verdict.counts["proposals"] == {"bitwise": 7}
    assert [one.question.event.source for one in verdict.proposals][-2:] == ["model"] * 2


# A forger who makes the chain anew


def edit_document_and_its_hash(copy: Copy) -> None:
    edit_document(copy)
    digest = hashlib.sha256(copy.document(3).read_bytes()).hexdigest()
    copy.edit("acquired", 3, lambda data: data.update(sha256=digest))


def hand_in_an_outcome(copy: Copy) -> None:
    """As if the data were reduced elsewhere, where nothing can be recomputed."""
    change_outcome(copy)
    copy.edit("measured", 3, lambda data: data.update(by="ann"))


def call_it_a_sentinel(copy: Copy) -> None:
    """No optimizer computes where a sentinel is measured."""
    copy.edit("proposed", 7, lambda data: data.update(source="sentinel"))


DEEPER = {
    "an outcome is handed in": Case(hand_in_an_outcome, at("measured", 3), "by"),
    "a proposal is called a sentinel": Case(call_it_a_sentinel, at("proposed", 7), "source"),
    "an outcome is changed": Case(change_outcome, at("measured", 3), "outcome branin"),
    "a parameter is changed": Case(change_parameter, at("proposed", 2), "parameter x"),
    "a seed is changed": Case(change_seed, at("proposed", 7), "seed"),
    "a document is edited": Case(edit_document_and_its_hash, at("measured", 3), "outcome branin"),
    "the spec is changed": Case(change_spec, at("proposed", 1), "seed", ("parameter x",)),
    "an event is removed": Case(remove_event, at("acquired", 3), "state", ("parameter x",)),
    "the log is cut": Case(cut, lambda copy: last_before(copy), "status", ("state",)),
}


@pytest.mark.parametrize("name", DEEPER)
def test_a_forger_who_makes_the_chain_anew_is_found_by_computing(copy: Copy, name: str) -> None:
    case = DEEPER[name]
    where = case.where(copy)
    case.tamper(copy)
    copy.chain_anew()
    verdict = copy.verify()
    print("\n".join(one.sentence for one in verdict.divergences))
    first = first_is(verdict, where, case.first)
    found = {one.what for one in verdict.divergences}
    assert set(case.also) <= found
    assert not {"chain", "head"} & found
    if first.what.startswith(("outcome", "parameter")):
        assert "same" in first.reason


def test_a_head_that_was_written_down_finds_what_nothing_else_can(copy: Copy) -> None:
    """A note is true or not, and nothing follows from it: only the chain protects it."""
    head = copy.ledger.stored(ID).head
    forge(copy)
    copy.chain_anew()
    assert copy.verify().grade is Grade.BITWISE
    first = copy.verify(head).divergences[0]
    assert (first.what, first.recorded) == ("head", head.chain)
    assert "written anew, or cut" in first.reason


def test_a_table_that_people_read_and_somebody_changed_is_found(copy: Copy) -> None:
    table = copy.results / "results.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows[:-1], rows[-1].replace("model", "person", 1), ""]))
    (found,) = copy.verify().divergences
    assert found.what == "results.csv, source of trial 7"
    assert (found.recorded, found.found) == ("model", "person")
    for rewritten, told in (
        ([*rows[:-1], ""], ("measured", "no row")),
        ([*rows, rows[-1], ""], ("no row", "measured")),
        ([*rows, rows[-1].replace("7,", "99,", 1), ""], ("no row", "measured")),
    ):
        table.write_text("\n".join(rewritten))
        (found,) = copy.verify().divergences
        assert (found.recorded, found.found) == told
    table.unlink()
    (copy.results / "summary.json").unlink()
    verdict = copy.verify()
    assert verdict.grade is Grade.BITWISE
    assert [note.split(":")[0] for note in verdict.notes] == [
        "no head of this log was kept elsewhere",
        "there is no table of results to compare with the log",
    ]


def test_the_head_in_the_results_folder_is_compared(copy: Copy) -> None:
    forge(copy)
    kept = (copy.results / "summary.json").read_text()
    copy.chain_anew()
    (copy.results / "summary.json").write_text(kept)
    assert [one.what for one in copy.verify().divergences] == ["head"]


# As a person does it


@pytest.mark.slow
def test_verify_says_what_it_found_and_scripts_can_tell(branin_lab: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(branin_lab / "data", data_dir)
    verify = partial(answer, "verify", "--data-dir", str(data_dir), **environment_of(branin_lab))
    good = verify()
    assert (good["campaign_id"], good["verified"], good["divergences"]) == (ID, "bitwise", [])
    assert "is no head" in verify("--head", "7", code=2)["error"]
    assert "no campaign 'branin-2'" in verify("branin-2", code=2)["error"]

    (document,) = (data_dir / "runs" / ID).glob("00003-*")
    text = document.read_text()
    document.write_text(text.replace('"exit_status":"success"', '"exit_status":"ok"'))
    bad = verify("--head", good["head"], code=1)
    assert bad["verified"] is None
    found = [(one["what"], one["trial_id"]) for one in bad["divergences"]]
    assert found == [("documents", 3), ("outcomes", 3)]


def test_a_campaign_is_verified_while_it_runs(data_dir: Path) -> None:
    running = start("run", "soft", "--trials", "200", "--data-dir", str(data_dir))
    wait_for(lambda: live_state(data_dir).count("measured") > 2, "some trials are measured")
    found = answer("verify", "--data-dir", str(data_dir))
    assert found["verified"] == "bitwise"
    assert running.poll() is None, "it still runs"
