"""The artifact computes what the model does, and it is noticed when it does not."""

import numpy as np
import onnx
import pytest
import torch

import tiny
from soundstream import ParityError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.runtime.artifact import write_manifest

PCM = tiny.clip(1.5).astype(np.float32) / 32768


@pytest.fixture
def artifact(tmp_path):
    export(tiny.model(), tmp_path / "artifact")
    return tmp_path / "artifact"


def test_an_export_agrees_with_its_model(artifact):
    found = check_parity(tiny.model(), artifact, PCM)
    assert found.pcm_snr_db > 80 and found.codes_equal > 0.99 and found.latents_difference < 1e-4
    assert 25 < found.stored_snr_db < found.pcm_snr_db and found.stored_latents_snr_db > 25


def test_the_export_of_another_model_is_refused(artifact):
    with pytest.raises(ParityError, match=r"stored_latents_snr_db is .*stored_snr_db is"):
        check_parity(tiny.model(seed=1), artifact, PCM)


def test_one_changed_weight_of_the_decoder_is_noticed(artifact):
    path = artifact / "decoder.onnx"
    graph = onnx.load(path)
    last = next(t for t in graph.graph.initializer if t.name.startswith("last.bias") or "last.bias" in t.name)
    changed = onnx.numpy_helper.to_array(last) + np.float16(0.1)
    last.CopyFrom(onnx.numpy_helper.from_array(changed.astype(np.float16), last.name))
    onnx.save(graph, path)
    write_manifest(artifact)
    with pytest.raises(ParityError, match="stored_snr_db is"):
        check_parity(tiny.model(), artifact, PCM)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = tiny.model()
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(float("nan"))
    export(model, tmp_path / "artifact")
    with pytest.raises(ParityError, match="pcm_snr_db is nan"):
        check_parity(model, tmp_path / "artifact", PCM)


def test_an_export_agrees_with_its_model_while_the_switch_is_on(tmp_path):
    model = tiny.model(config=tiny.SPECTRAL)
    export(model, tmp_path / "artifact")
    check_parity(model, tmp_path / "artifact", PCM)
    with torch.no_grad():
        model.denoiser.out.bias -= 3
    with pytest.raises(ParityError):
        check_parity(model, tmp_path / "artifact", PCM)
