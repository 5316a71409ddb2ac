"""A narrow Mimi whose weights, scales and codebooks all do something."""

import torch

from soundstream.nn.families.mimi import Config

CONFIG = Config(
    channels=4,
    latent_dim=16,
    num_quantizers=6,
    codebook_size=32,
    codebook_dim=8,
    transformer_layers=2,
    heads=2,
    feedforward=24,
    window=12,
)
HOP = CONFIG.hop_length


@torch.no_grad()
def filled(model, seed=0):
    """The same model in evaluation mode: biases, scales of transformers, and codebooks as large as what they code."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "scale" in name:
            parameter.fill_(0.3)
        elif name.endswith("bias") and name.startswith(("encoder", "decoder")):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    latents = model.encode(0.2 * torch.randn(1, 1, 30 * HOP, generator=generator))
    for codebook in model.quantizer.codebooks:
        codebook.copy_(latents.std() * torch.randn(codebook.shape, generator=generator))
    return model.eval()


def by_their_authors(tensors, heads):
    """Tensors of `transformers` by the names of the authors' file, whose heads have pairs side by side."""
    pairs = [
        ("encoder.encoder_seanet.layers", "encoder.model"),
        ("decoder.decoder_seanet.layers", "decoder.model"),
        ("encoder.encoder_transformer", "encoder_transformer.transformer"),
        ("decoder.decoder_transformer", "decoder_transformer.transformer"),
        ("encoder.downsample.conv", "downsample.conv.conv.conv"),
        ("decoder.upsample.conv", "upsample.convtr.convtr.convtr"),
        ("o_proj", "out_projs.0"),
        ("input_layernorm", "norm1"),
        ("post_attention_layernorm", "norm2"),
        ("mlp.fc", "linear"),
        ("self_attn_layer_scale", "layer_scale_1"),
        ("mlp_layer_scale", "layer_scale_2"),
        ("semantic_residual_vector_quantizer.layers", "rvq_first.vq.layers"),
        ("acoustic_residual_vector_quantizer.layers", "rvq_rest.vq.layers"),
        ("semantic_residual_vector_quantizer", "rvq_first"),
        ("acoustic_residual_vector_quantizer", "rvq_rest"),
        ("codebook.initialized", "_codebook._initialized"),
        ("codebook.embed_sum", "_codebook.embedding_sum"),
        ("codebook.cluster_usage", "_codebook.cluster_usage"),
    ]
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            continue
        if name.endswith("q_proj.weight"):
            rows = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            beside = [part.view(heads, 2, -1, part.shape[1]).transpose(1, 2).flatten(0, 2) for part in rows[:2]]
            name, tensor = name.replace("q_proj", "in_projs.0"), torch.cat([*beside, rows[2]])
        elif ".layers." in name and "seanet" in name:
            kind = "convtr.convtr" if _transposed(name) else "conv.conv"
            name = name.replace(".conv.", f".{kind}.")
        for theirs, instead in pairs:
            name = name.replace(theirs, instead)
        found[name] = tensor
    return found


def _transposed(name):
    """Whether it is of an upsampling layer of the decoder, which are every third one."""
    return name.startswith("decoder") and "block" not in name and int(name.split(".")[3]) in {2, 5, 8, 11}
