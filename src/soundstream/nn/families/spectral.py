"""Encoder and decoder that work on the frames of an MDCT: every layer runs at the frame rate.

    encoder: MDCT -> band levels and signed square roots -> linear -> ConvNeXt blocks -> FiLM -> linear to latent_dim
             (between roots and linear: the denoiser, if the model has one)
    decoder: linear -> ConvNeXt blocks -> value * exp(scale) + noise * exp(level), all linear -> inverse MDCT
             (with `output = "square"`: value * |value| * exp(scale), which undoes the encoder's roots)

    windows      frame t-1        frame t         frame t+1
                /‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X      X: overlap of L samples

A frame of the encoder needs its own hop of samples and the L before it. The last L samples of a decoded frame are
complete with the next frame, so that decoded audio lags by L.

Fresh networks are a parametric codec: the linear layers start as identities, the blocks next to nothing, so that the
lowest coefficients pass through, and above them the levels of bands, which the decoder fills with noise. From a random
start the waveform is not found within hundreds of steps.

Source: ours. Related: StreamCodec (Jiang et al., 2025), a causal codec on MDCT frames; APCodec (Ai et al., 2024) and
Vocos (Siuzdak, 2023), ConvNeXt blocks on spectral frames. The window is a low-overlap one, as in CELT (RFC 6716,
section 4.3.7), and so is noise at the level of a band (folding there, section 4.3.4.3).
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundstream.analysis.band_levels import level_edges
from soundstream.errors import ConfigError
from soundstream.limits import Flag, OneOf, Whole
from soundstream.nn.config import FamilyConfig
from soundstream.nn.denoiser import denoiser, masked, masked_onnx
from soundstream.nn.graph import LAST, Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.convnext import blocks
from soundstream.nn.layers.mdct import ENCODER_GAIN, LEVEL_GAIN, Features, InverseMdct, Mdct, band_edges
from soundstream.nn.layers.noise import LatentNoise, RandomSigns
from soundstream.nn.levels import MEMORY, BandLevels, LevelGain, LevelStage
from soundstream.nn.model import LEVELS, Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule, without_autocast
from soundstream.spec import Levels

DECODER_GAIN = 0.25
"""Fresh gain from a latent, of about 1, back to the root of a coefficient."""
SQUARE_START = 0.02
"""Weight of fresh values that pass no channel through where they are squared: from zero a square would never move."""
SCALE_START = 0.1
"""Weight of the fresh layer that gives the logarithm of the output's scale."""
NOISE_START = {"exp": (-4.6, 1.6), "square": (-5.6, 1.2)}
"""Fresh logarithm of the noise's amplitude where the latent of its band is zero, and its rise with that latent.

By output; measured on speech, music and ambient sound with 40 coefficients passed by 64 latents, and with 104 by 128.
"""
MAX_EXPONENT = 2.5
"""Largest exponent of the output: a coefficient of a full-scale tone is exp(2.5)."""
LEVEL_PLACE = 3
"""Codebooks before that of levels: with fewer, speech is better understood for one more of the latents."""
SIGNS_FROM_HZ = 2400.0
"""From where on signs are random: `base` follows no waveform there, and its pitch post-filter needs what is below."""

OUTPUTS = ("exp", "square")
"""What may be made of the decoder's values."""


@dataclass(frozen=True)
class Config(FamilyConfig):
    """A codec whose networks work on the frames of an MDCT: all their layers run at the frame rate."""

    GROWS: ClassVar[dict[str, tuple[str, ...]]] = {
        "width": ("encoder_width", "decoder_width"),
        "blocks": ("encoder_blocks", "decoder_blocks"),
        "latent_dim": ("latent_dim",),
    }

    latent_dim: Annotated[int, Whole(1, 4096)] = 64
    hop_length: Annotated[int, Whole(8, 4096)] = 320
    """Samples per frame, and coefficients of the transform."""
    overlap: Annotated[int, Whole(2, 4096)] = 80
    """Samples that neighbouring windows share; decoded audio lags by as many."""
    bands: Annotated[int, Whole(1, 4096)] = 24
    """Latents that start as the levels of bands above those coefficients that the other latents start as."""
    band_start: Annotated[int, Whole(0, 4096)] = 0
    """First coefficient of those bands; 0 is latent_dim - bands, as many as there are other latents."""
    encoder_width: Annotated[int, Whole(1, 4096)] = 256
    """Channels of the encoder's blocks."""
    encoder_blocks: Annotated[int, Whole(1, 64)] = 4
    """ConvNeXt blocks of the encoder."""
    decoder_width: Annotated[int, Whole(1, 4096)] = 256
    """Channels of the decoder's blocks."""
    decoder_blocks: Annotated[int, Whole(1, 64)] = 7
    """ConvNeXt blocks of the decoder."""
    kernel: Annotated[int, Whole(1, 64)] = 7
    """Frames that a block's depthwise convolution sees."""
    output: Annotated[str, OneOf(OUTPUTS)] = "exp"
    """Coefficients are value * exp(scale) with `exp`; with `square` the value counts squared, with its sign, and so
    undoes the roots that the encoder sees."""
    noise: Annotated[bool, Flag()] = True
    """Whether the decoder adds noise, of a level that it learns; `base` learned to do without."""
    random_signs: Annotated[bool, Flag()] = False
    """Whether decoded coefficients above 2.4 kHz change their sign by chance, frame by frame: hiss repeats otherwise.
    It changes no weight, and is for a network that learned no waveform there."""
    denoiser_blocks: Annotated[int, Whole(0, 64)] = 0
    """ConvNeXt blocks of the denoiser before the encoder; 0 is no denoiser, and FiLM alone."""
    denoiser_width: Annotated[int, Whole(1, 4096)] = 192
    """Channels of its blocks."""
    denoiser_kernel: Annotated[int, Whole(1, 64)] = 15
    """Frames that their depthwise convolutions see."""

    level_codes: Annotated[bool, Flag()] = False
    """Whether the levels of bands have a code of their own, after LEVEL_PLACE others; see `nn.levels`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap > self.hop_length or (self.hop_length - self.overlap) % 2:
            raise ConfigError(
                f"overlap is {self.overlap}; expected at most hop_length = {self.hop_length}, at an even distance to it"
            )
        if not self.bands < self.latent_dim <= self.hop_length:
            raise ConfigError(f"bands is {self.bands}; expected less than latent_dim = {self.latent_dim}")
        if self.first_band + self.bands > self.hop_length:
            raise ConfigError(
                f"band_start is {self.band_start}; expected at most hop_length - bands = {self.hop_length - self.bands}"
            )
        if self.denoiser_blocks and (self.condition_dim < 2 or self.film != "encoder"):
            raise ConfigError(
                f"denoiser_blocks is {self.denoiser_blocks}; expected 0 unless condition_dim is 2 and film is encoder"
            )

    @property
    def delay_samples(self) -> int:
        return self.overlap

    @property
    def levels(self) -> Levels | None:
        return Levels(len(self.level_edges) - 1, LEVEL_PLACE, MEMORY) if self.level_codes else None

    @property
    def level_edges(self) -> list[int]:
        """First coefficients of the bands whose levels have codes, and their end."""
        return level_edges(self.sample_rate, self.hop_length)

    @property
    def first_signed(self) -> int:
        """First coefficient whose sign may be random."""
        return round(2 * self.hop_length * SIGNS_FROM_HZ / self.sample_rate)

    def before_growth(self, larger: FamilyConfig) -> FamilyConfig:
        return dataclasses.replace(self, band_start=self.first_band, level_codes=False)  # fitted anew to what grew

    @property
    def first_band(self) -> int:
        """First coefficient that belongs to a band of levels."""
        return self.band_start or self.latent_dim - self.bands

    @property
    def features(self) -> int:
        """Channels that the encoder sees: levels of bands, and coefficients."""
        return self.bands + self.hop_length


def build(config: Config) -> Spectral:
    """Fresh networks."""
    return Spectral(config)


class Spectral(SoundStream):
    """The networks, which see coefficients of the sound, or what a denoiser's mask leaves of them."""

    analysis: Analysis

    band_levels: BandLevels | None

    def __init__(self, config: Config) -> None:
        seen, count = analysis(config), config.denoiser_blocks
        sizes = config.bands, config.hop_length, count, config.denoiser_width, config.denoiser_kernel
        mask = denoiser(*sizes) if count else None
        latents, project = encoder(config), projection(config)
        super().__init__(config, Networks(latents, decoder(config), seen, mask, project, levels=level_stage(config)))
        self.band_levels = BandLevels(config.level_edges) if config.level_codes else None

    def analysed(
        self, audio: Float[Tensor, "batch 1 1 samples"], condition: Float[Tensor, "batch condition frames"] | None
    ) -> Float[Tensor, "batch features 1 frames"]:
        """Features of the coefficients, masked as far as the second value of the condition says."""
        return self.analysis.features(self.coefficients(audio, condition))

    def levels(
        self, audio: Float[Tensor, "batch 1 samples"], condition: Float[Tensor, "batch condition frames"] | None = None
    ) -> Float[Tensor, "batch bands frames"]:
        assert self.band_levels
        return self.band_levels(self.coefficients(audio.unsqueeze(2), condition)).squeeze(2)

    def coefficients(
        self, audio: Float[Tensor, "batch 1 1 samples"], condition: Float[Tensor, "batch condition frames"] | None
    ) -> Float[Tensor, "batch coefficients 1 frames"]:
        coefficients = self.analysis.mdct(audio)
        if self.denoiser is None or condition is None:
            return coefficients
        mask = self.denoiser(self.analysis.features(coefficients))
        return masked(coefficients, mask, condition[:, 1:2, None])

    def analysed_onnx(self, graph: Graph) -> str:
        x = self.analysis.mdct.onnx(graph, "mdct", "pcm")
        if self.denoiser is not None:
            graph.input("mask", self.config.hop_length, "frames")
            x = masked_onnx(graph, x, "mask", "condition")
        if self.band_levels:
            self.band_levels.onnx(graph, LEVELS, x)
        return self.analysis.features.onnx(graph, "features", x)


class CoefficientOutput(nn.Module):
    """value(x) * exp(scale(norm(x))) + noise * exp(level(x)) for each coefficient: it spans the dynamic range of audio.

    The value starts as channels passed through, the scale near one, the level as that of the channel of its band.
    With the `output` square the value counts squared, with its sign. Without noise there is no level.
    """

    def __init__(self, in_channels: int, edges: list[int], output: str = "exp", noise: bool = True) -> None:
        super().__init__()
        bands, out_channels = len(edges) - 1, edges[-1]
        self.squared = output == "square"
        self.value = CausalConv(in_channels, out_channels, kernel=1, scale=SQUARE_START)
        passed = DECODER_GAIN * _shifted_eye(out_channels, in_channels, edges[0], bands)
        silent = ~passed.flatten(1).any(1)
        self.value.weight.data = passed + self.squared * silent[:, None, None, None] * self.value.weight.data
        self.norm = nn.LayerNorm(in_channels)
        self.scale = CausalConv(in_channels, out_channels, kernel=1, scale=SCALE_START)
        self.level = _noise_level(in_channels, edges, output) if noise else None

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        with without_autocast(x):
            x = x.to(self.value.weight.dtype)
            value, scale = self.value(x), self.scale(self.norm(x.transpose(1, 3)).transpose(1, 3))
            y = (value * value.abs() if self.squared else value) * scale.clamp(max=MAX_EXPONENT).exp()
            if noise is None or self.level is None:
                return y
            return y + noise.to(y.dtype) * self.level(x).clamp(max=MAX_EXPONENT).exp()

    def onnx(self, graph: Graph, name: str, x: str, noise: str | None) -> str:
        """The same in a graph."""
        loudest = graph.constant(f"{name}.loudest", torch.tensor(MAX_EXPONENT))

        def exponential(part: str) -> str:
            return graph.node("Exp", [graph.node("Min", [part, loudest], f"{part}.bounded")], f"{part}.exp")

        def last(layer: CausalConv, key: str, x: str) -> str:
            return graph.channels_last(layer.onnx(graph, f"{name}.{key}", x), f"{name}.{key}.last")

        y = graph.layer_norm(self.norm, f"{name}.norm", graph.channels_last(x, f"{name}.in"))
        scale = exponential(last(self.scale, "scale", graph.channels_first(y, f"{name}.normalized")))
        value = last(self.value, "value", x)
        if self.squared:
            value = graph.node("Mul", [value, graph.node("Abs", [value], f"{value}.size")], f"{value}.squared")
        y = graph.node("Mul", [value, scale], f"{name}.scaled")
        if noise is not None and self.level is not None:
            levelled = [graph.channels_last(noise, f"{name}.noise"), exponential(last(self.level, "level", x))]
            y = graph.node("Add", [y, graph.node("Mul", levelled, f"{name}.levelled")], f"{name}.noised")
        return graph.channels_first(y, name)


def _noise_level(in_channels: int, edges: list[int], output: str) -> CausalConv:
    """The logarithm of the noise's amplitude by coefficient."""
    level = CausalConv(in_channels, edges[-1], kernel=1, scale=0.0)
    start, rise = NOISE_START[output]
    level.bias.data.fill_(start)
    for band, (first, end) in enumerate(itertools.pairwise(edges)):
        level.weight.data[first:end, band] = rise
    return level


class Decoder(Chain):
    """`hidden` layers, their `out`put with `noise` made of the same latents, and the inverse transform."""

    noise: LatentNoise
    imdct: InverseMdct
    gain: LevelGain
    signs: RandomSigns

    def __init__(
        self,
        latent_dim: int,
        hidden: dict[str, StreamingModule],
        out: CoefficientOutput,
        others: dict[str, StreamingModule],
    ) -> None:
        super().__init__(**hidden, **others)
        self.hidden, self.out, self.latent_dim = list(hidden), out, latent_dim
        self.has_noise, self.has_gain, self.has_signs = (name in others for name in ("noise", "gain", "signs"))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        latents, entries = x[:, : self.latent_dim], x[:, self.latent_dim :]
        x = latents
        noise, new_state = self.step_layer("noise", x, state) if self.has_noise else (None, {})
        for name in self.hidden:
            x, part = self.step_layer(name, x, state)
            new_state |= part
        x = self.out(x, noise)
        if self.has_gain:
            if not entries.shape[1]:  # while all but levels is trained
                entries = x.new_zeros(len(x), self.gain.in_channels, 1, x.shape[-1])
            factors, part = self.step_layer("gain", entries, state)
            x, new_state = x * factors, new_state | part
        if self.has_signs:
            factors, part = self.step_layer("signs", torch.cat([latents.to(x.dtype), x], dim=1), state)
            x, new_state = x * factors, new_state | part
        x, part = self.step_layer("imdct", x, state)
        return x, new_state | part

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        both = graph.channels_last(x, "latents.last")
        if self.has_gain:
            x = graph.channels(both, "latents.coded", 0, self.latent_dim)
        noise = self.noise.onnx(graph, "noise", x) if self.has_noise else None
        latents = x
        for part in self.hidden:
            x = getattr(self, part).onnx(graph, part, x)
        x = self.out.onnx(graph, "out", x, noise)
        if self.has_gain:
            entries = graph.channels(both, "latents.gains", self.latent_dim, LAST)
            x = _times_onnx(graph, x, self.gain.onnx(graph, "gain", entries), "gained")
        if self.has_signs:
            parts = [graph.channels_last(one, f"{one}.last") for one in (latents, x)]
            seen = graph.channels_first(graph.node("Concat", parts, "signs.seen.last", axis=3), "signs.seen")
            x = _times_onnx(graph, x, self.signs.onnx(graph, "signs", seen), "signed")
        return self.imdct.onnx(graph, "imdct", x)


def _times_onnx(graph: Graph, x: str, factors: str, output: str) -> str:
    """A product, taken with the channels last."""
    parts = [graph.channels_last(part, f"{part}.last") for part in (x, factors)]
    return graph.channels_first(graph.node("Mul", parts, f"{output}.last"), output)


class Analysis(Chain):
    """Audio `[batch, 1, 1, samples]` to features `[batch, bands + coefficients, 1, frames]`; nothing in it learns."""

    mdct: Mdct
    features: Features


def analysis(config: Config) -> Analysis:
    """What the encoder and the denoiser see."""
    return Analysis(mdct=Mdct(config.hop_length, config.overlap), features=Features(_edges(config)))


def encoder(config: Config) -> Chain:
    """Features to channels `[batch, encoder_width, 1, frames]`, of which latents are made."""
    width, bands = config.encoder_width, config.bands
    first = CausalConv(config.features, width, kernel=1)
    first.weight.data = ENCODER_GAIN * _shifted_eye(width, config.features, width, 0)
    first.weight.data[:, :bands] *= LEVEL_GAIN / ENCODER_GAIN
    first.int8 = False  # levels are so much larger than roots that their weights need finer steps
    return Chain(first=first, **blocks(config.encoder_blocks, width, config.kernel))


def projection(config: Config) -> CausalConv:
    """The encoder's last layer, which FiLM comes before: its channels to latents."""
    project = _pass_through(config.encoder_width, config.latent_dim)
    project.int8 = False
    return project


def decoder(config: Config) -> Decoder:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`, `overlap` samples late."""
    width, others = config.decoder_width, dict[str, StreamingModule]()
    hidden = {"first": _pass_through(config.latent_dim, width), **blocks(config.decoder_blocks, width, config.kernel)}
    if config.noise:
        others["noise"] = LatentNoise(config.latent_dim, config.hop_length)
    out = CoefficientOutput(width, _edges(config), config.output, config.noise)
    others["imdct"] = InverseMdct(config.hop_length, config.overlap)
    if config.level_codes:
        others["gain"] = LevelGain(config.level_edges)
    if config.random_signs:
        others["signs"] = RandomSigns(config.latent_dim, config.hop_length, config.first_signed)
    return Decoder(config.latent_dim, hidden, out, others)


def level_stage(config: Config) -> LevelStage | None:
    """What finds and codes the gains of bands, if they have codes."""
    stage = LevelStage(config.latent_dim, len(config.level_edges) - 1, config.codebook_size)
    return stage if config.level_codes else None


def _edges(config: Config) -> list[int]:
    return band_edges(config.hop_length, config.first_band, config.bands)


def _pass_through(in_channels: int, out_channels: int) -> CausalConv:
    """A linear layer that starts by passing as many channels as both sides have."""
    linear = CausalConv(in_channels, out_channels, kernel=1)
    linear.weight.data = _shifted_eye(out_channels, in_channels, out_channels, 0)
    return linear


def _shifted_eye(outputs: int, inputs: int, passed: int, offset: int) -> Tensor:
    """A kernel whose first `passed` outputs are the inputs from `offset` on, as far as there are any."""
    eye, count = torch.zeros(outputs, inputs), min(passed, outputs, inputs - offset)
    eye[range(count), range(offset, offset + count)] = 1
    return eye[..., None, None]
