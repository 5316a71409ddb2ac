"""Audio files are read to their end, or it is said how much is missing and where: a table, beside a second decoder."""

import contextlib
import io
import re
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest

import audio_files as made
from audio_files import (
    FRAME_S,
    ID3V1,
    LYRICS,
    PICTURE,
    RATE,
    Made,
    ape,
    bare,
    chunk,
    counted,
    damaged,
    frames,
    free,
    id3v2,
    later,
    media,
    nist,
    pages,
    recounted,
    sized,
    sound,
    with_vbri,
    without_end,
)
from soundstream import AudioError, IncompleteAudio, audio, load

LENGTH_S = 2.3
PADDED_S = 2.352
"""Seconds of an MP3 that does not say what its encoder added."""


def mpeg():
    """MP3 and its kin."""
    vbr, cbr, info = bare(q="4"), bare(bit_rate=64_000), sound("MP3", "MPEG_LAYER_III")
    yield "a constant rate, with a header", Made(info, LENGTH_S)
    yield "stereo", Made(sound("MP3", "MPEG_LAYER_III", channels=2), LENGTH_S)
    yield "44.1 kHz", Made(sound("MP3", "MPEG_LAYER_III", rate=44_100), LENGTH_S)
    yield "8 kHz", Made(sound("MP3", "MPEG_LAYER_III", rate=8_000), LENGTH_S)
    yield "a variable rate, with a header", Made(media("mp3", "libmp3lame", q="4"), LENGTH_S)
    yield "a constant rate", Made(cbr, PADDED_S)
    yield "a variable rate", Made(vbr, PADDED_S)
    yield "a mean rate", Made(bare(bit_rate=64_000, abr="1"), PADDED_S)
    yield "a free rate", Made(free(bare(bit_rate=64_000)), PADDED_S, unread=True)
    yield "from a pipe", Made(media("mp3", "libmp3lame", pipe=True, bit_rate=64_000), PADDED_S)
    yield "from a pipe, 44.1 kHz", Made(media("mp3", "libmp3lame", rate=44_100, pipe=True, bit_rate=128_000), 2.351)
    yield "a header of Fraunhofer's", Made(with_vbri(vbr), PADDED_S)
    yield "layer II", Made(media("mp2", "mp2", rate=48_000, bit_rate=128_000), 2.304)
    yield "a header that counts too few", Made(recounted(info, 20), LENGTH_S, slack_s=2 * FRAME_S, shifted=True)
    yield (
        "a header that counts too many",
        Made(recounted(info, 200), LENGTH_S, r"2\.45 s are missing behind 2\.35 s: its header counts 200", 0.05),
    )
    yield "joined, with headers", Made(info + info, 2 * LENGTH_S, slack_s=3 * FRAME_S)
    yield "joined, without", Made(vbr + cbr, 2 * PADDED_S)
    yield (
        "joined, with tags and pictures",
        Made(id3v2() + vbr + ID3V1 + id3v2() + cbr + ID3V1, 2 * PADDED_S, shifted=True),
    )
    yield "joined, of two rates", Made(cbr + bare(rate=44_100, bit_rate=64_000), PADDED_S + 2.351, unread=True)
    yield "a picture before it", Made(id3v2() + cbr, PADDED_S)
    yield "two tags before it", Made(id3v2(PICTURE[:2000]) + id3v2() + vbr, PADDED_S)
    yield "a tag with a footer before it", Made(id3v2(footer=True) + vbr, PADDED_S)
    yield "a tag of frames that are none", Made(id3v2(cbr[:5000] + PICTURE) + vbr, PADDED_S)
    yield "ID3 behind it", Made(cbr + ID3V1, PADDED_S)
    yield "APE behind it", Made(cbr + ape(), PADDED_S)
    yield "an APE that lacks the header it tells of", Made(cbr + ape()[32:], PADDED_S)
    yield "an old APE and ID3 behind it", Made(cbr + ape(header=False) + ID3V1, PADDED_S)
    yield "lyrics and ID3 behind it", Made(cbr + LYRICS + ID3V1, PADDED_S)
    yield "a new ID3 with a picture behind it", Made(cbr + id3v2(footer=True), PADDED_S)
    yield "zeros before and behind it", Made(bytes(5000) + cbr + bytes(5000), PADDED_S)
    yield "text before it", Made(b"HTTP/1.1 200 OK\r\n" * 9 + vbr, PADDED_S, unread=True)
    yield "cut, with a header", Made(info[: len(info) // 2], 1.1, r"1\.2\d s are missing behind 1\.\d\d s", 0.05)
    yield "cut", Made(cbr[:9000], 1.1, r"may be missing behind 1\.1\d s: it ends inside a frame", 0.03)
    yield "without its start", Made(vbr[4321:], 1.3, slack_s=0.5)
    holed = cbr[:6000] + cbr[7000:]
    yield "with a hole", Made(holed, 2.2, r"0\.02 s are missing behind 0\.7\d s: a frame is cut short", 0.06)
    yield "with junk in it", Made(cbr[:9600] + PICTURE + cbr[9600:], PADDED_S, r"behind 1\.\d\d s: 300,\d+ bytes", 0.05)
    yield "with junk behind it", Made(cbr + PICTURE, PADDED_S, r"behind 2\.35 s: the last 300,000 bytes are no MPEG")
    yield "with junk behind what its header counts", Made(info + PICTURE[:9999], LENGTH_S, unread=True)
    yield "of two frames", Made(b"".join(frames(cbr)[4:6]), FRAME_S)
    yield "of one frame", Made(frames(cbr)[4], FRAME_S / 2, unread=True)


def ogg():
    """Ogg with Vorbis, Opus and FLAC."""
    vorbis, opus = sound("OGG", "VORBIS"), sound("OGG", "OPUS")
    flac = media("ogg", "flac")
    cut = r"may be missing behind \d\.\d\d s: no page is marked as its last"
    yield "Vorbis", Made(vorbis, LENGTH_S)
    yield "Opus", Made(opus, LENGTH_S)
    yield "Opus of 16 kHz", Made(sound("OGG", "OPUS", rate=16_000), LENGTH_S)
    yield "Opus of 44.1 kHz", Made(media("ogg", "libopus", rate=48_000), LENGTH_S)
    yield "FLAC", Made(flac, LENGTH_S)
    yield "stereo FLAC", Made(media("ogg", "flac", channels=2), LENGTH_S)
    yield "a chain of Vorbis", Made(vorbis + sound("OGG", "VORBIS", seconds=1.2), 3.5, shifted=True)
    yield "a chain of Opus", Made(opus + opus + opus, 3 * LENGTH_S)
    yield "a chain of FLAC", Made(flac + flac, 2 * LENGTH_S)
    yield "a chain of three codecs", Made(vorbis + opus + flac, 3 * LENGTH_S, unread=True)
    yield "a chain of two rates", Made(vorbis + sound("OGG", "VORBIS", rate=16_000), 2 * LENGTH_S)
    yield "a chain with tags between", Made(vorbis + id3v2() + opus, 2 * LENGTH_S, unread=True)
    yield "cut Vorbis", Made(vorbis[:-3000], 1.7, cut, 0.6)
    yield "cut Opus", Made(opus[:-3000], 1.0, cut, 0.1)
    yield "cut FLAC", Made(flac[:-3000], 2.2, cut, 0.2)
    cut_chain = vorbis + opus[:-3000]
    yield "a chain that is cut", Made(cut_chain, 3.3, r"behind 3\.\d\d s: no page is marked", 0.1, unread=True)
    yield "Vorbis without its end mark", Made(without_end(vorbis), LENGTH_S, cut)
    yield "Opus without its end mark", Made(without_end(opus), LENGTH_S, cut)
    yield "a part of a longer Vorbis", Made(later(vorbis, 10_000_000), LENGTH_S)
    yield "a part of a longer Opus", Made(later(opus, 10_000_000), LENGTH_S)
    lost = r"(0\.[67]\d|1\.00) s are missing behind 0\.\d+ s: pages are missing or damaged"
    holed = pages(vorbis)[:3] + pages(vorbis)[4:]
    yield "Vorbis without a page", Made(b"".join(holed), 1.6, lost, 0.1)
    yield "damaged Vorbis", Made(damaged(vorbis, len(b"".join(pages(vorbis)[:3])) + 999), 1.6, lost, 0.1)
    yield "damaged Opus", Made(damaged(opus, len(b"".join(pages(opus)[:3])) + 999), 1.3, lost, 0.1)
    yield (
        "a chain whose second start is missing",
        Made(vorbis + b"".join(pages(opus)[1:]), LENGTH_S, r"behind 2\.30 s: \d pages behind it belong to a stream"),
    )
    yield "junk between pages", Made(b"".join([*pages(vorbis)[:3], PICTURE, *pages(vorbis)[3:]]), LENGTH_S)


def flac():
    """FLAC."""
    whole = sound("FLAC", "PCM_16")
    samples = round(LENGTH_S * RATE)
    other = sound("FLAC", "PCM_16", seconds=1.0)
    yield "whole", Made(whole, LENGTH_S)
    yield "24 bits", Made(sound("FLAC", "PCM_24"), LENGTH_S)
    yield "of unknown length", Made(counted(whole, 0), LENGTH_S)
    yield "that says that it is shorter", Made(counted(whole, samples // 2), LENGTH_S)
    lost = r"2\.30 s are missing behind 2\.30 s"
    yield "that says that it is longer", Made(counted(whole, 2 * samples), LENGTH_S, lost)
    yield "a tag before it", Made(id3v2() + whole, LENGTH_S)
    yield "a tag behind it", Made(whole + ID3V1, LENGTH_S)
    yield "tags behind it, of unknown length", Made(counted(whole, 0) + ape() + ID3V1, LENGTH_S)
    yield "joined", Made(whole + other, 3.3)
    yield "joined, with tags", Made(id3v2() + whole + ID3V1 + id3v2() + other + ID3V1, 3.3)
    yield "joined, of two rates", Made(whole + sound("FLAC", "PCM_16", rate=16_000), 2 * LENGTH_S, unread=True)
    yield "cut", Made(whole[: len(whole) // 2], 1.02, r"1\.2\d s are missing behind 1\.0\d s: it ends inside", 0.05)
    yield "cut, of unknown length", Made(counted(whole, 0)[: len(whole) // 2], 1.02, r"behind 1\.0\d s: it ends", 0.05)
    filled = whole[: len(whole) // 2] + bytes(90_000)
    yield "filled up with zeros", Made(filled, 1.02, r"behind 1\.0\d s: it ends", 0.05)
    yield "variable frames of FFmpeg's", Made(media("flac", "flac"), LENGTH_S)


def chunks():
    """WAV and its kin."""
    wav, aiff, w64, au = (sound(kind, "PCM_16") for kind in ("WAV", "AIFF", "W64", "AU"))
    rf64, caf, stereo = sound("RF64", "PCM_16"), sound("CAF", "PCM_16"), sound("WAV", "PCM_16", channels=2)
    pcm = wav[44:]
    half = len(wav) // 2
    lost = r"1\.1\d s are missing behind 1\.1\d s: its header counts more"
    tags = chunk(b"LIST", b"INFOISFT" + b"\x05\0\0\0Lavf\0\0")
    yield "WAV", Made(wav, LENGTH_S)
    for size in (0, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFF):
        yield f"WAV from a pipe, {size:#x}", Made(sized(wav, size, riff=size), LENGTH_S)
    yield "WAV of a program that broke off", Made(sized(wav, 0, riff=36), LENGTH_S)
    yield "silent WAV of a program that broke off", Made(sized(wav[:44] + bytes(len(pcm)), 0, riff=36), LENGTH_S)
    yield "WAV that is cut", Made(wav[:half], 1.15, lost, 0.01)
    yield "WAV that says too much", Made(sized(wav, 10**9), LENGTH_S, r"2083\d\.\d\d s are missing behind 2\.30 s")
    left_out = r"behind 1\.00 s: 62,400 bytes behind what its header counts"
    yield "WAV that says too little", Made(sized(wav, 48_000), 1.0, left_out)
    yield "WAV that ends inside a sample", Made(wav[:-1], LENGTH_S)
    yield "WAV with tags before the sound", Made(wav[:36] + tags + wav[36:], LENGTH_S)
    yield "WAV with tags behind it", Made(wav + tags + chunk(b"id3 ", id3v2(PICTURE[:501])), LENGTH_S)
    yield "WAV with tags behind it, not filled up", Made(sized(wav[:-1], len(pcm) - 1) + tags, LENGTH_S)
    yield "WAV with zeros behind it", Made(wav + bytes(4096), LENGTH_S)
    yield "WAV with ID3 behind it", Made(wav + ID3V1, LENGTH_S)
    yield "WAV with ID3 before it", Made(id3v2() + wav, LENGTH_S, unread=True)
    yield "WAV whose sound comes twice", Made(wav + tags + chunk(b"data", pcm), 2 * LENGTH_S)
    yield "WAV without sound, with tags", Made(wav[:40] + bytes(4) + tags, 0.0, unread=True)
    yield "a WAV with half a sample too much", Made(wav + b"\1", LENGTH_S)
    yield "joined WAVs", Made(wav + tags + wav, 2 * LENGTH_S)
    yield "joined WAVs of two rates", Made(wav + sound("WAV", "PCM_16", rate=48_000), 2 * LENGTH_S)
    yield "WAV of 8 bits", Made(sound("WAV", "PCM_U8"), LENGTH_S)
    yield "WAV of 24 bits", Made(sound("WAV", "PCM_24", channels=2), LENGTH_S)
    yield "WAV of floats", Made(sound("WAV", "FLOAT"), LENGTH_S)
    yield "stereo WAV from a pipe", Made(sized(stereo, 0), LENGTH_S)
    yield "WAV of mu-law", Made(sound("WAV", "ULAW"), LENGTH_S)
    yield "WAV of ADPCM", Made(sound("WAV", "IMA_ADPCM"), LENGTH_S, slack_s=0.1)
    yield (
        "WAV of ADPCM that is cut",
        Made(sound("WAV", "IMA_ADPCM")[:14_000], 1.19, lost.replace("1\\d", "\\d\\d"), 0.1),
    )
    mp3 = bare(q="4")
    inside = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 6000, 1, 0, 12, 1, 2, 1152, 1, 1393))
    yield "WAV of MP3", Made(b"RIFF" + bytes(4) + inside + chunk(b"data", mp3), PADDED_S)
    yield "WAV with the high byte first", Made(sound("WAV", "PCM_16", endian="BIG"), LENGTH_S, unread=True)
    yield "WAV with the high byte first, cut", Made(sound("WAV", "PCM_16", endian="BIG")[:half], 1.15, lost, 0.01)
    yield "RF64", Made(rf64, LENGTH_S)
    yield "RF64 that is cut", Made(rf64[: len(rf64) // 2], 1.15, lost, 0.01)
    yield "RF64 from a pipe", Made(rf64[:28] + b"\xff" * 8 + rf64[36:], LENGTH_S, unread=True)
    yield "W64", Made(w64, LENGTH_S)
    yield "W64 that is cut", Made(w64[: len(w64) // 2], 1.15, lost, 0.01)
    yield "W64 from a pipe", Made(sized(w64, 2**63 - 1, form="<Q"), LENGTH_S, unread=True)
    yield "AIFF", Made(aiff, LENGTH_S)
    yield "AIFF that is cut", Made(aiff[:half], 1.15, lost, 0.01)
    yield "AIFF from a pipe", Made(sized(aiff, 0x7FFF_FFFF, b"SSND", ">I"), LENGTH_S)
    yield "AIFF of a program that broke off", Made(sized(aiff, 0, b"SSND", ">I"), LENGTH_S, unread=True)
    yield "joined AIFFs", Made(aiff + aiff, 2 * LENGTH_S)
    yield "AU", Made(au, LENGTH_S)
    yield "AU that is cut", Made(au[:half], 1.15, lost, 0.01)
    yield "AU from a pipe", Made(au[:8] + b"\xff" * 4 + au[12:], LENGTH_S)
    yield "AU of a program that broke off", Made(au[:8] + bytes(4) + au[12:], LENGTH_S, unread=True)
    yield "joined AUs", Made(au + ID3V1 + au, 2 * LENGTH_S, unread=True)
    yield "AU with something behind it", Made(au + b"something", LENGTH_S, "9 bytes behind", unread=True)
    yield "CAF", Made(caf, LENGTH_S)
    yield "CAF that is cut", Made(caf[: len(caf) // 2], 1.13, r"1\.1\d s are missing behind 1\.1\d s", 0.03)
    yield "CAF from a pipe", Made(sized(caf, 2**64 - 1, form=">Q"), LENGTH_S)
    yield "NIST SPHERE", Made(nist(pcm), LENGTH_S)
    yield "joined NIST SPHEREs", Made(nist(pcm) + nist(pcm), 2 * LENGTH_S, unread=True)
    yield "NIST SPHERE that is cut", Made(nist(pcm)[:half], 1.13, r"1\.1\d s are missing behind 1\.1\d s", 0.03)


def mixed():
    """Sounds of several formats, joined."""
    wav, flac_, ogg_, mp3 = (
        sound("WAV", "PCM_16"),
        sound("FLAC", "PCM_16"),
        sound("OGG", "VORBIS"),
        bare(bit_rate=64_000),
    )
    for name, whole in (("WAV", wav), ("AU", sound("AU", "PCM_16")), ("Ogg", ogg_)):
        yield f"{name} and MP3 behind a tag", Made(whole + id3v2() + mp3, LENGTH_S + PADDED_S, unread=True)
    for name, whole in (("WAV", wav), ("FLAC", flac_), ("Ogg", ogg_)):
        yield f"MP3 and {name}", Made(mp3 + ID3V1 + whole + ID3V1, PADDED_S + LENGTH_S, unread=True)
    for name, whole in (("WAV", wav), ("Ogg", ogg_)):
        yield f"FLAC, {name} and FLAC", Made(flac_ + whole + flac_, 3 * LENGTH_S, unread=True)
    yield "FLAC and MP3 behind a tag", Made(flac_ + id3v2() + mp3, LENGTH_S + PADDED_S, unread=True)
    yield "Ogg, WAV and Ogg", Made(ogg_ + wav + ogg_, 3 * LENGTH_S, unread=True)
    yield "W64 and FLAC", Made(sound("W64", "PCM_16") + flac_, 2 * LENGTH_S, unread=True)
    yield "MP3 and something else", Made(mp3 + b"something else", PADDED_S, "last 14 bytes", unread=True)


def others():
    """What libsndfile does not read."""
    cut = r"may be missing behind 1\.\d\d s: something there cannot be decoded|s are missing behind 1\.\d\d s"
    aac, webm = media("ipod", "aac", flags="movflags=+frag_keyframe+empty_moov"), media("webm", "libopus", rate=48_000)
    yield "m4a", Made(media("ipod", "aac"), 2.347)
    yield "m4a with a picture and ID3 behind it", Made(media("ipod", "aac") + ID3V1, 2.347)
    yield "m4a in pieces", Made(aac, 2.347)
    yield "ALAC", Made(media("ipod", "alac"), LENGTH_S)
    yield "ALAC in CAF", Made(media("caf", "alac"), LENGTH_S)
    yield "mp4", Made(media("mp4", "aac", rate=44_100, channels=2), 2.3452, slack_s=0.01)
    yield "mov", Made(media("mov", "pcm_s16le"), LENGTH_S)
    yield "AAC", Made(media("adts", "aac"), 2.347)
    yield "AAC behind a tag", Made(id3v2() + media("adts", "aac"), 2.347)
    yield "cut AAC", Made(media("adts", "aac")[:12_000], 1.4, cut, 0.1)
    yield "WebM", Made(webm, LENGTH_S)
    yield "cut WebM", Made(webm[:12_000], 1.4, cut, 0.2)
    stream = media("webm", "libopus", rate=48_000, pipe=True)
    yield "WebM from a pipe", Made(stream, LENGTH_S)
    yield "cut WebM from a pipe", Made(stream[:12_000], 1.4, r"may be missing behind 1\.\d\d s: it is cut short", 0.1)
    yield "Matroska with FLAC", Made(media("matroska", "flac"), LENGTH_S)
    yield "WMA", Made(media("asf", "wmav2", rate=44_100, bit_rate=96_000), 2.276)
    yield "WavPack", Made(media("wv", "wavpack"), LENGTH_S)
    yield "AC-3", Made(media("ac3", "ac3", rate=48_000, bit_rate=128_000), 2.304)
    yield "AVI", Made(media("avi", "pcm_s16le"), LENGTH_S)
    yield "MPEG transport stream", Made(media("mpegts", "mp2", rate=48_000, bit_rate=128_000), 2.304)


def table():
    """Every file by its name; those that FFmpeg makes only where it is there."""
    if made.av is None:
        return {}
    groups = {"MP3": mpeg, "Ogg": ogg, "FLAC": flac, "chunks": chunks, "mixed": mixed, "others": others}
    return {f"{group}: {name}": file for group, files in groups.items() for name, file in files()}


FILES = table()


def read(data):
    """What is read of a file, its rate, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pcm, sample_rate = audio.read(io.BytesIO(data))
    assert all(warning.category is IncompleteAudio for warning in said)
    return pcm, sample_rate, [str(warning.message) for warning in said]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_to_its_end_or_it_is_said(name):
    file = FILES[name]
    pcm, rate, said = read(file.data)
    seconds = pcm.shape[1] / rate
    assert seconds == pytest.approx(file.seconds, abs=file.slack_s)
    if file.warning is None:
        assert said == []
    else:
        assert len(said) == 1 and re.search(file.warning, said[0])
    if file.unread:
        return
    found, found_rate = made.second_decoder(file.data)
    assert seconds > found.shape[1] / found_rate - 0.05 or said
    if rate == found_rate and not said and not file.shifted and found.size:
        samples = min(pcm.shape[1], found.shape[1])
        error = pcm[:, :samples] - found[:, :samples]
        assert np.sqrt(np.mean(error**2)) <= 0.003 * np.std(found)


@pytest.mark.parametrize("name", FILES)
def test_a_number_of_samples_that_is_promised_is_kept(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with audio.open_reader(io.BytesIO(FILES[name].data)) as reader:
            samples = sum(block.shape[1] for block in reader)
    assert reader.num_samples in (None, samples)


def test_the_command_line_warns_in_one_line_and_goes_on(tmp_path, tiny_artifact):
    whole = sound("WAV", "PCM_16")
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    command = [sys.executable, "-m", "soundstream", "encode", "cut.wav", "--quiet", "--model", str(tiny_artifact)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    line = "warning: cut.wav: 1.15 s are missing behind 1.15 s: its header counts more than there is\n"
    assert (result.stdout, result.stderr) == ("", line)
    assert load(tiny_artifact).decode((tmp_path / "cut.nac").read_bytes())[0].shape == (1, 27_589)


def test_the_table_is_long():
    assert made.av is None or len(FILES) > 100


@pytest.mark.parametrize(
    "name", ["MP3: stereo", "Ogg: Vorbis", "Ogg: FLAC", "FLAC: whole", "chunks: WAV", "chunks: AIFF"]
)
def test_a_file_that_is_cut_anywhere_is_read_or_refused(name):
    data, read_at_all = FILES[name].data, 0
    for end in range(1, len(data), len(data) // 60):
        try:
            _, _, said = read(data[:end])
        except AudioError:
            assert not read_at_all  # what comes before the first sound is cut
        else:
            assert len(said) == 1
            read_at_all += 1
    assert read_at_all > 30


def test_a_wav_of_more_than_4_gib_is_read_to_its_end(tmp_path):
    head, second = sound("WAV", "PCM_16", channels=2)[:44], 4 * RATE
    samples = 5 * 2**28 + 3
    for size in (4 * samples % 2**32, 0, 2**32 - 1):  # wrapped, and of a pipe
        with (tmp_path / "long.wav").open("wb") as file:
            file.write(sized(head, size))
            file.seek(4 * (samples - RATE), 1)
            file.write(sound("WAV", "PCM_16", seconds=1.0, channels=2)[44 : 44 + second])
        with audio.open_reader(tmp_path / "long.wav") as reader:
            assert reader.num_samples == samples


def test_the_parts_of_a_long_wav_are_one(monkeypatch):
    monkeypatch.setattr("soundstream.audio.formats.chunks._MAX", 1001)
    for channels in (1, 2):
        whole = sound("WAV", "PCM_24", channels=channels)
        pcm, rate, said = read(sized(whole, 0))
        assert (rate, said) == (RATE, [])
        np.testing.assert_array_equal(pcm, read(whole)[0])


def test_sounds_of_other_channels_are_not_joined():
    joined = sound("WAV", "PCM_16") + sound("WAV", "PCM_16", channels=2)
    with pytest.raises(
        AudioError, match="2 sounds, joined; number 2 has 2 channels, the first 1; encode them one by one"
    ):
        read(joined)


def test_many_gaps_are_told_in_a_few_lines():
    data = sound("OGG", "VORBIS") + b"".join(pages(sound("OGG", "VORBIS"))[:-1]) * 5
    _, _, said = read(data)
    assert len(said) == 4 and said[-1] == "the audio: 2 more gaps"


def test_a_file_that_is_damaged_anyhow_is_read_or_refused():
    random = np.random.default_rng(5)
    names = [name for name, file in FILES.items() if len(file.data) < 120_000]
    for name in random.choice(names, 100):
        data = bytearray(FILES[name].data)
        place, size = random.integers(len(data)), int(random.choice([1, 30, 3000]))
        match random.integers(3):
            case 0:
                del data[place : place + size]
            case 1:
                data[place:place] = random.bytes(size)
            case 2:
                for spot in random.integers(min(len(data), 400), size=min(size, 30)):
                    data[spot] ^= 1 << random.integers(8)
        with warnings.catch_warnings(), contextlib.suppress(AudioError):
            warnings.simplefilter("ignore")
            pcm, _ = audio.read(io.BytesIO(data))
            assert np.isfinite(pcm).all()
