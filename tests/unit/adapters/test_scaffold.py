"""What ``labwright new`` writes: its own tests pass, and nothing is overwritten."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.adapters.user_files.scaffold import write
from orchestrator.cli.main import main
from orchestrator.domain.errors import Unusable

NAMES = {
    "plan": "burn_in",
    "device": "sample_stage",
    "instrument": "my-beamline",
    "campaign": "find-the-best",
    "twin": "hot-plate",
}
WRITTEN = {
    "plan": {"burn_in.py", "test_burn_in.py"},
    "device": {"sample_stage.py", "test_sample_stage.py"},
    "instrument": {"my-beamline.yaml", "test_my_beamline.py"},
    "campaign": {"find-the-best.yaml", "test_find_the_best.py"},
    "twin": {
        f"hot_plate/{name}"
        for name in ("__init__.py", "campaign.yaml", "instrument.py", "instrument.yaml", "model.py")
    }
    | {"hot_plate/test_hot_plate.py"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All kinds, written side by side into a folder that is not there yet."""
    made = tmp_path_factory.mktemp("lab") / "ours"
    for kind, name in NAMES.items():
        written = write(kind, name, made)
        assert {str(path.relative_to(made)) for path in written} == WRITTEN[kind]
    return made


def test_the_test_of_each_passes_as_it_stands(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "."],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for names in WRITTEN.values():
        (test,) = (name for name in names if Path(name).name.startswith("test_"))
        assert f"{test} ." in done.stdout
    assert "9 passed" in done.stdout
    assert "warning" not in done.stdout


def test_every_line_fits_the_style_and_no_placeholder_is_left(folder):
    for file in folder.rglob("*.*"):
        if file.suffix not in (".py", ".yaml"):
            continue
        text = file.read_text()
        assert not re.search(r"\$\w|NAME", text), file
        if file.suffix == ".py":
            assert max(map(len, text.splitlines())) <= 100, file
            assert text.startswith('"""'), file


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_is_overwritten(folder, kind):
    first = folder / sorted(WRITTEN[kind])[0]
    before = first.read_text()
    first.write_text("mine")
    with pytest.raises(Unusable, match="is there already; nothing was written"):
        write(kind, NAMES[kind], folder)
    assert first.read_text() == "mine"
    first.write_text(before)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("plan", "My Plan", "'My Plan' cannot be a name: it is made of small letters"),
        ("plan", "../up", "cannot be a name"),
        ("plan", "", "cannot be a name"),
        ("device", "class", "'class' cannot be the name of a module"),
        ("plan", "plans", "'plans' cannot be the name of a module"),
        ("plan", "numpy", "a module 'numpy' would hide /"),
        ("device", "time", "a module 'time' would hide Python's own; choose another name"),
        ("twin", "json", "a module 'json' would hide /"),
        ("campaign", "a--b", "small letters, digits and '-'"),
        ("sample", "one", "'sample' is none of plan, device"),
    ],
)
def test_a_name_that_is_none_is_refused(tmp_path, kind, name, words):
    with pytest.raises(Unusable, match=re.escape(words)):
        write(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="file"):
        write("plan", "one", tmp_path / "file")


def test_the_verb_says_what_it_wrote_and_how_to_try_it(tmp_path, capsys):
    asked = ["new", "campaign", "best", "--dir", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said == (
        f"written: {tmp_path}/best.yaml, {tmp_path}/test_best.py\n"
        f"try it with: pytest {tmp_path}/test_best.py\n"
    )
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--json"])
    assert ended.value.code == 2
    assert "best.yaml is there already" in json.loads(capsys.readouterr().out)["error"]
