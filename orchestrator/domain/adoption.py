"""What an instrument file says of devices that the lab has already.

Works on plain data, as ``instrument_consistency`` does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.errors import near
from orchestrator.domain.findings import Finding, as_list, as_mapping, is_mapping

KINDS = ("factory", "happi", "startup")
"""Where devices may come from."""

_OWN = ("class", "prefix", "kwargs")
"""Keys that make a device, so that one which is there already has none of them."""


def with_adopted(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same file with an entry under ``devices`` for each device that a source gives.

    Without limits such an entry says that the device is never set.
    """
    names = [name for _, _, name in _used(data)]
    given = data.get("devices")
    if not names or not (given is None or is_mapping(given)):
        return data
    return {**data, "devices": {**{name: {} for name in names}, **(given or {})}}


def adoption_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything about sources and their devices that contradicts something else in the file."""
    sources = as_list(data.get("from"))
    for index, source in enumerate(sources):
        given = [kind for kind in KINDS if as_mapping(source).get(kind) is not None]
        if is_mapping(source) and len(given) != 1:
            found = " and ".join(given) or "none"
            yield ("from", index), f"found {found}; give exactly one of {', '.join(KINDS)}"
    taken: dict[str, int] = {}
    for index, position, name in _used(data):
        if name in taken:
            message = f"{name!r} is already taken from source {taken[name]}; take it once"
            yield ("from", index, "use", position), message
        taken.setdefault(name, index)
    if data.get("queueserver") is None:
        yield from _entry_findings(as_mapping(data.get("devices")), taken)
    if data.get("md") is not None and not data.get("run_engine"):
        if not any("startup" in as_mapping(source) for source in sources):
            message = "RE.md is that of the lab's RunEngine; give 'run_engine' or a startup"
            yield ("md",), message


def _entry_findings(devices: Mapping[str, Any], taken: Mapping[str, int]) -> Iterator[Finding]:
    for name, device in devices.items():
        if not is_mapping(device):
            continue
        given = [key for key in _OWN if device.get(key)]
        if name not in taken and "class" not in given:
            message = "key 'class' is missing"
            if taken:
                message += f", and no source is asked for {name!r}{near(name, taken)}"
            yield ("devices", name, "class"), message
        elif name in taken and given:
            source = f"from.{taken[name]}"
            message = f"{name!r} is taken from {source} as it is; remove {given[0]!r} here"
            yield ("devices", name, given[0]), message


def _used(data: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Every name under ``use``, with the numbers of its source and of its place there."""
    for index, source in enumerate(as_list(data.get("from"))):
        for position, name in enumerate(as_list(as_mapping(source).get("use"))):
            if isinstance(name, str):
                yield index, position, name
