"""The commands send and receive: two programs and a real network between them, which is this machine's own."""

import io
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from soundstream import CodecError
from soundstream.cli import app

RATE = 24_000
DEADLINE_S = 120
"""Generous: what these tests wait for takes seconds."""


@pytest.fixture
def start(tiny_artifact, tmp_path):
    """Start the command line in an empty folder; what still runs at the end is killed."""
    started = []

    def run(*words, stdin=subprocess.DEVNULL, model=tiny_artifact):
        command = [sys.executable, "-m", "soundstream", *words, "--model", str(model)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=tmp_path, stdin=stdin, stdout=pipe, stderr=pipe, bufsize=0)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def receiving(start):
    """Start a receiver on a free port of loopback; gives the process and its address."""

    def run(*words, **options):
        process = start("receive", "--port", "0", "--bind", "127.0.0.1", "--idle-s", "20", *words, **options)
        line = process.stderr.readline().decode()
        port = re.search(r"listening on 127\.0\.0\.1 port (\d+)", line)
        assert port, line
        return process, f"127.0.0.1:{port[1]}"

    return run


@pytest.fixture
def refused(tiny_artifact, tmp_path, monkeypatch):
    """Run the command line in this process; the message of its error must have these words."""
    monkeypatch.chdir(tmp_path)

    def run(*words, said):
        with pytest.raises(CodecError, match=re.escape(said)):
            app([*words, "--model", str(tiny_artifact)], standalone_mode=False)
        return True

    return run


@pytest.fixture
def talk(tmp_path):
    """A second and a half of noise, and its file."""
    pcm = np.random.default_rng(0).normal(0, 0.1, int(1.5 * RATE))
    soundfile.write(tmp_path / "talk.wav", pcm, RATE, subtype="PCM_16")
    return tmp_path / "talk.wav"


def finish(process, data=None):
    output, errors = process.communicate(data, timeout=DEADLINE_S)
    return process.returncode, output, errors.decode()


def test_a_call_over_a_lossy_network(start, receiving, talk, tmp_path):
    receiver, address = receiving("-o", "heard.wav", "--json")
    faults = ("--loss", "0.1", "--jitter-ms", "5", "--seed", "4", "--redundancy", "2")
    code, output, errors = finish(start("send", "talk.wav", "--to", address, *faults, "--json"))
    sent = json.loads(output)
    assert (code, sent["packets"], sent["failed"], sent["duration_s"]) == (0, 113, 0, 1.5), errors
    assert 3 <= sent["simulated_losses"] <= 25
    code, output, errors = finish(receiver)
    heard = json.loads(output)
    assert code == 0, errors
    assert heard["model"] == sent["model"]
    assert heard["received"] == 113 - sent["simulated_losses"]
    assert heard["undecodable"] == heard["foreign"] == heard["malformed"] == 0
    assert heard["concealed"] >= heard["lost"] > 0
    assert re.search(rf"received 1\.\d s: {heard['received']} packets, {heard['lost']} lost \(", errors)
    file = soundfile.info(tmp_path / "heard.wav")
    assert (file.samplerate, file.channels) == (RATE, 1)
    assert file.frames == heard["expected"] * 320 == pytest.approx(1.5 * RATE, abs=2000)


def test_pipes_at_both_ends(start, receiving, talk):
    receiver, address = receiving("-o", "-", "--sample-rate", "48000", "--channels", "2")
    pcm, _ = soundfile.read(talk, dtype="int16")
    sender = start(
        "send", "-", "--raw", str(RATE), "--channels", "2", "--to", address, "--packet-frames", "2", stdin=-1
    )
    assert finish(sender, np.repeat(pcm, 2).tobytes())[0] == 0
    code, output, errors = finish(receiver)
    assert code == 0, errors
    heard, rate = soundfile.read(io.BytesIO(output))
    assert (rate, heard.shape[1]) == (48_000, 2)
    assert len(heard) == pytest.approx(1.5 * 48_000, abs=3000)


def test_wav_from_a_pipe_is_mixed_down(start, receiving, tmp_path):
    receiver, address = receiving("-o", "heard.flac", "--json")
    stream = io.BytesIO()
    soundfile.write(stream, np.random.default_rng(1).normal(0, 0.1, (8000, 2)), 16_000, format="WAV")
    assert finish(start("send", "-", "--to", address, stdin=-1), stream.getvalue())[0] == 0
    code, output, errors = finish(receiver)
    assert (code, json.loads(output)["undecodable"]) == (0, 0), errors
    assert soundfile.info(tmp_path / "heard.flac").channels == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receiver_that_is_stopped_leaves_a_whole_file(start, receiving, tmp_path, number):
    receiver, address = receiving("-o", "heard.wav")
    sender = start("send", "-", "--raw", str(RATE), "--to", address, stdin=-1)
    sender.stdin.write(bytes(RATE))
    sender.stdin.flush()
    partial = wait_for(lambda: [path for path in tmp_path.glob(".heard*") if path.stat().st_size > 10_000])
    assert partial and not (tmp_path / "heard.wav").exists()
    receiver.send_signal(number)
    code, _, errors = finish(receiver)
    assert code == 0, errors
    assert 2000 < soundfile.info(tmp_path / "heard.wav").frames < RATE
    assert not [*tmp_path.glob(".heard*")]


def test_a_sender_that_is_stopped_says_goodbye(start, receiving, tmp_path):
    receiver, address = receiving("-o", "heard.wav", "--idle-s", str(DEADLINE_S))
    sender = start("send", "-", "--raw", str(RATE), "--to", address, stdin=-1)
    sender.stdin.write(bytes(RATE))
    sender.stdin.flush()
    assert wait_for(lambda: [path for path in tmp_path.glob(".heard*") if path.stat().st_size > 2000])
    sender.send_signal(signal.SIGINT)
    sender.stdin.write(bytes(2000))
    assert finish(sender)[0] == 0
    assert finish(receiver)[0] == 0
    assert soundfile.info(tmp_path / "heard.wav").frames > 2000


def wait_for(found):
    """What `found` gives as soon as that is something; None at the deadline."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.05)
    return None


def test_a_receiver_that_hears_nothing_leaves_no_file(receiving, tmp_path):
    receiver, _ = receiving("-o", "heard.wav")
    receiver.send_signal(signal.SIGINT)
    code, output, errors = finish(receiver)
    assert (code, output) == (1, b"")
    assert errors.startswith("error: nothing was received")
    assert [*tmp_path.iterdir()] == []


def test_a_receiver_without_a_sender_ends_when_it_was_told_to(start, tmp_path):
    receiver = start("receive", "--port", "0", "--bind", "127.0.0.1", "--idle-s", "0.5", "-o", "heard.wav")
    code, _, errors = finish(receiver)
    assert code == 1 and "nothing was received" in errors
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("other", ["model", "channels"])
def test_sides_that_do_not_fit_are_told_at_once(start, receiving, talk, tmp_path, other_artifact, other):
    words, options = (["--channels", "2"], {}) if other == "channels" else ([], {"model": other_artifact})
    receiver, address = receiving("-o", "heard.wav", *words, **options)
    sender = start("send", "talk.wav", "--to", address)
    code, _, errors = finish(receiver)
    assert code == 1 and sender.poll() is None
    assert re.search(r"error: the sender has model \w{16} and 1 channel; here it is model \w{16} and", errors), errors
    assert [path.name for path in tmp_path.iterdir()] == ["talk.wav"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "127.0.0.1:9"], "--microphone"),
        (["talk.wav", "--microphone", "--to", "127.0.0.1:9"], "send what"),
        (["--microphone", "--raw", "16000", "--to", "127.0.0.1:9"], "--raw"),
        (["talk.wav", "--raw", "16000:1:s17", "--to", "127.0.0.1:9"], "16000:1:s16"),
        (["talk.wav", "--to", "127.0.0.1"], "HOST:PORT"),
        (["talk.wav", "--to", "127.0.0.1:70000"], "HOST:PORT"),
        (["talk.wav", "--to", "no.such.host.invalid:9"], "cannot send to"),
        (["talk.wav", "--to", "127.0.0.1:9", "--burst", "3"], "--loss"),
        (["talk.wav", "--to", "127.0.0.1:9", "--loss", "0.9", "--burst", "2"], "mean burst"),
        (["talk.wav", "--to", "127.0.0.1:9", "--channels", "2"], "1 channels, not 2"),
        (["talk.wav", "--to", "127.0.0.1:9", "--bitrate", "1000"], "1000"),
        (["gone.wav", "--to", "127.0.0.1:9"], "gone.wav"),
    ],
)
def test_what_cannot_be_sent(refused, talk, words, said):
    assert refused("send", *words, said=said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "receive to where"),
        (["-o", "a.wav", "--speaker"], "receive to where"),
        (["-o", "-", "--json"], "choose one"),
        (["-o", "talk.wav"], "--force"),
        (["-o", "a.mp4"], ".wav"),
        (["-o", "a.wav", "--sample-rate", "99"], "sample rate 99"),
        (["-o", "a.wav", "--bind", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_received(refused, talk, words, said):
    assert refused("receive", "--port", "0", "--bind", "127.0.0.1", *words, said=said)
