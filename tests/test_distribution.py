"""The name under which the package is installed: `soundstream` belongs to somebody else."""

import re
import tomllib
from pathlib import Path

import pytest

from soundstream.errors import CodecError
from soundstream.system.extras import DISTRIBUTION, extra, needs

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = [
    path
    for place in ("README.md", "pyproject.toml", "src", "docs", "tests", "scripts", "examples", "benchmarks", "configs")
    for path in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))
    if path.suffix in ("", ".py", ".md", ".toml", ".html", ".js", ".json") and path.is_file() and path != Path(__file__)
]
OLD_LINE = re.compile(r"pip install [^\n]*\bsoundstream(?![-\w/])|\bsoundstream\\?\[")


def test_no_text_gives_the_name_of_another_package():
    assert OLD_LINE.search("pip install 'soundstream[eval]'") and OLD_LINE.search("pip install -U soundstream\n")
    assert not OLD_LINE.search("pip install 'soundstream-codec[eval]'")
    assert len(TEXTS) > 200
    assert [str(path) for path in TEXTS if OLD_LINE.search(path.read_text(errors="replace"))] == []


def test_the_package_is_called_what_its_messages_say():
    assert PROJECT["name"] == DISTRIBUTION
    assert list(PROJECT["scripts"]) == ["soundstream"]


def test_every_extra_that_is_asked_for_exists():
    calls = [
        call for path in TEXTS if path.suffix == ".py" for call in re.findall(r"\bextra\(([^)]*)\)", path.read_text())
    ]
    asked = {name for call in calls for name in re.findall(r'"(\w+)"', call)}
    assert {"eval", "live", "serve", "train"} <= asked <= set(PROJECT["optional-dependencies"])


def test_a_missing_package_is_named_with_the_line_that_installs_it():
    with (
        pytest.raises(CodecError, match=rf"needs nothing_there.*pip install '{DISTRIBUTION}\[train,eval\]'"),
        needs(extra("train", "eval")),
    ):
        import nothing_there  # noqa: F401
