"""Codes of the levels of bands: what they do to decoded sound, and how they follow what is wanted."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
import torch

import tiny
from soundstream.analysis.band_levels import EDGES_HZ, UNIT_DB, level_edges
from soundstream.bitstream import Reader
from soundstream.codec import load
from soundstream.export.artifact import export, exportable
from soundstream.nn.families.spectral import LEVEL_PLACE
from soundstream.nn.levels import MAX_GAIN_DB, MEMORY, TAPS, LevelGain, LevelStage
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.quantizer import Quantizer
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream, new_code_stream

BANDS = len(level_edges(8000, 40)) - 1
DIM = tiny.LEVELS.latent_dim


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("levels") / "codec"
    export(tiny.model(config=tiny.LEVELS), folder)
    return Model(load_artifact(folder))


def gains_db(entries):
    """Of each band `[bands, frames]` after entries `[bands, frames]`."""
    factors = LevelGain(list(range(len(entries) + 1)))(torch.as_tensor(entries, dtype=torch.float32)[None, :, None])
    return 20 * factors[0, :, 0].log10()


@pytest.mark.parametrize(("sample_rate", "hop"), [(24_000, 320), (8_000, 40), (48_000, 480), (16_000, 20)])
def test_bands_cover_every_coefficient_once(sample_rate, hop):
    edges = level_edges(sample_rate, hop)
    assert edges[0] == 0 and edges[-1] == hop
    assert all(a < b for a, b in itertools.pairwise(edges))


def test_bands_at_24_khz_are_those_that_were_measured():
    assert [edge * 12_000 / 320 for edge in level_edges(24_000, 320)] == pytest.approx(EDGES_HZ, abs=19)


def test_an_entry_is_so_many_decibels_and_fades():
    entries = torch.zeros(2, TAPS + 2)
    entries[1, 1] = 0.5
    found = gains_db(entries)
    assert not found[0].any() and found[1, 0] == 0
    expected = 0.5 * UNIT_DB * MEMORY ** torch.arange(TAPS)
    torch.testing.assert_close(found[1, 1 : TAPS + 1], expected, rtol=1e-4, atol=1e-4)
    assert found[1, TAPS + 1] == 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_no_codes_raise_a_band_further_than_to_its_bound(sign):
    found = gains_db(torch.full((3, 40), 50.0 * sign))
    torch.testing.assert_close(found, torch.full_like(found, sign * MAX_GAIN_DB), rtol=0, atol=1e-3)


@torch.no_grad()
def test_a_gain_raises_the_coefficients_of_its_band_alone():
    model = tiny.model(config=tiny.LEVELS)
    edges = tiny.LEVELS.level_edges
    latents = tiny.noise(1, DIM, 30, scale=1.0)
    entries = torch.zeros(1, BANDS, 30)
    entries[:, 4] = 0.6 * (1 - MEMORY)
    plain, raised = (
        model.analysis.mdct(model.decode(torch.cat([latents, e], 1))[:, None, :, tiny.LEVELS.overlap :])
        for e in (torch.zeros_like(entries), entries)
    )
    ratio_db = 20 * (raised / plain).abs().log10()[0, :, 0, 20:28]
    band = slice(edges[4], edges[5])
    assert ratio_db[band].median() == pytest.approx(6, abs=0.3)
    assert ratio_db[: edges[4] - 1].median() == pytest.approx(0, abs=0.1)


def test_codes_follow_gains_that_last():
    stage = LevelStage(4, 3, 64)
    with torch.no_grad():
        stage.codebook[1:].copy_(0.3 * torch.randn(63, 3, generator=torch.Generator().manual_seed(0)))
    gains = torch.tensor([0.4, -0.3, 0.1])[None, :, None].repeat(1, 1, 50)
    codes = stage.encode(gains)
    total = torch.zeros(3)
    for code in codes[0]:
        total = MEMORY * total + stage.codebook[code]
    assert (total - gains[0, :, 0]).norm() < 0.5 * gains[0, :, 0].norm()


def test_the_runtime_finds_the_codes_that_torch_finds(model):
    made = exportable(tiny.model(config=tiny.LEVELS))
    latents, levels, quantized = (tiny.noise(2, n, 40, seed=i) for i, n in enumerate((DIM, BANDS, DIM)))
    with torch.no_grad():
        expected = made.level_stage.encode(made.level_stage.gains(latents, levels, quantized))
    found = model.new_level_coder(2).push(torch.cat([latents, levels], 1).numpy(), quantized.numpy())
    assert (found == expected.numpy()).mean() > 0.97
    assert len(np.unique(found)) > 3


@pytest.mark.parametrize("effort", [2, 8])
@pytest.mark.parametrize("size", [1, 7, 400, 1234])
def test_any_chunks_give_the_codes_and_the_sound_of_the_whole(model, size, effort):
    pcm = tiny.noise(2, 4000).numpy()
    options = EncodeOptions(model.spec.bitrate(model.spec.num_quantizers), effort=effort)
    whole, parts = EncoderStream(model, 2, options), EncoderStream(model, 2, options)
    expected = np.concatenate([whole.push(pcm), whole.flush()], axis=2)
    chunks = [parts.push(pcm[:, i : i + size]) for i in range(0, pcm.shape[1], size)]
    np.testing.assert_array_equal(np.concatenate([*chunks, parts.flush()], axis=2), expected)
    stream = DecoderStream(model, 2)
    sound = np.concatenate([stream.push(expected[..., i : i + 3]) for i in range(0, expected.shape[2], 3)], axis=1)
    np.testing.assert_allclose(sound, DecoderStream(model, 2).push(expected), atol=1e-6)


@pytest.mark.parametrize("effort", [4, 8])
def test_packets_of_a_variable_rate_have_the_codes_of_the_whole(tmp_path, effort):
    export(tiny.model(config=dataclasses.replace(tiny.LEVELS, num_quantizers=8)), tmp_path / "codec")
    codec = load(tmp_path / "codec")
    loudness = np.repeat([0.5, 0.0005, 0.5, 0.005, 0.2], 8000).astype(np.float32)
    spec, pcm = codec.spec, tiny.noise(1, 40_000).numpy() * loudness
    data = codec.encode(pcm, spec.sample_rate, spec.bitrate(LEVEL_PLACE + 3), vbr=True, entropy="none", effort=effort)
    reader = Reader(io.BytesIO(data))
    packets = list(codec.coding.unpack(reader, reader.header))
    counts = np.concatenate([np.full((1, codes.shape[2]), codes.shape[1]) for codes in packets], axis=1)
    assert len(np.unique(counts)) > 1
    stream = LatentStream(codec.model, 1, with_sound=effort == 8)
    latents = np.concatenate([stream.push(pcm), stream.flush()], axis=2)
    most = spec.num_quantizers
    expected = new_code_stream(codec.model, 1, effort, listening=effort == 8).whole(latents, most, effort, counts)
    found = [np.pad(codes, ((0, 0), (0, most - codes.shape[1]), (0, 0)), constant_values=-1) for codes in packets]
    np.testing.assert_array_equal(np.concatenate(found, axis=2), expected)
    assert len(np.unique(expected[:, LEVEL_PLACE])) > 3


@pytest.mark.parametrize("effort", [2, 16])
def test_live_codes_are_never_late(model, effort):
    options = EncodeOptions(model.spec.bitrate(model.spec.num_quantizers), effort=effort)
    stream, pcm = EncoderStream(model, 1, options, wait=False), tiny.noise(1, 4000).numpy()
    assert [stream.push(pcm[:, i : i + 40]).shape[2] for i in range(0, 4000, 40)] == [1] * 100


def test_the_stack_has_one_codebook_more_and_fewer_codebooks_leave_it_out(model):
    assert model.spec.num_quantizers == tiny.LEVELS.num_quantizers + 1
    latents = LatentStream(model, 1).push(tiny.noise(1, 4000).numpy())
    stream = new_code_stream(model, 1)
    few, all_of_them = (stream.push(latents, count) for count in (LEVEL_PLACE, model.spec.num_quantizers))
    assert few.shape[1] == LEVEL_PLACE and all_of_them[:, LEVEL_PLACE].any()
    entries = model.quantizer.decode(few)[:, DIM:]
    assert entries.shape[1] == BANDS and not entries.any()


def test_latents_are_coded_as_if_there_were_no_levels():
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(3, 16, 4)).astype(np.float32)
    wide = np.insert(np.pad(plain, ((0, 0), (0, 0), (0, 2))), 2, 1.0, axis=0)
    latents = rng.normal(size=(2, 6, 30)).astype(np.float32)
    for effort in (1, 4):
        found = Quantizer(wide, levels=(2, 2)).encode(latents, 4, effort)
        expected = Quantizer(plain).encode(latents[:, :4], 3, effort)
        np.testing.assert_array_equal(np.delete(found, 2, axis=1), expected)
        assert not found[:, 2].any()
