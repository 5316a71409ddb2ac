"""Entropy tables for a codec that got codes of levels: those it had stay, and only what is new is learned.

The levels' codebook has latents of its own, which the other codebooks' tables need not look at; it and the codebook
behind it, which has another one before it now, are fitted anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from soundstream.entropy.bounds import PARTS
from soundstream.entropy.context import contexts, fixed_point
from soundstream.entropy.grid import Grid
from soundstream.entropy.tables import Tables
from soundstream.errors import ConfigError
from soundstream.spec import Levels
from soundstream.train.entropy_fit import (
    Codes,
    FitConfig,
    Learn,
    Predictor,
    as_floats,
    counted,
    draw,
    optimized,
    rounded,
    vector_shifts,
)

NEW = 2
"""Codebooks that are fitted: that of levels, and the one behind it."""


def extending(tables: Tables, levels: Levels | None) -> Learn:
    """What `entropy_fit.fit_artifact` is to do to keep these tables.

    Raises:
        ConfigError: the codec has no codes of levels.
    """
    if not levels:
        raise ConfigError("the codec has no codes of levels, for which its tables would be extended; fit them anew")
    return lambda codes, codebooks, config, progress, _: extended(tables, levels, codes, codebooks, config, progress)


def extended(
    tables: Tables,
    levels: Levels,
    codes: Sequence[Codes],
    codebooks: NDArray[np.float32],
    config: FitConfig,
    progress: Callable[[int, float], None] = lambda step, bits: None,
) -> Tables:
    """Tables for the stack with codes of levels.

    Args:
        tables: of the same codec without them.
        codes: `[num_quantizers, frames]`, as `entropy_fit.fit` takes them.
        codebooks: `[num_quantizers, codebook_size, latent_dim]`, those of levels among them.
        progress: called after every step with the step and its mean bits of a new code.
    Raises:
        ConfigError: the tables are of another codec.
    """
    bands, place = levels.bands, levels.place
    if tables.vectors is not None or tables.num_quantizers != len(codebooks) - 1:
        raise ConfigError(f"the tables are of {tables.num_quantizers} codebooks; expected {len(codebooks) - 1}, plain")
    shifts = vector_shifts(codebooks)
    shifts[np.arange(len(codebooks)) != place] = tables.vector_shifts  # which the tables were fitted with
    new, grid = slice(place, place + NEW), Grid(codebooks.shape[1].bit_length() - 1, ())
    whole = [clip for clip in codes if len(clip) == len(codebooks)]
    counts = counted(whole, codebooks.shape[1], grid)[new]
    predictor, sample = _fitted(codes, codebooks, shifts, counts, place, grid, config, progress)
    fresh = rounded(predictor, counts, shifts[new], sample)
    arrays = {field.name: getattr(tables, field.name) for field in dataclasses.fields(Tables)}
    arrays["hidden_weights"] = _wider(tables.hidden_weights, bands)
    stacked = {
        name: np.concatenate([array[:place], getattr(fresh, name), array[place + NEW - 1 :]])
        for name, array in arrays.items()
        if name not in {"vectors", "exponentials", "vector_shifts"}
    }
    return dataclasses.replace(tables, vector_shifts=shifts, **stacked)


def _wider(weights: NDArray[np.int8], bands: int) -> NDArray[np.int8]:
    """Weights that do not look at the latents of levels, which lie behind the others in each part of the inputs."""
    q, hidden, inputs = weights.shape
    parts = weights.reshape(q, hidden, PARTS, inputs // PARTS)
    return np.pad(parts, ((0, 0), (0, 0), (0, 0), (0, bands))).reshape(q, hidden, -1)


def _fitted(
    codes: Sequence[Codes],
    codebooks: NDArray[np.float32],
    shifts: NDArray[np.int32],
    counts: NDArray[np.float32],
    place: int,
    grid: Grid,
    config: FitConfig,
    progress: Callable[[int, float], None],
) -> tuple[Predictor, list[NDArray[np.int8]]]:
    """The predictor of the new codebooks, and inputs of theirs."""
    vectors = fixed_point(codebooks)
    torch.manual_seed(config.seed)
    predictor = Predictor(torch.from_numpy(codebooks[place : place + NEW]), torch.from_numpy(counts), config.hidden)
    optimizer, schedule = optimized(predictor, config)
    rng, searched = np.random.default_rng(config.seed), sorted({len(clip) for clip in codes if len(clip) > place})

    def known(crops: Codes) -> Iterator[NDArray[np.int8]]:
        for q, inputs in zip(range(place + NEW), contexts(vectors, shifts, crops), strict=False):
            if q >= place:
                yield inputs

    for step in range(1, config.steps + 1):
        crops = draw(codes, config, rng, int(rng.choice(searched)), grid)
        loss = torch.zeros(())
        for i, inputs in enumerate(known(crops)):
            logits = predictor(functional.dropout(as_floats(inputs), config.dropout), i)
            wanted = torch.from_numpy(crops[:, place + i].ravel().astype(np.int64))
            loss = loss + functional.cross_entropy(logits, wanted) / NEW
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(step, float(loss.detach()) / np.log(2))
    return predictor, list(known(draw(codes, config, rng, len(codebooks), grid)))
