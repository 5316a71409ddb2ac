"""The page as a folder: what is in it, where its parts come from, and what is refused."""

import gzip
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from typer.testing import CliRunner

import soundstream.serve.static_site as site
from soundstream.cli import app
from soundstream.errors import ConfigError, OutputError

RUNTIME_FILES = ("ort.wasm.min.mjs", "ort.wasm")


@pytest.fixture
def built(tmp_path, monkeypatch):
    """What a build of web/ leaves, with a runtime of two short files."""
    folder = tmp_path / "static"
    folder.mkdir()
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in RUNTIME_FILES}
    (folder / "runtime.json").write_text(json.dumps({"version": "1.2.3", "files": digests}))
    for name in ("connection.js", "codec-worker.js", "sw.js"):
        (folder / name).write_text("// built\n")
    monkeypatch.setattr(site, "BUILT", folder)
    return folder


@pytest.fixture
def runtime(tmp_path):
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in RUNTIME_FILES:
        (folder / "dist" / name).write_text(name)
    return folder


@pytest.fixture
def packed(tmp_path):
    """The runtime as the file that npm pack writes."""
    path = tmp_path / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in RUNTIME_FILES:
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return path


def unpacked(file):
    return gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes())


def test_the_page_takes_the_served_pages_parts_and_answers_them_itself(built, runtime, tiny_artifact, tmp_path):
    clip = tmp_path / "hum.flac"
    clip.write_bytes(b"fLaC")
    folder = tmp_path / "page"
    size = site.write_site(folder, str(tiny_artifact), {"hum.flac": clip}, runtime)
    assert (folder / "main.js").read_bytes() == (site.PAGE / "main.js").read_bytes()
    assert (folder / "connection.js").read_text() == "// built\n"
    about = json.loads((folder / "about.json").read_text())
    assert about["local"] and about["examples"] == ["hum.flac"] and len(about["models"]) == 1
    model = folder / "models" / about["models"][0]["name"]
    assert unpacked(model / "decoder.onnx") == (tiny_artifact / "decoder.onnx").read_bytes()
    assert (folder / "runtime" / "ort.wasm").read_text() == "ort.wasm"
    assert size == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_page_may_send_nothing_to_other_hosts(built, runtime, tiny_artifact, tmp_path):
    site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime)
    page = (tmp_path / "page" / "index.html").read_text()
    assert "connect-src 'self';" in page and page.index("Content-Security-Policy") < page.index("<script")


def test_the_service_worker_keeps_every_file_and_its_version_changes_with_any(built, runtime, tiny_artifact, tmp_path):
    builds = []
    for text in ("// built\n", "// built anew\n"):
        (built / "codec-worker.js").write_text(text)
        site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime, force=True)
        line = (tmp_path / "page" / "sw.js").read_text().splitlines()[0]
        builds.append(json.loads(line.removeprefix("const BUILD = ").removesuffix(";")))
    files = {
        path.relative_to(tmp_path / "page").as_posix() for path in (tmp_path / "page").rglob("*") if path.is_file()
    }
    assert set(builds[1]["files"]) | set(builds[1]["later"]) == (files - {"sw.js"}) | {"./"}
    assert set(builds[1]["later"]) == {f"runtime/{name}" for name in RUNTIME_FILES}
    assert builds[0]["version"] != builds[1]["version"]


def test_codebooks_for_high_rates_are_a_file_of_their_own_with_its_digest(
    built, runtime, tiny_artifact, tmp_path, monkeypatch
):
    monkeypatch.setattr(site, "_FIRST_CODEBOOKS", 1)
    site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime)
    (model,) = (tmp_path / "page" / "models").iterdir()
    pieces = [unpacked(model / f"codebooks.{i}.npy") for i in range(2)]
    books = np.concatenate([np.load(io.BytesIO(piece)) for piece in pieces])
    assert np.array_equal(books, np.load(tiny_artifact / "codebooks.npy")) and len(np.load(io.BytesIO(pieces[0]))) == 1
    digests = json.loads(unpacked(model / "packed.json"))
    assert digests == {f"codebooks.{i}.npy": hashlib.sha256(piece).hexdigest() for i, piece in enumerate(pieces)}
    worker = json.loads((tmp_path / "page" / "sw.js").read_text().splitlines()[0][len("const BUILD = ") : -1])
    assert f"models/{model.name}/codebooks.1.npy.gz" in worker["later"]


def test_a_packed_runtime_does_as_well_as_a_folder(built, packed, tiny_artifact, tmp_path):
    site.write_site(tmp_path / "page", str(tiny_artifact), {}, packed)
    assert (tmp_path / "page" / "runtime" / "ort.wasm").read_text() == "ort.wasm"


def test_another_runtime_is_refused(built, runtime, tiny_artifact, tmp_path):
    (runtime / "dist" / "ort.wasm").write_text("another")
    with pytest.raises(ConfigError, match=r"another ort\.wasm; give --runtime onnxruntime-web 1\.2\.3"):
        site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime)
    with pytest.raises(ConfigError, match="is not the runtime"):
        site.write_site(tmp_path / "page", str(tiny_artifact), {}, tmp_path / "nowhere")
    assert not (tmp_path / "page").exists()


def test_a_folder_with_other_files_is_never_overwritten(built, runtime, tiny_artifact, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    with pytest.raises(OutputError, match="it is no page"):
        site.write_site(tmp_path / "mine", str(tiny_artifact), {}, runtime, force=True)
    site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime)
    with pytest.raises(OutputError, match="--force writes a page anew"):
        site.write_site(tmp_path / "page", str(tiny_artifact), {}, runtime)


def test_the_command_says_what_is_missing(built, tmp_path, tiny_artifact):
    (built / "runtime.json").unlink()
    words = ["serve", "--model", str(tiny_artifact), "--static", str(tmp_path / "page")]
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, ConfigError) and "scripts/site" in str(found.exception)
    found = CliRunner().invoke(app, ["serve", "--force"])
    assert isinstance(found.exception, ConfigError) and "go with --static" in str(found.exception)
