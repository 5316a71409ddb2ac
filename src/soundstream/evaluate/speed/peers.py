"""Other codecs on the same clip, for their speed: both give the parts `pcm to bytes` and `bytes to pcm`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from types import ModuleType
from typing import Any

from soundstream.arrays import Array
from soundstream.evaluate.speed.timing import TimedPart
from soundstream.system.extras import extra, needs

WHOLE_ENCODE = "pcm to bytes"
WHOLE_DECODE = "bytes to pcm"
OPUS_FRAME_MS = 20


class Peer(StrEnum):
    """A codec to be measured beside ours."""

    OPUS = "opus"
    ENCODEC = "encodec"


def parts(peer: Peer, pcm: Array, sample_rate: int, bitrate: int) -> list[TimedPart]:
    """A peer's work on pcm `[1, samples]`.

    Raises:
        CodecError: its package is not installed.
    """
    encode, decode = _PEERS[peer](pcm, sample_rate, bitrate)
    coded = encode()
    return [
        TimedPart(peer, WHOLE_ENCODE, "offline", encode),
        TimedPart(peer, WHOLE_DECODE, "offline", lambda: decode(coded)),
    ]


def _opus(pcm: Array, sample_rate: int, bitrate: int) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """libopus by way of PyAV, with variable rate and full effort, as it is by default."""
    with needs(extra("eval")):
        import av
    samples = sample_rate * OPUS_FRAME_MS // 1000
    frames = []
    for start in range(0, pcm.shape[1] - samples + 1, samples):
        frame = av.AudioFrame.from_ndarray(pcm[:, start : start + samples], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
        frames.append(frame)

    def encode() -> list[Any]:
        coder = av.CodecContext.create("libopus", "w")
        coder.sample_rate, coder.layout, coder.format = sample_rate, "mono", "flt"
        coder.bit_rate, coder.thread_count = bitrate, 1
        return [packet for frame in [*frames, None] for packet in coder.encode(frame)]

    def decode(packets: list[Any]) -> list[Any]:
        coder = av.CodecContext.create("libopus", "r")
        coder.thread_count = 1
        return [frame for packet in packets for frame in coder.decode(packet)]

    return encode, decode


def _encodec(pcm: Array, sample_rate: int, bitrate: int) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """EnCodec at 24 kHz in PyTorch, with random weights, at its rate that is nearest to `bitrate`."""
    with needs("torch einops && pip install --no-deps encodec"):
        import torch

        package = _encodec_package()
    torch.set_num_threads(1)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model = package.EncodecModel.encodec_model_24khz(pretrained=False)
    model.set_target_bandwidth(min(model.target_bandwidths, key=lambda kbps: abs(1000 * kbps - bitrate)))
    clip = torch.from_numpy(pcm)[None]
    return torch.inference_mode()(lambda: model.encode(clip)), torch.inference_mode()(model.decode)


def _encodec_package() -> Any:
    """The package. It imports torchaudio, which it needs only for files: an empty module stands in for it meanwhile."""
    sys.modules.setdefault("torchaudio", stand_in := ModuleType("torchaudio"))
    try:
        import encodec
    finally:
        if sys.modules["torchaudio"] is stand_in:
            del sys.modules["torchaudio"]
    return encodec


_PEERS = {Peer.OPUS: _opus, Peer.ENCODEC: _encodec}
