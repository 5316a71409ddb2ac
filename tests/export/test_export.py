import dataclasses
import io
import json
import pickle
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export, exportable, fold_normalizer
from soundstream.nn.families import build
from soundstream.nn.graph import Graph, quantize_weight
from soundstream.nn.layers.conv import Elu
from soundstream.nn.model import plain_condition
from soundstream.nn.streaming import Chain, StreamingModule
from soundstream.runtime.artifact import FILES, load_artifact, write_manifest
from soundstream.runtime.model import Model
from soundstream.runtime.options import EncodeOptions
from soundstream.runtime.session import Network
from soundstream.runtime.stream import DecoderStream, EncoderStream, LatentStream

FRAMES = 100
HOP = tiny.CONFIG.hop_length
"""Of both families."""
ALL = EncodeOptions(tiny.CONFIG.spec().bitrate(tiny.CONFIG.num_quantizers), effort=1)
"""All four codebooks, searched as in torch."""


@pytest.fixture(scope="module", params=tiny.VARIANTS)
def config(request):
    return tiny.VARIANTS[request.param]


@pytest.fixture(scope="module")
def runtime(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime") / "artifact"
    export(tiny.model(config=config), folder)
    return Model(load_artifact(folder))


@pytest.fixture
def copied(artifact_folder, tmp_path):
    """An artifact that may be damaged."""
    return shutil.copytree(artifact_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def pcm():
    return tiny.noise(2, FRAMES * HOP).numpy()


def in_chunks(push, whole, sizes):
    """Results of `push`, joined, for chunks of these lengths in turn."""
    parts, start, turn = [], 0, 0
    while start < whole.shape[-1]:
        size = sizes[turn % len(sizes)]
        parts.append(push(whole[..., start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate(parts, axis=-1)


# same as torch


def seen(model, audio, condition=None):
    """Latents, and the levels of bands behind them, of a model that has codes for them."""
    latents = model.encode(audio, condition)
    return torch.cat([latents, model.levels(audio, condition)], dim=1) if model.level_stage else latents


def check_seen(found, expected):
    np.testing.assert_allclose(found[:, :8], expected[:, :8], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[:, 8:], expected[:, 8:], rtol=0, atol=2e-3)  # logarithms, also of next to nothing


@torch.no_grad()
def test_latents_codes_and_audio_are_those_of_torch(config, runtime, pcm):
    model = exportable(tiny.model(config=config))
    audio = torch.from_numpy(pcm[:, None])
    latents, codes = seen(model, audio), model.codes(audio)
    check_seen(LatentStream(runtime, 2).push(pcm), latents)
    every = EncodeOptions(runtime.spec.bitrate(runtime.spec.num_quantizers), effort=1)
    found = EncoderStream(runtime, 2, every).push(pcm)
    assert (found == codes.numpy()).mean() >= 0.999
    decoded = model.decode(model.latents_of(codes))[:, 0]
    assert decoded.std() > 0.01
    np.testing.assert_allclose(DecoderStream(runtime, 2).push(codes.numpy()), decoded, rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_graph_takes_a_condition_that_switches_between_frames(config, runtime, pcm):
    condition = plain_condition(config, 2, FRAMES)
    condition[..., 30:60] = condition[..., 30:60].flip(1)
    expected = seen(exportable(tiny.model(config=config)), torch.from_numpy(pcm[:, None]), condition)
    inputs = {"pcm": pcm[:, None, None], "condition": condition[:, :, None].numpy()}
    if runtime.denoiser:
        inputs["mask"], _ = runtime.denoiser.step(runtime.denoiser.init_state(2), pcm=inputs["pcm"])
    latents, _ = runtime.encoder.step(runtime.encoder.init_state(2), **inputs)
    check_seen(latents[:, :, 0], expected)


@torch.no_grad()
def test_folding_the_normalizer_changes_nothing():
    model, folded = tiny.model(), tiny.model()
    audio = tiny.noise(2, 1, FRAMES * HOP)
    fold_normalizer(folded)
    assert (folded.normalizer.mean == 0).all()
    assert folded.normalizer.std == 1
    torch.testing.assert_close(folded.encode(audio), model.encode(audio), rtol=0, atol=1e-5)


@torch.no_grad()
def test_rounding_to_stored_precision_changes_little(config):
    audio = tiny.noise(2, 1, FRAMES * HOP)
    latents = tiny.model(config=config).encode(audio)
    rounded = exportable(tiny.model(config=config)).encode(audio)
    assert not torch.equal(latents, rounded)
    assert (latents - rounded).std() < 0.03 * latents.std()


def test_a_weight_keeps_256_steps_a_channel():
    weight = tiny.noise(4, 3, 1, 7) * torch.tensor([1.0, 10.0, 0.1, 0.0])[:, None, None, None]
    values, scale = quantize_weight(weight)
    assert values.dtype == torch.int8
    assert (values * scale - weight).abs().max(dim=-1)[0].amax(dim=(1, 2)).le(scale.flatten() / 2 + 1e-9).all()
    again, _ = quantize_weight(values * scale)
    assert torch.equal(again, values)


def test_what_is_exported_is_a_copy():
    model = tiny.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exportable(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_state_inputs_have_the_names_and_shapes_of_torch(config, runtime):
    model = tiny.model(config=config)
    parts = {"encoder": [model.analysis, model.encoder], "decoder": [model.decoder]}
    if model.denoiser:
        parts["denoiser"] = [model.analysis, model.denoiser]
    for name, chains in parts.items():
        expected = {key: list(value.shape[1:]) for chain in chains for key, value in chain.init_state(1).items()}
        found = getattr(runtime, name).state_shapes
        assert {key: channels_first(shape, expected[key]) for key, shape in found.items()} == expected


def channels_first(shape, expected):
    """The shape of a state whatever the place of its channels."""
    return [shape[2], 1, shape[1]] if shape[0] == 1 != expected[0] else shape


def test_a_layer_without_an_onnx_form_is_named():
    class Snake(StreamingModule):
        pass

    with pytest.raises(NotImplementedError, match="Snake"):
        Chain(elu=Elu(), snake=Snake()).onnx(Graph("test"), "", "x")


def test_elu_is_torchs_to_a_millionth():
    graph, layer = Graph("test"), Elu()
    graph.input("x", 1, "samples")
    graph.node("Identity", [layer.onnx(graph, "elu", "x")], "y")
    session = onnxruntime.InferenceSession(graph.finish("y", 1, "samples").SerializeToString())
    x = torch.cat([torch.linspace(-120, 90, 2000), torch.linspace(-1e-3, 1e-3, 2001), tiny.noise(2000)]).reshape(
        1, 1, 1, -1
    )
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], layer(x), rtol=0, atol=1e-6)


@torch.no_grad()
def test_latents_with_the_switch_on_are_those_of_torch(pcm, tmp_path):
    config = dataclasses.replace(tiny.SPECTRAL, denoise=True)
    export(tiny.model(config=config), tmp_path / "artifact", int8_products=False)
    found = LatentStream(Model(load_artifact(tmp_path / "artifact")), 2).push(pcm, denoise=0.7)
    condition = plain_condition(config, 2, FRAMES)
    model = exportable(tiny.model(config=config))
    expected = model.encode(torch.from_numpy(pcm[:, None]), 0.3 * condition + 0.7 * condition.flip(1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("config", tiny.LISTENERS, ids=lambda config: config.family)
def test_with_film_in_the_decoder_latents_and_audio_are_those_of_torch(config, pcm, tmp_path):
    export(tiny.model(config=config), tmp_path / "artifact", int8_products=False)
    runtime, model = Model(load_artifact(tmp_path / "artifact")), exportable(tiny.model(config=config))
    assert (runtime.encoder.input_channels("condition"), runtime.decoder.input_channels("condition")) == (0, 2)
    latents = model.encode(torch.from_numpy(pcm[:, None]))
    np.testing.assert_allclose(LatentStream(runtime, 2).push(pcm), latents, rtol=0, atol=1e-4)
    plain = plain_condition(config, 2, FRAMES)
    for denoise in (0.0, 0.7):
        decoded = model.decode(latents, (1 - denoise) * plain + denoise * plain.flip(1))[:, 0]
        found = DecoderStream(runtime, 2, denoise).push_latents(latents.numpy())
        np.testing.assert_allclose(found, decoded, rtol=0, atol=1e-4)


@pytest.mark.parametrize("trained", [False, True])
def test_only_a_denoiser_that_was_trained_is_exported(trained, tmp_path):
    export(tiny.model(config=dataclasses.replace(tiny.SPECTRAL, denoise=True)), tmp_path / "artifact")
    export(tiny.model(config=dataclasses.replace(tiny.SPECTRAL, denoise=trained)), tmp_path / "artifact")
    artifact = load_artifact(tmp_path / "artifact")
    assert artifact.has_denoiser == trained
    assert (Model(artifact).denoiser is not None) == trained


# chunks


@pytest.mark.parametrize("sizes", [[1], [HOP], [HOP - 1], [HOP + 1, 3], [7 * HOP, 0, 5], [99 * HOP + 1]], ids=str)
def test_any_chunking_of_the_encoder_equals_the_whole(runtime, pcm, sizes):
    whole = EncoderStream(runtime, 2, ALL).push(pcm)
    assert whole.shape == (2, 4, FRAMES)
    np.testing.assert_array_equal(in_chunks(EncoderStream(runtime, 2, ALL).push, pcm, sizes), whole)


@pytest.mark.parametrize("sizes", [[1], [2, 3], [74], [75], [76]], ids=str)
def test_any_chunking_of_the_decoder_equals_the_whole(runtime, pcm, sizes):
    codes = EncoderStream(runtime, 2, ALL).push(pcm)
    whole = DecoderStream(runtime, 2).push(codes)
    assert whole.shape == pcm.shape
    np.testing.assert_allclose(in_chunks(DecoderStream(runtime, 2).push, codes, sizes), whole, rtol=0, atol=1e-5)


@given(sizes=st.lists(st.integers(0, 5 * HOP), min_size=1, max_size=20).filter(any))
@settings(deadline=None, max_examples=25)
def test_random_chunks_of_pcm_give_the_same_latents(runtime, pcm, sizes):
    latents = in_chunks(LatentStream(runtime, 2).push, pcm, sizes)
    np.testing.assert_allclose(latents, LatentStream(runtime, 2).push(pcm), rtol=0, atol=1e-5)


@pytest.mark.parametrize("extra", [0, 1, HOP - 1])
def test_flush_fills_the_last_frame_with_zeros(config, runtime, pcm, extra):
    stream = EncoderStream(runtime, 2, ALL)
    codes = np.concatenate([stream.push(pcm[:, : 10 * HOP + extra]), stream.flush(), stream.flush()], axis=2)
    owed = config.delay_samples
    padded = np.pad(pcm[:, : 10 * HOP + extra], ((0, 0), (0, owed + -(extra + owed) % HOP)))
    np.testing.assert_array_equal(codes, EncoderStream(runtime, 2, ALL).push(padded))


def test_two_interleaved_streams_do_not_leak(runtime, pcm):
    other = tiny.noise(2, FRAMES * HOP, seed=9).numpy()
    streams, parts = [LatentStream(runtime, 2), LatentStream(runtime, 2)], [[], []]
    for start in range(0, FRAMES * HOP, 10 * HOP):
        for stream, found, signal in zip(streams, parts, (pcm, other), strict=True):
            found.append(stream.push(signal[:, start : start + 10 * HOP]))
    for found, signal in zip(parts, (pcm, other), strict=True):
        expected = LatentStream(runtime, 2).push(signal)
        np.testing.assert_allclose(np.concatenate(found, axis=2), expected, rtol=0, atol=1e-5)


# the artifact


def test_an_artifact_holds_its_files_and_config(artifact_folder):
    artifact = load_artifact(artifact_folder)
    assert {path.name for path in artifact_folder.iterdir()} == {*FILES, "manifest.json"}
    assert dataclasses.replace(artifact.spec, memory_frames=0) == tiny.CONFIG.spec()
    assert artifact.codebooks.dtype == np.float32


def test_codebooks_are_stored_as_half_precision_and_read_without_pickle(artifact_folder):
    stored = np.load(artifact_folder / "codebooks.npy", allow_pickle=False)
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(stored, tiny.model().quantizer.codebooks.half().numpy())


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx"])
def test_graphs_are_whole_in_one_file_and_store_weights_as_int8(artifact_folder, name):
    graph = onnx.load(artifact_folder / name, load_external_data=False).graph
    kinds = {weight.data_type for weight in graph.initializer}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    scales = [weight.name for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT]
    assert all(name.endswith("weight.scale") for name in scales)
    assert not any(weight.external_data for weight in graph.initializer)
    assert "ConvTranspose" not in {node.op_type for node in graph.node}


def test_equal_weights_have_the_same_model_id(artifact_folder, tmp_path):
    assert export(tiny.model(), tmp_path / "again") == load_artifact(artifact_folder).model_id.hex()


@pytest.mark.parametrize("name", ["encoder.first.weight", "decoder.last.bias", "film.gamma", "quantizer.codebooks"])
def test_another_weight_gives_another_model_id(artifact_folder, tmp_path, name):
    model = tiny.model()
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] += 0.25
    assert export(model, tmp_path / "other") != load_artifact(artifact_folder).model_id.hex()


def test_another_config_gives_another_model_id(tmp_path):
    slower = dataclasses.replace(tiny.CONFIG, sample_rate=16_000)
    models = [tiny.model(), build(slower).eval()]
    models[1].load_state_dict(models[0].state_dict())
    ids = [export(model, tmp_path / str(i)) for i, model in enumerate(models)]
    assert ids[0] != ids[1]


def test_an_earlier_artifact_is_replaced(copied):
    (copied / "README.md").write_text("a model card")
    model_id = export(tiny.model(seed=1), copied)
    assert load_artifact(copied).model_id.hex() == model_id
    assert (copied / "README.md").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ConfigError, match="holds other files"):
        export(tiny.model(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(ConfigError, match="model"):
        export(tiny.model(), tmp_path / "model")


# damage


@pytest.mark.parametrize("place", [0, 0.5, 0.99], ids=["start", "middle", "end"])
@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_in_any_file_is_an_error_that_names_it(copied, name, place):
    data = bytearray((copied / name).read_bytes())
    data[int(place * len(data))] ^= 0x80
    (copied / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=f"damaged: {name}"):
        load_artifact(copied)


def test_a_changed_byte_anywhere_in_the_manifest_is_an_error(copied):
    manifest = copied / "manifest.json"
    data = manifest.read_bytes().rstrip()
    for bit in (0x01, 0x80):
        for i in range(len(data)):
            manifest.write_bytes(data[:i] + bytes([data[i] ^ bit]) + data[i + 1 :])
            with pytest.raises(ArtifactError):
                load_artifact(copied)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error_that_names_it(copied, name):
    (copied / name).unlink()
    with pytest.raises(ArtifactError, match=f"incomplete: it lacks {name}"):
        load_artifact(copied)


@pytest.mark.parametrize("name", FILES)
def test_a_shortened_file_is_an_error(copied, name):
    (copied / name).write_bytes((copied / name).read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="damaged"):
        load_artifact(copied)


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    with pytest.raises(ArtifactError, match="no model at"):
        load_artifact(tmp_path)


def test_an_unknown_name_is_no_model():
    with pytest.raises(ArtifactError, match="no model at 'nonesuch'"):
        load_artifact("nonesuch")


def test_a_newer_format_says_so(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(ArtifactError, match="artifact format 2; this release reads 1"):
        load_artifact(copied)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'{"format": 1}',
        b'{"format": 1, "files": []}',
        b'{"format": 1, "files": {}}',
    ],
)
def test_a_foreign_manifest_is_an_error(copied, content):
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        load_artifact(copied)


def pickled():
    """What NumPy would have to unpickle."""
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("codebooks.npy", saved(np.zeros((1, 16, 8), np.float16)), id="too few codebooks"),
        pytest.param("codebooks.npy", b"", id="empty codebooks"),
        pytest.param("codebooks.npy", b"noise", id="no array"),
        pytest.param("codebooks.npy", pickled(), id="an array of objects"),
        pytest.param("codebooks.npy", pickle.dumps([1]), id="a pickle"),
        pytest.param("config.json", b"{", id="broken JSON"),
        pytest.param("config.json", b"\xff", id="no text"),
        pytest.param("config.json", b"[]", id="a list"),
        pytest.param("config.json", b'{"bins": 1}', id="an unknown key"),
        pytest.param("config.json", b'{"strides": 320}', id="a number for a list"),
    ],
)
def test_wrong_content_under_a_right_checksum_is_an_error(copied, name, content):
    (copied / name).write_bytes(content)
    write_manifest(copied)
    with pytest.raises(ArtifactError, match=name):
        load_artifact(copied)


@pytest.mark.parametrize("content", [b"", b"noise", bytes(range(256)) * 10], ids=["empty", "short", "long"])
def test_a_file_that_is_no_graph_is_an_error(tmp_path, content):
    (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot load"):
        Network(tmp_path / "encoder.onnx", hop_length=HOP)
