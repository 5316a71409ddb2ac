"""A model of HILCodec's weights beside what its authors' code makes of them: codes and sound."""

import numpy as np
import pytest
import torch

from benchmarks.originals import imported, sound_of
from hilcodec_weights import CONFIG, FILE, HOP, golden, model
from soundstream.errors import ArtifactError
from soundstream.nn.families import hilcodec
from soundstream.nn.weights import read_tensors
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream

PCM, CODES, HEARD = golden()


@pytest.fixture(scope="module")
def codec():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hilcodec.VARIANTS, "speech", CONFIG)
        with imported("hilcodec", "speech", lambda folder: FILE) as ours:
            _ = ours.model.encoder, ours.model.decoder  # loaded while their files are there
            yield ours


@torch.no_grad()
def test_in_torch_codes_and_sound_are_those_of_the_original():
    ours = model()
    np.testing.assert_array_equal(ours.codes(torch.from_numpy(PCM)[None])[0], CODES)
    heard = ours.decode(ours.quantizer.decode(torch.from_numpy(CODES)[None]))
    np.testing.assert_allclose(heard[0], HEARD, rtol=0, atol=1e-6)
    assert np.abs(HEARD).max() > 0.05 and all(len(np.unique(row)) > 8 for row in CODES)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_codes_of_an_artifact_are_those_of_the_original(codec, count):
    ours = codec.to_codes(PCM, CONFIG.sample_rate, codec.spec.bitrate(count), effort=1)
    np.testing.assert_array_equal(ours, CODES[:count])


@pytest.mark.parametrize("size", [1, HOP - 1, 5 * HOP + 3])
def test_a_stream_has_the_codes_of_the_original(codec, size):
    stream = EncoderStream(codec.model, 1, EncodeOptions(codec.spec.bitrate(4), effort=1))
    parts = [stream.push(PCM[:, start : start + size]) for start in range(0, PCM.shape[1], size)]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.flush()], axis=2)[0], CODES)


def test_an_artifact_makes_the_sound_of_the_original(codec):
    np.testing.assert_allclose(sound_of(codec, CODES), HEARD, rtol=0, atol=1e-6)
    stream = DecoderStream(codec.model, 1)
    frames = [stream.push(CODES[None, :, i : i + 1]) for i in range(CODES.shape[1])]
    np.testing.assert_allclose(np.concatenate(frames, axis=1), HEARD, rtol=0, atol=1e-6)


def test_the_original_has_what_a_training_run_keeps():
    kept = torch.load(FILE, weights_only=True)
    assert set(kept) > {"model", "epoch", "scheduler_g"}
    assert kept["model"]["quantizer.layers.0._extra_state"] == {"initted": True}


@pytest.mark.parametrize("missing", ["encoder.first", "encoder.block2.down", "decoder.block1.unit0.depth1"])
def test_a_bias_that_is_missing_is_named(missing):
    tensors = read_tensors(FILE)
    name = f"{dict(hilcodec.places(CONFIG))[missing]}.conv.conv.bias"
    del tensors[name]
    with pytest.raises(ArtifactError, match=f"the weights lack {name}"):
        hilcodec.convert(tensors, CONFIG)


def test_weights_of_the_other_model_are_refused():
    with pytest.raises(ArtifactError, match=r"quantizer.layers.4.embed|weights of another model"):
        hilcodec.convert(read_tensors(FILE), hilcodec.VARIANTS["music"])
