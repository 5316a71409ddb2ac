"""Parts of files and files joined: the same codes, packed anew."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from soundstream import Codec, ConfigError, ModelMismatch, Truncated
from soundstream.bitstream import Reader, Writer
from soundstream.codec.editing import cat, cut


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (1, samples)).astype(np.float32)


def opened(data: bytes) -> Reader:
    return Reader(io.BytesIO(data))


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def codes_of(codec: Codec, data: bytes) -> np.ndarray:
    reader = opened(data)
    return np.concatenate(list(codec.coding.unpack(reader, reader.header)), axis=2)


def part_of(codec: Codec, data: bytes, start: float, end: float | None = None) -> bytes:
    cut(codec, opened(data), out := io.BytesIO(), start, end)
    return out.getvalue()


def parts_of(codec: Codec, data: bytes, rate: int, places: list[int]) -> list[bytes]:
    """Parts from each sample to the next."""
    return [part_of(codec, data, start / rate, end / rate) for start, end in itertools.pairwise(places)]


def joined(codec: Codec, files: list[bytes]) -> bytes:
    cat(codec, [opened(data) for data in files], out := io.BytesIO())
    return out.getvalue()


def packets_of(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(packet.num_quantizers, packet.frames, packet.payload) for packet in opened(data)]


# parts


@pytest.mark.parametrize("part", [(0.0, None), (0.5, 1.7), (2.0, 4.0), (1.999, 5.2), (4.9, 60.0), (3.0, 3.00005)])
def test_a_part_has_the_codes_of_its_time_and_its_exact_samples(codec: Codec, part: tuple[float, float | None]) -> None:
    data = codec.encode(noise(24_000 * 5 + 100), 24_000, 1500, tags={"title": "x"})
    found = part_of(codec, data, *part)
    start, end = round(part[0] * 24_000), min(5 * 24_000 + 100, round((part[1] or 99) * 24_000))
    first = max(0, start // 320 - codec.model.memory_frames)
    codes = codes_of(codec, data)[:, :, first:]
    np.testing.assert_array_equal(codes_of(codec, found), codes[:, :, : codes_of(codec, found).shape[2]])
    header = opened(found).header
    assert (header.lead_in, header.num_samples, header.tags) == (start - 320 * first, end - start, {"title": "x"})
    assert codec.decode(found)[0].shape == (1, end - start)
    assert header.version == (2 if header.lead_in else 1)


def test_all_of_a_file_is_the_file(codec: Codec) -> None:
    data = codec.encode(noise(24_000), 24_000, 1500, tags={"title": "x"})
    assert part_of(codec, data, 0.0) == part_of(codec, data, 0.0, 99.0) == data


@pytest.mark.parametrize("rate", [24_000, 44_100, 16_000, 8_001])
def test_a_part_sounds_as_it_does_in_the_whole(codec: Codec, rate: int) -> None:
    data = codec.encode(noise(rate * 6), rate, 1500)
    start, end = 4 * rate + 77, 5 * rate + 5
    whole, part = codec.decode(data)[0], codec.decode(part_of(codec, data, start / rate, end / rate))[0]
    np.testing.assert_allclose(part, whole[:, start:end], atol=1e-5)


@pytest.mark.parametrize("rate", [24_000, 44_100, 16_000])
def test_a_part_is_read_from_a_place_and_at_another_rate(codec: Codec, rate: int) -> None:
    part = part_of(codec, codec.encode(noise(rate * 4), rate, 1500), 0.50331, 3.7)
    whole, _ = codec.decode(part)
    from_there = np.concatenate(list(codec.read(opened(part), 2.6)), axis=1)
    np.testing.assert_allclose(from_there, whole[:, round(2.6 * rate) :], atol=1e-4)
    other = np.concatenate(list(codec.read(opened(part), sample_rate=48_000)), axis=1)
    assert other.shape[1] == -(-whole.shape[1] * 48_000 // rate)


def test_a_damaged_part_is_concealed_at_its_length(codec: Codec) -> None:
    part = bytearray(part_of(codec, codec.encode(noise(24_000 * 5), 24_000, 750), 1.005, 4.5))
    part[part.index(b"\xa5P", 100) + 9] ^= 1  # of the second packet, which begins at 2 s of the whole
    damage: list = []
    pcm, _ = codec.decode(bytes(part), damage)
    assert pcm.shape == (1, round(4.5 * 24_000) - round(1.005 * 24_000))
    assert (damage[0].packets, damage[0].start_s) == (1, pytest.approx(0.995, abs=0.001))


@pytest.mark.parametrize("part", [(3.0, 3.0), (4.0, 3.0), (9.0, None), (9.0, 10.0), (-1.0, 2.0), (5.0, None)])
@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_an_empty_part_is_refused(codec: Codec, part: tuple[float, float | None], stream: type[io.BytesIO]) -> None:
    cut(codec, opened(codec.encode(noise(24_000 * 5), 24_000, 750)), whole := io.BytesIO(), 0.0)
    cat(codec, [opened(whole.getvalue())], unknown := io.BytesIO())  # its header does not say how long it is
    with pytest.raises(ConfigError):
        cut(codec, Reader(stream(unknown.getvalue())), io.BytesIO(), *part)


@pytest.mark.parametrize("part", [(0.5, 1.0), (0.5, 5.0), (0.5, 5.0001), (0.5, 5.2), (0.5, None)])
def test_a_part_of_a_pipe_has_as_many_samples(codec: Codec, part: tuple[float, float | None]) -> None:
    unknown = joined(codec, [codec.encode(noise(24_000 * 5), 24_000, 750)])
    cut(codec, Reader(Pipe(unknown)), out := io.BytesIO(), *part)
    assert opened(out.getvalue()).num_samples == round((min(5.0, part[1] or 5.0) - 0.5) * 24_000)


def test_a_file_that_ends_before_the_part_does_is_refused(codec: Codec) -> None:
    data = codec.encode(noise(24_000 * 5), 24_000, 750)
    with pytest.raises(Truncated):
        cut(codec, opened(data[:-40]), io.BytesIO(), 1.0, 4.9)


# joined


CUTS = {
    24_000: [0, 1, 2, 320, 640, 641, 12_345, 47_999, 48_000, 48_001, 96_000, 99_999, 100_100],
    44_100: [0, 588, 1000, 30_001, 88_200, 100_000, 180_001],
    16_000: [0, 7, 214, 20_000, 32_000, 48_001, 70_001],
    8_001: [0, 7, 8001, 9_500, 9_501, 20_000, 30_007],
}


@pytest.mark.parametrize("rate", CUTS)
def test_a_file_that_was_cut_anywhere_is_joined_exactly(codec: Codec, rate: int) -> None:
    data = codec.encode(noise(CUTS[rate][-1]), rate, 1500)
    parts = parts_of(codec, data, rate, CUTS[rate])
    assert [opened(part).num_samples for part in parts] == list(np.diff(CUTS[rate]))
    again = joined(codec, parts)
    assert packets_of(again) == packets_of(data)
    assert opened(again).num_samples == CUTS[rate][-1]
    np.testing.assert_array_equal(codec.decode(again)[0], codec.decode(data)[0])


def test_so_is_a_part_of_a_part_in_two_steps(codec: Codec) -> None:
    data = codec.encode(noise(60_000), 24_000, 1500)
    part = part_of(codec, data, 0.3001, 2.2)
    places = [0, 4444, 4445, 20_000, round(2.2 * 24_000) - round(0.3001 * 24_000)]
    smaller = parts_of(codec, part, 24_000, places)
    again = joined(codec, [joined(codec, smaller[:2]), joined(codec, smaller[2:])])
    assert (packets_of(again), opened(again).header.lead_in) == (packets_of(part), opened(part).header.lead_in)
    np.testing.assert_array_equal(codec.decode(again)[0], codec.decode(part)[0])


def test_packets_of_a_variable_rate_come_back_too(codec: Codec) -> None:
    whole = codes_of(codec, codec.encode(noise(24_000 * 9), 24_000, 6000))
    counts = [(start, 2 + start // 150 % 3) for start in range(0, whole.shape[2], 150)]
    writer = Writer(out := io.BytesIO(), codec.header(24_000, 1, 6000))
    for packet in codec.coding.pack([whole[:, :count, start : start + 150] for start, count in counts], 0):
        writer.write(packet)
    writer.finish(24_000 * 9)
    data = out.getvalue()
    parts = parts_of(codec, data, 24_000, [0, 40_000, 47_000, 100_001, 144_000, 24_000 * 9])
    assert packets_of(joined(codec, parts)) == packets_of(data)


def test_two_channels_and_entropy_coding_too() -> None:
    from soundstream import load

    codec, pcm = load(), np.concatenate([noise(50_000), noise(50_000, 1)])
    data = codec.encode(pcm, 24_000, 1500, effort=1)
    parts = parts_of(codec, data, 24_000, [0, 11_111, 33_333, 50_000])
    assert packets_of(joined(codec, parts)) == packets_of(data)


def test_joined_files_play_one_after_the_other(codec: Codec) -> None:
    assert not codec.spec.delay_samples
    lengths = (24_000, 0, 3 * 320, 777)
    files = [codec.encode(noise(n, i), 24_000, 3000 * (1 + i % 2), tags={"n": str(i)}) for i, n in enumerate(lengths)]
    reader = opened(joined(codec, files))
    packets = list(reader)
    assert [packet.num_quantizers for packet in packets] == [4, 8]
    assert (reader.header.num_quantizers, reader.header.tags) == (8, {"n": "0"})
    assert codec.decode(joined(codec, files))[0].shape == (1, sum(lengths))  # all but the last are of whole frames


def test_parts_that_are_no_neighbours_are_filled_up_to_whole_frames(codec: Codec) -> None:
    data = codec.encode(noise(60_000), 24_000, 6000)
    one, two, three = parts_of(codec, data, 24_000, [0, 20_000, 40_000, 60_000])
    for files in ([one, three], [three, two, one], [one, one], [two, two, two]):
        samples, wanted = opened(joined(codec, files)).num_samples, sum(opened(data).num_samples for data in files)
        assert 0 < samples - wanted < (len(files) - 1) * (640 + codec.spec.delay_samples)
    other = noise(24_000, 1)  # without a lead-in, and of too few frames for the packet to be full
    assert len(packets_of(joined(codec, [one, codec.encode(other, 24_000, 6000)]))) == 2


def test_a_neighbour_of_other_codes_is_none(codec: Codec) -> None:
    one, _ = parts_of(codec, codec.encode(noise(40_000), 24_000, 6000), 24_000, [0, 20_000, 40_000])
    _, other = parts_of(codec, codec.encode(noise(40_000, 1), 24_000, 6000), 24_000, [0, 20_000, 40_000])
    found, frames = joined(codec, [one, other]), [sum(n for _, n, _ in packets_of(data)) for data in (one, other)]
    assert sum(n for _, n, _ in packets_of(found)) == sum(frames) - opened(other).header.lead_in // 320


def test_files_that_do_not_fit_together_are_refused(codec: Codec, other_codec: Codec) -> None:
    data = codec.encode(noise(700), 24_000, 750)
    with pytest.raises(ConfigError, match="sample_rate"):
        cat(codec, [opened(data), opened(codec.encode(noise(700), 48_000, 750))], io.BytesIO())
    with pytest.raises(ModelMismatch):
        cat(codec, [opened(data), opened(other_codec.encode(noise(700), 24_000, 750))], io.BytesIO())
    with pytest.raises(ConfigError, match="no files"):
        cat(codec, [], io.BytesIO())
