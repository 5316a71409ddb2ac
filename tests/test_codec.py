"""The codec as a library: any audio in, the same form back."""

from __future__ import annotations

import dataclasses
import io
import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entropy_tables
from soundstream import (
    AudioError,
    Codec,
    CodesMismatch,
    ConfigError,
    InvalidField,
    ModelMismatch,
    Truncated,
    audio,
    load,
)
from soundstream.bitstream import Header, Packet, Reader, Writer
from soundstream.codec import Damage
from soundstream.codec.packing import MODES, Coding
from soundstream.entropy import PlainCoder
from soundstream.runtime.artifact import load_artifact, write_manifest
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import LatentStream


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (channels, samples)).astype(np.float32)


class Pipe(io.BytesIO):
    """Bytes that can only be read on."""

    def seekable(self) -> bool:
        return False

    def seek(self, *place: int) -> int:
        raise OSError("Illegal seek")


@settings(max_examples=25, deadline=None)
@given(
    samples=st.one_of(st.integers(0, 3), st.integers(0, 9000)),
    sample_rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000]),
    channels=st.integers(1, 3),
)
def test_length_rate_and_channels_come_back_exactly(
    codec: Codec, samples: int, sample_rate: int, channels: int
) -> None:
    data = codec.encode(noise(channels, samples), sample_rate, bitrate=codec.spec.bitrate(2))
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
    read = [PlainCoder(codec.spec.codebook_bits).decode(p.payload, (1, 2, p.frames))[0] for p in packets]
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
    writer, coder = Writer(stream, codec.header(24_000, 1, 1500)), PlainCoder(codec.spec.codebook_bits)
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


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
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
    header = Header(codec.model_id, 24_000, 1, 24_000, 160, codec.spec.codebook_bits, 1)
    stream = io.BytesIO()
    Writer(stream, header).finish(0)
    with pytest.raises(InvalidField, match="hop_length is 160"):
        codec.decode(stream.getvalue())


def test_more_frames_than_samples_are_refused(codec: Codec) -> None:
    codes = codec.to_codes(noise(1, 24_000), 24_000, 750)
    stream = io.BytesIO()
    writer = Writer(stream, codec.header(24_000, 1, 750))
    writer.write(Packet(0, 1, 75, PlainCoder(codec.spec.codebook_bits).encode(codes[None])))
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


# entropy modes


@pytest.fixture(scope="module")
def coded_artifact(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with entropy tables, of no use but whole."""
    folder = tmp_path_factory.mktemp("coded") / "artifact"
    shutil.copytree(tiny_artifact, folder)
    config = load_artifact(folder).spec
    shape = config.num_quantizers, config.codebooks[0].size, config.latent_dim
    entropy_tables.tables(strength=9, shape=shape).save(folder / "entropy.npz")
    write_manifest(folder)
    return folder


@pytest.fixture(scope="module")
def coded(coded_artifact: Path) -> Codec:
    return load(coded_artifact)


@pytest.mark.parametrize("samples", [0, 1, 24_000 * 5 + 7])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_every_entropy_mode_gives_the_same_audio(coded: Codec, samples: int, count: int) -> None:
    pcm, bitrate = noise(2, samples), coded.spec.bitrate(count)
    plain, *others = [coded.encode(pcm, 24_000, bitrate, entropy=mode) for mode in MODES]
    for data in others:
        np.testing.assert_array_equal(coded.decode(data)[0], coded.decode(plain)[0])
    assert coded.encode(pcm, 24_000, bitrate) == others[-1]


def test_a_model_without_tables_writes_plain_codes_and_says_so(codec: Codec) -> None:
    assert codec.encode(noise(1, 700), 24_000, 750)[30] == 0
    with pytest.raises(ConfigError, match="fit-entropy"):
        codec.encode(noise(1, 700), 24_000, 750, entropy="best")
    with pytest.raises(ConfigError, match="expected one of: none, fast, best"):
        codec.encode(noise(1, 700), 24_000, 750, entropy="better")


def test_a_file_in_a_mode_that_its_model_cannot_have_is_refused(codec: Codec) -> None:
    stream = io.BytesIO()
    Writer(stream, dataclasses.replace(codec.header(24_000, 1, 750), entropy_mode=2)).finish(0)
    with pytest.raises(InvalidField, match="no tables"):
        codec.decode(stream.getvalue())


def test_codes_that_do_not_match_their_checksum_are_an_error(coded: Codec) -> None:
    data = coded.encode(noise(1, 24_000 * 5), 24_000, 3750)
    packets = list(Reader(io.BytesIO(data)))
    stream = io.BytesIO()
    writer = Writer(stream, coded.header(24_000, 1, 3750))
    for packet in packets:
        changed = packet.payload[:-1] + bytes([packet.payload[-1] ^ 1])
        writer.write(dataclasses.replace(packet, payload=changed if packet.sequence == 1 else packet.payload))
    writer.finish(24_000 * 5)
    with pytest.raises(CodesMismatch, match="do not match their checksum"):
        coded.decode(stream.getvalue())
    damage: list[Damage] = []
    pcm = coded.decode(stream.getvalue(), damage)[0]
    assert pcm.shape == (1, 24_000 * 5) and not pcm[0, 2 * 24_000 + 400 : 4 * 24_000].any()
    assert [(loss.start_s, loss.duration_s, loss.packets) for loss in damage] == [(2.0, 2.0, 1)]


@pytest.mark.parametrize("mode", ["none", "fast"])
def test_what_is_too_long_for_a_packet_goes_into_several(mode: str) -> None:
    shape = 64, 1024, 8
    coding = Coding(
        10, np.zeros(shape, np.float32), entropy_tables.tables(shape=shape, vector_shifts=np.zeros(64, np.int32))
    )
    codes = np.random.default_rng(0).integers(0, 1024, (8, 64, 151))
    header = Header(b"12345678", 24_000, 8, 24_000, 320, 10, 64, entropy_mode=MODES.index(mode))
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for packet in coding.pack([codes, codes[:, :, :3]], header.entropy_mode):
        writer.write(packet)
    writer.finish(154 * 320)
    packets = list(Reader(io.BytesIO(stream.getvalue())))
    assert [packet.frames for packet in packets][-1] == 3 and len(packets) > 2
    found = np.concatenate(list(coding.unpack(Reader(io.BytesIO(stream.getvalue())), header)), axis=2)
    np.testing.assert_array_equal(found, np.concatenate([codes, codes[:, :, :3]], axis=2))


# damage, places and rates


def test_what_is_whole_of_a_damaged_file_decodes(codec: Codec) -> None:
    data = bytearray(codec.encode(noise(1, 24_000 * 7), 24_000, 750))
    whole = codec.decode(bytes(data))[0]
    data[44 + 200 + 20] ^= 1
    damage: list[Damage] = []
    pcm = codec.decode(bytes(data), damage)[0]
    assert pcm.shape == whole.shape and np.isfinite(pcm).all()
    np.testing.assert_array_equal(pcm[:, : 2 * 24_000 - 1000], whole[:, : 2 * 24_000 - 1000])
    np.testing.assert_allclose(pcm[:, 5 * 24_000 :], whole[:, 5 * 24_000 :], atol=1e-5)
    assert [(loss.start_s, loss.duration_s) for loss in damage] == [(2.0, 2.0)]


def test_a_truncated_file_decodes_up_to_its_last_whole_packet(codec: Codec) -> None:
    data, damage = codec.encode(noise(1, 24_000 * 5), 24_000, 750), list[Damage]()
    pcm = codec.decode(data[:-100], damage)[0]
    assert pcm.shape == (1, 4 * 24_000 - codec.spec.delay_samples)
    assert "ends before" in damage[-1].reason


@pytest.mark.parametrize("sample_rate", [8000, 8001, 24_000, 44_100])
def test_decoding_from_a_place_is_the_end_of_decoding_all(codec: Codec, sample_rate: int) -> None:
    data = codec.encode(noise(1, 10 * sample_rate), sample_rate, 750)
    whole = codec.decode(data)[0]
    for start_s, stream in itertools.product([0.0, 0.5, 3.999, 4.0, 9.3, 10.0, 99.0], [io.BytesIO, Pipe]):
        found = np.concatenate(list(codec.read(Reader(stream(data)), start_s)), axis=1)
        expected = whole[:, round(start_s * sample_rate) :]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("to", [8000, 16_000, 48_000])
@pytest.mark.parametrize("start_s", [0.0, 3.1])
def test_decoding_to_another_rate_is_resampling_the_sound_of_the_codec(codec: Codec, to: int, start_s: float) -> None:
    data = codec.encode(noise(2, 5 * 24_000 + 1), 24_000, 750)
    expected = audio.resample(codec.decode(data)[0], 24_000, to)[:, round(start_s * to) :]
    found = np.concatenate(list(codec.read(Reader(io.BytesIO(data)), start_s, sample_rate=to)), axis=1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:, :-200], expected[:, :-200], atol=1e-4)


def test_a_rate_that_cannot_be_is_refused_when_decoding(codec: Codec) -> None:
    data = codec.encode(noise(1, 500), 24_000, 750)
    with pytest.raises(AudioError, match="sample rate 7000"):
        list(codec.read(Reader(io.BytesIO(data)), sample_rate=7000))


def test_a_variable_rate_keeps_its_average(codec: Codec) -> None:
    pcm = np.concatenate([noise(1, 24_000 * 4), np.zeros((1, 24_000 * 4), np.float32)], axis=1)
    stream = io.BytesIO()
    options = EncodeOptions(codec.spec.bitrate(4), vbr=True, max_bitrate=codec.spec.bitrate(8))
    codec.write(stream, [pcm], 24_000, 1, options)
    packets = list(Reader(io.BytesIO(stream.getvalue())))
    frames = sum(packet.frames for packet in packets)
    assert sum(packet.num_quantizers * packet.frames for packet in packets) <= 4 * frames
    assert codec.decode(stream.getvalue())[0].shape == pcm.shape


@pytest.mark.parametrize("mode", ["fast", "best"])
def test_a_variable_rate_writes_what_the_constant_one_would(coded: Codec, mode: str) -> None:
    pcm = np.concatenate([noise(1, 24_000 * 12), noise(1, 24_000 * 12) / 100], axis=1)
    bitrate, most = coded.spec.bitrate(4), coded.spec.bitrate(8)
    varying = len(coded.encode(pcm, 24_000, bitrate, vbr=True, max_bitrate=most, entropy=mode))
    constant = len(coded.encode(pcm, 24_000, bitrate, entropy=mode))
    assert 0.9 * constant < varying <= 1.01 * constant


def test_overhead_at_3_kbit_per_second_is_at_most_2_percent(codec: Codec) -> None:
    data = codec.encode(noise(1, 24_000 * 30), 24_000, 3000)
    payload = sum(len(packet.payload) for packet in Reader(io.BytesIO(data)))
    assert payload < len(data) <= 1.025 * payload


@pytest.mark.parametrize(
    ("channels", "count", "mode", "frames"),
    [(1, 4, "best", 225), (1, 5, "best", 150), (2, 4, "best", 150), (1, 4, "none", 150)],
)
def test_packets_are_longer_where_entropy_coding_leaves_few_bytes(
    coded: Codec, channels: int, count: int, mode: str, frames: int
) -> None:
    data = coded.encode(noise(channels, 24_000 * 7), 24_000, coded.spec.bitrate(count), entropy=mode)
    packets = list(Reader(io.BytesIO(data)))
    assert packets[0].frames == packets[1].frames == frames


def test_more_effort_finds_other_codes_that_are_nearer(codec: Codec) -> None:
    pcm, most = noise(1, 6400), codec.spec.bitrate(codec.spec.num_quantizers)
    greedy, careful = (codec.to_codes(pcm, 24_000, most, effort=effort) for effort in (1, 16))
    latents = LatentStream(codec.model, 1).push(pcm)[0]
    frames = latents.shape[1]
    left = [np.square(codec.model.quantizer.decode(c[:, :frames]) - latents).sum() for c in (greedy, careful)]
    assert left[1] < left[0] and greedy.shape == careful.shape


@pytest.mark.parametrize("vbr", [False, True])
def test_an_effort_that_cannot_be_is_refused_before_anything_is_written(codec: Codec, vbr: bool) -> None:
    stream, options = io.BytesIO(), EncodeOptions(codec.spec.bitrate(1), vbr=vbr, effort=0)
    with pytest.raises(ConfigError, match="effort is 0"):
        codec.write(stream, [noise(1, 800)], 24_000, 1, options)
    assert not stream.getvalue()


def test_the_context_model_is_the_default_as_long_as_it_decodes_quickly(coded: Codec) -> None:
    many = coded.spec.num_quantizers
    modes = {count: coded.header(24_000, 1, coded.spec.bitrate(count)).entropy_mode for count in (1, 8, many)}
    assert modes == {1: 2, 8: 2, many: 2 if many <= 8 else 1}
    assert coded.header(24_000, 1, coded.spec.bitrate(many), entropy="best").entropy_mode == 2
    assert coded.coding.default_mode(9) == "fast"
