"""The model card: README.md of an artifact, from what is known of model, run, data and figures."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundstream.errors import ConfigError
from soundstream.evaluate import tables
from soundstream.evaluate.probes import table as probe_table
from soundstream.export.parity import Parity
from soundstream.nn.model import SoundStream
from soundstream.train.checkpoint import Checkpoint

Entry = dict[str, Any]
COLUMNS = ("path", "category", "seconds", "origin", "licence")


@dataclass(frozen=True)
class Facts:
    """What a card tells."""

    name: str
    model_id: str
    model: SoundStream
    checkpoint: Checkpoint
    parity: Parity
    curve: Sequence[Entry]
    """Validation lines of the run's log."""
    quality: Entry | None
    """report.json of an evaluation; None if quality was not measured."""
    probes: Entry
    """What `soundstream.evaluate.probes` found."""
    marked: bool
    """Whether the tables of figures stand between markers, to be filled from docs/results."""
    sources: Sequence[Entry]
    """Rows of a table of the data; empty if there is none."""
    notes: str
    """Markdown on use and limits, written by a person."""


def card(facts: Facts) -> str:
    """The whole card as Markdown."""
    parts = [_model(facts), _training(facts), _quality(facts), _probes(facts), _limits(facts), *_data(facts.sources)]
    return f"# Model card: `{facts.name}`\n\n" + "\n\n".join(part.strip() for part in parts if part) + "\n"


def read_sources(path: Path) -> list[Entry]:
    """Rows of a tab-separated table of data files with at least path, category, seconds, origin and licence.

    Raises:
        ConfigError: it cannot be read or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t")
            missing = set(COLUMNS) - set(reader.fieldnames or [])
            rows: list[Entry] = [row | {"seconds": float(row["seconds"])} for row in reader if not missing]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the table of data {path}: {error}") from error
    if missing:
        raise ConfigError(f"{path} lacks the columns {', '.join(sorted(missing))}; expected tab-separated text")
    return rows


def _model(facts: Facts) -> str:
    config, spec = facts.model.config, facts.model.config.spec()
    rates = f"{spec.bitrate(1):,} to {spec.bitrate(spec.num_quantizers):,} bit/s in steps of {spec.bitrate(1):,}"
    settings = [[name, json.dumps(value)] for name, value in config.to_dict().items()]
    return f"""
Family `{config.family}`; {facts.model.num_parameters() / 1e6:.2f} million parameters besides the codebooks;
{spec.sample_rate:,} Hz mono, {spec.frame_rate:g} frames a second; algorithmic latency {spec.latency_ms:.1f} ms;
{rates}. Model id `{facts.model_id}`. Licence of the weights: Apache-2.0.

{tables.markdown(["setting", "value"], settings, words=2)}"""


def _training(facts: Facts) -> str:
    data, settings = _data_settings(facts), facts.checkpoint.settings
    crop_s = data["crop_frames"] / facts.model.config.spec().frame_rate
    last = "trained the denoise switch alone" if settings.get("stage") == "denoise" else "trained the codec"
    settings = {name: value for name, value in settings.items() if name != "codec"}
    text = f"""
## Training

{facts.checkpoint.progress.step:,} steps. The last part of the run {last}, with {data["batch_size"]} crops of
{crop_s:.2f} s a step and these settings:

```toml
{_toml(settings)}
```
"""
    if not facts.curve:
        return text
    wanted = [name for name in facts.curve[-1] if name != "latent_std"]
    shown = tables.listing(list(facts.curve), wanted)
    marked = _marked(f"training {' '.join(wanted)}", shown) if facts.marked else shown
    return f"""{text}
On some fixed clips of the validation data, by codebooks in use: waveform SNR in dB and log-mel distance.

{marked}"""


def _toml(settings: Entry, table: str = "") -> str:
    """Settings as a run file has them: a line each, tables last."""
    plain = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)]
    parts = {f"{table}{name}": value for name, value in settings.items() if isinstance(value, dict)}
    return "\n".join([*plain, *(f"\n[{name}]\n{_toml(value, f'{name}.')}" for name, value in parts.items() if value)])


def _quality(facts: Facts) -> str:
    if facts.quality is None:
        return "## Measured quality\n\nNot measured."
    clips = len({row["clip"] for row in facts.quality["rows"]})
    shown = tables.quality([], {"quality": facts.quality})
    return f"""
## Measured quality

On {clips} clips of the validation data, container included. Rows of `original`, where there are any, say what a
perfect copy scores.

{_marked("quality", shown) if facts.marked else shown}"""


def _probes(facts: Facts) -> str:
    shown = tables.probes([], {"probes": facts.probes})
    return f"""
## Probes

Made sounds and speech of the validation data, beside what a perfect codec gives. {probe_table.LEGEND}

{_marked("probes", shown) if facts.marked else shown}"""


def _limits(facts: Facts) -> str:
    share = _data_settings(facts).get("denoise_probability", 0)
    lines = [
        f"- Nothing above {facts.model.config.sample_rate // 2:,} Hz is kept. Channels are coded one by one.",
        f"- The denoise switch was {f'on in {share:.0%} of the crops of that part' if share else 'not trained'}.",
        f"- Stored weights and whole-number products follow the trained model at {facts.parity.stored_snr_db:g} dB; "
        f"ONNX Runtime follows PyTorch at {facts.parity.pcm_snr_db:g} dB.",
    ]
    return "\n\n".join(["## Use and limits", *([facts.notes.strip()] if facts.notes else []), "\n".join(lines)])


def _data_settings(facts: Facts) -> Entry:
    """What the run drew its batches by; earlier releases kept it beside all other settings."""
    settings = facts.checkpoint.settings
    return settings.get("data", settings)


def _data(sources: Sequence[Entry]) -> list[str]:
    if not sources:
        return ["## Data\n\nNo table of the data came with the run."]
    shares = dict.fromkeys(row["path"].split("/")[0] for row in sources)
    return ["## Data\n\nLicences as the sources state them.", *(_split(name, sources) for name in shares)]


def _split(name: str, sources: Sequence[Entry]) -> str:
    rows = [row for row in sources if row["path"].split("/")[0] == name]
    seconds: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        seconds[row["category"], row["origin"].split(":")[0], row["licence"].replace("|", "/")] += row["seconds"]
    ordered = sorted(seconds.items(), key=lambda item: (item[0][0], -item[1]))
    lines = [[*key, f"{value / 60:.1f}"] for key, value in ordered]
    return f"### {name}, {len(rows)} files\n\n" + tables.markdown(
        ["class", "origin", "licence", "minutes"], lines, words=3
    )


def _marked(name: str, table: str) -> str:
    return f"<!-- table: {name} -->\n{table}<!-- end -->"
