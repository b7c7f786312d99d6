import functools
import hashlib
import json
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from orchestrator.adapters.lab_code import plan_catalog
from orchestrator.adapters.lab_code.plan_catalog import (
    declared_outcomes,
    find_plan,
    find_reducer,
    plan_problems,
    reducer_identity,
    refuse_shadows,
)
from orchestrator.domain.errors import Unusable
from orchestrator.domain.spec import CampaignSpec
from plans.steady_state_sample import reduce_steady_state_sample, steady_state_sample

LAB = """
def burn(settings, detector, exposure_s, *, gain=1.0, md=None):
    yield

def reduce_burn(runs):
    return {"depth": 1.0}
reduce_burn.outcomes = {"depth": "mm"}

def unmeasured(detector):
    yield

NUMBER = 3
"""


@pytest.fixture
def lab_code(tmp_path, monkeypatch):
    """A laboratory's own package, registered under the plan name ``engrave``."""
    (tmp_path / "ourlab").mkdir()
    (tmp_path / "ourlab/__init__.py").write_text("")
    (tmp_path / "ourlab/laser.py").write_text(LAB)
    (tmp_path / "ourlab/broken.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("engrave", "ourlab.laser:burn", plan_catalog.GROUP)
    monkeypatch.setattr(plan_catalog, "_registered", lambda: EntryPoints([entry]))
    yield
    for name in [name for name in sys.modules if name.startswith("ourlab")]:
        del sys.modules[name]


def campaign(name="ourlab.laser.burn", args=None, **changes):
    spec = {
        "name": "c",
        "instrument": "i",
        "plan": {"name": name, "args": {"detector": "d"} if args is None else args},
        "parameters": {"exposure": {"arg": "exposure_s", "range": [0, 1]}},
        "objectives": {"depth": {"goal": "maximize", "unit": "mm"}},
        "budget": {"trials": 1},
        **changes,
    }
    return CampaignSpec.model_validate_json(json.dumps(spec))


def problems(*args, **kwargs):
    found = plan_problems(campaign(*args, **kwargs))
    return {problem.place: problem.message for problem in found}


def test_shipped_plan_is_found_like_any_other():
    assert find_plan("steady_state_sample") is steady_state_sample


def test_registered_name_goes_before_a_path(lab_code):
    assert find_plan("engrave").__name__ == "burn"
    assert find_reducer(campaign("engrave")).__name__ == "reduce_burn"


def test_any_bluesky_plan_by_its_path():
    from bluesky.plans import count

    assert find_plan("bluesky.plans.count") is count


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("engraves", "did you mean 'engrave'"),
        ("ourlab.laser.burnt", "did you mean 'burn'"),
        ("ourlab.lasers.burn", "there is no module 'ourlab.lasers'"),
        ("nowhere.plan", "there is no module 'nowhere'"),
        ("ourlab.broken.plan", "No module named 'nothing_of_this_name'"),
        ("ourlab.laser.NUMBER", "is a int, not a function"),
    ],
)
def test_unknown_names_are_explained(lab_code, name, message):
    with pytest.raises(Unusable, match=message):
        find_plan(name)
    assert message in problems(name)["plan.name"]


def test_campaign_that_fits_has_no_problems(lab_code):
    assert problems() == {}
    assert problems(args={"detector": "d", "gain": 2.0}) == {}


def test_arguments_are_compared_with_the_signature(lab_code):
    found = problems(args={"detectors": "d", "settings": 1, "exposure_s": 2})
    assert "no argument 'detectors'; did you mean 'detector'" in found["plan.args.detectors"]
    assert "filled in" in found["plan.args.settings"]
    assert "one place" in found["plan.args.exposure_s"]
    assert found["plan.args"] == "the plan needs the argument 'detector'"


def test_parameters_are_compared_with_the_signature(lab_code):
    parameters = {"exposure": {"arg": "exposure", "range": [0, 1]}}
    found = problems(parameters=parameters)
    assert "did you mean 'exposure_s'" in found["parameters.exposure.arg"]
    assert "exposure_s" in found["plan.args"]


def test_outcomes_are_compared_with_the_declared_ones(lab_code):
    found = problems(
        objectives={"depht": {"goal": "maximize"}, "depth": {"goal": "maximize", "unit": "um"}},
        constraints={"outcomes": ["width <= 3"]},
    )
    assert "did you mean 'depth'" in found["objectives.depht"]
    assert found["objectives.depth.unit"] == "is 'um', but the reducer gives 'mm'"
    assert "no outcome 'width'" in found["constraints.outcomes"]


def test_reducer_is_needed(lab_code):
    found = problems("ourlab.laser.unmeasured", parameters={"x": {"device": "x", "range": [0, 1]}})
    assert "has no reduce_unmeasured" in found["plan.name"]
    assert problems("ourlab.laser.unmeasured", reduce={"timeout_s": 5.0})["plan.name"]
    assert (
        "no 'reduce_burns'" in problems(reduce={"call": "ourlab.laser.reduce_burns"})["reduce.call"]
    )


def test_campaigns_own_reducer_replaces_the_plans(lab_code):
    call = "plans.steady_state_sample.reduce_steady_state_sample"
    reducer = find_reducer(campaign(reduce={"call": call}))
    assert reducer is reduce_steady_state_sample
    assert declared_outcomes(reducer) == {"sty": "kg/m3/h", "yield_fraction": "", "e_factor": ""}


def test_nothing_declared_is_nothing_to_compare(lab_code):
    assert declared_outcomes(lambda runs: {}) is None


def test_own_packages_are_in_place():
    refuse_shadows()


@pytest.mark.parametrize("name", ["plans", "devices"])
def test_shadow_is_refused_with_both_paths(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(Unusable) as caught:
        refuse_shadows()
    assert str(tmp_path / name) in str(caught.value)
    assert f"Labwright's own {plan_catalog.HOME / name}" in str(caught.value)


def test_a_reducer_is_known_by_its_name_and_its_file(lab_code, tmp_path):
    file = tmp_path / "ourlab/laser.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert reducer_identity(campaign()) == ("ourlab.laser.reduce_burn", digest)
    named = campaign(reduce={"call": "ourlab.laser.reduce_burn"})
    assert reducer_identity(named) == ("ourlab.laser.reduce_burn", digest)
    file.write_text(LAB + "# mended\n")
    assert reducer_identity(campaign())[1] != digest, "the file as it is now"
    with pytest.raises(Unusable, match="has no 'nothing'"):
        reducer_identity(campaign(reduce={"call": "ourlab.laser.nothing"}))


def test_a_reducer_may_be_no_plain_function(lab_code, monkeypatch):
    from ourlab import laser  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(laser, "bound", functools.partial(laser.reduce_burn), raising=False)
    name, _ = reducer_identity(campaign(reduce={"call": "ourlab.laser.bound"}))
    assert name == "ourlab.laser.bound"
    assert reducer_identity(campaign(reduce={"call": "builtins.len"}))[1] == ""


def test_what_a_module_prints_goes_to_standard_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "printing_lab.py").write_text("print('hello')\ndef plan():\n    yield\n")
    monkeypatch.syspath_prepend(tmp_path)
    find_plan("printing_lab.plan")
    assert capsys.readouterr() == ("", "printed by the lab's code: hello\n")


def test_the_plan_that_realigns_must_fit_too(lab_code):
    def found(name, **args):
        then = {"realign": {"name": name, "args": args}}
        return problems(sentinel={"at": {"exposure": 1}, "every": 5, "then": then})

    assert found("ourlab.laser.unmeasured", detector="d") == {}
    assert "has no 'unmeasurd'" in found("ourlab.laser.unmeasurd")["sentinel.then.realign.name"]
    lacks = found("ourlab.laser.unmeasured")["sentinel.then.realign.args"]
    assert lacks == "the plan needs the argument 'detector'"
    unknown = found("ourlab.laser.unmeasured", detector="d", gain=2.0)
    assert "no argument 'gain'" in unknown["sentinel.then.realign.args.gain"]


def test_a_module_in_the_folder_where_a_user_works_is_pointed_at(tmp_path, monkeypatch):
    """As for a stranger who has written a page's plan into a file and calls labwright there."""
    (tmp_path / "unfound_lab.py").write_text("def plan():\n    yield\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unusable, match=r"one in this folder: export PYTHONPATH=\$PWD"):
        find_plan("unfound_lab.plan")
    with pytest.raises(Unusable, match="'nowhere'; install it, or name its folder in PYTHONPATH"):
        find_plan("nowhere.plan")
