"""A stage after the codec's: the decoder alone learns on, for codes that stay what they are.

Encoder, codebooks, denoise switch and codes of levels are frozen, and with them every bit of a file: entropy tables
and whatever else was fitted to the codes still fits. The decoder hears what it gets in use: the codes of a search with
several paths, and gains of bands from their own code, which discriminators then judge with everything else.

Source: ours. Related: decoders that were trained anew for the codes of a codec (Vocos for EnCodec's; Siuzdak, 2023).
"""

from __future__ import annotations

import torch

from soundstream.errors import ConfigError
from soundstream.nn.model import Output, SoundStream
from soundstream.train.config import TrainConfig
from soundstream.train.data.crops import Crops
from soundstream.train.steps.capture import Figures
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.precision import Precision
from soundstream.train.steps.schedule import Phase


class DecoderLearner(Learner):
    """Trains the decoder; see the module. Numbers of codebooks that are drawn are those of latents.

    Raises:
        ConfigError: the codec is not one whose plain latents the decoder takes alone.
    """

    def __init__(self, config: TrainConfig, crops: Crops, precision: Precision, graphs: bool = False) -> None:
        codec = config.codec
        if codec.film != "encoder" or codec.encoder_features or codec.importance or codec.audio_channels > 1:
            raise ConfigError("stage decoder needs a mono codec with film = 'encoder', without features or importance")
        super().__init__(config, crops, precision, graphs)

    def _new_model(self) -> SoundStream:
        model = super()._new_model().requires_grad_(False)
        model.decoder.requires_grad_(True)
        return model

    def _learn(self, phase: Phase) -> Figures:
        given, model = self.inputs, self.model.eval()
        with self.precision.autocast():
            with torch.no_grad():
                latents = model.encode(given.audio).float()
                told = model.told(given.audio, latents, given.counts)
            decoded = model.decode(told)
        return self._follow(Output(decoded, latents, None, latents.new_zeros(())), phase)
