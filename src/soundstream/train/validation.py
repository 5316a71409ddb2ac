"""Validation: what the model makes of some fixed clips, as figures, as audio and as a picture."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soundstream.analysis.harmonics import NAMES, harmonic_correlation
from soundstream.errors import CodecError
from soundstream.nn.config import FamilyConfig
from soundstream.nn.model import SoundStream
from soundstream.nn.quantize import DEAD_USAGE
from soundstream.system.extras import extra, needs
from soundstream.train.data.features import Featuring
from soundstream.train.data.placement import in_mono, mono_condition
from soundstream.train.losses.reconstruction import MelLoss, aligned, signal_to_noise_db

COUNTS = (1, 2, 4, 8, 16)
"""Codebooks in use, of those that the model has, for which figures are given."""
HEARD = (4, 16)
"""Codebooks in use for which audio is written: 3 and 12 kbit/s at 75 frames a second."""
CLIPS = 6
"""Clips that are written."""
KEPT = 4
"""Steps whose audio stays: the first one and the newest."""
FRESH_USAGE = 2 * DEAD_USAGE
"""Usage that a replaced entry of a codebook starts with; an entry that has no more is dead."""

Log = dict[str, Any]


class Validator:
    """Judges a model by clips that stay the same over a run, and from run to run with the same data.

    Decoded audio lags the input by `config.delay_samples`; it is compared, and written, without that delay.

    Args:
        clips: mono audio at the codec's rate, cut to whole codes.
        voices: numbers of the clips whose harmonics are measured; all of them by default.
        featuring: what makes features of them, for a codec that takes some.
    """

    def __init__(
        self,
        clips: Float[Tensor, "batch 1 samples"],
        config: FamilyConfig,
        voices: Sequence[int] = (),
        featuring: Featuring | None = None,
    ) -> None:
        each = config.hop_length * config.spec().granule
        whole = clips.shape[-1] // each * each
        self.clips, self.config = clips[..., :whole], config
        self.voices = list(voices or range(len(clips)))
        self.mel = MelLoss(config.sample_rate)
        self.features = featuring(self.clips) if featuring else None

    @torch.no_grad()
    def __call__(self, model: SoundStream) -> Log:
        """Figures of the clips and of the model's latents and codebooks; plain numbers, ready for JSON.

        `snr_db_N` is the waveform's signal-to-noise ratio, `mel_log_N` the log-mel distance and `harmonics_BAND_N` the
        harmonic correlation of the voices in each band that has one, with N codebooks in use; `rank` the effective rank
        of the latents, `latent_std` their running scale before normalization; `perplexity` how many entries of each
        codebook training uses, and `dead` how many it does not.
        """
        latents, codes = self._encode(model)
        usage = model.quantizer.usage
        entry: Log = {
            "rank": round(effective_rank(latents), 2),
            "latent_std": round(float(model.normalizer.std), 4),
            "perplexity": [round(p) for p in perplexity(usage).tolist()],
            "dead": (usage <= FRESH_USAGE).sum(-1).tolist(),
        }
        self.mel.to(latents.device)
        for count in self._available(COUNTS):
            target, decoded = self._decode(model, latents, codes[:, :count])
            _, log = self.mel(self.mel.spectra(target), self.mel.spectra(decoded))
            snr = signal_to_noise_db(target, decoded).mean()
            entry |= {f"snr_db_{count}": round(float(snr), 2), f"mel_log_{count}": round(float(log), 4)}
            entry |= {f"{name}_{count}": value for name, value in self._harmonics(target, decoded).items()}
        return entry

    def _harmonics(self, target: Tensor, decoded: Tensor) -> dict[str, float]:
        """Mean harmonic correlation over the voices, for each band that one of them has an answer in."""
        originals, copies = (audio[self.voices, 0].cpu().numpy() for audio in (target, decoded))
        pairs = zip(originals, copies, strict=True)
        found = np.array([harmonic_correlation(a, b, self.config.sample_rate) for a, b in pairs])
        means = {name: band[np.isfinite(band)] for name, band in zip(NAMES, found.T, strict=True)}
        return {f"harmonics_{name}": round(float(band.mean()), 4) for name, band in means.items() if len(band)}

    @torch.no_grad()
    def write(self, model: SoundStream, folder: Path, step: int) -> str | None:
        """Write some clips as FLAC, original and decoded, and their spectrograms, into `folder/STEP`.

        Only the first step and the newest three stay in the folder.

        Returns:
            What could not be written and why, in words; None if all is there.
        """
        chosen = np.unique(np.linspace(0, len(self.clips) - 1, CLIPS).round().astype(int)).tolist()
        versions = self._versions(model, chosen)
        place = folder / str(step)
        place.mkdir(parents=True, exist_ok=True)
        for name, audio in versions.items():
            for clip, pcm in zip(chosen, audio, strict=True):
                soundfile.write(place / f"clip{clip:02}_{name}.flac", pcm, self.config.sample_rate)
        _prune(folder)
        cells = {
            name: [(f"clip {clip}", pcm, self.config.sample_rate) for clip, pcm in zip(chosen, audio, strict=True)]
            for name, audio in versions.items()
        }
        try:
            with needs(extra("plot")):
                from soundstream.analysis.drawing import spectrograms
        except CodecError as error:
            return f"no spectrograms: {error}"
        spectrograms(place / "spectrograms.png", cells)
        return None

    def _versions(self, model: SoundStream, chosen: list[int]) -> dict[str, NDArray[np.float32]]:
        """The chosen clips `[batch, samples]` by name: the original, and decoded from few and from many codes."""
        latents, codes = self._encode(model)
        versions = {}
        for count in self._available(HEARD) or [self.config.num_quantizers]:
            target, decoded = self._decode(model, latents, codes[:, :count])
            versions["original"] = target[chosen, 0].cpu().numpy()
            versions[f"{self.config.spec().bitrate(count)}bps"] = decoded[chosen, 0].cpu().numpy()
        return versions

    def _encode(self, model: SoundStream) -> tuple[Tensor, Tensor]:
        model.eval()
        device = model.quantizer.codebooks.device
        audio, _ = in_mono(self.clips.to(device), self.config)
        features = None if self.features is None else self.features.to(device)
        latents = model.encode(audio, features=features).float()
        return latents, model.quantizer.encode(latents, model.config.num_quantizers)

    def _decode(
        self, model: SoundStream, latents: Tensor, codes: Int[Tensor, "batch num_quantizers frames"]
    ) -> tuple[Tensor, Tensor]:
        """The clips and what the codes give, both without the samples that the delay leaves without a partner."""
        audio, channel = in_mono(self.clips.to(codes.device), self.config)
        condition = mono_condition(self.config, len(codes), codes.shape[2])
        counts = torch.full_like(codes[:, 0, 0], codes.shape[1])
        given = model.told(audio, latents, counts) if model.level_stage else model.quantizer.decode(codes)
        decoded = model.decode(given, None if condition is None else condition.to(codes.device))
        decoded = decoded[:, channel : channel + 1].float()
        return aligned(self.clips.to(decoded)[..., : decoded.shape[-1]], decoded, self.config.delay_samples)

    def _available(self, counts: tuple[int, ...]) -> list[int]:
        return [count for count in counts if count <= self.config.num_quantizers]


def effective_rank(latents: Float[Tensor, "batch latent_dim frames"]) -> float:
    """Exponential of the entropy of the covariance's spectrum: how many directions the latents use."""
    vectors = latents.transpose(1, 2).flatten(0, 1)
    spectrum = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    return float(perplexity(spectrum))


def perplexity(weights: Float[Tensor, "*shape entries"]) -> Float[Tensor, "*shape"]:
    """Exponential of the entropy of weights that are normalised first: how many entries are in use."""
    shares = weights / weights.sum(-1, keepdim=True)
    return torch.exp(-(shares * (shares + 1e-12).log()).sum(-1))


def _prune(folder: Path) -> None:
    """Remove the audio of all steps but the first and the newest."""
    steps = sorted((place for place in folder.iterdir() if place.name.isdecimal()), key=lambda place: int(place.name))
    for place in steps[1 : 1 - KEPT]:
        shutil.rmtree(place)
