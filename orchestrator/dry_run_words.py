"""What a dry run found, in lines for people: what is wrong first, then what would happen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.domain.outage import span

STATE_IT = "'speed' and 'acquire_s' in the instrument file do, and so do 5 earlier trials"


def lines(found: Mapping[str, Any]) -> list[str]:
    """What ``dry_run.dry_run`` gave."""
    return list(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for kind, word in (("problems", "WRONG"), ("warnings", "warning")):
        yield from (f"{word}: {_finding(one, found['points'])}" for one in found[kind])
    for one in found["untried"]:
        where = f"{one['file']}:{one['line']}: " if one["file"] else ""
        yield f"warning: {where}the reducer is not tried: on made-up readings {one['message']}"
    name, count = found["campaign"], found["parameters"]
    varied = "1 parameter" if count == 1 else f"{count} parameters"
    verdict = "is sound" if found["ok"] else "would fail"
    where = f"{found['trials']} trials on {found['instrument']} ({found['mode'].upper()})"
    yield f"{name} {verdict}: {varied}, {where}"
    yield f"trials walked on fake devices: {found['points']}; nothing has moved"
    if found["moves"]:
        yield ""
        yield from _table(["moves", "from", "to", "limits", "unit"], map(_move, *_items(found)))
    if found["messages"]:
        yield ""
        yield f"messages per trial: {_range(found['messages'])}"
        for path, count in found["triggers"].items():
            yield f"triggers of {path} per trial: {_range(count)}"
    for name, used in found["uses"].items():
        yield (
            f"{name}: {used['trial']:.4g} {used['unit']} per trial, "
            f"{used['campaign']:.4g} {used['unit']} in all"
        )
    if found["trial_s"]:
        yield from _durations(found)


def _finding(one: Mapping[str, Any], points: int) -> str:
    where = f"{one['file']}:{one['line']}: " if one["file"] else ""
    place = f"{one['place']}: " if one["place"] else ""
    if not one["points"]:
        return f"{where}{place}{one['message']}"
    settings = ", ".join(f"{name} {_short(value)}" for name, value in one["at"].items())
    return (
        f"{where}{place}{one['message']} (at {one['points']} of {points} points, first {settings})"
    )


def _items(found: Mapping[str, Any]) -> tuple[Any, Any]:
    return found["moves"].keys(), found["moves"].values()


def _move(path: str, move: Mapping[str, Any]) -> list[str]:
    limits = "none" if move["limits"] is None else " to ".join(map(_short, move["limits"]))
    return [path, _short(move["low"]), _short(move["high"]), limits, move["unit"]]


def _durations(found: Mapping[str, Any]) -> Iterator[str]:
    learned = found["learned_from"]
    source = {
        "history": f"learned from {learned} earlier trials",
        "twin": "from the plan's own waits and the twin's moves and readings",
    }.get(found["trial_s_from"], "from the plan's own waits, and speeds and settling")
    one, unknown = found["trial_s"], ", ".join(found["unknown"])
    if unknown and not one["high"]:
        yield f"duration: not known, for nobody says how long {unknown} take; {STATE_IT}"
        return
    least = "at least " if unknown else ""
    times = f"{span(one['low'])} to {span(one['high'])}, {span(one['mean'])} on average"
    yield f"duration per trial: {least}{times} ({source})"
    if unknown:
        yield f"  counted as 0, for nobody says how long they take: {unknown}; {STATE_IT}"
    total = f"{least}{span(found['campaign_s'])}"
    yield f"duration of the campaign: {total} for {found['trials']} trials"
    if found["time_scale"] != 1:
        yield f"  on a twin where one second is {found['time_scale']:g} seconds in the lab"


def _range(spread: Mapping[str, float]) -> str:
    low, high = spread["low"], spread["high"]
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    cells = [list(head), *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
