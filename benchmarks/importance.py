"""A count of codebooks for every frame of `base`, by a network that tells how much each needs: what would it gain?

    python -m benchmarks.importance ../shared/data -o docs/results/importance.json --cache importance.npz

The codec stays as it is. For excerpts of speech the error of decoded sound is measured frame by frame at several
constant counts of codebooks. A small network learns to share out codebooks by the latents alone, so that this error
falls while their sum stays: its output for a frame, scaled, is the frame's count. Files then have, at equal bytes,

    constant    as many codebooks in all frames
    vbr         `encode --vbr`: as many in all frames of a packet
    head        counts by the network, as VRVQ has them
    measured    counts by the measured error itself, which no encoder knows without decoding: what a head could reach
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.effort import first_of, known
from soundstream.analysis.mel import filterbank, window_function
from soundstream.arrays import Array, Codes
from soundstream.bitstream import Writer
from soundstream.codec import Codec, load
from soundstream.codec.writing import in_packets, packet_frames
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.statistics import mean_of, paired_difference
from soundstream.runtime.quantizer import DEFAULT_EFFORT
from soundstream.runtime.stream import DecoderStream, LatentStream, new_code_stream

Counts = NDArray[np.int64]

TRIED = (4, 5, 6, 7, 8, 10, 13, 17)
"""Counts at which the error is measured; the first has the codes of levels. Between them it is a line."""
CONSTANT = (5, 8)
"""Counts of the constant rates: about 3 and 6 kbit/s before entropy coding takes some away."""
METRICS = ("pesq", "visqol-speech", "stoi")
WINDOWS = (512, 1024, 2048)
"""Of the spectra that are compared."""
LOUDNESS = 0.3
"""Power of the amplitudes that are compared, between that of loudness and the logarithm."""
STEPS, BATCH, PIECE, RATE = 2000, 8, 225, 1e-3
"""Training steps, excerpts of a step, their frames, and the learning rate."""
HELD = 0.8
"""A count stays while what is wanted lies no further from its middle: changes take bits."""


class Excerpt(NamedTuple):
    """A sound, its latents, and the error of each frame at each of the counts tried."""

    pcm: Array
    latents: Array
    """`[latent_dim, frames]`."""
    errors: Array
    """`[counts tried, frames]`."""


class Head(nn.Module):
    """Latents `[batch, latent_dim, frames]` to what a frame needs, above 0, `[batch, frames]`."""

    def __init__(self, channels: int, width: int = 96, kernel: int = 5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, kernel, padding=kernel // 2),
            nn.GELU(),
            nn.Conv1d(width, width, kernel, padding=kernel // 2),
            nn.GELU(),
            nn.Conv1d(width, 1, 1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        found: Tensor = functional.softplus(self.layers(self.norm(latents)))[:, 0] + 0.05
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with train/ and valid/, each with speech/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="a file for the errors of the training's excerpts")
    parser.add_argument("--train", type=int, default=20, help="excerpts that the network learns from")
    parser.add_argument("--valid", type=int, default=10, help="excerpts that are measured")
    args = parser.parse_args()
    torch.manual_seed(0)
    codec = load()
    if not args.cache.exists():
        save(
            [*excerpts(codec, first_of(args.data / "train", "speech", args.train, codec.spec.sample_rate))], args.cache
        )
    head, log = trained(loaded(args.cache))
    heard = [*excerpts(codec, first_of(args.data / "valid", "speech", args.valid, codec.spec.sample_rate))]
    log |= {"shared_error": round(float(shared_error(head, heard)), 4)}
    rows = [row for count in CONSTANT for row in rows_of(codec, head, heard, count)]
    told = f"{len(heard)} excerpts of valid/speech; {args.train} of train/speech for the network"
    write_report(args.output, provenance(codec.model_id.hex(), told) | {"training": log, "rows": rows})


# what is measured of sound


def excerpts(codec: Codec, sounds: Sequence[Array]) -> Iterator[Excerpt]:
    """Sounds with their latents and errors."""
    for pcm in sounds:
        stream = LatentStream(codec.model, 1)
        latents = np.concatenate([stream.push(pcm[None]), stream.flush()], axis=2)
        constant = (np.full((1, latents.shape[2]), count) for count in TRIED)
        decoded = (heard(codec, coded(codec, latents, counts, effort=1), len(pcm)) for counts in constant)
        errors = np.stack([frame_errors(pcm, one, latents.shape[2], codec.spec) for one in decoded])
        yield Excerpt(pcm, latents[0], np.minimum.accumulate(errors, axis=0))


def coded(codec: Codec, latents: Array, counts: Counts, effort: int = DEFAULT_EFFORT) -> Codes:
    """Codes `[1, most, frames]` of latents `[1, latent_dim, frames]`, as many in a frame as it is to have."""
    most = int(counts.max())
    return new_code_stream(codec.model, 1).push(latents, most, effort, None if (counts == most).all() else counts)


def heard(codec: Codec, codes: Codes, samples: int) -> Array:
    """What codes decode to `[samples]`."""
    stream = DecoderStream(codec.model, 1)
    return np.concatenate([stream.push(codes), stream.flush()], axis=1)[0, codec.spec.delay_samples :][:samples]


def frame_errors(reference: Array, decoded: Array, frames: int, spec: Any) -> Array:
    """Mean difference of compressed mel amplitudes around each frame `[frames]`."""
    pairs = ([_spectra(x, window, frames, spec) for x in (reference, decoded)] for window in WINDOWS)
    found = np.mean([np.abs(a - b).mean(axis=1) for a, b in pairs], axis=0)
    return np.asarray(found, np.float32)


def _spectra(pcm: Array, window: int, frames: int, spec: Any) -> Array:
    """Compressed mel amplitudes `[frames, bins]`, each of the window around the middle of a frame."""
    before = window // 2 - spec.hop_length // 2
    padded = np.pad(pcm, (before, window + frames * spec.hop_length - len(pcm)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, window)[:: spec.hop_length][:frames]
    amplitudes = np.abs(np.fft.rfft(cut * window_function(window), axis=-1))
    return np.asarray((amplitudes @ filterbank(window, spec.sample_rate).T) ** LOUDNESS, np.float32)


def save(found: list[Excerpt], path: Path) -> None:
    """Latents and errors of excerpts of one length."""
    frames = min(excerpt.latents.shape[1] for excerpt in found)
    latents, errors = (np.stack([x[..., :frames] for x in parts]) for parts in list(zip(*found, strict=True))[1:])
    np.savez(path, latents=latents, errors=errors)


def loaded(path: Path) -> tuple[Tensor, Tensor]:
    """Inverse of `save`: latents `[excerpts, latent_dim, frames]` and errors `[excerpts, counts tried, frames]`."""
    found = np.load(path)
    return torch.from_numpy(found["latents"]), torch.from_numpy(found["errors"])


# the network


def trained(data: tuple[Tensor, Tensor]) -> tuple[Head, dict[str, Any]]:
    """A network that shares out codebooks: of any mean count, errors fall while the mean stays."""
    latents, errors = data
    head = Head(latents.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    losses = []
    for _ in range(STEPS):
        excerpt, start = torch.randint(len(latents), (BATCH,)), int(torch.randint(latents.shape[2] - PIECE + 1, ()))
        piece = slice(start, start + PIECE)
        loss = relative_error(head(latents[excerpt, :, piece]), errors[excerpt, :, piece], 4.5 + 6 * torch.rand(()))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    figures = {"parameters": sum(p.numel() for p in head.parameters()), "steps": STEPS}
    return head.eval(), figures | {"error_last_100": round(float(np.mean(losses[-100:])), 4)}


def relative_error(needs: Tensor, errors: Tensor, mean_count: Tensor | float) -> Tensor:
    """Error of counts that follow what frames need, over that of a constant count; 1 is no gain."""
    counts = needs * (mean_count / needs.mean(dim=-1, keepdim=True))
    counts = counts.clamp(TRIED[0], TRIED[-1])
    counts = counts * (mean_count / counts.mean(dim=-1, keepdim=True))
    same = torch.full_like(counts, float(mean_count))
    return (error_at(errors, counts).mean(-1) / error_at(errors, same).mean(-1)).mean()


def error_at(errors: Tensor, counts: Tensor) -> Tensor:
    """Errors `[batch, frames]` at counts between those tried."""
    tried = torch.tensor(TRIED, dtype=torch.float32)
    place = torch.searchsorted(tried, counts.detach().contiguous(), right=True).clamp(1, len(TRIED) - 1)
    share = ((counts - tried[place - 1]) / (tried[place] - tried[place - 1])).clamp(0, 1)
    low, high = (torch.gather(errors, 1, at[:, None])[:, 0] for at in (place - 1, place))
    return low + share * (high - low)


@torch.no_grad()
def shared_error(head: Head, heard: Sequence[Excerpt]) -> float:
    """`relative_error` of excerpts that the network does not know, at the first constant count."""
    pairs = ((torch.from_numpy(x.latents)[None], torch.from_numpy(x.errors)[None]) for x in heard)
    return float(np.mean([float(relative_error(head(a), b, float(CONSTANT[0]))) for a, b in pairs]))


# files of equal bytes


def rows_of(codec: Codec, head: Head, heard_: Sequence[Excerpt], count: int) -> Iterator[dict[str, Any]]:
    """A row for each way to share out codebooks; gains are over the constant count, clip by clip."""
    ways: dict[str, Callable[[Excerpt], tuple[int, Array]]] = {
        "constant": partial(constant, codec, count),
        "vbr": partial(vbr, codec, count),
        "head": partial(by_head, codec, head, count),
        "measured": partial(by_error, codec, count),
        "constant, one more": partial(constant, codec, count + 1),
    }
    found = {name: [scored(excerpt, *way(excerpt), codec) for excerpt in heard_] for name, way in ways.items()}
    for name, clips in found.items():
        row: dict[str, Any] = {"nominal": codec.spec.bitrate(count), "way": name, "n": len(clips)}
        row["bitrate"] = round(float(np.mean([clip["bitrate"] or 0 for clip in clips])), 1)
        for metric in METRICS:
            own, base = ({str(i): clip[metric] for i, clip in enumerate(found[key])} for key in (name, "constant"))
            mean, gain = mean_of([*known(own).values()]), paired_difference(known(own), known(base))
            row |= {metric: round(mean.mean, 4) if mean else None}
            if gain:
                row |= {f"{metric}_gain": round(gain.mean, 4)}
                row |= {f"{metric}_gain_error": round(gain.standard_error or 0.0, 4)}
        yield row


def scored(excerpt: Excerpt, size: int, decoded: Array, codec: Codec) -> dict[str, float | None]:
    """Bit/s and metrics of a file of so many bytes and what it decodes to."""
    rate = codec.spec.sample_rate
    found = {metric.name: measure(metric, excerpt.pcm, decoded, rate) for metric in select(METRICS)}
    return found | {"bitrate": 8 * size * rate / len(excerpt.pcm)}


def constant(codec: Codec, count: int, excerpt: Excerpt) -> tuple[int, Array]:
    """Bytes and sound at a constant count."""
    return file_of(codec, excerpt, np.full((1, excerpt.latents.shape[1]), count))


def vbr(codec: Codec, count: int, excerpt: Excerpt) -> tuple[int, Array]:
    """The same with `--vbr`."""
    data = codec.encode(excerpt.pcm, codec.spec.sample_rate, codec.spec.bitrate(count), vbr=True)
    return len(data), codec.decode(data)[0][0]


def by_head(codec: Codec, head: Head, count: int, excerpt: Excerpt) -> tuple[int, Array]:
    """The same with the counts of the network."""
    with torch.no_grad():
        needs = head(torch.from_numpy(excerpt.latents)[None]).numpy()
    return filled(codec, excerpt, count, lambda scale: steady(needs[0] * scale))


def by_error(codec: Codec, count: int, excerpt: Excerpt) -> tuple[int, Array]:
    """The same with counts by the measured error: a codebook goes where it falls most."""
    counts = np.arange(TRIED[0], TRIED[-1] + 1)
    errors = np.stack([np.interp(counts, TRIED, frame) for frame in excerpt.errors.T])
    slopes = np.minimum.accumulate(-np.diff(errors, axis=1), axis=1) / errors[:, count - TRIED[0]].mean()
    return filled(codec, excerpt, count, lambda scale: steady(TRIED[0] + (slopes > 1 / scale).sum(axis=1) + 0.5))


def steady(wanted: NDArray[Any]) -> Counts:
    """Counts `[1, frames]` near those wanted that change seldom."""
    counts, last = [], float(wanted[0])
    for want in wanted:
        last = last if abs(want - last) <= HELD else round(float(want))
        counts.append(round(last))
    return np.array([counts]).clip(TRIED[0], TRIED[-1])


def filled(codec: Codec, excerpt: Excerpt, count: int, shared: Callable[[float], Counts]) -> tuple[int, Array]:
    """Bytes and sound of the counts at the largest scale whose file is no larger than that of a constant count."""
    budget = file_of(codec, excerpt, np.full((1, excerpt.latents.shape[1]), count), decode=False)[0]
    low, high = 0.1, 1e4
    for _ in range(9):
        middle = float(np.sqrt(low * high))
        size = file_of(codec, excerpt, shared(middle), decode=False)[0]
        low, high = (middle, high) if size <= budget else (low, middle)
    return file_of(codec, excerpt, shared(low))


def file_of(codec: Codec, excerpt: Excerpt, counts: Counts, decode: bool = True) -> tuple[int, Array]:
    """Bytes of a file with these counts, and what it decodes to; sizes alone are found by a quick search for codes."""
    codes = coded(codec, excerpt.latents[None], counts, DEFAULT_EFFORT if decode else 1)
    varies, rate = bool((codes < 0).any()), codec.spec.sample_rate
    most = codec.spec.bitrate(codes.shape[1])
    header = codec.header(rate, 1, most, len(excerpt.pcm), entropy="best", frame_counts=varies)
    writer = Writer(file := io.BytesIO(), header)
    frames = packet_frames(codec.header(rate, 1, codec.spec.bitrate(CONSTANT[0])))
    for packet in codec.coding.pack(in_packets([codes], codec.spec, frames), header.entropy_mode, varies):
        writer.write(packet)
    writer.finish(len(excerpt.pcm))
    size = len(file.getvalue())
    return size, heard(codec, codes, len(excerpt.pcm)) if decode else np.zeros(0, np.float32)


if __name__ == "__main__":
    main()
