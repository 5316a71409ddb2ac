import numpy as np
import onnxruntime
import pytest

import tiny
from soundstream import ConfigError, load
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model

HOP = tiny.CONFIG.hop_length
CPU_ALONE = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def decoder(artifact_folder):
    return Model(load_artifact(artifact_folder)).decoder


@pytest.fixture(scope="module")
def latents():
    return tiny.noise(2, tiny.CONFIG.latent_dim, 1, 6, scale=1).numpy()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("frames", [1, 5])
def test_a_frame_gives_a_hop_of_samples(decoder, batch, frames):
    latents = np.zeros((batch, tiny.CONFIG.latent_dim, 1, frames), np.float32)
    pcm, _ = decoder.step(decoder.init_state(batch), latents=latents)
    assert (pcm.shape, pcm.dtype) == ((batch, 1, 1, frames * HOP), np.float32)


def test_signals_go_on_from_what_is_remembered_of_others(decoder, latents):
    _, state = decoder.step(decoder.init_state(2), latents=latents[..., :3])
    kept, _ = decoder.step(state, latents=latents[..., 3:])
    state.reorder(np.array([1, 0]))
    turned, _ = decoder.step(state, latents=np.ascontiguousarray(latents[::-1, ..., 3:]))
    np.testing.assert_array_equal(turned[::-1], kept)
    state.reorder(np.array([0, 0]))
    alike, _ = decoder.step(state, latents=latents[[0, 0], ..., 3:])
    np.testing.assert_array_equal(alike[0], alike[1])


def test_a_state_may_be_stepped_again_until_its_successor_is(decoder, latents):
    _, state = decoder.step(decoder.init_state(2), latents=latents[..., :3])
    first, _ = decoder.step(state, latents=latents[..., 3:])
    again, _ = decoder.step(state, latents=latents[..., 3:])
    np.testing.assert_array_equal(first, again)
    other, _ = decoder.step(decoder.init_state(2), latents=latents[..., 3:])
    assert not np.array_equal(first, other)


def test_a_result_keeps_its_values_when_the_stream_goes_on(decoder, latents):
    state, results, copies = decoder.init_state(2), [], []
    for i in range(6):
        pcm, state = decoder.step(state, latents=latents[..., [i]])
        results.append(pcm)
        copies.append(pcm.copy())
    np.testing.assert_array_equal(results, copies)


def test_calls_of_changing_length_equal_one_call(decoder, latents):
    whole, _ = decoder.step(decoder.init_state(2), latents=latents)
    state, parts = decoder.init_state(2), []
    for start, end in ((0, 1), (1, 4), (4, 5), (5, 6)):
        pcm, state = decoder.step(state, latents=latents[..., start:end])
        parts.append(pcm)
    np.testing.assert_allclose(np.concatenate(parts, axis=-1), whole, rtol=0, atol=1e-5)


def test_two_states_of_one_network_do_not_meet(decoder, latents):
    states = [decoder.init_state(2), decoder.init_state(2)]
    for i in range(3):
        alone, states[0] = decoder.step(states[0], latents=latents[..., [i]])
        _, states[1] = decoder.step(states[1], latents=latents[..., [5 - i]])
    state = decoder.init_state(2)
    for i in range(3):
        expected, state = decoder.step(state, latents=latents[..., [i]])
    np.testing.assert_array_equal(alone, expected)


def test_a_provider_is_asked_for_by_its_short_name_and_the_cpu_stands_behind_it(artifact_folder, monkeypatch):
    asked, make = [], onnxruntime.InferenceSession

    def session(path, options, providers):
        asked.append(providers)
        return make(path, options, providers=providers[-1:])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    assert Model(load_artifact(artifact_folder)).decoder
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *CPU_ALONE])
    assert Model(load_artifact(artifact_folder), provider="cuda").decoder
    assert asked == [CPU_ALONE, ["CUDAExecutionProvider", *CPU_ALONE]]


def test_a_provider_that_is_not_there_is_refused_with_those_that_are(artifact_folder):
    with pytest.raises(ConfigError, match=r"provider 'cuda' is not in this ONNX Runtime, which has: .*cpu"):
        load(artifact_folder, provider="cuda")
    assert load(artifact_folder, provider="CPU").provider == "CPU"
