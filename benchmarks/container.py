"""What the container costs and how fast a place in it is found, on real audio.

    python -m benchmarks.container FOLDER -o docs/results/container.json

Codes are made once with all codebooks; the first of them are the codes of each lower rate.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entropy import BITRATES
from soundstream import audio
from soundstream.arrays import Array, Codes
from soundstream.bitstream import Reader, Writer
from soundstream.codec import Codec, load, packet_frames
from soundstream.evaluate import clips
from soundstream.evaluate.provenance import provenance, write_report

HOUR_S = 3600
LONG_S = 60
"""Audio of so many seconds is measured at a few rates only, for they take minutes."""
PLACES = 60
"""Places that are sought, spread over the hour."""


@dataclass(frozen=True)
class Size:
    """One length at one rate, in the default entropy mode."""

    bitrate: int
    seconds: float
    file_bytes: int
    payload_bytes: int
    overhead: float
    """Bytes besides payloads, over payloads; 0 for no samples."""
    exact: bool
    """Whether a reader found the samples, and the codes, that were written."""


@dataclass(frozen=True)
class Seeking:
    """Places in a file of an hour at 3 kbit/s."""

    file_bytes: int
    find_ms_median: float
    find_ms_worst: float
    """From an open file to the packet to decode, by packet heads alone."""
    decode_ms_median: float
    """The first block of sound after that."""


def size(codec: Codec, codes: Codes, samples: int, bitrate: int) -> Size:
    """Write the codes `[num_quantizers, frames]` of so many samples at a rate, and read them back."""
    kept = codes[None, : codec.spec.quantizers_for(bitrate)]
    data = _file(codec, kept, samples, bitrate)
    reader = Reader(io.BytesIO(data))
    payloads = [0]

    def counted() -> Any:
        for packet in reader:
            payloads.append(len(packet.payload))
            yield packet

    found = np.concatenate([kept[:, :, :0], *codec.coding.unpack(counted(), reader.header)], axis=2)
    payload = sum(payloads)
    return Size(
        bitrate=bitrate,
        seconds=round(samples / codec.spec.sample_rate, 2),
        file_bytes=len(data),
        payload_bytes=payload,
        overhead=round((len(data) - payload) / payload, 5) if payload else 0.0,
        exact=reader.num_samples == samples and np.array_equal(found, kept),
    )


def _file(codec: Codec, kept: Codes, samples: int, bitrate: int) -> bytes:
    header, stream = codec.header(codec.spec.sample_rate, 1, bitrate, samples), io.BytesIO()
    writer, length = Writer(stream, header), packet_frames(header)
    parts = (kept[:, :, start : start + length] for start in range(0, kept.shape[2], length))
    for packet in codec.coding.pack(parts, header.entropy_mode):
        writer.write(packet)
    writer.finish(samples)
    return stream.getvalue()


def seeking(codec: Codec, codes: Codes, folder: Path) -> Seeking:
    """Seek in a file of an hour, made of these codes again and again, that lies in a folder."""
    frames = int(HOUR_S * codec.spec.frame_rate)
    kept = np.resize(codes[:4].T, (frames, 4)).T[None]
    path = folder / "hour.nac"
    path.write_bytes(_file(codec, kept, HOUR_S * codec.spec.sample_rate, codec.spec.bitrate(4)))
    found = [_seek(codec, path, second) for second in np.linspace(1, HOUR_S - 10, PLACES).tolist()]
    finds, decodes = zip(*found, strict=True)
    return Seeking(
        path.stat().st_size,
        round(float(np.median(finds)), 2),
        round(max(finds), 2),
        round(float(np.median(decodes)), 1),
    )


def _seek(codec: Codec, path: Path, second: float) -> tuple[float, float]:
    """Milliseconds to find a place, and from there to its sound."""
    with path.open("rb") as stream:
        start = time.perf_counter()
        Reader(stream).skip_to(int(second * codec.spec.frame_rate))
        found = time.perf_counter()
        stream.seek(0)
        next(block for block in codec.read(Reader(stream), second) if block.size)
        return 1000 * (found - start), 1000 * (time.perf_counter() - found) - 1000 * (found - start)


def sound(folder: Path, seconds: float, sample_rate: int) -> Array:
    """The clips of a folder one after another, again and again until it is so long `[1, samples]`."""
    wanted, parts = int(seconds * sample_rate), list[Array]()
    have = 0
    for clip in cycle(clips.find(folder)):
        if have >= wanted:
            return np.concatenate(parts)[None, :wanted]
        pcm, rate = clips.read(clip)
        parts.append(audio.resample(pcm[None], rate, sample_rate)[0])
        have += len(parts[-1])
    raise AssertionError("cycle does not end")


def measure(codec: Codec, folder: Path, output: Path, lengths_s: Sequence[float]) -> dict[str, Any]:
    """Sizes of every length at every rate, from LONG_S at some, and places found in an hour."""
    pcm = sound(folder, max(lengths_s), codec.spec.sample_rate)
    codes = codec.to_codes(pcm, codec.spec.sample_rate, codec.spec.bitrate(codec.spec.num_quantizers))
    sizes = []
    for seconds in lengths_s:
        samples = int(seconds * codec.spec.sample_rate)
        frames = -(-(samples + codec.spec.delay_samples) // codec.spec.hop_length) if samples else 0
        for bitrate in _rates(codec, seconds):
            sizes.append(asdict(size(codec, codes[:, :frames], samples, bitrate)))
    return {"rows": sizes, "hour": asdict(seeking(codec, codes, output))}


def _rates(codec: Codec, seconds: float) -> list[int]:
    """Every rate, or a few for long audio."""
    rates = [codec.spec.bitrate(count) for count in range(1, codec.spec.num_quantizers + 1)]
    return rates if seconds < LONG_S else [rate for rate in rates if rate in BITRATES]


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description="Measure the container.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="default")
    args = parser.parse_args()
    codec = load(args.model)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(codec, args.folder, Path(folder), (0.0, 10.0, 600.0))
    report = provenance(codec.model_id.hex(), f"clips of {args.folder.name}/ one after another") | found
    write_report(args.output, report)


if __name__ == "__main__":
    main()
