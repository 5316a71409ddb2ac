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

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from soundstream.config import SpectralConfig
from soundstream.nn.conv import CausalConv, CausalUpsample
from soundstream.nn.convnext import blocks
from soundstream.nn.streaming import Chain, State, StreamingModule

ENCODER_GAIN = 3.0
"""Fresh gain from the root of a coefficient to its channel: the blocks see values of about 1."""
LEVEL_GAIN = 0.35
"""Fresh gain from the level of a band, the logarithm of its energy, to its channel."""
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
ENERGY_FLOOR = 2.0**-24
"""Mean energy of a coefficient under which a band is taken to be silent."""
LOUDEST = 2.5
"""Largest exponent of the output: a coefficient of a full-scale tone is exp(2.5)."""
CHAOS = 20.0
"""Gain from latents to the phases that the decoder's noise comes from."""
NOISE_FRAMES = 4
"""Frames of latents that a frame of noise comes from."""


def mdct_basis(hop_length: int, overlap: int) -> Float[Tensor, "coefficients support"]:
    """Windowed cosines of the MDCT over the samples where its window is not zero: `[hop_length, hop_length + overlap]`.

    Rows are orthonormal, and so are those of neighbouring frames: analysis and synthesis have the same basis.
    """
    support = hop_length + overlap
    n = torch.arange(support, dtype=torch.float64)
    slope = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / overlap)
    window = torch.cat([slope, torch.ones(hop_length - overlap, dtype=torch.float64), slope.flip(0)])
    k = torch.arange(hop_length, dtype=torch.float64)[:, None]
    phase = n + (hop_length - overlap) // 2 + 0.5 + hop_length / 2
    cosines = torch.cos(math.pi / hop_length * phase * (k + 0.5))
    return (math.sqrt(2 / hop_length) * window * cosines).float()


class Mdct(CausalConv):
    """`[batch, 1, 1, samples]` to coefficients `[batch, hop_length, 1, frames]`; its state is the overlap."""

    def __init__(self, hop_length: int, overlap: int) -> None:
        super().__init__(1, hop_length, kernel=hop_length + overlap, stride=hop_length)
        _fix(self, mdct_basis(hop_length, overlap)[:, None, None])


class InverseMdct(CausalUpsample):
    """Overlap-add: `[batch, hop_length, 1, frames]` to samples `[batch, 1, 1, samples]`, `overlap` of them late."""

    def __init__(self, hop_length: int, overlap: int) -> None:
        super().__init__(hop_length, 1, hop_length)
        basis = mdct_basis(hop_length, overlap).T
        before = functional.pad(basis[hop_length:], (0, 0, 0, hop_length - overlap))
        _fix(self.conv, torch.stack([before, basis[:hop_length]], dim=-1)[:, :, None])


def _fix(conv: CausalConv, weight: Tensor) -> None:
    """Replace learned weights by given ones, which no checkpoint needs to hold."""
    del conv.weight, conv.bias
    conv.int8 = False
    conv.register_buffer("weight", weight, persistent=False)
    conv.register_buffer("bias", torch.zeros(len(weight)), persistent=False)


def band_edges(coefficients: int, passed: int, bands: int) -> list[int]:
    """First coefficients of `bands` bands above the `passed` lowest ones, and their end: wider and wider upwards."""
    ratio = (coefficients / passed) ** (1 / bands)
    return [max(passed + i, round(passed * ratio**i)) for i in range(bands)] + [coefficients]


class Features(StreamingModule):
    """What the encoder's blocks see of the coefficients: levels of the upper bands, then signed square roots of all.

    `[batch, coefficients, 1, frames]` becomes `[batch, bands + coefficients, 1, frames]`. A level is the logarithm of a
    band's mean energy. Square roots halve the dynamic range in dB.
    """

    def __init__(self, edges: list[int]) -> None:
        super().__init__()
        bands = torch.zeros(len(edges) - 1, edges[-1])
        for band, (start, end) in zip(bands, itertools.pairwise(edges), strict=True):
            band[start:end] = 1 / (end - start)
        self.bands: Tensor
        self.register_buffer("bands", bands[..., None, None], persistent=False)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        energies = functional.conv2d(x.square(), self.bands)
        levels = (energies.float() + ENERGY_FLOOR).log()
        return torch.cat([levels.to(x.dtype), x.sign() * x.abs().sqrt()], dim=1), state


class Noise(CausalConv):
    """Noise in [-1, 1] from latents: `[batch, latent_dim, 1, frames]` to `[batch, coefficients, 1, frames]`.

    It is the sine of far-spread phases, a fixed random mixture of the latents: it differs from coefficient to
    coefficient and from frame to frame, and yet streams, chunks, seeking and machines agree on it.
    """

    def __init__(self, latent_dim: int, coefficients: int) -> None:
        super().__init__(latent_dim, coefficients, NOISE_FRAMES)
        generator = torch.Generator().manual_seed(0)
        phases = torch.randn(coefficients, latent_dim, 1, NOISE_FRAMES, generator=generator)
        _fix(self, (CHAOS / math.sqrt(latent_dim * NOISE_FRAMES) * phases).half().float())

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        phases, state = super().step(x.detach(), state)
        return phases.sin(), state


class NoisyOutput(nn.Module):
    """value(x) * exp(scale(norm(x))) + noise * exp(level(x)) for each coefficient: it spans the dynamic range of audio.

    The value starts as channels passed through, the scale near one, the level as that of the channel of its band.
    With the `output` square the value counts squared, with its sign.
    """

    def __init__(self, in_channels: int, edges: list[int], output: str = "exp") -> None:
        super().__init__()
        bands, out_channels = len(edges) - 1, edges[-1]
        self.squared = output == "square"
        self.value = CausalConv(in_channels, out_channels, kernel=1, scale=SQUARE_START)
        passed = DECODER_GAIN * _shifted_eye(out_channels, in_channels, edges[0], bands)
        silent = ~passed.flatten(1).any(1)
        self.value.weight.data = passed + self.squared * silent[:, None, None, None] * self.value.weight.data
        self.norm = nn.LayerNorm(in_channels)
        self.scale = CausalConv(in_channels, out_channels, kernel=1, scale=SCALE_START)
        self.level = CausalConv(in_channels, out_channels, kernel=1, scale=0.0)
        start_level, rise = NOISE_START[output]
        self.level.bias.data.fill_(start_level)
        for band, (start, end) in enumerate(itertools.pairwise(edges)):
            self.level.weight.data[start:end, band] = rise

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        normalized = self.norm(x.transpose(1, 3)).transpose(1, 3)
        scale, level = (part.clamp(max=LOUDEST).exp() for part in (self.scale(normalized), self.level(x)))
        value = self.value(x)
        return (value * value.abs() if self.squared else value) * scale + noise * level


class Decoder(Chain):
    """`hidden` layers, their `out`put with `noise` made of the same latents, and the inverse transform."""

    def __init__(self, hidden: dict[str, StreamingModule], noise: Noise, out: NoisyOutput, imdct: InverseMdct) -> None:
        super().__init__(**hidden, noise=noise, imdct=imdct)
        self.hidden, self.out = list(hidden), out

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        noise, new_state = self.step_layer("noise", x, state)
        for name in self.hidden:
            x, part = self.step_layer(name, x, state)
            new_state |= part
        x, part = self.step_layer("imdct", self.out(x, noise), state)
        return x, new_state | part


def analysis(config: SpectralConfig) -> Chain:
    """Audio `[batch, 1, 1, samples]` to features `[batch, bands + hop_length, 1, frames]`, without learned weights."""
    return Chain(mdct=Mdct(config.hop_length, config.overlap), features=Features(_edges(config)))


def encoder(config: SpectralConfig) -> Chain:
    """Features to channels `[batch, encoder_width, 1, frames]`, of which latents are made."""
    width, bands = config.encoder_width, config.bands
    first = CausalConv(config.features, width, kernel=1)
    first.weight.data = ENCODER_GAIN * _shifted_eye(width, config.features, width, 0)
    first.weight.data[:, :bands] *= LEVEL_GAIN / ENCODER_GAIN
    first.int8 = False  # levels are so much larger than roots that their weights need finer steps
    return Chain(first=first, **blocks(config.encoder_blocks, width, config.kernel))


def projection(config: SpectralConfig) -> CausalConv:
    """The encoder's last layer, which FiLM comes before: its channels to latents."""
    project = _pass_through(config.encoder_width, config.latent_dim)
    project.int8 = False
    return project


def decoder(config: SpectralConfig) -> Decoder:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`, `overlap` samples late."""
    width = config.decoder_width
    first = _pass_through(config.latent_dim, width)
    return Decoder(
        hidden={"first": first, **blocks(config.decoder_blocks, width, config.kernel)},
        noise=Noise(config.latent_dim, config.hop_length),
        out=NoisyOutput(width, _edges(config), config.output),
        imdct=InverseMdct(config.hop_length, config.overlap),
    )


def _edges(config: SpectralConfig) -> list[int]:
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
