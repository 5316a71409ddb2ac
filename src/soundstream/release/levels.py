"""Gives a trained codec codes for the levels of bands: its state in, the state with a fitted level stage out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from soundstream.export.artifact import export
from soundstream.runtime.artifact import load_artifact
from soundstream.runtime.model import Model
from soundstream.train.checkpoint import Checkpoint
from soundstream.train.levels_fit import LevelFitConfig, coded, fit, with_level_codes, with_model


def fitted(
    checkpoint: Checkpoint,
    data: Sequence[Path],
    minutes: float,
    config: LevelFitConfig,
    say: Callable[[str], None],
    random_signs: bool = False,
) -> Checkpoint:
    """The state with a level stage that was fitted to audio, coded as an artifact codes it.

    Args:
        data: folders of audio files, or such files.
        minutes: audio to code at most.
        say: told what is done, some lines in all.
        random_signs: as `with_level_codes`.
    Raises:
        ConfigError: the codec's family has no codes of levels, or there is no audio that can be read.
    """
    torch.manual_seed(config.seed)
    model = with_level_codes(checkpoint, random_signs)
    with TemporaryDirectory() as folder:
        export(model, Path(folder) / "codec")
        clips = list(coded(Model(load_artifact(Path(folder) / "codec")), data, minutes, say))
    assert model.level_stage
    fit(model.level_stage, clips, config, say)
    return with_model(checkpoint, model)
