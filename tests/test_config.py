import dataclasses
import json

import pytest

from soundstream.errors import ConfigError
from soundstream.nn import families
from soundstream.nn.families import config_of
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig


@pytest.mark.parametrize(
    ("strides", "latency_ms"), [((1, 4, 5, 8), 6.67), ((2, 4, 5, 8), 13.33), ((4, 4, 5, 8), 26.67)]
)
def test_latency_of_table_3(strides, latency_ms):
    assert SeanetConfig(strides=strides).spec().latency_ms == pytest.approx(latency_ms, abs=0.005)


def test_the_default_has_75_frames_a_second_of_10_bit_codes():
    spec = SeanetConfig().spec()
    assert (spec.hop_length, spec.frame_rate, spec.codebook_bits) == (320, 75, 10)


@pytest.mark.parametrize("count", range(1, 25))
def test_each_codebook_adds_750_bit_a_second(count):
    spec = SeanetConfig().spec()
    assert spec.bitrate(count) == 750 * count
    assert spec.quantizers_for(750 * count) == count


@pytest.mark.parametrize("bitrate", [-750, 0, 1, 749, 751, 6001, 18_749, 18_750, 10**9])
def test_other_bitrates_are_refused(bitrate):
    with pytest.raises(ConfigError, match=f"bitrate {bitrate} bit/s is not supported; .* in steps of 750"):
        SeanetConfig().spec().quantizers_for(bitrate)


def test_the_message_names_the_lowest_and_highest_bitrate_that_works():
    with pytest.raises(ConfigError, match="choose 750 to 18000 in steps of 750"):
        SeanetConfig().spec().quantizers_for(800)


@pytest.mark.parametrize(
    "config",
    [
        SeanetConfig(encoder_channels=8, strides=(4, 4, 5, 8), dilations=(1, 3), codebook_size=32),
        SpectralConfig(overlap=40, decoder_blocks=9, latent_dim=64, output="square"),
    ],
    ids=lambda config: config.family,
)
def test_a_config_comes_back_from_json_as_its_family(config):
    back = config_of(json.loads(json.dumps(config.to_dict())))
    assert (type(back), back) == (type(config), config)


@pytest.mark.parametrize("name", families.names())
def test_json_holds_the_family_and_every_field(name):
    config = families.family(name).Config
    fields = {field.name for field in dataclasses.fields(config)}
    data = config().to_dict()
    assert set(data) == fields | {"family"}
    assert data["family"] == name


def test_settings_without_a_family_are_seanets():
    assert config_of({"strides": [4, 5]}) == SeanetConfig(strides=(4, 5))


def test_an_unknown_family_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"family is 'wavenet'; expected one of: .*seanet, .*spectral"):
        config_of({"family": "wavenet"})


def test_a_setting_of_the_other_family_is_refused():
    with pytest.raises(ConfigError, match="unknown spectral setting strides"):
        config_of({"family": "spectral", "strides": [2, 4]})


@pytest.mark.parametrize(("overlap", "latency_ms"), [(40, 15.0), (80, 16.67), (160, 20.0)])
def test_overlap_adds_to_the_latency(overlap, latency_ms):
    config = SpectralConfig(overlap=overlap)
    assert config.delay_samples == overlap
    assert config.spec().latency_ms == pytest.approx(latency_ms, abs=0.005)


@pytest.mark.parametrize(
    "change",
    [
        {"overlap": 322},
        {"overlap": 81},
        {"overlap": 0},
        {"hop_length": 4},
        {"encoder_blocks": 0},
        {"denoiser_blocks": -1},
        {"output": "linear"},
    ],
    ids=str,
)
def test_spectral_values_out_of_range_are_refused_by_name(change):
    (name,) = change
    with pytest.raises(ConfigError, match=name):
        config_of({"family": "spectral", **change})


@pytest.mark.parametrize("change", [{"condition_dim": 1}, {"film": "decoder"}], ids=str)
def test_a_denoiser_needs_a_condition_in_the_encoder(change):
    with pytest.raises(ConfigError, match="denoiser_blocks is 2"):
        SpectralConfig(denoiser_blocks=2, **change)


def test_an_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="unknown seanet setting bins"):
        config_of({"bins": 1024})


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": 7_999},
        {"sample_rate": 192_001},
        {"encoder_channels": 1},
        {"decoder_channels": 0},
        {"latent_dim": 0},
        {"latent_dim": 128.0},
        {"num_quantizers": 0},
        {"num_quantizers": "8"},
        {"codebook_size": 1000},
        {"codebook_size": 1},
        {"condition_dim": 0},
        {"film": "both"},
        {"strides": ()},
        {"strides": (2, 0)},
        {"strides": (2, 4.0)},
        {"strides": 320},
        {"dilations": (65,)},
        {"dilations": None},
        {"encoder_trunk_blocks": -1},
        {"decoder_trunk_blocks": 65},
        {"trunk_width": 0},
        {"trunk_kernel": 0.5},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(change):
    (name,) = change
    with pytest.raises(ConfigError, match=name):
        config_of(change)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SeanetConfig().latent_dim = 1
