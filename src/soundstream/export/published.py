"""Weights that others published, as an artifact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from soundstream.export.artifact import export
from soundstream.export.hub import fetch, is_hub_id
from soundstream.export.place import check_place, install
from soundstream.nn.families import published
from soundstream.nn.model import SoundStream
from soundstream.nn.weights import read_tensors


def import_published(family: str, variant: str, weights: Path, place: Path, force: bool = False) -> str:
    """Make an artifact of published weights, with a card that says where they come from; returns its model id.

    Args:
        family: a family of networks whose weights others published, such as `encodec`.
        variant: which of their models, as the family names it.
        weights: their file: safetensors, or what `torch.save` wrote, in which nothing is executed; or `org/name` of
            a model hub.
        place: the artifact folder.
        force: replace an artifact that is there.
    Raises:
        ConfigError: there is no such family or variant.
        InputError, ArtifactError: the file cannot be had or read, or its tensors are not exactly those of the model.
        OutputError: the place is taken.
    """
    module, config = published(family, variant)
    check_place(place, force)
    with TemporaryDirectory() as work:
        fresh, hub = Path(work) / "artifact", is_hub_id(weights)
        file = fetch(str(weights), Path(work)) if hub else weights
        model = module.convert(read_tensors(file), config)
        model_id = export(model, fresh)
        source = (f"{weights}/{file.name}" if hub else weights.name), hashlib.sha256(file.read_bytes()).hexdigest()
        (fresh / "README.md").write_text(_card(model, variant, source, model_id, module.CARD), encoding="utf-8")
        install(fresh, place)
    return model_id


def _card(model: SoundStream, variant: str, source: tuple[str, str], model_id: str, origin: str) -> str:
    """The model card; the source is a name and its SHA-256."""
    config, spec = model.config, model.config.spec()
    rates = f"{spec.bitrate(min(spec.counts)):,} to {spec.bitrate(max(spec.counts)):,} bit/s"
    settings = "\n".join(f"- `{name}`: {json.dumps(value)}" for name, value in config.to_dict().items())
    return f"""# Model card: `{config.family}` {variant}

{origin.strip()}

Made of the file `{source[0]}`, SHA-256 `{source[1]}`; nothing was trained or measured here. Model id `{model_id}`.
{model.num_parameters() / 1e6:.2f} million parameters besides the codebooks; {spec.sample_rate:,} Hz,
{spec.frame_rate:g} frames a second, {rates}; algorithmic latency {spec.latency_ms:.1f} ms.

## Settings

{settings}
"""
