"""Code the example clips at several rates: decoded WAVs, a table and a picture of spectrograms in `out/`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Column, Table

import soundstream
from soundstream import audio
from soundstream.mel import log_mel_distance

CLIPS = Path(__file__).parent / "clips"
BITRATES = (1500, 3000, 6000, 12_000)


def main(out: Path) -> None:
    """Write everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("seconds", "bytes", "measured bit/s", "log-mel distance", "encode", "decode")
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
    draw(rows, out / "spectrograms.png")
    print(f"Listen to {out}/*.wav and look at {out}/spectrograms.png")


def code(pcm: np.ndarray, sample_rate: int, bitrate: int) -> tuple[np.ndarray, list[str]]:
    """Encode and decode; the audio that came back and the cells of the table."""
    start = time.process_time()
    data = soundstream.encode(pcm, sample_rate, bitrate)
    middle = time.process_time()
    decoded, _ = soundstream.decode(data)
    end = time.process_time()
    seconds = pcm.shape[1] / sample_rate
    distance = log_mel_distance(pcm[0], decoded[0], sample_rate)
    return decoded, [
        f"{seconds:.1f}",
        f"{len(data):,}",
        f"{8 * len(data) / seconds:,.0f}",
        f"{distance:.3f}",
        f"{seconds / (middle - start):.0f}x",
        f"{seconds / (end - middle):.0f}x",
    ]


def draw(rows: dict[str, list[tuple[str, np.ndarray, int]]], path: Path) -> None:
    """Spectrograms: a row for each clip, the original and then each rate."""
    figure, axes = plt.subplots(len(rows), len(BITRATES) + 1, figsize=(16, 8), sharey=True, layout="constrained")
    for line, (clip, cells) in zip(axes, rows.items(), strict=True):
        for axis, (title, pcm, sample_rate) in zip(line, cells, strict=True):
            axis.specgram(pcm + 1e-6, NFFT=1024, noverlap=768, Fs=sample_rate, vmin=-130, vmax=-30, cmap="magma")
            axis.set_title(f"{clip}, {title}", fontsize=10)
            axis.set_yticks([0, 4000, 8000, 12_000], ["0", "4", "8", "12 kHz"])
            axis.set_xlabel("seconds", fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out"))
