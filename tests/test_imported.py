"""What one can do with EnCodec's and DAC's models, imported: all that one can with the shipped ones, or a refusal."""

import io
import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from starlette.testclient import TestClient
from typer.testing import CliRunner

import dac_weights
import encodec_weights
from soundstream import load
from soundstream.cli.commands import app
from soundstream.errors import CodecError
from soundstream.evaluate.probes import probes
from soundstream.evaluate.speed import bench
from soundstream.export.published import import_published
from soundstream.live.network.rtp import Packetizer
from soundstream.live.network.udp import Reception, decode
from soundstream.nn.families import dac, encodec
from soundstream.serve.app import make_app
from soundstream.serve.models import Models

KINDS = {
    "24khz": (encodec, encodec_weights.CONFIG, encodec_weights.published),
    "48khz": (encodec, encodec_weights.STEREO, encodec_weights.published),
    "44khz": (dac, replace(dac_weights.WIDE_BAND, num_quantizers=8), dac_weights.published),
}
"""Family, settings and weights of a variant."""
IDS = {"24khz": "4628ddf083f70154", "48khz": "c722b75c210d2203", "44khz": "371ceca8452db4f4"}
"""Of the weights that `published` draws; they change when anything in an artifact is written otherwise."""


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """An imported model of each kind, narrow."""
    place = tmp_path_factory.mktemp("imported") / request.param
    family, config, published = KINDS[request.param]
    torch.save(published(config), place.with_suffix(".th"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(family.VARIANTS, request.param, config)
        import_published(config.family, request.param, place.with_suffix(".th"), place)
    return place


@pytest.fixture(scope="module")
def codec(folder):
    return load(folder)


causal = pytest.mark.parametrize("folder", ["24khz"], indirect=True)
segments = pytest.mark.parametrize("folder", ["48khz"], indirect=True)
one_stream = pytest.mark.parametrize("folder", ["24khz", "44khz"], indirect=True)
chunks = pytest.mark.parametrize("folder", ["44khz"], indirect=True)


def sound(seconds=1.25, rate=48_000, channels=2):
    return np.random.default_rng(0).normal(0, 0.1, (channels, int(seconds * rate))).astype(np.float32)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A folder with a stereo clip of speech and one of music, from which commands run."""
    monkeypatch.chdir(tmp_path)
    for name in ("speech", "music"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "clips" / name / "a.wav", sound().T, 48_000)
    return tmp_path / "clips"


def run(*words, code=0):
    """What a command says, in a line."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_model_id_of_the_same_weights_stays(folder, codec):
    """Files name their model by it: a new field of the spec that says nothing here must not be written."""
    assert codec.model_id.hex() == IDS[folder.name]


def test_quality_is_measured_at_the_rates_of_the_model(folder, codec, clips):
    rates = [codec.spec.bitrate(count) for count in (2, 8)]
    names = [f"soundstream:{rate}" for rate in rates]
    words = "--codecs", ",".join(names), "--metrics", "si-sdr,stoi", "--jobs", 1, "--quiet"
    said = run("eval", clips, "-o", "report", "--model", folder, *words)
    rows = json.loads((clips.parent / "report/report.json").read_text())["rows"]
    assert {(row["clip"], row["codec"]) for row in rows} == {*itertools.product(("speech/a", "music/a"), names)}
    assert all(name in said for name in names)


def test_probes_hear_as_much_as_they_said(codec):
    pcm = sound(channels=1, rate=codec.spec.sample_rate)[0]
    heard = probes.coder(codec, codec.spec.bitrate(8))(pcm)
    whole, _ = codec.decode(codec.encode(pcm, codec.spec.sample_rate, codec.spec.bitrate(8)))
    assert heard.shape == pcm.shape
    quiet = np.abs(heard) < 0.9  # louder sound is limited in a file
    assert quiet.mean() > 0.5
    np.testing.assert_allclose(heard[quiet], whole[0, quiet], rtol=0, atol=1e-5)


@causal
def test_speed_is_measured_offline_and_hop_by_hop(folder, codec, monkeypatch):
    """That of segments, and what does not depend on the model: `test_bench.py`."""
    monkeypatch.setattr(bench, "count_calls", lambda *words: None)
    for name in ("install_mb", "peak_memory_mb", "import_s"):
        monkeypatch.setattr(bench.footprint, name, lambda *words: {})
    report = bench.bench([str(folder)], bitrate=codec.spec.bitrate(2), rounds=1, seconds=1)
    parts = {(row.part, row.mode) for row in report.rows}
    assert {*itertools.product(("encoder", "quantizer", "decoder"), ("offline", "hop by hop"))} < parts
    assert all(0 < hop.p50 <= hop.p99 for hop in report.hop_ms) and len(report.hop_ms) == 2


def test_codes_leave_and_come_back(folder, codec, clips):
    """Gains behind those of segments."""
    run("codes", clips / "music/a.wav", "-o", "a.npy", "--model", folder)
    run("codes", "a.npy", "-o", "a.nac", "--model", folder)
    run("codes", "a.npy", "-o", "a.wav", "--model", folder)
    given = soundfile.read(clips / "music/a.wav", dtype="float32")[0].T
    np.testing.assert_array_equal(np.squeeze(np.load("a.npy")), codec.to_codes(given, 48_000))
    decoded, rate = codec.decode((clips.parent / "a.nac").read_bytes())
    assert (decoded.shape, rate) == (given.shape, 48_000)
    np.testing.assert_allclose(soundfile.read("a.wav", dtype="float32")[0].T, decoded, atol=2**-15)


def test_entropy_tables_are_fitted_and_used_and_change_no_code(folder, codec, clips):
    fitted, bitrate = shutil.copytree(folder, clips.parent / "fitted"), codec.spec.bitrate(8)
    run("fit-entropy", fitted, "--data", clips, "--steps", 30)
    for place in (folder, fitted):
        run("encode", clips / "speech/a.wav", "-o", f"{place.name}.nac", "--model", place, "-b", bitrate)
    small, plain = (clips.parent / name for name in ("fitted.nac", f"{folder.name}.nac"))
    assert "entropy_mode best" in run("info", small)
    assert small.stat().st_size < 0.9 * plain.stat().st_size
    np.testing.assert_array_equal(load(fitted).decode(small.read_bytes())[0], codec.decode(plain.read_bytes())[0])


def test_the_page_codes_a_clip(folder, codec):
    with TestClient(make_app(Models(str(folder)), {})) as client:
        facts = client.get("/about").json()["models"][0]
        assert (facts["sample_rate"], facts["bitrate_step"]) == (codec.spec.sample_rate, codec.spec.bitrate(1))
        soundfile.write(file := io.BytesIO(), sound().T, 48_000, "FLOAT", format="WAV")
        clip = client.post("/clips", content=file.getvalue()).json()["clip"]
        wanted = {"type": "code", "request": 1, "clip": clip, "model": facts["name"]}
        head, data = answer(client, wanted | {"bitrate": codec.spec.bitrate(8), "denoise": 0, "loss": 0})
        assert head["type"] == "coded", head
        heard = np.frombuffer(data[head["file_bytes"] :], "<f4").reshape(2, -1)
        np.testing.assert_allclose(heard, codec.decode(data[: head["file_bytes"]])[0], rtol=0, atol=1e-6)
        head, _ = answer(client, wanted | {"bitrate": codec.spec.bitrate(2), "denoise": 0, "loss": 0.1})
        assert head["type"] == ("coded" if codec.spec.is_causal else "error")
        assert codec.spec.is_causal or "take a causal one" in head["message"]


def answer(client, request):
    """What the page is told of a request, and the bytes that follow."""
    with client.websocket_connect("/session") as socket:
        socket.send_text(json.dumps(request))
        while (head := socket.receive_json())["type"] == "progress":
            pass
        return head, socket.receive_bytes() if head["type"] == "coded" else b""


@causal
def test_the_page_codes_a_microphone(folder, codec):
    wanted = {"type": "open", "sample_rate": 24_000, "model": folder.name, "bitrate": codec.spec.bitrate(4)}
    pcm = sound(0.5, 24_000, 1)
    with (
        TestClient(make_app(Models(str(folder)), {})) as client,
        client.websocket_connect("/live") as line,
    ):
        line.send_text(json.dumps(wanted | {"denoise": 0, "loss": 0}))
        line.send_bytes(pcm.tobytes())
        heard = np.frombuffer(line.receive_bytes(), "<f4")
    encoder, decoder = codec.open_encoder(24_000, bitrate=codec.spec.bitrate(4)), codec.open_decoder(24_000)
    expected = np.concatenate([decoder.push(packet) for packet in encoder.push(pcm)], axis=1)[0]
    np.testing.assert_allclose(heard, expected, rtol=0, atol=1e-6)


@causal
def test_rtp_brings_the_sound_and_what_is_lost_is_filled_and_fades(codec):
    """A lost packet leaves the LSTM another memory: sound comes near to what it would be, step by step."""
    hop, frames, gone = 320, 120, 10
    packets = codec.open_encoder(24_000, bitrate=codec.spec.bitrate(8)).push(sound(frames * hop / 24_000, 24_000, 1))
    whole, holed = (received(codec, packets, lost) for lost in (None, gone))
    decoder = codec.open_decoder(24_000)
    np.testing.assert_array_equal(whole, np.concatenate([decoder.push(packet) for packet in packets], axis=1))
    assert holed.shape == whole.shape and np.isfinite(holed).all()
    off = np.abs(holed - whole)[0].reshape(-1, hop).max(axis=1)
    assert not off[:gone].any() and off[gone] > 0
    assert off[gone + 80 :].max() < 1e-3 * off[gone : gone + 10].max()


def received(codec, packets, lost):
    """What is heard of live packets that come by RTP, but for one."""
    reception, stream, decoder = Reception(24_000), Packetizer(320), codec.open_decoder(24_000)
    for i, datagram in enumerate([stream.pack(packet) for packet in packets]):
        if i != lost:
            reception.take(datagram, ("192.0.2.1", 5004), i / 75)
    return np.concatenate([decode(slot, decoder, reception.statistics) for slot in reception.drain()], axis=1)


@one_stream
def test_parts_are_joined_and_damage_is_concealed(folder, codec, clips):
    run("encode", clips / "speech/a.wav", "-o", "a.nac", "--model", folder)
    run("cut", "a.nac", "--to", 0.5, "-o", "b.nac", "--model", folder)
    run("cut", "a.nac", "--from", 0.5, "-o", "c.nac", "--model", folder)
    run("cat", "b.nac", "c.nac", "-o", "d.nac", "--model", folder)
    data = (clips.parent / "a.nac").read_bytes()
    whole = codec.decode(data)[0]
    np.testing.assert_array_equal(codec.decode((clips.parent / "d.nac").read_bytes())[0], whole)
    (clips.parent / "bad.nac").write_bytes(data[:-60] + bytes(30) + data[-30:])
    run("decode", "bad.nac", "-o", "bad.wav", "--model", folder, "--conceal")
    kept = soundfile.read("bad.wav", dtype="float32")[0].T
    assert kept.shape == whole.shape


@segments
def test_segments_are_cut_and_what_they_cannot_is_named(folder, codec, clips):
    run("encode", clips / "speech/a.wav", "-o", "a.nac", "--model", folder)
    run("cut", "a.nac", "--from", 0.25, "--to", 0.75, "-o", "b.nac", "--model", folder)
    whole, part = (codec.decode((clips.parent / name).read_bytes())[0] for name in ("a.nac", "b.nac"))
    np.testing.assert_allclose(part, whole[:, 12_000:36_000], rtol=0, atol=1e-4)
    assert "cannot be joined by their codes" in refused("cat", "b.nac", "b.nac", "-o", "c.nac", "--model", folder)
    assert "a codec with segments" in refused("decode", "a.nac", "-o", "a.wav", "--conceal", "--model", folder)
    assert "take a causal one" in refused("send", "clips/speech/a.wav", "--to", "127.0.0.1:9", "--model", folder)
    assert not [*clips.parent.glob("*.wav")] and not (clips.parent / "c.nac").exists()


@chunks
def test_what_needs_a_causal_model_is_named(folder, codec, clips):
    assert "take a causal one" in refused("send", "clips/speech/a.wav", "--to", "127.0.0.1:9", "--model", folder)
    with pytest.raises(CodecError, match="take a causal one"):
        codec.open_encoder(44_100)


def refused(*words):
    """The error of a command that is one by name."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(result.exception, CodecError), result.output
    return str(result.exception)
