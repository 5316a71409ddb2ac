"""Fits what codes the levels of bands (`nn.levels`) to a codec that is trained, and leaves the codec as it is.

    audio ── artifact ── decoded sound, latents, codes
    levels of both, over 20 ms ── gains that decoded sound lacks ── the level network learns them from latents and codes
    gains that it finds ── codebook, by k-means in the loop in which they are coded

Source: ours. K-means in the loop: closed-loop design of predictive vector quantizers (Cuperman and Gersho, 1985).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soundstream.analysis.band_levels import AUDIBLE_DB, UNIT_DB, Lack, LevelMeter, level_edges
from soundstream.arrays import Array
from soundstream.errors import AudioError, ConfigError
from soundstream.nn.families import build
from soundstream.nn.levels import MEMORY, LevelStage
from soundstream.nn.model import SoundStream
from soundstream.runtime.model import Model
from soundstream.runtime.quantizer import DEFAULT_EFFORT
from soundstream.runtime.stream import DecoderStream, LatentStream
from soundstream.train.checkpoint import Checkpoint
from soundstream.train.entropy_fit import middle, spread, tenths

WEIGHTED_DB = 25.0
"""Above that floor errors count the more the higher the level is, up to here."""
COUNTS = (2, 3, 4, 5, 6, 7, 7, 8, 10, 12, 16, 24)
"""Codebooks of latents that clips are coded with, in turn."""
CLIP_S = 10.0
"""Most audio of a place in a file."""


@dataclass(frozen=True)
class LevelFitConfig:
    """How long and how fast the level network and its codebook learn."""

    steps: int = 3000
    """Training steps of the network."""
    crops: int = 16
    """Crops in a step."""
    crop_frames: int = 144
    """Frames of a crop; in the first of them the network does not know its past, and they do not count."""
    learning_rate: float = 2e-3
    """Of AdamW; it falls to zero in a straight line."""
    rounds: int = 6
    """Rounds of k-means with the whole memory, after as many on the way there."""
    seed: int = 0
    """Of crops and of clips."""


class LevelClip(NamedTuple):
    """A sound as the level network sees it, and what it is to find."""

    seen: Float[Tensor, "channels frames"]
    """Latents, levels and quantized latents."""
    gains: Float[Tensor, "bands frames"]
    """In units of UNIT_DB."""
    weights: Float[Tensor, "bands frames"]


Say = Callable[[str], None]


def with_level_codes(checkpoint: Checkpoint, random_signs: bool = False) -> SoundStream:
    """The model of a state with a fresh level stage, for inference.

    Args:
        random_signs: of what is decoded above 2.4 kHz, from now on.
    Raises:
        ConfigError: the codec's family has no codes of levels.
    """
    if "level_codes" not in {field.name for field in dataclasses.fields(checkpoint.codec)}:
        raise ConfigError(f"the {checkpoint.codec.family} family has no codes of levels; the spectral family has")
    codec: Any = checkpoint.codec
    signs = random_signs or codec.random_signs
    model = build(dataclasses.replace(codec, level_codes=True, random_signs=signs))
    tensors = {name: t for name, t in (checkpoint.model | checkpoint.average).items() if "level_stage" not in name}
    model.load_state_dict(model.state_dict() | tensors)
    return model.eval()


def with_model(checkpoint: Checkpoint, model: SoundStream) -> Checkpoint:
    """The state with what was fitted in its model."""
    return dataclasses.replace(checkpoint, codec=model.config, model=model.state_dict(), average={}, optimizer={})


def fit(stage: LevelStage, clips: Sequence[LevelClip], config: LevelFitConfig, say: Say) -> None:
    """Fit the level network, and then its codebook, in place.

    Raises:
        ConfigError: there are no clips.
    """
    if not clips:
        raise ConfigError("there is no audio to fit levels to; give folders of audio files")
    say(f"coded {len(clips)} clips")
    learn(stage, clips, config, say)
    fit_codebook(stage, clips, config, say)


def coded(model: Model, data: Sequence[Path], minutes: float, say: Say) -> Iterator[LevelClip]:
    """Clips of files, coded with as many codebooks as COUNTS says in turn.

    Args:
        model: the codec, whose level codes say nothing yet.
        data: folders of audio files, or such files.
        minutes: audio to code at most.
        say: told of files that cannot be read.
    """
    spec, left_s, files = model.spec, 60 * minutes, spread(data)
    clip_s = min(CLIP_S, left_s / max(1, len(files)))
    rounds = max(1, round(left_s / clip_s / max(1, len(files))))
    for i, path in enumerate(files * rounds):
        if left_s <= 0:
            return
        try:
            pcm = middle(path, clip_s, spec, place=(i // len(files) + 1) / (rounds + 1))
        except AudioError as error:
            say(f"not used: {path}: {error}")
            continue
        if pcm.shape[1] < spec.sample_rate:
            continue
        left_s -= pcm.shape[1] / spec.sample_rate
        yield _clip(model, pcm, COUNTS[i % len(COUNTS)])


def _clip(model: Model, pcm: Array, count: int) -> LevelClip:
    assert model.spec.levels
    bands, spec = model.spec.levels.bands, model.spec
    latents = LatentStream(model, 1).push(pcm)
    count = min(count + (count >= model.spec.levels.place), spec.num_quantizers)
    quantized = model.quantizer.decode(model.quantizer.encode(latents, count, DEFAULT_EFFORT))
    decoded = DecoderStream(model, 1).push_latents(quantized)
    frames, edges = latents.shape[2], level_edges(spec.sample_rate, spec.hop_length)
    wanted, had = (
        LevelMeter(edges, spec.sample_rate, spec.hop_length).first(sound[0, start:], frames)
        for sound, start in ((pcm, 0), (decoded, spec.delay_samples))
    )
    highest = wanted.max(axis=0)
    gains = Lack(bands, highest).push(wanted, had) / UNIT_DB
    weights = np.clip((wanted - highest + AUDIBLE_DB) / WEIGHTED_DB, 0.1, 1)
    seen = np.concatenate([latents, quantized[:, :-bands]], axis=1)[0]
    return LevelClip(torch.from_numpy(seen), torch.from_numpy(gains.T.copy()), torch.from_numpy(weights.T.copy()))


def learn(stage: LevelStage, clips: Sequence[LevelClip], config: LevelFitConfig, say: Say) -> None:
    """Train the level network, in place."""
    generator, unknown = torch.Generator().manual_seed(config.seed), config.crop_frames // 8
    optimizer = torch.optim.AdamW(stage.network.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / 50) * (1 - step / config.steps))
    progress = tenths(say, config.steps, lambda error: f"gains are {UNIT_DB * math.sqrt(error):.2f} dB wrong")
    for step in range(1, config.steps + 1):
        batch = _batch(clips, config, generator)
        found = stage.network(batch.seen.unsqueeze(2)).squeeze(2)
        error = (batch.weights * (found - batch.gains).square())[..., unknown:]
        loss = error.sum() / batch.weights[..., unknown:].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step, float(loss.detach()))


def _batch(clips: Sequence[LevelClip], config: LevelFitConfig, generator: torch.Generator) -> LevelClip:
    """Crops `[crops, ..., crop_frames]`; short clips repeat themselves."""
    crops = []
    for i in torch.randint(len(clips), (config.crops,), generator=generator).tolist():
        frames = clips[i].gains.shape[1]
        start = int(torch.randint(max(1, frames - config.crop_frames + 1), (1,), generator=generator))
        places = (start + torch.arange(config.crop_frames)) % frames
        crops.append(tuple(part[:, places] for part in clips[i]))
    return LevelClip(*(torch.stack(parts) for parts in zip(*crops, strict=True)))


@torch.no_grad()
def fit_codebook(stage: LevelStage, clips: Sequence[LevelClip], config: LevelFitConfig, say: Say) -> None:
    """Fit the codebook to the gains that the network finds, in place; its first entry stays zero.

    K-means begins without memory, and takes more of it in steps: with all of it from the start entries run away.
    """
    frames = min(clip.gains.shape[1] for clip in clips)
    gains = torch.stack([stage.network(clip.seen[None, :, None])[0, :, 0, :frames] for clip in clips])
    flat = gains.transpose(1, 2).flatten(0, 1)
    generator = torch.Generator().manual_seed(config.seed)
    size = len(stage.codebook)
    places = torch.randint(len(flat), (size,), generator=generator)
    stage.codebook.copy_(flat[places]).mul_(torch.arange(size)[:, None] > 0)
    on_the_way = [MEMORY * i / 7 for i in range(8) for _ in range(max(1, config.rounds // 2))]
    before, error = 0.0, 0.0
    for memory in [*on_the_way, *[MEMORY] * config.rounds]:
        stage.codebook.mul_((1 - memory) / (1 - before))
        before, error = memory, _kmeans(stage.codebook, gains, memory, generator)
    say(f"codebook: {UNIT_DB * error:.2f} dB left of {UNIT_DB * float(flat.square().mean().sqrt()):.2f}")


def _kmeans(
    codebook: Tensor, gains: Float[Tensor, "clips bands frames"], memory: float, generator: torch.Generator
) -> float:
    """One round in the loop: entries move to the mean of what they are to say; the root mean square error before it."""
    total, half_norms = torch.zeros_like(gains[..., 0]), 0.5 * codebook.square().sum(1)
    sums, counts, error = torch.zeros_like(codebook), torch.zeros(len(codebook)), 0.0
    for wanted in gains.unbind(2):
        missing = wanted - memory * total
        found = (half_norms - missing @ codebook.T).argmin(1)
        total = memory * total + codebook[found]
        sums.index_add_(0, found, missing)
        counts.index_add_(0, found, torch.ones(len(found)))
        error += float((wanted - total).square().mean())
    used = counts > 0
    codebook[used] += 0.6 * ((sums[used] / counts[used, None]) - codebook[used])
    dead, busy = counts < 0.05 * counts.mean(), counts.argsort(descending=True)
    near = codebook[busy[: int(dead.sum())]]
    codebook[dead] = near + 0.1 * near.abs().mean() * torch.randn(near.shape, generator=generator)
    codebook[0] = 0
    return math.sqrt(error / gains.shape[2])
