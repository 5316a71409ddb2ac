import dataclasses
import io
import itertools
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.errors import (
    BadMagic,
    BitstreamError,
    ChecksumMismatch,
    ConfigError,
    InvalidField,
    Truncated,
    UnsupportedVersion,
)

HEADER = Header(
    model_id=b"modelid!",
    sample_rate=48_000,
    channels=2,
    codec_sample_rate=24_000,
    hop_length=320,
    codebook_bits=10,
    num_quantizers=8,
    tags={"title": "Été"},
)
PACKETS = [Packet(0, 8, 2, b"first"), Packet(1, 4, 1, b"")]
NUM_SAMPLES = 1900

HEADER_LENGTH, END_LENGTH = 57, 22
TINY = bytes.fromhex(
    "894e4143 01 3900 0000 6d6f64656c696421 80bb0000 c05d0000 4001 02 0a 08 00 ffffffffffffffff 01"
    "05 7469746c65 0500 c38974c3a9 22e432b7"
    "a550 0000 02 08 0500 6669727374 a1c44cc6"
    "a550 0100 01 04 0000 2ac3b3d0"
    "a545 6c07000000000000 0300000000000000 d52fc952"
)


class ShortReads(io.RawIOBase):
    """A pipe: it cannot seek and gives one byte at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(memoryview(buffer)[:1])


def write(header=HEADER, packets=PACKETS, num_samples=NUM_SAMPLES):
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for packet in packets:
        writer.write(packet)
    writer.finish(num_samples)
    return stream.getvalue()


def read(data):
    reader = Reader(io.BytesIO(data))
    return reader, list(reader)


def checked(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def patched_header(offset, new, header=HEADER):
    """A header with other bytes at `offset` and a checksum that is right again."""
    body = bytearray(header.to_bytes()[:-4])
    body[offset : offset + len(new)] = new
    return checked(bytes(body))


headers = st.builds(
    Header,
    model_id=st.binary(min_size=8, max_size=8),
    sample_rate=st.integers(8_000, 192_000),
    channels=st.integers(1, 8),
    codec_sample_rate=st.integers(8_000, 192_000),
    hop_length=st.integers(1, 65_535),
    codebook_bits=st.integers(1, 16),
    num_quantizers=st.integers(1, 128),
    entropy_mode=st.integers(0, 2),
    num_samples=st.none() | st.integers(0, 2**63 - 1),
    tags=st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=30), max_size=5),
)


@given(headers)
def test_a_header_comes_back(header):
    stream = io.BytesIO(header.to_bytes() + b"rest")
    assert Header.read(stream) == header
    assert stream.read() == b"rest"


@given(st.data(), headers)
def test_a_file_comes_back(data, header):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, header.num_quantizers), st.integers(1, 255)), max_size=4))
    packets = [Packet(i, n, frames, bytes([i]) * (frames % 17)) for i, (n, frames) in enumerate(shapes)]
    frames = sum(packet.frames for packet in packets)
    most = frames * header.hop_length * header.sample_rate // header.codec_sample_rate
    num_samples = data.draw(st.integers(0, most))
    header = dataclasses.replace(header, num_samples=data.draw(st.sampled_from([None, num_samples])))
    reader, found = read(write(header, packets, num_samples))
    assert (reader.header, found) == (header, packets)
    assert (reader.num_samples, reader.packets, reader.frames) == (num_samples, len(packets), frames)
    assert reader.complete


def test_exact_bytes():
    assert write() == TINY
    reader, packets = read(TINY)
    assert (reader.header, packets, reader.num_samples) == (HEADER, PACKETS, NUM_SAMPLES)


def test_the_example_of_the_format_is_this_file():
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    example = text.split("## Example")[1].split("```")[1]
    assert bytes.fromhex(example) == TINY


def test_a_pipe_may_give_one_byte_at_a_time():
    reader = Reader(ShortReads(TINY))
    assert list(reader) == PACKETS
    assert reader.num_samples == NUM_SAMPLES


def test_a_file_is_read_while_it_is_written():
    stream = io.BytesIO()
    writer = Writer(stream, HEADER)
    writer.write(PACKETS[0])
    stream.seek(0)
    reader = Reader(stream)
    assert next(iter(reader)) == PACKETS[0]
    assert (reader.packets, reader.frames, reader.num_samples, reader.complete) == (1, 2, None, False)
    assert reader.duration_s == pytest.approx(2 / 75)


def test_a_file_without_samples_is_header_and_end_record():
    reader, packets = read(write(packets=[], num_samples=0))
    assert (packets, reader.num_samples, reader.complete) == ([], 0, True)


def test_the_writer_never_seeks():
    class Pipe(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return len(data)

    writer = Writer(io.BufferedWriter(Pipe()), HEADER)
    writer.write(PACKETS[0])
    writer.finish(0)


def test_derived_figures():
    assert (HEADER.frame_rate, HEADER.bitrate) == (75, 6000)


def test_overhead_of_ten_minutes_at_3_kbit_per_second_is_below_2_percent():
    header = dataclasses.replace(HEADER, channels=1, num_quantizers=4, num_samples=600 * 48_000)
    packets = [Packet(i, 4, 150, bytes(750)) for i in range(300)]
    total = len(write(header, packets, 600 * 48_000))
    payload = 300 * 750
    assert total - payload == HEADER_LENGTH + 300 * 12 + END_LENGTH
    assert (total - payload) / payload <= 0.02


def test_memory_does_not_grow_with_the_file():
    class Endless(io.RawIOBase):
        """A header, then packets of 60,000 bytes without end."""

        def __init__(self):
            packets = (Packet(i % 65_536, 8, 255, bytes(8000)).to_bytes() for i in itertools.count())
            self._parts = itertools.chain([HEADER.to_bytes()], packets)
            self._part = b""

        def read(self, size=-1):
            self._part = self._part or next(self._parts)
            out, self._part = self._part[:size], self._part[size:]
            return out

    reader = Reader(Endless())
    tracemalloc.start()
    try:
        for _ in itertools.islice(reader, 1000):
            pass
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert reader.packets == 1000


@pytest.mark.parametrize("length", range(len(TINY)))
def test_truncation_at_every_byte(length):
    with pytest.raises(BadMagic if length < 4 else Truncated):
        read(TINY[:length])


def test_truncated_says_how_much_was_read():
    stream = io.BytesIO(TINY[:-END_LENGTH])
    reader = Reader(stream)
    found = []
    with pytest.raises(Truncated, match=r"2 packets \(0\.0 s\)"):
        found.extend(reader)
    assert reader.packets == 2
    assert reader.num_samples is None


@pytest.mark.parametrize("bit", range(8 * len(TINY)))
def test_every_flipped_bit_is_noticed(bit):
    data = bytearray(TINY)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BitstreamError):
        read(bytes(data))


@pytest.mark.parametrize(
    ("offset", "error"),
    [
        (0, BadMagic),
        (4, UnsupportedVersion),
        (9, ChecksumMismatch),
        (HEADER_LENGTH, InvalidField),
        (HEADER_LENGTH + 8, ChecksumMismatch),
        (len(TINY) - 8, ChecksumMismatch),
    ],
    ids=["magic", "version", "model id", "marker", "payload", "end record"],
)
def test_a_changed_byte_gives_the_error_of_its_place(offset, error):
    data = bytearray(TINY)
    data[offset] ^= 0x10
    with pytest.raises(error):
        read(bytes(data))


@given(st.binary(max_size=300))
def test_random_bytes_after_the_magic_give_a_named_error(data):
    with pytest.raises(BitstreamError):
        read(TINY[:5] + data)


@given(st.binary(max_size=300))
def test_random_bytes_after_the_header_give_a_named_error(data):
    with pytest.raises(BitstreamError):
        read(HEADER.to_bytes() + data)


@pytest.mark.parametrize("data", [b"", b"RIFF1234WAVE", b"\x89NA"], ids=["empty", "wav", "short"])
def test_what_is_not_a_nac_file_has_bad_magic(data):
    with pytest.raises(BadMagic, match="89 4e 41 43"):
        read(data)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_other_versions_are_refused(version):
    with pytest.raises(UnsupportedVersion, match=f"version {version}"):
        read(TINY[:4] + bytes([version]) + TINY[5:])


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (5, struct.pack("<H", 43)),
        (7, struct.pack("<H", 1)),
        (7, struct.pack("<H", 0x8000)),
        (17, struct.pack("<I", 7_999)),
        (17, struct.pack("<I", 192_001)),
        (21, struct.pack("<I", 0)),
        (25, struct.pack("<H", 0)),
        (27, b"\x00"),
        (27, b"\x09"),
        (28, b"\x00"),
        (28, b"\x11"),
        (29, b"\x00"),
        (29, b"\x81"),
        (30, b"\x03"),
        (31, struct.pack("<Q", 2**63)),
        (39, b"\x00"),
        (39, b"\x02"),
        (40, b"\x00"),
        (40, b"\xff"),
        (46, b"\xff\xff"),
        (48, b"\xff"),
    ],
    ids=[
        "header too short",
        "flag",
        "high flag",
        "low sample rate",
        "high sample rate",
        "no codec rate",
        "no hop",
        "no channel",
        "nine channels",
        "no codebook bits",
        "17 codebook bits",
        "no quantizers",
        "129 quantizers",
        "entropy mode",
        "too many samples",
        "bytes after the tags",
        "a tag too many",
        "empty tag name",
        "long tag name",
        "long tag value",
        "not UTF-8",
    ],
)
def test_header_fields_are_checked(offset, value):
    with pytest.raises(InvalidField):
        read(patched_header(offset, value))


def test_a_tag_may_stand_only_once():
    body = bytearray(HEADER.to_bytes()[:-4] + HEADER.to_bytes()[40:-4])
    body[5:7], body[39] = struct.pack("<H", len(body) + 4), 2
    with pytest.raises(InvalidField, match="twice"):
        read(checked(bytes(body)))


@pytest.mark.parametrize(
    "packet",
    [
        Packet(1, 8, 1, b""),
        Packet(0, 9, 1, b""),
        Packet(0, 1, 1, bytes(23)),
    ],
    ids=["sequence", "quantizers", "payload"],
)
def test_packets_that_the_header_does_not_allow(packet):
    with pytest.raises(ConfigError):
        Writer(io.BytesIO(), HEADER).write(packet)
    with pytest.raises(InvalidField):
        read(HEADER.to_bytes() + packet.to_bytes())


def test_a_long_payload_is_refused_before_it_is_read():
    head = struct.pack("<2sHBBH", b"\xa5P", 0, 1, 1, 0xFFFF)
    with pytest.raises(InvalidField, match="payload length is 65535"):
        read(HEADER.to_bytes() + head)


def test_a_missing_packet_is_noticed():
    data = HEADER.to_bytes() + PACKETS[0].to_bytes() + Packet(2, 1, 1, b"").to_bytes()
    with pytest.raises(InvalidField, match="packet 2 follows; expected packet 1"):
        read(data)


def test_sequence_numbers_start_again_after_65535():
    packets = [Packet(i % 65_536, 1, 1, b"") for i in range(65_538)]
    reader, found = read(write(packets=packets, num_samples=0))
    assert (found[-1].sequence, reader.packets) == (1, 65_538)


@pytest.mark.parametrize(
    ("num_samples", "frames", "message"),
    [(NUM_SAMPLES, 4, "counts 4 frames"), (1921, 3, "hold fewer"), (2**64 - 1, 3, "num_samples")],
    ids=["frames", "samples", "unknown"],
)
def test_an_end_record_that_contradicts_the_packets(num_samples, frames, message):
    end = checked(struct.pack("<2sQQ", b"\xa5E", num_samples, frames))
    with pytest.raises(InvalidField, match=message):
        read(TINY[:-END_LENGTH] + end)


def test_header_and_end_record_agree_on_the_samples():
    header = dataclasses.replace(HEADER, num_samples=1800)
    with pytest.raises(ConfigError, match="1900 at the end; the header says 1800"):
        write(header)
    with pytest.raises(InvalidField):
        read(header.to_bytes() + TINY[HEADER_LENGTH:])


def test_samples_that_the_frames_do_not_cover_are_not_written():
    with pytest.raises(ConfigError, match="hold fewer"):
        write(num_samples=1921)


def test_bytes_after_the_end_record_are_refused():
    with pytest.raises(InvalidField, match="follow the end"):
        read(TINY + b"\0")


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": b"short"},
        {"sample_rate": 7_999},
        {"channels": 9},
        {"hop_length": 65_536},
        {"codebook_bits": 17},
        {"num_quantizers": 129},
        {"entropy_mode": 3},
        {"num_samples": -1},
        {"tags": {"": "x"}},
        {"tags": {"x" * 256: "x"}},
        {"tags": {"a": "x" * 65_530}},
        {"tags": {"a": "\udc80"}},
        {"tags": {str(i): "" for i in range(256)}},
    ],
    ids=lambda change: f"{next(iter(change))} {str(next(iter(change.values())))[:12]}",
)
def test_headers_have_limits(change):
    with pytest.raises(ConfigError):
        dataclasses.replace(HEADER, **change)


def test_the_longest_header_comes_back():
    header = dataclasses.replace(HEADER, tags={"a": "x" * (65_535 - 44 - 4)})
    assert len(header.to_bytes()) == 65_535
    assert Header.read(io.BytesIO(header.to_bytes())) == header


# streams that cannot seek


LONG_PACKETS = [Packet(i, 8, 150, bytes(100 + i)) for i in range(4)]


class Pipe(io.BytesIO):
    """Bytes that can only be read on."""

    def seekable(self):
        return False

    def seek(self, *place):
        raise OSError("Illegal seek")

    def tell(self):
        raise OSError("Illegal seek")


@pytest.mark.parametrize("frame", [0, 1, 149, 150, 460, 10_000])
def test_skipping_in_a_pipe_is_skipping_in_a_file(frame):
    data = write(packets=LONG_PACKETS, num_samples=4 * 150 * 640)
    readers = [Reader(stream(data)) for stream in (io.BytesIO, Pipe)]
    for reader in readers:
        reader.skip_to(frame)
    assert readers[0].frames == readers[1].frames == min(4, frame // 150) * 150
    assert list(readers[0]) == list(readers[1])
    assert readers[0].bytes == readers[1].bytes == len(data)


def test_samples_that_only_the_end_tells_are_known_at_once_where_the_stream_can_seek():
    data = write()
    assert Header.read(io.BytesIO(data)).num_samples is None
    assert Reader(io.BytesIO(data)).num_samples == NUM_SAMPLES
    for unknown in (Pipe(data), io.BytesIO(data[:-1]), io.BytesIO(data[:-22]), io.BytesIO(data[:60])):
        assert Reader(unknown).num_samples is None


def test_errors_name_the_file_that_is_read(tmp_path):
    data = write()
    for name, bad, where in (("empty", b"", 0), ("cut", data[:-1], 0), ("skipped", data[:66], 9999)):
        path = tmp_path / name
        path.write_bytes(bad)
        with path.open("rb") as stream, pytest.raises(BitstreamError, match=f"{path}: "):
            reader = Reader(stream)
            reader.skip_to(where)
            list(reader)
