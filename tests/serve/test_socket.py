"""Live connections: what goes in comes back later, through packets."""

import json

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from soundstream.live import LIVE_EFFORT
from soundstream.serve.app import make_app
from soundstream.serve.limits import Limits
from soundstream.serve.models import Models

RATE = 24_000
CHUNK = 480


@pytest.fixture(scope="module")
def models(tiny_artifact):
    return Models(str(tiny_artifact))


@pytest.fixture
def open_line(models):
    """Makes a live connection to a new server with the limits given."""
    opened = []

    def make(**limits):
        client = TestClient(make_app(models, {}, Limits(**{"live_s": 20.0} | limits))).__enter__()
        socket = client.websocket_connect("/live").__enter__()
        opened[:0] = [socket, client]
        return socket

    yield make
    for thing in opened:
        thing.__exit__(None, None, None)


@pytest.fixture
def line(open_line):
    return open_line()


def wanted(models, **changes):
    name = models.facts()[0]["name"]
    settings = {"type": "open", "sample_rate": RATE, "model": name, "bitrate": 3000, "denoise": 0, "loss": 0}
    return json.dumps(settings | changes)


def talk(line, pcm):
    """Send pcm in chunks; what is heard, and the figures that came."""
    heard, stats = [], []
    for start in range(0, len(pcm), CHUNK):
        line.send_bytes(pcm[start : start + CHUNK].tobytes())
        heard.append(np.frombuffer(line.receive_bytes(), "<f4"))
        if (start + CHUNK) % RATE == 0:
            stats.append(line.receive_json())
    return np.concatenate(heard), stats


def noise(seconds):
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype("<f4")


def test_what_is_heard_is_what_the_codec_gives(line, models):
    pcm = noise(1)
    line.send_text(wanted(models))
    heard, (stats,) = talk(line, pcm)
    codec = models.get(models.facts()[0]["name"])
    expected = codec.from_codes(codec.to_codes(pcm, RATE, 3000, effort=LIVE_EFFORT))[0]
    assert len(heard) == RATE // 320 * 320
    assert np.allclose(heard, expected[: len(heard)], atol=1e-4)
    assert (stats["packets"], stats["lost"]) == (75, 0)
    assert 3000 <= stats["bitrate"] <= 3000 + 75 * 8 * 3
    assert stats["load"] > 0


def test_settings_change_in_the_middle(line, models):
    line.send_text(wanted(models))
    _, (before,) = talk(line, noise(1))
    line.send_text(json.dumps({"type": "set", "bitrate": 6000, "denoise": 0, "loss": 0.5}))
    heard, (after,) = talk(line, noise(1))
    assert after["bitrate"] > 1.5 * before["bitrate"]
    assert 0.2 < after["lost"] / after["packets"] < 0.8
    assert len(heard) == RATE


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\0\0\0\0", "before an 'open' message"),
        (json.dumps({"type": "set", "bitrate": 3000, "denoise": 0, "loss": 0}), "not expected now"),
        (json.dumps({"type": "open"}), "expected"),
        ("nothing", "no JSON"),
    ],
    ids=["pcm", "set", "no settings", "garbage"],
)
def test_a_message_out_of_place_is_told_and_the_line_stays_open(line, models, message, words):
    (line.send_bytes if isinstance(message, bytes) else line.send_text)(message)
    assert words in line.receive_json()["message"]
    line.send_text(wanted(models))
    assert len(talk(line, noise(0.1))[0]) == 7 * 320


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0", "ConfigError"),
        (bytes(4 * RATE + 4), "ConfigError"),
        (np.array([np.nan], "<f4").tobytes(), "AudioError"),
    ],
    ids=["part of a sample", "too long", "nan"],
)
def test_pcm_that_is_none_is_refused_and_leaves_no_trace(line, models, data, name):
    line.send_text(wanted(models))
    line.send_bytes(data)
    assert line.receive_json()["name"] == name
    assert len(talk(line, noise(0.1))[0]) == 7 * 320


def test_settings_that_the_model_lacks_change_nothing(line, models):
    line.send_text(wanted(models))
    for change in ({"bitrate": 1000, "denoise": 0}, {"bitrate": 6000, "denoise": 1}):
        line.send_text(json.dumps({"type": "set", "loss": 0} | change))
        assert line.receive_json()["name"] == "ConfigError"
    _, (stats,) = talk(line, noise(1))
    assert stats["bitrate"] < 3000 + 75 * 8 * 3


def test_a_line_ends_when_its_time_is_over(open_line):
    line = open_line(live_s=0.05)
    error = line.receive_json()
    assert error["name"] == "LimitError" and "ends after 0.05 s" in error["message"]
    with pytest.raises(WebSocketDisconnect):
        line.receive_json()
