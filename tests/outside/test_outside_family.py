"""A family of networks from another distribution: found, trained, exported, and used like any other."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import soundstream
from soundstream.errors import ConfigError
from soundstream.export.artifact import export
from soundstream.export.parity import check_parity
from soundstream.nn import families
from soundstream.runtime.artifact import load_artifact
from soundstream.train.checkpoint import load, load_model
from soundstream.train.config import load_run
from soundstream.train.loop import Trainer
from tiny import corpus

FOLDER = Path(__file__).parent
RUN = """
total_steps = 3
quantize_from_step = 1
kmeans_batches = 1
[codec]
family = "combed"
sample_rate = 8000
hop_length = 80
latent_dim = 8
num_quantizers = 3
codebook_size = 16
[data]
batch_size = 2
crop_frames = 26
[loss]
shift_steps = [1, 3]
[optimizer]
warmup_steps = 2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The family as pip would install it: a module on the path, and an entry point in its metadata."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "combed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: combed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{families.GROUP}]\ncombed = combed\n")
    (folder / "combed.py").write_text((FOLDER / "combed.py").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("combed", None)


@pytest.fixture(scope="module")
def trained(installed, tmp_path_factory):
    """The folder of a run of three steps."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.toml").write_text(RUN)
    Trainer(load_run(folder / "run.toml"), corpus(), corpus(), folder / "out", device="cpu").fit()
    return folder / "out" / "checkpoint"


@pytest.fixture(scope="module")
def artifact(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact") / "combed"
    export(load_model(trained), folder)
    return folder


@pytest.fixture(scope="module")
def codec(artifact):
    return soundstream.load(artifact)


def test_it_is_found_by_its_name_and_comes_back_from_its_settings(installed):
    config = families.config_of({"family": "combed", "width": 5})
    assert (config.family, config.width) == ("combed", 5)
    assert families.config_of(config.to_dict()) == config
    assert {"combed", "seanet", "spectral"} < set(families.names())


def test_its_settings_have_limits(installed):
    with pytest.raises(ConfigError, match="width is 0; expected a whole number from 1 to 256"):
        families.config_of({"family": "combed", "width": 0})


def test_three_steps_move_every_weight(trained):
    checkpoint = load(trained)
    assert (checkpoint.progress.step, checkpoint.codec.family) == (3, "combed")
    torch.manual_seed(0)
    fresh = families.build(checkpoint.codec).state_dict()
    assert all(value.isfinite().all() for value in checkpoint.model.values())
    assert not torch.equal(checkpoint.model["decoder.comb.gain"], fresh["decoder.comb.gain"])


def test_its_artifact_computes_what_the_model_does(trained, artifact):
    pcm = (0.1 * np.random.default_rng(0).normal(size=4000)).astype(np.float32)
    parity = check_parity(load_model(trained), artifact, pcm)
    assert parity.codes_equal > 0.98 and parity.pcm_snr_db > 60


def test_its_artifact_says_what_it_is(artifact):
    spec = load_artifact(artifact).spec
    assert (spec.hop_length, [book.size for book in spec.codebooks]) == (80, [16, 16, 16])
    assert spec.memory_frames == 4  # three convolutions of two frames, one, and the comb's one


@pytest.mark.parametrize("samples", [0, 1, 80, 8001])
def test_it_codes_a_file(codec, tmp_path, samples):
    pcm = (0.1 * np.random.default_rng(samples).normal(size=(2, samples))).astype(np.float32)
    data = codec.encode(pcm, 8000, codec.spec.bitrate(3))
    decoded, rate = codec.decode(data)
    assert (decoded.shape, rate) == ((2, samples), 8000)
    codes = codec.to_codes(pcm[:1], 8000, codec.spec.bitrate(3))
    np.testing.assert_allclose(codec.from_codes(codes)[0, :samples], decoded[0], atol=1e-5)


def test_it_streams_hop_by_hop_as_the_whole(codec):
    pcm = (0.1 * np.random.default_rng(1).normal(size=(1, 4000))).astype(np.float32)
    bitrate = codec.spec.bitrate(2)
    encoder, decoder = codec.open_encoder(8000, bitrate=bitrate, effort=1), codec.open_decoder(8000)
    packets = [packet for start in range(0, 4000, 33) for packet in encoder.push(pcm[:, start : start + 33])]
    heard = [decoder.push(packet) for packet in [*packets, *encoder.flush()]]
    whole, _ = codec.decode(codec.encode(pcm, 8000, bitrate, effort=1))
    np.testing.assert_allclose(np.concatenate([*heard, decoder.flush()], axis=1)[:, :4000], whole, atol=1e-4)
