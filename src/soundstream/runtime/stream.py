"""pcm of any chunk length to codes, and codes to pcm: a whole file is a stream in one chunk.

A codec that is not causal takes its signal in pieces by one of `runtime.policies`, which its spec chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np

from soundstream.arrays import Array, Codes
from soundstream.runtime.features import feature_stream
from soundstream.runtime.importance import counts_at, importance_of
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.policies import Chunks, Opening, Policy, SegmentDecoder, SegmentEncoder
from soundstream.runtime.search.codes import NEAREST, CodeStream, HeardCodes, NearestCodes
from soundstream.runtime.search.levels import late_paths
from soundstream.runtime.search.listening import FrameDecoder, HeardLack, ListeningSearch
from soundstream.runtime.session import State
from soundstream.spec import CodecSpec

_SILENCES: WeakKeyDictionary[Model, Array] = WeakKeyDictionary()
"""What `silence_of` found, while the models are there."""


class LatentStream:
    """pcm in, latents out: the encoder's half of a stream, in whole frames.

    Channels that are coded together are one stream: the last channel stands for those that a stream lacks.

    Args:
        channels: of the pcm.
        wait: hold back the first `spec.start_frames`, of a codec that has some; or else give each frame once it is
            complete, though the first ones then differ from those of the whole signal, and a little what follows.
        features: of the whole signal, of a codec that takes some beside the sound (`runtime.features`).
        with_sound: give the sound of each frame behind its latents, of a codec that a search can listen to.
    Raises:
        ConfigError: these are missing, too much, or of another shape.
    """

    def __init__(
        self,
        model: Model,
        channels: int,
        wait: bool = True,
        features: Array | None = None,
        with_sound: bool = False,
    ) -> None:
        self._model, self._wait, self.with_sound = model, wait, with_sound
        self._streams, self._layout = model.spec.streams(channels), model.spec.layout(channels)
        self._features = feature_stream(model.spec, model.features, features, self._streams)
        self._state = model.encoder.init_state(self._streams)
        self._denoiser_state: State | None = None
        self._missing = self._streams * len(self._layout) - channels
        self._rest = np.zeros((channels + self._missing, 0), np.float32)
        self._owed_samples = 0
        self._denoise = 0.0
        self._strength: float | None = None
        self._policy = self._chosen_policy()

    def push(self, pcm: Array, denoise: float = 0.0) -> Array:
        """Take pcm `[channels, samples]` of any length; give latents `[streams, latent_dim, frames]`.

        What the encoder says of their importance is a channel behind the latents' own, side numbers are the last
        ones, the same in all frames of a segment.

        Args:
            denoise: how much noise to remove from the frames that this push completes: 0 none, 1 all that can be;
                in the middle of a stream it is reached over TURN_S, so that nothing clicks.
        Raises:
            ConfigError: it is not 0 to 1, or above 0 with a model that was not trained for it.
        """
        self._model.spec.check_denoise(denoise)
        self._denoise = denoise
        if pcm.shape[1]:
            self._owed_samples = self._model.spec.delay_samples
        return self._added(self._push(np.concatenate([pcm, *[pcm[-1:]] * self._missing]) if self._missing else pcm))

    def _added(self, latents: Array) -> Array:
        """With what features add to them."""
        return self._features.added(latents) if self._features else latents

    def flush(self) -> Array:
        """Latents of what is still missing: of the open frame, and of the samples that the decoder gives late.

        Noise is removed as by the last push.
        The signal is filled up with zeros. There are no frames if no samples came since the last flush.
        """
        owed, self._owed_samples = self._owed_samples, 0
        if self._policy and not self._model.spec.context_frames:
            return self._policy.flush()
        missing = owed + -(self._rest.shape[1] + owed) % (self._model.spec.hop_length * self._model.spec.granule)
        last = self._push(np.zeros((len(self._rest), missing), np.float32))
        last = self._added(np.concatenate([last, self._policy.flush()], axis=2) if self._policy else last)
        if self._features:
            self._features.finish()
        return last

    @property
    def _empty(self) -> Array:
        """No latents."""
        spec = self._model.spec
        return np.zeros((self._streams, spec.encoded_channels, 0), np.float32)

    def _chosen_policy(self) -> Policy | None:
        """How the signal of a codec that is not causal is taken."""
        spec, empty = self._model.spec, self._empty
        if spec.start_frames and self._wait:
            sizes = spec.start_frames, self._model.block_frames, spec.hop_length
            return Opening(lambda pcm: self._encode(pcm, self._denoise), *sizes, empty)
        if spec.segment_samples:
            sizes = spec.segment_samples, spec.overlap_samples, len(self._rest)
            return SegmentEncoder(self._encode_alone, *sizes, empty)
        if spec.context_frames:
            frames = spec.context_frames, self._model.block_frames
            return Chunks(self._encode_alone, *frames, (spec.hop_length, 1), empty, spec.grid, spec.window_frames)
        return None

    def _encode_alone(self, pcm: Array) -> Array:
        """Latents of a piece, whatever came before it."""
        self._state, self._denoiser_state = self._model.encoder.init_state(self._streams), None
        return self._encode(pcm, self._denoise)

    def _push(self, pcm: Array) -> Array:
        hop = self._model.spec.hop_length
        granule = hop * self._model.spec.granule
        if self._policy:
            self._rest = np.zeros((len(pcm), (self._rest.shape[1] + pcm.shape[1]) % granule), np.float32)
            return self._policy.push(pcm)
        pcm = np.concatenate([self._rest, pcm], axis=1)
        whole = pcm.shape[1] // granule * granule
        self._rest = pcm[:, whole:]
        steps = self._steps(whole // hop)
        turning = [
            self._encode(part, step) for part, step in zip(_blocks(pcm[:, : len(steps) * hop], hop), steps, strict=True)
        ]
        rest = pcm[:, len(steps) * hop : whole]
        blocks = [
            *turning,
            *(self._encode(block, self._denoise) for block in _blocks(rest, self._model.block_frames * hop)),
        ]
        latents = np.concatenate([self._empty, *blocks], axis=2)
        return (
            np.concatenate([latents, pcm[:, :whole].reshape(len(pcm), -1, hop).swapaxes(1, 2)], axis=1)
            if self.with_sound
            else latents
        )

    def _steps(self, frames: int) -> list[float]:
        """Strengths of the first of these frames, until the one that was last asked for is reached."""
        if self._strength is None and frames:
            self._strength = self._denoise
        steps: list[float] = []
        while self._strength is not None and self._strength != self._denoise and len(steps) < frames:
            most = 1 / self._model.turn_frames
            step = np.clip(self._denoise - self._strength, -most, most)
            self._strength = float(self._strength + step)
            steps.append(self._strength)
        return steps

    def _encode(self, pcm: Array, denoise: float) -> Array:
        frames = -(-pcm.shape[1] // self._model.spec.hop_length)
        pcm = self._placed(np.ascontiguousarray(pcm).reshape(self._streams, len(self._layout), 1, pcm.shape[1]))
        inputs = {"pcm": pcm, **self._mask(pcm, frames, denoise)}
        told = self._model.spec.condition(denoise, len(self._layout))
        inputs |= self._model.encoder.condition(len(pcm), frames, told)
        (latents, *side), self._state = self._model.encoder.step_all(self._state, **inputs)
        repeated = [np.repeat(numbers, frames, axis=3) for numbers in side]
        return np.concatenate([latents, *repeated], axis=1)[:, :, 0] if side else latents[:, :, 0]

    def _placed(self, pcm: Array) -> Array:
        """Channels of a layout where the network has them; those that it lacks are silent."""
        if len(self._layout) == self._model.spec.channels:
            return pcm
        placed = np.zeros((len(pcm), self._model.spec.channels, *pcm.shape[2:]), np.float32)
        placed[:, self._layout] = pcm
        return placed

    def _mask(self, pcm: Array, frames: int, denoise: float) -> dict[str, Array]:
        """What the encoder is told of noise; while the switch is off the denoiser does not run, and forgets."""
        channels = self._model.encoder.input_channels("mask")
        if not channels:
            return {}
        denoiser = self._model.denoiser if denoise else None
        if denoiser is None:
            self._denoiser_state = None
            return {"mask": np.ones((len(pcm), channels, 1, frames), np.float32)}
        state = self._denoiser_state or denoiser.init_state(len(pcm))
        mask, self._denoiser_state = denoiser.step(state, pcm=pcm)
        return {"mask": mask}


LISTENING_EFFORT = 8
"""Effort from which on the search listens: it then hears so many ways of going on from each frame to the next."""
FEW, MANY, MANY_FROM = 4, 8, 32
"""Nearest codes of a frame that are heard, and the effort from which on these are more."""


def listens(spec: CodecSpec, options: EncodeOptions) -> bool:
    """Whether the search for codes listens.

    It knows no sound without the noise that is to be removed, and takes codecs whose decoder goes on frame by frame.
    """
    wanted = options.effort >= LISTENING_EFFORT and not options.denoise
    frame_by_frame = spec.is_causal and spec.granule == 1 and not spec.start_frames
    return wanted and frame_by_frame and spec.channels == len(spec.group_starts) == 1 and not spec.features


def new_code_stream(
    model: Model, streams: int, effort: int = 1, listening: bool = False, late: bool = True
) -> CodeStream:
    """What finds the codes of signals side by side.

    Args:
        listening: latents come with their sound behind them.
        late: with an effort of more than 1 codes may come some frames late.
    """
    paths, spec = late_paths(min(effort, NEAREST)) if late else 1, model.spec
    nearest = NearestCodes(model.quantizer, spec, streams, model.new_level_coder(streams, paths))
    if not listening:
        return nearest
    about = spec.sample_rate, spec.hop_length, spec.delay_samples, spec.condition(0.0, 1)
    decoder, candidates = FrameDecoder(model.decoder, *about), MANY if effort >= MANY_FROM else FEW
    ways = (effort // candidates, candidates) if late else (1, min(effort, NEAREST) // 2, 0)
    search = ListeningSearch(decoder, streams, *ways)
    return HeardCodes(nearest, search, HeardLack(decoder, streams), model.new_level_coder(streams, paths))


class EncoderStream:
    """pcm in, codes out; make a new one for each signal.

    Args:
        channels: of the pcm.
        wait: as `LatentStream`; codes may come late too where the effort is more than 1.
        features: as `LatentStream`.
    Raises:
        ConfigError: the codec does not have one of the options, or as `LatentStream`.
    """

    def __init__(
        self,
        model: Model,
        channels: int,
        options: EncodeOptions,
        wait: bool = True,
        features: Array | None = None,
    ) -> None:
        streams, listening = model.spec.streams(channels), listens(model.spec, options)
        self._model = model
        self._latents = LatentStream(model, channels, wait, features, with_sound=listening)
        self._coding = new_code_stream(model, streams, options.effort, listening, late=wait)
        self.options = options

    @property
    def options(self) -> EncodeOptions:
        """How the next frames are coded; a new denoising is reached over some frames, and ends listening."""
        return self._options

    @options.setter
    def options(self, options: EncodeOptions) -> None:
        options.check(self._model.spec)
        self._num_quantizers = self._model.spec.quantizers_for(options.rates(self._model.spec)[1])
        self._options = options
        if options.denoise and isinstance(self._coding, HeardCodes):
            self._coding, self._latents.with_sound = self._coding.deaf(), False

    def push(self, pcm: Array) -> Codes:
        """Take pcm `[channels, samples]` of any length; give codes `[streams, num_quantizers, frames]`.

        Side numbers stand behind the codes: `runtime.side`.
        """
        return self._codes(self._latents.push(pcm, self.options.denoise))

    def flush(self) -> Codes:
        """Codes of the last frames, as `LatentStream.flush`, and of those before that are not decided."""
        codes = self._codes(self._latents.flush())
        return np.concatenate([codes, self._coding.flush(self._num_quantizers)], axis=2)

    def _codes(self, latents: Array) -> Codes:
        spec, counts = self._model.spec, None
        if self.options.quality is not None:
            counts = counts_at(importance_of(latents, spec), self.options.quality, spec, self._num_quantizers)
        return self._coding.push(latents, self._num_quantizers, self.options.effort, counts)


class DecoderStream:
    """Codes in, pcm out, hop_length samples a frame but for overlaps of segments; make a new one for each signal.

    The pcm lags behind the encoder's by `spec.delay_samples`: the first ones belong to no signal.

    Args:
        denoise: how much noise to remove, with a model whose decoder can: 0 none, 1 all that can be.
        wait: hold back the first `spec.start_frames`, where they may come in several pushes.
        place: of the first frame in the signal, of a codec to which it matters (`spec.grid`).
    Raises:
        ConfigError: it is not 0 to 1, or above 0 with a model whose decoder was not trained for it.
    """

    def __init__(self, model: Model, channels: int, denoise: float = 0.0, wait: bool = False, place: int = 0) -> None:
        model.spec.check_denoise(denoise, "decoder")
        self._model, self._channels, self._wait = model, channels, wait
        self._streams, self._layout = model.spec.streams(channels), model.spec.layout(channels)
        self._told = model.spec.condition(denoise, channels)
        self._state = model.decoder.init_state(self._streams)
        self._rows = self._streams * len(self._layout)
        """Channels of all streams."""
        self._postfilter = model.new_postfilter(self._rows)
        self._policy = self._chosen_policy(self._rows, place)

    def _chosen_policy(self, channels: int, place: int) -> Policy | None:
        """How the signal of a codec that is not causal is taken."""
        spec = self._model.spec
        if spec.segment_samples:
            return SegmentDecoder(self._decode_alone, spec, channels)
        empty = np.zeros((channels, 0), np.float32)
        if spec.start_frames and self._wait:
            return Opening(self._network_pcm, spec.start_frames, self._model.block_frames, 1, empty)
        if spec.context_frames:
            frames = spec.context_frames, self._model.block_frames
            grid = spec.grid, spec.window_frames, place
            return Chunks(self._decode_alone, *frames, (1, spec.hop_length), empty, *grid)
        return None

    def push(self, codes: Codes) -> Array:
        """Take codes `[streams, num_quantizers, frames]`, side numbers behind them; give pcm `[channels, samples]`.

        These are hop_length samples a frame; a codec that is not causal gives some of them later.
        """
        return self.push_latents(self._model.latents(codes))

    def push_latents(self, latents: Array) -> Array:
        """The same from latents `[streams, latent_dim, frames]`, side numbers behind them."""
        if self._policy:
            return self._given(self._filtered(self._policy.push(latents)))
        blocks = [self._decode(block) for block in _blocks(latents, self._model.block_frames)]
        return self._given(np.concatenate([np.zeros((self._rows, 0), np.float32), *blocks], axis=1))

    def flush(self) -> Array:
        """pcm that is still missing, of a codec that is not causal; the signal is over."""
        if self._policy:
            return self._given(self._filtered(self._policy.flush()))
        return np.zeros((self._channels, 0), np.float32)

    def _given(self, pcm: Array) -> Array:
        """The channels that are wanted; the last one is the mean of those that it stood for."""
        if len(pcm) == self._channels:
            return pcm
        last = pcm[self._channels - 1 :].mean(axis=0, keepdims=True)
        return np.concatenate([pcm[: self._channels - 1], last])

    def _decode_alone(self, latents: Array) -> Array:
        """pcm of a piece, whatever came before it."""
        self._state = self._model.decoder.init_state(len(latents))
        return self._network_pcm(latents)

    def _decode(self, latents: Array) -> Array:
        return self._filtered(self._network_pcm(latents))

    def _filtered(self, pcm: Array) -> Array:
        return self._postfilter.push(pcm) if self._postfilter and pcm.shape[1] else pcm

    def _network_pcm(self, latents: Array) -> Array:
        dim, frames = self._model.spec.latent_dim, latents.shape[2]
        inputs = self._model.decoder.condition(len(latents), frames, self._told)
        if self._model.spec.side_numbers:
            inputs["side"] = np.ascontiguousarray(latents[:, dim:, None, :1])
        latents = np.ascontiguousarray(latents[:, :dim, None])
        pcm, self._state = self._model.decoder.step(self._state, latents=latents, **inputs)
        wanted = pcm if len(self._layout) == pcm.shape[1] else pcm[:, self._layout]
        return wanted.reshape(self._rows, -1)


def silence_of(model: Model) -> Array:
    """Latents `[latent_dim]` of silence that has lasted."""
    if model not in _SILENCES:
        silence = np.zeros((1, model.block_frames * model.spec.hop_length), np.float32)
        _SILENCES[model] = LatentStream(model, 1).push(silence)[0, : model.spec.latent_dim, -1]
    return _SILENCES[model]


def _blocks(array: Array, length: int) -> Iterator[Array]:
    for start in range(0, array.shape[-1], length):
        yield array[..., start : start + length]
