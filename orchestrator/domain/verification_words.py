"""What a verification came to, in lines for a person."""

from collections.abc import Mapping

from orchestrator.domain.verification import Verdict


def lines(verdict: Verdict) -> list[str]:
    """What was checked, what diverges (the first of it first), and the last word."""
    counts = verdict.counts
    trials = ", ".join(f"{count} {state}" for state, count in counts["trials"].items() if count)
    told = {
        "chain": f"{counts['events']} events up to the head {verdict.head}",
        "state": f"{counts['read']} of {counts['events']} events give {trials or 'no trials'}",
        "documents": f"{counts['documents']} files",
        "outcomes": _graded(counts["outcomes"]),
        "proposals": _graded(counts["proposals"]),
    }
    said = [f"{name:10} {text}" for name, text in told.items()]
    said += [f"note       {note}" for note in verdict.notes]
    for place, one in enumerate(verdict.divergences):
        said.append(f"{'first:' if place == 0 else 'then:':6} {one.sentence}")
    return [*said, last_word(verdict)]


def last_word(verdict: Verdict) -> str:
    """The result in one line."""
    if verdict.grade is None:
        count = len(verdict.divergences)
        return f"not verified: {count} divergence{'' if count == 1 else 's'}"
    return f"verified: {verdict.grade}"


def _graded(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {grade}" for grade, count in counts.items()) or "none"
