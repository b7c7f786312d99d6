"""Columns of the results table beside those of parameters and outcomes, which may not share a name.

Here and nowhere else: who writes the table and who refuses a name must agree.
"""

FIRST = ("trial_id", "state", "attempts", "source")
"""Before the parameters."""
_LAST = ("run_uid", "proposed_at", "started_at", "measured_at")
"""After the outcomes."""
_OF_SENTINELS = ("suspect_data", "drift")
"""After those, in a campaign that has sentinels."""


def after_outcomes(*, has_sentinel: bool) -> tuple[str, ...]:
    """Columns after those of the outcomes, in order."""
    return (*_LAST, *_OF_SENTINELS) if has_sentinel else _LAST
