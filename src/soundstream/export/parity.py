"""Whether an artifact computes what its model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from soundstream.arrays import Array
from soundstream.errors import ParityError
from soundstream.export.artifact import export, exportable
from soundstream.nn.model import SoundStream, plain_condition
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream
from soundstream.spec import SIDES


@dataclass(frozen=True)
class Parity:
    """PyTorch beside ONNX Runtime on one clip: first the graphs computed as float32, then the artifact as it is."""

    latents_difference: float
    """Largest difference of the latents between PyTorch and the graphs, in units of their standard deviation; with the
    denoise switch off and, if there is one, on."""
    codes_equal: float
    """Share of codes, all codebooks in use, that are the same."""
    pcm_snr_db: float
    """Waveform of the graphs against the same weights in PyTorch, from the same codes."""
    stored_latents_snr_db: float
    """Latents of the artifact against those of the model as it was trained, in the same way: what few bits cost."""
    stored_snr_db: float
    """The same for the waveform, from the same codes."""


LIMITS = {"codes_equal": 0.98, "pcm_snr_db": 60.0, "stored_latents_snr_db": 20.0, "stored_snr_db": 20.0}
"""Least values."""
MAX_DIFFERENCE = 1e-2
"""Largest difference of latents; frames whose two nearest entries are equally near may still get other codes."""


@torch.no_grad()
def check_parity(model: SoundStream, folder: Path, pcm: Array) -> Parity:
    """Code a clip with the model and with its artifact, all codebooks in use.

    Args:
        pcm: audio `[samples]` at the codec's rate, alike in all channels that are coded together, or
            `[channels, samples]` of these.
    Raises:
        ParityError: they do not agree; the message says in what.
    """
    model, config = model.cpu().eval(), model.config
    pcm = pcm[..., : pcm.shape[-1] // config.hop_length * config.hop_length]
    pcm = np.broadcast_to(pcm, (config.audio_channels, pcm.shape[-1]))
    stored = exportable(model)
    codes = stored.codes(torch.from_numpy(pcm.copy())[None])
    graphs, artifact = _graphs(model), Model(load_artifact(folder))
    strengths, others = ((0.0, 1.0) if config.spec().has_denoise(side) else (0.0,) for side in SIDES)
    wanted = EncodeOptions(graphs.spec.bitrate(graphs.spec.num_quantizers), effort=1)
    encoder = EncoderStream(graphs, len(pcm), wanted)
    found = Parity(
        latents_difference=max(_difference(_latents(stored, pcm, s), _stream(graphs, pcm, s)) for s in strengths),
        codes_equal=float((_whole(encoder, pcm, codes.shape[-1]) == codes.numpy()).mean()),
        pcm_snr_db=min(_snr_db(_decoded(stored, codes, s), _pcm(graphs, codes, s)) for s in others),
        stored_latents_snr_db=min(_snr_db(_latents(model, pcm, s), _stream(artifact, pcm, s)) for s in strengths),
        stored_snr_db=min(_snr_db(_decoded(model, codes, s), _pcm(artifact, codes, s)) for s in others),
    )
    _check(found, folder)
    return found


def _graphs(model: SoundStream) -> Model:
    """The model in ONNX Runtime, computed as float32."""
    with TemporaryDirectory() as folder:
        export(model, Path(folder), int8_products=False)
        graphs = Model(load_artifact(Path(folder)))
        _ = graphs.encoder, graphs.decoder, graphs.denoiser, graphs.levels  # loaded while their files are there
        return graphs


def _latents(model: SoundStream, pcm: Array, denoise: float) -> Array:
    condition = _condition(model, pcm.shape[1] // model.config.hop_length, denoise)
    audio = torch.from_numpy(pcm.copy())[None]
    found = [model.encode(audio, condition)]
    found += [model.levels(audio, condition)] if model.level_stage else []
    found += [model.importance(audio)] if model.config.importance else []
    return torch.cat(found, 1).numpy()


def _condition(model: SoundStream, frames: int, denoise: float) -> torch.Tensor:
    plain = plain_condition(model.config, 1, frames)
    return (1 - denoise) * plain + denoise * plain.roll(1, dims=1)


def _stream(runtime: Model, pcm: Array, denoise: float) -> Array:
    stream = LatentStream(runtime, len(pcm))
    found = np.concatenate([stream.push(pcm, denoise), stream.flush()], axis=2)
    return found[..., : pcm.shape[1] // runtime.spec.hop_length]


def _difference(expected: Array, found: Array) -> float:
    return float(np.abs(expected - found).max() / max(float(expected.std()), 1e-9))


def _decoded(model: SoundStream, codes: torch.Tensor, denoise: float) -> Array:
    condition = _condition(model, codes.shape[-1], denoise)
    return model.decode(model.latents_of(codes), condition)[0].numpy()


def _pcm(runtime: Model, codes: torch.Tensor, denoise: float) -> Array:
    stream = DecoderStream(runtime, runtime.spec.channels, denoise)
    return _whole(stream, codes.numpy(), codes.shape[-1] * runtime.spec.hop_length)


def _whole(stream: EncoderStream | DecoderStream, items: NDArray[Any], length: int) -> NDArray[Any]:
    """What a stream makes of a whole signal, without what comes of the zeros behind it."""
    return np.concatenate([stream.push(items), stream.flush()], axis=-1)[..., :length]


def _snr_db(expected: Array, found: Array) -> float:
    noise = float(np.square(expected - found, dtype=np.float64).sum())
    return round(10 * float(np.log10((np.square(expected, dtype=np.float64).sum() + 1e-12) / (noise + 1e-12))), 1)


def _check(found: Parity, folder: Path) -> None:
    wrong = [f"{name} is {getattr(found, name):.4g}, less than {least}" for name, least in LIMITS.items()]
    wrong = [
        text for text, (name, least) in zip(wrong, LIMITS.items(), strict=True) if not getattr(found, name) >= least
    ]
    if not found.latents_difference <= MAX_DIFFERENCE:
        wrong.append(f"latents_difference is {found.latents_difference:.4g}, more than {MAX_DIFFERENCE}")
    if wrong:
        raise ParityError(f"{folder} does not compute what the model does: {'; '.join(wrong)}; do not ship it")
