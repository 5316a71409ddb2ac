"""Speed of a codec's parts in CPU time, beside the machine's own matrix product and other codecs in the same run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.evaluate.provenance import provenance
from soundstream.evaluate.speed import footprint, peers
from soundstream.evaluate.speed.calls import Calls, count_calls
from soundstream.evaluate.speed.peers import WHOLE_DECODE, WHOLE_ENCODE, Peer
from soundstream.evaluate.speed.timing import TimedPart, cpu_seconds, gflops, matrix_product, percentiles, single_thread
from soundstream.runtime.artifact import find
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.side import without_side
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream, new_code_stream
from soundstream.spec import DEFAULT_BITRATE, CodecSpec

CLIP_S = 6


@dataclass(frozen=True)
class SpeedRow:
    """Speed of one part."""

    codec: str
    part: str
    mode: str
    """`offline`: the clip in one call; `hop by hop`: one call a frame."""
    times_real_time: float
    """Seconds of audio per second of CPU time."""
    sgemm_share: float | None
    """Its multiplications a second, divided by those of the machine's own matrix product; 0 to 1."""


@dataclass(frozen=True)
class HopTime:
    """Percentiles of the milliseconds that one hop takes from pcm to bytes to pcm, with plain codes."""

    codec: str
    clock: str
    """`wall` or `cpu`."""
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class SpeedReport:
    """One run of the benchmark; compare ratios, since machines and their load differ."""

    bitrate: int
    """Nominal bit/s."""
    rounds: int
    """Measurements of each row, of which it gives the median."""
    machine: str
    sgemm_gflops: float
    """Rate of a 1024 x 1024 float32 matrix product per CPU second."""
    rows: list[SpeedRow]
    hop_ms: list[HopTime]
    """By model, in wall time and in CPU time, which other work on the machine touches less."""
    calls: list[Calls]
    """By model."""
    peak_memory_mb: int | None
    import_s: float
    install_mb: float
    """Base install, without extras."""
    installed: dict[str, float]
    """The same by distribution."""
    source: dict[str, str | None]
    """Command, commit, artifact, data, date."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where it comes from first."""
        figures = asdict(self)
        return figures.pop("source") | figures


def bench(
    models: Sequence[str | Path] = ("default",),
    bitrate: int = DEFAULT_BITRATE,
    against: Sequence[Peer] = (),
    rounds: int = 5,
    seconds: int = CLIP_S,
) -> SpeedReport:
    """Measure models, and other codecs beside them, on one thread.

    Args:
        models: names of shipped models or artifact folders; memory is that of the first.
        seconds: length of the generated clip.
    Raises:
        CodecError: a package that the measurement needs is not installed.
        ArtifactError, ConfigError: the model or the bit rate do not exist.
    """
    codecs = {find(model).name: load(model) for model in models}
    clips = {name: _clip(codec.spec, seconds) for name, codec in codecs.items()}
    live = {name: codec for name, codec in codecs.items() if codec.spec.is_causal}
    first = next(iter(codecs))
    with single_thread():
        parts = [matrix_product()]
        for name, codec in codecs.items():
            parts += _own_parts(name, codec, clips[name], bitrate)
        for peer in against:
            parts += peers.parts(peer, clips[first][:1], codecs[first].spec.sample_rate, bitrate)
        times = cpu_seconds([part.run for part in parts], rounds)
        hop_ms = [time for name, codec in live.items() for time in _hop_ms(name, codec, clips[name], bitrate)]
        calls = [count_calls(name, codec, clips[name], bitrate) for name, codec in live.items()]
    peak = gflops(parts[0].macs or 0, times[0])
    installed = footprint.install_mb()
    return SpeedReport(
        bitrate=bitrate,
        rounds=rounds,
        machine=_machine(),
        sgemm_gflops=round(peak, 1),
        rows=[_row(part, time, seconds, peak) for part, time in zip(parts[1:], times[1:], strict=True)],
        hop_ms=hop_ms,
        calls=calls,
        peak_memory_mb=footprint.peak_memory_mb(models[0], bitrate),
        import_s=footprint.import_s(),
        install_mb=round(sum(installed.values()), 1),
        installed=installed,
        source=provenance(
            ", ".join(codec.model_id.hex() for codec in codecs.values()), f"{seconds} s of generated speech-like sound"
        ),
    )


def speech_like(seconds: float, sample_rate: int) -> Array:
    """Syllables of a gliding voice over some noise, `[1, samples]`; the same on every call."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time)) / sample_rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 25)) * np.sin(2 * np.pi * 2 * time) ** 2
    noise = np.random.default_rng(0).normal(0, 0.02, len(time))
    return (0.2 * voice + noise).astype(np.float32)[None]


def _clip(spec: CodecSpec, seconds: float) -> Array:
    """The clip for a codec: as many channels as it codes together, all alike."""
    return np.repeat(speech_like(seconds, spec.sample_rate), spec.channels, axis=0)


@dataclass(frozen=True)
class _Stage:
    """A stage of a codec: `start` gives a function that takes one input after the other."""

    codec: str
    part: str
    start: Callable[[], Callable]
    whole: Any
    """The clip as one input."""
    hops: Sequence
    """The clip as one input a frame; none of a codec that is not causal."""
    macs: int | None = None
    """Multiplications with additions of the clip."""

    def parts(self) -> list[TimedPart]:
        """The stage offline and hop by hop."""
        modes = {"offline": [self.whole]} | ({"hop by hop": self.hops} if len(self.hops) else {})
        return [
            TimedPart(self.codec, self.part, mode, _pushing(self.start, inputs), self.macs)
            for mode, inputs in modes.items()
        ]


def _own_parts(name: str, codec: Codec, pcm: Array, bitrate: int) -> list[TimedPart]:
    """Each stage, and the whole way from pcm to the bytes of a file and back."""
    sample_rate = codec.spec.sample_rate
    coded = codec.encode(pcm, sample_rate, bitrate)
    return [
        *(part for stage in _stages(name, codec, pcm, codec.spec.quantizers_for(bitrate)) for part in stage.parts()),
        TimedPart(name, WHOLE_ENCODE, "offline", lambda: codec.encode(pcm, sample_rate, bitrate)),
        TimedPart(name, WHOLE_DECODE, "offline", lambda: codec.decode(coded)),
    ]


def _stages(name: str, codec: Codec, pcm: Array, count: int) -> list[_Stage]:
    model, spec, coder = codec.model, codec.spec, codec.coding.coder(codec.coding.mode(None, count))
    latents = np.concatenate(_through(LatentStream(model, spec.channels), spec)(pcm), axis=2)
    rows = new_code_stream(model, len(latents)).push(latents, count)
    codes, _ = without_side(rows, spec.side_numbers)
    columns = _frames(codes, spec, 1)
    packed, *packed_columns = [(coder.encode(part), part.shape) for part in (codes, *columns)]
    searched, decoded = (
        codes.shape[2] * macs
        for macs in (sum(book.size for book in spec.codebooks[:count]) * spec.latent_dim, model.decoder.macs_per_frame)
    )
    return [
        *_encoders(name, codec, pcm, codes.shape[2]),
        _Stage(
            name,
            "quantizer",
            lambda: partial(new_code_stream(model, len(latents)).push, num_quantizers=count),
            latents,
            _frames(latents, spec, 1),
            searched,
        ),
        _Stage(name, "entropy encoder", lambda: coder.encode, codes, columns),
        _Stage(name, "entropy decoder", lambda: lambda x: coder.decode(*x), packed, packed_columns),
        _Stage(
            name,
            "decoder",
            lambda: _through(DecoderStream(model, spec.channels), spec),
            rows,
            _frames(rows, spec, 1),
            decoded,
        ),
    ]


def _encoders(name: str, codec: Codec, pcm: Array, frames: int) -> list[_Stage]:
    """The encoder, and the encoder while it removes noise if it can."""
    model, spec = codec.model, codec.spec
    hops, macs = _frames(pcm, spec, spec.hop_length), frames * model.encoder.macs_per_frame
    found = [
        _Stage(name, "encoder", lambda: _through(LatentStream(model, spec.channels), spec), pcm, hops, macs),
    ]
    if spec.has_denoise("encoder"):
        macs += frames * (model.denoiser.macs_per_frame if model.denoiser else 0)
        found.append(_Stage(name, "encoder, denoising", lambda: _cleaning(model), pcm, hops, macs))
    return found


def _through(stream: LatentStream | DecoderStream, spec: CodecSpec) -> Callable[[Any], list[Array]]:
    """What takes inputs of a stream and gives its outputs; that of a codec that is not causal takes one, and ends."""
    return lambda x: [stream.push(x)] if spec.is_causal else [stream.push(x), stream.flush()]


def _cleaning(model: Model) -> Callable[[Array], Array]:
    return partial(LatentStream(model, 1).push, denoise=1.0)


def _frames(array: np.ndarray, spec: CodecSpec, length: int) -> list[np.ndarray]:
    """Frame after frame, of a codec that is causal."""
    return _split(array, length) if spec.is_causal else []


def _split(array: np.ndarray, length: int) -> list[np.ndarray]:
    return [array[..., i : i + length] for i in range(0, array.shape[-1] // length * length, length)]


def _pushing(start: Callable[[], Callable], inputs: Iterable) -> Callable[[], None]:
    """A function that starts a stage anew and pushes all inputs through it."""

    def run() -> None:
        push = start()
        for one in inputs:
            push(one)

    return run


def _row(part: TimedPart, cpu_s: float, seconds: float, peak_gflops: float) -> SpeedRow:
    share = part.macs and round(gflops(part.macs, cpu_s) / peak_gflops, 2)
    return SpeedRow(part.codec, part.part, part.mode, round(seconds / cpu_s, 1), share)


def _hop_ms(name: str, codec: Codec, pcm: Array, bitrate: int) -> list[HopTime]:
    """Wall and CPU time of one hop after the other, pcm to plain codes in bytes to pcm."""
    channels = codec.spec.channels
    encoder = EncoderStream(codec.model, channels, EncodeOptions(bitrate, effort=1))
    decoder, coder = DecoderStream(codec.model, channels), codec.coding.coder(codec.coding.mode("none", 1))
    clocks = []
    for hop in _split(pcm, codec.spec.hop_length):
        clocks.append((time.perf_counter(), time.process_time()))
        codes = encoder.push(hop)
        decoder.push(coder.decode(coder.encode(codes), codes.shape))
    clocks.append((time.perf_counter(), time.process_time()))
    spent = zip(("wall", "cpu"), 1000 * np.diff(clocks, axis=0).T, strict=True)
    return [HopTime(name, clock, **percentiles(values)) for clock, values in spent]


def _machine() -> str:
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, ONNX Runtime {onnxruntime.__version__}"
    return f"{platform.system()} {platform.machine()}, {versions}"
