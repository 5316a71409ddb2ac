"""What an evaluation measures: a row for each clip and codec, in `rows.jsonl` of its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What one codec did to one clip."""

    key: str
    """Names all that the row depends on; a rerun reuses rows by it."""
    clip: str
    content_class: str
    codec: str
    seconds: float
    bytes: int
    bitrate: float | None
    """8 * bytes / seconds, container included; None for an anchor."""
    delay_ms: float
    """How late the decoded audio came, before it was aligned."""
    metrics: dict[str, float | None]
    """None where the metric has no answer for the clip; metrics without a meaning for the class are absent."""


def load_rows(path: Path) -> dict[str, Row]:
    """Finished rows by key; a line cut short by an interruption is dropped from the file."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        path.write_text("".join(whole), encoding="utf-8")
    rows = [Row(**json.loads(line)) for line in whole]
    return {row.key: row for row in rows}
