import dataclasses
import math

import pytest

import tiny
from soundstream.train.checkpoint import Progress
from soundstream.train.guard import WON_STEPS, Contest


@pytest.fixture
def learner():
    made = tiny.learner()
    made.progress = Progress(step=1000)
    return made


def played(learner, contest, losses, every=25):
    """What is said at looks that find these losses of the discriminators."""
    said = []
    for loss in losses:
        learner.progress = dataclasses.replace(learner.progress, step=learner.progress.step + every)
        said.append(contest.check({"discriminator": loss} if loss is not None else {}))
    return said


def test_discriminators_that_win_for_long_have_their_rate_halved_again_and_again(learner):
    said = played(learner, Contest(learner), [0.3] * (2 * WON_STEPS // 25))
    assert [i for i, text in enumerate(said) if text] == [WON_STEPS // 25 - 1, 2 * WON_STEPS // 25 - 1]
    assert learner.progress.discriminator_rate_factor == 0.25
    assert "discriminators win" in said[WON_STEPS // 25 - 1] and "0.5" in said[WON_STEPS // 25 - 1]


@pytest.mark.parametrize("else_", [0.6, None, math.nan], ids=["a draw", "no discriminators", "no number"])
def test_one_look_that_finds_something_else_starts_the_count_anew(learner, else_):
    looks = WON_STEPS // 25 - 1
    assert not any(played(learner, Contest(learner), [0.3] * looks + [else_] + [0.3] * looks))
    assert learner.progress.discriminator_rate_factor == 1
