"""Frozen files of every entropy mode give the codes that they were made of, however they are read."""

import io

import numpy as np
import pytest

import soundstream.codec.packing
from golden import make_golden
from soundstream.bitstream import Reader
from soundstream.codec.packing import MODES

EXPECTED = make_golden.parts()


def read(name, stream=None):
    reader = Reader(stream or io.BytesIO(frozen(name)))
    return list(make_golden.coding().unpack(reader, reader.header)), reader


def frozen(name):
    return (make_golden.HERE / f"{name}.nac").read_bytes()


def assert_codes(found):
    assert len(found) == len(EXPECTED)
    for codes, expected in zip(found, EXPECTED, strict=True):
        np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("name", MODES)
def test_a_golden_file_gives_its_codes_and_its_samples(name):
    codes, reader = read(name)
    assert_codes(codes)
    assert reader.header.entropy_mode == MODES.index(name)
    assert reader.num_samples == 113_001 and reader.header.tags == {"title": "Été"}


@pytest.mark.parametrize("mode", range(len(MODES)))
def test_the_same_codes_give_the_golden_file(mode, tmp_path):
    make_golden.write(tmp_path / "again.nac", mode)
    assert (tmp_path / "again.nac").read_bytes() == frozen(MODES[mode])


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("at_once", [1, 2, 3, 16])
def test_how_many_packets_are_decoded_at_once_changes_nothing(name, at_once, monkeypatch):
    monkeypatch.setattr(soundstream.codec.packing, "MAX_AT_ONCE", at_once)
    assert_codes(read(name)[0])


class Dribble(io.BytesIO):
    """A pipe that gives one byte at a time."""

    def read(self, size=-1):
        return super().read(min(size, 1) if size > 0 else size)


@pytest.mark.parametrize("name", MODES)
def test_bytes_may_come_one_by_one(name):
    assert_codes(read(name, Dribble(frozen(name)))[0])


def test_other_modes_need_other_bytes_for_the_same_codes():
    assert len({frozen(name) for name in MODES}) == len(MODES)


@pytest.mark.parametrize("mode", range(len(MODES)))
def test_a_golden_file_of_several_strides_gives_its_codes(mode, tmp_path):
    name = make_golden.STACK_FILES[mode]
    reader = Reader(io.BytesIO(frozen(name)))
    found = list(make_golden.stack_coding().unpack(reader, reader.header))
    for codes, expected in zip(found, make_golden.stack_parts(), strict=True):
        np.testing.assert_array_equal(codes, expected)
    assert (reader.header.stack, reader.header.version, reader.num_samples) == (make_golden.STACK, 2, 58_000)
    assert reader.header.entropy_mode == mode
    make_golden.write_stack(tmp_path / "again.nac", mode)
    assert (tmp_path / "again.nac").read_bytes() == frozen(name)


def test_a_golden_file_of_joint_channels_gives_its_codes_and_gains(tmp_path):
    reader = Reader(io.BytesIO(frozen("joint")))
    found = make_golden.joint_coding().unpack(reader, reader.header)
    for codes, expected in zip(found, make_golden.joint_parts(), strict=True):
        np.testing.assert_array_equal(codes, expected)
    header = reader.header
    assert (header.version, header.channels, header.joint_channels, header.side_numbers) == (2, 2, 2, 1)
    make_golden.write_joint(tmp_path / "again.nac")
    assert (tmp_path / "again.nac").read_bytes() == frozen("joint")


@pytest.mark.parametrize("mode", range(len(MODES)))
def test_a_golden_file_of_counts_gives_its_codes(mode, tmp_path):
    name = make_golden.COUNTS_FILES[mode]
    found, reader = read(name)
    for codes, expected in zip(found, make_golden.counts_parts(), strict=True):
        np.testing.assert_array_equal(codes, expected)
    assert (reader.header.version, reader.header.frame_counts, reader.header.entropy_mode) == (2, True, mode)
    make_golden.write_counts(tmp_path / "again.nac", mode)
    assert (tmp_path / "again.nac").read_bytes() == frozen(name)
