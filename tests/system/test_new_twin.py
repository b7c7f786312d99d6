"""A twin begun with ``labwright new`` is driven by a campaign as soon as it is registered."""

from pathlib import Path

import pytest

from tests.system.lab import answer, with_code_of

pytestmark = pytest.mark.system


def test_a_new_twin_runs_its_campaign(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    answer("new", "twin", "hot-plate", "--dir", str(lab))
    installed = lab / "hot_plate-0.1.dist-info"  # as pip leaves it behind
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: hot-plate\nVersion: 0.1\n")
    (installed / "entry_points.txt").write_text("[labwright.twins]\nhot-plate = hot_plate\n")
    data_dir = str(tmp_path / "data")
    asked = ["run", "hot-plate", "--trials", "3", "--data-dir", data_dir]
    summary = answer(*asked, **with_code_of(lab))
    assert summary["trials"]["measured"] == 3
    assert 0 < summary["best"]["outcomes"]["conversion"]["mean"] < 1.1
