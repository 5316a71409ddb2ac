"""Codes as a stream, of many clips, and in files: the same however they are cut, and enough to give the sound back."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import soundstream
from soundstream import AudioError, ConfigError, ModelMismatch, OutputError, load_codes, save_codes
from soundstream.bitstream import Reader
from soundstream.cli import app
from soundstream.codec import CodedAudio, encode_file
from soundstream.codec.code_files import codes_from_file, codes_to_file
from soundstream.codec.editing import cat, cut
from soundstream.runtime.quantizer import Quantizer

RATES = (24_000, 44_100, 8000)
CHUNKS = ((1, 7, 1000, 33), (320,), (24_000,), (5000, 0, 1))


def noise(channels, samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (channels, samples)).astype(np.float32)


def chunks(array, sizes):
    """The array along its last axis in pieces of these sizes, over and over."""
    start, i = 0, 0
    while start < array.shape[-1]:
        yield array[..., start : start + sizes[i % len(sizes)]]
        start, i = start + sizes[i % len(sizes)], i + 1


# in chunks


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_codes_in_chunks_are_those_of_the_whole(codec, rate, channels):
    pcm = noise(channels, rate // 3 + 17)
    whole = codec.to_codes(pcm, rate, 6000)
    for sizes in CHUNKS:
        encoder = codec.open_code_encoder(rate, channels, 6000)
        parts = [encoder.push(part) for part in chunks(pcm, sizes)]
        found = np.concatenate([*parts, encoder.flush()], axis=-1)
        np.testing.assert_array_equal(found, whole)
        assert encoder.num_samples == pcm.shape[1] and found.dtype == np.int64


@pytest.mark.parametrize("rate", [None, 44_100, 8000])
def test_sound_of_codes_in_chunks_is_that_of_the_whole(codec, rate):
    codes = np.random.default_rng(0).integers(0, 1024, (2, 8, 100))
    whole = codec.from_codes(codes, rate)
    for sizes in ((1,), (7, 30), (100,)):
        decoder = codec.open_code_decoder(rate, 2)
        parts = [decoder.push(part) for part in chunks(codes, sizes)]
        np.testing.assert_allclose(np.concatenate([*parts, decoder.flush()], axis=1), whole, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 5000])
def test_the_length_goes_with_the_codes(codec, rate, samples):
    encoder = codec.open_code_encoder(rate, 1, 1500)
    codes = np.concatenate([encoder.push(noise(1, samples)), encoder.flush()], axis=-1)
    pcm = codec.from_codes(codes, rate, encoder.num_samples)
    assert pcm.shape == (1, samples)
    decoded, _ = codec.decode(codec.encode(noise(1, samples), rate, 1500))
    np.testing.assert_allclose(pcm, decoded, atol=1e-6)


def test_a_length_that_the_codes_do_not_hold_is_refused(codec):
    codes = codec.to_codes(noise(1, 5000), 24_000, 1500)
    for wrong in (100, 100_000):
        decoder = codec.open_code_decoder()
        decoder.push(codes)
        with pytest.raises(ConfigError, match=f"{wrong} samples; the codes hold"):
            decoder.flush(wrong)


def test_the_number_of_codebooks_may_change_while_sound_is_made(codec):
    decoder = codec.open_code_decoder()
    sizes = [decoder.push(np.zeros((count, 2), int)).shape[1] for count in (1, 8, 3)]
    assert sum(sizes) + decoder.flush().shape[1] == 6 * 320 - codec.spec.delay_samples


def test_sessions_of_codes_refuse_what_does_not_fit(codec):
    encoder, decoder = codec.open_code_encoder(24_000, 2), codec.open_code_decoder(channels=2)
    with pytest.raises(AudioError, match="1 channels; this session has 2"):
        encoder.push(noise(1, 100))
    with pytest.raises(ConfigError, match="1 streams; this session has 2"):
        decoder.push(np.zeros((3, 5), int))
    with pytest.raises(ConfigError, match="expected 0 to 1023"):
        decoder.push(np.full((2, 3, 5), 1024))
    for session in (encoder, decoder):
        session.flush()
        with pytest.raises(ConfigError, match="this session is over"):
            session.flush()
    with pytest.raises(ConfigError, match="bitrate 1 "):
        codec.open_code_encoder(24_000, bitrate=1)


@pytest.mark.parametrize("effort", [1, 4])
def test_the_search_finds_the_same_codes_whatever_rows_come_together(effort):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 128, 64)).astype(np.float32)
    twins = half + rng.normal(0, 1e-6, half.shape).astype(np.float32)  # the order of a sum decides between them
    quantizer = Quantizer(np.concatenate([half, twins], axis=1))
    latents = rng.normal(size=(64, 600)).astype(np.float32)
    whole = quantizer.encode(latents, 6, effort)
    for size in (1, 2, 3, 7):
        parts = [quantizer.encode(latents[:, i : i + size], 6, effort) for i in range(0, 600, size)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


# many clips


def test_many_clips_of_unlike_length_are_coded_as_each_alone(codec):
    clips = [noise(1, 700)[0], noise(2, 5000), noise(1, 0), noise(1, 321, seed=3)]
    expected = [codec.to_codes(clip, 24_000, 1500) for clip in clips]
    for found, alone in zip(codec.to_codes_many(clips, 24_000, 1500), expected, strict=True):
        np.testing.assert_array_equal(found, alone)
    assert codec.encode_many(clips, 24_000, 1500) == [codec.encode(clip, 24_000, 1500) for clip in clips]


def test_a_batch_is_many_clips(codec):
    batch = noise(3, 900)
    expected = [codec.encode(clip, 24_000, 1500) for clip in batch]
    assert codec.encode_many(batch[:, None], 24_000, 1500) == codec.encode_many(batch, 24_000, 1500) == expected
    with pytest.raises(AudioError, match=r"\[3, 1, 900\].*encode_many"):
        codec.encode(batch[:, None], 24_000)


def test_an_error_says_which_clip_it_is_of(codec):
    with pytest.raises(AudioError, match=r"clip 1: .*sample 3"):
        codec.to_codes_many([noise(1, 10), np.array([0, 0, 0, np.nan])], 24_000)
    with pytest.raises(AudioError, match="encode_file"):
        codec.encode_many("talk.wav", 24_000)


def test_the_functions_of_the_package_take_what_the_methods_take():
    codes = soundstream.to_codes_many([np.zeros(700)], 24_000, bitrate=1500, effort=1)
    assert codes[0].shape == (2, 3)
    assert soundstream.from_codes(codes[0], 8000, 233).shape == (1, 233)
    assert "sample_rate" in str(soundstream.encode.__signature__) and "self" not in str(
        soundstream.encode.__signature__
    )


# files


@pytest.fixture
def run(tiny_artifact, tmp_path, monkeypatch, capsys):
    """Run the command in a folder with talk.wav; gives what it said on stderr."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("talk.wav", noise(2, 15_001).T, 44_100)

    def call(*words, model=tiny_artifact):
        app(["codes", *map(str, words), *(["--model", str(model)] if model else [])], standalone_mode=False)
        return capsys.readouterr().err

    return call


def test_codes_go_to_an_array_and_back_to_sound_of_the_same_length(run, codec):
    assert run("talk.wav", "-o", "talk.npy", "-b", "1500") == "talk.wav -> talk.npy: 26 frames of 2 codes, 2 streams\n"
    pcm = soundfile.read("talk.wav", dtype="float32")[0].T
    np.testing.assert_array_equal(np.load("talk.npy"), codec.to_codes(pcm, 44_100, 1500))
    coded = load_codes("talk.npy")
    assert (coded.sample_rate, coded.num_samples, coded.model_id) == (44_100, 15_001, codec.model_id)
    run("talk.npy", "-o", "back.wav")
    back, rate = soundfile.read("back.wav", dtype="float32")
    assert (back.shape, rate) == ((15_001, 2), 44_100)
    expected, _ = codec.decode(codec.encode(pcm, 44_100, 1500))
    np.testing.assert_allclose(back.T, expected, atol=2**-15)


def test_codes_of_a_nac_file_are_its_own_and_make_it_again(run, tiny_artifact):
    encode_file("talk.wav", "talk.nac", 3000, model=tiny_artifact)
    run("talk.nac", "-o", "talk.npy")
    run("talk.npy", "-o", "again.nac")
    assert Path("again.nac").read_bytes() == Path("talk.nac").read_bytes()
    run("talk.nac", "-o", "few.npy", "-b", "750")
    np.testing.assert_array_equal(np.load("few.npy"), np.load("talk.npy")[:, :1])


@pytest.mark.parametrize("rate", [44_100, 16_000])
def test_codes_of_a_part_give_the_part_again_and_its_sound(run, tiny_artifact, codec, rate):
    data = codec.encode(noise(2, 3 * rate), rate, 3000)
    with Path("part.nac").open("wb") as stream:
        cut(codec, Reader(io.BytesIO(data)), stream, 1.0005, 2.9)
    run("part.nac", "-o", "part.npy")
    assert load_codes("part.npy").lead_in == Reader(io.BytesIO(Path("part.nac").read_bytes())).header.lead_in > 0
    run("part.npy", "-o", "again.nac")
    run("part.npy", "-o", "again.wav")
    expected, _ = codec.decode(Path("part.nac").read_bytes())
    np.testing.assert_array_equal(codec.decode(Path("again.nac").read_bytes())[0], expected)
    found, _ = soundfile.read("again.wav", dtype="float32")
    np.testing.assert_allclose(found.T, expected, atol=2**-15)


def test_packets_with_unlike_numbers_of_codebooks_need_a_choice(run, codec):
    files = [codec.encode(noise(1, 24_000), 24_000, bitrate) for bitrate in (3000, 1500)]
    with Path("two.nac").open("wb") as stream:
        cat(codec, [Reader(io.BytesIO(data)) for data in files], stream)
    with pytest.raises(ConfigError, match=r"two\.nac: packets have 1,500 to 3,000 bit/s.*-b 1500"):
        run("two.nac", "-o", "two.npy")
    run("two.nac", "-o", "two.npy", "-b", "1500")
    assert np.load("two.npy").shape == (1, 2, 150)


def test_a_plain_array_of_a_program_makes_sound_too(run, codec):
    np.save("plain.npy", np.zeros((3, 10), np.int32))
    run("plain.npy", "-o", "plain.flac")
    info = soundfile.info("plain.flac")
    assert (info.frames, info.samplerate, info.channels) == (10 * 320 - codec.spec.delay_samples, 24_000, 1)


def test_the_model_of_codes_is_found_by_its_id(run, tiny_artifact, other_artifact, codec, monkeypatch):
    save_codes("talk.npy", CodedAudio(np.zeros((1, 2, 5), int), 24_000, 1500, codec.model_id))
    with pytest.raises(ModelMismatch, match=codec.model_id.hex()):
        run("talk.npy", "-o", "x.wav", model=None)
    with pytest.raises(ModelMismatch, match=codec.model_id.hex()):
        run("talk.npy", "-o", "x.wav", model=other_artifact)
    monkeypatch.setenv("SOUNDSTREAM_MODELS", str(tiny_artifact))
    run("talk.npy", "-o", "x.wav", model=None)
    assert soundfile.info("x.wav").frames == 1500


def test_what_is_no_codes_is_refused_by_name(run, tmp_path):
    Path("text.npy").write_bytes(b"\x93NUMPY but not really")
    np.save("floats.npy", np.zeros((3, 4)))
    np.save("flat.npy", np.zeros(4, int))
    np.save("large.npy", np.full((3, 4), 1024))
    np.save("cut.npy", np.zeros((3, 4), int))
    Path("cut.npy").write_bytes(Path("cut.npy").read_bytes()[:-8])
    np.save("pickled.npy", np.array([{}]), allow_pickle=True)
    for name in ("text", "floats", "flat", "large", "cut", "pickled"):
        with pytest.raises((AudioError, ConfigError), match=rf"{name}\.npy"):
            run(f"{name}.npy", "-o", "x.wav")
    save_codes("long.npy", CodedAudio(np.zeros((1, 2, 5), int), 24_000, 99_999))
    for name in ("x.wav", "x.nac"):
        with pytest.raises(ConfigError, match=r"long\.npy"):
            run("long.npy", "-o", name)
        assert not Path(name).exists()


def test_bytes_behind_an_array_that_say_nothing_known_are_passed_over(tmp_path):
    path = tmp_path / "a.npy"
    facts = b'{"num_samples": "x", "lead_in": -1, "sample_rate": 0.5}'
    for behind in (b"\0\1", b"[1]", b'{"model_id": 5}', facts, json.dumps({"sample_rate": None}).encode()):
        np.save(path, np.ones((2, 3), int))
        path.write_bytes(path.read_bytes() + behind)
        coded = load_codes(path)
        assert coded.codes.shape == (1, 2, 3)
        assert (coded.num_samples, coded.sample_rate, coded.lead_in) == (None, None, 0)


@pytest.mark.parametrize("words", [("talk.wav", "-o", "x.wav"), ("talk.npy", "-o", "y.npy"), ("-", "-o", "x.npy")])
def test_one_of_the_two_names_is_an_array(run, words):
    np.save("talk.npy", np.zeros((3, 4), int))
    with pytest.raises(ConfigError, match="codes"):
        run(*words)


def test_an_array_is_never_replaced_by_itself_and_others_only_when_asked(run):
    np.save("x.npy", np.zeros((3, 4), int))
    with pytest.raises(OutputError, match="--force"):
        run("talk.wav", "-o", "x.npy")
    Path("x.wav").symlink_to("x.npy")
    with pytest.raises(OutputError, match="is the input"):
        run("x.npy", "-o", "x.wav", "--force")


def with_fewer(codes, seed=0):
    """Codes whose frames have 1 to all codebooks, and -1 behind them."""
    counts = np.random.default_rng(seed).integers(1, codes.shape[0] + 1, codes.shape[1])
    return np.where(np.arange(len(codes))[:, None] < counts, codes, -1)


def test_frames_of_fewer_codebooks_sound_as_their_entries(codec):
    codes = with_fewer(codec.to_codes(noise(1, 9_000), 24_000))
    quantizer, latents = codec.model.quantizer, np.zeros((codec.spec.latent_dim, codes.shape[1]), np.float32)
    for q, row in enumerate(codes):
        latents += np.where(row >= 0, quantizer.codebooks[q][row].T, 0)
    np.testing.assert_allclose(quantizer.decode(codes), latents, rtol=0, atol=1e-5)
    decoder = codec.open_code_decoder()
    parts = [decoder.push(codes[:, i : i + 7]) for i in range(0, codes.shape[1], 7)]
    whole = np.concatenate([*parts, decoder.flush()], axis=1)
    np.testing.assert_allclose(whole, codec.from_codes(codes), rtol=0, atol=1e-4)


def test_frames_of_fewer_codebooks_go_through_files(codec, tmp_path):
    codes = with_fewer(codec.to_codes(noise(1, 60_000), 24_000))
    save_codes(tmp_path / "a.npy", CodedAudio(codes[None], 24_000, 60_000, codec.model_id))
    codes_from_file(tmp_path / "a.npy", tmp_path / "a.nac", model=codec.folder)
    codes_to_file(tmp_path / "a.nac", tmp_path / "b.npy", model=codec.folder)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), codes[None])
    expected = codec.from_codes(codes, num_samples=60_000)
    data = (tmp_path / "a.nac").read_bytes()
    np.testing.assert_allclose(codec.decode(data)[0], expected, rtol=0, atol=1e-5)
    plain = 10 * (codes >= 0).sum() / 8
    assert soundstream.info(data).payload_bytes < plain + 0.5 * codes.shape[1]
    part = io.BytesIO()
    cut(codec, Reader(io.BytesIO(data)), part, 1.0, 2.0)
    np.testing.assert_allclose(codec.decode(part.getvalue())[0], expected[:, 24_000:48_000], rtol=0, atol=1e-4)
    both = io.BytesIO()
    whole = codec.encode(noise(1, 24_000), 24_000)
    cat(codec, [Reader(io.BytesIO(one)) for one in (whole, data)], both)
    assert Reader(io.BytesIO(both.getvalue())).header.frame_counts
    assert codec.decode(both.getvalue())[0].shape[1] >= 84_000


@pytest.mark.parametrize("gap", [(0, 3), (2, 3), (slice(None), 3)], ids=str)
def test_gaps_inside_a_frame_are_refused(codec, gap):
    codes = codec.to_codes(noise(1, 9_000), 24_000)
    codes[gap] = -1
    with pytest.raises(ConfigError, match="codes lie from -1"):
        codec.from_codes(codes)
