"""Reconstruction losses and the weights of all terms.

Each term has one name, in the run file, the log and here: `waveform`, `mel`, `levels`, `complex`, `harmonic`,
`adversarial`, `feature`, `commitment`, `rate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundstream.analysis import mel
from soundstream.errors import ConfigError
from soundstream.train.losses.perceptual import ComplexLoss, HarmonicLoss, LevelLoss, emphasized

Pair = tuple[float, ...]
Spectra = list[Float[Tensor, "batch _frames _bins"]]
Parts = tuple[Float[Tensor, ""], ...]
Floor = float | Float[Tensor, ""]

OTHER_LOSSES = {"levels": LevelLoss, "complex": ComplexLoss, "harmonic": HarmonicLoss}
"""Reconstruction terms besides waveform and mel."""
RECONSTRUCTION = ("waveform", "mel", *OTHER_LOSSES)
"""Terms that need no discriminator, by name; each has a pair of weights."""
FROM_DISCRIMINATORS = ("adversarial", "feature")


@dataclass(frozen=True)
class LossConfig:
    """What the decoded audio is judged by. Pairs hold the value before and after the shift."""

    mel: str = "relative"
    """Kind of mel loss: `relative` is ours, `paper` SoundStream's, `dac` DAC's."""
    balance: bool = True
    """Whether weights are shares of the gradient at the decoder's output, or plain factors of the losses."""
    balancer_decay: float = 0.0
    """Share of the past in the norms that the balancer divides by; 0 takes the norms of the step."""
    balance_every: int = 1
    """Steps from one measurement of these norms to the next; in between the last ones hold, which saves passes."""
    per_example: bool = False
    """Whether the balancer divides by the norms of single examples instead of their mean over the batch."""
    shift_steps: tuple[int, ...] = (400, 2000)
    """The shift: between these steps the pairs go from their first to their second value."""
    waveform_weight: Pair = (0.85, 0.25)
    """Of the L1 distance of waveforms. A mel-dominated start never locks to the waveform."""
    waveform_emphasis: float = 0.0
    """Pre-emphasis of the waveforms that are compared, 0 to less than 1: what is high is quiet and counts little."""
    mel_weight: Pair = (0.15, 0.75)
    """Of the distance of mel spectra."""
    mel_floor: Pair = (1e-3, 1e-4)
    """Amplitude under which the mel loss does not look."""
    levels_weight: Pair = (0.0, 0.0)
    """Of the distance of band levels in dB, see `LevelLoss`."""
    complex_weight: Pair = (0.0, 0.0)
    """Of the distance of compressed complex spectra, see `ComplexLoss`."""
    harmonic_weight: Pair = (0.0, 0.0)
    """Of the harmonics that are lost, see `HarmonicLoss`."""
    adversarial_weight: float = 0.4
    """Of the hinge loss: the discriminators are not misled."""
    feature_weight: float = 0.6
    """Of the distance of the discriminators' features."""
    relative_features: bool = True
    """Whether features are compared relative to their level (EnCodec) or as they are (SoundStream)."""
    commitment_weight: float = 0.03
    """Of the pull of latents to their quantized values; a strong one favours few codebooks, a weak one many."""
    rate_weight: float = 0.0
    """Of the mean importance of frames, with networks that tell it: what else would ask for all codebooks."""

    def __post_init__(self) -> None:
        if self.mel not in MEL_LOSSES:
            raise ConfigError(f"mel is {self.mel!r}; expected one of: {', '.join(MEL_LOSSES)}")
        if self.balance_every < 1 or (self.per_example and self.balance_every > 1):
            raise ConfigError(f"balance_every is {self.balance_every}; expected at least 1, and 1 with per_example")
        if not 0 <= self.balancer_decay < 1:
            raise ConfigError(f"balancer_decay is {self.balancer_decay}; expected 0 to less than 1")
        if not 0 <= self.waveform_emphasis < 1:
            raise ConfigError(f"waveform_emphasis is {self.waveform_emphasis}; expected 0 to less than 1")
        for name in ("shift_steps", "mel_floor", *(f"{term}_weight" for term in RECONSTRUCTION)):
            pair = getattr(self, name)
            if len(pair) != 2 or min(pair) < 0:
                raise ConfigError(f"{name} is {pair}; expected two numbers, neither below 0")

    def terms(self) -> list[str]:
        """Names of the terms at the decoder's output that have a weight at some time."""
        return [name for name in (*RECONSTRUCTION, *FROM_DISCRIMINATORS) if _ever(getattr(self, f"{name}_weight"))]

    def weights(self, shifted: float) -> dict[str, float]:
        """Weight of every term that is judged at the decoder's output.

        Args:
            shifted: 0 before the shift, 1 after it.
        """
        weights = {term: _between(getattr(self, f"{term}_weight"), shifted) for term in RECONSTRUCTION}
        return weights | {term: getattr(self, f"{term}_weight") for term in FROM_DISCRIMINATORS}

    def floor(self, shifted: float) -> float:
        """Amplitude under which the mel loss does not look."""
        return _between(self.mel_floor, shifted)


def _between(ends: Pair, shifted: float) -> float:
    return ends[0] + shifted * (ends[1] - ends[0])


def _ever(weight: float | Pair) -> bool:
    return any(weight) if isinstance(weight, tuple) else bool(weight)


def aligned(
    target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"], delay_samples: int
) -> tuple[Float[Tensor, "batch 1 compared"], Float[Tensor, "batch 1 compared"]]:
    """Target and decoded audio sample on sample, where decoded audio lags by `delay_samples`."""
    return target[..., : target.shape[-1] - delay_samples], decoded[..., delay_samples:]


def waveform_loss(
    target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
) -> Float[Tensor, ""]:
    """Mean absolute error relative to the mean absolute target, averaged over examples: 0 is identity, 1 is silence."""
    level = target.abs().mean(dim=(1, 2)) + 1e-3
    return ((target - decoded).abs().mean(dim=(1, 2)) / level).mean()


class MelLoss(nn.Module):
    """Multi-scale mel loss: over six windows, the relative L1 distance of amplitudes and the L1 distance of logarithms.

    Its log part at `floor` = `mel.FLOOR` is `mel.log_mel_distance`.

    Source: SoundStream (Zeghidour et al., 2021), section III-E. Differs: amplitudes are taken relative to their mean
    and the log part is L1, so that windows and levels count alike without weights.
    """

    names: ClassVar[tuple[str, ...]] = ("mel_relative", "mel_log")
    """Of its parts, in the log."""
    bins: ClassVar[dict[int, int]] = dict.fromkeys(mel.WINDOWS, mel.BINS)
    """Bins of the spectrum of each window."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window, bins in self.bins.items():
            self.register_buffer(f"window{window}", torch.from_numpy(mel.window_function(window)), persistent=False)
            filters = torch.from_numpy(mel.filterbank(window, sample_rate, bins).T.copy())
            self.register_buffer(f"filters{window}", filters, persistent=False)

    def spectra(self, audio: Float[Tensor, "batch 1 samples"]) -> list[Float[Tensor, "batch frames bins"]]:
        """Mel amplitudes at each window."""
        return [self._spectrum(audio.squeeze(1).float(), window) for window in self.bins]

    def _spectrum(self, audio: Tensor, window: int) -> Tensor:
        shape = getattr(self, f"window{window}")
        spectrum = torch.stft(audio, window, window // 4, window=shape, center=False, return_complex=True)
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-12).sqrt()
        return magnitude.transpose(1, 2) @ getattr(self, f"filters{window}")

    def forward(self, target: Spectra, decoded: Spectra, floor: Floor = mel.FLOOR) -> Parts:
        """Relative and logarithmic part, from the `spectra` of both signals."""
        relative = [_relative_l1(a, b) for a, b in zip(target, decoded, strict=True)]
        log = [(_log(a, floor) - _log(b, floor)).abs().mean() for a, b in zip(target, decoded, strict=True)]
        return torch.stack(relative).mean(), torch.stack(log).mean()


class PaperMelLoss(MelLoss):
    """SoundStream's multi-scale spectral loss, with the windows s = 2^6 to 2^11 and S_s the 64-bin mel spectrum:

        sum_s mean_t [ |S_s(x) - S_s(y)|_1 + alpha_s |log S_s(x) - log S_s(y)|_2 ],    alpha_s = sqrt(s / 2)

    Source: SoundStream (Zeghidour et al., 2021), section III-E, equations 4 and 5. Differs: frames are averaged, not
    summed, since the paper does not give the length of its crops; logarithms are floored.
    """

    names: ClassVar[tuple[str, ...]] = ("mel_amplitude", "mel_log")

    def forward(self, target: Spectra, decoded: Spectra, floor: Floor = mel.FLOOR) -> Parts:
        """Amplitude and logarithmic part, from the `spectra` of both signals."""
        amplitude = [(a - b).abs().sum(-1).mean() for a, b in zip(target, decoded, strict=True)]
        log = [
            math.sqrt(window / 2) * torch.linalg.vector_norm(_log(a, floor) - _log(b, floor), dim=-1).mean()
            for window, a, b in zip(mel.WINDOWS, target, decoded, strict=True)
        ]
        return torch.stack(amplitude).sum(), torch.stack(log).sum()


class DacMelLoss(MelLoss):
    """DAC's multi-scale mel loss: with seven windows s, and mel spectra S_s of 5 to 320 bins,

        sum_s mean |log10 S_s(x) - log10 S_s(y)|

    Source: DAC (Kumar et al., 2023), section 3.4. Differs: amplitudes have the scale that they have everywhere here, in
    which the floor is meant.
    """

    names: ClassVar[tuple[str, ...]] = ("mel_log",)
    bins: ClassVar[dict[int, int]] = {32 << i: 5 << i for i in range(7)}

    def forward(self, target: Spectra, decoded: Spectra, floor: Floor = mel.FLOOR) -> Parts:
        """The logarithmic part, from the `spectra` of both signals."""
        log = [(_log(a, floor) - _log(b, floor)).abs().mean() for a, b in zip(target, decoded, strict=True)]
        return (torch.stack(log).sum() / math.log(10),)


MEL_LOSSES: dict[str, type[MelLoss]] = {"relative": MelLoss, "paper": PaperMelLoss, "dac": DacMelLoss}


class ReconstructionLoss(nn.Module):
    """All terms that compare decoded audio with its target; one whose weight is always 0 is not computed."""

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.mel = MEL_LOSSES[config.mel](sample_rate)
        self.others = nn.ModuleDict()
        for name, kind in OTHER_LOSSES.items():
            if name in config.terms():
                self.others[name] = kind(sample_rate)

    def forward(
        self, target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"], floor: Floor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms by name, and the parts of `mel` for the log.

        Args:
            floor: amplitude under which the mel loss does not look.
        """
        with torch.no_grad():
            spectra = self.mel.spectra(target)
        parts = self.mel(spectra, self.mel.spectra(decoded), floor)
        pair = [emphasized(audio, self.config.waveform_emphasis) for audio in (target, decoded)]
        terms = {"waveform": waveform_loss(*pair), "mel": torch.stack(parts).sum()}
        terms |= {name: loss(target, decoded) for name, loss in self.others.items()}
        return terms, dict(zip(self.mel.names, parts, strict=True))


def _log(x: Tensor, floor: Floor) -> Tensor:
    return x.clamp(min=floor).log()


def _relative_l1(target: Tensor, decoded: Tensor) -> Tensor:
    level = target.mean(dim=(1, 2)) + 1e-4
    return ((target - decoded).abs().mean(dim=(1, 2)) / level).mean()


def signal_to_noise_db(
    target: Float[Tensor, "batch 1 samples"], decoded: Float[Tensor, "batch 1 samples"]
) -> Float[Tensor, " batch"]:
    """Signal-to-noise ratio of each example in dB: how closely the waveform is followed."""
    noise = (target - decoded).square().sum(dim=(1, 2))
    return 10 * torch.log10((target.square().sum(dim=(1, 2)) + 1e-9) / (noise + 1e-9))
