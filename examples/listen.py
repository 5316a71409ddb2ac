"""Code the example clips at several rates: decoded WAVs, a table and a picture of spectrograms in `out/`.

Where the model has the denoise switch, a noisy clip is coded with the switch off, half way and on as well.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

import soundstream
from soundstream import audio
from soundstream.analysis.drawing import spectrograms
from soundstream.evaluate.clips import noisy_pair
from soundstream.evaluate.metrics import REGISTRY, measure

CLIPS = Path(__file__).parent / "clips"
BITRATES = (1500, 3000, 6000, 12_000)
METRICS = ("si-sdr", "log-mel")
SNR_DB, NOISY_BITRATE = 5, 6000
SWITCH = {"off": 0.0, "half": 0.5, "on": 1.0}

Cell = tuple[str, np.ndarray, int]
"""Title, audio `[samples]` and sample rate in Hz."""


def main(out: Path) -> None:
    """Write everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    columns = ("bytes", "bit/s", *(REGISTRY[name].title for name in METRICS), "encode", "decode")
    table = Table("clip", "bitrate", *(Column(name, justify="right") for name in columns))
    codec = soundstream.load()
    rows: dict[str, list[Cell]] = {}
    for path in sorted(CLIPS.glob("*.flac")):
        pcm, sample_rate = audio.read(path)
        rows[path.stem] = [("original", pcm[0], sample_rate)]
        for bitrate in BITRATES:
            decoded, cells = code(pcm, sample_rate, bitrate)
            table.add_row(path.stem, str(bitrate), *cells)
            rows[path.stem].append((f"{bitrate} bit/s", decoded[0], sample_rate))
            save(out / f"{path.stem}_{bitrate}.wav", decoded, sample_rate)
    if codec.spec.has_denoise("encoder"):
        rows["noisy"] = denoised(codec, out)
    Console().print(table)
    spectrograms(out / "spectrograms.png", rows)
    print(f"Listen to {out}/*.wav and look at {out}/spectrograms.png")


def denoised(codec: soundstream.Codec, out: Path) -> list[Cell]:
    """Speech in a storm: clean, noisy, and coded with the switch at several places; all but the first as WAVs too."""
    (speech, sample_rate), (ambient, _) = (audio.read(CLIPS / f"{name}.flac") for name in ("speech", "ambient"))
    clean, noisy = noisy_pair(speech[0], ambient[0], SNR_DB)
    cells = [("clean", clean, sample_rate), (f"with noise, {SNR_DB} dB", noisy, sample_rate)]
    save(out / "noisy.wav", noisy[None], sample_rate)
    for name, denoise in SWITCH.items():
        decoded, _ = codec.decode(codec.encode(noisy, sample_rate, NOISY_BITRATE, denoise=denoise))
        save(out / f"noisy_{NOISY_BITRATE}_{name}.wav", decoded, sample_rate)
        cells.append((f"{NOISY_BITRATE} bit/s, denoise {name}", decoded[0], sample_rate))
    return cells


def save(path: Path, pcm: np.ndarray, sample_rate: int) -> None:
    """Write pcm `[channels, samples]` as WAV."""
    with audio.open_writer(path, sample_rate, len(pcm), force=True) as writer:
        writer.write(pcm)


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
