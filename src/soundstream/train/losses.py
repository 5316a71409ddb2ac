"""Reconstruction losses. Each has one name, in the run file, the log and here: `waveform`, `mel`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundstream import mel


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

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window in mel.WINDOWS:
            self.register_buffer(f"window{window}", torch.from_numpy(mel.window_function(window)), persistent=False)
            filters = torch.from_numpy(mel.filterbank(window, sample_rate).T.copy())
            self.register_buffer(f"filters{window}", filters, persistent=False)

    def spectra(self, audio: Float[Tensor, "batch 1 samples"]) -> list[Float[Tensor, "batch frames bins"]]:
        """Mel amplitudes at each window."""
        return [self._spectrum(audio.squeeze(1).float(), window) for window in mel.WINDOWS]

    def _spectrum(self, audio: Tensor, window: int) -> Tensor:
        shape = getattr(self, f"window{window}")
        spectrum = torch.stft(audio, window, window // 4, window=shape, center=False, return_complex=True)
        magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-12).sqrt()
        return magnitude.transpose(1, 2) @ getattr(self, f"filters{window}")

    def forward(
        self,
        target: list[Float[Tensor, "batch _frames _bins"]],
        decoded: list[Float[Tensor, "batch _frames _bins"]],
        floor: float = mel.FLOOR,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Relative and logarithmic part, from the `spectra` of both signals."""
        relative = [_relative_l1(a, b) for a, b in zip(target, decoded, strict=True)]
        log = [(_log(a, floor) - _log(b, floor)).abs().mean() for a, b in zip(target, decoded, strict=True)]
        return torch.stack(relative).mean(), torch.stack(log).mean()


def _log(x: Tensor, floor: float) -> Tensor:
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
