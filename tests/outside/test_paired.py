"""Channels that are coded together, and numbers beside codes: files, codes, streams and what other channels become."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile
import torch

import soundstream
from outside import paired
from soundstream.bitstream import Packet, Reader, Writer
from soundstream.codec import editing
from soundstream.codec.code_files import codes_from_file, codes_to_file
from soundstream.errors import ConfigError, InvalidField
from soundstream.export.artifact import export, exportable
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.stream import DecoderStream, EncoderStream
from soundstream.train.entropy_fit import FitConfig, fit_artifact

RATE, HOP, SEGMENT, OVERLAP = 8_000, 80, 30, 100
STEP = SEGMENT * HOP - OVERLAP
LENGTHS = (0, 1, 80, 7_001, STEP + 1, 2 * STEP, 3 * STEP + 90, 20_000)
KINDS = {"causal": 0, "segments": SEGMENT}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return exportable(paired.fresh(segment_frames=KINDS[request.param]))


@pytest.fixture(scope="module")
def codec(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("paired") / "model"
    export(model, folder)
    return soundstream.load(folder, postfilter=False)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paired") / "model"
    export(paired.fresh(segment_frames=SEGMENT), folder)
    return soundstream.load(folder, postfilter=False)


def noise(samples, channels=2):
    """Sound whose two sides differ, and that grows louder."""
    rng = np.random.default_rng(samples)
    loud = np.linspace(0.02, 0.2, samples, dtype=np.float32)
    return (loud * rng.normal(size=(channels, samples))).clip(-1, 1).astype(np.float32)


def read_codes(codec, data):
    reader = Reader(io.BytesIO(data))
    return np.concatenate(list(codec.coding.unpack(reader, reader.header)), axis=2)


@torch.no_grad()
def pieces(model, pcm):
    """Codes and gain of each segment, or of the whole of a causal signal, by PyTorch."""
    config = model.config
    step = config.segment_frames * HOP - OVERLAP if config.segment_frames else max(1, pcm.shape[1])
    for start in range(0, pcm.shape[1], step):
        piece = torch.from_numpy(pcm[None, :, start : start + (config.segment_frames * HOP or step)])
        yield model.quantizer.encode(model.encode(piece), 3)[0].numpy(), model.side(piece)[0].numpy()


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_stereo_file_is_one_stream(codec, samples):
    pcm, bitrate = noise(samples), codec.spec.bitrate(3)
    data = codec.encode(pcm, RATE, bitrate, entropy="none")
    decoded, _ = codec.decode(data)
    assert decoded.shape == pcm.shape
    header = Reader(io.BytesIO(data)).header
    assert (header.version, header.channels, header.joint_channels, header.streams) == (2, 2, 2, 1)
    codes = codec.to_codes(pcm, RATE, bitrate)
    assert codes.shape[0] == 3 + codec.spec.side_numbers
    np.testing.assert_allclose(codec.from_codes(codes, num_samples=samples), decoded, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", LENGTHS[1:])
def test_codes_and_gains_are_those_of_the_model(model, codec, samples):
    pcm = noise(samples)
    expected = list(pieces(model, pcm))
    codes, side = codec.split_codes(codec.to_codes(pcm, RATE, codec.spec.bitrate(3), effort=1))
    assert (codes == np.concatenate([one for one, _ in expected], axis=1)).mean() > 0.99
    gains = np.concatenate([np.repeat(gain[:, None], one.shape[1], axis=1) for one, gain in expected], axis=1)
    np.testing.assert_allclose(side, gains, rtol=1e-5)
    np.testing.assert_array_equal(
        codec.join_codes(codes, side), codec.to_codes(pcm, RATE, codec.spec.bitrate(3), effort=1)
    )


@torch.no_grad()
def test_the_sound_is_that_of_the_model(model, codec):
    pcm = noise(STEP)
    ((codes, gain),) = pieces(model, pcm)
    expected = model.decode(model.quantizer.decode(torch.from_numpy(codes)[None]), None, torch.from_numpy(gain)[None])
    decoded, _ = codec.decode(codec.encode(pcm, RATE, codec.spec.bitrate(3), effort=1))
    np.testing.assert_allclose(decoded, expected[0, :, :STEP].numpy(), rtol=0, atol=1e-4)
    assert np.abs(decoded[0] - decoded[1]).max() > 1e-2


def test_a_mono_file_is_doubled_and_comes_back_mono(codec):
    pcm, bitrate = noise(7_001, 1), codec.spec.bitrate(3)
    data = codec.encode(pcm, RATE, bitrate)
    both, _ = codec.decode(codec.encode(np.concatenate([pcm, pcm]), RATE, bitrate))
    decoded, _ = codec.decode(data)
    np.testing.assert_allclose(decoded, both.mean(axis=0, keepdims=True), rtol=0, atol=1e-6)
    codes = codec.to_codes(pcm, RATE, bitrate)
    np.testing.assert_allclose(codec.from_codes(codes, num_samples=7_001, channels=1), decoded, rtol=0, atol=1e-5)


def test_three_channels_are_two_streams_of_which_the_last_is_doubled(codec):
    pcm, bitrate = noise(7_001, 3), codec.spec.bitrate(3)
    decoded, _ = codec.decode(codec.encode(pcm, RATE, bitrate))
    front, _ = codec.decode(codec.encode(pcm[:2], RATE, bitrate))
    rear, _ = codec.decode(codec.encode(pcm[2:], RATE, bitrate))
    np.testing.assert_allclose(decoded, np.concatenate([front, rear]), rtol=0, atol=1e-5)
    assert codec.to_codes(pcm, RATE, bitrate).shape[:2] == (2, 3 + codec.spec.side_numbers)


@pytest.mark.parametrize("sizes", [[33], [999], [7_000, 1]], ids=str)
def test_chunks_give_the_codes_and_the_sound_of_the_whole(codec, sizes):
    pcm, options = noise(20_000), EncodeOptions(codec.spec.bitrate(3))
    encoder, decoder, places = EncoderStream(codec.model, 2, options), DecoderStream(codec.model, 2), [0]
    while places[-1] < pcm.shape[1]:
        places.append(places[-1] + sizes[len(places) % len(sizes)])
    parts = [encoder.push(part) for part in np.split(pcm, places[1:], axis=1)] + [encoder.flush()]
    codes = codec.to_codes(pcm, RATE, codec.spec.bitrate(3))
    np.testing.assert_array_equal(np.concatenate(parts, axis=2)[0], codes)
    sound = np.concatenate([*map(decoder.push, parts), decoder.flush()], axis=1)
    np.testing.assert_allclose(sound[:, :20_000], codec.from_codes(codes, num_samples=20_000), rtol=0, atol=1e-5)


def test_codes_go_through_files(codec, tmp_path):
    pcm = noise(9_000)
    soundfile.write(tmp_path / "a.wav", pcm.T, RATE, subtype="FLOAT")
    codes_to_file(tmp_path / "a.wav", tmp_path / "a.npy", codec.spec.bitrate(3), model=codec.folder)
    codes_from_file(tmp_path / "a.npy", tmp_path / "a.nac", model=codec.folder)
    codes_to_file(tmp_path / "a.nac", tmp_path / "b.npy", model=codec.folder)
    codes_to_file(tmp_path / "a.nac", tmp_path / "c.npy", codec.spec.bitrate(1), model=codec.folder)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy")[:, [0]], np.load(tmp_path / "c.npy")[:, [0]])
    assert np.load(tmp_path / "c.npy").shape[1] == 1 + codec.spec.side_numbers
    expected, _ = codec.decode(codec.encode(pcm, RATE, codec.spec.bitrate(3)))
    np.testing.assert_allclose(codec.decode((tmp_path / "a.nac").read_bytes())[0], expected, rtol=0, atol=1e-6)


def test_a_varying_rate_and_entropy_tables_work_as_elsewhere(model, tmp_path):
    folder, pcm = tmp_path / "model", noise(20_000)
    export(model, folder)
    soundfile.write(tmp_path / "a.wav", pcm.T, RATE)
    fit_artifact(folder, [tmp_path / "a.wav"], 1.0, FitConfig(hidden=4, steps=5, crops=2, crop_frames=20))
    codec = soundstream.load(folder, postfilter=False)
    bitrate, found = codec.spec.bitrate(2), []
    for mode in ("none", "fast", "best"):
        data = codec.encode(pcm, RATE, bitrate, entropy=mode)
        found.append(read_codes(codec, data))
        assert codec.decode(codec.encode(pcm, RATE, bitrate, entropy=mode, vbr=True))[0].shape == pcm.shape
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_causal_one_streams_live_and_is_cut(tmp_path):
    export(paired.fresh(), tmp_path / "model")
    codec = soundstream.load(tmp_path / "model", postfilter=False)
    pcm, bitrate = noise(4_000), codec.spec.bitrate(3)
    encoder, decoder = codec.open_encoder(RATE, 2, bitrate, redundancy=3, packet_frames=2), codec.open_decoder(RATE, 2)
    packets = [*encoder.push(pcm), *encoder.flush()]
    heard = np.concatenate([*map(decoder.push, packets), decoder.flush()], axis=1)
    data = codec.encode(pcm, RATE, bitrate, effort=1)
    whole, _ = codec.decode(data)
    np.testing.assert_allclose(heard[:, :4_000], whole, rtol=0, atol=1e-4)
    part = io.BytesIO()
    editing.cut(codec, Reader(io.BytesIO(data)), part, 0.1, 0.3)
    np.testing.assert_allclose(codec.decode(part.getvalue())[0], whole[:, 800:2_400], rtol=0, atol=1e-5)


def test_each_packet_of_a_file_with_side_numbers_is_a_segment(segmented):
    data = segmented.encode(noise(2 * STEP + 40), RATE, segmented.spec.bitrate(3))
    packets = list(Reader(io.BytesIO(data)))
    assert [packet.frames for packet in packets] == segmented.spec.segments_of(2 * STEP + 40) == [30, 30, 1]
    gains = [np.frombuffer(packet.payload[:4], "<f4")[0] for packet in packets]
    _, side = segmented.split_codes(segmented.to_codes(noise(2 * STEP + 40), RATE, segmented.spec.bitrate(3)))
    np.testing.assert_array_equal(gains, side[0, [0, 30, 60]])
    assert Reader(io.BytesIO(data)).header.side_numbers == 1


@pytest.mark.parametrize(("start_s", "end_s"), [(0.1, 0.2), (0.9, 1.73), (0.0, 0.2875), (1.2, None), (0.5, 0.862)])
@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_parts_of_segments_sound_as_in_the_whole(segmented, start_s, end_s, rate):
    data, part = segmented.encode(noise(2 * rate), rate, segmented.spec.bitrate(3)), io.BytesIO()
    editing.cut(segmented, Reader(io.BytesIO(data)), part, start_s, end_s)
    whole, found = segmented.decode(data)[0], segmented.decode(part.getvalue())[0]
    end = 2 * rate if end_s is None else round(end_s * rate)
    np.testing.assert_allclose(found, whole[:, round(start_s * rate) : end], rtol=0, atol=2e-4)
    again = io.BytesIO()
    editing.cut(segmented, Reader(io.BytesIO(part.getvalue())), again, 0.02, 0.06)
    np.testing.assert_allclose(
        segmented.decode(again.getvalue())[0], found[:, round(0.02 * rate) : round(0.06 * rate)], rtol=0, atol=2e-4
    )


def test_codes_without_their_numbers_are_refused(segmented):
    codes = segmented.to_codes(noise(4_000), RATE, segmented.spec.bitrate(3))
    with pytest.raises(ConfigError, match="behind the rows of codes stand the bits"):
        segmented.from_codes(codes[:3])
    with pytest.raises(ConfigError, match="and 1 rows of side numbers"):
        segmented.from_codes(codes[:1])
    with pytest.raises(ConfigError, match="side numbers are not finite"):
        segmented.join_codes(codes[:3], np.full((1, codes.shape[1]), np.nan, np.float32))


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e-42])
def test_a_file_whose_numbers_cannot_be_is_refused(segmented, number):
    data = segmented.encode(noise(1_000), RATE, segmented.spec.bitrate(3), entropy="none")
    reader, stream = Reader(io.BytesIO(data)), io.BytesIO()
    (packet,) = reader
    writer = Writer(stream, reader.header)
    payload = np.float32(number).tobytes() + packet.payload[4:]
    writer.write(Packet(0, packet.num_quantizers, packet.frames, payload))
    writer.finish(1_000)
    with pytest.raises(InvalidField, match="side numbers"):
        segmented.decode(stream.getvalue())


def test_files_of_other_streams_are_refused(codec):
    reader = Reader(io.BytesIO(codec.encode(noise(100), RATE, codec.spec.bitrate(3))))
    for change in ({"joint_channels": 1}, {"side_numbers": 2}):
        with pytest.raises(InvalidField, match=f"{next(iter(change))} is"):
            codec.check_model(dataclasses.replace(reader.header, **change))
