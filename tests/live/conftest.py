"""A small codec of each family for the tests of live sessions."""

from dataclasses import replace

import pytest
import torch
from live_sounds import HOP, RATE, noise

from soundstream import load
from soundstream.export.artifact import export
from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig

SMALL = {"latent_dim": 32, "num_quantizers": 4, "codebook_size": 256}
CONFIGS = (
    SeanetConfig(encoder_channels=4, decoder_channels=4, **SMALL),
    SpectralConfig(bands=6, encoder_width=32, encoder_blocks=1, decoder_width=32, decoder_blocks=1, **SMALL),
)


@pytest.fixture(scope="session", params=CONFIGS, ids=lambda config: config.family)
def live_codec(request, tmp_path_factory):
    """A codec at the rates of the shipped ones, untrained, with four codebooks of 8 bits: 600 bit/s each."""
    return made(request.param, tmp_path_factory)


@pytest.fixture(scope="session", params=CONFIGS, ids=lambda config: config.family)
def denoising_codec(request, tmp_path_factory):
    """The same, with a switch for noise that does something."""
    return made(replace(request.param, denoise=True), tmp_path_factory)


@pytest.fixture(scope="session")
def nibble_codec(tmp_path_factory):
    """A codec whose codes take less than a byte."""
    return made(replace(CONFIGS[0], codebook_size=16), tmp_path_factory)


@pytest.fixture(scope="session")
def live_packets(live_codec):
    """Two hundred packets of noise at 1,800 bit/s, each with a copy of one codebook."""
    encoder = live_codec.open_encoder(RATE, bitrate=1800, redundancy=1)
    return encoder.push(noise(200 * HOP))[:200]


def made(config, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("live") / config.family
    model = build(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("film"):
                parameter += torch.randn_like(parameter)
    export(model, folder)
    return load(folder)
