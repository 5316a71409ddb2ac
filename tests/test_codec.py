"""The codec as a library: any audio in, the same form back."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream import AudioError, Codec, ConfigError, InvalidField, ModelMismatch, Truncated, load
from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.entropy import PlainCoder


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (channels, samples)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    samples=st.one_of(st.integers(0, 3), st.integers(0, 9000)),
    sample_rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000]),
    channels=st.integers(1, 3),
)
def test_length_rate_and_channels_come_back_exactly(
    codec: Codec, samples: int, sample_rate: int, channels: int
) -> None:
    data = codec.encode(noise(channels, samples), sample_rate, bitrate=codec.config.bitrate(2))
    pcm, rate = codec.decode(data)
    assert (pcm.shape, rate, pcm.dtype) == ((channels, samples), sample_rate, np.float32)


@pytest.mark.parametrize("samples", range(640 - 3, 640 + 4))
def test_every_residue_around_a_frame_border_comes_back(codec: Codec, samples: int) -> None:
    assert codec.decode(codec.encode(noise(1, samples), 24_000, 750))[0].shape == (1, samples)


def test_eight_channels_are_coded_independently(codec: Codec) -> None:
    pcm = noise(8, 2000)
    together = codec.decode(codec.encode(pcm, 24_000, 1500))[0]
    alone = [codec.decode(codec.encode(channel, 24_000, 1500))[0][0] for channel in pcm]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_bytes_hold_the_codes_of_to_codes(codec: Codec) -> None:
    pcm = noise(1, 5000)
    codes = codec.to_codes(pcm, 24_000, 1500)
    packets = list(Reader(io.BytesIO(codec.encode(pcm, 24_000, 1500))))
    read = [PlainCoder(codec.config.codebook_bits).decode(p.payload, (1, 2, p.frames))[0] for p in packets]
    np.testing.assert_array_equal(np.concatenate(read, axis=1), codes)


def test_from_codes_is_what_decode_gives(codec: Codec) -> None:
    pcm = noise(2, 5000)
    decoded = codec.decode(codec.encode(pcm, 24_000, 1500))[0]
    from_codes = codec.from_codes(codec.to_codes(pcm, 24_000, 1500))
    np.testing.assert_allclose(from_codes[:, :5000], decoded, atol=1e-6)


def test_codes_of_one_channel_have_two_dimensions(codec: Codec) -> None:
    assert codec.to_codes(noise(1, 700)[0], 24_000, 1500).shape == (2, 3)
    assert codec.to_codes(noise(3, 700), 24_000, 1500).shape == (3, 2, 3)


def test_size_follows_the_bitrate(codec: Codec) -> None:
    pcm = noise(1, 24_000 * 20)
    for bitrate, packet in ((750, 188), (1500, 375)):
        assert len(codec.encode(pcm, 24_000, bitrate)) == 44 + 10 * (12 + packet) + 22


def test_a_packet_may_use_fewer_codebooks_than_the_header_allows(codec: Codec) -> None:
    codes = codec.to_codes(noise(1, 640), 24_000, 1500)
    stream = io.BytesIO()
    writer, coder = Writer(stream, codec.header(24_000, 1, 1500)), PlainCoder(codec.config.codebook_bits)
    writer.write(Packet(0, 2, 1, coder.encode(codes[None, :, :1])))
    writer.write(Packet(1, 1, 1, coder.encode(codes[None, :1, 1:])))
    writer.finish(640)
    assert codec.decode(stream.getvalue())[0].shape == (1, 640)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_audio_are_refused(codec: Codec, bad: float) -> None:
    pcm = noise(1, 100)
    pcm[0, 50] = bad
    with pytest.raises(AudioError, match="at sample 50"):
        codec.encode(pcm, 24_000, 750)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 8.0])
def test_silence_dc_and_clipping_give_finite_audio(codec: Codec, value: float) -> None:
    assert np.isfinite(codec.decode(codec.encode(np.full((1, 4000), value), 24_000, 1500))[0]).all()


def test_int16_is_the_same_audio_as_float(codec: Codec) -> None:
    pcm = (noise(1, 3000) * 32768).round().astype(np.int16)
    assert codec.encode(pcm, 24_000, 1500) == codec.encode(pcm / 32768, 24_000, 1500)


@pytest.mark.parametrize("bitrate", [0, 749, 2000, 10**9, -750])
def test_other_bitrates_are_refused_with_the_choice(codec: Codec, bitrate: int) -> None:
    with pytest.raises(ConfigError, match="in steps of 750"):
        codec.encode(noise(1, 100), 24_000, bitrate)


@pytest.mark.parametrize("codes", [np.zeros((9, 3), int), np.zeros((1, 3)), np.full((1, 3), 1024), np.full((1, 3), -1)])
def test_codes_that_the_model_does_not_have_are_refused(codec: Codec, codes: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="expected"):
        codec.from_codes(codes)


def test_a_file_of_another_model_names_both(codec: Codec, other_codec: Codec) -> None:
    data = other_codec.encode(noise(1, 100), 24_000, 750)
    with pytest.raises(ModelMismatch, match=f"{other_codec.model_id.hex()}.*{codec.model_id.hex()}"):
        codec.decode(data)


def test_a_header_that_contradicts_its_model_is_refused(codec: Codec) -> None:
    header = Header(codec.model_id, 24_000, 1, 24_000, 160, codec.config.codebook_bits, 1)
    stream = io.BytesIO()
    Writer(stream, header).finish(0)
    with pytest.raises(InvalidField, match="hop_length is 160"):
        codec.decode(stream.getvalue())


def test_more_frames_than_samples_are_refused(codec: Codec) -> None:
    codes = codec.to_codes(noise(1, 24_000), 24_000, 750)
    stream = io.BytesIO()
    writer = Writer(stream, codec.header(24_000, 1, 750))
    writer.write(Packet(0, 1, 75, PlainCoder(codec.config.codebook_bits).encode(codes[None])))
    writer.finish(100)
    with pytest.raises(InvalidField, match="more than the 100"):
        codec.decode(stream.getvalue())


def test_audio_before_a_cut_is_given_before_the_error(codec: Codec) -> None:
    data = codec.encode(noise(1, 24_000 * 5), 24_000, 750)
    blocks = codec.read(Reader(io.BytesIO(data[:-30])))
    received = 0
    with pytest.raises(Truncated):
        for block in blocks:
            received += block.shape[1]
    assert 24_000 * 3 < received < 24_000 * 5


def test_one_codec_serves_threads(codec: Codec) -> None:
    clips = [noise(1, 6000, seed) for seed in range(6)]
    expected = [codec.encode(clip, 24_000, 1500) for clip in clips]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda clip: codec.encode(clip, 24_000, 1500), clips)) == expected


def test_a_model_is_loaded_once(tiny_artifact: Path) -> None:
    assert load(tiny_artifact) is load(tiny_artifact)
