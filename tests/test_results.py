"""What README.md and docs/ give as measured is in docs/results, and the generator put it there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from soundstream.errors import ConfigError
from soundstream.evaluate.tables import documents, fill, fill_files, find_value, load_results, unmarked
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig

ROOT = Path(__file__).parent.parent
RESULTS = load_results(ROOT / "docs" / "results")
BY_DESIGN = {f"{config.spec().latency_ms:.1f} ms" for config in (SeanetConfig(), SpectralConfig())}
"""Numbers that look measured and are not."""

EXAMPLE = {
    "bench": {
        "hop_ms": {"p50": 1.25},
        "model": "abc",
        "rows": [
            {"codec": "ours", "part": "encoder", "mode": "offline", "times_real_time": 1234.5, "sgemm_share": 0.5},
            {"codec": "ours", "part": "encoder", "mode": "hop by hop", "times_real_time": 17.0, "sgemm_share": 0.25},
            {"codec": "opus", "part": "pcm to bytes", "mode": "offline", "times_real_time": 99.0, "sgemm_share": None},
        ],
    },
    "training": {"rows": [{"step": 1000, "rank": 9.5}, {"step": 2000, "rank": 10.25}]},
    "quality": {
        "summary": [
            {
                "content_class": "speech",
                "codec": "soundstream:3000",
                "n": 12,
                "bitrate": {"mean": 3051.4, "standard_error": 2.2, "n": 12},
                "metrics": {
                    "pesq": {"mean": 1.234, "standard_error": 0.056, "n": 11},
                    "stoi": {"mean": 0.8765, "standard_error": 0.01, "n": 12},
                    "visqol-audio": None,
                },
            },
            {
                "content_class": "music",
                "codec": "original",
                "n": 1,
                "bitrate": None,
                "metrics": {"pesq": None, "visqol-audio": {"mean": 4.73, "standard_error": None, "n": 1}},
            },
        ]
    },
}


# this checkout


@pytest.mark.parametrize("path", documents(ROOT), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_shows_what_the_results_hold(path):
    text = path.read_text()
    assert fill(text, RESULTS) == text, "run scripts/fill-tables"


def test_the_readme_measures_nothing_outside_the_markers():
    assert set(unmarked((ROOT / "README.md").read_text())) <= BY_DESIGN


@pytest.mark.parametrize("name", RESULTS)
def test_results_say_where_they_come_from(name):
    assert all(RESULTS[name].get(key) for key in ("command", "commit", "artifact", "data", "date"))


# the generator


def test_a_table_is_filled_and_filled_again_to_the_same():
    text = "before\n<!-- table: speed -->\nold\n<!-- end -->\nafter\n"
    filled = fill(text, EXAMPLE)
    assert filled == fill(filled, EXAMPLE)
    assert filled.splitlines() == [
        "before",
        "<!-- table: speed -->",
        "| codec | part | offline | hop by hop | of sgemm, offline | hop by hop |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| ours | encoder | 1,234.5 | 17.0 | 50% | 25% |",
        "| opus | pcm to bytes | 99.0 | – | – | – |",
        "<!-- end -->",
        "after",
    ]


def test_words_choose_rows():
    filled = fill("<!-- table: speed opus -->\n<!-- end -->", EXAMPLE)
    assert "opus" in filled and "ours" not in filled
    filled = fill("<!-- table: speed pcm_to_bytes ours opus -->\n<!-- end -->", EXAMPLE)
    assert "| opus | pcm to bytes | 99.0 |" in filled and "| ours" not in filled
    filled = fill("<!-- table: quality speech -->\n<!-- end -->", EXAMPLE)
    assert filled.splitlines()[1:-1] == [
        "| class | codec | n | bit/s | PESQ-wb | STOI |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| speech | soundstream:3000 | 12 | 3,051 ± 2 | 1.23 ± 0.06 (11) | 0.876 ± 0.010 |",
    ]


def test_words_may_name_a_codec_with_its_rate_and_metrics():
    rows = fill("<!-- table: quality soundstream:3000 stoi -->\n<!-- end -->", EXAMPLE).splitlines()
    assert rows[1].endswith("| bit/s | STOI |") and len(rows) == 5


def test_words_choose_columns_of_a_log():
    filled = fill("<!-- table: training rank step -->\n<!-- end -->", EXAMPLE)
    assert filled.splitlines()[1:-1] == ["| rank | step |", "| ---: | ---: |", "| 9.5 | 1,000 |", "| 10.25 | 2,000 |"]


def test_dashes_stand_where_a_metric_means_nothing():
    filled = fill("<!-- table: quality -->\n<!-- end -->", EXAMPLE)
    assert "| music | original | 1 | – | – | – | 4.73 |" in filled


def test_a_table_without_measurements_is_empty():
    text = "<!-- table: speed -->\nold\n<!-- end -->"
    assert fill(text, {}) == "<!-- table: speed -->\n<!-- end -->"


@pytest.mark.parametrize(
    ("marker", "value"),
    [
        ("bench.hop_ms.p50", "1.25"),
        ("bench.hop_ms.p50 .1f", "1.2"),
        ("bench.rows.ours/encoder/offline.times_real_time", "1,234.5"),
        ("bench.rows.opus.times_real_time .0f", "99"),
        ("quality.summary.soundstream:3000/speech.metrics.pesq.mean .2f", "1.23"),
        ("bench.model", "abc"),
    ],
)
def test_a_value_stands_in_a_sentence(marker, value):
    text = "takes <!-- value: {} -->{}<!-- end --> here"
    assert fill(text.format(marker, "9.9"), EXAMPLE) == text.format(marker, value)


@pytest.mark.parametrize(
    "marker",
    [
        "table: loudness",
        "value: gone.x",
        "value: bench.hop_ms.p51",
        "value: bench.rows.ours.part",
        "value: bench.model.x",
    ],
)
def test_a_marker_that_leads_nowhere_is_an_error(marker):
    with pytest.raises(ConfigError):
        fill(f"<!-- {marker} -->\n<!-- end -->" if "table" in marker else f"<!-- {marker} --><!-- end -->", EXAMPLE)


def test_a_row_is_found_only_if_one_fits():
    with pytest.raises(ConfigError, match="2 figures are called 'ours'"):
        find_value("bench.rows.ours.times_real_time", EXAMPLE)


def test_numbers_with_a_measured_unit_are_found_outside_markers_and_code():
    text = "A hop takes 2.1 ms, <!-- value: a.b -->3<!-- end --> ms; 40x real time, 6 kbit/s, 24 dB"
    assert unmarked(f"{text}\n```\n5 ms\n```\n`6 MB`") == ["2.1 ms", "40x real time", "24 dB"]


def test_the_files_of_a_checkout_are_filled(tmp_path):
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    (folder / "bench.json").write_text(json.dumps(EXAMPLE["bench"]))
    (tmp_path / "README.md").write_text("<!-- value: bench.hop_ms.p50 -->0<!-- end -->")
    (tmp_path / "docs" / "plain.md").write_text("nothing")
    assert fill_files(tmp_path) == [tmp_path / "README.md"]
    assert fill_files(tmp_path) == []
    assert "1.25" in (tmp_path / "README.md").read_text()


def test_the_command_names_the_files_that_it_changed(tmp_path):
    (tmp_path / "README.md").write_text("<!-- table: speed -->\nold\n<!-- end -->")
    command = [sys.executable, "-m", "soundstream.evaluate.tables"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "README.md" in result.stdout
