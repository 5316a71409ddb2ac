"""Other codecs answer to the two methods of ours."""

import io

import numpy as np
import pytest

from soundstream import CodecError, ConfigError, audio, load
from soundstream.bitstream import Reader
from soundstream.evaluate.align import align
from soundstream.evaluate.codecs.baselines import LowPass, Shell, check_shell
from soundstream.evaluate.codecs.spec import Ours, Sources, Spec, make, parse

RATE = 24_000
NONE = Sources()


def chirp(seconds: float = 3, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (200 + 500 * time) * time)
    return (tone + np.random.default_rng(0).normal(0, 0.02, len(time))).astype(np.float32)[None]


def band_db(pcm: np.ndarray, low: int, high: int, rate: int = RATE) -> float:
    power = np.abs(np.fft.rfft(pcm[0])) ** 2
    frequencies = np.fft.rfftfreq(pcm.shape[1], 1 / rate)
    return 10 * float(np.log10(power[(low <= frequencies) & (frequencies < high)].sum() + 1e-9))


@pytest.mark.parametrize("text", ["opus:12000", "opus-cbr:12000", "opus-swb:12000", "mp3:32000", "lc3:24000"])
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_the_sound_comes_back_near_the_bitrate(text: str, rate: int) -> None:
    pcm = chirp(rate=rate)
    spec = parse(text, NONE)[0]
    codec = make(spec, NONE)
    data = codec.encode(pcm, rate)
    decoded, decoded_rate = codec.decode(data)
    back, _ = align(pcm[0], audio.resample(decoded, decoded_rate, rate)[0], rate)
    assert 8 * len(data) / 3 == pytest.approx(spec.value + 900, rel=0.3)  # a container costs about 800 bit/s
    assert np.corrcoef(pcm[0], back)[0, 1] > 0.8


def test_the_super_wide_band_is_forced() -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, (1, 2 * RATE)).astype(np.float32)
    high = {}
    for text in ("opus:9000", "opus-swb:9000"):
        codec = make(parse(text, NONE)[0], NONE)
        decoded, rate = codec.decode(codec.encode(pcm, RATE))
        high[text] = band_db(decoded, 8500, 11_500, rate)
    assert high["opus-swb:9000"] > high["opus:9000"] + 10


def test_constant_bitrate_spends_the_same_on_silence_as_on_noise() -> None:
    codec = make(Spec("opus-cbr", 12_000), NONE)
    sizes = [len(codec.encode(pcm, RATE)) for pcm in (chirp(), np.zeros_like(chirp()))]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_a_variable_rate_may_use_all_codebooks_and_no_more_bytes(tiny_artifact) -> None:
    sources = Sources(str(tiny_artifact))
    pcm = np.concatenate([chirp(2), np.zeros((1, 2 * RATE), np.float32)], axis=1)
    constant, variable = (
        make(parse(text, sources)[0], sources) for text in ("soundstream:3000", "soundstream-vbr:3000")
    )
    assert len(variable.encode(pcm, RATE)) <= len(constant.encode(pcm, RATE)) and type(constant) is Ours
    reader = Reader(io.BytesIO(variable.encode(pcm, RATE)))
    packets = list(reader)
    assert reader.header.num_quantizers == 8
    assert sum(p.num_quantizers * p.frames for p in packets) <= 4 * sum(p.frames for p in packets)
    assert variable.decode(variable.encode(pcm, RATE))[0].shape == pcm.shape


def test_a_name_may_say_the_effort(tiny_artifact) -> None:
    sources, pcm = Sources(str(tiny_artifact)), chirp()
    found = [make(parse(f"{name}:3000", sources)[0], sources) for name in ("soundstream", "soundstream-effort1")]
    codec = load(tiny_artifact)
    for one, effort in zip(found, (4, 1), strict=True):
        assert one.encode(pcm, RATE) == codec.encode(pcm, RATE, 3000, effort=effort)
    with pytest.raises(ConfigError, match="effort is 65"):
        make(parse("soundstream-effort65:3000", sources)[0], sources)
    for name in ("soundstream-effort0", "soundstream-effort", "opus-effort8"):
        with pytest.raises(ConfigError, match="unknown"):
            parse(f"{name}:3000", sources)


def test_lc3_below_its_lowest_bitrate_is_refused() -> None:
    with pytest.raises(ConfigError, match="16000"):
        make(Spec("lc3", 12_000), NONE)


def test_low_pass_anchor_keeps_what_lies_below_and_drops_what_lies_above() -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, (1, RATE)).astype(np.float32)
    codec = LowPass(3500)
    decoded, rate = codec.decode(codec.encode(pcm, RATE))
    assert (rate, decoded.shape) == (RATE, pcm.shape)
    assert band_db(decoded, 0, 3500) == pytest.approx(band_db(pcm, 0, 3500), abs=0.01)
    assert band_db(decoded, 4500, 12_000) < band_db(pcm, 4500, 12_000) - 50


def test_anchors_and_the_original_have_no_bitrate() -> None:
    specs = parse("original,lowpass:7000,opus:6000", NONE)
    assert [(str(spec), spec.has_rate) for spec in specs] == [
        ("original", False),
        ("lowpass:7000", False),
        ("opus:6000", True),
    ]


def test_an_external_codec_is_two_commands() -> None:
    pcm = np.round(chirp() * 2**15).astype(np.float32) / 2**15
    codec = Shell("gzip -c < {in} > {out}.gz && test {bitrate} = 6000", "gunzip -c {in}.gz > {out}", 6000)
    decoded, rate = codec.decode(codec.encode(pcm, RATE))
    assert rate == RATE
    np.testing.assert_array_equal(decoded, pcm)


def test_a_command_that_fails_is_quoted_with_its_last_words() -> None:
    with pytest.raises(CodecError, match=r"ended with code 3: no licence"):
        Shell("echo no licence >&2; exit 3; {in} {out}", "", 1).encode(chirp(), RATE)


def test_a_command_that_writes_nothing() -> None:
    with pytest.raises(CodecError, match="wrote 0 files"):
        Shell("true {in} {out}", "", 1).encode(chirp(), RATE)


@pytest.mark.parametrize(
    "shell", [("a b", "{in} {out}", "{in} {out}"), ("a", "{in}", "{in} {out}"), ("a", "{in} {out}", "{out}")]
)
def test_shell_commands_must_say_where_files_go(shell: tuple[str, str, str]) -> None:
    with pytest.raises(ConfigError, match="--shell"):
        check_shell(shell)


@pytest.mark.parametrize("text", ["", "opus", "opus:", "opus:x", "opus:0", "evs:9600", "opus:6000,opus:6000"])
def test_odd_codec_lists_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="known are soundstream:BITRATE"):
        parse(text, NONE)
