"""The codec as one trainable module."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from soundstream.config import CodecConfig, SeanetConfig, SpectralConfig
from soundstream.errors import ConfigError
from soundstream.nn import denoiser
from soundstream.nn.conv import CausalConv
from soundstream.nn.families import seanet, spectral
from soundstream.nn.film import FiLM
from soundstream.nn.quantize import LatentNormalizer, ResidualVectorQuantizer
from soundstream.nn.streaming import Chain


class Output(NamedTuple):
    """What the codec makes of a batch of audio."""

    audio: Float[Tensor, "batch 1 samples"]
    """Decoded; it lags behind the input by `config.delay_samples`."""
    latents: Float[Tensor, "batch latent_dim frames"]
    """Before quantization."""
    codes: Int[Tensor, "batch num_quantizers frames"] | None
    """None while the quantizer is bypassed."""
    commitment: Float[Tensor, ""]


class Networks(NamedTuple):
    """What learns, but for FiLM, in the order of processing; None is a part that this codec does without."""

    analysis: Chain
    """Audio to what the encoder sees; empty where that is audio."""
    denoiser: Chain | None
    """What the encoder sees to a mask of the coefficients that it is made of."""
    encoder: Chain
    project: CausalConv | None
    """The linear layer between FiLM and latents."""
    decoder: Chain


class SoundStream(nn.Module):
    """Encoder, FiLM, latent normalizer, residual vector quantizer and decoder.

    Source: SoundStream (Zeghidour et al., 2021), Fig. 2. Differs: in the spectral family FiLM scales the channels of
    the encoder's last layer but one, of which there are more; a linear layer, `project`, makes latents of them. `film`
    of the config puts FiLM before the decoder instead. In the spectral family
    a denoiser may mask the coefficients that the encoder sees, as far as the second value of the condition says.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis, self.denoiser, self.encoder, self.project, self.decoder = _networks(config)
        wide = self.project if config.film == "encoder" else None
        self.film = FiLM(wide.in_channels if wide else config.latent_dim, config.condition_dim)
        self.normalizer = LatentNormalizer(config.latent_dim)
        self.quantizer = ResidualVectorQuantizer(config.num_quantizers, config.codebook_size, config.latent_dim)

    def forward(
        self,
        audio: Float[Tensor, "batch 1 samples"],
        num_quantizers: Int[Tensor, " batch"] | None,
        condition: Float[Tensor, "batch condition frames"] | None = None,
    ) -> Output:
        """Code and decode; `num_quantizers` of None bypasses the quantizer (the warm-up of a training run)."""
        latents = self.encode(audio, condition)
        if num_quantizers is None:
            return Output(self.decode(latents, condition), latents, None, latents.new_zeros(()))
        quantized = self.quantizer(latents, num_quantizers)
        return Output(self.decode(quantized.latents, condition), latents, quantized.codes, quantized.commitment)

    def encode(
        self,
        audio: Float[Tensor, "batch 1 samples"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
    ) -> Float[Tensor, "batch latent_dim frames"]:
        """Latents before quantization; `condition` of None means plain coding, denoise off."""
        x = self.encoder(self._analysed(audio.unsqueeze(2), condition))
        if self.config.film == "encoder":
            x = self._conditioned(x, condition)
        return self.normalizer(self.project(x) if self.project else x).squeeze(2)

    def _analysed(self, audio: Tensor, condition: Tensor | None) -> Tensor:
        """What the encoder sees, `[batch, features, 1, frames]`."""
        if not self.denoiser or condition is None:
            return self.analysis(audio)
        coefficients = self.analysis.mdct(audio)
        mask = self.denoiser(self.analysis.features(coefficients))
        return self.analysis.features(denoiser.masked(coefficients, mask, condition[:, 1:2, None]))

    def decode(
        self,
        latents: Float[Tensor, "batch latent_dim frames"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
    ) -> Float[Tensor, "batch 1 samples"]:
        """Audio from quantized latents; it lags behind the encoder's input by `config.delay_samples`."""
        x = latents.unsqueeze(2)
        if self.config.film == "decoder":
            x = self._conditioned(x, condition)
        return self.decoder(x).squeeze(2)

    def _conditioned(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            condition = plain_condition(self.config, x.shape[0], x.shape[-1], x.device).to(x.dtype)
        return self.film(x, condition.unsqueeze(2))

    def train_trunks(self, learn: bool) -> None:
        """Let the trunks of SEANet learn, or keep them as they are; without a trunk it does nothing."""
        for network in (self.encoder, self.decoder):
            if isinstance(trunk := getattr(network, "trunk", None), Chain):
                trunk.requires_grad_(learn)

    def num_parameters(self) -> int:
        """Trained parameters; codebooks are not counted, as in the paper's Table I."""
        return sum(p.numel() for p in self.parameters())


def _networks(config: CodecConfig) -> Networks:
    match config:
        case SeanetConfig():
            return Networks(Chain(), None, seanet.encoder(config), None, seanet.decoder(config))
        case SpectralConfig():
            return Networks(
                spectral.analysis(config),
                denoiser.denoiser(config) if config.denoiser_blocks else None,
                spectral.encoder(config),
                spectral.projection(config),
                spectral.decoder(config),
            )
    raise ConfigError(f"{type(config).__name__} has no networks; choose SeanetConfig or SpectralConfig")


def plain_condition(
    config: CodecConfig, batch: int, frames: int, device: torch.device | None = None
) -> Float[Tensor, "batch condition frames"]:
    """The FiLM condition for coding without denoising: the first of the one-hot values."""
    condition = torch.zeros(batch, config.condition_dim, frames, device=device)
    condition[:, 0].fill_(1)
    return condition
