"""The server, driven as a page drives it."""

import io
import json
import threading

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from soundstream import IncompleteAudio, decode
from soundstream.serve.app import make_app
from soundstream.serve.limits import Limits
from soundstream.serve.models import Models

RATE, SAMPLES = 44_100, 30_001
PAGE_FILES = ("index.html", "style.css", "main.js", "microphone-worklet.js", "spectrum-worker.js", "icon.svg")


@pytest.fixture(scope="module")
def models(tiny_artifact):
    return Models(str(tiny_artifact))


@pytest.fixture
def open_client(models, tmp_path):
    """Makes a client of a new server with the limits given."""
    soundfile.write(tmp_path / "hum.wav", np.zeros(800), 8000)
    opened = []

    def make(**limits):
        client = TestClient(make_app(models, {"hum.wav": tmp_path / "hum.wav"}, Limits(**limits)))
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(open_client):
    return open_client()


def wav(samples=SAMPLES, channels=1, rate=RATE, seed=0):
    file = io.BytesIO()
    pcm = np.random.default_rng(seed).normal(0, 0.1, (samples, channels)).clip(-1, 1)
    soundfile.write(file, pcm, rate, "FLOAT", format="WAV")
    return file.getvalue(), pcm.T.astype(np.float32)


def settings(client, **changes):
    first = client.get("/about").json()["models"][0]
    return {"model": first["name"], "bitrate": 3000, "denoise": 0.0, "loss": 0.0} | changes


def coded(socket, **message):
    """Send a request; its figures, its file and its pcm `[channels, samples]`."""
    socket.send_text(json.dumps({"type": "code", **message}))
    while (head := socket.receive_json())["type"] == "progress":
        assert 0 <= head["share"] <= 1
    assert head["type"] == "coded" and head["request"] == message["request"], head
    data = socket.receive_bytes()
    pcm = np.frombuffer(data[head["file_bytes"] :], "<f4").reshape(head["channels"], -1)
    return head, data[: head["file_bytes"]], pcm


def test_the_page_and_its_parts_are_served_with_a_policy_of_self_alone(client):
    for path in ("/", *PAGE_FILES):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.content
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';") and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "soundstream" in client.get("/").text


def test_the_page_names_no_other_host_and_holds_no_inline_code(client):
    for path in PAGE_FILES:
        text = client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text
    page = client.get("/").text
    assert "<script>" not in page and "style=" not in page and " onclick" not in page


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/examples/..%2f..%2fapp.py", "/clips/x"]
)
def test_nothing_but_the_page_and_named_clips_can_be_fetched(client, path):
    assert client.get(path).status_code == 404


def test_about_tells_the_page_of_the_models(client, codec):
    about = client.get("/about").json()
    first = about["models"][0]
    assert (first["id"], first["bitrate_step"], first["max_bitrate"]) == (codec.model_id.hex(), 750, 6000)
    assert first["denoise"] is False
    assert {"base", "seanet"} < {model["name"] for model in about["models"]}
    assert about["examples"] == ["hum.wav"]
    assert client.get("/examples/hum.wav").content.startswith(b"RIFF")


def test_a_clip_comes_back_as_the_samples_of_its_file(client):
    data, pcm = wav(channels=2)
    facts = client.post("/clips", content=data).json()
    assert (facts["sample_rate"], facts["channels"], facts["samples"], facts["whole_s"]) == (RATE, 2, SAMPLES, None)
    back = np.frombuffer(client.get(f"/clips/{facts['clip']}").content, "<f4").reshape(2, -1)
    assert np.array_equal(back, pcm)


def test_a_lower_rate_takes_fewer_bytes_and_the_length_is_kept(client, models):
    clip = client.post("/clips", content=wav(channels=2)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        wanted = settings(client, clip=clip)
        high, high_file, high_pcm = coded(socket, **wanted | {"request": 1, "bitrate": 6000})
        low, low_file, low_pcm = coded(socket, **wanted | {"request": 2, "bitrate": 750})
    assert len(low_file) < len(high_file) / 4
    assert high_pcm.shape == low_pcm.shape == (2, SAMPLES)
    for facts, file, pcm in ((high, high_file, high_pcm), (low, low_file, low_pcm)):
        assert facts["bitrate"] == round(8 * len(file) * RATE / SAMPLES)
        again, sample_rate = models.get(wanted["model"]).decode(file)
        assert sample_rate == RATE and np.array_equal(again, pcm)


def test_a_shipped_model_can_be_chosen_and_its_file_decodes_anywhere(client):
    clip = client.post("/clips", content=wav(8000, rate=8000)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        _, file, pcm = coded(socket, **settings(client, clip=clip, request=0, model="seanet"))
    assert np.allclose(decode(file)[0], pcm, atol=1e-6)


def test_lost_packets_change_the_sound_and_not_its_length_or_its_file(client):
    clip = client.post("/clips", content=wav()[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        wanted = settings(client, clip=clip)
        whole, file, pcm = coded(socket, request=1, **wanted)
        some, same_file, with_gaps = coded(socket, request=2, **wanted | {"loss": 0.3})
    assert (whole["packets"], whole["lost"]) == (0, 0)
    assert 0.1 < some["lost"] / some["packets"] < 0.5
    assert same_file == file and with_gaps.shape == pcm.shape
    assert not np.allclose(with_gaps, pcm, atol=1e-3)


def test_live_packets_lie_where_the_file_lies_when_almost_none_is_lost(client):
    clip = client.post("/clips", content=wav()[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        _, _, pcm = coded(socket, request=1, **settings(client, clip=clip))
        facts, _, live = coded(socket, request=2, **settings(client, clip=clip, loss=1e-9))
    assert facts["lost"] == 0
    assert np.abs(live - pcm).max() < 1e-3 * np.abs(pcm).max()


def test_a_long_file_is_cut_at_the_limit_and_the_answer_says_so(open_client):
    facts = open_client(duration_s=0.5).post("/clips", content=wav()[0]).json()
    assert facts["samples"] == RATE // 2
    assert facts["whole_s"] == pytest.approx(SAMPLES / RATE)


def test_what_is_missing_of_a_file_is_in_the_answer(client):
    data = wav()[0]
    with pytest.warns(IncompleteAudio):
        facts = client.post("/clips", content=data[: len(data) // 2]).json()
    assert len(facts["incomplete"]) == 1 and "s are missing behind" in facts["incomplete"][0]
    assert client.post("/clips", content=data).json()["incomplete"] == []


@pytest.mark.parametrize(
    ("limits", "body", "status", "name", "words"),
    [
        ({"upload_bytes": 1000}, wav()[0], 413, "LimitError", "too large; at most 0.001 MB"),
        ({"channels": 1}, wav(channels=2)[0], 413, "LimitError", "2 channels; at most 1"),
        ({"clients": 0}, wav()[0], 413, "LimitError", "places for uploads are taken"),
        ({}, b"no audio at all", 415, "AudioError", "is not audio"),
        ({}, b"", 415, "AudioError", "empty"),
        ({}, wav(0)[0], 415, "AudioError", "no samples"),
    ],
    ids=["size", "channels", "clients", "garbage", "nothing", "no samples"],
)
def test_an_upload_that_cannot_be_taken_gets_a_named_error(open_client, limits, body, status, name, words):
    answer = open_client(**limits).post("/clips", content=body)
    assert answer.status_code == status
    assert answer.json()["name"] == name and words in answer.json()["message"]


def test_too_many_listeners_are_told_so(open_client):
    client = open_client(clients=1)
    with client.websocket_connect("/session"), client.websocket_connect("/session") as second:
        assert second.receive_json()["name"] == "LimitError"
        with pytest.raises(WebSocketDisconnect):
            second.receive_json()
    with client.websocket_connect("/session") as third:
        third.send_text("[]")
        assert third.receive_json()["name"] == "ConfigError"


def test_a_silent_connection_is_closed(open_client):
    with open_client(idle_s=0.05).websocket_connect("/session") as socket, pytest.raises(WebSocketDisconnect):
        socket.receive_json()


def test_coding_that_takes_too_long_is_stopped(open_client):
    client = open_client(job_s=0.0)
    clip = client.post("/clips", content=wav()[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        socket.send_text(json.dumps({"type": "code", "request": 3, "clip": clip} | settings(client)))
        error = socket.receive_json()
    assert (error["request"], error["name"]) == (3, "LimitError") and "longer than 0 s" in error["message"]


def test_the_oldest_clip_goes_when_there_are_too_many(open_client):
    client = open_client(clips_bytes=5 * SAMPLES)
    names = [client.post("/clips", content=wav(seed=i)[0]).json()["clip"] for i in range(2)]
    assert [client.get(f"/clips/{name}").status_code for name in names] == [404, 200]
    with client.websocket_connect("/session") as socket:
        socket.send_text(json.dumps({"type": "code", "request": 1, "clip": names[0]} | settings(client)))
        assert socket.receive_json()["name"] == "ClipGone"


GOOD = {"type": "code", "request": 1, "clip": "x", "model": "m", "bitrate": 3000, "denoise": 0, "loss": 0}
BAD_MESSAGES = [
    "",
    "{",
    "[" * 100_000,
    "null",
    "[1]",
    "{}",
    json.dumps({"type": 7}),
    json.dumps({"type": "dance"}),
    json.dumps({"type": "code"}),
    json.dumps(GOOD | {"more": 1}),
    json.dumps(GOOD | {"request": True}),
    json.dumps(GOOD | {"request": -1}),
    json.dumps(GOOD | {"bitrate": "3000"}),
    json.dumps(GOOD | {"bitrate": 1e3}),
    json.dumps(GOOD | {"denoise": float("nan")}),
    json.dumps(GOOD | {"denoise": 2}),
    json.dumps(GOOD | {"loss": 0.9}),
    json.dumps(GOOD | {"loss": None}),
    json.dumps(GOOD | {"clip": ["../../etc/passwd"]}),
    json.dumps(GOOD),
    b"\x00\xff",
]


def test_no_message_kills_the_connection(client):
    clip = client.post("/clips", content=wav(8000)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        for message in BAD_MESSAGES:
            send = socket.send_bytes if isinstance(message, bytes) else socket.send_text
            send(message)
            error = socket.receive_json()
            assert error["type"] == "error" and error["name"].endswith(("Error", "Gone"))
            assert 10 < len(error["message"]) < 300
        assert coded(socket, request=9, **settings(client, clip=clip))[2].shape == (1, 8000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bitrate": 1000}, "choose 750 to 6000"),
        ({"model": "../base"}, "is not offered here"),
        ({"denoise": 1.0}, "not trained to remove noise"),
    ],
    ids=["bitrate", "model", "denoise"],
)
def test_settings_that_a_model_lacks_are_refused_by_name(client, changes, words):
    clip = client.post("/clips", content=wav(8000)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        socket.send_text(json.dumps({"type": "code", "request": 5, "clip": clip} | settings(client) | changes))
        error = socket.receive_json()
    assert (error["name"], error["request"]) == ("ConfigError", 5) and words in error["message"]


def test_a_new_request_takes_the_place_of_one_under_way(client, monkeypatch):
    from soundstream.serve import session

    begun, code = threading.Event(), session.code

    def slow_first(codec, clip, bitrate, denoise, loss, watch):
        while bitrate == 6000:
            begun.set()
            watch(0.5)
        return code(codec, clip, bitrate, denoise, loss, watch)

    monkeypatch.setattr(session, "code", slow_first)
    clip = client.post("/clips", content=wav(8000)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        wanted = settings(client, clip=clip)
        socket.send_text(json.dumps({"type": "code", "request": 1} | wanted | {"bitrate": 6000}))
        assert begun.wait(5)
        socket.send_text(json.dumps({"type": "code", "request": 2} | wanted))
        while (answer := socket.receive_json())["type"] == "progress":
            pass
    assert (answer["type"], answer["request"]) == ("coded", 2)


def test_an_error_inside_the_server_is_told_without_its_details(client, monkeypatch):
    from soundstream.serve import session

    monkeypatch.setattr(session, "code", lambda *_: 1 / 0)
    clip = client.post("/clips", content=wav(8000)[0]).json()["clip"]
    with client.websocket_connect("/session") as socket:
        socket.send_text(json.dumps({"type": "code", "request": 1, "clip": clip} | settings(client)))
        error = socket.receive_json()
    assert error["name"] == "CodecError" and "division" not in error["message"]


def test_other_pages_cannot_use_the_server(client):
    foreign = {"origin": "http://elsewhere.example"}
    answer = client.post("/clips", content=wav()[0], headers=foreign)
    assert answer.status_code == 403 and "another origin" in answer.json()["message"]
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/session", headers=foreign):
        pass
    own = {"origin": "http://testserver"}
    assert client.post("/clips", content=wav()[0], headers=own).status_code == 200
