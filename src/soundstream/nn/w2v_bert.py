"""Features of speech as DualCodec's models take them: w2v-BERT 2.0 by `transformers`, which comes with neither weights.

    features = SpeechFeatures("w2v-bert-2.0", "w2vbert2_mean_var_stats_emilia.pt", pooled=4)
    codes = codec.to_codes(pcm, 24_000, features=features(torch.from_numpy(pcm), 24_000).numpy())

Source: DualCodec (Li et al., 2025), section 3.1.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.audio.resample import resample
from soundstream.errors import ConfigError
from soundstream.nn.weights import read_tensors
from soundstream.system.extras import needs

RATE = 16_000
"""Hz that the network hears."""
FRAME_RATE = 50
"""Of its hidden states."""
LAYER = 17
"""Whose output is taken."""


class SpeechFeatures:
    """Sound to the hidden states of a layer, normalized, and of every few frames the mean.

    Args:
        model: folder of the published network, `config.json`, `preprocessor_config.json` and `model.safetensors`.
        statistics: the authors' file of the mean and the variance of its states.
        pooled: frames at 50 Hz of each that is given: 4 for 12.5 Hz, 2 for 25.
        device: of torch, where the network runs.
    Raises:
        CodecError: `transformers` is not installed.
        ConfigError: there is no such folder.
        InputError, ArtifactError: the statistics cannot be read.
    """

    def __init__(self, model: str | Path, statistics: str | Path, pooled: int, device: str = "cpu") -> None:
        with needs("transformers"):
            library: Any = import_module("transformers")
        if not Path(model).is_dir():
            raise ConfigError(f"{model} is no folder; give that of w2v-BERT 2.0, facebook/w2v-bert-2.0 of the hub")
        self._extractor = library.AutoFeatureExtractor.from_pretrained(model)
        self._network = library.Wav2Vec2BertModel.from_pretrained(model).eval().to(device)
        found = read_tensors(Path(statistics))
        if set(found) != {"mean", "var"}:
            raise ConfigError(f"{statistics} holds {', '.join(sorted(found))}; expected mean and var of the states")
        self._mean, self._deviation = found["mean"].to(device), found["var"].sqrt().to(device)
        self.pooled, self.device = pooled, device

    @torch.no_grad()
    def __call__(
        self, audio: Float[Tensor, "batch samples"], sample_rate: int
    ) -> Float[Tensor, "batch channels frames"]:
        """As many frames as the sound has begun; the last state stands for those that the network lacks."""
        pcm = resample(audio.detach().cpu().float().numpy(), sample_rate, RATE)
        heard = self._extractor([*pcm], sampling_rate=RATE, return_tensors="pt").to(self.device)
        states = self._network(**heard, output_hidden_states=True).hidden_states[LAYER]
        states = (states - self._mean) / self._deviation
        frames = -(-audio.shape[-1] * FRAME_RATE // (sample_rate * self.pooled))
        places = np.arange(frames * self.pooled).clip(max=states.shape[1] - 1)
        pooled: Tensor = states[:, places].unflatten(1, (frames, self.pooled)).mean(2).transpose(1, 2)
        return pooled.to(audio.device)
