"""What a codec promises whatever its networks: lengths, and decoded audio in step with the original."""

import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from soundstream import load
from soundstream.bitstream import Reader
from soundstream.codec.editing import cat, cut
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.nn.families import build, family, names
from soundstream.nn.families.dac import Config as DacConfig
from soundstream.nn.families.encodec import Config as EncodecConfig
from soundstream.nn.families.hilcodec import Config as HilcodecConfig
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig
from soundstream.nn.families.vcnac import Config as VcnacConfig
from soundstream.nn.families.vrvq import Config as VrvqConfig
from soundstream.runtime.stream import DecoderStream, LatentStream

GUIDE = Path(__file__).parent.parent / "docs/guides/families.md"
RATE = 24_000
SMALL = {"latent_dim": 16, "num_quantizers": 4, "codebook_size": 64}
CONFIGS = (
    SeanetConfig(encoder_channels=4, decoder_channels=4, **SMALL),
    SpectralConfig(bands=6, encoder_width=32, encoder_blocks=1, decoder_width=32, decoder_blocks=1, **SMALL),
    EncodecConfig(channels=4, **SMALL),
    HilcodecConfig(encoder_channels=4, decoder_channels=4, window=16, **SMALL),
)
"""Of causal networks with a channel each."""
SEGMENTS = {"audio_channels": 2, "segment_samples": 4800, "overlap_samples": 480}
STEREO = EncodecConfig(channels=4, sample_rate=48_000, **SEGMENTS, **SMALL)
DAC = {"sample_rate": 24_000, "strides": (2, 4, 5, 8), "encoder_channels": 4, "decoder_channels": 32}
ALL = {
    **{config.family: config for config in CONFIGS},
    "encodec-stereo": STEREO,
    "dac": DacConfig(**DAC, **SMALL),
    "vrvq": VrvqConfig(**DAC, importance_channels=(8, 4), **SMALL),
    "vcnac": VcnacConfig(**DAC | {"decoder_channels": 4}, **SMALL),
}
every = pytest.mark.parametrize("codec", ALL.values(), ids=ALL, indirect=True)
"""Marks what holds for segments of a stereo codec too, for chunks, and for six channels together."""


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.family)
def codec(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("family") / request.param.family
    export(build(request.param), folder)
    return load(folder)


def noise(samples, channels=1):
    return np.random.default_rng(0).normal(0, 0.1, (channels, samples)).astype(np.float32)


def heard(codec, codes):
    """What a stream makes of codes, in step with the original."""
    stream = DecoderStream(codec.model, codec.spec.channels)
    return np.concatenate([stream.push(codes[None]), stream.flush()], axis=1)[:, codec.spec.delay_samples :]


@every
@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100])
@pytest.mark.parametrize("samples", [0, 1, 79, 80, 240, 241, 319, 320, 321, 400, 641, 5000])
def test_decoded_audio_has_exactly_the_samples_of_the_original(codec, samples, sample_rate):
    bitrate = codec.spec.bitrate(2)
    decoded, rate = codec.decode(codec.encode(noise(samples), sample_rate, bitrate))
    assert (decoded.shape, rate) == ((1, samples), sample_rate)


@pytest.mark.parametrize("samples", [1, 240, 241, 320, 5000])
def test_frames_cover_the_signal_and_what_the_decoder_gives_late(codec, samples):
    spec = codec.spec
    codes = codec.to_codes(noise(samples), RATE, spec.bitrate(2))
    assert codes.shape[1] == -(-(samples + spec.delay_samples) // spec.hop_length)


@every
def test_a_file_decodes_to_the_stream_without_its_delay(codec):
    spec = codec.spec
    pcm, bitrate = noise(5000, spec.channels), spec.bitrate(3)
    decoded, _ = codec.decode(codec.encode(pcm, spec.sample_rate, bitrate))
    stream = heard(codec, codec.to_codes(pcm, spec.sample_rate, bitrate))
    np.testing.assert_allclose(decoded, stream[:, :5000], rtol=0, atol=1e-6)


@every
def test_codes_decode_in_step_with_the_original(codec):
    spec = codec.spec
    codes = codec.to_codes(noise(5000, spec.channels), spec.sample_rate, spec.bitrate(2))
    np.testing.assert_array_equal(codec.from_codes(codes), heard(codec, codes))


@pytest.mark.parametrize("codec", CONFIGS[1:2], ids=["spectral"], indirect=True)
def test_a_fresh_spectral_codec_follows_low_tones_as_late_as_it_says(codec):
    tone = np.sin(2 * np.pi * 300 * np.arange(9600) / RATE, dtype=np.float32)[None] * 0.3
    latents = LatentStream(codec.model, 1).push(tone)
    decoded, _ = codec.model.decoder.step(codec.model.decoder.init_state(1), latents=latents[:, :, None])
    late = codec.spec.delay_samples
    followed = decoded[0, 0, 0, late:]
    assert np.corrcoef(followed, tone[0, :-late])[0, 1] > 0.9


def opened(data):
    return Reader(io.BytesIO(data))


def codes_of(codec, data):
    reader = opened(data)
    return np.concatenate(list(codec.coding.unpack(reader, reader.header)), axis=2)


def part_of(codec, data, start, end):
    """From one sample to another."""
    rate = codec.spec.sample_rate
    cut(codec, opened(data), out := io.BytesIO(), start / rate, end / rate)
    return out.getvalue()


@every
@pytest.mark.parametrize("start", [100, 20_000, 95_003])
def test_a_part_and_what_is_decoded_from_a_place_sound_as_in_the_whole(codec, start):
    spec = codec.spec
    data = codec.encode(noise(120_000, spec.channels), spec.sample_rate, spec.bitrate(2))
    whole, _ = codec.decode(data)
    part, _ = codec.decode(part_of(codec, data, start, start + 5001))
    np.testing.assert_allclose(part, whole[:, start : start + 5001], rtol=0, atol=1e-4)
    rest = np.concatenate([*codec.read(opened(data), start / spec.sample_rate)], axis=1)
    np.testing.assert_allclose(rest, whole[:, start:], rtol=0, atol=1e-4)


def test_parts_that_are_joined_are_the_file_again(codec):
    data = codec.encode(noise(120_000), RATE, codec.spec.bitrate(2))
    places = (0, 7_001, 50_000, 119_999, 120_000)
    parts = [part_of(codec, data, *between) for between in itertools.pairwise(places)]
    cat(codec, [opened(part) for part in parts], out := io.BytesIO())
    np.testing.assert_array_equal(codes_of(codec, out.getvalue()), codes_of(codec, data))
    np.testing.assert_array_equal(codec.decode(out.getvalue())[0], codec.decode(data)[0])


@every
@pytest.mark.parametrize("samples", [5, 500, 3_000, 60_000])
def test_codes_come_and_go_in_chunks_as_of_the_whole(codec, samples):
    spec = codec.spec
    pcm, bitrate, rate = noise(samples, spec.channels), spec.bitrate(3), spec.sample_rate
    encoder = codec.open_code_encoder(rate, spec.channels, bitrate)
    chunks = [encoder.push(pcm[:, start : start + 777]) for start in range(0, samples, 777)]
    codes = np.concatenate([*chunks, encoder.flush()], axis=1)
    np.testing.assert_array_equal(codes, codec.to_codes(pcm, rate, bitrate))
    decoder = codec.open_code_decoder(rate)
    parts = [decoder.push(codes[:, frame : frame + 2]) for frame in range(0, codes.shape[1], 2)]
    parts.append(decoder.flush(samples))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), codec.from_codes(codes, rate, samples), rtol=0, atol=1e-5)


@pytest.mark.parametrize("codec", [STEREO], ids=["encodec-stereo"], indirect=True)
def test_what_segments_cannot_is_named(codec):
    data = codec.encode(noise(5000, 2), 48_000, codec.spec.bitrate(2))
    with pytest.raises(ConfigError, match="take a causal one"):
        codec.open_encoder(48_000, 2)
    with pytest.raises(ConfigError, match="cannot be joined by their codes"):
        cat(codec, [opened(data)], io.BytesIO())


def test_a_live_session_gives_each_hop_at_once_and_the_sound_of_the_file(codec):
    """Where the first frames depend on later ones, for which a session does not wait, once that has faded."""
    spec, pcm = codec.spec, noise(320 * 250)
    encoder, decoder = codec.open_encoder(RATE, bitrate=spec.bitrate(4)), codec.open_decoder(RATE)
    packets = [encoder.push(pcm[:, start : start + 320]) for start in range(0, pcm.shape[1], 320)]
    assert all(len(packet) == 1 for packet in packets)
    live = np.concatenate([decoder.push(packet) for (packet,) in packets], axis=1)[:, spec.delay_samples :]
    whole, _ = codec.decode(codec.encode(pcm, RATE, spec.bitrate(4), effort=1))
    first = spec.memory_frames * 320 if spec.start_frames else 0
    np.testing.assert_allclose(live[:, first:], whole[:, first : live.shape[1]], rtol=0, atol=1e-4)


def test_the_guide_tells_of_every_published_model_what_its_spec_says():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*) \|$", GUIDE.read_text(), re.MULTILINE)
    told = {(name, variant): [cell.strip() for cell in cells.split("|")] for name, variant, cells in rows}
    published = {
        (name, variant): config.spec()
        for name in names()
        for variant, config in getattr(family(name), "VARIANTS", {}).items()
    }
    shipped = {("spectral", "base"): load("base").spec, ("seanet", "seanet"): load("seanet").spec}
    fresh = {("vcnac", "fresh"): VcnacConfig().spec()}
    assert told.keys() == (published | shipped | fresh).keys()
    for key, spec in (published | shipped | fresh).items():
        rate, channels, frame_rate, codebooks, bitrates, streaming, _ = told[key]
        ends = [f"{spec.bitrate(count):,}" for count in (min(spec.counts), max(spec.counts))]
        assert (rate, float(frame_rate)) == (f"{spec.sample_rate:,}", round(spec.frame_rate, 2))
        layouts = " or ".join(", ".join(str(len(one)) for one in spec.layouts).rsplit(", ", 1)) or spec.channels
        assert channels == ("each by itself" if spec.channels == 1 else f"{layouts} together")
        assert bitrates == " to ".join(dict.fromkeys(ends))
        sizes = [book.size for book in spec.codebooks][: spec.num_quantizers - bool(spec.levels)]
        runs = [f"{len([*run])} x {size}" for size, run in itertools.groupby(sizes)]
        assert codebooks.startswith(", ".join(runs))
        assert (", ".join(map(str, spec.strides)) in codebooks) == (spec.granule > 1)
        kind = "segments" if spec.segment_samples else "chunks" if spec.context_frames else "live"
        assert streaming.split(",")[0].split()[0] == kind
        assert kind != "live" or f"{1000 / spec.frame_rate:.1f} ms" in streaming
