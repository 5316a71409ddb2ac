"""Discriminators: networks that learn to tell real clips from decoded ones. The decoder learns to mislead them.

    soundstream   three that hear the waveform, at 1, 1/2 and 1/4 of the rate, and one that sees its complex spectrum
    ms-stft       one that sees the complex spectrum for each of several windows
    dac           one that hears the waveform folded at each of several periods, and one for each of several windows
                  that sees bands of the complex spectrum apart

Each is a `Discriminator`: a view of the audio, then layers whose outputs are the features, then one layer of logits. A
decoder has to satisfy all views at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from soundstream.errors import ConfigError

SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""
REFERENCE_RATE = 24_000
"""Hz at which windows are given."""
MAX_CHANNELS = 1024
MAX_GROWTH = 64
"""Most channels of a waveform layer, times those of the first: 1024 for the published 16."""
GROUP = 4
"""Channels that a group of a waveform layer sees."""
SOUNDSTREAM_WINDOW = 1024
BLOCKS = ((2, (1, 2)), (2, (2, 2)), (1, (1, 2)), (2, (2, 2)), (1, (1, 2)), (2, (2, 2)))
"""Of each residual block: the factor of channels, the stride over (time, frequency)."""
BAND_DILATIONS = (1, 2, 4)
PERIODS = (2, 3, 5, 7, 11)
"""Samples at which waveforms are folded."""
PERIOD_GROWTH = (4, 4, 2, 1)
"""Of the channels of a folded waveform, from layer to layer."""
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Edges of the bands that are seen apart, as shares of half the sample rate."""
NONE = "none"


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminators judge, and how large they are. Their cost grows with the square of the channels."""

    kind: str = "ms-stft"
    """`soundstream`: SoundStream's own set; `ms-stft`: EnCodec's; `dac`: DAC's; `none`: a run without any."""
    channels: int = 32
    """Channels of a spectral discriminator's first layer."""
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    """Windows of `ms-stft` and `dac` in samples at 24 kHz; at another rate they last as long, to the nearest power of
    two."""
    wave_channels: int = 16
    """Channels of the first layer of the waveform discriminators of `soundstream` and `dac`; a multiple of 4."""
    compression: float = 1.0
    """Power to which magnitudes of spectra are raised: below 1 quiet cells are seen beside loud ones; 1 is plain."""
    compression_floor_db: float = -60.0
    """Level under which magnitudes are not raised further, where noise at full scale has 0 dB in every cell."""

    def __post_init__(self) -> None:
        if self.kind not in (*_KINDS, NONE):
            raise ConfigError(f"discriminator kind is {self.kind!r}; expected one of: {', '.join((*_KINDS, NONE))}")
        for name, step in (("channels", 1), ("wave_channels", GROUP)):
            value = getattr(self, name)
            if not step <= value <= MAX_CHANNELS or value % step:
                expected = f"a multiple of {step}" if step > 1 else "a whole number"
                raise ConfigError(f"{name} is {value!r}; expected {expected} from {step} to {MAX_CHANNELS}")
        if not 0 < self.compression <= 1:
            raise ConfigError(f"compression is {self.compression}; expected more than 0, at most 1")
        if not self.windows or not set(self.windows) <= set(_WINDOWS) or len(set(self.windows)) < len(self.windows):
            expected = f"different powers of two from {_WINDOWS[0]} to {_WINDOWS[-1]}"
            raise ConfigError(f"windows is {self.windows!r}; expected {expected}")

    def min_samples(self, sample_rate: int) -> int:
        """Length of the shortest clip that they can judge: the longest window."""
        longest = SOUNDSTREAM_WINDOW if self.kind == "soundstream" else max(self.windows)
        return _window_at(longest, sample_rate)


_WINDOWS = [2**power for power in range(6, 14)]


def _window_at(window: int, sample_rate: int) -> int:
    return round(window * 2.0 ** round(math.log2(sample_rate / REFERENCE_RATE)))


class DiscriminatorOutput(NamedTuple):
    """Of one discriminator, for a batch."""

    logits: Float[Tensor, "batch 1 *positions"]
    """Above 0 where it takes the sound for real, below where for decoded; over time, or over time and frequency."""
    features: list[Float[Tensor, "batch _channels *_positions"]]
    """Output of each layer before the logits."""


class Discriminator(nn.Module):
    """One discriminator: a view of the audio, layers each followed by a leaky ReLU, and a last layer of logits."""

    def __init__(self, view: nn.Module, layers: list[nn.Module], logits: nn.Module) -> None:
        super().__init__()
        self.view, self.layers, self.logits = view, nn.ModuleList(layers), logits

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> DiscriminatorOutput:
        """Logits, and the features that led to them."""
        x = self.view(audio)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return DiscriminatorOutput(self.logits(x), features)


class Discriminators(nn.Module):
    """Several discriminators of the same audio; in states they are called judges."""

    def __init__(self, judges: list[Discriminator], min_samples: int) -> None:
        super().__init__()
        self.judges, self.min_samples = nn.ModuleList(judges), min_samples

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> list[DiscriminatorOutput]:
        """The output of each.

        Raises:
            ConfigError: the audio is shorter than the longest window.
        """
        if audio.shape[-1] < self.min_samples:
            raise ConfigError(
                f"a crop has {audio.shape[-1]} samples; the discriminators need at least {self.min_samples}: "
                "make crops longer or windows shorter"
            )
        return [judge(audio) for judge in self.judges]


def build(config: DiscriminatorConfig, sample_rate: int) -> Discriminators:
    """Fresh discriminators for audio at `sample_rate` Hz."""
    return Discriminators(_KINDS[config.kind](config, sample_rate), config.min_samples(sample_rate))


class Spectrum(nn.Module):
    """Complex spectrum: audio `[batch, 1, samples]` to `[batch, 2, frames, window / 2 + 1]`, real and imaginary parts.

    Hann window, hop of a quarter of it, no padding; scaled so that noise of unit power has bins of unit power. Then
    magnitudes are compressed: z becomes z * (|z|^2 + floor)^((compression - 1) / 2). It is computed in float32 whatever
    autocast says, and laid out channels-last, which halves the time of small convolutions on a CPU.
    """

    def __init__(self, window: int, compression: float = 1.0, floor_db: float = -60.0) -> None:
        super().__init__()
        self.window, self.compression, self.floor = window, compression, 10 ** (floor_db / 10)
        self.shape: Tensor
        shape = torch.hann_window(window)
        self.register_buffer("shape", shape / shape.norm(), persistent=False)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return self.window // 4

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch 2 frames bins"]:
        x = audio.squeeze(1).float()
        spectrum = torch.stft(x, self.window, self.hop, window=self.shape, center=False, return_complex=True)
        z = torch.view_as_real(spectrum)
        if self.compression < 1:
            z = z * (z.square().sum(-1, keepdim=True) + self.floor) ** ((self.compression - 1) / 2)
        return z.permute(0, 3, 2, 1).contiguous(memory_format=torch.channels_last)


class BlockSpectrum(Spectrum):
    """The same in whole blocks of 8 frames: `samples / hop` frames, rounded up, of `window / 2` bins.

    Silence is added before and after the audio, and the highest bin is left out, so that every stride of two divides.
    """

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch 2 frames bins"]:
        before = (self.window - self.hop) // 2
        after = self.window - self.hop - before + -audio.shape[-1] % (8 * self.hop)
        spectrum = super().forward(functional.pad(audio, (before, after)))
        return spectrum[..., : self.window // 2].contiguous(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """conv(lrelu(conv3x3(x))) + conv1x1(x); the second and third convolution stride over (time, frequency).

    The third strides by a slice: PyTorch 2.13 on CPUs crashes in the gradient of a channels-last 1x1 convolution with a
    stride and few channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        kernel = (stride[0] + 2, stride[1] + 2)
        self.first = _conv(nn.Conv2d(in_channels, in_channels, 3, padding=1))
        self.second = _conv(nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1))
        self.shortcut, self.stride = _conv(nn.Conv2d(in_channels, out_channels, 1)), stride

    def forward(self, x: Float[Tensor, "batch in frames bins"]) -> Float[Tensor, "batch out _frames _bins"]:
        branch = self.second(functional.leaky_relu(self.first(x), SLOPE))
        return branch + self.shortcut(x[..., :: self.stride[0], :: self.stride[1]])


def _soundstream(config: DiscriminatorConfig, sample_rate: int) -> list[Discriminator]:
    window = _window_at(SOUNDSTREAM_WINDOW, sample_rate)
    return [
        *(_wave_discriminator(config.wave_channels, halvings) for halvings in range(3)),
        _stft_discriminator(config.channels, BlockSpectrum(window, *_compression(config))),
    ]


def _wave_discriminator(channels: int, halvings: int) -> Discriminator:
    """MelGAN's discriminator of the waveform, whose rate is halved `halvings` times before.

    Source: SoundStream (Zeghidour et al., 2021), section III-D; kernels of MelGAN (Kumar et al., 2019). Differs: padded
    with zeros everywhere.
    """
    pools = [nn.AvgPool1d(4, stride=2, padding=1, count_include_pad=False) for _ in range(halvings)]
    layers, widest = [_conv(nn.Conv1d(1, channels, 15, padding=7))], MAX_GROWTH * channels
    for _ in range(4):
        wider = min(4 * channels, widest)
        layers.append(_conv(nn.Conv1d(channels, wider, 41, stride=4, padding=20, groups=channels // GROUP)))
        channels = wider
    layers.append(_conv(nn.Conv1d(channels, channels, 5, padding=2)))
    return Discriminator(nn.Sequential(*pools), layers, _conv(nn.Conv1d(channels, 1, 3, padding=1)))


def _compression(config: DiscriminatorConfig) -> tuple[float, float]:
    return config.compression, config.compression_floor_db


def _stft_discriminator(channels: int, view: BlockSpectrum) -> Discriminator:
    """SoundStream's discriminator of one complex spectrum; its logits are `[batch, 1, samples / (8 * hop), 1]`.

    Source: SoundStream (Zeghidour et al., 2021), section III-D and Fig. 4. Differs: leaky ReLU and weight norm, as in
    the waveform discriminators; the paper names neither.
    """
    layers = [_conv(nn.Conv2d(2, channels, 7, padding=3))]
    for factor, stride in BLOCKS:
        layers.append(ResidualBlock(channels, factor * channels, stride))
        channels *= factor
    bins = view.window // 2 // 2 ** len(BLOCKS)
    return Discriminator(view, layers, _conv(nn.Conv2d(channels, 1, (1, bins))))


def _ms_stft(config: DiscriminatorConfig, sample_rate: int) -> list[Discriminator]:
    windows = [_window_at(window, sample_rate) for window in config.windows]
    return [_band_discriminator(config.channels, Spectrum(window, *_compression(config))) for window in windows]


def _band_discriminator(channels: int, view: Spectrum) -> Discriminator:
    """EnCodec's discriminator of one complex spectrum; its logits keep all frames and an eighth of the bins.

    Source: EnCodec (Défossez et al., 2022), section 3.4 and Fig. 2; kernels of 3x9 as in its code, where the paper has
    3x8. Differs: the start of the weights.
    """
    layers = [_conv(nn.Conv2d(2, channels, (3, 9), padding=(1, 4)))]
    for dilation in BAND_DILATIONS:
        conv = nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(dilation, 4), dilation=(dilation, 1))
        layers.append(_conv(conv))
    layers.append(_conv(nn.Conv2d(channels, channels, 3, padding=1)))
    return Discriminator(view, layers, _conv(nn.Conv2d(channels, 1, 3, padding=1)))


def _dac(config: DiscriminatorConfig, sample_rate: int) -> list[Discriminator]:
    windows = [_window_at(window, sample_rate) for window in config.windows]
    return [
        *(_period_discriminator(config.wave_channels, period) for period in PERIODS),
        *(BandsDiscriminator(config.channels, Spectrum(window, *_compression(config))) for window in windows),
    ]


class Folded(nn.Module):
    """Audio `[batch, 1, samples]` to `[batch, 1, rows, period]`, completed by a reflection."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch 1 _rows _period"]:
        whole = functional.pad(audio, (0, -audio.shape[-1] % self.period), mode="reflect")
        return whole.reshape(len(whole), 1, -1, self.period)


def _period_discriminator(channels: int, period: int) -> Discriminator:
    """HiFi-GAN's discriminator of the waveform folded at a period; each column is seen by itself.

    Source: DAC (Kumar et al., 2023), section 3.3; layers of HiFi-GAN (Kong et al., 2020). Differs: the start of the
    weights, and the slope of the ReLUs.
    """
    layers = [_conv(nn.Conv2d(1, channels, (5, 1), (3, 1), padding=(2, 0)))]
    for i, growth in enumerate(PERIOD_GROWTH):
        stride = 3 if i < len(PERIOD_GROWTH) - 1 else 1
        layers.append(_conv(nn.Conv2d(channels, growth * channels, (5, 1), (stride, 1), padding=(2, 0))))
        channels *= growth
    return Discriminator(Folded(period), layers, _conv(nn.Conv2d(channels, 1, (3, 1), padding=(1, 0))))


class BandsDiscriminator(Discriminator):
    """DAC's discriminator of one complex spectrum, whose bands have layers of their own; the logits see all of them.

    Source: DAC (Kumar et al., 2023), section 3.3. Differs: no padding of the spectrum, the start of the weights, and
    the slope of the ReLUs.
    """

    def __init__(self, channels: int, view: Spectrum) -> None:
        stacks = [_band_layers(channels) for _ in BANDS[1:]]
        layers: list[nn.Module] = [nn.ModuleList(stack) for stack in stacks]
        super().__init__(view, layers, _conv(nn.Conv2d(channels, 1, 3, padding=1)))
        edges = [round(edge * (view.window // 2 + 1)) for edge in BANDS]
        self.bands = [slice(*pair) for pair in itertools.pairwise(edges)]

    def forward(self, audio: Float[Tensor, "batch 1 samples"]) -> DiscriminatorOutput:
        """Logits, and the features of all bands."""
        spectrum, ends, features = self.view(audio), [], []
        for band, stack in zip(self.bands, self.layers, strict=True):
            x = spectrum[..., band]
            for layer in cast(nn.ModuleList, stack):
                x = functional.leaky_relu(layer(x), SLOPE)
                features.append(x)
            ends.append(x)
        return DiscriminatorOutput(self.logits(torch.cat(ends, dim=-1)), features)


def _band_layers(channels: int) -> list[nn.Module]:
    first = _conv(nn.Conv2d(2, channels, (3, 9), padding=(1, 4)))
    strided = [_conv(nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(1, 4))) for _ in range(3)]
    return [first, *strided, _conv(nn.Conv2d(channels, channels, 3, padding=1))]


def _conv(conv: nn.Conv1d | nn.Conv2d) -> nn.Module:
    """Weight norm, and a start that keeps the variance of a signal through leaky ReLUs; PyTorch's own lets it decay."""
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    nn.init.zeros_(conv.get_parameter("bias"))
    return weight_norm(conv)


_KINDS: dict[str, Callable[[DiscriminatorConfig, int], list[Discriminator]]] = {
    "ms-stft": _ms_stft,
    "soundstream": _soundstream,
    "dac": _dac,
}
