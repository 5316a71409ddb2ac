"""The codec as one trainable module."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import LAST, Graph
from soundstream.nn.importance import drawn_use
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.scaling import FiLM, Gain
from soundstream.nn.levels import LevelStage
from soundstream.nn.quantize import LatentNormalizer, ResidualVectorQuantizer
from soundstream.nn.streaming import Chain, without_autocast

LEVELS = "levels"
"""Name of the levels in the encoder's graph."""
FEATURES = "features"
"""Name of what the encoder takes beside the sound, in the graph that makes of it what is added to latents."""


class Output(NamedTuple):
    """What the codec makes of a batch of audio."""

    audio: Float[Tensor, "batch channels samples"]
    """Decoded; it lags behind the input by `config.delay_samples`."""
    latents: Float[Tensor, "batch latent_dim frames"]
    """Before quantization."""
    codes: Int[Tensor, "batch num_quantizers frames"] | None
    """None while the quantizer is bypassed."""
    commitment: Float[Tensor, ""]
    rate: Float[Tensor, ""] | None = None
    """Sum over examples of the mean importance of frames, of a codec that tells it."""


class Networks(NamedTuple):
    """What a family makes: all that learns, but for FiLM."""

    encoder: Chain
    decoder: Chain
    analysis: Chain | None = None
    """Audio to what the encoder sees; None where that is audio."""
    denoiser: Chain | None = None
    """What the encoder sees to a mask of the `coefficients` that it is made of; a model that has one gives them."""
    project: CausalConv | None = None
    """The linear layer between FiLM and latents."""
    gain: Gain | None = None
    """What the encoder divides a segment by, and the decoder multiplies it by; `side_numbers` of the config is 1."""
    levels: LevelStage | None = None
    """What codes the levels of bands; a model that has it gives the `levels` of a sound."""
    features: Chain | None = None
    """Features `[batch, channels, 1, frames]` to what they add to latents; `config.encoder_features` tells of them."""


class SoundStream(nn.Module):
    """Encoder, FiLM, latent normalizer, residual vector quantizer and decoder.

    Source: SoundStream (Zeghidour et al., 2021), Fig. 2. Differs: a family may let FiLM scale the channels of the
    encoder's last layer but one, of which there are more; a linear layer, `project`, makes latents of them. `film` of
    the config puts FiLM before the decoder instead.
    """

    def __init__(self, config: FamilyConfig, networks: Networks) -> None:
        super().__init__()
        self.config = config
        self.analysis = networks.analysis or Chain()
        self.denoiser = networks.denoiser
        self.encoder = networks.encoder
        self.project = networks.project
        self.gain = networks.gain
        self.level_stage = networks.levels
        self.features = networks.features
        self.decoder = networks.decoder
        wide = self.project if config.film == "encoder" else None
        self.film = FiLM(wide.in_channels if wide else config.latent_dim, config.condition_dim)
        self.normalizer = LatentNormalizer(config.latent_dim)
        self.quantizer = ResidualVectorQuantizer(
            config.num_quantizers, config.codebook_size, config.latent_dim, config.quantizer
        )

    def forward(
        self,
        audio: Float[Tensor, "batch channels samples"],
        num_quantizers: Int[Tensor, " batch"] | None,
        condition: Float[Tensor, "batch condition frames"] | None = None,
        features: Float[Tensor, "batch features frames"] | None = None,
    ) -> Output:
        """Code and decode; `num_quantizers` of None bypasses the quantizer (the warm-up of a training run)."""
        (latents, importance), side = self._encoded(audio, condition, features), self.side(audio)
        if num_quantizers is None:
            return Output(self.decode(latents, condition, side), latents, None, latents.new_zeros(()))
        use = None
        if self.training and importance is not None and self.config.importance:
            use = drawn_use(importance, num_quantizers, self.config.num_quantizers, self.config.importance)
        quantized = self.quantizer(latents, num_quantizers, use and use.mask)
        decoded = self.decode(quantized.latents, condition, side)
        return Output(decoded, latents, quantized.codes, quantized.commitment, use and use.rate)

    def encode(
        self,
        audio: Float[Tensor, "batch channels samples"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
        features: Float[Tensor, "batch features frames"] | None = None,
    ) -> Float[Tensor, "batch latent_dim frames"]:
        """Latents before quantization; `condition` of None means plain coding, denoise off.

        Args:
            features: of the sound, for a model that takes some beside it.
        Raises:
            ConfigError: it takes some, and there are none.
        """
        return self._encoded(audio, condition, features)[0]

    def importance(self, audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch 1 frames"]:
        """How much each frame of the sound needs, from 0 to 1; of codecs that tell it."""
        _, found = self._encoded(audio, None, None)
        assert found is not None
        return found

    def _encoded(
        self,
        audio: Float[Tensor, "batch channels samples"],
        condition: Float[Tensor, "batch condition frames"] | None,
        features: Float[Tensor, "batch features frames"] | None,
    ) -> tuple[Float[Tensor, "batch latent_dim frames"], Float[Tensor, "batch 1 frames"] | None]:
        """Latents, and the importance of frames if the encoder tells it."""
        if self.gain:
            audio = audio / self.side(audio)[..., None]
        x, importance = self.encoder(self.analysed(audio.unsqueeze(2), condition)), None
        if self.config.importance:
            x, importance = x[:, :-1], x[:, -1]
        if self.config.film == "encoder":
            x = self._conditioned(x, condition)
        with without_autocast(x):
            x = self.project(x.to(self.project.weight.dtype)) if self.project else x
            latents = self.normalizer(x).squeeze(2)
            latents = latents + self._added(features) if self.features else latents
        return latents, importance

    def _added(self, features: Float[Tensor, "batch features frames"] | None) -> Tensor:
        """What features add to the latents."""
        assert self.features and self.config.encoder_features
        if features is None:
            raise ConfigError(self.config.encoder_features.missing)
        return self.features(features.unsqueeze(2)).squeeze(2)

    def side(self, audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch side"]:
        """The numbers that a segment has beside its codes; there are none unless the networks have a gain."""
        return self.gain(audio.unsqueeze(2))[..., 0, 0] if self.gain else audio.new_zeros(len(audio), 0)

    def analysed(
        self,
        audio: Float[Tensor, "batch channels 1 samples"],
        condition: Float[Tensor, "batch condition frames"] | None,
    ) -> Float[Tensor, "batch features 1 time"]:
        """What the encoder sees."""
        return self.analysis(audio)

    def coefficients(
        self,
        audio: Float[Tensor, "batch channels 1 samples"],
        condition: Float[Tensor, "batch condition frames"] | None,
    ) -> Float[Tensor, "batch coefficients 1 frames"]:
        """What a denoiser's mask leaves of the sound as far as the condition says; of models that have a denoiser."""
        raise NotImplementedError

    def levels(
        self,
        audio: Float[Tensor, "batch channels samples"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
    ) -> Float[Tensor, "batch bands frames"]:
        """Levels of bands of the sound that `encode` makes latents of; of models that have codes for them."""
        raise NotImplementedError

    @torch.no_grad()
    def codes(
        self,
        audio: Float[Tensor, "batch channels samples"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
    ) -> Int[Tensor, "batch num_quantizers frames"]:
        """Codes of all codebooks of the stack, that of levels among them."""
        latents = self.encode(audio, condition)
        codes = self.quantizer.encode(latents, self.config.num_quantizers)
        if not (self.level_stage and self.config.levels):
            return codes
        gains = self.level_stage.gains(latents, self.levels(audio, condition), self.quantizer.decode(codes))
        before, behind = codes.tensor_split([self.config.levels.place], dim=1)
        return torch.cat([before, self.level_stage.encode(gains)[:, None], behind], dim=1)

    @torch.no_grad()
    def latents_of(self, codes: Int[Tensor, "batch num_quantizers frames"]) -> Float[Tensor, "batch channels frames"]:
        """What `decode` takes, of codes of all codebooks: latents, and the entries of levels behind them."""
        if not (self.level_stage and self.config.levels):
            return self.quantizer.decode(codes)
        before, found, behind = codes.tensor_split([self.config.levels.place, self.config.levels.place + 1], dim=1)
        entries = self.level_stage.entries(found[:, 0])
        return torch.cat([self.quantizer.decode(torch.cat([before, behind], dim=1)), entries], dim=1)

    @torch.no_grad()
    def told(
        self,
        audio: Float[Tensor, "batch channels samples"],
        latents: Float[Tensor, "batch latent_dim frames"],
        counts: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch told frames"]:
        """What `decode` takes where each example has its own number of codebooks of latents.

        Those with as many codes as stand before the one of levels have that too. Its gains are those of a frame later,
        as in files: their windows then end half a frame behind what they are for.
        """
        quantized = self.quantizer(latents, counts).latents
        if not (self.level_stage and self.config.levels):
            return quantized
        gains = self.level_stage.gains(latents, self.levels(audio), quantized).float()
        later = torch.cat([gains[..., 1:], gains[..., -1:]], dim=2)
        entries = self.level_stage.entries(self.level_stage.encode(later))
        return torch.cat([quantized, entries * (counts >= self.config.levels.place)[:, None, None]], dim=1)

    def analysed_onnx(self, graph: Graph) -> str:
        """The same in the encoder's graph, of its inputs `pcm`, `condition` and, with a denoiser, `mask`."""
        return self.analysis.onnx(graph, "", self.gain.divided_onnx(graph, "pcm") if self.gain else "pcm")

    def importance_onnx(self, graph: Graph, x: str) -> tuple[str, list[str]]:
        """What the encoder gives without its last channel, and that channel, of a codec that tells importance."""
        if not self.config.importance:
            return x, []
        found = graph.slice(x, "importance", start=-1, end=LAST, axis=1)
        return graph.slice(x, "encoded", start=0, end=-1, axis=1), [found]

    def decode(
        self,
        latents: Float[Tensor, "batch latent_dim frames"],
        condition: Float[Tensor, "batch condition frames"] | None = None,
        side: Float[Tensor, "batch side"] | None = None,
    ) -> Float[Tensor, "batch channels samples"]:
        """Audio from quantized latents; it lags behind the encoder's input by `config.delay_samples`.

        Args:
            side: as `side` of the audio; without it a segment is as loud as if its gain were 1.
        """
        x = latents.unsqueeze(2)
        if self.config.film == "decoder":
            x = self._conditioned(x, condition)
        audio = self.decoder(x).squeeze(2)
        return audio if side is None or not self.gain else audio * side[..., None]

    def _conditioned(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            condition = plain_condition(self.config, x.shape[0], x.shape[-1], x.device).to(x.dtype)
        return self.film(x, condition.unsqueeze(2))

    def train_trunks(self, learn: bool) -> None:
        """Let the `trunk` of encoder and decoder learn, or keep it as it is; without a trunk it does nothing."""
        for network in (self.encoder, self.decoder):
            if isinstance(trunk := getattr(network, "trunk", None), Chain):
                trunk.requires_grad_(learn)

    def num_parameters(self) -> int:
        """Trained parameters; codebooks are not counted, as in the paper's Table I."""
        return sum(p.numel() for p in self.parameters())


def plain_condition(
    config: FamilyConfig, batch: int, frames: int, device: torch.device | None = None
) -> Float[Tensor, "batch condition frames"]:
    """The FiLM condition for coding without denoising: the first of the one-hot values."""
    condition = torch.zeros(batch, config.condition_dim, frames, device=device)
    condition[:, 0].fill_(1)
    return condition
