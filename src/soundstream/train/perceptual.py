"""Losses that follow what ears resolve: levels of bands, and spectra in which quiet lines count beside loud ones."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEVEL_WINDOWS_S = (0.027, 0.08)
"""Windows of the band levels: one as long as a syllable's edge, one in which harmonics stand apart."""
ERB_BANDS = 40
LOWEST_HZ, HIGHEST_SHARE = 40.0, 0.97
"""Centre range of the bands: from this frequency to this share of half the sample rate."""
LEVEL_FLOOR = 1e-9
"""Power, where a sine at full scale has 1, under which a band counts as silent: -90 dB."""
COMPLEX_WINDOWS_S = (0.0213, 0.0427, 0.0853)
COMPRESSION = 0.3
"""Power that magnitudes are raised to."""
COMPRESSION_FLOOR = 1e-8
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


def emphasized(audio: Float[Tensor, "batch 1 samples"], factor: float) -> Float[Tensor, "batch 1 samples"]:
    """Pre-emphasis: each sample less `factor` times the one before, which raises what is high; 0 changes nothing."""
    return audio - factor * nn.functional.pad(audio, (1, 0))[..., :-1] if factor else audio


def erb_bands(fft: int, sample_rate: int) -> Float[Tensor, "bands bins"]:
    """Triangles that overlap by half, evenly spread over the ERB scale; those too narrow for the bins are left out."""
    ends = torch.tensor([LOWEST_HZ, HIGHEST_SHARE * sample_rate / 2], dtype=torch.float64)
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


def _stft(audio: Tensor, fft: int, window: Tensor) -> Float[Tensor, "batch bins frames 2"]:
    spectrum = torch.stft(
        audio.squeeze(1).float(), fft, len(window) // 4, len(window), window, center=False, return_complex=True
    )
    return torch.view_as_real(spectrum)


def _mean_distance(target: list[Tensor], decoded: list[Tensor]) -> Tensor:
    return torch.stack([(a - b).abs().mean() for a, b in zip(target, decoded, strict=True)]).mean()
