"""Codes as a stream: pcm to codes and codes to pcm in chunks of any length, equal to those of the whole."""

from __future__ import annotations

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.audio.blocks import Tail
from soundstream.audio.checks import soft_limit
from soundstream.audio.resample import Resampler, resampled_length
from soundstream.errors import ConfigError
from soundstream.live.session import Session
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.side import without_side
from soundstream.runtime.stream import DecoderStream, EncoderStream
from soundstream.spec import CodecSpec


class CodeEncoder(Session):
    """pcm in, codes out; made by `Codec.open_code_encoder`.

    What `push` and `flush` give, joined along the last axis, is what `Codec.to_codes` gives of the whole.

    Args:
        sample_rate: Hz of the pcm, 8,000 to 192,000; other rates than the codec's come up to a tenth of a second late.
        options: without those that only files have.
        features: as `Codec.to_codes`.
    Raises:
        AudioError, ConfigError: a value is not supported.
    """

    def __init__(
        self,
        model: Model,
        sample_rate: int,
        channels: int,
        options: EncodeOptions,
        features: Array | None = None,
    ) -> None:
        super().__init__(sample_rate, channels)
        options.check_stream(model.spec)
        self.num_samples = 0
        """Samples per channel that were pushed, which `CodeDecoder.flush` takes."""
        self._resampler = Resampler(self.sample_rate, model.spec.sample_rate, channels)
        self._stream = EncoderStream(model, channels, options, features=features)
        self._streams = model.spec.streams(channels)

    def push(self, pcm: np.ndarray) -> Codes:
        """Take pcm `[channels, samples]` or `[samples]` of any length; give the codes of the frames that it completes.

        Those of a model with codes of levels, such as base, come some frames later (`runtime.search`), unless the
        effort is 1 or the rate is too low for levels; from an effort of 8 on those of most models do.

        Returns:
            `[num_quantizers, frames]` of one channel, `[channels, num_quantizers, frames]` of several; channels that
            are coded together count as one.
        Raises:
            AudioError: the audio has another form, or holds NaN or infinity; nothing was taken.
            ConfigError: the session is over.
        """
        pcm = self._checked(pcm)
        self.num_samples += pcm.shape[1]
        return self._given(self._stream.push(self._resampler.push(pcm)))

    def flush(self) -> Codes:
        """Codes of what is still missing, filled up with zeros; the session is over."""
        self._check_open()
        self._over = True
        ends = self._stream.push(self._resampler.flush()), self._stream.flush()
        return self._given(np.concatenate(ends, axis=2))

    def _given(self, codes: Codes) -> Codes:
        return codes[0] if self._streams == 1 else codes


class CodeDecoder(Session):
    """Codes in, pcm out; made by `Codec.open_code_decoder`.

    What `push` and `flush` give, joined along the last axis, is what `Codec.from_codes` gives of the whole. Some frames
    of sound are held back, two of most codecs, so that `flush` can end at an exact sample.

    Args:
        sample_rate: Hz of the pcm.
        denoise: as `Codec.decode`.
    Raises:
        AudioError, ConfigError: a value is not supported.
    """

    def __init__(self, model: Model, sample_rate: int, channels: int, denoise: float) -> None:
        super().__init__(sample_rate, channels)
        self._spec = model.spec
        self._stream = DecoderStream(model, channels, denoise, wait=True)
        rates = model.spec.sample_rate, self.sample_rate
        self._resampler = Resampler(*rates, channels)
        self._tail = Tail(channels, resampled_length(model.spec.surplus_samples, *rates))
        self._late = model.spec.delay_samples

    def push(self, codes: np.ndarray) -> Array:
        """Take codes of any number of frames, as `CodeEncoder` gives them; give the pcm `[channels, samples]`.

        The number of codebooks may change from push to push.

        Raises:
            ConfigError: the shape or a value is out of range, or the session is over.
        """
        self._check_open()
        codes = check_codes(codes, self._spec)
        if len(codes) != self._spec.streams(self.channels):
            raise ConfigError(f"codes are of {len(codes)} streams; this session has {self.channels} channels")
        return soft_limit(self._tail.push(self._resampled(self._stream.push(codes))))

    def _resampled(self, pcm: Array) -> Array:
        late = min(self._late, pcm.shape[1])
        self._late -= late
        return self._resampler.push(pcm[:, late:])

    def flush(self, num_samples: int | None = None) -> Array:
        """The rest of the pcm; the session is over.

        Args:
            num_samples: samples per channel of all pcm together; None is all that the frames hold.
        Raises:
            ConfigError: the frames hold fewer, or so many more that some were given already.
        """
        self._check_open()
        self._over = True
        rest = np.concatenate([self._resampled(self._stream.flush()), self._resampler.flush()], axis=1)
        given, held = self._tail.given, self._tail.held + rest.shape[1]
        if num_samples is not None and not given <= num_samples <= given + held:
            raise ConfigError(f"{num_samples} samples; the codes hold {given} to {given + held}")
        return soft_limit(self._tail.finish(rest, num_samples))


def check_codes(codes: np.ndarray, spec: CodecSpec) -> Codes:
    """Codes `[channels, num_quantizers, frames]`, also from those of one channel, `[num_quantizers, frames]`.

    Raises:
        ConfigError: the shape or a value is out of range.
    """
    codes = np.asarray(codes)
    codes = codes[None] if codes.ndim == 2 else codes
    count = codes.shape[1] - spec.side_numbers if codes.ndim == 3 else 0
    if not np.issubdtype(codes.dtype, np.integer) or not 1 <= count <= spec.num_quantizers:
        raise ConfigError(
            f"codes are {codes.dtype} {list(codes.shape)}; expected whole numbers [num_quantizers, frames] "
            f"with 1 to {spec.num_quantizers} quantizers{_rows_more(spec)}, or the same for each of several channels"
        )
    sizes, (found, _) = np.array([book.size for book in spec.codebooks[:count]]), without_side(codes, spec.side_numbers)
    if found.size and (not has_whole_frames(found, spec) or (found >= sizes[:, None]).any()):
        raise ConfigError(f"codes lie from {found.min()} to {found.max()}; expected 0 to {sizes.max() - 1}")
    return codes


def has_whole_frames(codes: Codes, spec: CodecSpec) -> bool:
    """Whether no code is missing, or only the last ones of frames, which have as many codebooks as the codec allows."""
    if codes.min() >= 0:
        return True
    counts = (codes >= 0).sum(axis=1)
    present = np.arange(codes.shape[1])[:, None] < counts[:, None]
    prefix = bool((codes >= np.where(present, 0, -1)).all())
    return prefix and spec.granule == 1 and bool(np.isin(counts, spec.counts).all())


def _rows_more(spec: CodecSpec) -> str:
    return f" and {spec.side_numbers} rows of side numbers" if spec.side_numbers else ""
