"""What a codec is to everything that is not a network: an artifact says it of itself, and nobody asks for a family."""

from __future__ import annotations

import bisect
import dataclasses
import math
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any

from soundstream.errors import ConfigError
from soundstream.limits import Flag, OneOf, Whole, check_limits

DEFAULT_BITRATE = 6000
"""Bit/s of a channel where nobody asks for another rate."""
SIDES = ("encoder", "decoder")
"""Of the quantizer, where a switch may work."""
_LATER = {
    "levels": None,
    "window_frames": 1,
    "period_frames": 1,
    "features": None,
    "importance": None,
    "layouts": (),
    "postfilter": True,
}
"""Fields that earlier specs do not have, and what they are where there is nothing to say."""


@dataclass(frozen=True)
class Codebook:
    """One codebook of a stack."""

    size: Annotated[int, Whole(2, 65_536)]
    """Entries (N), a power of two."""
    stride: Annotated[int, Whole(1, 64)] = 1
    """Frames that one of its codes covers."""
    group: str = "acoustic"
    """Codebooks of one group are residual to each other; `semantic` ones come first."""

    def __post_init__(self) -> None:
        check_limits(self)
        if self.size & (self.size - 1):
            raise ConfigError(f"codebook_size is {self.size}; expected a power of two")


@dataclass(frozen=True)
class Switch:
    """What a listener or speaker may ask a codec for, from 0 (off) to 1."""

    name: str
    side: Annotated[str, OneOf(SIDES)]
    """Which network does it."""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True)
class Levels:
    """The code of a frame that says by how much decoded sound is to be raised in bands, and has latents of its own."""

    bands: Annotated[int, Whole(1, 128)]
    """As many of the latents, the last ones: the levels of the sound at the encoder, gains at the decoder."""
    place: Annotated[int, Whole(0, 127)]
    """Which codebook of the stack has the gains; the others code the latents before them."""
    memory: float
    """Share of a gain that is left in the next frame, to which its code adds."""

    def __post_init__(self) -> None:
        check_limits(self)
        if not 0 <= self.memory < 1:
            raise ConfigError(f"memory is {self.memory!r}; expected 0 to below 1")


@dataclass(frozen=True)
class Features:
    """What an encoder takes beside the sound, and the codec has no network for; a decoder needs none of it."""

    channels: Annotated[int, Whole(1, 65_536)]
    """Numbers of a frame."""
    name: str
    """What they are, in words."""

    def __post_init__(self) -> None:
        check_limits(self)

    @property
    def missing(self) -> str:
        """What is said where they are not given."""
        return (
            f"this model codes sound with features of it, {self.channels} numbers a frame: {self.name}; give them to "
            "Codec.to_codes as features, from a model of your own (decoding needs none)"
        )


@dataclass(frozen=True)
class Importance:
    """What an encoder says of each frame beside its latents, from 0 to 1, and how far a quality may scale it.

    A frame then has `min(num_quantizers, floor(importance * quality * num_quantizers) + 1)` codebooks.
    """

    lowest: float
    """Quality at least, above 0."""
    highest: float
    """Quality at most."""

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise ConfigError(f"quality goes from {self.lowest!r} to {self.highest!r}; expected a range above 0")


@dataclass(frozen=True)
class CodecSpec:
    """A codec as bitstreams, streams and reports see it; `spec` in config.json of an artifact."""

    sample_rate: Annotated[int, Whole(8_000, 192_000)]
    """Hz at which the networks run."""
    hop_length: Annotated[int, Whole(1, 65_536)]
    """Samples per frame."""
    latent_dim: Annotated[int, Whole(1, 4096)]
    """Channels of the latents between encoder, quantizer and decoder (D)."""
    codebooks: tuple[Codebook, ...]
    """The stack, coarsest first."""
    counts: Annotated[tuple[int, ...], Whole(1, 128)]
    """How many of them, from the first on, may be used."""
    channels: Annotated[int, Whole(1, 8)] = 1
    """Channels coded together, as one stream; with 1 each is a stream of its own."""
    layouts: tuple[tuple[int, ...], ...] = ()
    """Which of `channels` a signal may have, in its order: first all, then fewer, and somewhere one alone. None is all
    of them, always."""
    segment_samples: Annotated[int, Whole(0, 2**31)] = 0
    """Samples of the pieces that are coded one by one; 0 is one endless stream."""
    overlap_samples: Annotated[int, Whole(0, 2**31)] = 0
    """Samples that neighbouring segments share."""
    lookahead_samples: Annotated[int, Whole(0, 2**31)] = 0
    """Samples beyond its own hop that the encoder needs for a frame; 0 is causal."""
    context_frames: Annotated[int, Whole(0, 2**20)] = 0
    """Frames to either side of one on which its latents, or its decoded audio, depend; 0 is causal, or segments."""
    window_frames: Annotated[int, Whole(1, 2**16)] = 1
    """Frames that networks with context take together, as local attention does, in windows from the start of a signal
    on: what is coded are whole windows."""
    period_frames: Annotated[int, Whole(1, 2**16)] = 1
    """Frames after which networks with context compute alike again, where what they do depends on the place in a
    signal: pieces of it begin on multiples of so many."""
    start_frames: Annotated[int, Whole(0, 2**20)] = 0
    """Frames at the start of a signal that a causal codec takes at once, since the first depends on all of them; its
    networks then complete the last frame themselves. Live sessions do not wait for them."""
    delay_samples: Annotated[int, Whole(0, 2**31)] = 0
    """Samples by which decoded audio lags behind the input when a frame is decoded as soon as it is complete."""
    memory_frames: Annotated[int, Whole(0, 2**31)] = 0
    """Frames before one that its decoded audio may depend on: decoding from a place begins as many before it. Of a
    memory without end, as that of an LSTM, those after which it has faded."""
    side_numbers: Annotated[int, Whole(0, 64)] = 0
    """Numbers that a segment has beside its codes, such as its gain."""
    switches: tuple[Switch, ...] = ()
    """What the codec can be asked for."""
    levels: Levels | None = None
    """Of bands, where they have a code; `latent_dim` counts them."""
    postfilter: Annotated[bool, Flag()] = True
    """Whether decoded sound passes the pitch post-filter, unless a listener wants it as the network gives it."""
    features: Features | None = None
    """What the encoder takes beside the sound."""
    importance: Importance | None = None
    """That the encoder tells how many codebooks a frame needs, where it does."""

    def __post_init__(self) -> None:
        check_limits(self)
        if not self.codebooks or max(self.counts) > len(self.codebooks):
            raise ConfigError(f"counts are {list(self.counts)}; there are {len(self.codebooks)} codebooks")
        if self.levels and not (self.levels.place < len(self.codebooks) and self.levels.bands < self.latent_dim):
            raise ConfigError(
                f"levels are {self.levels}; there are {len(self.codebooks)} codebooks of {self.latent_dim}"
            )
        if self.layouts and not self._has_layouts():
            raise ConfigError(
                f"layouts are {[*map(list, self.layouts)]} of {self.channels} channels; expected first all of them, "
                "then other numbers of them, one alone among these, and neither segments nor switches"
            )
        if self.context_frames % self.window_frames:
            raise ConfigError(
                f"context_frames is {self.context_frames}; expected whole windows of {self.window_frames} frames"
            )
        if self.segment_samples % self.hop_length or self.overlap_samples >= max(1, self.segment_samples):
            raise ConfigError(
                f"segments have {self.segment_samples} samples and overlap by {self.overlap_samples}; "
                f"expected whole frames of {self.hop_length}, and less overlap than segment"
            )

    def _has_layouts(self) -> bool:
        """Whether they are what they may be."""
        every, sizes = tuple(range(self.channels)), [len(layout) for layout in self.layouts]
        apart = len(set(sizes)) == len(sizes) and all(len({*one} & {*every}) == len(one) for one in self.layouts)
        return self.layouts[0] == every and apart and 1 in sizes and not (self.segment_samples or self.switches)

    @property
    def num_quantizers(self) -> int:
        """Codebooks that exist; fewer may be used."""
        return len(self.codebooks)

    @property
    def group_starts(self) -> tuple[int, ...]:
        """The first codebook of each group: there the residual starts anew from the latents."""
        groups = [book.group for book in self.codebooks]
        return tuple(i for i, group in enumerate(groups) if not i or group != groups[i - 1])

    @property
    def encoded_channels(self) -> int:
        """Channels that an encoder gives: latents, importance if it tells any, and side numbers."""
        return self.latent_dim + bool(self.importance) + self.side_numbers

    @property
    def codebook_bits(self) -> int:
        """Bits of one plain code, of the largest codebook."""
        return max(book.size for book in self.codebooks).bit_length() - 1

    @property
    def strides(self) -> tuple[int, ...]:
        """Frames that a code covers, by codebook."""
        return tuple(book.stride for book in self.codebooks)

    @property
    def granule(self) -> int:
        """Frames that codes, or windows, cover together: what is coded are multiples of them."""
        return math.lcm(self.window_frames, *self.strides)

    @property
    def grid(self) -> int:
        """Frames on whose multiples pieces of a signal begin, so that the networks make of them what the whole has."""
        return math.lcm(self.granule, self.period_frames)

    def stack(self, num_quantizers: int) -> tuple[tuple[int, int], ...]:
        """Bits of a plain code and frames that it covers, for the first codebooks; none where all are alike in that."""
        books = tuple((book.size.bit_length() - 1, book.stride) for book in self.codebooks[:num_quantizers])
        return () if set(books) <= {(self.codebook_bits, 1)} else books

    @property
    def is_causal(self) -> bool:
        """Whether a frame can be coded, and decoded, before what comes after it."""
        return not (self.segment_samples or self.context_frames or self.lookahead_samples)

    def layout(self, channels: int) -> tuple[int, ...]:
        """Which of the channels that are coded together a stream of so many has: of layouts the largest that divides
        them, so that none is lacking."""
        fitting = (layout for layout in self.layouts if not channels % len(layout))
        return max(fitting, key=len, default=tuple(range(self.channels)))

    def joint_channels(self, channels: int) -> int:
        """Channels of a stream, of so many."""
        return len(self.layout(channels))

    def streams(self, channels: int) -> int:
        """Signals that so many channels are coded as; the last channel fills the last one up where it lacks some."""
        return -(-channels // self.joint_channels(channels))

    def condition(self, denoise: float, channels: int) -> tuple[float, ...]:
        """What a network is told of a signal: which layout it has, or how much noise to remove, one-hot either way."""
        if self.layouts:
            return tuple(float(layout == self.layout(channels)) for layout in self.layouts)
        return 1 - denoise, denoise

    def decoded_samples(self, frames: int) -> int:
        """Samples that so many frames from the start of a signal decode to."""
        if not self.segment_samples:
            return frames * self.hop_length
        ends = (i * self._segment_step + length * self.hop_length for i, length in enumerate(self.segments(frames)))
        return max(ends, default=0)

    @property
    def surplus_samples(self) -> int:
        """Most samples, and some more, that decoded frames of a file have behind its last one."""
        frames = 1 + self.granule + self.context_frames
        return frames * self.hop_length + self.segment_samples + self.overlap_samples

    def segments(self, frames: int) -> list[int]:
        """Frames of each segment of a signal that has so many.

        Segments begin every `segment_samples - overlap_samples` up to the end of the signal. So the last ones may be
        short: not the last alone, but each whose end lies in what it shares with the next one. No two numbers of
        samples give as many frames in other segments.
        """
        full = self.segment_samples // self.hop_length
        whole = max(0, frames // full - 2 - self.segment_samples // self._segment_step)
        rest, most = frames - whole * full, self.segment_samples * (4 + self.segment_samples // self._segment_step)
        samples = bisect.bisect_left(range(most), rest, key=lambda samples: sum(self.segments_of(samples)))
        found = self.segments_of(samples)
        if sum(found) != rest:  # no signal has so many
            found = [full] * (rest // full) + [rest % full] * bool(rest % full)
        return [full] * whole + found

    def segments_of(self, samples: int) -> list[int]:
        """Frames of each segment of a signal of so many samples."""
        starts = range(0, samples, self._segment_step)
        return [-(-min(self.segment_samples, samples - start) // self.hop_length) for start in starts]

    @property
    def _segment_step(self) -> int:
        return self.segment_samples - self.overlap_samples

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def frames_in(self, seconds: float) -> int:
        """Whole frames that cover a time, at least one."""
        return max(1, math.ceil(round(seconds * self.frame_rate, 6)))

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: from a sample's arrival to its decoded value, if computing took no time."""
        awaited = self.segment_samples or self.hop_length + self.lookahead_samples
        return 1000 * (awaited + self.delay_samples) / self.sample_rate

    def bitrate(self, num_quantizers: int) -> int:
        """Nominal bit/s of the first `num_quantizers` codebooks, as plain codes."""
        bits = sum((book.size.bit_length() - 1) / book.stride for book in self.codebooks[:num_quantizers])
        return round(self.frame_rate * bits)

    def quantizers_for(self, bitrate: int | None) -> int:
        """Number of codebooks for a nominal bit rate.

        Args:
            bitrate: bit/s; None is 6,000 or, where that cannot be had, the highest below it, or else the lowest.
        Raises:
            ConfigError: no number of codebooks that may be used gives this rate.
        """
        rates = {self.bitrate(count): count for count in self.counts}
        if bitrate is None:
            return rates[max((rate for rate in rates if rate <= DEFAULT_BITRATE), default=min(rates))]
        if bitrate in rates:
            return rates[bitrate]
        low, high = min(rates), max(rates)
        even = list(rates) == list(range(low, high + 1, low))
        choice = f"{low} to {high} in steps of {low}" if even and len(rates) > 1 else ", ".join(map(str, rates))
        raise ConfigError(f"bitrate {bitrate} bit/s is not supported; choose {choice}")

    def check_quality(self, quality: float) -> None:
        """Refuse a quality that the codec does not have.

        Raises:
            ConfigError: it is out of the codec's range, or the codec does not tell what a frame needs.
        """
        if not self.importance:
            raise ConfigError(
                "this model does not tell how many codebooks a frame needs; leave out the quality (--quality) and give "
                "a bit rate, which may vary (--vbr)"
            )
        low, high = self.importance.lowest, self.importance.highest
        if not isinstance(quality, Real) or isinstance(quality, bool) or not low <= quality <= high:
            raise ConfigError(f"quality is {quality!r}; expected {low:g} to {high:g}")

    def has_denoise(self, side: str) -> bool:
        """Whether the encoder or the decoder removes noise when asked to."""
        return Switch("denoise", side) in self.switches

    def check_denoise(self, denoise: float, side: str = "encoder") -> None:
        """Refuse a strength of noise removal that the codec does not have.

        Args:
            side: of the codec that is to remove noise.
        Raises:
            ConfigError: it is not 0 to 1, or above 0 on a side or with a model that was not trained for it.
        """
        if not isinstance(denoise, Real) or not 0 <= denoise <= 1:
            raise ConfigError(f"denoise is {denoise!r}; expected 0 to 1")
        if not denoise or self.has_denoise(side):
            return
        if not any(map(self.has_denoise, SIDES)):
            raise ConfigError(
                "this model was not trained to remove noise; use denoise 0 or a model whose config.json says "
                '"denoise": true'
            )
        (other,) = set(SIDES) - {side}
        raise ConfigError(f"the {side} of this model does not remove noise; its {other} does, give denoise there")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what there is none of is left out, so that models without it keep their ids."""
        fields = dataclasses.asdict(self)
        told = {name: v for name, v in fields.items() if name not in _LATER or v != _LATER[name]}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> CodecSpec:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a key is missing or unknown, or a value is out of range.
        """
        try:
            return CodecSpec(
                **data
                | {
                    "codebooks": tuple(Codebook(**book) for book in data["codebooks"]),
                    "counts": tuple(data["counts"]),
                    "layouts": tuple(map(tuple, data.get("layouts", ()))),
                    "switches": tuple(Switch(**switch) for switch in data.get("switches", ())),
                    "levels": Levels(**data["levels"]) if data.get("levels") else None,
                    "features": Features(**data["features"]) if data.get("features") else None,
                    "importance": Importance(**data["importance"]) if data.get("importance") else None,
                }
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not the spec of a codec: {error}") from error
