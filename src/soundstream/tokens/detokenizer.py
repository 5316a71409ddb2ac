"""Tokens of a language model to sound, while they come."""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.codec.codec import Codec
from soundstream.errors import ConfigError
from soundstream.tokens.patterns import Pattern


class CodeStream:
    """Tokens in, codes out: of each push the frames that it completes.

    What all pushes give, joined along the last axis, is what `pattern.decode` gives of all tokens.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._held: Codes | None = None

    def push(self, tokens: np.ndarray) -> Codes:
        """Take tokens, any number of them along the last axis; give codes `[..., num_quantizers, frames]`.

        Raises:
            ConfigError: a token is no code of its codebook.
        """
        tokens = np.asarray(tokens)
        held = tokens if self._held is None else np.concatenate([self._held, tokens], axis=-1)
        frames = self._pattern.frames(held.shape[-1])
        codes = self._pattern.decode(held[..., : self._pattern.length(frames)])
        self._held = held[..., self._pattern.begins(frames) :]
        return codes


class Detokenizer:
    """Tokens in, sound out, a frame at a time; the tokens are of one stream.

    Args:
        codec: with the model of the tokens.
        sample_rate: Hz of the sound; None is that of the codec.
    """

    def __init__(self, codec: Codec, pattern: Pattern, sample_rate: int | None = None) -> None:
        if codec.spec.side_numbers:
            raise ConfigError("codes of this model have numbers beside them, which tokens do not hold")
        self._codes = CodeStream(pattern)
        self._decoder = codec.open_code_decoder(sample_rate)

    def push(self, tokens: np.ndarray) -> Array:
        """Take tokens, `[num_quantizers, steps]` or flat `[tokens]`; give the pcm `[channels, samples]` that is ready.

        Raises:
            ConfigError: a token is no code of its codebook, or the session is over.
        """
        return self._decoder.push(self._codes.push(tokens))

    def flush(self, num_samples: int | None = None) -> Array:
        """The rest of the pcm; the session is over.

        Args:
            num_samples: samples per channel of all pcm together; None is all that the frames hold.
        Raises:
            ConfigError: the frames hold fewer.
        """
        return self._decoder.flush(num_samples)
