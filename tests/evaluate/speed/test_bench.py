import sys
from functools import partial
from importlib import metadata
from types import ModuleType

import numpy as np
import pytest
import torch

import tiny
from encodec_weights import STEREO, filled
from soundstream.cli.bench import show
from soundstream.errors import CodecError, ConfigError
from soundstream.evaluate.provenance import provenance
from soundstream.evaluate.speed import calls, footprint, peers
from soundstream.evaluate.speed.bench import bench, speech_like
from soundstream.evaluate.speed.peers import Peer
from soundstream.evaluate.speed.timing import cpu_seconds, gflops, matrix_product, percentiles, single_thread
from soundstream.export.artifact import export
from soundstream.nn.families import encodec
from soundstream.nn.layers.conv import CausalConv
from soundstream.runtime.session import Network

OWN = ("encoder", "quantizer", "entropy encoder", "entropy decoder", "decoder")
RATE = 24_000
OURS = "artifact"
"""Name of the tiny model: that of its folder."""


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """Calls of some hops, and one import of the package, where what is measured is not on trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "ROUNDS", 10)
        patch.setattr(footprint, "import_s", partial(footprint.import_s, 1))
        yield


@pytest.fixture(scope="module")
def report(tiny_artifact):
    return bench([tiny_artifact], bitrate=1500, against=[Peer.OPUS], rounds=1, seconds=1)


def test_every_part_is_measured_offline_and_hop_by_hop(report):
    found = {(row.codec, row.part, row.mode) for row in report.rows}
    whole = {(codec, part, "offline") for codec in (OURS, "opus") for part in ("pcm to bytes", "bytes to pcm")}
    assert found == whole | {(OURS, part, mode) for part in OWN for mode in ("offline", "hop by hop")}
    assert len(found) == len(report.rows)
    assert all(row.times_real_time > 0 for row in report.rows)


def test_the_share_of_sgemm_is_given_where_there_are_matrix_products(report):
    assert {row.part for row in report.rows if row.sgemm_share is not None} == {"encoder", "quantizer", "decoder"}
    assert all(0 <= row.sgemm_share < 2 for row in report.rows if row.sgemm_share is not None)
    assert report.sgemm_gflops > 0


def test_an_encoder_that_can_remove_noise_is_measured_while_it_does(tmp_path):
    export(tiny.model(config=tiny.SPECTRAL), tmp_path / "cleaner")
    rows = bench([str(tmp_path / "cleaner")], bitrate=1600, against=[], rounds=1, seconds=1).rows
    shares = {row.part: row.sgemm_share for row in rows if row.mode == "offline" and row.part.startswith("encoder")}
    assert list(shares) == ["encoder", "encoder, denoising"]
    assert all(share is not None for share in shares.values())


def test_a_codec_of_segments_is_measured_offline_alone(tmp_path):
    export(filled(encodec.build(STEREO)), tmp_path / "stereo")
    report = bench([str(tmp_path / "stereo")], bitrate=STEREO.spec().bitrate(2), rounds=1, seconds=1)
    assert [(row.part, row.mode) for row in report.rows] == [
        (part, "offline") for part in (*OWN, "pcm to bytes", "bytes to pcm")
    ]
    assert all(row.sgemm_share for row in report.rows if row.part in ("encoder", "decoder"))
    assert report.hop_ms == [] and report.calls == []


def test_figures_of_latency_memory_and_size_are_in_order(report):
    assert [(hop.codec, hop.clock) for hop in report.hop_ms] == [(OURS, "wall"), (OURS, "cpu")]
    assert all(0 < hop.p50 <= hop.p90 <= hop.p99 for hop in report.hop_ms)
    assert [one.codec for one in report.calls] == [OURS] and report.calls[0].sessions > 0
    assert 0 < report.calls[0].round_ms <= report.calls[0].hop_ms
    assert 0.05 < report.import_s < 20
    assert report.install_mb == pytest.approx(sum(report.installed.values()))
    assert report.peak_memory_mb is None or 20 < report.peak_memory_mb < 2000


def test_the_command_shows_it_as_a_table(report, capsys):
    show(report)
    lines = capsys.readouterr().out.splitlines()
    assert any("encoder" in line and "hop by hop" in line for line in lines)
    assert any("sgemm" in line and "GFLOP/s" in line for line in lines)


def test_the_json_begins_with_where_it_comes_from(report, codec):
    figures = report.to_dict()
    assert [*figures][:5] == ["command", "commit", "artifact", "data", "date"]
    assert figures["artifact"] == codec.model_id.hex()
    assert figures["bitrate"] == 1500
    assert "source" not in figures


def test_an_unsupported_rate_is_refused(tiny_artifact):
    with pytest.raises(ConfigError, match="bitrate 100"):
        bench([tiny_artifact], bitrate=100)


# timing


def test_every_round_calls_each_function_once():
    calls = []
    seconds = cpu_seconds([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2)
    assert calls == ["a", "b"] * 3
    assert len(seconds) == 2
    assert all(value >= 0 for value in seconds)


def test_matrix_products_run_on_one_thread():
    from threadpoolctl import threadpool_info

    with single_thread():
        matrix_product().run()
        assert all(pool["num_threads"] == 1 for pool in threadpool_info() if pool["user_api"] == "blas")


def test_a_multiplication_with_its_addition_is_two_operations():
    assert gflops(macs=1e9, seconds=2) == 1


def test_percentiles_have_names():
    assert percentiles(range(101)) == {"p50": 50, "p90": 90, "p99": 99}


def test_the_clip_is_the_same_each_time_and_not_clipped():
    clip = speech_like(1, RATE)
    assert (clip.shape, clip.dtype) == ((1, RATE), np.float32)
    np.testing.assert_array_equal(clip, speech_like(1, RATE))
    assert 0.1 < np.abs(clip).max() < 1


# cost of a network


@pytest.mark.parametrize(("network", "channels", "frame"), [("encoder", 1, 40), ("decoder", tiny.CONFIG.latent_dim, 1)])
def test_multiplications_are_those_of_the_layers(artifact_folder, monkeypatch, network, channels, frame):
    counted, step = [], CausalConv.step

    def counting(layer, x, state):
        y, state = step(layer, x, state)
        counted.append(y.numel() * layer.weight[0].numel())
        return y, state

    monkeypatch.setattr(CausalConv, "step", counting)
    getattr(tiny.model(), network)(torch.zeros(1, channels, 1, frame))
    film = 2 * tiny.CONFIG.condition_dim * tiny.CONFIG.latent_dim if network == "encoder" else 0
    graph = Network(artifact_folder / f"{network}.onnx", tiny.CONFIG.hop_length)
    assert graph.macs_per_frame == sum(counted) + film


# footprint


def test_an_install_is_counted_without_extras():
    sizes = footprint.install_mb()
    assert {"soundstream-codec", "numpy", "onnxruntime", "soundfile", "soxr", "typer", "rich"} <= set(sizes)
    assert not {"torch", "onnx", "matplotlib", "pytest"} & set(sizes)
    assert sizes["numpy"] > 5


def test_a_dependency_of_a_dependency_is_counted_once(monkeypatch):
    requires = {"soundstream-codec": ["a", "b; extra == 'eval'"], "a": ["c>=1", "d; python_version < '3'"], "c": ["a"]}
    monkeypatch.setattr(metadata, "requires", requires.get)
    monkeypatch.setattr(metadata, "files", lambda name: [])
    assert set(footprint.install_mb()) == {"soundstream-codec", "a", "c"}


# peers


def test_opus_gives_the_clip_back_at_about_the_rate(monkeypatch):
    encode, decode = peers._opus(speech_like(2, RATE), RATE, 16_000)
    packets = encode()
    assert sum(packet.size for packet in packets) * 8 / 2 == pytest.approx(16_000, rel=0.3)
    assert sum(frame.samples / frame.sample_rate for frame in decode(packets)) == pytest.approx(2, abs=0.05)


def test_encodec_is_set_to_its_nearest_rate_and_needs_no_torchaudio(monkeypatch):
    class Model:
        target_bandwidths = (1.5, 3.0, 6.0)

        def set_target_bandwidth(self, kbps):
            self.kbps = kbps

        def encode(self, clip):
            assert not torch.is_grad_enabled()
            return clip, self.kbps

        def decode(self, coded):
            return coded

    package = ModuleType("encodec")
    package.EncodecModel = type("EncodecModel", (), {"encodec_model_24khz": staticmethod(lambda pretrained: Model())})
    monkeypatch.setitem(sys.modules, "encodec", package)
    parts = peers.parts(Peer.ENCODEC, speech_like(1, RATE), RATE, 3750)
    assert [(part.codec, part.part) for part in parts] == [("encodec", "pcm to bytes"), ("encodec", "bytes to pcm")]
    clip, kbps = parts[0].run()
    assert (clip.shape, kbps) == ((1, 1, RATE), 3.0)
    assert "torchaudio" not in sys.modules


@pytest.mark.parametrize(
    ("peer", "package", "install"), [(Peer.OPUS, "av", "eval"), (Peer.ENCODEC, "encodec", "encodec")]
)
def test_a_missing_package_is_named_with_its_install_line(monkeypatch, peer, package, install):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CodecError, match=f"needs {package}; install it with: pip install .*{install}"):
        peers.parts(peer, speech_like(1, RATE), RATE, 6000)


# provenance


def test_provenance_leaves_out_where_a_machine_keeps_its_files(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/bin/soundstream", "eval", "/home/anna/clips", "-o", "../report"])
    assert provenance("0123", "noise")["command"] == "soundstream eval clips -o ../report"


def test_provenance_names_command_commit_and_day(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/soundstream", "bench", "--model", "my model"])
    source = provenance("0123", "noise")
    assert source["command"] == "soundstream bench --model 'my model'"
    assert (source["artifact"], source["data"]) == ("0123", "noise")
    assert source["commit"] is None or len(source["commit"].removesuffix("-dirty")) == 12
    assert len(source["date"]) == len("2026-01-31")
