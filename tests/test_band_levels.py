"""Levels of bands, frame by frame, and what they lack."""

from __future__ import annotations

import numpy as np
import pytest

from soundstream.analysis.band_levels import Lack, LevelMeter
from soundstream.arrays import Array

EDGES = [0, 3, 10, 40]
"""0, 300, 1,000 and 4,000 Hz."""


def tone(hz: float, level: float = 0.3) -> Array:
    return (level * np.sin(2 * np.pi * hz * np.arange(8000) / 8000)).astype(np.float32)


def levels_db(pcm: Array) -> Array:
    return LevelMeter(EDGES, 8000, 40).push(pcm)


def test_levels_are_those_of_the_band_that_a_tone_is_in():
    quiet, loud = (levels_db(tone(600, level)) for level in (0.03, 0.3))
    np.testing.assert_allclose((loud - quiet)[20:, 1], 20, atol=0.1)
    assert (loud[20:, 1] > loud[20:, [0, 2]].max(axis=1) + 20).all()


def test_no_level_depends_on_what_comes_after_its_frame():
    whole, cut = tone(600), tone(600)
    cut[4000:] = 0
    levels = [levels_db(pcm) for pcm in (whole, cut)]
    np.testing.assert_array_equal(levels[0][:100], levels[1][:100])
    assert (levels[0][100:110] != levels[1][100:110]).any()


def test_parts_have_the_levels_of_the_whole():
    pcm, meter = tone(600), LevelMeter(EDGES, 8000, 40)
    parts = [meter.push(pcm[a:b]) for a, b in ((0, 40), (40, 40), (40, 2000), (2000, 8000))]
    np.testing.assert_array_equal(np.concatenate(parts), levels_db(pcm))


def test_a_sound_is_silent_behind_its_end():
    pcm = tone(600)
    np.testing.assert_array_equal(LevelMeter(EDGES, 8000, 40).first(pcm, 150), levels_db(pcm)[:150])
    assert (LevelMeter(EDGES, 8000, 40).first(pcm, 210)[206:] == -60).all()


@pytest.mark.parametrize("known", [True, False])
def test_gains_are_what_levels_lack_and_inaudible_ones_lack_nothing(known: bool):
    wanted = np.full((40, 2), 30.0, np.float32)
    wanted[20:, 1] = -60
    lacking = Lack(2, wanted.max(axis=0) if known else None).push(wanted, wanted - np.array([6, 3], np.float32))
    assert lacking[19] == pytest.approx([6, 3], abs=0.01)
    assert abs(lacking[-1, 1]) < 0.01
