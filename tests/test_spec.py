"""What an artifact says of its codec."""

import dataclasses
import json

import pytest

import tiny
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.costs import memory_frames
from soundstream.runtime.artifact import load_artifact, shipped, write_manifest
from soundstream.spec import Codebook, CodecSpec, Features, Importance, Switch

SPEC = CodecSpec(
    sample_rate=24_000,
    hop_length=512,
    latent_dim=8,
    codebooks=(Codebook(4096, stride=4), Codebook(4096, stride=2), Codebook(4096)),
    counts=(1, 3),
    lookahead_samples=256,
    side_numbers=1,
    switches=(Switch("denoise", "decoder"),),
)


def test_a_spec_comes_back_from_json():
    assert CodecSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_bit_rates_count_the_stride_of_each_codebook():
    assert [SPEC.bitrate(count) for count in (1, 2, 3)] == [141, 422, 984]
    assert SPEC.quantizers_for(984) == 3
    with pytest.raises(ConfigError, match="choose 141, 984"):
        SPEC.quantizers_for(422)


def test_windows_and_places_have_a_grid_and_are_told_only_where_there_are_some():
    """Or else models that lack them would change their ids."""
    spec = dataclasses.replace(SPEC, context_frames=64, window_frames=32, period_frames=48)
    assert (SPEC.granule, SPEC.grid, spec.granule, spec.grid) == (4, 4, 32, 96)
    assert set(spec.to_dict()) - set(SPEC.to_dict()) == {"window_frames", "period_frames"}
    assert CodecSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_features_are_told_only_where_an_encoder_takes_some():
    spec = dataclasses.replace(SPEC, features=Features(4, "of a model of speech"))
    assert set(spec.to_dict()) - set(SPEC.to_dict()) == {"features"}
    assert CodecSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(ConfigError, match="channels"):
        Features(0, "nothing")


def test_importance_is_told_only_where_an_encoder_tells_it():
    spec = dataclasses.replace(SPEC, importance=Importance(0.125, 6.0))
    assert set(spec.to_dict()) - set(SPEC.to_dict()) == {"importance"}
    assert CodecSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert (SPEC.encoded_channels, spec.encoded_channels) == (9, 10)
    for ends in ((0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))):
        with pytest.raises(ConfigError, match="expected a range above 0"):
            Importance(*ends)


def test_layouts_are_told_only_where_there_are_some_and_choose_by_the_number_of_channels():
    plain = dataclasses.replace(SPEC, side_numbers=0, switches=())
    spec = dataclasses.replace(plain, channels=6, layouts=((0, 1, 2, 3, 4, 5), (0, 1), (2,)))
    assert set(spec.to_dict()) - set(plain.to_dict()) == {"layouts"}
    assert CodecSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert [spec.joint_channels(channels) for channels in range(1, 9)] == [1, 2, 1, 2, 1, 6, 1, 2]
    assert [spec.streams(channels) for channels in range(1, 9)] == [1, 1, 3, 2, 5, 1, 7, 4]
    assert (spec.condition(0.0, 6), spec.condition(0.0, 3)) == ((1, 0, 0), (0, 0, 1))
    assert (plain.joint_channels(4), SPEC.condition(0.25, 1)) == (1, (0.75, 0.25))


@pytest.mark.parametrize("layouts", [((0,),), ((0, 1),), ((0, 1), (2,)), ((0, 1), (0,), (1,)), ((1, 0), (0,))], ids=str)
def test_layouts_that_cannot_be_are_refused(layouts):
    with pytest.raises(ConfigError, match="layouts are"):
        dataclasses.replace(SPEC, side_numbers=0, switches=(), channels=2, layouts=layouts)
    with pytest.raises(ConfigError, match="neither segments nor switches"):
        dataclasses.replace(SPEC, channels=2, layouts=((0, 1), (0,)))


def test_look_ahead_and_hop_make_the_latency():
    assert SPEC.latency_ms == 32


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"sample_rate": 7999}, "sample_rate"),
        ({"hop_length": 0}, "hop_length"),
        ({"counts": (1, 4)}, "counts"),
        ({"counts": ()}, "counts"),
        ({"codebooks": ()}, "counts"),
        ({"memory_frames": -1}, "memory_frames"),
        ({"window_frames": 0}, "window_frames"),
        ({"context_frames": 33, "window_frames": 32}, "whole windows of 32"),
        ({"segment_samples": 1000}, "segments have 1000 samples"),
        ({"segment_samples": 1024, "overlap_samples": 1024}, "overlap by 1024"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(change, name):
    with pytest.raises(ConfigError, match=name):
        dataclasses.replace(SPEC, **change)


@pytest.mark.parametrize("change", [{"size": 1000}, {"size": 1}, {"stride": 0}], ids=str)
def test_codebooks_have_limits(change):
    with pytest.raises(ConfigError):
        Codebook(**{"size": 1024, **change})


@pytest.mark.parametrize("data", [{}, {"codebooks": 3}, SPEC.to_dict() | {"family": "snac"}], ids=lambda d: str(len(d)))
def test_data_of_another_kind_is_refused(data):
    with pytest.raises(ConfigError, match="not the spec of a codec"):
        CodecSpec.from_dict(data)


# in an artifact


@pytest.mark.parametrize("config", tiny.CONFIGS, ids=lambda config: config.family)
def test_export_writes_the_spec_with_what_the_decoder_remembers(config, tmp_path):
    import torch

    from soundstream.export.artifact import decoder_graph, export, exportable
    from soundstream.nn.families import build

    model = build(config)
    export(model, tmp_path)
    spec = load_artifact(tmp_path).spec
    assert dataclasses.replace(spec, memory_frames=0) == config.spec()
    assert spec.memory_frames == memory_frames(decoder_graph(exportable(model)), config.hop_length)
    first = torch.randn(1, config.latent_dim, 2 * spec.memory_frames + 2)
    other = torch.cat([torch.randn(1, config.latent_dim, 1), first[..., 1:]], dim=-1)
    with torch.no_grad():
        differs = (model.decode(first) != model.decode(other)).flatten().nonzero()
    assert 0 < differs.max() < (spec.memory_frames + 1) * config.hop_length


@pytest.mark.parametrize(
    ("name", "latent_dim", "count", "delay_samples", "switches"),
    [("base", 145, 24, 80, (Switch("denoise", "encoder"),)), ("seanet", 128, 24, 0, ())],
)
def test_models_that_ship_say_what_they_are(name, latent_dim, count, delay_samples, switches):
    spec = load_artifact(name).spec
    assert name in shipped()
    assert (spec.sample_rate, spec.hop_length, spec.delay_samples, spec.latent_dim) == (
        24_000,
        320,
        delay_samples,
        latent_dim,
    )
    assert (spec.codebooks, spec.counts, spec.switches) == (
        (Codebook(1024),) * count,
        tuple(range(1, count + 1)),
        switches,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lookahead_samples": 40}, "look-ahead without context"),
        ({"side_numbers": 1}, "numbers beside its codes but no segments"),
        (
            {"importance": {"lowest": 0.1, "highest": 6.0}, "features": {"channels": 3, "name": "x"}},
            "importance of frames and features beside the sound",
        ),
    ],
    ids=str,
)
def test_what_this_release_cannot_do_is_refused_in_words(artifact_folder, tmp_path, change, words):
    for path in artifact_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"spec": settings["spec"] | change}))
    write_manifest(tmp_path)
    with pytest.raises(ArtifactError, match=f"{words}, which this release cannot do"):
        load_artifact(tmp_path)


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 1), (0.01, 1), (1.0, 47), (2.0, 94)])
def test_a_time_is_whole_frames(seconds, frames):
    assert SPEC.frames_in(seconds) == frames
