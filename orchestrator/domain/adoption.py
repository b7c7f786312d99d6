"""What an instrument file says of devices that the lab has already.

Works on plain data, as ``consistency`` does.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

Finding = tuple[tuple[str | int, ...], str]

KINDS = ("factory", "happi", "startup")
"""Where devices may come from."""

_OWN = ("class", "prefix", "kwargs")
"""Keys that make a device, so that one which is there already has none of them."""


def with_adopted(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same file with an entry under ``devices`` for each device that a source gives.

    Without limits such an entry says that the device is never set.
    """
    names = [name for _, name in _used(data)]
    given = data.get("devices")
    if not names or not (given is None or isinstance(given, Mapping)):
        return data
    devices = _mapping(cast(object, given))
    return {**data, "devices": {**{name: {} for name in names}, **devices}}


def adoption_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything about sources and their devices that contradicts something else in the file."""
    sources = _list(data.get("from"))
    for index, source in enumerate(sources):
        if isinstance(source, Mapping):
            entry = cast(Mapping[str, Any], source)
            given = [kind for kind in KINDS if entry.get(kind) is not None]
            if len(given) != 1:
                found = " and ".join(given) or "none"
                yield ("from", index), f"found {found}; give exactly one of {', '.join(KINDS)}"
    entries = _mapping(data.get("devices"))
    taken: dict[str, int] = {}
    for place, name in _used(data):
        index = cast(int, place[1])
        if name in taken:
            message = f"{name!r} is already taken from source {taken[name]}; take it once"
            yield place, message
        taken.setdefault(name, index)
    yield from _entry_findings(entries, taken)
    yield from _twice(entries)
    yield from _engine_findings(data, sources)


def _entry_findings(devices: Mapping[str, Any], taken: Mapping[str, int]) -> Iterator[Finding]:
    for name, device in devices.items():
        if not isinstance(device, Mapping):
            continue
        given = [key for key in _OWN if cast(Mapping[str, Any], device).get(key)]
        if name not in taken and "class" not in given:
            yield ("devices", name, "class"), "key 'class' is missing"
        elif name in taken and given:
            source = f"from.{taken[name]}"
            message = f"{name!r} is taken from {source} as it is; remove {given[0]!r} here"
            yield ("devices", name, given[0]), message


def _twice(devices: Mapping[str, Any]) -> Iterator[Finding]:
    """Entries that would make the same device a second time."""
    made: dict[str, str] = {}
    for name, device in devices.items():
        if isinstance(device, Mapping) and (entry := cast(Mapping[str, Any], device)).get("prefix"):
            key = repr([entry.get(one) for one in _OWN])
            if key in made:
                message = f"{entry['prefix']!r} is the PV of device {made[key]!r} too"
                yield ("devices", name, "prefix"), message
            made.setdefault(key, name)


def _engine_findings(data: Mapping[str, Any], sources: list[Any]) -> Iterator[Finding]:
    has_startup = any(isinstance(one, Mapping) and "startup" in one for one in sources)
    if data.get("md") is not None and not has_startup and not data.get("run_engine"):
        message = "RE.md is that of the lab's RunEngine; give 'run_engine' or a startup"
        yield ("md",), message


def _used(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every name under ``use``, with its place."""
    for index, source in enumerate(_list(data.get("from"))):
        if isinstance(source, Mapping):
            names = _list(cast(Mapping[str, Any], source).get("use"))
            for position, name in enumerate(names):
                if isinstance(name, str):
                    yield ("from", index, "use", position), name


def _mapping(value: object) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return (
        list(cast("list[Any] | tuple[Any, ...]", value)) if isinstance(value, (list, tuple)) else []
    )
