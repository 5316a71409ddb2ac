"""Weights that others published become a model: every tensor of them, from both kinds of file, and nothing else."""

import functools
import http.server
import itertools
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import soundstream
from encodec_weights import CONFIG, STEREO, published, renamed
from soundstream.cli.commands import app
from soundstream.errors import ArtifactError, ConfigError, InputError, OutputError
from soundstream.export.published import import_published
from soundstream.nn.families import encodec
from soundstream.nn.weights import read_tensors

TENSORS = published(CONFIG)
KINDS = {"24khz": CONFIG, "48khz": STEREO}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    for variant, config in KINDS.items():
        monkeypatch.setitem(encodec.VARIANTS, variant, config)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "encodec_24khz-0a1b2c3d.th"
    torch.save(TENSORS, path)
    return path


def test_the_command_makes_a_model_that_codes_sound_and_says_whose_it_is(weights, tmp_path):
    folder = tmp_path / "model"
    result = CliRunner().invoke(app, ["import", "encodec", "24khz", str(weights), "-o", str(folder)])
    assert result.exit_code == 0, result.output
    codec = soundstream.load(folder)
    assert result.stdout.strip() == codec.model_id.hex()
    card = (folder / "README.md").read_text()
    assert (
        "MIT" in card and "facebookresearch/encodec" in card and weights.name in card and codec.model_id.hex() in card
    )
    pcm = np.random.default_rng(0).normal(0, 0.1, (1, 5001)).astype(np.float32)
    decoded, rate = codec.decode(codec.encode(pcm, 24_000, codec.spec.bitrate(4)))
    assert (decoded.shape, rate) == (pcm.shape, 24_000) and np.abs(decoded).max() > 0


@pytest.mark.parametrize("variant", KINDS)
def test_both_kinds_of_file_are_the_same_model(variant, tmp_path):
    tensors = published(KINDS[variant])
    torch.save(tensors, tmp_path / "encodec.th")
    save_file(renamed(tensors), tmp_path / "model.safetensors")
    torch.save(renamed(tensors), tmp_path / "pytorch_model.bin")
    files = [tmp_path / name for name in ("encodec.th", "model.safetensors", "pytorch_model.bin")]
    assert len({import_published("encodec", variant, path, tmp_path / path.stem) for path in files}) == 1


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_tensors_of_every_kind_reach_the_model(config):
    tensors = published(config)
    state = encodec.convert(tensors, config).state_dict()
    kinds = {re.sub(r"\d+", "0", name): name for name in tensors if not name.endswith("inited")}
    for name in kinds.values():
        changed = encodec.convert(tensors | {name: tensors[name] + 0.5}, config).state_dict()
        assert sum(not torch.equal(changed[key], state[key]) for key in state) == 1, name


@pytest.mark.parametrize("name", ["encoder.model.0.conv.conv.bias", "decoder.model.1.lstm.weight_hh_l1"])
def test_a_missing_tensor_is_named(name):
    with pytest.raises(ArtifactError, match=re.escape(name.replace("model.", "layers.").replace("conv.conv", "conv"))):
        encodec.convert({key: value for key, value in TENSORS.items() if key != name}, CONFIG)


def test_names_of_transformers_are_the_same_stereo_model():
    tensors = published(STEREO)
    state, other = (encodec.convert(given, STEREO).state_dict() for given in (tensors, renamed(tensors)))
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_weights_of_the_other_model_are_refused():
    for config, other in itertools.permutations(KINDS.values()):
        with pytest.raises(ArtifactError, match=r"weights lack|no place|; expected"):
            encodec.convert(published(other), config)


def test_tensors_that_have_no_place_are_listed():
    more = {f"encoder.model.{i}.extra": torch.zeros(1) for i in range(20, 28)}
    with pytest.raises(ArtifactError, match=r"8 tensors have no place.*encoder.model.20.extra, .*and 2 more"):
        encodec.convert(TENSORS | more, CONFIG)


def test_a_tensor_of_another_shape_is_named_as_in_the_file():
    name = "quantizer.vq.layers.3._codebook.embed"
    with pytest.raises(ArtifactError, match=rf"{name} is \[64, 8\]; expected \[64, 16\]"):
        encodec.convert(TENSORS | {name: torch.zeros(64, 8)}, CONFIG)


class Harmful:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch harm",)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder": Harmful()}, tmp_path / "harmful.th")
    with pytest.raises(ArtifactError, match="holds no weights"):
        read_tensors(tmp_path / "harmful.th")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["x.th", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x80\x02]q\x00."])
def test_other_files_are_called_that(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} holds (no|something)"):
        read_tensors(tmp_path / name)


PLAIN = {"kwargs": {"rates": [2, 4], "lr": 0.1, "name": None, "causal": True}, "version": ("1.0",)}


def test_tensors_may_stand_beside_plain_data(tmp_path):
    """As DAC's own files have them."""
    torch.save({"state_dict": {"a": torch.ones(2)}, "metadata": PLAIN}, tmp_path / "x.pth")
    assert [*read_tensors(tmp_path / "x.pth")] == ["a"]


def test_a_model_is_found_beside_what_a_training_run_keeps(tmp_path):
    """As HILCodec's own files have it, whose codebooks say in words that they have begun."""
    model = {"a": torch.ones(2), "layers.0._extra_state": {"initted": True}}
    run = {"epoch": 3, "scheduler": None, "optimizer": {"state": {0: {"step": torch.ones(1)}}, "lr": [0.1]}}
    torch.save({"model": model} | run, tmp_path / "x.pth")
    found = read_tensors(tmp_path / "x.pth")
    assert [*found] == ["a"] and torch.equal(found["a"], torch.ones(2))


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a": torch.ones(2)}, "kind": torch.float32},
        {"model": {"a": torch.ones(2), "b": [1]}},
        {"model": {"a": torch.ones(2), "b._extra_state": {1j: 2}}},
        {"model": [torch.ones(2)], "epoch": 3},
    ],
)
def test_a_model_that_is_more_than_tensors_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match="something else than tensors by name"):
        read_tensors(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "other", [{"metadata": {"a": [torch.ones(1)]}}, {"metadata": PLAIN, "optimizer": {}}, {"state_dict": [], **PLAIN}]
)
def test_anything_else_beside_tensors_is_refused(other, tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}} | other, tmp_path / "x.pth")
    with pytest.raises(ArtifactError, match="something else than tensors by name"):
        read_tensors(tmp_path / "x.pth")


def test_a_list_of_tensors_has_no_names(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "x.th")
    with pytest.raises(ArtifactError, match="something else than tensors by name"):
        read_tensors(tmp_path / "x.th")


def test_what_cannot_be_is_refused_first(weights, tmp_path):
    place = tmp_path / "place"
    with pytest.raises(ConfigError, match="seanet is not one whose weights are published"):
        import_published("seanet", "24khz", weights, place)
    with pytest.raises(ConfigError, match="no variant '16khz'; expected one of: 24khz, 48khz"):
        import_published("encodec", "16khz", weights, place)
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        import_published("encodec", "24khz", tmp_path / "absent.th", place)
    assert not place.exists()
    place.mkdir()
    with pytest.raises(OutputError, match="is no artifact"):
        import_published("encodec", "24khz", weights, place)


def test_a_model_is_replaced_only_where_it_is_asked_for(weights, tmp_path):
    first = import_published("encodec", "24khz", weights, tmp_path / "model")
    torch.save(published(CONFIG, seed=1), weights)
    with pytest.raises(OutputError, match="--force"):
        import_published("encodec", "24khz", weights, tmp_path / "model")
    assert import_published("encodec", "24khz", weights, tmp_path / "model", force=True) != first


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine that has one model."""
    folder = tmp_path / "hub/somebody/encodec/resolve/main"
    folder.mkdir(parents=True)
    save_file(renamed(TENSORS), folder / "model.safetensors")
    handler = functools.partial(Quiet, directory=tmp_path / "hub")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Sends less than it says of a file called short."""

    def log_message(self, *words):
        pass

    def send_header(self, keyword, value):
        short = "short" in self.path and keyword == "Content-Length"
        super().send_header(keyword, str(int(value) + 9) if short else value)


def test_a_name_on_a_hub_is_the_same_model_and_its_card_says_so(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = import_published("encodec", "24khz", Path("somebody/encodec"), tmp_path / "model")
    assert found == import_published("encodec", "24khz", hub / "model.safetensors", tmp_path / "other")
    assert "somebody/encodec/model.safetensors" in (tmp_path / "model/README.md").read_text()


def test_a_hub_that_has_the_older_kind_of_file_gives_that(hub, tmp_path, monkeypatch):
    """As that of SNAC's weights."""
    monkeypatch.chdir(tmp_path)
    (hub / "model.safetensors").unlink()
    torch.save(renamed(TENSORS), hub / "pytorch_model.bin")
    found = import_published("encodec", "24khz", Path("somebody/encodec"), tmp_path / "model")
    assert found == import_published("encodec", "24khz", hub / "pytorch_model.bin", tmp_path / "other")
    assert "somebody/encodec/pytorch_model.bin" in (tmp_path / "model/README.md").read_text()


def test_what_a_hub_does_not_have_or_send_is_named(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no file somebody/else, and the hub has none: .*pytorch_model.bin"):
        import_published("encodec", "24khz", Path("somebody/else"), tmp_path / "model")
    hub.parent.parent.rename(hub.parents[2] / "short")
    with pytest.raises(InputError, match=r"(ended after|cannot be reached).*bytes"):
        import_published("encodec", "24khz", Path("somebody/short"), tmp_path / "model")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InputError, match=r"hub cannot be reached .*give its path"):
        import_published("encodec", "24khz", Path("somebody/encodec"), tmp_path / "model")
    with pytest.raises(InputError, match=r"cannot read somebody/encodec\.th"):
        import_published("encodec", "24khz", Path("somebody/encodec.th"), tmp_path / "model")
    assert not (tmp_path / "model").exists()
