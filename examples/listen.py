"""Code the example clips at several rates: decoded WAVs, a table and a picture of spectrograms in `out/`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

import soundstream
from soundstream import audio
from soundstream.drawing import spectrograms
from soundstream.evaluate.metrics import REGISTRY, measure

CLIPS = Path(__file__).parent / "clips"
BITRATES = (1500, 3000, 6000, 12_000)
METRICS = ("si-sdr", "log-mel")


def main(out: Path) -> None:
    """Write everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("bytes", "bit/s", *(REGISTRY[name].title for name in METRICS), "encode", "decode")
    table = Table("clip", "bitrate", *(Column(name, justify="right") for name in columns))
    soundstream.load()
    rows: dict[str, list[tuple[str, np.ndarray, int]]] = {}
    for path in sorted(CLIPS.glob("*.flac")):
        pcm, sample_rate = audio.read(path)
        rows[path.stem] = [("original", pcm[0], sample_rate)]
        for bitrate in BITRATES:
            decoded, cells = code(pcm, sample_rate, bitrate)
            table.add_row(path.stem, str(bitrate), *cells)
            rows[path.stem].append((f"{bitrate} bit/s", decoded[0], sample_rate))
            with audio.open_writer(out / f"{path.stem}_{bitrate}.wav", sample_rate, len(decoded), force=True) as writer:
                writer.write(decoded)
    Console().print(table)
    spectrograms(out / "spectrograms.png", rows)
    print(f"Listen to {out}/*.wav and look at {out}/spectrograms.png")


def code(pcm: np.ndarray, sample_rate: int, bitrate: int) -> tuple[np.ndarray, list[str]]:
    """Encode and decode; the audio that came back and the cells of the table."""
    start = time.process_time()
    data = soundstream.encode(pcm, sample_rate, bitrate)
    middle = time.process_time()
    decoded, _ = soundstream.decode(data)
    end = time.process_time()
    seconds = pcm.shape[1] / sample_rate
    scores = [measure(REGISTRY[name], pcm[0], decoded[0], sample_rate) for name in METRICS]
    return decoded, [
        f"{len(data):,}",
        f"{8 * len(data) / seconds:,.0f}",
        *("–" if score is None else f"{score:.3f}" for score in scores),
        f"{seconds / (middle - start):.0f}x",
        f"{seconds / (end - middle):.0f}x",
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out"))
