"""Losses that follow what ears resolve: levels of bands, spectra in which quiet lines count, and harmonics."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from soundstream.analysis import harmonics

LEVEL_WINDOWS_S = (0.027, 0.08)
"""Windows of the band levels: one as long as a syllable's edge, one in which harmonics stand apart."""
ERB_BANDS = 40
MIN_HZ, MAX_SHARE = 40.0, 0.97
"""Centre range of the bands: from this frequency to this share of half the sample rate."""
LEVEL_FLOOR = 1e-9
"""Power, where a sine at full scale has 1, under which a band counts as silent: -90 dB."""
COMPLEX_WINDOWS_S = (0.0213, 0.0427, 0.0853)
COMPRESSION = 0.3
"""Power that magnitudes are raised to."""
COMPRESSION_FLOOR = 1e-8
POWER_FLOOR = 1e-16
"""Keeps the gradient of a magnitude finite where it is 0."""
MIN_COVER = 0.3
"""Bins that a band must hold to be judged; at low frequencies short windows resolve fewer."""


class LevelLoss(nn.Module):
    """Mean absolute difference of the levels of ERB-wide bands, in dB.

    Source: ours. Of the distances that were compared over 29 distortions, it follows ViSQOL speech and PESQ best (rank
    correlation .86 and .90). ERB: Glasberg and Moore (1990).
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.windows = [round(seconds * sample_rate) for seconds in LEVEL_WINDOWS_S]
        for i, window in enumerate(self.windows):
            self.register_buffer(f"window{i}", _normalized(window), persistent=False)
            self.register_buffer(f"bands{i}", erb_bands(_fft(window), sample_rate), persistent=False)

    def levels(self, audio: Float[Tensor, "batch 1 samples"]) -> list[Float[Tensor, "batch _frames _bands"]]:
        """Levels in dB at each window."""
        found = []
        for i, window in enumerate(self.windows):
            spectrum = _stft(audio, _fft(window), getattr(self, f"window{i}"))
            power = spectrum.square().sum(-1).transpose(1, 2) @ getattr(self, f"bands{i}").T
            found.append((power + LEVEL_FLOOR).log10() * 10)
        return found

    def forward(
        self, target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
    ) -> Float[Tensor, ""]:
        """0 is identity; 1 is a decibel off everywhere."""
        with torch.no_grad():
            wanted = self.levels(target)
        return _mean_distance(wanted, self.levels(decoded))


class ComplexLoss(nn.Module):
    """Mean absolute difference of complex spectra whose magnitudes are raised to the power of 0.3: lines with phases.

    Source: spectral losses of speech enhancement (Braun and Tashev, 2021). Differs: L1, several windows, no part of
    magnitudes alone.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.windows = [round(seconds * sample_rate / 2) * 2 for seconds in COMPLEX_WINDOWS_S]
        for i, window in enumerate(self.windows):
            self.register_buffer(f"window{i}", _normalized(window), persistent=False)

    def spectra(self, audio: Float[Tensor, "batch 1 samples"]) -> list[Float[Tensor, "batch _bins _frames 2"]]:
        """Compressed spectra at each window, real and imaginary parts last."""
        plain = [_stft(audio, window, getattr(self, f"window{i}")) for i, window in enumerate(self.windows)]
        powers = [spectrum.square().sum(-1, keepdim=True) + COMPRESSION_FLOOR for spectrum in plain]
        return [z * power ** ((COMPRESSION - 1) / 2) for z, power in zip(plain, powers, strict=True)]

    def forward(
        self, target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
    ) -> Float[Tensor, ""]:
        """0 is identity."""
        with torch.no_grad():
            wanted = self.spectra(target)
        return _mean_distance(wanted, self.spectra(decoded))


class HarmonicLoss(nn.Module):
    """1 less the harmonic correlation: the lines of a voice or tone come back, whatever the level of each band.

    Correlation of each example and band, over the frames whose lines stand out most, averaged over both; an example
    without lines in a band costs nothing there. Audio has to be as long as a window of 85 ms.

    Source: ours, see `soundstream.analysis.harmonics`. Differs: variances of nearly silent residuals are floored.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.window, self.hop = harmonics.window_and_hop(sample_rate)
        bands = [harmonics.band_bins(band, self.window, sample_rate) for band in harmonics.BANDS_HZ]
        self.bands = [band for band in bands if band.stop]
        hann = torch.hann_window(self.window, dtype=torch.float64)
        self.shape: Tensor
        self.register_buffer("shape", (hann / hann.sum()).float(), persistent=False)

    def residual(self, audio: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch frames bins"]:
        """Log magnitudes less their moving mean over the frequencies."""
        power = _stft(audio, self.window, self.shape, self.hop).square().sum(-1).transpose(1, 2)
        spectrum = ((power + POWER_FLOOR).sqrt() + harmonics.FLOOR).log()
        side = harmonics.SMOOTHED_BINS // 2
        padded = functional.pad(spectrum, (side, side), mode="replicate")
        return spectrum - functional.avg_pool1d(padded, harmonics.SMOOTHED_BINS, stride=1)

    def forward(
        self, target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
    ) -> Float[Tensor, ""]:
        """0 is identity; 1 keeps no line."""
        with torch.no_grad():
            wanted = self.residual(target)
        found = self.residual(decoded)
        return torch.stack([_lines_lost(wanted[..., band], found[..., band]).mean() for band in self.bands]).mean()


def emphasized(audio: Float[Tensor, "batch 1 samples"], factor: float) -> Float[Tensor, "batch 1 samples"]:
    """Pre-emphasis: each sample less `factor` times the one before, which raises what is high; 0 changes nothing."""
    return audio - factor * functional.pad(audio, (1, 0))[..., :-1] if factor else audio


def erb_bands(fft: int, sample_rate: int) -> Float[Tensor, "bands bins"]:
    """Triangles that overlap by half, evenly spread over the ERB scale; those too narrow for the bins are left out."""
    ends = torch.tensor([MIN_HZ, MAX_SHARE * sample_rate / 2], dtype=torch.float64)
    low, high = _erb(ends).tolist()
    edges = torch.linspace(low, high, ERB_BANDS + 2, dtype=torch.float64)[:, None]
    place = _erb(torch.linspace(0, sample_rate / 2, fft // 2 + 1, dtype=torch.float64))
    rising = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    bands = torch.minimum(rising, falling).clamp(min=0)
    return bands[bands.sum(1) > MIN_COVER].float()


def _erb(hertz: Tensor) -> Tensor:
    return 21.4 * torch.log10(1 + 0.00437 * hertz)


def _fft(window: int) -> int:
    return int(2 ** math.ceil(math.log2(window)))


def _normalized(window: int) -> Float[Tensor, " window"]:
    """A Hann window under which a sine at full scale has a magnitude of 1."""
    hann = torch.hann_window(window, dtype=torch.float64)
    return (2 * hann / hann.sum()).float()


def _stft(audio: Tensor, fft: int, window: Tensor, hop: int | None = None) -> Float[Tensor, "batch bins frames 2"]:
    """Complex spectra, real and imaginary parts last; the hop is a quarter of the window unless another is given."""
    length, hop = len(window), hop or len(window) // 4
    spectrum = torch.stft(audio.squeeze(1).float(), fft, hop, length, window, center=False, return_complex=True)
    return torch.view_as_real(spectrum)


def _mean_distance(target: list[Tensor], decoded: list[Tensor]) -> Tensor:
    return torch.stack([(a - b).abs().mean() for a, b in zip(target, decoded, strict=True)]).mean()


def _lines_lost(target: Tensor, decoded: Tensor) -> Float[Tensor, " batch"]:
    """1 less the correlation over the frames `[batch, frames, bins]` in which the target varies most."""
    floor = harmonics.MIN_VARIANCE
    count = max(1, round(harmonics.SHARE_OF_FRAMES * target.shape[1]))
    chosen = target.var(-1).topk(count, dim=1).indices[..., None].expand(-1, -1, target.shape[-1])
    pair = (x.gather(1, chosen).flatten(1) for x in (target, decoded))
    a, b = (x - x.mean(1, keepdim=True) for x in pair)
    variance_a, variance_b = a.square().mean(1), b.square().mean(1)
    correlation = (a * b).mean(1) / ((variance_a + floor) * (variance_b + floor)).sqrt()
    return (1 - correlation) * (variance_a >= floor)
