"""A narrow EnCodec whose weights, biases and codebooks all do something."""

import torch

from soundstream.nn.families.encodec import START_FRAMES, Config

CONFIG = Config(channels=4, latent_dim=16, num_quantizers=8, codebook_size=64)
HOP = CONFIG.hop_length
FRAMES_AT_ONCE = START_FRAMES


@torch.no_grad()
def filled(model, seed=0):
    """The same model in evaluation mode: biases, and codebooks as large as what they code."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and name.startswith(("encoder", "decoder")):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    latents = model.encode(0.2 * torch.randn(1, 1, 40 * HOP, generator=generator))
    for i, codebook in enumerate(model.quantizer.codebooks):
        codebook.copy_(latents.std() * 0.8**i * torch.randn(codebook.shape, generator=generator))
    return model.eval()
