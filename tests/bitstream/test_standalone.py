"""A decoder written from docs/format.md alone agrees with the package, and so does the rule for file(1)."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.bitstream import Header, Packet, Writer
from soundstream.entropy import PlainCoder

DOCS = Path(__file__).parents[2] / "docs"


def crc32(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def number(data):
    return int.from_bytes(data, "little")


def standalone(data):
    """Header fields, tags, packets of plain codes as lists in file order, samples."""
    length = number(data[5:7])
    head, data = data[:length], data[length:]
    assert head[:4] == b"\x89NAC" and number(head[-4:]) == crc32(head[:-4])
    assert (head[4], number(head[7:9])) in ((1, 0), (2, 1))
    widths = {"model_id": 8, "sample_rate": 4, "codec_rate": 4, "hop": 2, "channels": 1, "bits": 1, "quantizers": 1}
    fields, place = {}, 9
    widths |= {"mode": 1, "samples": 8} | ({"lead_in": 4} if head[4] == 2 else {}) | {"tag_count": 1}
    for name, width in widths.items():
        fields[name], place = number(head[place : place + width]), place + width
    tags = {}
    for _ in range(fields["tag_count"]):
        texts = []
        for width in (1, 2):
            size = number(head[place : place + width])
            texts.append(head[place + width : place + width + size].decode())
            place += width + size
        tags[texts[0]] = texts[1]
    assert place == length - 4
    packets, frames = [], 0
    while data[:2] == b"\xa5P":
        sequence, count, quantizers, size = number(data[2:4]), data[4], data[5], number(data[6:8])
        packet, data = data[: size + 12], data[size + 12 :]
        assert sequence == len(packets) and number(packet[-4:]) == crc32(packet[:-4])
        bits = "".join(f"{byte:08b}" for byte in packet[8:-4])
        codes = count * fields["channels"] * quantizers
        packets.append([int(bits[i * fields["bits"] : (i + 1) * fields["bits"]], 2) for i in range(codes)])
        frames += count
    assert data[:2] == b"\xa5E" and len(data) == 22 and number(data[-4:]) == crc32(data[:-4])
    assert number(data[10:18]) == frames
    return fields, tags, packets, number(data[2:10])


@settings(max_examples=20, deadline=None)
@given(
    channels=st.integers(1, 3),
    bits=st.integers(1, 16),
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), max_size=3),
    tags=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=9), max_size=3),
    lead_in=st.integers(0, 80),
)
def test_a_decoder_written_from_the_text_agrees(channels, bits, shapes, tags, lead_in):
    lead_in = lead_in if shapes else 0
    header = Header(b"12345678", 44_100, channels, 24_000, 320, bits, 4, lead_in=lead_in, tags=tags)
    rng, stream = np.random.default_rng(0), io.BytesIO()
    writer, expected = Writer(stream, header), []
    for i, (quantizers, frames) in enumerate(shapes):
        codes = rng.integers(0, 1 << bits, (channels, quantizers, frames))
        expected.append(codes.transpose(2, 0, 1).ravel().tolist())
        writer.write(Packet(i, quantizers, frames, PlainCoder(bits).encode(codes)))
    writer.finish(sum(frames for _, frames in shapes) * 500)
    fields, found_tags, packets, samples = standalone(stream.getvalue())
    assert (found_tags, packets, samples) == (tags, expected, sum(frames for _, frames in shapes) * 500)
    assert (fields["sample_rate"], fields["hop"], fields["mode"]) == (44_100, 320, 0)


def test_the_magic_rule_looks_where_the_fields_are():
    data = Header(b"12345678", 44_100, 3, 24_000, 320, 10, 4, entropy_mode=2).to_bytes()
    rules = [line.split("\t") for line in (DOCS / "nac.magic").read_text().splitlines() if line[0] in "0>"]
    (_, kind, magic), *fields = [[word for word in rule if word][:3] for rule in rules]
    assert (kind, magic.encode().decode("unicode_escape").encode("latin1")) == ("string", data[:4])
    sizes = {"ubyte": 1, "ulelong": 4}
    found = {int(at[1:]): int.from_bytes(data[int(at[1:]) :][: sizes[kind]], "little") for at, kind, _ in fields}
    assert found == {4: data[4], 17: 44_100, 27: 3, 30: 2}


@pytest.mark.skipif(not shutil.which("file"), reason="file(1) is not installed")
def test_the_magic_rule_knows_a_file(tmp_path):
    with (tmp_path / "talk").open("wb") as stream:
        Writer(stream, Header(b"12345678", 44_100, 2, 24_000, 320, 10, 4, entropy_mode=2)).finish(0)
    for flags, words in (([], ["NAC neural audio", "44100 Hz", "stereo", "entropy-coded"]), (["-i"], ["audio/x-nac"])):
        command = ["file", *flags, "-m", DOCS / "nac.magic", tmp_path / "talk"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert all(word in told for word in words), told
