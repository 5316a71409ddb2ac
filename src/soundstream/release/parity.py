"""Whether an artifact computes what its model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from soundstream.errors import ParityError
from soundstream.nn.export import exportable
from soundstream.nn.model import SoundStream
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream, Model

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """PyTorch beside ONNX Runtime on one clip."""

    latents_difference: float
    """Largest difference of the latents, in units of their standard deviation."""
    codes_equal: float
    """Share of codes, all codebooks in use, that are the same."""
    pcm_snr_db: float
    """Waveform of the artifact against the same weights in PyTorch, from the same codes."""
    stored_snr_db: float
    """The same against the weights as they were trained: what it costs to store them in few bits."""


LIMITS = {"codes_equal": 0.98, "pcm_snr_db": 60.0, "stored_snr_db": 20.0}
"""Least values."""
MOST_DIFFERENCE = 1e-2
"""Largest difference of latents; frames whose two nearest entries are equally near may still get other codes."""


@torch.no_grad()
def check_parity(model: SoundStream, folder: Path, pcm: Array) -> Parity:
    """Code a clip with the model and with its artifact, all codebooks in use.

    Args:
        pcm: mono audio `[samples]` at the codec's rate.
    Raises:
        ParityError: they do not agree; the message says in what.
    """
    config = model.config
    pcm = pcm[: len(pcm) // config.hop_length * config.hop_length]
    stored, audio = exportable(model), torch.from_numpy(pcm.copy())[None, None]
    latents = stored.encode(audio)
    codes = stored.quantizer.encode(latents, config.num_quantizers)
    runtime = Model(load_artifact(folder))
    ours = LatentStream(runtime, 1).push(pcm[None])
    ours_codes = EncoderStream(runtime, 1, config.num_quantizers).push(pcm[None])
    decoded = DecoderStream(runtime, 1).push(codes.numpy())
    found = Parity(
        latents_difference=float(np.abs(ours - latents.numpy()).max() / max(float(latents.std()), 1e-9)),
        codes_equal=float((ours_codes == codes.numpy()).mean()),
        pcm_snr_db=_snr_db(_decoded(stored, codes), decoded[0]),
        stored_snr_db=_snr_db(_decoded(model.cpu().eval(), codes), decoded[0]),
    )
    _check(found, folder)
    return found


def _decoded(model: SoundStream, codes: torch.Tensor) -> Array:
    return model.decode(model.quantizer.decode(codes))[0, 0].numpy()


def _snr_db(expected: Array, found: Array) -> float:
    noise = float(np.square(expected - found, dtype=np.float64).sum())
    return round(10 * float(np.log10((np.square(expected, dtype=np.float64).sum() + 1e-12) / (noise + 1e-12))), 1)


def _check(found: Parity, folder: Path) -> None:
    wrong = [f"{name} is {getattr(found, name):.4g}, less than {least}" for name, least in LIMITS.items()]
    wrong = [
        text for text, (name, least) in zip(wrong, LIMITS.items(), strict=True) if not getattr(found, name) >= least
    ]
    if not found.latents_difference <= MOST_DIFFERENCE:
        wrong.append(f"latents_difference is {found.latents_difference:.4g}, more than {MOST_DIFFERENCE}")
    if wrong:
        raise ParityError(f"{folder} does not compute what the model does: {'; '.join(wrong)}; do not ship it")
