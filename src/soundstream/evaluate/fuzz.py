"""Damaged files by the thousand: only named errors, bounded memory and time.

    python -m soundstream.evaluate.fuzz --files 1000000 -o docs/results/fuzz.json

Small valid files in every entropy mode are damaged at random and read twice: strictly, where a named error may end it,
and with repair, where nothing may. Codes are checked, audio is not made. A failure is printed with the seed that gives
it again.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from soundstream.bitstream import Header, Reader, RepairingReader, Writer
from soundstream.coding import MODES, Coding
from soundstream.entropy import Tables
from soundstream.entropy.ans import TOTAL
from soundstream.entropy.frequencies import exponentials
from soundstream.errors import BitstreamError
from soundstream.evaluate.provenance import provenance
from soundstream.files import atomic_output

SHAPE = QUANTIZERS, SIZE, DIM = 4, 32, 8
HIDDEN = 16
FRAMES, PACKETS = 4, 4
TIMED_MS = 20.0
"""A damaged file counts as slow only above this, since a busy machine delays any call."""


@dataclass
class Report:
    """What a run found."""

    files: int = 0
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
    """CPU time of the slowest damaged file over that of its valid one."""
    memory_growth_mb: float = 0.0
    """Rise of the highest resident memory during the run."""


class Target:
    """Valid files of a small made-up model, and reading them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        codebooks = rng.normal(0, 1, SHAPE).astype(np.float16).astype(np.float32)
        self.coding = Coding(5, codebooks, _tables(rng))
        self.codes = [rng.integers(0, SIZE, (1 + i % 2, 1 + i % QUANTIZERS, FRAMES)) for i in range(4)]
        self.files = [self._file(codes, mode) for codes in self.codes for mode in range(len(MODES))]

    def _file(self, codes: np.ndarray, mode: int) -> bytes:
        stream, (channels, _, frames) = io.BytesIO(), codes.shape
        header = Header(b"fuzzfuzz", 24_000, channels, 24_000, 320, 5, QUANTIZERS, mode, tags={"title": "x"})
        writer = Writer(stream, header)
        for packet in self.coding.pack([codes] * PACKETS, mode):
            writer.write(packet)
        writer.finish(PACKETS * frames * 320)
        return stream.getvalue()

    def read(self, data: bytes) -> bool:
        """Whether a strict reader takes the whole file."""
        try:
            reader = Reader(io.BytesIO(data))
            if reader.header.codebook_bits != 5 or reader.header.num_quantizers > QUANTIZERS:
                return False
            for _ in self.coding.unpack(reader, reader.header):
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
        if reader.header.codebook_bits != 5 or reader.header.num_quantizers > QUANTIZERS:
            return []
        return [codes for codes in self.coding.repair(reader, reader.header) if isinstance(codes, np.ndarray)]


def _tables(rng: np.random.Generator) -> Tables:
    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-40, 41, shape).astype(np.int8)

    def numbers(value: int, *shape: int) -> np.ndarray:
        return np.full(shape, value, np.int32)

    return Tables(
        static=numbers(TOTAL // SIZE, QUANTIZERS, SIZE),
        exponentials=exponentials(),
        vector_shifts=numbers(5, QUANTIZERS),
        hidden_weights=weights(QUANTIZERS, HIDDEN, 6 * DIM),
        hidden_biases=numbers(0, QUANTIZERS, HIDDEN),
        hidden_shifts=numbers(6, QUANTIZERS),
        output_weights=weights(QUANTIZERS, SIZE, HIDDEN),
        output_biases=numbers(0, QUANTIZERS, SIZE),
        output_shifts=numbers(8, QUANTIZERS),
    )


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes: flipped bits, other bytes, cuts, parts twice, swapped or removed; half mend a checksum."""
    body = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind, at, length = rng.integers(7), int(rng.integers(len(body) + 1)), int(rng.integers(1, 40))
        if kind == 0 and at < len(body):
            body[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            body[at : at + 1] = rng.bytes(1)
        elif kind == 2:
            del body[at:]
        elif kind == 3:
            body[at:at] = body[at : at + length]
        elif kind == 4:
            del body[at : at + length]
        elif kind == 5:
            body[at:] = body[at + length :] + body[at : at + length]
        else:
            body[at : at + length] = rng.bytes(length)
    return _mended(body) if rng.integers(2) else bytes(body)


def _mended(body: bytearray) -> bytes:
    """With a right checksum for the header, so that its fields are reached."""
    if len(body) >= 44:
        length = int.from_bytes(body[5:7], "little")
        if 44 <= length <= len(body):
            body[length - 4 : length] = zlib.crc32(body[: length - 4]).to_bytes(4, "little")
    return bytes(body)


def fuzz(files: int, seed: int = 0) -> Report:
    """Damage and read so many files."""
    target, report, start = Target(), Report(), time.perf_counter()
    usual = [_cpu_ms(target, data)[1] for data in target.files for _ in range(2)][1::2]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(files):
        rng = np.random.default_rng((seed, i))
        which = int(rng.integers(len(target.files)))
        try:
            _one(target, report, damage(target.files[which], rng), usual[which])
        except Exception as error:
            report.failures += 1
            print(f"seed {seed}, file {i}: {type(error).__name__}: {error}")
        report.files += 1
    report.seconds = round(time.perf_counter() - start, 1)
    report.memory_growth_mb = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024, 1)
    return report


def _one(target: Target, report: Report, data: bytes, usual_ms: float) -> None:
    (taken, found), spent_ms = _cpu_ms(target, data)
    if taken:
        report.accepted += 1
    else:
        report.refused += 1
        report.packets_saved += len(found)
    if spent_ms > TIMED_MS:
        report.slowest_over_valid = max(report.slowest_over_valid, round(spent_ms / usual_ms, 2))
    known = {codes.tobytes() for codes in target.codes}
    if any(codes.tobytes() not in known for codes in found):
        report.changed += 1


def _cpu_ms(target: Target, data: bytes) -> tuple[tuple[bool, list[np.ndarray]], float]:
    start = time.process_time()
    result = target.read(data), target.repair(data)
    return result, 1000 * (time.process_time() - start)


def main() -> None:
    """Fuzz and write the report; exit 1 after failures."""
    parser = argparse.ArgumentParser(description="Read damaged files.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    words = parser.parse_args()
    report = fuzz(words.files, words.seed)
    text = json.dumps(
        provenance("none: a made-up model of 4 codebooks", "12 valid files, damaged") | asdict(report), indent=2
    )
    print(text)
    if words.output:
        with atomic_output(words.output, force=True) as file:
            file.write((text + "\n").encode())
    if report.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
