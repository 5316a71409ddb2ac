"""Orders in which language models take codes, and back: parallel, flat and delay, with a vocabulary for all codebooks.

    codes            parallel             delay                        flat
    a0 a1 a2         a0 a1 a2             a0 a1 a2 __                  a0 b0 a1 b1 a2 b2
    b0 b1 b2         b0 b1 b2             __ b0 b1 b2

Source: MusicGen (Copet et al., 2023), section 2.2; flat orders of strided codes as `soundstream.codec.flat_codes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from soundstream.arrays import Codes
from soundstream.codec.flat_codes import flatten_codes, unflatten_codes
from soundstream.errors import ConfigError
from soundstream.spec import CodecSpec


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of tokens: codes of all codebooks, then three that are no codes.

    Args:
        sizes: entries of each codebook.
        strides: frames that a code of each covers.
        shared: codebooks have numbers of their own, one after another, in one vocabulary; else all begin at 0, as for
            models with a table of embeddings for each.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    shared: bool = True

    @staticmethod
    def of(spec: CodecSpec, num_quantizers: int, shared: bool = True) -> Vocabulary:
        """The vocabulary of a codec's first codebooks, such as `Vocabulary.of(tokens.spec, tokens.num_quantizers)`."""
        if not 1 <= num_quantizers <= spec.num_quantizers:
            raise ConfigError(f"num_quantizers is {num_quantizers}; the model has 1 to {spec.num_quantizers}")
        books = spec.codebooks[:num_quantizers]
        return Vocabulary(tuple(book.size for book in books), tuple(book.stride for book in books), shared)

    @property
    def offsets(self) -> tuple[int, ...]:
        """What is added to the codes of each codebook."""
        ends = np.cumsum((0, *self.sizes))[:-1] if self.shared else np.zeros(len(self.sizes), int)
        return tuple(map(int, ends))

    @property
    def pad(self) -> int:
        """Stands where there is no code."""
        return sum(self.sizes) if self.shared else max(self.sizes)

    @property
    def begin(self) -> int:
        """Stands before a sound."""
        return self.pad + 1

    @property
    def end(self) -> int:
        """Stands behind a sound."""
        return self.pad + 2

    @property
    def size(self) -> int:
        """Tokens that there are."""
        return self.pad + 3

    def to_tokens(self, codes: Codes) -> Codes:
        """Tokens of codes `[..., num_quantizers, frames]`; -1 becomes `pad`.

        Raises:
            ConfigError: they have another number of codebooks, or a code is out of range.
        """
        codes = np.asarray(codes)
        if codes.ndim < 2 or codes.shape[-2] != len(self.sizes):
            raise ConfigError(f"codes are {list(codes.shape)}; expected [..., {len(self.sizes)}, frames]")
        if ((codes < -1) | (codes >= self._column(self.sizes))).any():
            raise ConfigError(f"codes lie from {codes.min()} to {codes.max()}; expected 0 to {max(self.sizes) - 1}")
        return np.where(codes < 0, self.pad, codes + self._column(self.offsets))

    def to_codes(self, tokens: Codes) -> Codes:
        """Inverse of `to_tokens`.

        Raises:
            ConfigError: a token is no code of its codebook.
        """
        codes = np.where(tokens == self.pad, -1, tokens - self._column(self.offsets))
        wrong = (codes < -1) | (codes >= self._column(self.sizes))
        if wrong.any():
            *_, book, frame = np.argwhere(wrong)[0]
            token = tokens[..., book, frame][wrong[..., book, frame]].flat[0]
            raise ConfigError(f"token {token} is no code of codebook {book}, in frame {frame}")
        return codes

    def _column(self, numbers: tuple[int, ...]) -> Codes:
        return np.array(numbers, np.int64)[:, None]


@dataclass(frozen=True)
class Parallel:
    """All codebooks of a frame at once: tokens `[..., num_quantizers, frames]`."""

    vocabulary: Vocabulary

    def encode(self, codes: Codes) -> Codes:
        """Tokens of codes `[..., num_quantizers, frames]`.

        Raises:
            ConfigError: as `Vocabulary.to_tokens`.
        """
        return self.vocabulary.to_tokens(codes)

    def decode(self, tokens: Codes) -> Codes:
        """Inverse of `encode`.

        Raises:
            ConfigError: as `Vocabulary.to_codes`.
        """
        return self.vocabulary.to_codes(np.asarray(tokens))

    def frames(self, length: int) -> int:
        """Frames that so many tokens along the last axis complete."""
        return length

    def length(self, frames: int) -> int:
        """Tokens along the last axis that so many frames need."""
        return frames

    def begins(self, frames: int) -> int:
        """Place of the first token of a frame."""
        return frames


@dataclass(frozen=True)
class Delay:
    """Each codebook one step behind the one before: `[..., num_quantizers, frames + num_quantizers - 1]`.

    So a model that gives all rows of a step at once knows the coarser codes of a frame when it chooses the finer ones.
    """

    vocabulary: Vocabulary

    @property
    def _late(self) -> int:
        return len(self.vocabulary.sizes) - 1

    def encode(self, codes: Codes) -> Codes:
        """Tokens of codes `[..., num_quantizers, frames]`, `pad` where a row has not begun or is over.

        Raises:
            ConfigError: as `Vocabulary.to_tokens`.
        """
        tokens = self.vocabulary.to_tokens(codes)
        frames = tokens.shape[-1]
        delayed = np.full((*tokens.shape[:-1], self.length(frames)), self.vocabulary.pad, tokens.dtype)
        for i in range(len(self.vocabulary.sizes)):
            delayed[..., i, i : i + frames] = tokens[..., i, :]
        return delayed

    def decode(self, tokens: Codes) -> Codes:
        """Inverse of `encode`, of the frames that are complete.

        Raises:
            ConfigError: as `Vocabulary.to_codes`.
        """
        tokens = np.asarray(tokens)
        frames = self.frames(tokens.shape[-1])
        rows = [tokens[..., i, i : i + frames] for i in range(tokens.shape[-2])]
        return self.vocabulary.to_codes(np.stack(rows, axis=-2))

    def frames(self, length: int) -> int:
        """As `Parallel.frames`."""
        return max(0, length - self._late)

    def length(self, frames: int) -> int:
        """As `Parallel.length`."""
        return frames + self._late

    def begins(self, frames: int) -> int:
        """As `Parallel.begins`."""
        return frames


@dataclass(frozen=True)
class Flat:
    """One code after another, coarse to fine and frame by frame: tokens `[..., tokens]`.

    A code that covers several frames stands there once, where it begins.
    """

    vocabulary: Vocabulary

    @cached_property
    def _granule(self) -> tuple[int, int]:
        """Frames that codes cover together, and how many codes they have."""
        strides = self.vocabulary.strides
        frames = int(np.lcm.reduce(strides))
        return frames, sum(frames // stride for stride in strides)

    def encode(self, codes: Codes) -> Codes:
        """Tokens of codes `[..., num_quantizers, frames]`.

        Raises:
            ConfigError: as `Vocabulary.to_tokens` and `flatten_codes`.
        """
        return flatten_codes(self.vocabulary.to_tokens(codes), self.vocabulary.strides)

    def decode(self, tokens: Codes) -> Codes:
        """Inverse of `encode`.

        Raises:
            ConfigError: as `Vocabulary.to_codes` and `unflatten_codes`.
        """
        return self.vocabulary.to_codes(unflatten_codes(np.asarray(tokens), self.vocabulary.strides))

    def frames(self, length: int) -> int:
        """As `Parallel.frames`; whole granules."""
        frames, tokens = self._granule
        return length // tokens * frames

    def length(self, frames: int) -> int:
        """As `Parallel.length`."""
        each, tokens = self._granule
        return -(-frames // each) * tokens

    def begins(self, frames: int) -> int:
        """As `Parallel.begins`."""
        return self.length(frames)


Pattern = Parallel | Delay | Flat
PATTERNS: dict[str, type[Parallel] | type[Delay] | type[Flat]] = {"parallel": Parallel, "delay": Delay, "flat": Flat}
"""By name."""
