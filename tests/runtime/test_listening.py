"""The search that listens: it finds what is decoded best, late, and leaves alone what it cannot hear."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import tiny
from soundstream.arrays import Array, Codes
from soundstream.codec import load
from soundstream.export.artifact import export
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.search.listening import OPEN_FRAMES, FrameDecoder, HeardLack, ListeningSearch
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream, listens

HOP, RATE = tiny.SPECTRAL.hop_length, tiny.SPECTRAL.sample_rate


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder, found = tmp_path_factory.mktemp("codecs"), {}
    for name in ("seanet", "spectral", "levels"):
        export(tiny.model(config=tiny.VARIANTS[name]), folder / name)
        found[name] = Model(load_artifact(folder / name))
    return found


def decoder_of(model: Model) -> FrameDecoder:
    return FrameDecoder(model.decoder, RATE, HOP, model.spec.delay_samples)


def sound(frames: int, seed: int = 5) -> Array:
    return tiny.noise(frames, HOP, seed=seed, scale=0.3).numpy()


def distance(model: Model, vectors: Array, hops: Array) -> float:
    """What a search adds up that has no choice: `[frames, channels]` of latents, `[frames, hop_length]` of sound."""
    search, total = ListeningSearch(decoder_of(model), 1, 1, 1), 0.0
    for vector, hop in zip(vectors, hops, strict=True):
        search.push(vector[None, None, :, None], hop[None, :, None])
        total += float(search._distances()[0, 0, 0])
    return total


@pytest.mark.parametrize("name", ["seanet", "spectral"])
def test_enough_survivors_find_the_best_of_all_ways(models: dict[str, Model], name: str) -> None:
    model, hops = models[name], sound(4)
    candidates = tiny.noise(4, 3, tiny.SPECTRAL.latent_dim, seed=3, scale=1).numpy()
    every = list(itertools.product(range(3), repeat=4))
    best = min(every, key=lambda choice: distance(model, candidates[range(4), choice], hops))
    search = ListeningSearch(decoder_of(model), 1, 3**4, 3)
    found = [search.push(candidates.transpose(1, 2, 0)[None], hops.T[None]), search.flush()]
    assert np.concatenate(found, axis=1).tolist() == [list(best)]


def test_each_choice_is_decided_a_few_frames_later(models: dict[str, Model]) -> None:
    hops, candidates = sound(20).T[None], tiny.noise(1, 4, 8, 20, seed=4, scale=1).numpy()
    whole, parts = (ListeningSearch(decoder_of(models["spectral"]), 1, 2, 4) for _ in range(2))
    expected = np.concatenate([whole.push(candidates, hops), whole.flush()], axis=1)
    found = [parts.push(candidates[..., i : i + 1], hops[..., i : i + 1]) for i in range(20)]
    assert [one.shape[1] for one in found] == [0] * OPEN_FRAMES + [1] * (20 - OPEN_FRAMES)
    np.testing.assert_array_equal(np.concatenate([*found, parts.flush()], axis=1), expected)
    assert len(np.unique(expected)) == 4


def test_what_is_heard_lacks_what_was_taken_from_it(models: dict[str, Model]) -> None:
    """The decoded sound itself lacks nothing, and with half of its amplitude 6 dB of every band."""
    model = models["levels"]
    frames, told = 60, tiny.LEVELS.latent_dim + len(tiny.LEVELS.level_edges) - 1
    vectors = np.zeros((1, told, frames), np.float32)
    vectors[:, : tiny.LEVELS.latent_dim] = tiny.noise(1, tiny.LEVELS.latent_dim, frames, scale=1).numpy()
    decoded = DecoderStream(model, 1).push_latents(vectors)[0]
    ahead = np.append(decoded[model.spec.delay_samples :], np.zeros(model.spec.delay_samples, np.float32))
    (none, weights), (half, _) = (
        HeardLack(decoder_of(model), 1).push(vectors, (factor * ahead).reshape(1, frames, HOP).swapaxes(1, 2))
        for factor in (1, 2)
    )
    np.testing.assert_allclose(none[..., 20:-1], 0, atol=1e-3)
    assert np.median(10 * half[0, :, 20:-1], axis=1) == pytest.approx(6.02, abs=0.5)
    assert (weights.max(axis=1) == 1).all() and 0 < weights.min() < 1


def codes(model: Model, pcm: Array, **options: float) -> Codes:
    wanted = EncodeOptions(model.spec.bitrate(model.spec.num_quantizers), **options)  # type: ignore[arg-type]
    stream = EncoderStream(model, len(pcm), wanted)
    return np.concatenate([stream.push(pcm), stream.flush()], axis=2)


@pytest.mark.parametrize("name", ["spectral", "levels"])
def test_listening_brings_decoded_sound_nearer(models: dict[str, Model], name: str) -> None:
    model, pcm = models[name], tiny.clip(2, seed=1).astype(np.float32)[None] / 32767
    hops, distances = pcm.reshape(-1, HOP), {}
    for effort in (4, 8, 64):
        vectors = model.latents(codes(model, pcm, effort=effort))[0].T
        distances[effort] = distance(model, vectors[: len(hops)], hops)
    assert distances[64] < distances[8] < distances[4], distances


def test_channels_are_searched_as_if_alone(models: dict[str, Model]) -> None:
    pcm = tiny.noise(2, 2000).numpy()
    both = codes(models["levels"], pcm, effort=8)
    for channel in (0, 1):
        np.testing.assert_array_equal(both[channel], codes(models["levels"], pcm[channel : channel + 1], effort=8)[0])


def test_a_frame_of_few_codebooks_has_no_more(models: dict[str, Model]) -> None:
    """Codes of levels have their place only where the rate reaches it."""
    model = models["levels"]
    for count in range(1, model.spec.num_quantizers + 1):
        stream = EncoderStream(model, 1, EncodeOptions(model.spec.bitrate(count), effort=8))
        found = np.concatenate([stream.push(tiny.noise(1, 900).numpy()), stream.flush()], axis=2)
        assert found.shape[1:] == (count, 23) and found.min() >= 0


def test_noise_that_is_removed_is_not_listened_to(models: dict[str, Model]) -> None:
    model, pcm = models["spectral"], tiny.noise(1, 2000).numpy()
    stream = LatentStream(model, 1)
    latents = np.concatenate([stream.push(pcm, 1.0), stream.flush()], axis=2)
    nearest = model.quantizer.encode(latents, model.spec.num_quantizers, 8)
    np.testing.assert_array_equal(codes(model, pcm, effort=8, denoise=1.0), nearest)


def live(model: Model, pcm: Array, *changes: tuple[int, dict[str, float]]) -> list[Codes]:
    """Codes hop by hop, of options that change at some hops."""
    wanted, found = EncodeOptions(model.spec.bitrate(model.spec.num_quantizers), effort=8), []
    stream, at = EncoderStream(model, 1, wanted, wait=False), dict(changes)
    for i in range(pcm.shape[1] // HOP):
        stream.options = replace(stream.options, **at.get(i, {}))  # type: ignore[arg-type]
        found.append(stream.push(pcm[:, i * HOP : (i + 1) * HOP]))
    return found


def test_live_codes_are_listened_to_at_once(models: dict[str, Model]) -> None:
    model, pcm = models["levels"], tiny.clip(1, seed=3).astype(np.float32)[None] / 32767
    found = live(model, pcm)
    assert {one.shape[2] for one in found} == {1}
    hops, listened = pcm.reshape(-1, HOP), np.concatenate(found, axis=2)
    stream = EncoderStream(model, 1, EncodeOptions(model.spec.bitrate(model.spec.num_quantizers), effort=1), wait=False)
    vectors = (model.latents(codes)[0].T for codes in (listened, stream.push(pcm)))
    heard, greedy = (distance(model, rows, hops) for rows in vectors)
    assert heard < 0.99 * greedy


def test_a_new_rate_has_its_codebooks_from_the_next_hop_on(models: dict[str, Model]) -> None:
    model, pcm = models["levels"], tiny.noise(1, 30 * HOP).numpy()
    few, all_of_them = ({"bitrate": model.spec.bitrate(count)} for count in (2, model.spec.num_quantizers))
    found = live(model, pcm, (10, few), (20, all_of_them))
    assert [one.shape[1] for one in found] == [5] * 10 + [2] * 10 + [5] * 10
    np.testing.assert_array_equal(np.concatenate(found[:10], 2), np.concatenate(live(model, pcm)[:10], 2))


def test_listening_ends_where_noise_is_to_be_removed(models: dict[str, Model]) -> None:
    """From there on codes are those of a session that never listened."""
    model, pcm = models["spectral"], tiny.noise(1, 30 * HOP).numpy()
    found = live(model, pcm, (10, {"denoise": 1.0}))
    latents = LatentStream(model, 1)
    parts = [latents.push(pcm[:, i * HOP : (i + 1) * HOP], float(i >= 10)) for i in range(30)]
    nearest = model.quantizer.encode(np.concatenate(parts, axis=2), model.spec.num_quantizers, 8)
    listened = np.concatenate(found, axis=2)
    np.testing.assert_array_equal(listened[..., 10:], nearest[..., 10:])
    assert (listened[..., :10] != nearest[..., :10]).any()


def test_the_end_of_silence_has_no_frames(models: dict[str, Model]) -> None:
    model = models["levels"]
    stream = EncoderStream(model, 1, EncodeOptions(model.spec.bitrate(2), effort=8))
    assert stream.flush().shape == (1, 2, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"context_frames": 4},
        {"lookahead_samples": 9},
        {"start_frames": 2},
        {"channels": 2},
        {"segment_samples": 400},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_cannot_be_decoded_frame_by_frame_is_not_listened_to(
    models: dict[str, Model], other: dict[str, int]
) -> None:
    spec = models["seanet"].spec
    assert listens(spec, EncodeOptions(effort=8)) and not listens(spec, EncodeOptions(effort=7))
    assert not listens(replace(spec, **other), EncodeOptions(effort=8))


def test_files_of_more_effort_are_files_like_others(tmp_path) -> None:
    export(tiny.model(config=tiny.LEVELS), tmp_path / "codec")
    codec = load(tmp_path / "codec")
    pcm = tiny.clip(2, seed=2).astype(np.float32) / 32767
    bitrate = codec.spec.bitrate(codec.spec.num_quantizers)
    listened, nearest = (codec.encode(pcm, RATE, bitrate, effort=effort, entropy="none") for effort in (16, 4))
    assert len(listened) == len(nearest) and listened != nearest
    decoded, _ = codec.decode(listened)
    assert decoded.shape == (1, len(pcm))
