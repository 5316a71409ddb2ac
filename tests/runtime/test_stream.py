"""The denoise switch of an encoder's stream."""

import dataclasses

import numpy as np
import pytest

import tiny
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import DENOISER_FILE, Model
from soundstream.runtime.stream import LatentStream

HOP = tiny.CONFIG.hop_length


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that says it was trained for the switch; the tiny model's FiLM does something for both conditions."""
    folder = tmp_path_factory.mktemp("denoise") / "artifact"
    export(tiny.model(config=dataclasses.replace(tiny.CONFIG, denoise=True)), folder)
    return Model(load_artifact(folder))


@pytest.fixture(scope="module")
def pcm():
    return tiny.noise(2, 20 * HOP).numpy()


def latents(model, pcm, denoise):
    return LatentStream(model, 2).push(pcm, denoise)


def test_the_switch_changes_latents_and_by_default_it_is_off(model, pcm):
    off = LatentStream(model, 2).push(pcm)
    np.testing.assert_array_equal(off, latents(model, pcm, 0.0))
    assert np.abs(off - latents(model, pcm, 1.0)).max() > 0.1


@pytest.mark.parametrize("denoise", [0.25, 0.5, 0.9])
def test_values_between_interpolate(model, pcm, denoise):
    between = (1 - denoise) * latents(model, pcm, 0.0) + denoise * latents(model, pcm, 1.0)
    np.testing.assert_allclose(latents(model, pcm, denoise), between, rtol=0, atol=1e-4)


def test_a_new_value_is_reached_step_by_step_from_the_first_frame_that_its_push_completes(model, pcm):
    stream, cut = LatentStream(model, 2), 3 * HOP + HOP // 2
    first, second = stream.push(pcm[:, :cut], 0.0), stream.push(pcm[:, cut:], 1.0)
    off, on = latents(model, pcm, 0.0), latents(model, pcm, 1.0)
    shares = np.minimum(1, np.arange(1, 18) / model.turn_frames)
    np.testing.assert_allclose(first, off[..., :3], rtol=0, atol=1e-5)
    np.testing.assert_allclose(second, (1 - shares) * off[..., 3:] + shares * on[..., 3:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["model", "denoiser"])
@pytest.mark.parametrize("frames", [1, 3])
def test_turns_in_any_chunks_equal_turns_in_one(name, frames, pcm, request):
    model, once, often = request.getfixturevalue(name), [], []
    streams = LatentStream(model, 2), LatentStream(model, 2)
    for strength, part in ((1.0, pcm[:, : 2 * HOP]), (0.0, pcm[:, 2 * HOP : 14 * HOP]), (0.6, pcm[:, 14 * HOP :])):
        once.append(streams[0].push(part, strength))
        often += [
            streams[1].push(chunk, strength)
            for chunk in np.split(part, range(frames * HOP, part.shape[1], frames * HOP), axis=1)
        ]
    np.testing.assert_allclose(np.concatenate(once, axis=2), np.concatenate(often, axis=2), rtol=0, atol=1e-5)


def test_flush_goes_on_as_the_last_push(model, pcm):
    """The rest of a frame, filled up with zeros, is coded with the switch where the push had it."""
    stream, cut = LatentStream(model, 2), 8 * HOP + HOP // 2
    stream.push(pcm[:, :cut], 1.0)
    padded = np.pad(pcm[:, :cut], ((0, 0), (0, HOP - HOP // 2)))
    np.testing.assert_allclose(stream.flush(), latents(model, padded, 1.0)[..., 8:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("denoise", [-0.1, 1.1, float("nan")])
def test_other_values_are_refused_and_nothing_is_taken(model, pcm, denoise):
    stream = LatentStream(model, 2)
    with pytest.raises(ConfigError, match=f"denoise is {denoise}; expected 0 to 1"):
        stream.push(pcm, denoise)
    np.testing.assert_array_equal(stream.push(pcm), latents(model, pcm, 0.0))


def test_a_model_that_was_not_trained_for_it_refuses_the_switch(artifact_folder, pcm):
    stream = LatentStream(Model(load_artifact(artifact_folder)), 2)
    with pytest.raises(ConfigError, match="this model was not trained to remove noise"):
        stream.push(pcm, 0.5)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    """A model with a denoiser."""
    folder = tmp_path_factory.mktemp("denoiser") / "artifact"
    export(tiny.model(config=tiny.SPECTRAL), folder)
    return Model(load_artifact(folder))


def test_a_denoiser_that_is_off_is_never_loaded(tmp_path):
    export(tiny.model(config=tiny.SPECTRAL), tmp_path / "artifact")
    made = Model(load_artifact(tmp_path / "artifact"))
    latents(made, tiny.noise(2, 20 * HOP).numpy(), 0.0)
    assert "denoiser" not in vars(made)


def test_turned_on_again_a_denoiser_knows_nothing_of_what_it_heard_before(denoiser):
    """So that latents follow from the switch's place at each frame, however the frames come."""
    start, other, rest = (tiny.noise(1, n * HOP, seed=n).numpy() for n in (4, 5, 40))
    ends = []
    for sound in (start, other[:, : 4 * HOP]):
        stream = LatentStream(denoiser, 1)
        stream.push(sound, 1.0)
        stream.push(rest, 0.0)
        ends.append(stream.push(rest, 1.0))
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-5)
    assert np.abs(ends[0] - LatentStream(denoiser, 1).push(rest, 1.0)).max() > 1e-3


@pytest.mark.parametrize("frames", [1, 3, 7])
def test_chunks_with_the_denoiser_on_equal_the_whole(denoiser, pcm, frames):
    stream = LatentStream(denoiser, 2)
    parts = [stream.push(part, 1.0) for part in np.array_split(pcm, 20 // frames, axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=2), latents(denoiser, pcm, 1.0), rtol=0, atol=1e-5)


def test_a_denoiser_whose_file_went_away_is_an_error_and_not_a_switch_that_does_nothing(tmp_path):
    export(tiny.model(config=tiny.SPECTRAL), tmp_path / "artifact")
    made = Model(load_artifact(tmp_path / "artifact"))
    (tmp_path / "artifact" / DENOISER_FILE).unlink()
    with pytest.raises(ArtifactError, match=DENOISER_FILE):
        latents(made, tiny.noise(2, 20 * HOP).numpy(), 1.0)
