"""The plan's module as ``check`` imports it: it can do nothing, and its prints are labelled."""

import sys

from orchestrator.adapters.dry_run.plan_fit_process import sealed_plan_problems
from orchestrator.adapters.lab_code.lab_prints import LABEL, prints_told
from tests.unit.domain import builders

MODULE = """
import subprocess
print("hello")
def plan(settings):
    yield
def reduce_plan(runs):
    return {"y": 0.0}
"""


def campaign(module):
    return builders.campaign(plan={"name": f"{module}.plan"})


def test_a_module_starts_no_program_when_check_imports_it(tmp_path, monkeypatch, capfd):
    witness = tmp_path / "witness"
    (tmp_path / "fits_lab.py").write_text(f"{MODULE}subprocess.run(['touch', {str(witness)!r}])\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = sealed_plan_problems(campaign("fits_lab"))
    assert problem.place == "plan.name"
    assert f"'touch {witness}' was to be started" in problem.message
    assert f"{tmp_path}/fits_lab.py:8" in problem.message
    assert not witness.exists()
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"{LABEL}hello\n")


def test_a_module_that_ends_its_process_is_told(tmp_path, monkeypatch):
    (tmp_path / "ending_lab.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = sealed_plan_problems(campaign("ending_lab"))
    assert "ended with exit code 3 while plan and reducer were imported" in problem.message


def test_a_line_that_is_printed_again_is_told_once(capsys):
    with prints_told():
        for _ in range(3):
            print("moving")
        sys.stdout.reconfigure(line_buffering=True)
        sys.stdout.buffer.write(b"as bytes\n")
        kept = sys.stdout
        print("no end of line", end="")
    print("later", file=kept)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "".join(
        f"{LABEL}{line}\n" for line in ("moving", "as bytes", "no end of line", "later")
    )
