"""Channels in their places, and nothing before the sound: what containers say of a stream beside its samples."""

import io

import numpy as np
import pytest

import audio_files as made
from audio_files import RATE, media, tone
from soundstream import audio

av = pytest.importorskip("av", reason="the second decoder is PyAV")

LEVELS = {n: np.linspace(0.2, 1, n, dtype=np.float32)[:, None] for n in (2, 3, 4, 5, 6, 7, 8)}


def levels(pcm):
    """Levels of the channels beside that of the last one, without the one that holds low frequencies only."""
    level = pcm.std(axis=1) / pcm[-1].std()
    return np.delete(level, 3) if len(pcm) > 5 else level


@pytest.mark.parametrize("channels", LEVELS)
@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".flac", ".wav"])
def test_channels_come_back_in_their_places(tmp_path, suffix, channels):
    pcm = LEVELS[channels] * np.tile(tone(0.5, 48_000), (channels, 1))
    with audio.open_writer(path := tmp_path / f"x{suffix}", 48_000, channels) as writer:
        writer.write(pcm)
    found, _ = audio.read(path)
    np.testing.assert_allclose(levels(found), levels(LEVELS[channels] * np.arange(2)), atol=0.06)
    second, _ = made.second_decoder(path.read_bytes())
    np.testing.assert_allclose(found.std(axis=1), second.std(axis=1), atol=0.01)


@pytest.mark.parametrize("layout", ["3.0", "5.1", "7.1"])
def test_channels_of_another_program_are_those_of_wav(layout):
    channels = av.AudioLayout(layout).nb_channels
    pcm = LEVELS[channels] * np.tile(tone(0.5, 48_000), (channels, 1))
    with av.open(stream := io.BytesIO(), "w", format="ogg") as file:
        track = file.add_stream("libopus", rate=48_000)
        track.layout = layout
        track.codec_context.open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts, fifo = 48_000, 0, av.AudioFifo()
        for part in av.AudioResampler(track.codec_context.format.name, layout, 48_000).resample(frame):
            fifo.write(part)
        while (part := fifo.read(track.codec_context.frame_size or 1024) or fifo.read()) is not None:
            file.mux(track.encode(part))
        file.mux(track.encode(None))
    found, _ = audio.read(stream)
    second, _ = made.second_decoder(stream.getvalue())
    np.testing.assert_allclose(found.std(axis=1), second.std(axis=1), atol=0.01)
    np.testing.assert_allclose(levels(found), levels(pcm), atol=0.06)


def test_eight_channels_come_through_ffmpeg(tmp_path):
    pcm = LEVELS[8] * np.tile(tone(0.5, 48_000), (8, 1))
    with av.open(str(tmp_path / "x.mkv"), "w") as file:
        track = file.add_stream("pcm_f32le", rate=48_000)
        track.layout = "7.1"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T).reshape(1, -1), "flt", "7.1")
        frame.sample_rate = 48_000
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    np.testing.assert_array_equal(audio.read(tmp_path / "x.mkv")[0], pcm)


@pytest.mark.parametrize("container", ["webm", "matroska", "mp4"])
@pytest.mark.parametrize("rate", [8_000, 16_000, RATE, 48_000])
def test_opus_begins_with_its_sound_whatever_rate_its_container_names(container, rate):
    pcm, found_rate = audio.read(io.BytesIO(media(container, "libopus", rate=rate)))
    assert found_rate == 48_000
    original = audio.resample(tone(2.3, rate), rate, 48_000)[0]
    size = 1 << 18
    spectra = np.fft.rfft(pcm[0], size), np.fft.rfft(original, size)
    assert np.fft.irfft(spectra[0] * np.conj(spectra[1])).argmax() == 0  # no lag
    assert 0 <= pcm.shape[1] - len(original) <= 960
