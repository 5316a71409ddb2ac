"""The context model: from the codes a decoder has so far to integer logits for the next one.

A frame's codes add up to a latent vector, codebook after codebook, so what came before is known as vectors:

    inputs [6 x dim]  =  frame before | the one before it | mean of the past | this frame so far
                         | entry of codebook q - 1 in this frame | entry of codebook q in the frame before
    hidden [hidden]   =  clip(hidden_weights[q] . inputs + hidden_biases[q] >> hidden_shifts[q], 0, 127)
    logits [size]     =  output_weights[q] . hidden + output_biases[q] >> output_shifts[q]

with tables of their own for every codebook q. All of it is whole numbers, so encoder and decoder agree on any machine.
Source: that a network predicts the codes of a residual quantizer from the frames before is EnCodec's idea (Défossez et
al., 2022, section 3.3); vectors as inputs, codebook after codebook within a frame, and the whole numbers are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from soundstream.entropy.bounds import LIMIT, MAX_INPUTS, PARTS
from soundstream.entropy.frequencies import frequencies
from soundstream.entropy.product import ExactLayer
from soundstream.entropy.tables import Tables
from soundstream.errors import ArtifactError, ConfigError

FRACTION_BITS = 11
"""A vector's whole numbers count in parts of 1 / 2^11."""
INPUT_SHIFT = 6
"""Sums of vectors lose these bits to become inputs: 1.0 is 32."""
MEAN_SHIFT = 3
"""The mean of the past moves by an eighth of the way to each new frame."""
_MEAN_BITS = 4
MAX_DIM = MAX_INPUTS // PARTS
"""Width of a vector at most: wider codebooks have vectors of their own for the model, see `Tables.vectors`."""
MAX_HIDDEN = MAX_INPUTS
Codebooks = NDArray[np.float32] | Sequence[NDArray[np.float32]]
"""Of a model: as one array, or one by one where their sizes differ."""
_MIN, _MAX, _ZERO, _SHIFT = (np.array(x, np.int32) for x in (-LIMIT, LIMIT, 0, INPUT_SHIFT))
"""Arrays, since NumPy takes Python's numbers at twice the cost of a small step."""


def check_size(hidden: int) -> None:
    """Refuse a model whose sums could not be exact, before tables are fitted.

    Raises:
        ConfigError: hidden units are too many.
    """
    if hidden > MAX_HIDDEN:
        raise ConfigError(
            f"hidden is {hidden}; the context model takes at most {MAX_HIDDEN}, for its sums must be exact in float32"
        )


def fixed_point(codebooks: NDArray[np.float32]) -> NDArray[np.int32]:
    """Codebooks in parts of 1 / 2^11, clipped to 16 bits with sign.

    Stored entries are float16: scaling by a power of two is exact, and rounding an exact number is the same everywhere.
    """
    return np.clip(np.rint(np.ldexp(codebooks, FRACTION_BITS)), -(2**15), 2**15 - 1).astype(np.int32)


def stacked(codebooks: Codebooks) -> NDArray[np.float32]:
    """Codebooks as one array `[num_quantizers, codebook_size, dim]`, 0 behind the last entry of the smaller ones."""
    size = max(map(len, codebooks))
    return np.stack([np.pad(book, ((0, size - len(book)), (0, 0))) for book in codebooks])


def to_input(vectors: NDArray[np.int32], shift: int = INPUT_SHIFT) -> NDArray[np.int8]:
    """Vectors scaled down by `shift` bits (up, if it is below zero) and clipped to -127..127."""
    scaled = vectors >> shift if shift >= 0 else vectors << -shift
    return np.minimum(np.maximum(scaled, -LIMIT), LIMIT).astype(np.int8)


class Past:
    """What is known of the frames before, for `rows` signals side by side; zero at the start of every packet."""

    def __init__(self, rows: int, dim: int) -> None:
        self._last = np.zeros((rows, dim), np.int32)
        self._before = np.zeros((rows, dim), np.int32)
        self._mean = np.zeros((rows, dim), np.int32)

    def inputs(self) -> NDArray[np.int8]:
        """The first three parts of the inputs `[rows, 3 x dim]`."""
        mean = self._mean >> _MEAN_BITS
        return np.concatenate([to_input(self._last), to_input(self._before), to_input(mean)], axis=1)

    def push(self, latent: NDArray[np.int32]) -> None:
        """Take the next frame's sum of vectors `[rows, dim]`."""
        self._mean = self._mean + ((latent << _MEAN_BITS) - self._mean >> MEAN_SHIFT)
        self._last, self._before = latent, self._last


def inputs(
    past: NDArray[np.int8],
    so_far: NDArray[np.int32],
    above: NDArray[np.int32],
    before: NDArray[np.int32],
    shifts: NDArray[np.int32],
    q: int,
) -> NDArray[np.int8]:
    """Inputs `[rows, 6 x dim]` for codebook q.

    Args:
        past: `Past.inputs`.
        so_far: sum of this frame's vectors of the codebooks before q `[rows, dim]`.
        above: this frame's vector of codebook q - 1; zero for the first.
        before: the last frame's vector of codebook q; zero in a packet's first frame.
        shifts: `Tables.vector_shifts`.
    """
    return np.concatenate(
        [past, to_input(so_far), to_input(above, int(shifts[max(0, q - 1)])), to_input(before, int(shifts[q]))], axis=1
    )


def contexts(
    vectors: NDArray[np.int32], shifts: NDArray[np.int32], codes: NDArray[np.integer], strides: Sequence[int] = ()
) -> Iterator[NDArray[np.int8]]:
    """What a decoder will know: inputs `[codes, 6 x dim]` for one codebook after the other, signal after signal.

    Args:
        vectors: `[codebooks, size, dim]`, fixed point.
        shifts: `Tables.vector_shifts`.
        codes: `[rows, num_quantizers, frames]`; one below 0 is none, and its vector zero.
        strides: frames that a code covers, by codebook; it stands in all of them, and there are inputs for the first.
    """
    chosen = [vectors[q, codes[:, q]] for q in range(codes.shape[1])]
    if (codes < 0).any():
        chosen = [np.where(codes[:, q, :, None] < 0, _ZERO, entries) for q, entries in enumerate(chosen)]
    past = _pasts(np.sum(chosen, axis=0, dtype=np.int32))
    so_far = above = np.zeros((len(past), vectors.shape[2]), np.int32)
    for q, entries in enumerate(chosen):
        before = np.pad(entries[:, :-1], ((0, 0), (min(1, entries.shape[1]), 0), (0, 0)))
        firsts = slice(None, None, strides[q] if strides else 1)  # a signal has a multiple of it in frames
        known = past[firsts], so_far[firsts], above[firsts], before.reshape(so_far.shape)[firsts]
        yield inputs(*known, shifts, q)
        above = entries.reshape(so_far.shape)
        so_far = so_far + above


def _pasts(latents: NDArray[np.int32]) -> NDArray[np.int8]:
    """`Past.inputs` before each frame `[rows x frames, 3 x dim]` of latents `[rows, frames, dim]`."""
    rows, frames, dim = latents.shape
    past, known = Past(rows, dim), np.zeros((rows, frames, 3 * dim), np.int8)
    for frame in range(frames):
        known[:, frame] = past.inputs()
        past.push(latents[:, frame])
    return known.reshape(rows * frames, 3 * dim)


def with_ones(known: NDArray[np.int8]) -> NDArray[np.float32]:
    """Inputs as float32, and a column of ones that biases are multiplied with `[rows, 6 x dim + 1]`."""
    result = np.ones((known.shape[0], known.shape[1] + 1), np.float32)
    result[:, :-1] = known
    return result


class Room:
    """Arrays for the steps from inputs to frequencies of `rows` rows, which every use writes anew.

    Large arrays cost more to make than to fill. One thread at a time uses a room.
    """

    def __init__(self, rows: int, hidden: ExactLayer, output: ExactLayer) -> None:
        self.hidden, self.output = hidden.room(rows), output.room(rows)
        self.active = np.ones((rows, hidden.units + 1), np.float32)
        self.below, self.widths, self.ends = np.zeros((3, rows, output.units), np.int64)


class ContextModel:
    """Logits of codes; keeps nothing between calls and may serve many threads.

    Args:
        codebooks: `[entries, latent_dim]` each, of the model that the tables were fitted to.
    Raises:
        ArtifactError: the tables were fitted to a model of another shape.
    """

    def __init__(self, tables: Tables, codebooks: Codebooks) -> None:
        vectors = fixed_point(stacked(codebooks)) if tables.vectors is None else tables.vectors.astype(np.int32)
        expected = (len(codebooks), max(map(len, codebooks)), PARTS * vectors.shape[2])
        found = (*tables.static.shape, tables.hidden_weights.shape[2])
        if found != expected:
            raise ArtifactError(f"the entropy tables have shape {list(found)}; this model needs {list(expected)}")
        self.vectors = vectors
        """`[num_quantizers, codebook_size, dim]`, fixed point."""
        self.shifts, self.sizes = tables.vector_shifts, tables.sizes
        self._exponentials = tables.exponentials.astype(np.int64)
        hidden = zip(tables.hidden_weights, tables.hidden_biases, tables.hidden_shifts.tolist(), strict=True)
        weights, biases = (
            [array[:size] for array, size in zip(arrays, self.sizes, strict=True)]
            for arrays in (tables.output_weights, tables.output_biases)
        )
        output = zip(weights, biases, tables.output_shifts.tolist(), strict=True)
        self._hidden = [ExactLayer(*layer) for layer in hidden]
        self._output = [ExactLayer(*layer, raised=True) for layer in output]

    @cached_property
    def entries(self) -> NDArray[np.int8]:
        """`vectors` as inputs."""
        return np.stack(
            [to_input(vectors, int(shift)) for vectors, shift in zip(self.vectors, self.shifts, strict=True)]
        )

    def rooms(self, rows: int) -> list[Room]:
        """Room for that many rows of each codebook; those of one size share it."""
        by_size = {layer.units: Room(rows, self._hidden[0], layer) for layer in self._output}
        return [by_size[layer.units] for layer in self._output]

    def logits(self, known: NDArray[np.int8], q: int) -> NDArray[np.int32]:
        """Logits `[rows, codebook_size]` of codebook q after `inputs`, in 1/32 of a factor e, raised by one number."""
        return self._logits(with_ones(known), q, self.rooms(len(known))[q])

    def _logits(self, known: NDArray[np.float32], q: int, room: Room) -> NDArray[np.int32]:
        hidden = self._hidden[q](known, room.hidden)
        np.minimum(hidden, _MAX, out=hidden)
        np.maximum(hidden, _ZERO, out=room.active[:, :-1], casting="unsafe")
        return self._output[q](room.active, room.output)

    def widths(self, known: NDArray[np.float32], q: int, room: Room) -> NDArray[np.int64]:
        """Frequencies `[rows, codebook_size]` of the codes of codebook q.

        Args:
            known: `with_ones` of `inputs`.
            room: for as many rows; the result is a part of it.
        """
        return frequencies(self._logits(known, q, room), self._exponentials, room.below, room.widths)


class Known:
    """What a decoder knows of `rows` signals side by side, code after code: `inputs`, kept up to date in place.

    Args:
        num_quantizers: codebooks in use.
    """

    def __init__(self, model: ContextModel, rows: int, num_quantizers: int) -> None:
        dim = model.vectors.shape[2]
        self._vectors, self._entries = model.vectors, model.entries
        self._past = Past(rows, dim)
        self.inputs = with_ones(np.zeros((rows, PARTS * dim), np.int8))
        """`with_ones` of the inputs of the next code; the same array from code to code."""
        self._past_inputs, self._frame_inputs = np.split(self.inputs[:, :-1], 2, axis=1)
        self._so_far_input, self._above, self._before = np.split(self._frame_inputs, 3, axis=1)
        self._so_far, self._vector, self._scaled = np.zeros((3, rows, dim), np.int32)
        self._chosen = list(np.zeros((num_quantizers, rows, dim), np.int8))
        """By codebook, the entry chosen last."""

    def push(self, q: int, codes: NDArray[np.int64], absent: NDArray[np.bool_] | None = None) -> None:
        """Take the codes of codebook q `[rows]`; the inputs become those of the next codebook, or of the next frame.

        Args:
            absent: rows that have no code of it; None is none of them.
        """
        self._entries[q].take(codes, axis=0, out=self._chosen[q], mode="clip")
        self._vectors[q].take(codes, axis=0, out=self._vector, mode="clip")
        if absent is not None:
            self._chosen[q][absent], self._vector[absent] = 0, 0
        np.add(self._so_far, self._vector, out=self._so_far)
        if q + 1 == len(self._chosen):
            self._end_frame()
        else:
            self._above[...], self._before[...] = self._chosen[q], self._chosen[q + 1]
            np.right_shift(self._so_far, _SHIFT, out=self._scaled)
            np.minimum(self._scaled, _MAX, out=self._scaled)
            np.maximum(self._scaled, _MIN, out=self._so_far_input, casting="unsafe")

    def _end_frame(self) -> None:
        self._past.push(self._so_far.copy())
        self._so_far[...] = 0
        self._past_inputs[...] = self._past.inputs()
        self._frame_inputs[...] = 0
        self._before[...] = self._chosen[0]
