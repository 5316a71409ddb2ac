"""Codecs that are not causal: toy families whose layers look ahead, in chunks with context and in segments.

Of the first kind there is one more, whose layers see windows, and do what depends on the place in the signal.
"""

import io
import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import soundstream
from soundstream.bitstream import Reader, RepairingReader
from soundstream.codec import editing
from soundstream.errors import ConfigError
from soundstream.export.artifact import export, exportable
from soundstream.nn.config import FamilyConfig
from soundstream.nn.graph import Graph
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.streaming import Chain, State, StreamingModule
from soundstream.runtime.model import CONTEXT_BLOCK_S
from soundstream.runtime.stream import DecoderStream, LatentStream

HOP, RATE = 40, 8_000
CONTEXT = 4
"""Frames that two layers of kernel 5 see to either side."""
BLOCK_FRAMES = int(CONTEXT_BLOCK_S * RATE / HOP)
WINDOW, PERIOD = 6, 9
GRANULE, GRID = 6, 18
SEGMENT, OVERLAP = 30 * HOP, 3 * HOP + 7
FRAMES = 2 * BLOCK_FRAMES + 20
STEP = SEGMENT - OVERLAP
EDGES = (STEP, STEP + 1, STEP + 8, STEP + 50, SEGMENT, SEGMENT + 3, 2 * STEP + 1, 2 * STEP + OVERLAP - 1)
"""Samples with which the last segments are of every kind."""


class Centred(StreamingModule):
    """Convolution that sees as much of the future as of the past."""

    def __init__(self, channels: int, kernel: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 1, kernel) / (channels * kernel) ** 0.5)
        self.reach = kernel // 2

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.conv2d(x, self.weight, padding=(0, self.reach)), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        weight = graph.constant(f"{name}.weight", self.weight)
        return graph.node("Conv", [x, weight], name, pads=(0, self.reach, 0, self.reach))


class Whole(StreamingModule):
    """Zeros behind the last sample, up to a whole frame."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return functional.pad(x, (0, -x.shape[3] % HOP)), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        time = graph.node("Shape", [x], f"{name}.time", start=3)
        less = graph.node("Neg", [time], f"{name}.less")
        behind = graph.node("Mod", [less, graph.constant(f"{name}.hop", [HOP])], f"{name}.behind")
        none = [graph.constant(f"{name}.none", [0]), graph.constant(f"{name}.axis", [3])]
        pads = graph.node("Concat", [none[0], behind], f"{name}.pads", axis=0)
        return graph.node("Pad", [x, pads, "", none[1]], name)


class Spread(StreamingModule):
    """Channels of a frame to its samples."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x.transpose(1, 3).reshape(len(x), 1, 1, -1), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        turned = graph.node("Transpose", [x], f"{name}.turned", perm=(0, 3, 2, 1))
        return graph.node("Reshape", [turned, graph.constant(f"{name}.shape", [0, 1, 1, -1])], name)


class Windowed(StreamingModule):
    """Each frame and the mean of its window, from the first frame on."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        windows = x.unflatten(3, (-1, WINDOW))
        return (windows + windows.mean(4, keepdim=True)).flatten(3), state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        shapes = (graph.constant(f"{name}.{key}", v) for key, v in (("in", [0, 0, -1, WINDOW]), ("out", [0, 0, 1, -1])))
        windows = graph.node("Reshape", [x, next(shapes)], f"{name}.windows")
        mean = graph.node("ReduceMean", [windows, graph.constant(f"{name}.axis", [3])], f"{name}.mean")
        return graph.node("Reshape", [graph.node("Add", [windows, mean], f"{name}.sum"), next(shapes)], name)


class Periodic(StreamingModule):
    """Adds what depends on the place of a frame, over and over."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.linspace(-1, 1, PERIOD)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return x + self.table[torch.arange(x.shape[3]) % PERIOD], state

    def onnx(self, graph: Graph, name: str, x: str) -> str:
        time = graph.node("Shape", [x], f"{name}.time", start=3, end=4)
        zero, one = (graph.constant(f"{name}.{i}", [i]) for i in (0, 1))
        axis = graph.constant(f"{name}.axis", [0])
        bounds = [graph.node("Squeeze", [end, axis], f"{name}.bound{i}") for i, end in enumerate((zero, time, one))]
        place = graph.node("Range", bounds, f"{name}.range")
        place = graph.node("Mod", [place, graph.constant(f"{name}.period", [PERIOD])], f"{name}.place")
        added = graph.node("Gather", [graph.constant(f"{name}.table", self.table), place], f"{name}.added")
        return graph.node("Add", [x, added], name)


@dataclass(frozen=True)
class Config(FamilyConfig):
    """Of all toy families, by their names."""

    hop_length: int = HOP
    kind: str = "chunks"

    @property
    def segment(self):
        return self.kind == "segments"

    def spec(self):
        kind = {
            "chunks": {"context_frames": CONTEXT},
            "windows": {"context_frames": 2 * WINDOW, "window_frames": WINDOW, "period_frames": PERIOD},
            "segments": {"segment_samples": SEGMENT, "overlap_samples": OVERLAP},
        }[self.kind]
        return replace(super().spec(), **kind)


def toy(kind):
    """A model whose every frame depends on those around it."""
    torch.manual_seed(0)
    config = Config(sample_rate=RATE, latent_dim=8, num_quantizers=3, codebook_size=16, kind=kind)
    middle = [{"windowed": Windowed(), "periodic": Periodic()} if kind == "windows" else {} for _ in range(2)]
    encoder = Chain(whole=Whole(), down=CausalConv(1, 8, HOP, HOP), one=Centred(8), **middle[0], two=Centred(8))
    decoder = Chain(one=Centred(8), **middle[1], two=Centred(8), wide=CausalConv(8, HOP, 1), spread=Spread())
    return SoundStream(config, Networks(encoder, decoder)).eval()


@pytest.fixture(scope="module", params=["chunks", "windows", "segments"])
def model(request):
    return exportable(toy(request.param))


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / model.config.kind
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


def noise(samples, channels=2):
    return np.random.default_rng(samples).normal(0, 0.15, (channels, samples)).clip(-1, 1).astype(np.float32)


def cut(array, sizes):
    """Parts of these lengths along the last axis, in turn."""
    places = [0]
    while places[-1] < array.shape[-1]:
        places.append(places[-1] + sizes[len(places) % len(sizes)])
    return [array[..., a:b] for a, b in itertools.pairwise(places)]


def joined(push, flush, parts):
    return np.concatenate([*map(push, parts), flush()], axis=-1)


@torch.no_grad()
def whole_latents(model, pcm):
    """What the networks make of each part of a signal that they are meant to see at once."""
    pcm = torch.from_numpy(pcm)[:, None]
    if not model.config.segment:
        return model.encode(functional.pad(pcm, (0, -pcm.shape[2] % (HOP * model.config.spec().granule)))).numpy()
    starts = range(0, pcm.shape[2], SEGMENT - OVERLAP)
    pieces = [pcm[..., start : start + SEGMENT] for start in starts]
    return np.concatenate([model.encode(piece).numpy() for piece in pieces], axis=2)


@torch.no_grad()
def whole_pcm(model, latents, samples):
    """Sound of the latents of so many samples."""
    latents = torch.from_numpy(latents)
    if not model.config.segment:
        return model.decode(latents)[:, 0].numpy()
    starts = range(0, samples, SEGMENT - OVERLAP)
    counts = [-(-min(SEGMENT, samples - start) // HOP) for start in starts]
    ramp = np.linspace(0, 1, counts[0] * HOP + 2)[1:-1]
    total = np.zeros((2, len(latents), samples + SEGMENT))
    for start, part in zip(starts, latents.split(counts, dim=2), strict=True):
        pcm = model.decode(part)[:, 0].numpy()
        weight = (0.5 - abs(ramp - 0.5))[: pcm.shape[1]]
        total[:, :, start : start + pcm.shape[1]] += weight * pcm, np.broadcast_to(weight, pcm.shape)
    heard = total[1, 0] > 0
    return total[0][:, heard] / total[1][:, heard]


@pytest.mark.parametrize("samples", [1, HOP, *EDGES, FRAMES * HOP])
def test_latents_and_sound_are_those_of_the_whole(model, codec, samples):
    pcm = noise(samples)
    stream, decoder = LatentStream(codec.model, 2), DecoderStream(codec.model, 2)
    latents = joined(stream.push, stream.flush, [pcm])
    np.testing.assert_allclose(latents, whole_latents(model, pcm), rtol=0, atol=1e-4)
    found = joined(decoder.push_latents, decoder.flush, [latents])
    np.testing.assert_allclose(found, whole_pcm(model, latents, samples), rtol=0, atol=1e-4)
    assert found.shape[1] == codec.spec.decoded_samples(latents.shape[2]) >= samples


@pytest.mark.parametrize("sizes", [[1], [HOP - 1, 7], [HOP * BLOCK_FRAMES], [SEGMENT, 1], [3 * SEGMENT + 5]], ids=str)
def test_any_chunking_of_the_encoder_gives_the_same_bits(codec, sizes):
    pcm = noise(FRAMES * HOP + 9)
    streams = [LatentStream(codec.model, 2) for _ in range(2)]
    whole, parts = (joined(s.push, s.flush, given) for s, given in zip(streams, ([pcm], cut(pcm, sizes)), strict=True))
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("sizes", [[1], [2, 31], [BLOCK_FRAMES], [FRAMES]], ids=str)
def test_any_chunking_of_the_decoder_gives_the_same_bits(codec, sizes):
    latents = np.random.default_rng(1).normal(size=(2, 8, FRAMES)).astype(np.float32)
    streams = [DecoderStream(codec.model, 2) for _ in range(2)]
    whole, parts = (
        joined(s.push_latents, s.flush, given)
        for s, given in zip(streams, ([latents], cut(latents, sizes)), strict=True)
    )
    np.testing.assert_array_equal(parts, whole)


def test_buffers_stay_small(codec):
    encoder, decoder = LatentStream(codec.model, 1), DecoderStream(codec.model, 1)
    for _ in range(30):
        decoder.push_latents(encoder.push(noise(10 * HOP, 1)))
        held = [encoder._policy._held, getattr(decoder._policy, "_splitter", decoder._policy)._held]
        assert all(one is None or one.nbytes < 4 * 8 * HOP * (BLOCK_FRAMES + 40) for one in held)


@pytest.mark.parametrize("samples", [0, 1, SEGMENT + 1, FRAMES * HOP - 3])
@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_files_and_codes_hold_exactly_the_sound(codec, samples, rate):
    pcm, bitrate = noise(samples), codec.spec.bitrate(3)
    decoded, _ = codec.decode(codec.encode(pcm, rate, bitrate))
    assert decoded.shape == pcm.shape
    encoder = codec.open_code_encoder(rate, 2, bitrate)
    codes = joined(encoder.push, encoder.flush, cut(pcm, [999]))
    np.testing.assert_array_equal(codes, codec.to_codes(pcm, rate, bitrate))
    np.testing.assert_allclose(codec.from_codes(codes, rate, samples), decoded, rtol=0, atol=1e-5)


def test_decoding_from_a_place_gives_the_sound_of_the_whole(codec):
    data = codec.encode(noise(FRAMES * HOP), RATE, codec.spec.bitrate(3))
    for start_s in (0.5, 1.7, (FRAMES * HOP - 60) / RATE):
        part = np.concatenate([*codec.read(Reader(io.BytesIO(data)), start_s)], axis=1)
        np.testing.assert_allclose(part, codec.decode(data)[0][:, round(start_s * RATE) :], rtol=0, atol=1e-4)


def test_decoding_from_a_place_begins_near_it(codec, monkeypatch):
    data, decoded = codec.encode(noise(20 * SEGMENT), RATE, codec.spec.bitrate(3)), []
    push = DecoderStream.push
    monkeypatch.setattr(DecoderStream, "push", lambda stream, codes: decoded.append(codes) or push(stream, codes))
    assert sum(block.shape[1] for block in codec.read(Reader(io.BytesIO(data)), 19 * SEGMENT / RATE)) == SEGMENT
    assert sum(codes.shape[2] for codes in decoded) < 6 * SEGMENT // HOP


def test_a_damaged_file_is_concealed_or_refused(codec):
    data = bytearray(codec.encode(noise(2 * FRAMES * HOP), RATE, codec.spec.bitrate(3)))
    data[len(data) // 2] ^= 1
    damage, reader = [], RepairingReader(io.BytesIO(bytes(data)))
    if codec.spec.segment_samples:
        with pytest.raises(ConfigError, match="get a whole copy"):
            list(codec.repair(reader, damage))
    else:
        assert sum(block.shape[1] for block in codec.repair(reader, damage)) == 2 * FRAMES * HOP and len(damage) == 1


def test_behind_damage_frames_lie_on_the_grid_of_the_whole(codec):
    """Far behind what was lost sound is that of the whole, though the packets do not begin on the grid."""
    if codec.spec.segment_samples:
        return
    pcm, bitrate = noise(4 * FRAMES * HOP), codec.spec.bitrate(3)
    data = codec.encode(pcm, RATE, bitrate)
    whole, bad, damage = codec.decode(data)[0], bytearray(data), []
    bad[len(data) // 3] ^= 1
    parts = np.concatenate([*codec.repair(RepairingReader(io.BytesIO(bytes(bad))), damage)], axis=1)
    behind = round((damage[0].start_s + damage[0].duration_s) * RATE) + HOP * GRID
    assert damage[0].start_s * RATE / HOP % GRID
    np.testing.assert_allclose(parts[:, behind:], whole[:, behind:], rtol=0, atol=1e-4)
    assert np.abs(parts - whole).max() > 0.1


def test_what_needs_a_causal_codec_is_refused(codec):
    for opened in (codec.open_encoder, codec.open_decoder):
        with pytest.raises(ConfigError, match="take a causal one"):
            opened(RATE)


def cut_out(codec, data, start_s, end_s):
    part = io.BytesIO()
    editing.cut(codec, Reader(io.BytesIO(data)), part, start_s, end_s)
    return part.getvalue()


def test_parts_sound_as_in_the_whole_and_make_it_again(codec):
    data = codec.encode(noise(FRAMES * HOP), RATE, codec.spec.bitrate(3))
    whole, places = codec.decode(data)[0], (0, 0.4, 0.4005, 1.1, 2.0)
    parts = [cut_out(codec, data, start, end) for start, end in itertools.pairwise((*places, None))]
    for part, start, end in zip(parts, places, (*places[1:], 9), strict=True):
        expected = whole[:, round(start * RATE) : round(end * RATE)]
        np.testing.assert_allclose(codec.decode(part)[0], expected, rtol=0, atol=1e-4)
    if codec.spec.segment_samples:
        with pytest.raises(ConfigError, match="segments cannot be joined"):
            editing.cat(codec, [Reader(io.BytesIO(data))], io.BytesIO())
        return
    joined_parts = io.BytesIO()
    editing.cat(codec, [Reader(io.BytesIO(part)) for part in parts], joined_parts)
    np.testing.assert_allclose(codec.decode(joined_parts.getvalue())[0], whole, rtol=0, atol=1e-5)
