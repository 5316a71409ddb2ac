"""Features of speech by a small network of w2v-BERT's kind with random weights."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from soundstream.errors import CodecError, ConfigError
from soundstream.nn.w2v_bert import LAYER, SpeechFeatures

needs_package = pytest.mark.skipif(not find_spec("transformers"), reason="needs transformers")
WIDTH = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("w2v")
    sizes = {"hidden_size": WIDTH, "intermediate_size": 16, "num_attention_heads": 2, "output_hidden_size": WIDTH}
    config = Wav2Vec2BertConfig(num_hidden_layers=LAYER + 1, feature_projection_input_dim=160, **sizes)
    Wav2Vec2BertModel(config).save_pretrained(place / "model")
    SeamlessM4TFeatureExtractor().save_pretrained(place / "model")
    torch.save({"mean": torch.linspace(-1, 1, WIDTH), "var": torch.full((WIDTH,), 4.0)}, place / "statistics.pt")
    return place


@pytest.fixture(scope="module")
def features(folder):
    return SpeechFeatures(folder / "model", folder / "statistics.pt", pooled=4)


@needs_package
def test_features_are_means_of_normalized_states_for_as_many_frames_as_the_sound_has(folder, features):
    audio = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 16_000)).astype(np.float32))
    found = features(audio, 16_000)
    assert found.shape == (2, WIDTH, 13)
    extracted = features._extractor([*audio.numpy()], sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        states = features._network(**extracted, output_hidden_states=True).hidden_states[LAYER]
    expected = (states - torch.linspace(-1, 1, WIDTH)) / 2
    torch.testing.assert_close(found[:, :, 3], expected[:, 12:16].mean(1))
    assert found.std() > 1e-3


@needs_package
def test_sound_of_another_rate_has_frames_of_its_time(features):
    assert features(torch.randn(1, 24_000), 24_000).shape == (1, WIDTH, 13)
    assert features(torch.randn(1, 48_000 * 2), 48_000).shape == (1, WIDTH, 25)


@needs_package
def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"is no folder; give that of w2v-BERT 2\.0"):
        SpeechFeatures(tmp_path / "none", folder / "statistics.pt", pooled=4)
    torch.save({"mean": torch.zeros(3)}, tmp_path / "mean.pt")
    with pytest.raises(ConfigError, match="holds mean; expected mean and var"):
        SpeechFeatures(folder / "model", tmp_path / "mean.pt", pooled=4)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(CodecError, match="pip install transformers"):
        SpeechFeatures(tmp_path, tmp_path / "x.pt", pooled=4)
