"""Every streaming layer: causal, chunk-proof, and without a leak between streams."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstream.nn import denoiser
from soundstream.nn.families import seanet, spectral
from soundstream.nn.families.seanet import ResidualUnit
from soundstream.nn.layers.conv import CausalConv, CausalUpsample, Elu, HeldConv
from soundstream.nn.layers.convnext import ConvNeXtBlock
from soundstream.nn.layers.lstm import Lstm
from soundstream.nn.layers.mdct import InverseMdct, Mdct
from soundstream.nn.layers.noise import LatentNoise
from soundstream.nn.layers.transformer import CausalTransformer
from soundstream.nn.levels import BandLevels, LevelGain
from soundstream.nn.streaming import Chain
from tiny import CONFIG, SPECTRAL, TRUNK, VARIANTS, noise

PLAIN = [(1, 1, 1), (2, 1, 1), (3, 1, 1), (3, 1, 2), (7, 1, 1), (7, 1, 3), (7, 1, 9)]
STRIDED = [(4, 2, 1), (10, 5, 1), (16, 8, 1)]
"""Kernel, stride, dilation."""
LAYERS = {
    f"conv k{k} s{s} d{d}": (lambda k=k, s=s, d=d: CausalConv(3, 4, k, s, d), 3, s, 1) for k, s, d in PLAIN + STRIDED
}
LAYERS |= {f"upsample {s}": (lambda s=s: CausalUpsample(3, 2, s), 3, 1, s) for s in (1, 2, 5, 8)}
LAYERS |= {
    "elu": (Elu, 3, 1, 1),
    "residual unit": (lambda: ResidualUnit(4, dilation=9), 4, 1, 1),
    "depthwise conv": (lambda: CausalConv(4, 4, 7, groups=4), 4, 1, 1),
    "depthwise upsample": (lambda: CausalUpsample(4, 4, 2, groups=4), 4, 1, 2),
    "held conv": (lambda: HeldConv(3, 4, 4, 2), 3, 2, 1),
    "lstm": (lambda: Lstm(4, layers=2), 4, 1, 1),
    "transformer": (lambda: CausalTransformer(4, layers=2, heads=2, feedforward=6, window=5), 4, 1, 1),
    "convnext block": (lambda: ConvNeXtBlock(4, kernel=7), 4, 1, 1),
    "mdct": (lambda: Mdct(40, overlap=10), 1, 40, 1),
    "noise": (lambda: LatentNoise(4, 5), 4, 1, 1),
    "band levels": (lambda: BandLevels([0, 3, 6]), 6, 1, 1),
    "level gain": (lambda: LevelGain([0, 3, 6]), 2, 1, 1),
    "inverse mdct": (lambda: InverseMdct(40, overlap=10), 40, 1, 40),
}
SEANET_NETWORKS = {"encoder": seanet.encoder, "decoder": seanet.decoder}
SPECTRAL_NETWORKS = {
    "analysis": spectral.analysis,
    "encoder": spectral.encoder,
    "project": spectral.projection,
    "decoder": spectral.decoder,
}
for name, config in VARIANTS.items():
    networks = SEANET_NETWORKS if config.family == "seanet" else SPECTRAL_NETWORKS
    hop = config.hop_length
    parts = {part: partial(network, config) for part, network in networks.items()}
    whole = partial(lambda made: Chain(**{part: make() for part, make in made.items()}), parts)
    LAYERS |= {f"{name} decoder": (parts["decoder"], config.spec().latent_dim, 1, hop)}
    LAYERS |= {f"{name} codec": (whole, 1, hop, hop)}
FEATURES = SPECTRAL.bands + SPECTRAL.hop_length
LAYERS |= {
    "seanet encoder": (partial(seanet.encoder, CONFIG), 1, CONFIG.hop_length, 1),
    "trunk encoder": (partial(seanet.encoder, TRUNK), 1, TRUNK.hop_length, 1),
    "spectral analysis": (partial(spectral.analysis, SPECTRAL), 1, SPECTRAL.hop_length, 1),
    "spectral encoder": (partial(spectral.encoder, SPECTRAL), FEATURES, 1, 1),
    "spectral denoiser": (partial(denoiser.denoiser, SPECTRAL.bands, SPECTRAL.hop_length, 1, 10, 5), FEATURES, 1, 1),
}
"""By name: the layer, its input channels, input samples of a frame, output samples of a frame."""
FRAMES = 20


class Case:
    """A layer in double precision, nothing in it zero, and input for it."""

    def __init__(self, name):
        make, self.channels, self.frame, self.out = LAYERS[name]
        torch.manual_seed(1)
        self.layer = make().double()
        for key, parameter in self.layer.named_parameters():
            if key.endswith("bias") or not parameter.any():
                parameter.data.normal_()

    def input(self, frames=FRAMES, batch=2, seed=0):
        return noise(batch, self.channels, 1, frames * self.frame, seed=seed, scale=1).double()

    @torch.no_grad()
    def run(self, x):
        return self.layer(x)

    @torch.no_grad()
    def run_in_chunks(self, x, frames):
        """Chunks of these many frames, and the rest as one."""
        sizes = [n * self.frame for n in frames]
        state, parts = self.layer.init_state(len(x)), []
        for chunk in torch.split(x, [*sizes, x.shape[-1] - sum(sizes)], dim=-1):
            y, state = self.layer.step(chunk, state)
            parts.append(y)
        return torch.cat(parts, dim=-1)


@pytest.fixture(params=LAYERS)
def case(request):
    return Case(request.param)


def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_output_length_is_frames_times_samples_of_a_frame(case):
    assert case.run(case.input(7)).shape[-1] == 7 * case.out


def test_a_longer_input_leaves_earlier_outputs_unchanged(case):
    x = case.input()
    for frames in (1, 2, FRAMES - 1):
        same(case.run(x[..., : frames * case.frame]), case.run(x)[..., : frames * case.out])


def test_an_impulse_changes_nothing_before_its_frame_and_something_in_it(case):
    x = case.input(batch=1)
    middle = FRAMES // 2 * case.frame
    for n in {middle, middle + case.frame // 2, middle + case.frame - 1}:
        changed = x.clone()
        changed[..., n] += 1
        difference = (case.run(changed) - case.run(x)).abs().amax(dim=(0, 1, 2))
        first = n // case.frame * case.out
        assert difference[:first].max() <= 1e-12
        assert difference[first : first + case.out].max() > 1e-6


@pytest.mark.parametrize("frames", [[1] * (FRAMES - 1), [2] * (FRAMES // 2 - 1), [7, 5], [1, FRAMES - 2]], ids=str)
def test_chunks_equal_the_whole(case, frames):
    same(case.run_in_chunks(case.input(), frames), case.run(case.input()))


@given(name=st.sampled_from(list(LAYERS)), frames=st.lists(st.integers(1, 4), max_size=FRAMES // 4 - 1))
@settings(deadline=None, max_examples=60)
def test_any_split_equals_the_whole(name, frames):
    case = Case(name)
    same(case.run_in_chunks(case.input(), frames), case.run(case.input()))


def test_two_interleaved_streams_do_not_leak(case):
    inputs = [case.input(seed=1), case.input(seed=2)]
    states = [case.layer.init_state(2), case.layer.init_state(2)]
    outputs = [[], []]
    for start in range(0, FRAMES * case.frame, 4 * case.frame):
        for i, x in enumerate(inputs):
            with torch.no_grad():
                y, states[i] = case.layer.step(x[..., start : start + 4 * case.frame], states[i])
            outputs[i].append(y)
    for x, parts in zip(inputs, outputs, strict=True):
        same(torch.cat(parts, dim=-1), case.run(x))


def test_examples_of_a_batch_do_not_leak(case):
    x = case.input(batch=3)
    same(case.run(x)[1:2], case.run(x[1:2]))


def test_a_step_gives_back_the_names_and_shapes_that_it_took(case):
    state = case.layer.init_state(2)
    _, new = case.layer.step(case.input(1), state)
    assert {k: v.shape for k, v in new.items()} == {k: v.shape for k, v in state.items()}


def test_a_step_leaves_the_state_that_it_took_alone(case):
    state = case.layer.init_state(2)
    case.layer.step(case.input(), state)
    assert all((value == 0).all() for value in state.values())


def test_state_names_say_where_in_the_chain_they_belong():
    chain = Chain(a=CausalConv(1, 2, 3), b=Chain(c=CausalUpsample(2, 1, 2), d=Elu()))
    assert set(chain.init_state(1)) == {"a.left", "b.c.left"}


def test_a_layer_name_that_begins_like_another_keeps_its_own_state():
    chain = Chain(a=CausalConv(2, 2, 3), ab=CausalConv(2, 2, 3))
    x = noise(1, 2, 1, 9)
    _, state = chain.step(x, chain.init_state(1))
    assert torch.equal(state["a.left"], x[..., -2:])
    assert torch.equal(state["ab.left"], chain.a(x)[..., -2:])
