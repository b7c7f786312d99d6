"""Whatever is done to a log, the chain shows it, and where."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.domain.chain import CHAIN, Entry, Head, StoredCampaign, breaks, link

START = Head()


def chained(*texts: str, after: Head = START) -> list[Entry]:
    """Entries with these data, as a ledger chains them."""
    entries: list[Entry] = []
    for text in texts:
        fields = {"type": "noted", "data": text}
        number = int(after.id.partition("-")[0] or 0) + 1
        entries.append(Entry(f"{number}-0", {**fields, CHAIN: link(after, fields)}))
        after = Head(entries[-1].id, entries[-1].chain)
    return entries


def stored(entries: list[Entry], head: Head | None = None) -> StoredCampaign:
    last = entries[-1] if entries else Entry("", {})
    return StoredCampaign(entries, head or Head(last.id, last.chain), "running", {})


LOG = chained("a", "b", "c", "d", "e")
HEAD = stored(LOG).head


def edited(entry: Entry, text: str) -> Entry:
    return replace(entry, fields={**entry.fields, "data": text})


FORGERIES: dict[str, tuple[Callable[[], list[Entry]], list[int]]] = {
    "changed": (lambda: [*LOG[:2], edited(LOG[2], "C"), *LOG[3:]], [2]),
    "removed": (lambda: [*LOG[:2], *LOG[3:]], [2]),
    "the first one removed": (lambda: LOG[1:], [0]),
    "inserted": (lambda: [*LOG[:2], Entry("2-5", {"data": "x"}), *LOG[2:]], [2, 3]),
    "moved": (lambda: [*LOG[:2], LOG[3], LOG[2], LOG[4]], [2, 3, 4]),
    "cut short": (lambda: LOG[:3], [2]),
    "given another id": (lambda: [*LOG[:2], replace(LOG[2], id="2-9"), *LOG[3:]], [3]),
    "replaced from here on": (lambda: [*LOG[:3], *chained("D", "E", after=Head("3-0"))], [3, 4]),
    "made anew as a whole": (lambda: chained("a", "b", "C", "d", "e"), [4]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_where_it_is(name: str) -> None:
    forge, places = FORGERIES[name]
    entries = forge()
    found = [entry.id for entry, _ in breaks(stored(entries, HEAD))]
    assert found == [entries[place].id for place in places]


def test_control_a_log_as_it_was_written_has_no_break() -> None:
    assert not list(breaks(stored(LOG)))
    assert not list(breaks(stored([])))


def test_fields_cannot_be_shifted_into_each_other() -> None:
    one, other = {"type": "ab", "data": "c"}, {"type": "a", "data": "bc"}
    assert link(Head(), one) != link(Head(), other)
    assert link(Head(), {"a": "1", "b": "2"}) != link(Head(), {"b": "2", "a": "1"})


def test_a_head_can_be_written_down() -> None:
    assert Head.from_text(f" {HEAD}\n") == HEAD
    for text in ("", "5-0", "5-0:abc", f":{HEAD.chain}"):
        with pytest.raises(ValueError, match="is no head"):
            Head.from_text(text)
