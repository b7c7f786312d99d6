import pandas as pd
import pytest

from plans.channel_means import reduce_channel_means


class Run(dict[str, pd.DataFrame]):
    def __init__(self, detectors: list[str], **columns: list[float]) -> None:
        super().__init__(primary=pd.DataFrame(columns))
        self.start = {"detectors": detectors}


def test_each_channel_is_an_outcome_with_the_error_of_its_mean():
    first = Run(["laser"], power=[5.0, 5.0], laser_width=[1.0, 2.0], laser_depth=[7.0, 7.0])
    second = Run(["laser"], power=[5.0], laser_width=[3.0], laser_depth=[7.0])
    first["primary"].attrs["units"] = {"laser_width": "um"}
    mean, sem, unit = reduce_channel_means([first, second])["width"]
    assert (mean, unit) == (2.0, "um")
    assert sem == pytest.approx(1 / 3**0.5)
    assert reduce_channel_means([first, second])["depth"] == (7.0, 0.0, None)


def test_a_single_reading_has_no_error():
    assert reduce_channel_means([Run(["laser"], laser_width=[2.0])]) == {"width": (2.0, None, None)}


@pytest.mark.parametrize(
    ("detectors", "words"),
    [([], "exactly one"), (["laser", "camera"], "exactly one"), (["camera"], "'camera_'")],
)
def test_what_cannot_be_assigned_is_refused_in_words(detectors: list[str], words: str):
    with pytest.raises(ValueError, match=words):
        reduce_channel_means([Run(detectors, laser_width=[2.0])])
