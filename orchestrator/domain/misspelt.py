"""Texts among a plan's arguments that come near the name of a device.

A text that names no device is given to the plan as it stands, which may be what is meant.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from orchestrator.domain.findings import as_list, as_mapping
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec

NEAR = 0.75
"""How alike two names are, from 0 to 1, when one is taken for the other."""


def misspelt_devices(
    campaign: CampaignSpec, instrument: InstrumentSpec
) -> Iterator[tuple[str, str]]:
    """Place in the campaign file, and a sentence with the device that may be meant."""
    for name, value in campaign.plan.args.items():
        for text in _texts(value):
            first, dot, rest = text.partition(".")
            close = get_close_matches(first, instrument.devices, n=1, cutoff=NEAR)
            if close and first not in instrument.devices:
                meant = f"{close[0]}{dot}{rest}"
                yield (
                    f"plan.args.{name}",
                    f"{text!r} names no device, so the plan gets this text; did you mean "
                    f"{meant!r}?",
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in (*as_mapping(value).values(), *as_list(value)):
        yield from _texts(item)
