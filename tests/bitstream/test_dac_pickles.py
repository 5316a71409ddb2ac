"""Files of DAC's own program: read by a whitelist, and whatever else they hold is refused by name."""

import io
import os
import pickle
import random
import struct

import numpy as np
import pytest

from soundstream.bitstream import dac
from soundstream.errors import BadMagic, BitstreamError, InvalidField, Truncated, UnsupportedVersion

CODES = np.random.default_rng(0).integers(0, 1024, (2, 9, 144)).astype(np.uint16)
METADATA = {
    "input_db": np.array([-23.5], np.float32),
    "original_length": 57_044,
    "sample_rate": 44_100,
    "chunk_length": 72,
    "channels": 2,
    "padding": False,
    "dac_version": "1.0.0",
}


def file_of(content, protocol=4, header=None):
    """What NumPy's `save` writes of an object."""
    whole = np.empty((), object)
    whole[()] = content
    np.save(stream := io.BytesIO(), whole)
    written = stream.getvalue()
    header = header or written[: written.index(b"\n") + 1]
    return header + pickle.dumps(whole, protocol)


def changed(**facts):
    """A file some of whose facts are others."""
    return file_of({"codes": facts.pop("codes", CODES), "metadata": METADATA | facts})


GOOD = changed()
HEAD = GOOD[: GOOD.index(b"\n") + 1]


@pytest.mark.parametrize("protocol", [3, 4])
def test_codes_and_facts_are_read(protocol):
    found = dac.parse(file_of({"codes": CODES, "metadata": METADATA}, protocol))
    np.testing.assert_array_equal(found.codes, CODES)
    facts = found.chunk_frames, found.padded, found.sample_rate, found.num_samples, found.input_db
    assert facts == (72, False, 44_100, 57_044, -23.5)


def test_numpys_old_name_and_another_order_of_memory_are_read():
    old = file_of({"codes": np.asfortranarray(CODES), "metadata": METADATA}, 3)
    found = dac.parse(old.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(found.codes, CODES)


def test_a_header_of_version_2_is_read():
    text = HEAD[10:]
    header = dac.MAGIC + bytes([2, 0]) + struct.pack("<I", len(text)) + text
    found = dac.parse(file_of({"codes": CODES, "metadata": METADATA}, header=header))
    np.testing.assert_array_equal(found.codes, CODES)


class Harmful:
    """What runs a command when Python's own reader unpickles it."""

    def __reduce__(self):
        return os.system, ("touch harm",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("place", ["codes", "metadata", "whole"])
def test_nothing_is_executed(protocol, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = Harmful() if place == "whole" else {"codes": CODES, "metadata": METADATA} | {place: Harmful()}
    with pytest.raises(InvalidField, match="nothing was executed"):
        dac.parse(file_of(content, protocol))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "operations",
    [
        b"cos\nsystem\n(S'touch harm'\ntR.",
        b"(S'touch harm'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02cnumpy\nload\n.",
        b"Pname\n.",
        b"\x80\x02K\x01Q.",
        b"\x82\x01.",
    ],
)
def test_other_operations_are_refused(operations, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidField):
        dac.parse(HEAD + operations)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "operations",
    [
        b"\x80\x04Nr\xff\xff\xff\x7f.",  # a place in the memory far away
        b"\x80\x04)" + b"\x85" * 9_000 + b".",  # tuples in each other
        b"\x80\x04}()" + b"\x85" * 5_000 + b"Nu.",  # the same as a key
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # more bytes than there are
        b"\x80\x04" + b"N0" * 9_000 + b".",
        b"\x80\x04" + b"]" * 20_000 + b".",
    ],
    ids=["memory", "nested", "key", "bytes", "pops", "stack"],
)
def test_what_would_take_memory_or_time_is_refused(operations):
    with pytest.raises((InvalidField, Truncated)):
        dac.parse(HEAD + operations)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", BadMagic, "not a .dac file"),
        (b"SNAC" + bytes(60), BadMagic, "not a .dac file"),
        (GOOD[:60], Truncated, "ends in its header"),
        (GOOD[:6] + b"\x03" + GOOD[7:], UnsupportedVersion, "version 3 of .npy"),
        (GOOD[:8] + b"\xff\xff" + GOOD[10:], InvalidField, "header of the .dac file has 65,535 bytes"),
        (GOOD.replace(b"'|O'", b"'|V'"), InvalidField, "does not say that one object follows"),
        (GOOD[:-1], Truncated, "ends too early"),
        (GOOD + b"\0", InvalidField, "goes on behind its end"),
        (file_of([CODES]), InvalidField, "something else than a dictionary"),
        (file_of({"codes": CODES}), InvalidField, "lacks its metadata"),
        (file_of({"metadata": METADATA}), InvalidField, "lacks its codes"),
        (changed(dac_version="2.0.0"), UnsupportedVersion, "version 2.0.0 of .dac"),
        (changed(dac_version=CODES), UnsupportedVersion, "version without a name"),
        (changed(codes=CODES.astype(np.int64)), InvalidField, "codes of the .dac file are i8 in 3"),
        (changed(codes=CODES[0]), InvalidField, "are u2 in 2 dimensions"),
        (changed(codes=CODES[:, :, :0]), InvalidField, "are empty"),
        (changed(codes=CODES.astype(object)), InvalidField, "lacks its codes"),
        (changed(channels=1), InvalidField, "2 rows of codes"),
        (changed(chunk_length=71), InvalidField, "144 frames in chunks of 71"),
        (changed(chunk_length=0), InvalidField, "0 for chunk_length"),
        (changed(padding=True), InvalidField, "which its padding denies"),
        (changed(padding=1), InvalidField, "which its padding denies"),
        (changed(sample_rate=True), InvalidField, "no whole number for sample_rate"),
        (changed(original_length=2**41), InvalidField, "for original_length"),
        (changed(original_length=(((),),)), InvalidField, "no whole number"),
        (changed(input_db=np.array([np.nan], np.float32)), InvalidField, "loudnesses"),
        (changed(input_db=np.zeros(2, np.float32)), InvalidField, "loudnesses"),
        (changed(input_db=-20.0), InvalidField, "lacks its input_db"),
    ],
)
def test_what_is_wrong_is_named(data, error, words):
    with pytest.raises(error, match=words):
        dac.parse(data)


def test_an_array_that_is_shorter_than_its_shape_is_refused():
    with pytest.raises(InvalidField, match="their shape says others"):
        dac.parse(GOOD.replace(b"K\x02K\tK\x90\x87", b"K\x02K\tK\x91\x87"))


def test_thousands_of_damaged_files_are_refused_by_name_or_read():
    """Cut anywhere outside of the codes, and with bytes changed, doubled and left out at random."""
    rng, head = random.Random(0), len(GOOD) - CODES.nbytes
    places = [*range(head), *range(len(GOOD) - 400, len(GOOD))]
    damaged = [GOOD[:place] for place in places]
    for _ in range(6000):
        data = bytearray(GOOD)
        for _ in range(rng.choice((1, 1, 2, 5))):
            place = rng.randrange(80, 700) if rng.random() < 0.6 else rng.randrange(len(data) - 500, len(data))
            kind, byte = rng.randrange(3), rng.randrange(256)
            data[place : place + rng.choice((0, 1))] = bytes([byte]) * (kind < 2)
        damaged.append(bytes(data))
    read = 0
    for data in damaged:
        try:
            found = dac.parse(data)
        except BitstreamError:
            continue
        read += 1
        assert found.codes.ndim == 3 and found.codes.shape[2] % found.chunk_frames == 0
    assert 0 < read < len(damaged) / 2
