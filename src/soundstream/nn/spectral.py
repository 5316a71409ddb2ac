"""Encoder and decoder that work on the frames of an MDCT: every layer runs at the frame rate.

    encoder: MDCT -> signed square root -> linear -> ConvNeXt blocks -> linear to latent_dim
    decoder: linear -> ConvNeXt blocks -> value * exp(scale), both linear -> inverse MDCT

    windows      frame t-1        frame t         frame t+1
                /‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾X      X: overlap of L samples

A frame of the encoder needs its own hop of samples and the L before it. The last L samples of a decoded frame are
complete with the next frame, so that decoded audio lags by L.

Fresh networks pass the roots of the lowest `latent_dim` coefficients through: the linear layers start as identities,
the blocks next to nothing. From a random start the waveform is not found within hundreds of steps.

Source: ours. Related: StreamCodec (Jiang et al., 2025), a causal codec on MDCT frames; APCodec (Ai et al., 2024) and
Vocos (Siuzdak, 2023), ConvNeXt blocks on spectral frames. The window is a low-overlap one, as in CELT (RFC 6716,
section 4.3.7).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from soundstream.config import SpectralConfig
from soundstream.nn.conv import CausalConv, CausalUpsample
from soundstream.nn.streaming import Chain, State, StreamingModule

EXPANSION = 4
"""Inner width of a block over its width."""
RESIDUAL_SCALE = 0.05
"""Weight of a fresh residual branch."""
ENCODER_GAIN = 3.0
"""Fresh gain from the root of a coefficient to its channel: the blocks see values of about 1."""
DECODER_GAIN = 0.25
"""Fresh gain from a latent, of about 1, back to the root of a coefficient."""
SCALE_START = 0.1
"""Weight of the fresh layer that gives the logarithm of the output's scale."""


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
    conv.register_buffer("weight", weight, persistent=False)
    conv.register_buffer("bias", torch.zeros(len(weight)), persistent=False)


class SignedSqrt(StreamingModule):
    """Square root of the magnitude with the sign kept: it halves the dynamic range in dB."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x.sign() * x.abs().sqrt(), state


class ScaledOutput(StreamingModule):
    """value(x) * exp(scale(norm(x))) for each coefficient: it spans the dynamic range of audio.

    The value starts as its input passed through, the scale near one.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.value = _pass_through(in_channels, out_channels, DECODER_GAIN)
        self.norm = nn.LayerNorm(in_channels)
        self.scale = CausalConv(in_channels, out_channels, kernel=1, scale=SCALE_START)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        normalized = self.norm(x.transpose(1, 3)).transpose(1, 3)
        return self.value(x) * self.scale(normalized).exp(), state


class ConvNeXtBlock(StreamingModule):
    """x + shrink(gelu(expand(norm(depthwise(x))))): context from a causal depthwise convolution, mixing frame by frame.

    Source: ConvNeXt (Liu et al., 2022), in one dimension and causal. Differs: no layer scale; the branch starts small.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = CausalConv(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = _linear(channels, EXPANSION * channels)
        self.shrink = _linear(EXPANSION * channels, channels, RESIDUAL_SCALE)

    def init_state(self, batch: int) -> State:
        return self.depthwise.init_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.depthwise.step(x, state)
        y = self.shrink(functional.gelu(self.expand(self.norm(y.transpose(1, 3)))))
        return x + y.transpose(1, 3), state


def _linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=scale / math.sqrt(inputs))
    nn.init.zeros_(linear.bias)
    return linear


def encoder(config: SpectralConfig) -> Chain:
    """Audio `[batch, 1, 1, samples]` to latents `[batch, latent_dim, 1, frames]`."""
    width = config.encoder_width
    return Chain(
        mdct=Mdct(config.hop_length, config.overlap),
        compress=SignedSqrt(),
        first=_pass_through(config.hop_length, width, ENCODER_GAIN),
        **_blocks(config.encoder_blocks, width, config.kernel),
        last=_pass_through(width, config.latent_dim),
    )


def decoder(config: SpectralConfig) -> Chain:
    """Latents `[batch, latent_dim, 1, frames]` to audio `[batch, 1, 1, samples]`, `overlap` samples late."""
    width = config.decoder_width
    return Chain(
        first=_pass_through(config.latent_dim, width),
        **_blocks(config.decoder_blocks, width, config.kernel),
        out=ScaledOutput(width, config.hop_length),
        imdct=InverseMdct(config.hop_length, config.overlap),
    )


def _blocks(count: int, width: int, kernel: int) -> dict[str, StreamingModule]:
    return {f"block{i}": ConvNeXtBlock(width, kernel) for i in range(count)}


def _pass_through(in_channels: int, out_channels: int, gain: float = 1.0) -> CausalConv:
    """A linear layer that starts by passing as many channels as both sides have."""
    linear = CausalConv(in_channels, out_channels, kernel=1)
    linear.weight.data = gain * torch.eye(out_channels, in_channels)[..., None, None]
    return linear
