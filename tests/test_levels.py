"""What goes beyond full scale, and the types in which audio and its sample rate may come."""

import numpy as np
import pytest
import soundfile

from soundstream import AudioError, LoudAudio, audio
from soundstream.runtime.stream import DecoderStream

RATE = 24_000


def tone(level=0.5, samples=6000):
    return (level * np.sin(np.arange(samples) * 0.1)).astype(np.float32)


# types


@pytest.mark.parametrize(
    "rate", [np.int64(RATE), np.uint16(RATE), np.float32(RATE), np.float64(RATE), float(RATE)], ids=repr
)
def test_any_whole_number_is_a_sample_rate(codec, rate):
    assert codec.encode(tone(), rate, 1500) == codec.encode(tone(), RATE, 1500)
    np.testing.assert_array_equal(codec.to_codes(tone(), rate, 1500), codec.to_codes(tone(), RATE, 1500))
    packets = [codec.open_encoder(rate, bitrate=1500).push(tone()) for rate in (rate, RATE)]
    assert packets[0] == packets[1]
    assert codec.open_decoder(rate).push(packets[0][0]).shape == (1, 320)


@pytest.mark.parametrize(
    "rate", [24_000.5, np.float64("nan"), np.inf, "24000", None, np.int64(7999), 24_000 + 0j, True]
)
def test_anything_else_is_none(codec, rate):
    for call in (codec.encode, codec.to_codes):
        with pytest.raises(AudioError, match="expected whole Hz from 8000 to 192000"):
            call(tone(), rate)
    for call in (codec.open_encoder, codec.open_decoder):
        with pytest.raises(AudioError, match="expected whole Hz from 8000 to 192000"):
            call(rate)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float16, np.float32, np.float64])
def test_the_order_of_bytes_changes_nothing(codec, dtype):
    scale = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    pcm = (tone().astype(np.float64) * scale).astype(dtype)
    little, big = (codec.encode(pcm.astype(pcm.dtype.newbyteorder(order)), RATE, 1500) for order in "<>")
    assert little == big == codec.encode(pcm, RATE, 1500)


# levels


@pytest.mark.parametrize("level", [4.0, 10.0, 32767.0, -32768.0])
def test_floats_that_are_no_samples_are_refused(codec, level):
    pcm = np.zeros((2, 100))
    pcm[1, 70] = level
    with pytest.raises(AudioError, match=rf"reaches {abs(level):,.0f} times full scale at sample 70; .*divide.*32768"):
        codec.encode(pcm, RATE)


def test_floats_beyond_full_scale_are_warned_of():
    with pytest.warns(LoudAudio, match="goes up to 1.50 times full scale, at sample 31"):
        audio.check(np.r_[np.zeros(31), -1.5, 1.2], RATE)


@pytest.mark.parametrize("pcm", [tone(1.0), np.full(9, -1.0), np.full(9, -32768, np.int16), np.zeros(0)], ids=str)
def test_full_scale_itself_is_taken_without_a_word(pcm):
    assert np.abs(audio.check(pcm, RATE)).max(initial=0) <= 1


def test_loud_files_are_warned_of_once_with_the_place(tmp_path):
    pcm = tone(samples=2 * RATE)
    pcm[RATE + 5], pcm[RATE + 9] = 1.25, -1.75
    soundfile.write(tmp_path / "loud.wav", pcm, RATE, "FLOAT")
    with pytest.warns(LoudAudio) as said:
        np.testing.assert_array_equal(audio.read(tmp_path / "loud.wav")[0][0], pcm)
    (message,) = (str(warning.message) for warning in said)
    assert message.startswith(f"{tmp_path / 'loud.wav'} goes up to 1.75 times full scale, at sample 24009;")


def test_a_file_of_sixteen_bit_values_in_floats_is_refused(tmp_path):
    soundfile.write(tmp_path / "loud.wav", tone(20_000), RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"loud\.wav reaches 20,000 times full scale"):
        audio.read(tmp_path / "loud.wav")


def test_lossy_files_may_go_beyond_full_scale_in_silence(tmp_path):
    square = np.sign(tone(samples=RATE))
    with soundfile.SoundFile(tmp_path / "loud.mp3", "w", RATE, 1, "MPEG_LAYER_III") as file:
        file.write(square)
    assert np.abs(audio.read(tmp_path / "loud.mp3")[0]).max() > 1


def test_the_limiter_leaves_what_is_below_the_knee_and_keeps_the_order():
    pcm = np.linspace(-5, 5, 20_001, dtype=np.float32)[None]
    limited = audio.soft_limit(pcm)
    assert limited.dtype == np.float32 and np.abs(limited).max() <= 1
    quiet = np.abs(pcm) <= 0.95
    np.testing.assert_array_equal(limited[quiet], pcm[quiet])
    assert (np.diff(limited) >= 0).all()
    np.testing.assert_allclose(
        limited[0, [10_000 + 2000, 10_000 - 2000]], [0.95 + 0.05 * np.tanh(1), -0.95 - 0.05 * np.tanh(1)]
    )


def test_decoded_sound_stays_within_full_scale(codec, monkeypatch):
    push = DecoderStream.push_latents
    monkeypatch.setattr(DecoderStream, "push_latents", lambda stream, latents: 4 * push(stream, latents))
    pcm = np.random.default_rng(0).normal(0, 0.3, RATE).clip(-1, 1)
    codes, packets = codec.to_codes(pcm, RATE, 6000), codec.open_encoder(RATE, bitrate=6000).push(pcm)
    assert np.abs(DecoderStream(codec.model, 1).push(codes[None])).max() > 1.5
    live = codec.open_decoder(48_000)
    outputs = [
        codec.decode(codec.encode(pcm, 44_100, 6000))[0],
        codec.from_codes(codes),
        np.concatenate([*(live.push(packet) for packet in packets), live.flush()], axis=1),
    ]
    assert [0.95 < np.abs(output).max() <= 1 for output in outputs] == [True] * 3
