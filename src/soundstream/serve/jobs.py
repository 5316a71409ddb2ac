"""Coding one clip once: the work behind a request, run in a thread."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.audio.blocks import seconds
from soundstream.bitstream import Reader
from soundstream.codec import Codec
from soundstream.live.network.simulate import RandomLoss
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.quantizer import DEFAULT_EFFORT
from soundstream.serve.clips import SentClip

Watch = Callable[[float], None]
"""Told the share of the work done, 0 to 1, at least once a second of audio; it may raise to stop the work."""

PCM_BITS = 16
"""Bits of a sample of the audio that a file is compared with."""
_SEED = 0


@dataclass(frozen=True)
class Coded:
    """A clip coded and decoded."""

    data: bytes
    """The .nac file, whole whatever packets were lost."""
    pcm: Array
    """Decoded, with the shape of the clip."""
    bits_sent: int
    """Of the file, or of the live packets where some were to be lost."""
    encode_s: float
    decode_s: float
    packets: int = 0
    """Live packets; 0 for a file."""
    lost: int = 0
    """Of these."""

    def facts(self, clip: SentClip) -> dict[str, Any]:
        """The figures that a client is told."""
        channels, samples = self.pcm.shape
        return {
            "sample_rate": clip.sample_rate,
            "channels": channels,
            "samples": samples,
            "file_bytes": len(self.data),
            "bitrate": round(self.bits_sent / clip.duration_s),
            "pcm_bitrate": clip.sample_rate * channels * PCM_BITS,
            "pcm_bytes": channels * samples * PCM_BITS // 8,
            "duration_s": clip.duration_s,
            "encode_s": self.encode_s,
            "decode_s": self.decode_s,
            "packets": self.packets,
            "lost": self.lost,
        }


def code(codec: Codec, clip: SentClip, bitrate: int, denoise: float, loss: float, watch: Watch) -> Coded:
    """Code a clip to the bytes of a file and back, and if packets are to be lost, live as well.

    Args:
        bitrate: nominal bit/s of a channel.
        denoise: 0 to 1.
        loss: share of live packets that is lost, the same ones each time.
    Raises:
        ConfigError: the model has no such rate, or no denoise switch.
    """
    started = time.perf_counter()
    data = _encoded(codec, clip, bitrate, denoise, lambda share: watch(share / 2))
    if loss:
        return _code_live(codec, clip, bitrate, denoise, loss, data, lambda share: watch((1 + share) / 2))
    encoded = time.perf_counter()
    blocks = codec.read(Reader(io.BytesIO(data)))
    decoded = list(_watched(blocks, clip.pcm.shape[1], lambda share: watch((1 + share) / 2)))
    times_s = encoded - started, time.perf_counter() - encoded
    return Coded(data, np.concatenate(decoded, axis=1), 8 * len(data), *times_s)


def _encoded(codec: Codec, clip: SentClip, bitrate: int, denoise: float, watch: Watch) -> bytes:
    """The bytes of a .nac file."""
    stream, (channels, samples) = io.BytesIO(), clip.pcm.shape
    blocks = _watched(seconds(clip.pcm, clip.sample_rate), samples, watch)
    codec.write(stream, blocks, clip.sample_rate, channels, EncodeOptions(bitrate, denoise=denoise), samples)
    return stream.getvalue()


def _code_live(
    codec: Codec, clip: SentClip, bitrate: int, denoise: float, loss: float, file: bytes, watch: Watch
) -> Coded:
    started = time.perf_counter()
    pcm, rate = audio.resample(clip.pcm, clip.sample_rate, codec.spec.sample_rate), codec.spec.sample_rate
    encoder = codec.open_encoder(rate, len(pcm), bitrate, denoise=denoise, effort=DEFAULT_EFFORT)
    packets = list[bytes]()
    for block in _watched(seconds(pcm, rate), pcm.shape[1], lambda share: watch(share / 2)):
        packets += encoder.push(block)
    packets += encoder.flush()
    encoded = time.perf_counter()
    lost = RandomLoss(loss).draw(len(packets), np.random.default_rng(_SEED))
    pcm = _heard(codec, clip, [None if gone else packet for packet, gone in zip(packets, lost, strict=True)], watch)
    times_s = encoded - started, time.perf_counter() - encoded
    return Coded(file, pcm, 8 * sum(map(len, packets)), *times_s, len(packets), int(lost.sum()))


def _heard(codec: Codec, clip: SentClip, packets: list[bytes | None], watch: Watch) -> Array:
    """What live packets sound like, without the decoder's delay, so that it lies beside the clip sample by sample."""
    channels, samples = clip.pcm.shape
    rate = codec.spec.sample_rate
    decoder = codec.open_decoder(rate, channels)
    decoded = list[Array]()
    for i, packet in enumerate(packets):
        watch((1 + i / len(packets)) / 2)
        decoded.append(decoder.push(packet))
    pcm = np.concatenate([*decoded, decoder.flush()], axis=1)[:, codec.spec.delay_samples :]
    return audio.resample(pcm, rate, clip.sample_rate)[:, :samples]


def _watched(blocks: Iterable[Array], samples: int, watch: Watch) -> Iterator[Array]:
    done = 0
    for block in blocks:
        watch(done / samples)
        yield block
        done += block.shape[1]
