"""Audio files as people have them, made here: whole, joined, tagged, cut, damaged, with lengths that are wrong."""

import io
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile

try:
    import av
except ModuleNotFoundError:
    av = None

RATE = 24_000
FRAME_S = 1152 / RATE
PICTURE = np.random.default_rng(7).integers(0, 256, 300_000, np.uint8).tobytes()


@dataclass(frozen=True)
class Made:
    """A file and what is in it."""

    data: bytes
    seconds: float
    """Seconds of sound that are to be read."""
    warning: str | None = None
    """What is said of what is missing, as a pattern."""
    slack_s: float = 0.001
    """Seconds that may be read more or less than these."""
    shifted: bool = False
    """Whether the second decoder adds or leaves out something where files were joined or are counted wrongly."""
    unread: bool = False
    """Whether the second decoder cannot be asked: it fails, or takes what is no sound for sound."""


@cache
def tone(seconds=2.3, rate=RATE, channels=1):
    """A gliding tone with some noise, float32 [channels, samples]."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, (channels, len(time)))
    return (0.3 * np.sin(2 * np.pi * (300 + 200 * time) * time) * (np.sin(9 * time) > 0) + noise).astype(np.float32)


@cache
def sound(kind="WAV", subtype="PCM_16", seconds=2.3, rate=RATE, channels=1, level=None, **options):
    """A file that libsndfile writes."""
    stream = io.BytesIO()
    if level is not None:
        options["compression_level"] = level
    with soundfile.SoundFile(stream, "w", rate, channels, subtype, format=kind, **options) as file:
        file.write(tone(seconds, rate, channels).T)
    return stream.getvalue()


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back to them."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, data):
        self.data += data
        return len(data)


@cache
def media(container, codec, seconds=2.3, rate=RATE, channels=1, pipe=False, bit_rate=None, flags="", **options):
    """A file that FFmpeg writes; flags are those of its muxer."""
    stream = Pipe() if pipe else io.BytesIO()
    muxer = dict(pair.split("=") for pair in flags.split())
    with av.open(stream, "w", format=container, options=muxer) as file:
        track = file.add_stream(codec, rate=rate, options=options)
        track.layout = {1: "mono", 2: "stereo"}[channels]
        if bit_rate:
            track.bit_rate = bit_rate
        track.codec_context.open()
        pcm = np.ascontiguousarray(tone(seconds, rate, channels))
        frame = av.AudioFrame.from_ndarray(pcm, "fltp", track.layout.name)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(track.codec_context.format.name, track.layout.name, rate)
        fifo = av.AudioFifo()
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            fifo.write(part)
        size = track.codec_context.frame_size or 1024
        while (part := fifo.read(size) or fifo.read()) is not None:
            file.mux(track.encode(part))
        file.mux(track.encode(None))
    return bytes(stream.data) if pipe else stream.getvalue()


def second_decoder(data):
    """Pcm [channels, samples] that PyAV finds and its rate; what it cannot decode is left out, as ffmpeg does."""
    pcm, rate, resampler = [np.zeros((0, 0), np.float32)], RATE, av.AudioResampler("flt")  # PyAV breaks on 8 planes
    with av.open(io.BytesIO(data)) as file:
        packets = file.demux(file.streams.audio[0])
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return np.concatenate(pcm[1:], axis=1), rate
                for frame in packet.decode():
                    rate = frame.sample_rate
                    pcm += [part.to_ndarray().reshape(part.samples, -1).T for part in resampler.resample(frame)]
            except av.error.FFmpegError:
                continue


# Tags


def id3v2(payload=PICTURE, footer=False):
    """A tag before the sound, with a picture."""
    size = len(payload)
    synchsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = b"\x04\0" + (b"\x10" if footer else b"\0") + synchsafe
    return b"ID3" + head + payload + (b"3DI" + head if footer else b"")


def ape(payload=b"\x07\0\0\0\0\0\0\0Artist\0Someone", header=True):
    """A tag behind the sound."""
    begin, end, end_alone = (
        struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(payload) + 32, 1, flags) for flags in (0xA000_0000, 1 << 31, 0)
    )
    return begin + payload + end if header else payload + end_alone


ID3V1 = b"TAG" + b"A title".ljust(125, b"\0")
LYRICS = b"LYRICSBEGIN" + b"la la la " * 40 + b"000371LYRICS200"


# MPEG


def frames(data):
    """The frames of an MP3 of 24 kHz without tags."""
    found, start = [], 0
    while start < len(data):
        bitrate = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[data[start + 2] >> 4]
        length = 72 * 1000 * bitrate // RATE + (data[start + 2] >> 1 & 1)
        found.append(data[start : start + length])
        start += length
    return found


def bare(**options):
    """An MP3 without tag and header."""
    return media("mp3", "libmp3lame", flags="write_xing=0 id3v2_version=0", **options)


def recounted(data, count):
    """An MP3 whose Info header says another number of frames."""
    place = data.index(b"Info") if b"Info" in data else data.index(b"Xing")
    return data[: place + 8] + struct.pack(">I", count) + data[place + 12 :]


def with_vbri(data):
    """An MP3 with the header that Fraunhofer's encoder writes."""
    first = bytearray(frames(data)[0])
    first[4:] = bytes(len(first) - 4)
    first[36 : 36 + 18] = struct.pack(">4sHHHII", b"VBRI", 1, 0, 0, len(data), len(frames(data)))
    return bytes(first) + data


def free(data):
    """An MP3 of a constant rate, named as a free one."""
    return b"".join(frame[:2] + bytes([frame[2] & 0x0F]) + frame[3:] for frame in frames(data))


# Ogg


def pages(data):
    """The pages of an Ogg file."""
    found, start = [], 0
    while start < len(data):
        segments = data[start + 26]
        length = 27 + segments + sum(data[start + 27 : start + 27 + segments])
        found.append(data[start : start + length])
        start += length
    return found


def summed(page):
    """A page with its checksum put right."""
    checksum = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1) ^ (0x1_04C1_1DB7 if checksum >> 31 else 0)
    return page[:22] + struct.pack("<I", checksum) + page[26:]


def without_end(data):
    """An Ogg file whose last page is not marked as such, as of a stream that was recorded."""
    *head, last = pages(data)
    return b"".join([*head, summed(last[:5] + bytes([last[5] & ~4]) + last[6:])])


def later(data, samples):
    """An Ogg file that was cut from a longer stream: its places begin late."""
    changed = []
    for page in pages(data):
        granule = int.from_bytes(page[6:14], "little")
        changed.append(summed(page[:6] + struct.pack("<Q", granule + samples) + page[14:]) if granule else page)
    return b"".join(changed)


def damaged(data, *places):
    """A file with some bytes changed."""
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


# FLAC


def counted(data, samples):
    """A FLAC file that says another number of samples; 0 is unknown."""
    place = data.index(b"fLaC")
    head = bytearray(data[place : place + 42])
    head[21] &= 0xF0
    head[22:26] = struct.pack(">I", samples)
    return data[:place] + bytes(head) + data[place + 42 :]


# WAV and its kin


def sized(data, size, name=b"data", form="<I", riff=None):
    """A file of chunks whose sound says another number of bytes, and the file too."""
    place = data.index(name) + (16 if name == b"data" and form == "<Q" else 4)
    changed = data[:place] + struct.pack(form, size) + data[place + struct.calcsize(form) :]
    return changed if riff is None else changed[:4] + struct.pack(form, riff) + changed[8:]


def chunk(name, payload):
    """A chunk of a WAV, filled up to an even number of bytes."""
    return name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def nist(pcm_bytes):
    """NIST SPHERE, as corpora of speech have it."""
    text = f"NIST_1A\n   1024\nchannel_count -i 1\nsample_count -i {len(pcm_bytes) // 2}\nsample_rate -i {RATE}\n"
    text += "sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
    return text.encode().ljust(1024) + pcm_bytes
