"""Speed of a codec's parts in CPU time, beside the machine's own matrix product in the same run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from soundstream.codec import DEFAULT_BITRATE, Codec
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream

CLIP_S = 6
GEMM_SIZE = 1024


@dataclass(frozen=True)
class Row:
    """Speed of one part."""

    part: str
    mode: str
    """`offline`: one call a second of audio; `hop by hop`: one call a frame."""
    times_real_time: float
    """Seconds of audio per second of CPU time."""


@dataclass(frozen=True)
class Report:
    """One run of the benchmark; compare ratios, since machines and their load differ."""

    model_id: str
    bitrate: int
    machine: str
    sgemm_gflops: float
    """Rate of a 1024 x 1024 float32 matrix product per CPU second, in the same run."""
    rows: list[Row]
    hop_ms: dict[str, float]
    """Wall time to encode and decode one hop: `median` and `p99`."""

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


def bench(codec: Codec, bitrate: int = DEFAULT_BITRATE, repeats: int = 5) -> Report:
    """Measure encoder, quantizer and decoder offline and hop by hop, in CPU time, on noise."""
    model, count = codec.model, codec.config.quantizers_for(bitrate)
    pcm = np.random.default_rng(0).normal(0, 0.1, (1, CLIP_S * codec.config.sample_rate)).astype(np.float32)
    latents = LatentStream(model, 1).push(pcm)
    codes = model.quantizer.encode(latents, count)
    hop, frames = codec.config.hop_length, latents.shape[2]
    hops = [pcm[:, i * hop : (i + 1) * hop] for i in range(frames)]
    columns = [codes[:, :, i : i + 1] for i in range(frames)]
    parts: list[tuple[str, str, Callable[[], object]]] = [
        ("encoder", "offline", lambda: LatentStream(model, 1).push(pcm)),
        ("encoder", "hop by hop", lambda: _each(LatentStream(model, 1).push, hops)),
        ("quantizer", "offline", lambda: model.quantizer.encode(latents, count)),
        (
            "quantizer",
            "hop by hop",
            lambda: [model.quantizer.encode(latents[:, :, [i]], count) for i in range(frames)],
        ),
        ("decoder", "offline", lambda: DecoderStream(model, 1).push(codes)),
        ("decoder", "hop by hop", lambda: _each(DecoderStream(model, 1).push, columns)),
    ]
    rows = [Row(part, mode, round(CLIP_S / _median_cpu_s(run, repeats), 1)) for part, mode, run in parts]
    return Report(codec.model_id.hex(), bitrate, _machine(), _sgemm_gflops(repeats), rows, _hop_ms(codec, hops, count))


def _each(push: Callable[[np.ndarray], np.ndarray], inputs: list[np.ndarray]) -> None:
    for part in inputs:
        push(part)


def _median_cpu_s(run: Callable[[], object], repeats: int) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def _sgemm_gflops(repeats: int) -> float:
    a = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    return round(2e-9 * GEMM_SIZE**3 / _median_cpu_s(lambda: a @ a, repeats), 1)


def _hop_ms(codec: Codec, hops: list[np.ndarray], count: int) -> dict[str, float]:
    encoder, decoder = EncoderStream(codec.model, 1, count), DecoderStream(codec.model, 1)
    times = []
    for hop in hops:
        start = time.perf_counter()
        decoder.push(encoder.push(hop))
        times.append(1000 * (time.perf_counter() - start))
    return {"median": round(float(np.median(times)), 2), "p99": round(float(np.percentile(times, 99)), 2)}


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
