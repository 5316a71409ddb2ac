"""Damaged files by the thousand: only named errors, bounded memory and time.

    python -m benchmarks.fuzz_files --files 1000000 -o docs/results/fuzz.json

Small valid files of every kind in every entropy mode are damaged, in every simple way at every place and at random, and
read twice: strictly, where a named error may end it, and with repair, where nothing may. Codes are checked, audio is
not made.
A failure is printed with its number; the same seed gives it again.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import damage
from soundstream.bitstream import Header, Packet, Reader, RepairingReader, Writer
from soundstream.codec.packing import MODES, Coding
from soundstream.entropy import Tables
from soundstream.entropy.bounds import TOTAL
from soundstream.entropy.frequencies import exponentials
from soundstream.errors import BitstreamError
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.runtime.side import with_side

SHAPE = QUANTIZERS, SIZE, DIM = 4, 32, 8
HIDDEN = 16
HEADER: dict[str, Any] = {
    "model_id": b"fuzzfuzz",
    "sample_rate": 24_000,
    "codec_sample_rate": 24_000,
    "hop_length": 320,
    "codebook_bits": 5,
    "num_quantizers": QUANTIZERS,
    "tags": {"title": "x"},
}
STACK = ((5, 2), (4, 1), (5, 4), (3, 1))
"""Bits and strides of the codebooks of one kind."""
FRAMES, PACKETS = 4, 4
SUSPECT = 2.0
"""A file that takes so many times as long as its valid one is timed again."""
NOTED = 10_000
"""Files between two notes of what was found."""
REPEATS = 5
"""A time is the least of so many: a busy machine delays any call."""


class Case(NamedTuple):
    """A damaged file."""

    which: int
    """Place of its valid file in the target."""
    data: bytes
    systematic: bool


@dataclass
class Report:
    """What a run found."""

    files: int = 0
    systematic: int = 0
    """Files of them that were damaged in every way at every place, not at random."""
    seconds: float = 0.0
    refused: int = 0
    """Files that the strict reader refused with a named error."""
    accepted: int = 0
    """Files that it read: damage that leaves a valid file, such as the removal of nothing."""
    packets_saved: int = 0
    """Packets that repair got out of refused files."""
    changed: int = 0
    """Files that gave codes other than those written: only damage with a mended or equal checksum can."""
    failures: int = 0
    """Exceptions that are no named error."""
    slowest_over_valid: float = 0.0
    """CPU time of the slowest damaged file over that of the valid one in its mode, for as many codes as it claims."""
    slowest_ms: float = 0.0
    """Its longest CPU time, whatever it claims."""
    memory_growth_mb: float = 0.0
    """Rise of the highest resident memory during the run."""


class Kind(NamedTuple):
    """Valid files of one kind."""

    codes: np.ndarray
    """Of each packet `[streams, num_quantizers, frames]`, side numbers behind them."""
    coding: Coding
    fields: dict[str, Any]
    """Of the header, beside those that all kinds share."""


class Target:
    """Valid files of a small made-up model, and reading them."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._codebooks = self._rng.normal(0, 1, SHAPE).astype(np.float16).astype(np.float32)
        plain = Coding(5, self._codebooks, _tables(self._rng))
        shapes = ((1 + i % 2, 1 + i % QUANTIZERS, FRAMES) for i in range(4))
        kinds = [Kind(self._rng.integers(0, SIZE, shape), plain, {"channels": shape[0]}) for shape in shapes]
        kinds += [self._counted(plain), self._stacked(), self._joint()]
        self.codes = [kind.codes for kind in kinds]
        self.files = [self._file(kind, mode) for kind in kinds for mode in range(len(MODES))]
        self._codings = {_form(Header(**HEADER | kind.fields)): kind.coding for kind in kinds}

    def _counted(self, coding: Coding) -> Kind:
        """Frames of several numbers of codebooks."""
        codes = self._rng.integers(0, SIZE, (2, QUANTIZERS, FRAMES))
        counts = self._rng.integers(1, QUANTIZERS + 1, (2, 1, FRAMES))
        codes = np.where(np.arange(QUANTIZERS)[:, None] < counts, codes, -1)
        return Kind(codes, coding, {"channels": 2, "frame_counts": True})

    def _stacked(self) -> Kind:
        """Codebooks of several sizes and strides."""
        sizes, strides = ([1 << bits for bits, _ in STACK], [stride for _, stride in STACK])
        codes, frame = self._rng.integers(0, SIZE, (2, len(STACK), FRAMES)), np.arange(FRAMES)
        rows = [codes[:, q, frame - frame % strides[q]] % sizes[q] for q in range(len(STACK))]
        coding = Coding(5, self._codebooks, _tables(self._rng, sizes), STACK)
        return Kind(np.stack(rows, axis=1), coding, {"channels": 2, "stack": STACK})

    def _joint(self) -> Kind:
        """Channels together, and a number beside the codes of each segment."""
        coding = Coding(5, self._codebooks, _tables(self._rng), (), 1)
        side = np.repeat(self._rng.normal(size=(2, 1, 1)).astype(np.float32), FRAMES, axis=2)
        codes = with_side(self._rng.integers(0, SIZE, (2, 3, FRAMES)), side)
        return Kind(codes, coding, {"channels": 3, "joint_channels": 2, "side_numbers": 1})

    def _file(self, kind: Kind, mode: int) -> bytes:
        stream, frames = io.BytesIO(), kind.codes.shape[2]
        header = Header(**HEADER | kind.fields | {"entropy_mode": mode})
        writer = Writer(stream, header)
        for packet in kind.coding.pack([kind.codes] * PACKETS, mode, header.frame_counts):
            writer.write(packet)
        writer.finish(PACKETS * frames * 320)
        return stream.getvalue()

    def claims(self, data: bytes) -> tuple[int, int]:
        """The entropy mode of a damaged file, and how many codes its packets say they hold; at least 1."""
        try:
            reader = RepairingReader(io.BytesIO(data))
        except BitstreamError:
            return 0, 1
        codes = sum(packet.frames * packet.num_quantizers for packet in reader if isinstance(packet, Packet))
        return reader.header.entropy_mode, max(1, codes * reader.header.channels)

    def _coding_of(self, header: Header) -> Coding | None:
        """The coders of a file, if the model may have made it."""
        return self._codings.get(_form(header)) if header.num_quantizers <= QUANTIZERS else None

    def read(self, data: bytes) -> bool:
        """Whether a strict reader takes the whole file."""
        try:
            reader = Reader(io.BytesIO(data))
            if (coding := self._coding_of(reader.header)) is None:
                return False
            for _ in coding.unpack(reader, reader.header):
                pass
        except BitstreamError:
            return False
        return True

    def repair(self, data: bytes) -> list[np.ndarray]:
        """Codes of all packets that are whole."""
        try:
            reader = RepairingReader(io.BytesIO(data))
        except BitstreamError:
            return []
        if (coding := self._coding_of(reader.header)) is None:
            return []
        return [codes for codes in coding.repair(reader, reader.header) if isinstance(codes, np.ndarray)]


def _form(header: Header) -> tuple[object, ...]:
    """What a codec checks of a header before it decodes the file."""
    return header.codebook_bits, header.stack, header.joint_channels, header.side_numbers


def _tables(rng: np.random.Generator, sizes: Sequence[int] = (SIZE,) * QUANTIZERS) -> Tables:
    count = len(sizes)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-40, 41, shape).astype(np.int8)

    def numbers(value: int, *shape: int) -> np.ndarray:
        return np.full(shape, value, np.int32)

    return Tables(
        static=np.stack([np.where(np.arange(SIZE) < size, TOTAL // size, 0) for size in sizes]).astype(np.int32),
        exponentials=exponentials(),
        vector_shifts=numbers(5, count),
        hidden_weights=weights(count, HIDDEN, 6 * DIM),
        hidden_biases=numbers(0, count, HIDDEN),
        hidden_shifts=numbers(6, count),
        output_weights=weights(count, SIZE, HIDDEN),
        output_biases=numbers(0, count, SIZE),
        output_shifts=numbers(8, count),
    )


def cases(target: Target, seed: int) -> Iterator[Case]:
    """Damaged files without end: systematic ones in turn with random ones, as long as there are any."""
    left = (Case(i, body, True) for i, data in enumerate(target.files) for body in damage.systematic(data))
    for number in count():
        case = next(left, None) if number % 2 else None
        if case is None:
            rng = np.random.default_rng((seed, number))
            which = int(rng.integers(len(target.files)))
            case = Case(which, damage.random(target.files[which], rng), False)
        yield case


def fuzz(files: int, seed: int = 0, note: Callable[[Report], None] = lambda report: None) -> Report:
    """Damage and read so many files.

    Args:
        note: takes what was found so far after each NOTED files, so that a run that is ended leaves it.
    """
    target, report, start = Target(), Report(), time.perf_counter()
    usual = [_min_ms(target, data) for data in target.files]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i, case in enumerate(islice(cases(target, seed), files)):
        try:
            _one(target, report, case, usual)
        except Exception as error:
            report.failures += 1
            print(f"seed {seed}, file {i}: {type(error).__name__}: {error}")
        report.files += 1
        report.systematic += case.systematic
        if report.files % NOTED == 0 or report.files == files:
            report.seconds = round(time.perf_counter() - start, 1)
            report.memory_growth_mb = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024, 1)
            note(report)
    return report


def _one(target: Target, report: Report, case: Case, usual_ms: list[float]) -> None:
    (taken, found), spent_ms = _cpu_ms(target, case.data)
    if taken:
        report.accepted += 1
    else:
        report.refused += 1
        report.packets_saved += len(found)
    known = {codes.tobytes() for codes in target.codes}
    if any(codes.tobytes() not in known for codes in found):
        report.changed += 1
    if spent_ms > SUSPECT * usual_ms[case.which]:
        _slow(target, report, case, usual_ms)


def _slow(target: Target, report: Report, case: Case, usual_ms: list[float]) -> None:
    """Time a file again and compare it with the valid one that its damaged header makes it like."""
    mode, claimed = target.claims(case.data)
    like = case.which // len(MODES) * len(MODES) + mode
    share = max(1, claimed / target.claims(target.files[like])[1])
    min_ms = _min_ms(target, case.data)
    report.slowest_ms = max(report.slowest_ms, round(min_ms, 2))
    report.slowest_over_valid = max(report.slowest_over_valid, round(min_ms / usual_ms[like] / share, 2))


def _cpu_ms(target: Target, data: bytes) -> tuple[tuple[bool, list[np.ndarray]], float]:
    start = time.process_time()
    result = target.read(data), target.repair(data)
    return result, 1000 * (time.process_time() - start)


def _min_ms(target: Target, data: bytes) -> float:
    return min(_cpu_ms(target, data)[1] for _ in range(REPEATS))


def main() -> None:
    """Fuzz and write the report; exit 1 after failures."""
    parser = argparse.ArgumentParser(description="Read damaged files.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    head = provenance("none: a made-up model of 4 codebooks", "21 valid files, damaged")

    def note(report: Report) -> None:
        if args.output:
            write_report(args.output, head | asdict(report))

    report = fuzz(args.files, args.seed, note)
    print(json.dumps(head | asdict(report), indent=2))
    if report.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
