"""Sound from files and pipes comes at once, and goes to pipes at once."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from soundstream import audio
from soundstream.audio.wav import WavPipe
from soundstream.errors import AudioError, ConfigError
from soundstream.live.pipes import PIECE_S, Source, mix, open_file, piece_samples

RATE = 16_000
PCM = np.random.default_rng(0).integers(-9000, 9000, (2, RATE)).astype(np.int16)

READ_STDIN = """
import sys
from soundstream.audio import Raw
from soundstream.live.pipes import open_stdin
with open_stdin({raw}) as source:
    print(source.sample_rate, source.channels, flush=True)
    for piece in source.pieces:
        print(piece.shape, float(abs(piece).max()), flush=True)
"""


def wav(pcm=PCM):
    stream = io.BytesIO()
    soundfile.write(stream, pcm.T, RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def reading(raw=None):
    code = READ_STDIN.format(raw=raw)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


def test_a_file_comes_in_pieces_that_add_up(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav())
    with open_file(str(tmp_path / "a.wav")) as source:
        pieces = [*source.pieces]
    assert (source.sample_rate, source.channels) == (RATE, 2)
    assert {piece.shape[1] for piece in pieces} == {piece_samples(RATE)} == {round(PIECE_S * RATE)}
    assert np.array_equal(np.concatenate(pieces, axis=1) * 2**15, PCM)


@pytest.mark.parametrize("raw", [None, audio.Raw(RATE, 2), audio.Raw(RATE, 2, "s16", big_endian=True)], ids=str)
def test_a_pipe_is_heard_before_it_ends(raw):
    process = reading(raw)
    data = PCM.T.astype(">i2" if raw and raw.big_endian else "<i2").tobytes() if raw else wav()
    with process:
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()
        assert process.stdout.readline() == b"16000 2\n"
        assert process.stdout.readline().startswith(b"(2, 160) 0.")
        output, errors = process.communicate(data[len(data) // 2 :], timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert len(output.splitlines()) == RATE / 160 - 1


@pytest.mark.parametrize("data", [b"", b"hello, this is no sound at all" * 50])
def test_a_pipe_without_sound_is_an_error_that_says_what_to_do(data):
    process = reading()
    _, errors = process.communicate(data, timeout=60)
    assert process.returncode == 1
    assert b"AudioError" in errors and b"--raw" in errors


def test_channels_are_mixed_down_or_kept():
    source = Source(RATE, 2, iter([np.array([[1.0, 0.5], [0.0, 0.5]], np.float32)]))
    assert np.array_equal(next(mix(source, 1)), [[0.5, 0.5]])
    assert mix(source, 2) is source.pieces
    with pytest.raises(ConfigError, match="2 channels, not 3"):
        mix(source, 3)


def test_wav_in_a_pipe_can_be_read_at_any_moment():
    stream = io.BytesIO()
    pipe = WavPipe(stream, RATE, 2)
    assert len(stream.getvalue()) == 44
    pipe.write(PCM.astype(np.float32)[:, :100] / 2**15)
    pipe.write(np.array([[3.0], [-3.0]], np.float32))
    pcm, rate = soundfile.read(io.BytesIO(stream.getvalue()), dtype="int16")
    assert rate == RATE
    assert np.array_equal(pcm.T, np.append(PCM[:, :100], [[2**15 - 1], [-(2**15)]], axis=1))


def test_a_file_that_is_no_sound(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no")
    with pytest.raises(AudioError), open_file(str(tmp_path / "a.wav")):
        pass
