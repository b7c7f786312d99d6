"""Takes the documents of one attempt from all that are published, and misses none unnoticed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from orchestrator.adapters.documents.recorder import Recorder

IDENTITY = ("campaign_id", "trial_id", "attempt", "fence")
"""Keys of the start documents that tell one attempt from all others."""
_PARENTS = ("run_start", "descriptor", "resource", "stream_resource")
"""Keys that name the document which another one belongs to."""


class Source(Protocol):
    """Where documents come from."""

    def take(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What has come since the last call, without waiting."""
        ...


class Intake:
    """Saves the documents of one attempt as they come.

    Args:
        source: of documents; what it has at this moment is thrown away, being of others.
        recorder: saves them.
        metadata: of the attempt; its IDENTITY is in its start documents.
    """

    def __init__(self, source: Source, recorder: Recorder, metadata: Mapping[str, Any]) -> None:
        self._source = source
        self._recorder = recorder
        self._identity = {name: metadata[name] for name in IDENTITY if name in metadata}.items()
        self._known: set[str] = set()
        self._lost: set[str] = set()
        """Documents that came documents name, and that did not come before them as they should."""
        self._streams: dict[str, tuple[str, str]] = {}
        """Run and name of a stream, by the uid of its descriptor."""
        self._events: Counter[tuple[str, str]] = Counter()
        """Events that came of each stream."""
        self._ends: dict[str, Mapping[str, int]] = {}
        """How many events of each stream there should be, by the uid of a run that is over."""
        for _ in source.take():
            pass

    def take(self) -> bool:
        """Save what has come; True when anything has.

        Raises:
            PlanFailed: it could not be saved, so there is no point in measuring on.
        """
        came = False
        for name, document in self._source.take():
            if self._is_ours(name, document):
                came = True
                self._lost |= {document[key] for key in _PARENTS if document.get(key)} - self._known
                self._count(name, document)
                self._recorder(name, document)
        return came

    def lack(self, runs: Sequence[str]) -> str | None:
        """What did not come of these runs, in a few words; None when all did."""
        if missing := [uid for uid in runs if uid not in self._ends]:
            return f"documents of {len(missing)} of {len(runs)} runs did not arrive"
        if self._lost:
            return f"{len(self._lost)} documents that others name did not arrive"
        for uid in runs:
            for stream, count in self._ends[uid].items():
                if (came := self._events[uid, stream]) < count:
                    return f"{came} of {count} events of stream {stream!r} arrived"
        return None

    def _is_ours(self, name: str, document: Mapping[str, Any]) -> bool:
        if name == "start":
            ours = self._identity <= document.items()
        else:
            parents = [document.get(key) for key in _PARENTS]  # of others: anything at all
            ours = any(isinstance(uid, str) and uid in self._known for uid in parents)
        if ours and isinstance(document.get("uid"), str):
            self._known.add(document["uid"])
        return ours

    def _count(self, name: str, document: Mapping[str, Any]) -> None:
        if name == "descriptor":
            stream = (document["run_start"], document.get("name", "primary"))
            self._streams[document["uid"]] = stream
        elif name == "event":
            self._events[self._streams[document["descriptor"]]] += 1
        elif name == "event_page":
            self._events[self._streams[document["descriptor"]]] += len(document["seq_num"])
        elif name == "stream_datum":  # a flyer may tell of its frames without any event
            # It is known by its resource, too: its descriptor may be what was lost.
            if stream := self._streams.get(document["descriptor"]):
                self._events[stream] = max(self._events[stream], document["seq_nums"]["stop"] - 1)
        elif name == "stop":
            self._ends[document["run_start"]] = document.get("num_events", {})
