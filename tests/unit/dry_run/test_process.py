"""The process of a dry run as its parent sees it: answers, and nothing else but labelled prints."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.adapters.dry_run.sealed import ENVIRONMENT
from orchestrator.adapters.lab_code.lab_prints import LABEL
from orchestrator.adapters.processes.answering_child import AnsweringChild
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from tests.unit.domain import builders


@contextmanager
def dry_run_of(campaign: CampaignSpec, instrument: InstrumentSpec) -> Iterator[AnsweringChild]:
    files = [one.model_dump_json(by_alias=True) for one in (campaign, instrument)]
    child = AnsweringChild(
        "orchestrator.adapters.dry_run.dry_run_process", *files, environment=ENVIRONMENT
    )
    try:
        child.load(60)
        yield child
    finally:
        child.end()


def test_a_startup_that_raises_is_told_by_its_line_and_without_a_traceback(tmp_path, capfd):
    script = tmp_path / "startup.py"
    script.write_text("print('hello')\nraise RuntimeError('the cryostat is warm')\n")
    sources = [{"startup": str(script), "use": ["axis"]}]
    instrument = builders.instrument(**{"from": sources, "devices": {"axis": {"limits": [0, 1]}}})
    with dry_run_of(builders.campaign(), instrument) as child:
        ((text, _),) = child.ask(None, 60)["problems"]
    assert f"{script}:2: RuntimeError: the cryostat is warm" in text
    assert capfd.readouterr() == ("", f"{LABEL}hello\n")


def test_points_that_the_twin_refuses_to_measure_are_passed_over(tmp_path):
    """As one made from a table does far from its data: some trials fail, the campaign is sound."""
    places = [0.1 * step for step in range(8)]
    rows = [f"{x},{y},{x + y}" for x in places for y in places if x + y < 0.75]
    (tmp_path / "mix.csv").write_text("\n".join(["x,y,total", *rows]))
    (tmp_path / "mix.yaml").write_text("parameters: {x: {}, y: {}}\noutcomes: {total: {}}\n")
    axis = {"class": "devices.SetpointReadback", "limits": [0, 0.7], "tolerance": 0.001}
    instrument = builders.instrument(
        twin={"table": str(tmp_path / "mix.csv"), "header": str(tmp_path / "mix.yaml")},
        devices={
            **{name: {**axis, "prefix": f"MIX:{name.upper()}"} for name in "xy"},
            "detector": {"class": "devices.TriggeredDetector", "prefix": "MIX:DETECTOR"},
        },
    )
    campaign = builders.campaign(
        plan={"name": "steady_state_sample", "args": {"detector": "detector"}},
        reduce={"call": "plans.channel_means.reduce_channel_means"},
        parameters={name: {"device": name, "range": [0, 0.7]} for name in "xy"},
        objectives={"total": {"goal": "maximize"}},
    )
    far, near = {"x": 0.7, "y": 0.7}, {"x": 0.3, "y": 0.3}
    with dry_run_of(campaign, instrument) as child:
        assert child.ask(None, 60)["problems"] == []
        found = child.ask([far, near], 60)
    assert found["is_reduced"]
    assert found["problems"] == []
