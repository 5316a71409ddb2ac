"""Makes the golden files of this folder; run it only for an entropy mode that has none yet.

    python tests/golden/make_golden.py

A frozen file is never made anew: if it no longer decodes, the format has changed
and needs a new entropy mode or version.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import entropy_tables as made  # noqa: E402
from soundstream.bitstream import Header, Writer  # noqa: E402
from soundstream.codec.packing import MODES, Coding  # noqa: E402
from soundstream.entropy import Tables  # noqa: E402
from soundstream.entropy.bounds import TOTAL  # noqa: E402
from soundstream.runtime.side import with_side  # noqa: E402

PACKETS = ((4, 40), (2, 40), (3, 40), (3, 40), (3, 17))
"""Codebooks and frames of each packet."""
HEADER = {
    "model_id": b"golden!!",
    "sample_rate": 48_000,
    "channels": 2,
    "codec_sample_rate": 24_000,
    "hop_length": 320,
    "codebook_bits": 5,
    "num_quantizers": 4,
}


def parts():
    """Codes of each packet `[channels, num_quantizers, frames]`."""
    codes = np.load(HERE / "codes.npy").astype(np.int64)
    starts = np.cumsum([0, *(frames for _, frames in PACKETS)])
    return [codes[:, :q, start : start + frames] for (q, frames), start in zip(PACKETS, starts, strict=False)]


def coding():
    """The coders of the frozen model: codebooks as float16, tables as whole numbers."""
    codebooks = np.load(HERE / "codebooks.npy").astype(np.float32)
    return Coding(HEADER["codebook_bits"], codebooks, Tables.load(HERE / "entropy.npz"))


def write(path, mode):
    """Write the codes as a file in an entropy mode, by number."""
    with path.open("wb") as stream:
        writer = Writer(stream, Header(**HEADER, entropy_mode=mode, tags={"title": "Été"}))
        for packet in coding().pack(parts(), mode):
            writer.write(packet)
        writer.finish(113_001)


STACK = ((5, 4), (4, 2), (5, 1))
"""Bits and strides of the codebooks of `stack.nac`."""
STACK_FRAMES = (40, 40, 12)


def stack_parts():
    """Codes of each packet of `stack.nac`: those of the other files, each in all frames that it covers."""
    codes = np.load(HERE / "codes.npy").astype(np.int64)[:, : len(STACK), : sum(STACK_FRAMES)]
    frame = np.arange(codes.shape[2])
    for q, (bits, stride) in enumerate(STACK):
        codes[:, q] = codes[:, q, frame - frame % stride] % (1 << bits)
    return np.split(codes, np.cumsum(STACK_FRAMES)[:-1], axis=2)


STACK_FILES = ("stack", "stack-fast", "stack-best")
"""Their names, by entropy mode."""


def stack_coding():
    """The coders of their codes."""
    codebooks = np.load(HERE / "codebooks.npy").astype(np.float32)[: len(STACK)]
    return Coding(HEADER["codebook_bits"], codebooks, Tables.load(HERE / "entropy-stack.npz"), STACK)


def write_stack(path, mode=0):
    """Write codes of several sizes and strides in an entropy mode, by number."""
    with path.open("wb") as stream:
        header = Header(**HEADER | {"num_quantizers": len(STACK), "stack": STACK, "entropy_mode": mode})
        writer = Writer(stream, header)
        for packet in stack_coding().pack(stack_parts(), mode):
            writer.write(packet)
        writer.finish(58_000)


JOINT = {"joint_channels": 2, "side_numbers": 1, "num_quantizers": 2, "codec_sample_rate": 48_000}
JOINT_FRAMES = (12, 12, 5)
"""Of the segments of `joint.nac`."""
GAINS = (0.125, 1e-8, 3.4028234663852886e38)


def joint_parts():
    """Codes of each segment of `joint.nac`, and its gain behind them."""
    codes = np.load(HERE / "codes.npy").astype(np.int64)[:1, :2, : sum(JOINT_FRAMES)]
    parts = np.split(codes, np.cumsum(JOINT_FRAMES)[:-1], axis=2)
    return [with_side(part, np.full((1, 1, part.shape[2]), g)) for part, g in zip(parts, GAINS, strict=True)]


def joint_coding():
    """The coders of its codes."""
    codebooks = np.load(HERE / "codebooks.npy").astype(np.float32)
    return Coding(HEADER["codebook_bits"], codebooks, Tables.load(HERE / "entropy.npz"), (), 1)


def write_joint(path):
    """Write codes of two channels together, with a gain in each packet."""
    with path.open("wb") as stream:
        writer = Writer(stream, Header(**HEADER | JOINT, entropy_mode=2))
        for packet in joint_coding().pack(joint_parts(), 2):
            writer.write(packet)
        writer.finish(9_000)


COUNTS_FILES = ("counts", "counts-fast", "counts-best")
"""Their names, by entropy mode."""


def counts_parts():
    """Codes of each packet of `counts*.nac`, -1 behind those of each frame."""
    codes = np.load(HERE / "codes.npy").astype(np.int64)[:, :, :60]
    counts = 1 + np.abs((np.arange(60)[None] + [[0], [2]]) % 6 - 3)
    codes[np.arange(4)[:, None] >= counts[:, None]] = -1
    return np.split(codes, [40], axis=2)


def write_counts(path, mode):
    """Write codes whose frames have 1 to 4 codebooks in an entropy mode, by number."""
    with path.open("wb") as stream:
        writer = Writer(stream, Header(**HEADER, entropy_mode=mode, frame_counts=True))
        for packet in coding().pack(counts_parts(), mode, True):
            writer.write(packet)
        writer.finish(38_000)


def _static(sizes=(made.SIZE,) * made.QUANTIZERS):
    """Frequencies that differ, none so rare that random codes outgrow a packet."""
    shares = np.random.default_rng(9).dirichlet(np.full(made.SIZE, 5.0), len(sizes))
    shares *= np.arange(made.SIZE) < np.array(sizes)[:, None]
    widths = np.floor(shares * (TOTAL - 2 * made.SIZE)).astype(np.int32)
    widths += np.arange(made.SIZE) < np.array(sizes)[:, None]
    widths[:, 0] += TOTAL - widths.sum(axis=1)
    return widths


def main():
    """Write what is missing."""
    if not (HERE / "codes.npy").exists():
        frames = sum(frames for _, frames in PACKETS)
        np.save(HERE / "codes.npy", made.codes(2, 4, frames, seed=9).astype(np.uint8))
        np.save(HERE / "codebooks.npy", made.codebooks(9).astype(np.float16))
        made.tables(9, 10, static=_static()).save(HERE / "entropy.npz")
    for mode, name in enumerate(MODES):
        if not (path := HERE / f"{name}.nac").exists():
            write(path, mode)
    if not (path := HERE / "entropy-stack.npz").exists():
        sizes = [1 << bits for bits, _ in STACK]
        made.tables(9, 10, shape=(len(sizes), made.SIZE, made.DIM), sizes=sizes, static=_static(sizes)).save(path)
    for mode, name in enumerate(STACK_FILES):
        if not (path := HERE / f"{name}.nac").exists():
            write_stack(path, mode)
    for mode, name in enumerate(COUNTS_FILES):
        if not (path := HERE / f"{name}.nac").exists():
            write_counts(path, mode)
    if not (path := HERE / "joint.nac").exists():
        write_joint(path)


if __name__ == "__main__":
    main()
