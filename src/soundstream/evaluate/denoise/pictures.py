"""Pictures of what the denoise switch does: quality over the level of the noise, and spectrograms of one clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundstream.analysis import drawing
from soundstream.codec import Codec
from soundstream.evaluate.denoise.report import MAIN_BITRATE, MAIN_SNR_DB, SNRS_DB, DenoiseItem, System, process
from soundstream.evaluate.metrics import REGISTRY

SHOWN = ("pesq", "stoi", "dnsmos-ovrl")
CURVES = ("noisy", *(f"{name}:{MAIN_BITRATE}" for name in ("off", "on", "deep-filter")))


def draw_curves(path: Path, report: dict[str, Any]) -> None:
    """Metrics of noisy speech over its ratio of speech to noise, a curve for each system that has all ratios."""
    found = {(row["input"], row["system"]): row["means"] for row in report["rows"]}
    figure, axes = drawing.panels(len(SHOWN), 3, 4.4, 3.6)
    for axis, metric in zip(axes, SHOWN, strict=True):
        for system in CURVES:
            means = {db: mean for db in SNRS_DB if (mean := found[f"{db}dB", system][metric])}
            values, errors = ([mean[key] for mean in means.values()] for key in ("mean", "standard_error"))
            axis.errorbar([*means], values, None if None in errors else errors, marker="o", capsize=3, label=system)
        axis.set(title=REGISTRY[metric].title, xlabel="speech to noise, dB", xticks=SNRS_DB)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    drawing.save(figure, path)


def draw_spectrograms(path: Path, codec: Codec, item: DenoiseItem) -> None:
    """One noisy clip: clean, noisy, coded with the switch off and on."""
    cells = [("clean", item.clean), (f"noisy, {MAIN_SNR_DB} dB", item.heard)]
    for name, denoise in (("off", 0.0), ("on", 1.0)):
        pcm, _ = process(codec, item, System(name, MAIN_BITRATE, denoise))
        cells.append((f"{name}, {MAIN_BITRATE} bit/s", pcm))
    drawing.spectrograms(path, {"": [(title, pcm, item.sample_rate) for title, pcm in cells]})
