"""Each shipped twin runs its own campaign, with every process and real Channel Access."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from simulators.twins import twin_module
from tests.system.lab import answer, labwright, results

TWINS = sorted({point.name for point in entry_points(group="labwright.twins")} - {"soft"})


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_its_campaign_runs(name: str, tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path))
    pace = {"LABWRIGHT_TIME_COMPRESSION": str(twin_module(name).TIME_COMPRESSION)}
    done = answer("run", name, "--trials", "3", "--seed", "1", *where, **pace)
    assert done["status"] == "done"
    assert done["trials"]["measured"] + done["trials"]["invalid"] == 3
    first, *_ = results(tmp_path, done["campaign_id"])
    assert first["attempts"] == "1"


def test_all_are_listed_and_the_one_for_practice_apart() -> None:
    assert answer("twins") == {"twins": TWINS, "for_practice": ["soft"]}
    assert len(TWINS) == 8
    listed, practice = labwright("twins").stdout.split("\n\nfor practice:\n")
    assert [line.split()[0] for line in listed.splitlines()] == TWINS
    assert [line.split()[0] for line in practice.splitlines()] == ["soft"]


def test_all_can_be_drawn(tmp_path: Path) -> None:
    labwright("twins", "--pictures", str(tmp_path))
    for name in (*TWINS, "soft"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
