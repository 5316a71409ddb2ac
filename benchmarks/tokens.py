"""How fast a corpus becomes tokens and is read again: python -m benchmarks.tokens CLIPS -o docs/results/tokens.json

Pieces of the clips, of equal length and in shards of equal size, are tokenized on one process, on two, and by two runs
that know nothing of each other, which is what the machine has to give; in turns, the median counts. The rate is that
between the first shards, after models are loaded, and the last one. Also: memory for a short and a long file, and
random pieces a second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from soundstream import audio, load, tokens
from soundstream.evaluate import clips
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.runtime.options import EncodeOptions

PIECE_S, PIECES, PIECES_A_SHARD = 10, 16, 2
BITRATES = (3000,)
ROUNDS = 3
EFFORT = EncodeOptions().effort
RUNS = (1, 2)
"""Processes of a run."""
FILES_MIN = (1, 20)
READS, READ_FRAMES = 10_000, 150
CORPUS_H = 100_000
_CODE = """
import pathlib, sys
from soundstream import tokens
from soundstream.runtime.options import EncodeOptions
how = EncodeOptions(int(sys.argv[3]), effort=int(sys.argv[5]))
tokens.tokenize([sys.argv[1]], sys.argv[2], how, jobs=1, shard_mb=float(sys.argv[4]))
print(pathlib.Path("/proc/self/status").read_text())
"""


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        work = Path(name)
        shard_mb = write_pieces(args.clips, work)
        rows = [row for bitrate in BITRATES for row in rates(work, bitrate, shard_mb, args.rounds)]
        report = {
            "rows": rows,
            "corpus": [calculated(work, row) for row in rows if row["run"] == "1 process"],
            "reading": reading(work / "tokens"),
            "memory": [memory(work, minutes) for minutes in FILES_MIN],
        }
    about = provenance(load().model_id.hex(), f"{PIECES} pieces of {PIECE_S} s of speech, music and ambient sound")
    write_report(args.output, about | report)


def write_pieces(folder: Path, work: Path) -> float:
    """Equal pieces of the clips, in two halves; megabytes of a shard of them."""
    for number, pcm in enumerate(islice(_pieces(folder), PIECES)):
        place = work / "pieces" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{number:02}.wav", pcm, load().spec.sample_rate, subtype="PCM_16")
    size = (work / "pieces" / "0" / "00.wav").stat().st_size
    return (PIECES_A_SHARD - 0.5) * size / 1e6


def _pieces(folder: Path) -> Iterator[np.ndarray]:
    """Pieces `[samples]` of all clips, of one after another of each class in turn."""
    rate, classes = load().spec.sample_rate, dict[str, list[clips.Clip]]()
    for clip in clips.find(folder):
        classes.setdefault(clip.content_class, []).append(clip)
    for together in zip(*classes.values(), strict=False):
        for clip in together:
            pcm, found = audio.read(clip.path)
            pcm = np.tile(audio.resample(pcm, found, rate)[0], 1 + PIECE_S * rate // pcm.shape[1])
            yield pcm[: PIECE_S * rate]


def rates(work: Path, bitrate: int, shard_mb: float, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each kind of run at a bit rate."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for jobs in RUNS:
            name = f"{jobs} process{'es' * (jobs > 1)}"
            found.setdefault(name, []).append(one_run(work, bitrate, shard_mb, jobs))
        found.setdefault("2 runs apart", []).append(apart(work, bitrate, shard_mb))
    alone = statistics.median(rate for rate, _ in found["1 process"])
    for name, pairs in found.items():
        rate, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
        count = 1 if name == "1 process" else 2
        yield {
            "run": name,
            "bitrate": bitrate,
            "hours_per_hour": round(rate, 2),
            "hours_per_core_hour": round(cpu, 2),
            "share_of_cores": round(rate / (count * alone), 3),
        }


def one_run(work: Path, bitrate: int, shard_mb: float, jobs: int) -> tuple[float, float]:
    """Seconds of sound a second, and a second of CPU of the whole run, start and all."""
    seen: list[tuple[float, float]] = []
    before = _cpu_s()
    tokens.tokenize(
        [work / "pieces"],
        work / "tokens",
        EncodeOptions(bitrate),
        jobs=jobs,
        shard_mb=shard_mb,
        force=True,
        watch=lambda progress: seen.append((time.perf_counter(), progress.duration_s)),
    )
    (start, early), (end, all_s) = seen[max(RUNS)], seen[-1]
    return (all_s - early) / (end - start), all_s / (_cpu_s() - before)


def _cpu_s() -> float:
    import resource

    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))


def apart(work: Path, bitrate: int, shard_mb: float) -> tuple[float, float]:
    """The same of two runs at once, each of half the pieces, by the times of their shards."""
    before = _cpu_s()
    places = [work / f"apart{half}-{time.monotonic_ns()}" for half in (0, 1)]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", _CODE, work / "pieces" / str(half), place, str(bitrate), str(shard_mb), str(EFFORT)],
            stdout=subprocess.DEVNULL,
        )
        for half, place in enumerate(places)
    ]
    assert not any(run.wait() for run in runs)
    times = [sorted(path.stat().st_mtime for path in place.glob("*.tar")) for place in places]
    shard_s = PIECES_A_SHARD * PIECE_S
    together = sum((len(one) - 1) * shard_s / (one[-1] - one[0]) for one in times)
    return together, PIECES * PIECE_S / (_cpu_s() - before)


def calculated(work: Path, row: dict[str, Any]) -> dict[str, Any]:
    """What a large corpus takes at the speed of one process here."""
    made = tokens.open(work / "tokens")
    bytes_a_second = made.num_quantizers * 2 * made.spec.frame_rate * row["bitrate"] / made.header.settings.bitrate
    core_hours = CORPUS_H / row["hours_per_core_hour"]
    return {
        "hours": CORPUS_H,
        "bitrate": row["bitrate"],
        "core_hours": round(core_hours),
        "days_on_100_cores": round(core_hours / 100 / 24, 1),
        "gigabytes": round(bytes_a_second * 3600 * CORPUS_H / 1e9),
    }


def reading(place: Path) -> dict[str, Any]:
    """Random pieces a second, of one process."""
    opened, rng = tokens.open(place), np.random.default_rng(0)
    sounds = rng.integers(0, len(opened), READS)
    starts = rng.integers(0, int(PIECE_S * opened.spec.frame_rate) - READ_FRAMES, READS)
    begin = time.perf_counter()
    for sound, start in zip(sounds, starts, strict=True):
        opened.codes(int(sound), int(start), READ_FRAMES)
    return {"pieces": READS, "frames": READ_FRAMES, "a_second": round(READS / (time.perf_counter() - begin))}


def memory(work: Path, minutes: int) -> dict[str, Any]:
    """Peak memory of a process that tokenizes a file of so many minutes, which does not depend on the effort."""
    rate = load().spec.sample_rate
    file = work / f"{minutes}.flac"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.05, 60 * minutes * rate), rate)
    command = [sys.executable, "-c", _CODE, str(file), str(work / f"memory{minutes}"), "3000", "1", "1"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return {"minutes": minutes, "peak_memory_mb": peak // 1024}


if __name__ == "__main__":
    main()
