"""Keeps secrets out of text that people, logs and the ledger may see."""

import base64
from collections.abc import Iterable

LONGEST = 500
"""Characters of a server's own words that are kept."""


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """The text, cut to a readable length, with each secret replaced, in base64 too."""
    for secret in filter(None, secrets):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            text = text.replace(form, "***")
    return text[:LONGEST]
