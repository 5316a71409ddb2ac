import dataclasses

import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.nn.families import build
from soundstream.nn.model import plain_condition
from soundstream.train.checkpoint import SUMS, Checkpoint, Progress
from soundstream.train.grow import NEW_LATENT, grown, larger

KINDS = {name: codec for name, codec in tiny.VARIANTS.items() if name != "levels"} | {
    "listener": tiny.LISTENERS[0],
    "spectral listener": tiny.LISTENERS[1],
}
CASES = {
    **{f"{kind}: {size}": (kind, size) for kind in KINDS for size in ({"latent_dim": (13,)},)},
    **{f"{kind}: {size}": (kind, size) for kind in ("trunk", "spectral", "square") for size in ({"blocks": (2, 4)},)},
    "seanet: channels to a multiple": ("seanet", {"channels": (16,)}),
    "seanet: channels to any number": ("seanet", {"channels": (11, 10)}),
    "seanet: a trunk before the quantizer": ("seanet", {"width": (64,), "blocks": (2, 0)}),
    "seanet: a trunk behind the quantizer": ("seanet", {"width": (70,), "blocks": (0, 2)}),
    "seanet: everything": ("seanet", {"width": (128,), "blocks": (1, 2), "channels": (9, 16), "latent_dim": (20,)}),
    "listener: everything": ("listener", {"width": (128,), "blocks": (1, 2), "channels": (9,), "latent_dim": (20,)}),
    "trunk: width": ("trunk", {"width": (36,)}),
    "trunk: everything": ("trunk", {"width": (24,), "blocks": (2, 3), "channels": (8, 12), "latent_dim": (16,)}),
    "spectral: width": ("spectral", {"width": (24, 48)}),
    "spectral: everything": ("spectral", {"width": (36, 32), "blocks": (3, 2), "latent_dim": (16,)}),
    "square: width": ("square", {"width": (24, 32)}),
}


def state(config, **changes):
    """A state with a codebook that fits its latents, and an average that is not its model."""
    model = tiny.model(config=config)
    with torch.no_grad():
        model.quantizer.codebooks.normal_()
    average = {name: value * 1.1 for name, value in tiny.model(config=config).state_dict().items() if "decoder" in name}
    return Checkpoint(config, Progress(step=7), model.state_dict(), average, {"step.x": torch.ones(())}, **changes)


def network(checkpoint, silent=False):
    """Its network; a silent one makes no noise."""
    model = build(checkpoint.codec).eval()
    model.load_state_dict(checkpoint.model | checkpoint.average)
    if silent and checkpoint.codec.family == "spectral":
        model.decoder.out.level.weight.data.zero_()
        model.decoder.out.level.bias.data.fill_(-50)
    return model


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=2e-5 * float(b.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize(("kind", "sizes"), CASES.values(), ids=CASES)
def test_a_grown_network_encodes_and_decodes_as_before_to_rounding(kind, sizes):
    small = state(KINDS[kind])
    codec = larger(small.codec, sizes)
    large = grown(small, codec)
    more_latents = codec.latent_dim > small.codec.latent_dim
    a, b = (network(checkpoint, silent=more_latents) for checkpoint in (small, large))
    assert b.num_parameters() > a.num_parameters()

    audio = tiny.noise(2, 1, 30 * codec.hop_length)
    switched = plain_condition(codec, 2, 30)
    switched[..., 10:20] = switched[..., 10:20].flip(1)
    for condition in (None, switched):
        before, after = a.encode(audio, condition), b.encode(audio, condition)
        scale = (codec.latent_dim / small.codec.latent_dim) ** 0.5
        close(after[:, : before.shape[1]], scale * before)
        codes = a.quantizer.encode(before, codec.num_quantizers)
        assert codes.unique().numel() > 8
        assert torch.equal(b.quantizer.encode(after, codec.num_quantizers), codes)
        decoded = a.decode(a.quantizer.decode(codes), condition)
        assert decoded.std() > 1e-3
        close(b.decode(b.quantizer.decode(codes), condition), decoded)
        close(b.decode(after, condition), a.decode(before, condition))


@pytest.mark.parametrize("kind", ["seanet", "spectral", "listener"])
def test_new_latents_are_small_and_the_mean_square_of_all_stays_what_it_was(kind):
    small, audio = state(KINDS[kind]), tiny.noise(4, 1, 200 * KINDS[kind].hop_length)
    with torch.no_grad():
        latents, std = network(small).encode(audio), small.model["normalizer.std"]
        small.model["normalizer.mean"] += std * latents.mean(dim=(0, 2))
        small.model["normalizer.std"] = std * latents.std()
        before = network(small).encode(audio)
        after = network(grown(small, larger(small.codec, {"latent_dim": (16,)}))).encode(audio)
    assert after.square().mean().sqrt() == pytest.approx(float(before.square().mean().sqrt()), rel=0.02)
    assert 0.2 * NEW_LATENT < after[:, 8:].std() / before.std() < 4 * NEW_LATENT


@pytest.mark.parametrize(("kind", "sizes"), [("trunk", {"width": (24,)}), ("seanet", {"channels": (16,)})])
def test_copies_of_a_channel_learn_different_things(kind, sizes):
    small = state(KINDS[kind])
    model = network(grown(small, larger(small.codec, sizes)))
    model.encode(tiny.noise(2, 1, 30 * small.codec.hop_length)).square().mean().backward()
    layer = model.encoder.trunk.block0.expand if kind == "trunk" else model.encoder.block0.unit0.branch.conv0
    half = len(layer.weight) // 2
    inputs = layer.weight.shape[1] // 2
    original, copied = layer.weight.detach()[:, :inputs], layer.weight.detach()[:, inputs:]
    assert (original - copied).abs().mean() > 0.1 * original.abs().mean()
    first, second = layer.weight.grad[:half], layer.weight.grad[half:]
    assert (first - second).norm() > 0.1 * first.norm()


def test_new_blocks_pass_their_input_on_and_can_learn():
    small = state(tiny.SPECTRAL)
    model = network(grown(small, larger(small.codec, {"blocks": (3, 2)})))
    block, x = model.encoder.block2, tiny.noise(2, 12, 1, 9)
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    assert block.shrink.weight.grad.abs().sum() > 0


def test_the_state_is_the_averaged_generator_without_moments_and_goes_on_at_its_step():
    small = state(tiny.CONFIG, settings={"seed": 4}, discriminator={"judges.0.weight": tiny.noise(4, 4)})
    large = grown(small, larger(small.codec, {"channels": (16,)}))
    assert large.step == 7 and large.average == {} == large.optimizer
    assert large.discriminator is small.discriminator
    assert large.settings == {"seed": 4, "codec": large.codec.to_dict()}
    sums = large.model["quantizer.codebooks"] * large.model["quantizer.usage"][..., None]
    assert torch.equal(large.model[SUMS], sums)
    assert torch.equal(large.model["decoder.last.bias"], small.average["decoder.last.bias"])


def test_what_is_drawn_follows_from_the_seed():
    small = state(tiny.CONFIG)
    codec = larger(small.codec, {"channels": (16,)})
    a, b, c = (grown(small, codec, seed).model["decoder.last.weight"] for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


# what does not grow


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("spectral", {"width": (18, 16)}, "encoder_width is 18; expected a multiple of 12: a LayerNorm"),
        ("trunk", {"width": (30,)}, "trunk_width is 30; expected a multiple of 12"),
        ("seanet", {"channels": (4,)}, "encoder_channels is 4; the state has 8, and a network can only grow"),
        ("trunk", {"blocks": (1, 1)}, "decoder_trunk_blocks is 1; the state has 2"),
        ("spectral", {"latent_dim": (7,)}, "latent_dim is 7; the state has 8"),
        ("seanet", {"width": (63,), "blocks": (0, 1)}, "trunk_width is 63; expected at least 64, the channels"),
        ("spectral", {"channels": (8,)}, r"channels is \[8\]; the spectral family can grow in: width \(encoder_width"),
        ("trunk", {"width": (24, 24)}, r"width is \[24, 24\]; the seanet family can grow in: width \(trunk_width\)"),
    ],
)
def test_what_would_not_be_the_same_is_refused_by_name(kind, sizes, message):
    small = state(KINDS[kind])
    with pytest.raises(ConfigError, match=message):
        grown(small, larger(small.codec, sizes))


def test_another_codec_is_no_larger_one():
    small = state(tiny.CONFIG)
    with pytest.raises(ConfigError, match="family is 'spectral'; the state is of the seanet family"):
        grown(small, tiny.SPECTRAL)
    with pytest.raises(ConfigError, match=r"dilations is \[1\]; the state has \[1, 3\], which does not grow"):
        grown(small, dataclasses.replace(small.codec, dilations=(1,)))


def test_bands_stay_where_they_begin_when_the_latents_grow():
    codec = larger(dataclasses.replace(tiny.SPECTRAL, band_start=0), {"latent_dim": (16,)})
    assert codec.first_band == tiny.SPECTRAL.first_band == 5


def test_codes_of_levels_are_left_to_be_fitted_to_what_grew():
    small = state(tiny.LEVELS)
    large = grown(small, larger(small.codec, {"blocks": (3, 2)}))
    assert not large.codec.level_codes
    assert not any("level_stage" in name for name in large.model)
