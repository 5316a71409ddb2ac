"""The steps of a release, in their order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import load
from soundstream.entropy import TABLES_FILE, ContextCoder, Tables
from soundstream.errors import ConfigError
from soundstream.evaluate import clips
from soundstream.evaluate.probes import probes
from soundstream.evaluate.provenance import provenance
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.export.place import check_place, install
from soundstream.nn.model import SoundStream
from soundstream.release.card import Facts, card, read_sources
from soundstream.runtime.artifact import load_artifact, write_manifest
from soundstream.runtime.model import Model
from soundstream.system.files import atomic_output
from soundstream.train import checkpoint as ckpt
from soundstream.train.entropy_fit import fit_artifact
from soundstream.train.report.records import LOG, read_log, thinned

CODECS = (
    "original,lowpass:3500,soundstream:1500,soundstream:3000,soundstream:6000,soundstream:12000,"
    "opus:6000,opus:9000,opus:12000,opus-swb:12000,opus:16000"
)
PARITY_S = 5
"""Seconds of audio for the parity check."""
CURVE_ROWS = 20
CURVE = ("step", "snr_db_", "mel_log_", "rank")
"""Beginnings of the names of the figures that the training curve keeps."""

Say = Callable[[Any], None]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a release is to do."""

    checkpoint: Path
    output: Path
    """The artifact folder."""
    valid: Path
    """Validation audio."""
    work: Path
    """Keeps artifacts, each in a folder named by its id, and all measurements, for the next release."""
    entropy_data: tuple[Path, ...] = ()
    """Training audio that the entropy tables are fitted to; without any the model writes plain codes."""
    tables: Path | None = None
    """Entropy tables that were fitted to these codebooks before, in place of a fit."""
    codecs: str | None = CODECS
    """What to measure; None for nothing."""
    metrics: tuple[str, ...] | None = None
    """None for those of `soundstream eval`."""
    limit: int | None = None
    """Most clips of a class."""
    jobs: int = 1
    results: Path | None = None
    """Folder for quality.json, probes.json and training.json."""
    sources: Path | None = None
    """Table of the data; SOURCES.tsv beside the validation audio if None."""
    notes: Path | None = None
    """Markdown for the card."""
    state: Path | None = None
    """Where a small training state goes."""
    force: bool = False
    """Replace the artifact that is there."""


def release(plan: Plan, say: Say = lambda text: None) -> str:
    """Make, check, measure and describe an artifact, and put it into its place; returns the model id.

    Everything happens in the work folder first. An artifact that is in the place stays as it is without `force`; what
    it scored on the same clips is shown before that is refused.

    Args:
        say: told what was found, as text or a table.
    Raises:
        ConfigError: the checkpoint, the notes or the table of data cannot be used.
        ParityError: the artifact does not compute what the model does.
        OutputError: the place is taken.
    """
    check_place(plan.output, force=plan.force or plan.codecs is not None)
    checkpoint, model = ckpt.load(plan.checkpoint), ckpt.load_model(plan.checkpoint)
    sources, notes = _read_sources(plan), _read_notes(plan)
    artifact = make_artifact(model, plan, say)
    model_id = artifact.name
    say(f"model {model_id}, {checkpoint.progress.step:,} steps")
    parity = check_parity(model, artifact, _clip(plan.valid, model.config.sample_rate))
    say(", ".join(f"{name} {value:.4g}" for name, value in asdict(parity).items()))
    probed = _probe(plan, artifact, say)
    quality = _measure(plan, artifact, say)
    curve = _curve(plan.checkpoint, checkpoint.progress.step)
    marked = plan.results is not None
    told = Facts(plan.output.name, model_id, model, checkpoint, parity, curve, quality, probed, marked, sources, notes)
    (artifact / "README.md").write_text(card(told), encoding="utf-8")
    check_place(plan.output, plan.force)
    install(artifact, plan.output)
    _write_results(plan, model_id, curve, {"quality": quality, "probes": probed})
    if plan.state:
        ckpt.save(plan.state, ckpt.compact(checkpoint))
    say(f"{plan.output} is model {model_id}")
    return model_id


def make_artifact(model: SoundStream, plan: Plan, say: Say) -> Path:
    """Write all files that a model id covers into a folder of the work folder that has the id as its name."""
    fresh = plan.work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    model_id = export(model, fresh)
    if plan.tables:
        model_id = _take_tables(fresh, plan.tables)
    elif plan.entropy_data:
        model_id = fit_artifact(fresh, plan.entropy_data, say=say)
    shutil.rmtree(plan.work / model_id, ignore_errors=True)
    return fresh.rename(plan.work / model_id)


def _take_tables(artifact: Path, path: Path) -> str:
    """Put entropy tables that fit its codebooks into an artifact; returns its new model id."""
    model = Model(load_artifact(artifact))
    ContextCoder(Tables.load(path), model.quantizer.codebooks, model.spec.stack(model.spec.num_quantizers))
    shutil.copyfile(path, artifact / TABLES_FILE)
    return write_manifest(artifact)


def _clip(valid: Path, sample_rate: int) -> Array:
    """The beginning of the first clip that is long enough, at the codec's rate."""
    for clip in clips.find(valid):
        pcm, rate = clips.read(clip)
        found = audio.resample(pcm[None, : PARITY_S * rate], rate, sample_rate)[0]
        if len(found) >= sample_rate and np.abs(found).max() > 1e-3:
            return np.asarray(found, np.float32)
    raise ConfigError(f"no clip of {valid} holds a second of sound")


def _probe(plan: Plan, artifact: Path, say: Say) -> Entry:
    """Probes of the artifact; with a picture in the work folder where there is to be a report."""
    codec = load(artifact)
    report = probes.run(codec, probes.find_speech(plan.valid), _tenths(say, "probes"))
    if plan.codecs is not None:
        from soundstream.evaluate.probes import pictures

        pictures.draw(plan.work / "probes.png", report, codec)
        say(f"probes are drawn in {plan.work / 'probes.png'}")
    return report


def _measure(plan: Plan, artifact: Path, say: Say) -> Entry | None:
    if plan.codecs is None:
        return None
    from soundstream.release import quality

    folder = plan.work / "evaluation"
    wanted = quality.settings(plan.valid, artifact, plan.codecs, plan.metrics, plan.limit)
    there = _copy_of_former(plan)
    former = there and quality.measure_former(wanted, there, folder, plan.jobs, _tenths(say, "the former model"))
    report = quality.measure(wanted, folder, plan.jobs, _tenths(say, "this model"))
    if former:
        say(quality.table(quality.changes(former, report)))
    elif there:
        say(f"{plan.output} lacks some of the bit rates and is not compared")
    return report


def _copy_of_former(plan: Plan) -> Path | None:
    """The artifact that is in the place, copied to where its path names its id: a path always means the same model."""
    if not plan.output.exists():
        return None
    folder = plan.work / load_artifact(plan.output).model_id.hex()
    if not folder.exists():
        shutil.copytree(plan.output, folder)
    return folder


def _tenths(say: Say, what: str) -> Callable[[int, int], None]:
    """Tell of each tenth that is done."""
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if total and done * 10 // total > told:
            told = done * 10 // total
            say(f"measuring {what}: {done} of {total}")

    return progress


def _curve(checkpoint: Path, steps: int) -> list[Entry]:
    """Some validation lines of the run up to the checkpoint, with the figures that a reader wants."""
    if not (checkpoint.parent / LOG).is_file():
        return []
    lines = [entry for entry in read_log(checkpoint.parent).validation if entry["step"] <= steps]
    return [{k: v for k, v in entry.items() if k.startswith(CURVE)} for entry in thinned(lines, CURVE_ROWS)]


def _read_sources(plan: Plan) -> list[Entry]:
    beside = plan.valid.resolve().parent / "SOURCES.tsv"
    path = plan.sources or (beside if beside.is_file() else None)
    return read_sources(path) if path else []


def _read_notes(plan: Plan) -> str:
    try:
        return plan.notes.read_text(encoding="utf-8") if plan.notes else ""
    except OSError as error:
        raise ConfigError(f"cannot read the notes {plan.notes}: {error.strerror}") from error


def _write_results(plan: Plan, model_id: str, curve: list[Entry], measured: dict[str, Entry | None]) -> None:
    if not plan.results:
        return
    plan.results.mkdir(parents=True, exist_ok=True)
    about = provenance(model_id, f"fixed clips of {plan.valid.name}, coded by the model of that step")
    results = {**measured, "training": about | {"rows": curve} if curve else None}
    for name, content in results.items():
        if content:
            with atomic_output(plan.results / f"{name}.json", force=True) as file:
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
