"""The hash chain of a campaign's log: every entry is tied to the one before it.

An entry's ``chain`` covers the hash and the id of the entry before it, and its own fields in their
order. Whoever changes, removes, inserts or moves an entry must make all that follows anew, the
head included, which other places may know.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

CHAIN = "chain"
"""The field that holds the hash; it is the last one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log as it is stored."""

    id: str
    fields: Mapping[str, str]
    """In the order in which they are stored."""

    @property
    def chain(self) -> str:
        """Its hash; empty when it has none."""
        return self.fields.get(CHAIN, "")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a log: it stands for all before it."""

    id: str = ""
    """Empty before the first entry, as ``chain`` is."""
    chain: str = ""

    @classmethod
    def from_text(cls, text: str) -> "Head":
        """The inverse of ``str``.

        Raises:
            ValueError: it is no head.
        """
        id_, _, chain = text.strip().partition(":")
        if not id_ or len(chain) != 40 or set(chain) - set("0123456789abcdef"):
            raise ValueError(f"{text!r} is no head, such as 1764100000000-0:{'3f' * 20}")
        return cls(id_, chain)

    def __str__(self) -> str:
        return f"{self.id}:{self.chain}"


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """What a ledger holds of one campaign, all read at the same moment."""

    entries: Sequence[Entry]
    """The log, oldest first."""
    head: Head
    """The newest entry, as the ledger keeps it beside the log."""
    status: str
    """The status by which the ledger decides."""
    trials: Mapping[int, str]
    """The state of each trial by which the ledger decides."""


def link(before: Head, fields: Mapping[str, str]) -> str:
    """The chain of an entry with these fields after the entry ``before``."""
    own = (part for name, text in fields.items() if name != CHAIN for part in (name, text))
    covered = [text.encode() for text in (before.chain, before.id, *own)]
    framed = b"".join(b"%d:%s" % (len(text), text) for text in covered)
    return hashlib.sha1(framed, usedforsecurity=False).hexdigest()


def breaks(stored: StoredCampaign) -> Iterator[tuple[Entry, str]]:
    """Each entry that does not follow from the one before it, and what that says.

    Its own hash is taken for granted afterwards, so that one change shows in one place.
    """
    before = Head()
    for entry in stored.entries:
        if not entry.chain:
            yield entry, "it has no hash: it was not written by the ledger, or by an older version"
        elif entry.chain != link(before, entry.fields):
            yield entry, "it, or what stood before it, was changed, removed, inserted or moved"
        before = Head(entry.id, entry.chain)
    if before != stored.head and stored.entries:
        yield stored.entries[-1], f"it is the last one, but the head is {stored.head}: cut short"
