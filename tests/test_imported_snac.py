"""What one can do with SNAC's models, imported: codes of several strides, windows and noise pass everything."""

import io
import itertools
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from starlette.testclient import TestClient
from typer.testing import CliRunner

from snac_weights import ATTENTIVE, CONFIG, published
from soundstream import flatten_codes, load, unflatten_codes
from soundstream.bitstream import Reader
from soundstream.cli.commands import app
from soundstream.errors import CodecError
from soundstream.evaluate.speed import bench
from soundstream.export.published import import_published
from soundstream.nn.families import snac
from soundstream.serve.app import make_app
from soundstream.serve.models import Models

KINDS = {"24khz": CONFIG, "32khz": ATTENTIVE}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """An imported model of each kind, narrow."""
    place = tmp_path_factory.mktemp("imported") / request.param
    torch.save(published(KINDS[request.param]), place.with_suffix(".bin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(snac.VARIANTS, request.param, KINDS[request.param])
        import_published("snac", request.param, place.with_suffix(".bin"), place)
    return place


@pytest.fixture(scope="module")
def codec(folder):
    return load(folder)


def sound(seconds=1.25, rate=48_000, channels=2):
    return np.random.default_rng(0).normal(0, 0.1, (channels, int(seconds * rate))).astype(np.float32)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A folder with a stereo clip of speech, from which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips/speech").mkdir(parents=True)
    soundfile.write(tmp_path / "clips/speech/a.wav", sound().T, 48_000)
    return tmp_path / "clips"


def run(*words, code=0):
    """What a command says, in a line."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def refused(*words):
    """The error of a command that is one by name."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(result.exception, CodecError), result.output
    return str(result.exception)


def test_its_card_says_whose_weights_they_are(folder, codec):
    card = (folder / "README.md").read_text()
    assert "MIT" in card and "hubertsiuzdak/snac" in card and "arXiv:2410.14411" in card
    assert codec.model_id.hex() in card and f"{folder.name}.bin" in card


@pytest.mark.parametrize("rate", [24_000, 32_000, 44_100])
def test_files_and_codes_hold_exactly_the_sound(codec, rate):
    pcm = sound(0.7, rate)[:, :-3]
    data = codec.encode(pcm, rate)
    decoded, _ = codec.decode(data)
    assert decoded.shape == pcm.shape
    codes = codec.to_codes(pcm, rate)
    assert codes.shape[2] % codec.spec.granule == 0
    np.testing.assert_allclose(codec.from_codes(codes, rate, pcm.shape[1]), decoded, rtol=0, atol=1e-5)
    parts = np.concatenate([*codec.coding.unpack(Reader(io.BytesIO(data)), Reader(io.BytesIO(data)).header)], axis=2)
    np.testing.assert_array_equal(parts, codes)


def test_codes_in_one_row_are_those_of_the_array(codec, clips):
    for words in ([], ["--flat"]):
        name = f"codes{len(words)}.npy"
        run("codes", clips / "speech/a.wav", "-o", name, "--model", codec.folder, *words)
        run("codes", name, "-o", f"{name}.wav", "--model", codec.folder)
    frames, row = (np.load(clips.parent / f"codes{i}.npy") for i in (0, 1))
    np.testing.assert_array_equal(row, flatten_codes(frames, codec.spec.strides))
    np.testing.assert_array_equal(frames, unflatten_codes(row, codec.spec.strides))
    assert row.shape[1] == sum(frames.shape[2] // stride for stride in codec.spec.strides)
    plain, flat = (soundfile.read(clips.parent / f"codes{i}.npy.wav")[0] for i in (0, 1))
    np.testing.assert_array_equal(plain, flat)


def test_codes_of_no_whole_window_make_sound_too(codec):
    """As many frames as a language model gave; the rest of a window is filled with zeros."""
    strides = codec.spec.strides
    codes = codec.to_codes(sound(0.5, codec.spec.sample_rate, 1), codec.spec.sample_rate)[:, : 3 * strides[0]]
    pcm = codec.from_codes(codes)
    assert pcm.shape == (1, 3 * strides[0] * codec.spec.hop_length) and np.abs(pcm).max() > 0.01


def test_parts_sound_as_in_the_whole_and_make_it_again(codec, clips):
    model = ["--model", codec.folder]
    run("encode", clips / "speech/a.wav", "-o", "a.nac", *model)
    places = (0.0, 0.3, 0.9001, 2.0)
    for i, (start, end) in enumerate(itertools.pairwise(places)):
        run("cut", "a.nac", "--from", start, "--to", end, "-o", f"{i}.nac", *model)
    run("cat", "0.nac", "1.nac", "2.nac", "-o", "again.nac", *model)
    whole, again, *parts = (
        codec.decode((clips.parent / f"{name}.nac").read_bytes())[0] for name in ("a", "again", 0, 1, 2)
    )
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-5)
    for part, (start, end) in zip(parts, itertools.pairwise(places), strict=True):
        expected = whole[:, round(start * 48_000) : round(end * 48_000)]
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-4)
    run("decode", "a.nac", "-o", "b.wav", "--from", 0.7, *model)
    found = soundfile.read("b.wav", dtype="float32")[0].T
    np.testing.assert_allclose(found, whole[:, 33_600:], rtol=0, atol=1e-4)


def test_entropy_tables_are_fitted_and_used_and_change_no_code(folder, codec, clips):
    fitted = shutil.copytree(folder, clips.parent / "fitted")
    run("fit-entropy", fitted, "--data", clips, "--steps", 30)
    for place in (folder, fitted):
        run("encode", clips / "speech/a.wav", "-o", f"{place.name}.nac", "--model", place)
    small, plain = (clips.parent / name for name in ("fitted.nac", f"{folder.name}.nac"))
    assert "entropy_mode best" in run("info", small)
    assert small.stat().st_size < 0.97 * plain.stat().st_size
    np.testing.assert_array_equal(load(fitted).decode(small.read_bytes())[0], codec.decode(plain.read_bytes())[0])


def test_the_page_codes_a_clip(folder, codec):
    with TestClient(make_app(Models(str(folder)), {})) as client:
        facts = client.get("/about").json()["models"][0]
        soundfile.write(file := io.BytesIO(), sound().T, 48_000, "FLOAT", format="WAV")
        clip = client.post("/clips", content=file.getvalue()).json()["clip"]
        rate = codec.spec.bitrate(codec.spec.num_quantizers)
        wanted = {"type": "code", "request": 1, "clip": clip, "model": facts["name"], "bitrate": rate}
        with client.websocket_connect("/session") as socket:
            socket.send_text(json.dumps(wanted | {"denoise": 0, "loss": 0}))
            while (head := socket.receive_json())["type"] == "progress":
                pass
            data = socket.receive_bytes()
    heard = np.frombuffer(data[head["file_bytes"] :], "<f4").reshape(2, -1)
    np.testing.assert_allclose(heard, codec.decode(data[: head["file_bytes"]])[0], rtol=0, atol=1e-6)


def test_quality_and_speed_are_measured(folder, codec, clips, monkeypatch):
    name = f"soundstream:{codec.spec.bitrate(codec.spec.num_quantizers)}"
    words = "--codecs", name, "--metrics", "si-sdr", "--jobs", 1, "--quiet"
    run("eval", clips, "-o", "report", "--model", folder, *words)
    rows = json.loads((clips.parent / "report/report.json").read_text())["rows"]
    assert [row["codec"] for row in rows] == [name]
    monkeypatch.setattr(bench, "count_calls", lambda *words: None)
    for measure in ("install_mb", "peak_memory_mb", "import_s"):
        monkeypatch.setattr(bench.footprint, measure, lambda *words: {})
    report = bench.bench([str(folder)], bitrate=codec.spec.bitrate(codec.spec.num_quantizers), rounds=1, seconds=1)
    parts = {(row.part, row.mode) for row in report.rows}
    assert {("encoder", "offline"), ("decoder", "offline")} <= parts


def test_what_it_cannot_is_named(folder, codec, clips):
    assert "take a causal one" in refused("send", "clips/speech/a.wav", "--to", "127.0.0.1:9", "--model", folder)
    lower = codec.spec.bitrate(codec.spec.num_quantizers) - 1
    said = refused("encode", "clips/speech/a.wav", "-o", "a.nac", "-b", lower, "--model", folder)
    assert f"choose {lower + 1}" in said
    assert not (clips.parent / "a.nac").exists()
