"""What a person is told about a wrong file: where, what was found, what would be right."""
# ruff: noqa: E501 - a table of messages reads best with each on its line

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.user_files.plain_yaml import Unreadable, parsed
from orchestrator.adapters.user_files.spec_files import (
    find_campaign,
    find_instrument,
    line_of,
    read_campaign,
    read_instrument,
    twin_folders,
)
from orchestrator.campaign_files import read_files
from orchestrator.domain.errors import Problem, SpecError, Unusable
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.together import disagreements

WITH_NAMES = """name: sty
instrument: flow-chemistri
plan: {name: steady_state_sampel, args: {detector: hplc, settle_residence_times: 3}}
parameters: {x: {device: temperature, range: [30, 120], unit: degC}}
objectives: {sty: {goal: maximize}}
budget: {trials: 0}
"""
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "files.md"
JARGON = re.compile(
    r"input should|valid (array|object|tuple|string|integer|number)|tuple|dict|pydantic|"
    r"value error|field required|extra inputs|NoneType|python\b",
    re.IGNORECASE,
)

CAMPAIGN = """\
name: scan
instrument: bench
plan: {name: count}
parameters:
  x:
    device: stage.x
    range: [0, 10]
    unit: mm
objectives:
  y: {goal: maximize}
budget: {trials: 10}
"""
INSTRUMENT = """\
name: bench
mode: twin
devices:
  stage:
    class: lab.Stage
    unit: mm
    limits: [0, 10]
  heater: {class: lab.Heater, unit: degC, limits: [20, 200]}
"""


def _told(tmp_path: Path, text: str | bytes, read: Callable[[Path], Any]) -> list[str]:
    """Line, place and message of each problem, as a person reads them."""
    file = tmp_path / "file.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SpecError) as error:
        read(file)
    lines = str(error.value).splitlines()
    assert len(lines) == len(error.value.problems)
    for line in lines:
        assert line.startswith(str(file))
        assert not JARGON.search(line.removeprefix(str(file))), line
    return [line.removeprefix(str(file)) for line in lines]


def _campaign(tmp_path: Path, text: str | bytes) -> list[str]:
    return _told(tmp_path, text, read_campaign)


def _instrument(tmp_path: Path, text: str | bytes) -> list[str]:
    return _told(tmp_path, text, read_instrument)


# The page of the documentation


def _blocks() -> dict[str, str]:
    instrument, campaign = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {"instrument": instrument, "campaign": campaign}


def test_the_files_of_the_reference_page_are_right(tmp_path):
    blocks = _blocks()
    files = {name: tmp_path / f"{name}.yaml" for name in blocks}
    for name, text in blocks.items():
        files[name].write_text(text)
    campaign, lines = read_campaign(files["campaign"])
    instrument, _ = read_instrument(files["instrument"])
    assert disagreements(campaign, instrument) == []
    assert campaign.budget.beam_hours == 8
    assert campaign.parameters["temperature"].range == (30, 120)
    assert instrument.devices["hplc"].timeout_s == 120
    assert lines["parameters", "temperature"] == 8


@pytest.mark.parametrize("kind", ["instrument", "campaign"])
def test_the_reference_page_shows_the_shipped_files(kind):
    shipped = twin_folders()["flow-chemistry"] / f"{kind}.yaml"
    assert yaml.safe_load(_blocks()[kind]) == yaml.safe_load(shipped.read_text())


@pytest.mark.parametrize("model", [CampaignSpec, InstrumentSpec])
def test_the_reference_page_explains_every_key(model):
    schema = model.model_json_schema(by_alias=True)
    parts = [schema, *schema["$defs"].values()]
    explained = set(re.findall(r"^\| `([^`]+)`", PAGE.read_text(), re.MULTILINE))
    words = {word for name in explained for word in name.split(".")}
    in_prose = {"stop", "set"}  # of the steps of quiet and park
    assert {key for part in parts for key in part["properties"]} <= words | in_prose


def test_the_errors_of_the_reference_page_are_real(tmp_path):
    shown = re.findall(r"^campaign\.yaml(:.*)$", PAGE.read_text(), re.MULTILINE)
    text = CAMPAIGN.replace("scan", "a").replace(
        "parameters:\n  x:\n    device: stage.x\n    range: [0, 10]\n    unit: mm\n",
        "parameters:\n\n"
        "  temperature: {device: heater, range: [30]}\n"
        "  pressure: {devise: valve, device: valve, range: [1, 2]}\n"
        "constraints:\n"
        '  parameters: ["temperatur <= 1"]\n',
    )
    assert _campaign(tmp_path, text) == shown


# Values of the wrong kind


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("name: 5", ':1: name: found 5; must be text in quotes'),
        ("name: true", ":1: name: found true; must be text in quotes"),
        ("name:", ":1: name: found nothing; must be text in quotes"),
        ("name: 2026", ":1: name: found 2026; must be text in quotes"),
        (
            "name: My Scan",
            ":1: name: 'My Scan' must be 1 to 64 of a-z, 0-9, '-' and '_', "
            "starting with a letter or digit",
        ),
        ("plan: count", ':3: plan: found "count"; must be a mapping of keys to values'),
        ("plan: [count]", ':3: plan: found ["count"]; must be a mapping of keys to values'),
        (
            "plan: {name: count, args: [1]}",
            ":3: plan.args: found [1]; must be a mapping of keys to values",
        ),
        ("    range: 5", ":7: parameters.x.range: found 5; must be a list of two numbers, such as [1, 5]"),
        (
            "    range: [5]",
            ":7: parameters.x.range: found [5]; must be a list of two numbers, such as [1, 5]",
        ),
        (
            "    range: [1, 2, 3]",
            ":7: parameters.x.range: found [1, 2, 3]; must be a list of two numbers, such as [1, 5]",
        ),
        (
            "    range: {low: 1, high: 2}",
            ':7: parameters.x.range: found {"low": 1, "high": 2}; '
            "must be a list of two numbers, such as [1, 5]",
        ),
        ('    range: [0, "10"]', ':7: parameters.x.range.1: found "10"; must be a number'),
        ("    range: [0, true]", ":7: parameters.x.range.1: found true; must be a number"),
        ("    range: [0, 1_000]", ':7: parameters.x.range.1: found "1_000"; must be a number'),
        ("    range: [0, 007]", ':7: parameters.x.range.1: found "007"; must be a number'),
        ("    range: [0, 0x10]", ':7: parameters.x.range.1: found "0x10"; must be a number'),
        ("    range: [0, 1:30]", ':7: parameters.x.range.1: found "1:30"; must be a number'),
        ("    range: [0, nan]", ':7: parameters.x.range.1: found "nan"; must be a number'),
        ("    range: [0, .nan]", ":7: parameters.x.range.1: found .nan; must be a finite number"),
        ("    range: [0, .inf]", ":7: parameters.x.range.1: found .inf; must be a finite number"),
        ("    range: [-.INF, 1]", ":7: parameters.x.range.0: found -.INF; must be a finite number"),
        ("    range: [0, 1e999]", ":7: parameters.x.range.1: found 1e999; must be a finite number"),
        ("    range: [10, 0]", ":7: parameters.x.range: [10.0, 0.0] must be [lower, upper] with lower < upper"),
        ("    range: [1, 1]", ":7: parameters.x.range: [1.0, 1.0] must be [lower, upper] with lower < upper"),
        ("    unit: 5", ":8: parameters.x.unit: found 5; must be text in quotes"),
        ("  y: {goal: max}", ":10: objectives.y.goal: found \"max\"; must be 'maximize' or 'minimize'"),
        ("  y: maximize", ':10: objectives.y: found "maximize"; must be a mapping of keys to values'),
        ("budget: {trials: 0}", ":11: budget.trials: found 0; must be a whole number of at least 1"),
        ("budget: {trials: 2.0}", ":11: budget.trials: found 2.0; must be a whole number of at least 1"),
        ("budget: {trials: many}", ':11: budget.trials: found "many"; must be a whole number of at least 1'),
        ("budget: {trials: yes}", ':11: budget.trials: found "yes"; must be a whole number of at least 1'),
        (
            "budget: {trials: 1, beam_hours: 0}",
            ":11: budget.beam_hours: found 0; must be a number above 0",
        ),
        (
            "budget: {trials: 1, deadline: 2026-12-24}",
            ":11: budget.deadline: '2026-12-24' needs an offset from UTC, "
            "such as 2026-12-24T00:00:00+01:00",
        ),
        (
            "budget: {trials: 1, deadline: soon}",
            ":11: budget.deadline: 'soon' is no ISO time; write for example 2026-12-24T08:00:00+01:00",
        ),
        (
            "budget: {trials: 1}\noptimizer: {seed: 2147483648}",
            ":12: optimizer.seed: found 2147483648; "
            "must be a whole number of at least 0 and below 2147483648",
        ),
        (
            "budget: {trials: 1}\npolicy: {consumes_sample: on}",
            ':12: policy.consumes_sample: found "on"; must be true or false',
        ),
        (
            "budget: {trials: 1}\nreduce: {timeout_s: 0}",
            ":12: reduce.timeout_s: found 0; must be a number above 0 and of at most 86400",
        ),
        (
            "budget: {trials: 1}\nreduce:\n  timeout: 5",
            ":13: reduce.timeout: unknown key 'timeout'; did you mean 'timeout_s'?",
        ),
        (
            "budget: {trials: 1}\nvalid: y >= 1",
            ':12: valid: found "y >= 1"; must be a list',
        ),
        (
            "budget: {trials: 1}\nvalid:\n  - y >= 1\n  - y ** 2 >= 1",
            ":14: valid.1: 'y ** 2 >= 1': 'y ** 2' is neither a name nor a number",
        ),
        (
            "budget: {trials: 1}\nstop: {target: {y: 5}}",
            ":12: stop.target.y: found 5; must be text in quotes",
        ),
        (
            'budget: {trials: 1}\nstop: {target: {y: "5"}}',
            ":12: stop.target.y: '5' must begin with '>=' or '<=', for example '>= 10'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_line(tmp_path, wrong, told):
    key = wrong.split(":")[0]
    lines = [wrong if re.match(rf"{key}:", line) else line for line in CAMPAIGN.splitlines()]
    assert _campaign(tmp_path, "\n".join(lines)) == [told]


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ("[]", "choices: found []; must be a list of at least 1 value"),
        ("5", "choices: found 5; must be a list of at least 1 value"),
        ("[1, {a: 2}]", 'choices.1: found {"a": 2}; must be a number or text in quotes or true or false'),
        ("[1, null]", "choices.1: found nothing; must be a number or text in quotes or true or false"),
        ("[1, 1.0, 2]", "choices: has the same choice twice in [1, 1.0, 2]"),
    ],
)  # fmt: skip
def test_wrong_choices(tmp_path, choices, told):
    text = CAMPAIGN.replace("range: [0, 10]", f"choices: {choices}")
    assert _campaign(tmp_path, text) == [f":7: parameters.x.{told}"]


def test_what_looks_odd_and_is_right(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text(
        CAMPAIGN.replace("range: [0, 10]", "choices: [on, off, no, 2026-12-24, 1:30, y, 1e3]")
        .replace("{name: count}", "{name: count, args: {when: 2026-12-24, n: 0o7, e: 5e-324}}")
        .replace("instrument: bench", "instrument: ./on")
    )
    campaign, _ = read_campaign(file)
    choices = ("on", "off", "no", "2026-12-24", "1:30", "y", 1000.0)
    assert campaign.parameters["x"].choices == choices
    assert campaign.plan.args == {"when": "2026-12-24", "n": "0o7", "e": 5e-324}


@pytest.mark.parametrize("number", ["5", "+5", "5.0", "5.", "0.5e1", "5e0", "50E-1", ".5e+1"])
def test_numbers_as_people_write_them(tmp_path, number):
    file = tmp_path / "file.yaml"
    file.write_text(CAMPAIGN.replace("[0, 10]", f"[0, {number}]"))
    assert read_campaign(file)[0].parameters["x"].range == (0.0, 5.0)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + CAMPAIGN.replace("\n", "\r\n").encode())
    assert read_campaign(file)[1]["budget",] == 11


# Keys


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("budget:", "budgett:", ":11: budgett: unknown key 'budgett'; did you mean 'budget'?"),
        ("range:", "rnage:", ":7: parameters.x.rnage: unknown key 'rnage'; did you mean 'range'?"),
        ("goal:", "goals:", ":10: objectives.y.goals: unknown key 'goals'; did you mean 'goal'?"),
        (
            "{trials: 10}",
            "{trials: 10, beam_hour: 1}",
            ":11: budget.beam_hour: unknown key 'beam_hour'; did you mean 'beam_hours'?",
        ),
        (
            "{trials: 10}",
            "{trials: 10}\npolicy:\n  stop_after:\n    failed_in_row: 2",
            ":14: policy.stop_after.failed_in_row: unknown key 'failed_in_row'; "
            "did you mean 'failed_in_a_row'",
        ),
        (
            "{trials: 10}",
            "{trials: 10, colour: red}",
            ":11: budget.colour: unknown key 'colour'; there are ['beam_hours', 'deadline', 'trials']",
        ),
        (
            "  x:\n",
            "  9x:\n",
            ":5: parameters.9x: '9x' is no name: use letters, digits and _, not starting with a digit",
        ),
        (
            "  x:\n",
            "  lambda:\n",
            ":5: parameters.lambda: 'lambda' cannot be a name, because Python uses it; try 'lambda_'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_key_of_a_campaign(tmp_path, old, new, told, monkeypatch):
    monkeypatch.setattr(f"{__name__}.JARGON", re.compile("input should"))
    found = _campaign(tmp_path, CAMPAIGN.replace(old, new))
    assert any(line.startswith(told) for line in found)


def test_a_realignment_is_told_what_is_wrong_inside_it_and_nothing_else(tmp_path):
    sentinel = "sentinel: {at: {x: 1}, every: 3, then: {realign: {plan: m.align}}}\nbudget:"
    found = _campaign(tmp_path, CAMPAIGN.replace("budget:", sentinel))
    assert found == [
        ":11: sentinel.then.realign.name: key 'name' is missing",
        ":11: sentinel.then.realign.plan: unknown key 'plan'; there are ['args', 'name']",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            INSTRUMENT.replace("    limits:", "    limts:"),
            ":7: devices.stage.limts: unknown key 'limts'; did you mean 'limits'?",
        ),
        (
            INSTRUMENT.replace("{class: lab.Heater", "{klass: lab.Heater"),
            ":8: devices.heater.klass: unknown key 'klass'; did you mean 'class'?",
        ),
        (
            INSTRUMENT + "conditions:\n  - signal: A:B\n    suspend_abov: 3\n",
            ":11: conditions.0.suspend_abov: unknown key 'suspend_abov'; "
            "did you mean 'suspend_above' or",
        ),
        (
            INSTRUMENT + "park:\n  - {set: {heater: 20}}\n  - {sett: {heater: 20}}\n",
            ":11: park.1.sett: unknown key 'sett'; did you mean 'set'?",
        ),
        (
            INSTRUMENT.replace("class: lab.Stage", "prefix: A"),
            ":4: devices.stage.class: key 'class' is missing",
        ),
    ],
)
def test_a_wrong_key_of_an_instrument(tmp_path, text, told):
    assert any(line.startswith(told) for line in _instrument(tmp_path, text))


def test_missing_keys_stand_at_the_mapping_that_lacks_them(tmp_path):
    assert _campaign(tmp_path, "plan:\n  args: {}\nname: a\n") == [
        ":1: instrument: key 'instrument' is missing",
        ":1: plan.name: key 'name' is missing",
        ":1: parameters: key 'parameters' is missing",
        ":1: objectives: key 'objectives' is missing",
        ":1: budget: key 'budget' is missing",
    ]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("1", "1"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", "null"),
        ("~", "~"),
        ("? [a, b]\n", "a list or mapping"),
        ("? {a: b}\n", "a list or mapping"),
    ],
)
def test_a_key_is_a_name(tmp_path, key, found):
    told = _instrument(tmp_path, f"{INSTRUMENT}{key}: 3\n")
    assert told == [
        f":9: has {found} as a key; a key must be a name, in quotes if it looks like a number"
    ]


@pytest.mark.parametrize("key", ["on", "yes", "off", "n", "2026-12-24", "<<", "="])
def test_words_that_other_readers_take_for_something_else_are_keys_as_written(tmp_path, key):
    (told,) = _instrument(tmp_path, f"{INSTRUMENT}{key}: {{a: 1}}\n")
    assert told.startswith(f":9: {key}: unknown key '{key}'")


def test_a_key_given_twice_is_told_with_both_lines(tmp_path):
    assert _instrument(tmp_path, INSTRUMENT + "mode: real\n") == [
        ":9: mode: is given twice, first in line 2"
    ]
    assert ":6: devices.stage.class: is given twice, first in line 5" in _instrument(
        tmp_path, INSTRUMENT.replace("    unit: mm", '    "class": lab.Other')
    )


# YAML that is more, or less, than data


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("twin: &a flow", "twin: has the anchor &a; remove it"),
        ("twin: *a", "twin: uses the alias *a; write the value out"),
        ("twin: !!str flow", "twin: has the tag tag:yaml.org,2002:str; remove it"),
        ("twin: !flow x", "twin: has the tag !flow; remove it"),
        ("twin: ! x", "twin: has the tag !; remove it"),
        ("quiet: !!binary aGk=", "quiet: has the tag tag:yaml.org,2002:binary; remove it"),
        ("quiet: !!set {a, b}", "quiet: has the tag tag:yaml.org,2002:set; remove it"),
    ],
)
def test_a_file_is_data_and_nothing_else(tmp_path, line, told):
    assert _instrument(tmp_path, f"{INSTRUMENT}{line}\n") == [f":9: {told}"]


@pytest.mark.parametrize(
    "line",
    [
        "twin: !!python/object/apply:os.system [touch /tmp/x]",
        "twin: !!python/object:os.system {}",
        "twin: !!python/name:os.system",
        "twin: !!python/module:os",
        "? !!python/object/apply:os.system [x]\n: 1",
    ],
)
def test_python_objects_are_never_made(tmp_path, line, monkeypatch):
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(f"{__name__}.JARGON", re.compile("input should"))
    (told,) = _instrument(tmp_path, f"{INSTRUMENT}{line}\n")
    assert told.startswith(":9: ")


def test_billion_laughs_do_not_grow(tmp_path):
    levels = ['a0: &a0 ["ha", "ha"]']
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    told = _instrument(tmp_path, INSTRUMENT + "\n".join(levels))
    assert ":10: a1.0: uses the alias *a0; write the value out" in told
    assert ":9: a0: has the anchor &a0; remove it" in told


def test_an_alias_hides_no_other_mistake(tmp_path):
    text = INSTRUMENT.replace("twin\n", "twni\n").replace("class: lab.Stage", "class: *stage")
    assert _instrument(tmp_path, text) == [
        ":2: mode: found \"twni\"; must be 'twin' or 'real'",
        ":5: devices.stage.class: uses the alias *stage; write the value out",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ":1: is empty; it must hold keys and values, such as 'name: my-first'"),
        (b"\n# nothing\n", ":1: is empty; it must hold keys and values, such as 'name: my-first'"),
        (b"- a\n- b\n", ":1: is not a mapping; it must hold keys and values, such as 'name: my-first'"),
        (b"hello\n", ":1: is not a mapping; it must hold keys and values, such as 'name: my-first'"),
        (b"name: a\n\tmode: b\n", ":2: has a tab; indent with spaces"),
        (b"name: a\nunit: \xb0C\n", ":2: is not UTF-8 text (byte 0xB0); save it as UTF-8"),
        ("name: a\n".encode("utf-16"), ":1: is not UTF-8 text (byte 0xFF); save it as UTF-8"),
        (b"name: a\nmode: \x07\n", ":2: has the control character 0x07; remove it"),
        (b"---\nname: a\n---\nname: b\n", ":3: has a second document; remove the line '---'"),
        (b"a: " + b"[" * 10_000, ":1: is nested deeper than 20 levels"),
        (b"\n".join(b" " * n + b"a:" for n in range(25)), ":20: is nested deeper than 20 levels"),
        (b"#" * 300_000, ": is larger than 256 kB, which no file of this kind needs to be"),
        (
            b"a: %\n",
            ":1: is no valid YAML: found character '%' that cannot start any token; "
            "put text that begins with a special character in quotes",
        ),
        (
            b"name: a\nunit: b: c\n",
            ":2: is no valid YAML: mapping values are not allowed here; "
            "put text that has a colon and a space in quotes",
        ),
        (
            b"a: {b: 1\nc: 2\n",
            ":2: is no valid YAML: expected ',' or '}', but got ':', "
            "while parsing a flow mapping that begins in line 1",
        ),
        (
            b"a: 'b\nc: 2\n",
            ":3: is no valid YAML: found unexpected end of stream, "
            "while scanning a quoted scalar that begins in line 1",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read(tmp_path, content, told):
    assert _instrument(tmp_path, content) == [told]


def test_a_file_of_the_largest_size_is_read(tmp_path):
    file = tmp_path / "file.yaml"
    filler = "# filler\n" * ((256 * 1024 - len(INSTRUMENT)) // 9)
    file.write_text(INSTRUMENT + filler)
    assert read_instrument(file)[0].name == "bench"


def test_a_number_of_thousands_of_digits(tmp_path):
    (told,) = _campaign(tmp_path, CAMPAIGN.replace("10}", "9" * 5000 + "}"))
    assert told == f":11: budget.trials: found {'9' * 40}; must be a finite number"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Unusable, match=r"cannot read .*none\.yaml: No such file"):
        read_campaign(tmp_path / "none.yaml")
    with pytest.raises(Unusable, match="Is a directory"):
        read_campaign(tmp_path)


# Keys that contradict each other


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    device: stage.x\n",
            "",
            ":5: parameters.x: has neither of 'device' and 'arg'; give exactly one of them",
        ),
        (
            "    device: stage.x\n",
            "    device: stage.x\n    arg: x\n",
            ":5: parameters.x: has both of 'device' and 'arg'; give exactly one of them",
        ),
        (
            "    range: [0, 10]\n",
            "",
            ":5: parameters.x: has neither of 'range' and 'choices'; give exactly one of them",
        ),
        (
            "    range: [0, 10]\n",
            "    range: [0, 10]\n    choices: [1, 2]\n",
            ":5: parameters.x: has both of 'range' and 'choices'; give exactly one of them",
        ),
        (
            "    unit: mm\n",
            "    scale: log\n",
            ":7: parameters.x.range: has scale log, so the range [0, 10] must be above 0",
        ),
        (
            "    range: [0, 10]\n",
            "    range: [0.5, 10]\n    type: int\n",
            ":7: parameters.x.range: has type int, so the range [0.5, 10] needs whole numbers",
        ),
        (
            "    range: [0, 10]\n",
            "    choices: [1, 2]\n    scale: log\n    type: int\n",
            ":8: parameters.x.scale: scale log needs a range; choices have no scale",
        ),
        (
            "    range: [0, 10]\n",
            "    choices: [1]\n    ordered: true\n",
            ":8: parameters.x.ordered: one choice has no order; remove it",
        ),
        (
            "    range: [0, 10]\n",
            "    choices: [1]\n",
            ":4: parameters: nothing varies: each has one choice; 'optimizer: {method: sobol}' "
            "repeats it",
        ),
        (
            "    unit: mm\n",
            "    ordered: true\n",
            ":8: parameters.x.ordered: only choices can be ordered; a range always is",
        ),
        (
            "  y: {goal: maximize}\n",
            "  y: {goal: maximize}\n  x: {goal: minimize}\n",
            ":11: objectives.x: outcome 'x' and parameter 'x' would share the column 'x' "
            "of the results table; rename one",
        ),
        (
            "  y: {goal: maximize}\n",
            "  y: {goal: maximize}\n  y_sem: {goal: minimize}\n",
            ":11: objectives.y_sem: outcome 'y_sem' and outcome 'y' would share the column 'y_sem' "
            "of the results table; rename one",
        ),
        (
            "  x:\n",
            "  state:\n",
            ":5: parameters.state: 'state' is a column of the results table; rename it",
        ),
        (
            "budget:",
            'constraints:\n  parameters:\n    - "x <= 5"\n    - "xx <= 1"\nbudget:',
            ":14: constraints.parameters.1: 'xx' is no parameter; did you mean 'x'?",
        ),
        (
            "budget:",
            'constraints:\n  parameters: ["x >= 11"]\nbudget:',
            ":12: constraints.parameters.0: 'x >= 11' holds nowhere in the ranges of its parameters",
        ),
        (
            "    range: [0, 10]\n    unit: mm\nobjectives:",
            '    choices: [0, 10]\nconstraints: {parameters: ["x <= 5"]}\nobjectives:',
            ":8: constraints.parameters.0: 'x' is not on a linear range, so it cannot be constrained",
        ),
        (
            "budget:",
            'constraints: {outcomes: ["attempts <= 3"]}\nbudget:',
            ":11: constraints.outcomes.0: outcome 'attempts' and the table itself would share "
            "the column 'attempts' of the results table; rename one",
        ),
        (
            "budget:",
            'stop:\n  target:\n    y: ">= 1"\n    yy: ">= 1"\nbudget:',
            ":14: stop.target.yy: 'yy' is no objective and no constrained outcome; did you mean 'y'?",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_in_a_campaign(tmp_path, old, new, told):
    assert old in CAMPAIGN
    assert told in _campaign(tmp_path, CAMPAIGN.replace(old, new))


INSIDE_STAGE = {
    "spends": ("spends: {doze: {set: 1}}", "budgets: {dose: {limit: 5}}\n"),
    "axes": ("axes: {x: [0, 5]}", "park:\n  - set:\n      stage.x: 7\n      stage.y: 7\n"),
}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("mode", ":9: gate: mode real needs a gate that keeps a second driver out, such as 'gate: flock'"),
        ("quiet: [{stop: [heater, stge.x]}]", ":9: quiet.0.stop.1: 'stge.x' is no device of this instrument; did you mean 'stage'?"),
        ("move_order: [stage.x, laser]", ":9: move_order.1: 'laser' is no device of this instrument; there are ['heater', 'stage']"),
        ("constraints:\n  - stage.x <= 5\n  - heat <= 5", ":11: constraints.1: 'heat' is no device of this instrument; did you mean 'heater'?"),
        ("park:\n  - set: {heater: 20}\n  - set: {laser: 1}", ":11: park.1.set.laser: 'laser' is no device of this instrument; there are ['heater', 'stage']"),
        ("park:\n  - set:\n      stage.x: 10.5", ":11: park.0.set.stage.x: 10.5 leaves the limits [0, 10] of device 'stage.x'"),
        ("conditions: [{signal: A, wait_s: 1}]", ":9: conditions.0: needs 'suspend_above' or 'suspend_below'"),
        ("conditions: [{signal: A, suspend_above: 5, resume_above: 6}]", ":9: conditions.0.resume_above: 'resume_above' needs 'suspend_below'"),
        ("conditions: [{signal: A, suspend_above: 5, resume_below: 6}]", ":9: conditions.0.resume_below: 6 is above 'suspend_above: 5'; it must not be"),
        ("conditions: [{signal: A, suspend_below: 5, resume_above: 4}]", ":9: conditions.0.resume_above: 4 is below 'suspend_below: 5'; it must not be"),
        ("conditions: [{signal: A, suspend_below: 6, suspend_above: 5}]", ":9: conditions.0.suspend_below: 6 is not below 'suspend_above: 5', so no value would ever be good"),
        ("conditions: [{signal: A, suspend_below: 6, on_trip: [{set: {heater: 20}, stop: [heater]}]}]", ":9: conditions.0.on_trip.0: needs exactly one of 'stop' and 'set'"),
        ("conditions: [{signal: A, suspend_below: 6, on_trip: [{stop: [heat]}]}]", ":9: conditions.0.on_trip.0.stop.0: 'heat' is no device of this instrument; did you mean 'heater'?"),
        ("conditions: [{signal: A, suspend_below: 6, on_resume: [{set: {stage.x: 11}}]}]", ":9: conditions.0.on_resume.0.set.stage.x: 11 leaves the limits [0, 10] of device 'stage.x'"),
        ("budgets: {dose: {limit: 5, reserve: 6}}", ":9: budgets.dose.reserve: 6 is above 'limit: 5'"),
        ("spends", ":5: devices.stage.spends.doze: 'doze' is no budget of this instrument; did you mean 'dose'?"),
        ("axes", ":12: park.0.set.stage.x: 7 leaves the limits [0, 5] of device 'stage.x'"),
    ],
)  # fmt: skip
def test_a_contradiction_in_an_instrument(tmp_path, more, told):
    text = INSTRUMENT + more + "\n"
    if more == "mode":
        text = INSTRUMENT.replace("mode: twin", "mode: real") + "gate: none\n"
    if more in INSIDE_STAGE:
        inside, after = INSIDE_STAGE[more]
        text = INSTRUMENT.replace("  stage:\n", f"  stage:\n    {inside}\n") + after
    assert _instrument(tmp_path, text) == [told]


def test_a_device_without_limits_is_not_parked(tmp_path):
    text = INSTRUMENT.replace("    limits: [0, 10]\n", "") + "park: [{set: {stage.x: 1}}]\n"
    assert _instrument(tmp_path, text) == [
        ":8: park.0.set.stage.x: 'stage.x' has no limits in this file, so it may not be set"
    ]


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path):
    text = """\
name: Scan!
instrument: bench
plan: {name: count, args: {n: .inf}}
parameters:
  x: {device: stage.x, range: [10, 0], unit: 5}
  z: {range: [0, 1]}
objectives:
  y: {goal: up}
constraints:
  parameters: ["xx <= 5", "x * z <= 1"]
budget: {trials: many, hours: 1}
name: again
stop: {target: {w: ">= 1"}}
"""
    found = _campaign(tmp_path, text)
    assert [line.split(" ")[0] + line.split(" ")[1] for line in found] == [
        ":3:plan.args.n:",
        ":5:parameters.x.range:",
        ":5:parameters.x.unit:",
        ":6:parameters.z:",
        ":8:objectives.y.goal:",
        ":10:constraints.parameters.1:",
        ":10:constraints.parameters.0:",
        ":11:budget.trials:",
        ":11:budget.hours:",
        ":12:name:",
        ":13:stop.target.w:",
    ]


def test_a_misspelt_section_does_not_make_names_wrong(tmp_path):
    text = CAMPAIGN.replace("objectives:", "objective:") + 'stop: {target: {y: ">= 1"}}\n'
    assert [line.split(";")[0] for line in _campaign(tmp_path, text)] == [
        ":1: objectives: key 'objectives' is missing",
        ":9: objective: unknown key 'objective'",
    ]
    text = CAMPAIGN.replace("parameters:", "parameter:")
    text += 'constraints: {parameters: ["x <= 5"]}\n'
    assert [line.split(";")[0] for line in _campaign(tmp_path, text)] == [
        ":1: parameters: key 'parameters' is missing",
        ":4: parameter: unknown key 'parameter'",
    ]


# Whatever is in a file, the answer is a spec or a list of problems


def _problems(read: Callable[[Path], Any], file: Path) -> tuple[Problem, ...]:
    """What is wrong with a file; empty when it could be read."""
    try:
        read(file)
    except SpecError as error:
        if error.problems:
            return error.problems
        raise
    return ()


scraps = st.sampled_from(
    [*INSTRUMENT.splitlines(), "- a", "{", "}", "[", "*a", "&a", "!x", "'", '"', "\t", "? ", ": ", "|", "---"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(scraps | st.text(max_size=8), max_size=12).map("\n".join))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "replace"))
    _problems(read_instrument, file)


texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"), max_size=6
)  # without what YAML takes for the end of a line
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(texts, values, min_size=1, max_size=4))
def test_plain_data_is_read_as_it_was_written(data):
    text = json.dumps(data, ensure_ascii=False)  # JSON is YAML, and its floats are exact
    try:
        document = parsed(text.encode())
    except Unreadable as error:
        assume("control character" not in str(error))
        raise
    assert document.problems == []
    assert repr(document.data) == repr(data)


mistakes = st.sampled_from(
    ["5", "-1", "true", "null", "[]", "{}", "x", "[1, 2]", "{a: 1}", "1e400", "[[1], 2]", '"<= 1"']
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_value_in_any_place_is_judged(tmp_path_factory, data):
    whole = yaml.safe_load(
        _blocks()[kind := data.draw(st.sampled_from(["campaign", "instrument"]))]
    )
    path, inner = [], whole
    while isinstance(inner, (dict, list)) and inner and (not path or data.draw(st.booleans())):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        path.append(data.draw(st.sampled_from(keys)))
        outer, inner = inner, inner[path[-1]]
    outer[path[-1]] = "MISTAKE"
    text = json.dumps(whole, indent=1).replace('"MISTAKE"', data.draw(mistakes))
    file = tmp_path_factory.getbasetemp() / "mistake.yaml"
    file.write_text(text)
    for problem in _problems(read_campaign if kind == "campaign" else read_instrument, file):
        assert problem.line
        assert not JARGON.search(problem.message)


# Where things are


def test_the_line_of_a_place_or_of_what_is_around_it(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text(INSTRUMENT + "park:\n  - set:\n      stage.x: 1\n")
    _, lines = read_instrument(file)
    assert line_of(lines, "devices.stage.limits") == 7
    assert line_of(lines, "devices.stage.limits.1") == 7
    assert line_of(lines, "devices.stage.settle_s") == 4
    assert line_of(lines, "park.0.set.stage.x") == 11
    assert line_of(lines, "reduce.call") == 1
    assert line_of({}, "anything") is None


def test_a_campaign_is_a_file_or_a_twin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(CAMPAIGN)
    assert find_campaign("mine.yaml") == Path("mine.yaml")
    assert read_campaign(find_campaign("flow-chemistry"))[0].instrument == "flow-chemistry"
    with pytest.raises(Unusable, match="did you mean 'flow-chemistry'"):
        find_campaign("flow-chemsitry")


def test_a_setpoint_without_a_tolerance_is_told_when_its_file_is_read(tmp_path):
    pair = "{class: devices.SetpointReadback, prefix: X, limits: [0, 1]KWARGS}"
    text = f"name: lab\nmode: twin\ndevices:\n  heater: {pair}\n"
    assert _instrument(tmp_path, text.replace("KWARGS", "")) == [
        ":4: devices.heater: needs 'tolerance': the largest distance from the setpoint that is there"
    ]
    file = tmp_path / "given.yaml"
    file.write_text(text.replace("KWARGS", ", kwargs: {tolerance: 0.1}"))
    assert read_instrument(file)[0].devices["heater"].kwargs == {"tolerance": 0.1}


def test_an_unknown_instrument_and_plan_are_told_with_all_else(tmp_path):
    file = tmp_path / "campaign.yaml"
    file.write_text(WITH_NAMES)
    with pytest.raises(SpecError) as error:
        read_files(str(file))
    problems = error.value.problems
    assert [one.line for one in problems] == [2, 3, 6]
    assert "neither a file" in problems[0].message
    assert "did you mean 'steady_state_sample'?" in problems[1].message
    file.write_text(WITH_NAMES.replace("trials: 0", "trials: 5").replace("_sampel", "_sample"))
    with pytest.raises(SpecError, match=r"campaign.yaml:2: instrument: there is neither a file"):
        read_files(str(file))


def test_an_instrument_is_found_beside_its_campaign(tmp_path):
    (tmp_path / "lab.yaml").write_text(INSTRUMENT)
    assert find_instrument("lab.yaml", tmp_path / "scan.yaml") == tmp_path / "lab.yaml"
    assert find_instrument("soft", tmp_path / "scan.yaml").name == "instrument.yaml"
    with pytest.raises(Unusable, match="neither a file"):
        find_instrument("lab.yml", tmp_path / "scan.yaml")


@pytest.mark.parametrize("twin", sorted(twin_folders()))
def test_shipped_files_are_right(twin):
    campaign, _ = read_campaign(find_campaign(twin))
    instrument, _ = read_instrument(find_instrument(campaign.instrument, find_campaign(twin)))
    assert disagreements(campaign, instrument) == []
