"""The process of a dry run as its parent sees it: answers, and nothing else but labelled prints."""

from orchestrator.adapters.answering_child import AnsweringChild
from orchestrator.adapters.lab_prints import LABEL
from orchestrator.adapters.sealed import ENVIRONMENT
from tests.unit.domain import builders


def test_a_startup_that_raises_is_told_by_its_line_and_without_a_traceback(tmp_path, capfd):
    script = tmp_path / "startup.py"
    script.write_text("print('hello')\nraise RuntimeError('the cryostat is warm')\n")
    sources = [{"startup": str(script), "use": ["axis"]}]
    instrument = builders.instrument(**{"from": sources, "devices": {"axis": {"limits": [0, 1]}}})
    files = [one.model_dump_json(by_alias=True) for one in (builders.campaign(), instrument)]
    child = AnsweringChild("orchestrator.adapters.dry_run_process", *files, environment=ENVIRONMENT)
    try:
        child.load(60)
        ((text, _),) = child.ask(None, 60)["problems"]
    finally:
        child.end()
    assert f"{script}:2: RuntimeError: the cryostat is warm" in text
    assert capfd.readouterr() == ("", f"{LABEL}hello\n")
