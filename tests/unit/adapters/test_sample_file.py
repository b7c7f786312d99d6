import pytest

from orchestrator.adapters.user_files.sample_file import BadSamples, read_samples, written
from orchestrator.adapters.user_files.spec_files import read_campaign
from orchestrator.domain.errors import SpecError

CAMPAIGN = """
name: plate
instrument: bench
plan: {name: count}
samples: {file: samples.csv}
parameters:
  x: {device: x, range: [0, 1]}
  sample: {arg: sample, choices: samples}
objectives: {y: {goal: maximize}}
budget: {trials: 5}
"""
SAMPLES = "position, amount, uses left\nA1, 5 mg, 3\nA2, , 0\n"


def write(folder, samples=SAMPLES, campaign=CAMPAIGN):
    (folder / "samples.csv").write_text(samples)
    (folder / "campaign.yaml").write_text(campaign)
    return folder / "campaign.yaml"


def test_the_list_becomes_the_choices_of_a_parameter(tmp_path):
    campaign, _ = read_campaign(write(tmp_path))
    assert campaign.parameters["sample"].choices == ("A1", "A2")
    assert campaign.samples is not None
    assert campaign.samples.parameter == "sample"
    assert campaign.samples.uses == {"A1": 3, "A2": 0}
    assert campaign.samples.list[0].amount == "5 mg"
    assert type(campaign).from_data(campaign.to_data()) == campaign


def test_a_list_with_one_position_holds_the_parameter_there(tmp_path):
    campaign, _ = read_campaign(write(tmp_path, samples="position,uses left\nA1,3\n"))
    assert campaign.parameters["sample"].choices == ("A1",)


def test_a_list_that_cannot_be_used_is_the_only_mistake_that_is_told(tmp_path):
    with pytest.raises(SpecError) as error:
        read_campaign(write(tmp_path, samples="position,uses left\nA1,many\n"))
    (problem,) = error.value.problems
    assert (problem.place, problem.line) == ("samples.file", 5)


def test_what_is_written_is_read_again(tmp_path):
    rows = [{"position": 'a "1", left', "amount": "2 ml", "uses left": 4, "reserved": 1}]
    (tmp_path / "s.csv").write_text(written(rows))
    assert read_samples(tmp_path / "s.csv") == [
        {"position": 'a "1", left', "amount": "2 ml", "uses": 4}
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lists no sample"),
        ("position,amount\nA1,3\n", "no column 'uses left'; it has"),
        ("position,uses left\nA1,3\nA1,2\n", "s.csv:3: position 'A1' is there twice"),
        ("position,uses left\n,3\n", "s.csv:2: a sample without a position"),
        ("position,uses left\nA1,-1\n", "'uses left' is '-1'; must be 0, 1, 2"),
        ("position,uses left\nA1\n", "'uses left' is ''"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path, text, complaint):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(BadSamples, match=complaint):
        read_samples(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("file: samples.csv", "file: gone.csv", "campaign.yaml:5: samples.file: cannot read"),
        ("samples: {file: samples.csv}\n", "", "parameters.sample.choices: needs a list"),
        ("choices: samples", "choices: [A, B]", "samples: must be the choices of one parameter"),
    ],
)
def test_a_campaign_whose_samples_do_not_fit(tmp_path, old, new, place):
    assert old in CAMPAIGN
    with pytest.raises(SpecError, match=place):
        read_campaign(write(tmp_path, campaign=CAMPAIGN.replace(old, new)))
