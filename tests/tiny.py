"""A codec small enough for any test, with every weight away from its starting value, and sounds to feed it."""

from dataclasses import replace

import numpy as np
import torch

from soundstream.nn.families import build
from soundstream.nn.families.seanet import Config as SeanetConfig
from soundstream.nn.families.spectral import Config as SpectralConfig
from soundstream.train.adversarial.discriminators import DiscriminatorConfig
from soundstream.train.config import TrainConfig
from soundstream.train.data.corpus import Corpus
from soundstream.train.data.crops import Crops, DataConfig
from soundstream.train.losses.reconstruction import LossConfig
from soundstream.train.steps.learner import Learner
from soundstream.train.steps.optimizer import OptimizerConfig
from soundstream.train.steps.precision import choose_precision

CONFIG = SeanetConfig(
    sample_rate=8_000,
    encoder_channels=8,
    decoder_channels=8,
    strides=(2, 4, 5),
    dilations=(1, 3),
    latent_dim=8,
    num_quantizers=4,
    codebook_size=16,
)
SPECTRAL = SpectralConfig(
    sample_rate=8_000,
    hop_length=40,
    overlap=10,
    bands=3,
    encoder_width=12,
    encoder_blocks=2,
    decoder_width=16,
    decoder_blocks=1,
    denoiser_blocks=1,
    denoiser_width=10,
    denoiser_kernel=5,
    denoise=True,
    latent_dim=8,
    num_quantizers=4,
    codebook_size=16,
)
CONFIGS = (CONFIG, SPECTRAL)
"""One codec of each family, alike in rate, latents and codebooks."""
TRUNK = replace(CONFIG, trunk_width=12, encoder_trunk_blocks=1, decoder_trunk_blocks=2, trunk_kernel=5)
SQUARE = replace(SPECTRAL, output="square")
LEVELS = replace(SPECTRAL, level_codes=True, noise=False, random_signs=True)
VARIANTS = {"seanet": CONFIG, "spectral": SPECTRAL, "trunk": TRUNK, "square": SQUARE, "levels": LEVELS}
"""Every kind of network, by name."""
LISTENERS = tuple(
    replace(config, film="decoder", denoise=True, **({"denoiser_blocks": 0} if config is SPECTRAL else {}))
    for config in CONFIGS
)
"""The same with the denoise switch in the decoder."""
RUN = TrainConfig(
    codec=CONFIG,
    data=DataConfig(batch_size=2, crop_frames=52),
    loss=LossConfig(shift_steps=(1, 3)),
    discriminator=DiscriminatorConfig(channels=4, windows=(512, 256)),
    optimizer=OptimizerConfig(warmup_steps=2),
    total_steps=4,
    quantize_from_step=2,
    kmeans_batches=2,
    discriminator_warmup_steps=1,
)
"""A run without discriminators; with `adversarial_from_step` below `total_steps` it has some."""


def model(seed=0, config=CONFIG):
    """A model in evaluation mode whose biases, normalizer, FiLM, denoiser and trunk all do something."""
    torch.manual_seed(seed)
    made = build(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias") or name.startswith(("film", "denoiser.out")) or not parameter.any():
                parameter += 0.1 * torch.randn_like(parameter)
        made.normalizer.mean.normal_()
        made.normalizer.std.fill_(0.7)
        if made.level_stage:
            made.level_stage.codebook[1:].normal_(0, 0.2)
    return made.eval()


def noise(*shape, seed=0, scale=0.3):
    """Noise as a tensor; the same for the same seed."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clip(seconds, seed=0):
    """A gliding tone with some noise, int16 `[samples]` at the tiny codec's rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * CONFIG.sample_rate)) / CONFIG.sample_rate
    pcm = 0.4 * np.sin(2 * np.pi * (200 + 150 * seed + 60 * time) * time) + 0.02 * rng.normal(size=len(time))
    return np.round(pcm * 32767).astype(np.int16)


def learner(precision="fp32", **changes):
    """What learns in a run of the tiny model on a CPU, with changes to the run."""
    config = replace(RUN, **changes)
    crops = Crops(corpus(), config.data, config.codec, config.seed)
    return Learner(config, crops, choose_precision(torch.device("cpu"), precision))


def corpus(seconds=2.5):
    """Two clips of speech and one of music."""
    names = ("speech/a.wav", "speech/b.flac", "music/c.ogg")
    return Corpus.of(CONFIG.sample_rate, {name: clip(seconds, seed) for seed, name in enumerate(names)})
