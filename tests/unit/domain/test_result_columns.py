"""A column of the results table has one meaning, and its name is refused for any other."""

import pytest

from orchestrator.domain.campaign_consistency import campaign_findings
from orchestrator.domain.summary import columns
from tests.unit.domain.builders import CAMPAIGN, campaign, opened, state_of

SENTINEL = {"at": {"x": 5.0}, "every": 2}


@pytest.mark.parametrize("sentinel", [None, SENTINEL])
def test_no_parameter_may_be_called_like_a_column_of_the_table(sentinel: object):
    spec = campaign(**({"sentinel": sentinel} if sentinel else {}))
    own = [one for one in columns(state_of(opened(spec)), spec) if one not in ("x", "y", "y_sem")]
    for name in own:
        data = {**CAMPAIGN, "parameters": {name: CAMPAIGN["parameters"]["x"]}, "sentinel": sentinel}
        assert (("parameters", name), f"{name!r} is a column of the results table; rename it") in [
            *campaign_findings(data)
        ]


def test_the_names_that_sentinels_take_are_free_without_them():
    data = {**CAMPAIGN, "parameters": {"drift": CAMPAIGN["parameters"]["x"]}}
    assert not [place for place, _ in campaign_findings(data) if place == ("parameters", "drift")]
