"""Microphone and speaker, with a stand-in for the package that reaches them."""

import sys
import types
from typing import ClassVar

import numpy as np
import pytest

from soundstream.errors import AudioError, CodecError
from soundstream.live.devices import MAX_S, PREFILL_S, TRIM_S, Playback, open_microphone, open_speaker

RATE = 48_000


def tone(seconds, level=0.5):
    return np.full((1, round(seconds * RATE)), level, np.float32)


def taken(playback, seconds):
    block = np.full((round(seconds * RATE), 1), 9.0, np.float32)
    playback.fill(block)
    return block[:, 0]


def test_sound_waits_until_there_is_enough_and_then_all_of_it_is_played():
    playback = Playback(RATE, 1)
    playback.write(tone(PREFILL_S / 2))
    assert not taken(playback, 0.01).any()
    playback.write(tone(PREFILL_S / 2))
    played = np.concatenate([taken(playback, 0.01) for _ in range(4)])
    assert np.all(played[1000:] == 0.5) and 0 < played[0] < 0.01
    assert playback.waiting_s == 0


def test_sound_that_runs_out_ends_softly_and_begins_softly_again():
    playback = Playback(RATE, 1)
    playback.write(tone(PREFILL_S))
    played = [taken(playback, 0.02) for _ in range(4)]
    playback.write(tone(PREFILL_S))
    played += [taken(playback, 0.02) for _ in range(3)]
    steps = np.abs(np.diff(np.concatenate([[0.0], *played])))
    assert steps.max() < 0.005
    assert not played[3].any() and played[5].min() == 0.5


def test_quiet_sound_is_left_out_while_too_much_waits():
    playback = Playback(RATE, 1)
    playback.write(tone(TRIM_S + 0.05))
    playback.write(tone(0.01, level=0.001))
    assert playback.waiting_s == pytest.approx(TRIM_S + 0.05)
    playback.write(tone(0.01))
    assert playback.waiting_s == pytest.approx(TRIM_S + 0.06)
    short = Playback(RATE, 1)
    short.write(tone(0.01, level=0.001))
    assert short.waiting_s == pytest.approx(0.01)


def test_no_more_than_the_limit_waits():
    playback = Playback(RATE, 2)
    for _ in range(300):
        playback.write(np.ones((2, 480), np.float32))
    assert playback.waiting_s == pytest.approx(MAX_S)


class FakeStream:
    """A device's stream that records silence, or plays in the caller's thread when it is left."""

    made: ClassVar[list] = []

    def __init__(self, samplerate, channels, dtype, latency=None, callback=None):
        self.callback, self.channels, self.blocks = callback, channels, []
        self.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read(self, samples):
        return np.full((samples, 1), 0.25, np.float32), False


def fake(monkeypatch, query=lambda kind: {"default_samplerate": float(RATE)}):
    module = types.ModuleType("sounddevice")
    module.PortAudioError = type("PortAudioError", (Exception,), {})
    module.query_devices, module.InputStream, module.OutputStream = query, FakeStream, FakeStream
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_the_microphone_gives_pieces(monkeypatch):
    fake(monkeypatch)
    with open_microphone() as source:
        piece = next(source.pieces)
    assert (source.sample_rate, source.channels) == (RATE, 1)
    assert piece.shape == (1, 480) and np.all(piece == 0.25)


def test_the_speaker_takes_what_is_written(monkeypatch):
    fake(monkeypatch)
    with open_speaker(2) as playback:
        stream = FakeStream.made[-1]
        playback.write(np.full((2, 3000), 0.5, np.float32))
        block = np.ones((3000, 2), np.float32)
        stream.callback(block, 3000, None, None)
    assert (playback.sample_rate, stream.channels) == (RATE, 2)
    assert np.all(block[500:] == 0.5)


@pytest.mark.parametrize("opened", [open_microphone, lambda: open_speaker(1)])
def test_a_missing_device_is_named(monkeypatch, opened):
    module = fake(monkeypatch)

    def nothing(kind):
        raise module.PortAudioError("Error querying device -1")

    module.query_devices = nothing
    with pytest.raises(AudioError, match=r"can be used.*-1.*connect one"), opened():
        pass


def test_a_missing_package_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(CodecError, match=r"pip install 'soundstream-codec\[live\]'"), open_microphone():
        pass


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CodecError, match="libportaudio2"), open_speaker(1):
        pass
