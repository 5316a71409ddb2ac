"""Fills Markdown from the measurements in `docs/results`, so that no figure is typed by hand.

    <!-- table: NAME WORD... -->      everything down to the next end marker is the table `NAME` of `TABLES`;
    <!-- end -->                      words choose a part of it
    <!-- value: FILE.KEY.KEY FORMAT -->27.8<!-- end -->     one figure in a sentence

A value's path begins with a file of `docs/results`. Where it meets a list of rows, the next key names one row by words
that are values of it: `bench.rows.soundstream/encoder/offline.times_real_time`. FORMAT is one of Python's, `,` if left
out. A table is empty as long as its file does not exist. Markers in code are left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from soundstream.errors import ConfigError
from soundstream.evaluate.metrics import REGISTRY
from soundstream.evaluate.probes import table
from soundstream.evaluate.report import DASH, cell
from soundstream.evaluate.statistics import Mean

Results = dict[str, dict[str, Any]]

_CODE = r"(?P<code>^```.*?^```|`[^`\n]+`)"
_TABLE = re.compile(_CODE + r"|(<!-- table: (\w+)((?: \S+)*) -->\n).*?(<!-- end -->)", re.DOTALL | re.MULTILINE)
_VALUE = re.compile(_CODE + r"|(<!-- value: (\S+)(?: (\S+))? -->).*?(<!-- end -->)", re.DOTALL | re.MULTILINE)
_MEASURED = re.compile(r"\d[\d.,]*\s?(?:ms|MB|dB|GFLOP/s|%|x real time|times real time|times faster)(?!\w)")


def load_results(folder: Path) -> Results:
    """Every measurement of a folder, by file name without `.json`."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def fill(text: str, results: Results) -> str:
    """The text with every marked table and value as the results have it.

    Raises:
        ConfigError: a marker names a table, file or figure that does not exist.
    """
    text = _TABLE.sub(lambda m: m["code"] or m[2] + _table(m[3], m[4].split(), results) + m[5], text)
    return _VALUE.sub(lambda m: m["code"] or m[2] + _value(m[3], m[4], results) + m[5], text)


def unmarked(text: str) -> list[str]:
    """Numbers with a measured unit that stand in the text outside markers and code."""
    return _MEASURED.findall(_VALUE.sub("", _TABLE.sub("", text)))


def find_value(path: str, results: Results) -> Any:
    """What a dotted path leads to.

    Raises:
        ConfigError: it leads nowhere, or to several rows.
    """
    found: Any = results
    for key in path.split("."):
        options = _options(found, key)
        if len(options) != 1:
            raise ConfigError(f"{len(options)} figures are called {key!r} in {path!r}; expected one in docs/results")
        found = options[0]
    return found


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]], words: int) -> str:
    """A table of which the first `words` columns hold words and the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in (head, rule, *rows))


def speed(words: Sequence[str], results: Results) -> str:
    """Times real time of each part, and its share of the machine's own matrix product.

    Words choose codecs, and parts whose names have `_` in the places of spaces.
    """
    rows = results["bench"]["rows"]
    for key in ("codec", "part"):
        chosen = {row[key] for row in rows} & {word.replace("_", " ") for word in words}
        rows = [row for row in rows if not chosen or row[key] in chosen]
    found = {(row["codec"], row["part"], row["mode"]): row for row in rows}
    lines = []
    for name in dict.fromkeys((row["codec"], row["part"]) for row in rows):
        modes = [found.get((*name, mode), {}) for mode in ("offline", "hop by hop")]
        speeds = [_cell(row.get("times_real_time"), ",") for row in modes]
        lines.append([*name, *speeds, *(_cell(row.get("sgemm_share"), ".0%") for row in modes)])
    return markdown(["codec", "part", "offline", "hop by hop", "of sgemm, offline", "hop by hop"], lines, words=2)


def quality(words: Sequence[str], results: Results, name: str = "quality") -> str:
    """Mean ± standard error of each metric by content class and codec, with n.

    Words choose classes, codecs with or without their rates, and metrics.
    """
    groups = results[name]["summary"]
    for names_of in (_content_class, _codec_names):
        known = {name for group in groups for name in names_of(group)}
        if chosen := known & set(words):
            groups = [group for group in groups if chosen & names_of(group)]
    metrics = dict.fromkeys(metric for group in groups for metric, mean in group["metrics"].items() if mean)
    metrics = {metric: None for metric in metrics if metric in words} or metrics
    lines = []
    for group in groups:
        means = [_mean(group["metrics"].get(metric), group["n"]) for metric in metrics]
        bitrate = cell(Mean(**group["bitrate"]) if group["bitrate"] else None, group["n"], digits=0)
        lines.append([group["content_class"], group["codec"], group["n"], bitrate, *means])
    return markdown(["class", "codec", "n", "bit/s", *(REGISTRY[metric].title for metric in metrics)], lines, words=2)


def denoise(words: Sequence[str], results: Results) -> str:
    """Mean ± standard error of what the denoise switch and others do; words choose inputs, such as `5dB` or `music`."""
    rows = [row for row in results["denoise"]["rows"] if not words or row["input"] in words]
    measured = sorted({name: None for row in rows for name, mean in row["means"].items() if mean}, key="bitrate".__ne__)
    titles = {"bitrate": "bit/s", "level_db": "level dB"} | {name: metric.title for name, metric in REGISTRY.items()}
    lines = [
        [row["input"], row["system"], row["n"], *(_mean(row["means"].get(name), row["n"]) for name in measured)]
        for row in rows
    ]
    return markdown(["input", "system", "n", *(titles[name] for name in measured)], lines, words=2)


def calls(words: Sequence[str], results: Results) -> str:
    """How many calls one core carries."""
    rows = results["bench"].get("calls", ())
    lines = [
        [row["codec"], row["sessions"], *(_cell(row[key], ".1f") for key in ("round_ms", "hop_ms"))] for row in rows
    ]
    return markdown(["codec", "calls", "ms a round, 99th percentile", "ms of sound"], lines, words=1)


def loss(words: Sequence[str], results: Results) -> str:
    """Mean ± standard error of one metric over networks that lose packets, a column for each system."""
    (metric,), rows = words, results["loss"]["rows"]
    found = {(row["losses"], row["rate"], row["system"]): row["means"][metric] for row in rows}
    names = list(dict.fromkeys(row["system"] for row in rows))
    networks = dict.fromkeys((row["losses"], row["rate"]) for row in rows)
    n = max(mean["n"] for mean in found.values() if mean)
    lines = [[kind, f"{rate:.0%}", *(_mean(found[kind, rate, name], n) for name in names)] for kind, rate in networks]
    return markdown(["losses", "lost", *names], lines, words=1)


def probes(words: Sequence[str], results: Results) -> str:
    """What a codec makes of made sounds and of speech by band; words choose kinds of probes, such as `tone`."""
    report = results["probes"]
    return markdown(table.head(report), table.lines(report, words), words=1)


def listing(rows: Sequence[dict[str, Any]], words: Sequence[str]) -> str:
    """Rows as they are, words before numbers; `words` choose columns."""
    head = list(words or rows[0])
    texts = sum(isinstance(rows[0].get(name), str) for name in head)
    return markdown(head, ([_cell(row.get(name), ",") for name in head] for row in rows), words=texts)


Make = Callable[[Sequence[str], Results], str]


def _listed(name: str) -> tuple[str, Make]:
    return name, lambda words, results: listing(results[name]["rows"], words)


TABLES: dict[str, tuple[str, Make]] = {
    "speed": ("bench", speed),
    "quality": ("quality", quality),
    **{name: (name, partial(quality, name=name)) for name in ("quality_seanet", "vbr")},
    "calls": ("bench", calls),
    "loss": ("loss", loss),
    "denoise": ("denoise", denoise),
    "probes": ("probes", probes),
    **{
        name: _listed(name)
        for name in (
            "training",
            "training_light",
            "training_seanet",
            "training_switch",
            "choices",
            "choices_recipe",
            "choices_light",
            "dac_memory",
            "dac_speed",
            "decoder_stage",
            "discriminators",
            "encodec_speed",
            "gpu",
            "importance",
            "level_codes",
            "level_gains",
            "level_stages",
            "level_search",
            "listening",
            "switch_longer",
            "limits",
            "networks",
            "effort",
            "rate_distortion",
            "second_network",
            "snac_speed",
            "tokens",
            "training_losses",
            "entropy",
            "stereo",
            "stereo_networks",
            "web",
        )
    },
}
"""Tables by name: the file they need, and what makes them."""


def fill_files(root: Path) -> list[Path]:
    """Fill README.md, the Markdown below docs/ and the model cards of a checkout; returns the files that changed."""
    results = load_results(root / "docs" / "results")
    changed = []
    for path in documents(root):
        text = path.read_text()
        if (filled := fill(text, results)) != text:
            path.write_text(filled)
            changed.append(path)
    return changed


def documents(root: Path) -> list[Path]:
    """The files of a checkout that may hold markers."""
    cards = (root / "src" / "soundstream" / "models").glob("*/README.md")
    return [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted(cards)]


def _table(name: str, words: Sequence[str], results: Results) -> str:
    if name not in TABLES:
        raise ConfigError(f"no table is called {name!r}; choose from {', '.join(TABLES)}")
    source, make = TABLES[name]
    return make(words, results) if source in results else ""


def _value(path: str, form: str | None, results: Results) -> str:
    value = find_value(path, results)
    return format(value, form or ("" if isinstance(value, str) else ","))


def _options(found: Any, key: str) -> list:
    if isinstance(found, list):
        words = set(key.split("/"))
        return [row for row in found if words <= {str(value) for value in row.values() if isinstance(value, str | int)}]
    return [found[key]] if isinstance(found, dict) and key in found else []


def _content_class(group: dict[str, Any]) -> set[str]:
    return {group["content_class"]}


def _codec_names(group: dict[str, Any]) -> set[str]:
    return {group["codec"], group["codec"].partition(":")[0]}


def _cell(value: float | str | None, form: str) -> str:
    if isinstance(value, str):
        return value
    return DASH if value is None else format(value, form)


def _mean(mean: dict[str, Any] | None, n: int) -> str:
    """With the fewer digits, the larger it is."""
    if mean is None:
        return DASH
    size = abs(mean["mean"])
    digits = 3 if size < 1 else 2 if size < 1000 else 0
    return cell(Mean(**mean), n, digits)


if __name__ == "__main__":
    for changed in fill_files(Path.cwd()):
        print(changed)
