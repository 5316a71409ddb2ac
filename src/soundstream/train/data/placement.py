"""Sounds placed in channels, for codecs that code several together: scenes, and what fewer channels have of them.

A scene is a crop and up to two others of its batch, each between two neighbouring loudspeakers, up to a millisecond
later in one of them; in 5.1 some have their low end in the LFE channel too. Each example of a batch has its layout, of
the sound and of what is decoded, in turn: with 5.1, stereo and mono

    example    0      1       2      3       4       5      6
    sound      5.1    5.1     5.1    stereo  stereo  mono   5.1
    decoded    5.1    stereo  mono   stereo  mono    mono   5.1

Source: VCNAC (Grötschla et al., 2026), of which the abstract names the aim: one model for all layouts, whose channels
sound right with fewer. How is ours; the downmix is that of ITU-R BS.775-3, without LFE.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soundstream.errors import ConfigError
from soundstream.nn.config import FamilyConfig

SOUNDS = 3
"""In a scene at most."""
HEARD = 2 / 3
"""Share of scenes in which each of the others is."""
QUIETER_DB = 20.0
"""By how much they are at most."""
DELAY_S = 0.001
"""Most time from one loudspeaker to its neighbour."""
LFE, LFE_HZ, LFE_SHARE = 3, 120.0, 0.5
"""Its channel in 5.1, the end of its band, and the share of scenes that have something there."""
NEIGHBOURS = {1: ((0, 0),), 2: ((0, 1),), 6: ((0, 2), (2, 1), (1, 5), (5, 4), (4, 0))}
"""Pairs of loudspeakers between which a sound may be, by number of channels in the order of WAV."""
_HALF, _ROOT = 0.5, 0.5**0.5
_STEREO = ((1.0, 0.0, _ROOT, 0.0, _ROOT, 0.0), (0.0, 1.0, _ROOT, 0.0, 0.0, _ROOT))
_MONO = ((_HALF, _HALF, _ROOT, 0.0, _HALF * _ROOT, _HALF * _ROOT),)
DOWNMIX = {(6, 2): _STEREO, (6, 1): _MONO, (2, 1): ((_HALF, _HALF),)}
"""Factors `[decoded, sound]` by numbers of channels."""


class Slot(NamedTuple):
    """What an example is: which of the codec's channels its sound has, and which are decoded."""

    sound: tuple[int, ...]
    decoded: tuple[int, ...]


class Heard(NamedTuple):
    """The channels of a batch that are decoded, and so judged."""

    example: Int[Tensor, " heard"]
    channel: Int[Tensor, " heard"]

    def of(self, audio: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "heard 1 samples"]:
        """Each as an example of one channel."""
        return audio[self.example, self.channel][:, None]


def slots(codec: FamilyConfig, batch_size: int) -> list[Slot]:
    """What each example of a batch is.

    Raises:
        ConfigError: a batch has not all of them, or there is no way to place sounds in so many channels.
    """
    layouts = codec.layouts or (tuple(range(codec.audio_channels)),)
    if unknown := {len(layout) for layout in layouts} - NEIGHBOURS.keys():
        raise ConfigError(f"sounds cannot be placed in {max(unknown)} channels; expected {[*NEIGHBOURS]}")
    kinds = [Slot(sound, decoded) for sound in layouts for decoded in layouts if len(decoded) <= len(sound)]
    if batch_size < len(kinds):
        raise ConfigError(
            f"batch_size is {batch_size}; expected at least {len(kinds)}, one for each layout and downmix"
        )
    return [kinds[example % len(kinds)] for example in range(batch_size)]


def heard_of(slots: list[Slot], device: torch.device | str = "cpu") -> Heard:
    """What is decoded of examples: of each the first channel, then of each that has more the second, and so on."""
    found = [
        (place, example, channel) for example, slot in enumerate(slots) for place, channel in enumerate(slot.decoded)
    ]
    _, examples, channels = zip(*sorted(found), strict=True)
    return Heard(torch.tensor(examples, device=device), torch.tensor(channels, device=device))


def condition(codec: FamilyConfig, slots: list[Slot], frames: int) -> Float[Tensor, "batch condition frames"]:
    """What FiLM is told: the layout that is decoded, one-hot; without layouts that the switch is off."""
    told = [codec.layouts.index(slot.decoded) if codec.layouts else 0 for slot in slots]
    return torch.eye(codec.condition_dim)[told][..., None].repeat(1, 1, frames)


class Placement:
    """Places the sounds of batches."""

    def __init__(self, codec: FamilyConfig, batch_size: int, device: torch.device | str = "cpu") -> None:
        self.codec, self.device, self.slots = codec, torch.device(device), slots(codec, batch_size)

    def scenes(
        self, sounds: Float[Tensor, "batch samples"], rng: np.random.Generator
    ) -> tuple[Float[Tensor, "batch channels samples"], Float[Tensor, "batch channels samples"]]:
        """Input, and what shall be decoded of it; channels that a layout lacks are silent."""
        voices = torch.stack([sounds.roll(shift, 0) for shift in range(SOUNDS)], dim=1)
        gains, delays, low = (torch.from_numpy(part).to(self.device) for part in self._drawn(rng))
        audio, target = (sounds.new_zeros(len(sounds), self.codec.audio_channels, sounds.shape[1]) for _ in range(2))
        for example, slot in enumerate(self.slots):
            scene = _placed(voices[example], gains[example], delays[example])[: len(slot.sound)]
            if len(slot.sound) > LFE + 1:
                scene[LFE] = low[example] * _low_end(scene.sum(0), self.codec.sample_rate)
            audio[example, slot.sound] = scene
            target[example, slot.decoded] = downmixed(scene, len(slot.decoded))
        return audio, target

    def _drawn(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Gains and delays in samples `[batch, sounds, channels]`, and gains of LFE `[batch]`."""
        batch, most = len(self.slots), max(len(slot.sound) for slot in self.slots)
        pair, angle, delay, side, there, level = rng.random((6, batch, SOUNDS))
        gains, delays = np.zeros((batch, SOUNDS, most), np.float32), np.zeros((batch, SOUNDS, most), np.int64)
        levels = np.where(there < HEARD, 10 ** (-QUIETER_DB * level / 20), 0)
        levels[:, 0] = 1
        for example, voice in np.ndindex(batch, SOUNDS):
            pairs = NEIGHBOURS[len(self.slots[example].sound)]
            one, other = pairs[int(pair[example, voice] * len(pairs))]
            gains[example, voice, other] = np.sin(np.pi / 2 * angle[example, voice])
            gains[example, voice, one] = np.cos(np.pi / 2 * angle[example, voice]) if other != one else 1
            late = (one, other)[int(2 * side[example, voice])]
            delays[example, voice, late] = round(DELAY_S * self.codec.sample_rate * delay[example, voice])
        low = (rng.random(batch) < LFE_SHARE).astype(np.float32)
        return gains * levels[..., None].astype(np.float32), delays, low


def downmixed(scene: Float[Tensor, "channels samples"], channels: int) -> Float[Tensor, "fewer samples"]:
    """What so many channels have of a scene."""
    if channels == len(scene):
        return scene
    return torch.tensor(DOWNMIX[len(scene), channels], device=scene.device) @ scene


def _placed(voices: Tensor, gains: Tensor, delays: Tensor) -> Float[Tensor, "channels samples"]:
    """Sounds `[sounds, samples]` in channels, by gains and delays `[sounds, channels]`; their ends wrap around."""
    time = torch.arange(voices.shape[1], device=voices.device)
    late = (time - delays[..., None]) % len(time)
    sounds = voices[:, None].expand(-1, gains.shape[1], -1).gather(2, late)
    return (gains[..., None] * sounds).sum(0)


def _low_end(audio: Float[Tensor, " samples"], sample_rate: int) -> Float[Tensor, " samples"]:
    spectrum = torch.fft.rfft(audio)
    spectrum[int(LFE_HZ * len(audio) / sample_rate) + 1 :] = 0
    return torch.fft.irfft(spectrum, n=len(audio))


def in_mono(
    clips: Float[Tensor, "batch 1 samples"], codec: FamilyConfig
) -> tuple[Float[Tensor, "batch channels samples"], int]:
    """Mono clips as the networks take them, and the channel in which they come back.

    They are in the layout of one channel, or in all alike where there is none.
    """
    row = next((layout[0] for layout in codec.layouts if len(layout) == 1), 0)
    audio = clips.repeat(1, codec.audio_channels, 1)
    if codec.layouts:
        audio[:, [channel for channel in range(codec.audio_channels) if channel != row]] = 0
    return audio, row


def mono_condition(codec: FamilyConfig, batch: int, frames: int) -> Float[Tensor, "batch condition frames"] | None:
    """What FiLM is told of them."""
    mono = [Slot(layout, layout) for layout in codec.layouts if len(layout) == 1]
    return condition(codec, mono * batch, frames) if mono else None
