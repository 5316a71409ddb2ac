"""One evaluation from its settings to a report folder: rows, JSON, Markdown, pictures, listening test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from soundstream.analysis.drawing import spectrograms
from soundstream.arrays import Array
from soundstream.errors import ConfigError, OutputError
from soundstream.evaluate import clips, listening, metrics, report, runner
from soundstream.evaluate.clips import Clip
from soundstream.evaluate.codecs.spec import Sources, Spec, make, model_ids, parse
from soundstream.evaluate.pictures import Point, rate_quality
from soundstream.evaluate.provenance import provenance
from soundstream.evaluate.report import Summary
from soundstream.system.files import atomic_output

LISTENING_CLIPS = 9
"""Most clips of a listening test: about half an hour of a listener's time."""


@dataclass(frozen=True)
class Settings:
    """What decides the rows of a report. A report folder keeps them and takes no others."""

    clips: str
    """Folder tree of audio files."""
    codecs: str
    """Comma-separated specs."""
    metrics: tuple[str, ...]
    model: str
    shell: tuple[str, str, str] | None
    limit: int | None
    """Most clips of a class; None is all."""
    noise_snr_db: float | None
    """Adds noisy speech at this ratio."""
    baseline: str | None
    """The codec that differences are taken to."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that is ready to run: everything that could be wrong with its settings has been checked."""

    settings: Settings
    clips: list[Clip]
    specs: list[Spec]
    sources: Sources
    metrics: list[str]
    model_ids: dict[str, str]
    """Model id by codec family, of the codecs that are ours."""


def prepare(settings: Settings) -> Evaluation:
    """Find clips, codecs and metrics.

    Raises:
        ConfigError, ArtifactError: a clip folder, codec, metric or model that does not exist.
        CodecError: a package is missing.
    """
    sources = Sources(settings.model, settings.shell)
    specs = parse(settings.codecs, sources)
    if settings.baseline is not None and settings.baseline not in map(str, specs):
        raise ConfigError(f"the baseline {settings.baseline!r} is not among the codecs {settings.codecs}")
    names = [metric.name for metric in metrics.select(settings.metrics)]
    for spec in specs:
        make(spec, sources)
    found = clips.find(Path(settings.clips), settings.limit)
    if settings.noise_snr_db is not None:
        found += clips.mix(found, settings.noise_snr_db)
    return Evaluation(settings, found, specs, sources, names, model_ids(specs, sources))


def claim(evaluation: Evaluation, folder: Path, force: bool) -> None:
    """Make the report folder, or take it up again if it has the same settings.

    Raises:
        OutputError: the folder holds something else, and `force` is not given.
    """
    wanted = json.dumps(asdict(evaluation.settings) | {"model_ids": evaluation.model_ids}, indent=1).encode() + b"\n"
    path = folder / "settings.json"
    used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if used and not force and (not path.exists() or path.read_bytes() != wanted):
        raise OutputError(f"{folder} holds something else than this evaluation; name another folder or give --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    with atomic_output(path, force=True) as file:
        file.write(wanted)


def run(evaluation: Evaluation, folder: Path, workers: int, progress: Callable[[int, int], None]) -> list[Summary]:
    """Compute what is missing and write `report.json`, `report.md` and the rate-quality pictures.

    Args:
        progress: told how many rows are done, of how many.
    """
    settings = evaluation.settings
    jobs = runner.plan(evaluation.clips, evaluation.specs, evaluation.sources, evaluation.metrics, evaluation.model_ids)
    rows = runner.run(jobs, folder / "rows.jsonl", workers, lambda done: progress(done, len(jobs)))
    summaries = report.summarize(rows, evaluation.metrics, settings.baseline)
    about = {
        **provenance(", ".join(evaluation.model_ids.values()) or "none", settings.clips),
        "versions": runner.versions(),
        "settings": asdict(settings),
    }
    report.write_json(folder / "report.json", about, rows, summaries)
    report.write_markdown(folder / "report.md", about, summaries, evaluation.metrics)
    for content_class in report.classes(summaries):
        group = [s for s in summaries if s.content_class == content_class]
        n = max(s.n for s in group)
        title = f"{content_class}, {n} clip{'s' * (n > 1)}, mean and standard error"
        if panels := _panels(group, evaluation.metrics):
            rate_quality(folder / f"rate_quality_{content_class}.png", title, panels)
    return summaries


def draw_spectrograms(evaluation: Evaluation, folder: Path, count: int) -> None:
    """Write `spectrograms_<clip>.png` for some clips of every class in turn: the original and then each codec."""
    for clip in _spread_over_classes(evaluation.clips, count):
        decoded = _decode(clip, evaluation.specs, evaluation.sources)
        pcm, rate = clips.read(clip)
        row = [("original", pcm, rate), *((str(s), x, rate) for s, x in decoded.items() if s.family != "original")]
        spectrograms(folder / f"spectrograms_{clip.name.replace('/', '_')}.png", {clip.name: row})


def write_listening_test(evaluation: Evaluation, folder: Path) -> None:
    """Write `listening/index.html` for some clips of every class in turn."""
    kept = [spec for spec in evaluation.specs if spec.has_rate] + parse(listening.ANCHOR, evaluation.sources)
    items = []
    for clip in _spread_over_classes(evaluation.clips, LISTENING_CLIPS):
        pcm, rate = clips.read(clip)
        versions = {str(spec): x for spec, x in _decode(clip, kept, evaluation.sources).items()}
        items.append(listening.Item(clip.name, rate, pcm, versions))
    (folder / "listening").mkdir(exist_ok=True)
    listening.write_page(folder / "listening" / "index.html", items)


def _decode(clip: Clip, specs: Sequence[Spec], sources: Sources) -> dict[Spec, Array]:
    return {spec: runner.process(clip, spec, sources)[1] for spec in specs}


def _panels(group: Sequence[Summary], names: Sequence[str]) -> dict[str, list[Point]]:
    panels: dict[str, list[Point]] = {}
    for name in names:
        for s in (s for s in group if s.codec != "original"):
            if (mean := s.metrics[name]) is not None:
                point = Point(s.codec, s.bitrate.mean if s.bitrate else None, mean.mean, mean.standard_error or 0)
                panels.setdefault(metrics.REGISTRY[name].title, []).append(point)
    return panels


def _spread_over_classes(found: Sequence[Clip], count: int) -> list[Clip]:
    by_class: dict[str, list[Clip]] = {}
    for clip in found:
        by_class.setdefault(clip.content_class, []).append(clip)
    ranked = sorted(((rank, i) for group in by_class.values() for rank, i in enumerate(map(found.index, group))))
    return [found[i] for _, i in ranked[:count]]
