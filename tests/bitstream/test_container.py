"""Headers, packets and files come back as they were written, from streams of any kind."""

import dataclasses
import io
import itertools
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nac_bytes import END_LENGTH, HEADER, HEADER_LENGTH, NUM_SAMPLES, PACKETS, TINY, read, write

from soundstream.bitstream import Header, Packet, Reader, Writer


class ShortReads(io.RawIOBase):
    """A pipe: it cannot seek and gives one byte at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(memoryview(buffer)[:1])


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


def test_sequence_numbers_start_again_after_65535():
    packets = [Packet(i % 65_536, 1, 1, b"") for i in range(65_538)]
    reader, found = read(write(packets=packets, num_samples=0))
    assert (found[-1].sequence, reader.packets) == (1, 65_538)


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
